/** Keywords about the keys of objects. */
import { ALL_CHARS } from "./charset.ts";
import { below, countOf, EVERYWHERE, type Group, type Meanings, mapOf, must, mustNot, namesOf } from "./group.ts";
import type { Language } from "./language.ts";
import { languageOf } from "./keywords-scalar.ts";
import { escaped, type JsonObject, type SchemaNode } from "./schema-node.ts";
import {
  type Demands,
  FREE_OBJECT,
  joinDemands,
  type ObjectShape,
  type Others,
  type Property,
  type Union,
} from "./shape.ts";

/** An object that has a key. */
function having(name: string, demands: Demands = []): ObjectShape {
  return { ...FREE_OBJECT, named: new Map([[name, { demands, required: true, listed: false }]]), min: 1 };
}

/** An object that has not. */
function lacking(meanings: Meanings, node: SchemaNode, name: string): ObjectShape {
  const demands = [must(meanings.nodes.at(false, node.pointer))];
  return { ...FREE_OBJECT, named: new Map([[name, { demands, required: false, listed: false }]]) };
}

interface KeyPattern {
  readonly keys: Language;
  readonly demands: Demands;
}

/** @returns null, with a note, where a pattern cannot be said */
function keyPatterns(meanings: Meanings, node: SchemaNode, schema: JsonObject): readonly KeyPattern[] | null {
  const found: KeyPattern[] = [];
  let said = true;
  for (const [source, value] of Object.entries(mapOf(node, schema, "patternProperties"))) {
    const keys = languageOf(meanings, `${node.pointer}/patternProperties/${escaped(source)}`, source);
    if (keys === null) said = false;
    else found.push({ keys, demands: [must(below(meanings, node, value, "patternProperties", source))] });
  }
  return said ? found : null;
}

const members: Group = {
  name: "properties",
  keywords: ["properties", "patternProperties", "additionalProperties"],
  asked(meanings, node, schema) {
    return meanings.free.with(
      membersShape(meanings, node, schema, schema["additionalProperties"], "additionalProperties"),
    );
  },
  negated(meanings, node, schema) {
    const { languages } = meanings;
    const properties = Object.entries(mapOf(node, schema, "properties"));
    const found = properties.map(([name, value]): ObjectShape =>
      having(name, [mustNot(below(meanings, node, value, "properties", name))]),
    );
    const patterns = keyPatterns(meanings, node, schema);
    if (patterns === null) return [FREE_OBJECT];
    for (const { keys, demands } of patterns)
      found.push(
        havingSome(
          keys,
          demands.map((demand) => mustNot(demand.node)),
        ),
      );
    const { additionalProperties = true } = schema;
    const additional = below(meanings, node, additionalProperties, "additionalProperties");
    const own = languages.words(properties.map(([name]) => name));
    const keys = languages.not(languages.union(own, ...patterns.map((one) => one.keys)));
    found.push(havingSome(keys, joinDemands([mustNot(additional)])));
    return possible(meanings, found);
  },
};

/** An object with at least one of these keys whose value meets the demands. */
function havingSome(keys: Language, demands: Demands): ObjectShape {
  return { ...FREE_OBJECT, some: [{ keys, demands }], min: 1 };
}

/** Without objects whose required keys have no value. */
function possible(meanings: Meanings, shapes: readonly ObjectShape[]): Union {
  return shapes.filter(
    ({ named, some }) =>
      [...named.values()].every(({ demands, required }) => !required || !meanings.isEmpty(demands)) &&
      !some.some(({ demands }) => meanings.isEmpty(demands)),
  );
}

/** @param keyword of what is asked of other keys */
function membersShape(
  meanings: Meanings,
  node: SchemaNode,
  schema: JsonObject,
  additional: unknown,
  keyword: string,
): ObjectShape {
  const { languages } = meanings;
  const patterns = keyPatterns(meanings, node, schema);
  const named = new Map<string, Property>();
  for (const [name, value] of Object.entries(mapOf(node, schema, "properties"))) {
    const own = must(below(meanings, node, value, "properties", name));
    const matched = (patterns ?? []).filter(({ keys }) => languages.has(keys, name)).map(({ demands }) => demands);
    named.set(name, { demands: joinDemands([own], ...matched), required: false, listed: true });
  }
  const others: Others[] = [...(patterns ?? [])];
  // Which keys are additional is not known where a pattern could not be read.
  if (additional !== undefined && additional !== true && patterns !== null) {
    const keys = languages.not(languages.union(...patterns.map((one) => one.keys)));
    others.push({ keys, demands: [must(below(meanings, node, additional, keyword))] });
  }
  return { ...FREE_OBJECT, named, others };
}

const required: Group = {
  name: "required",
  keywords: ["required"],
  asked(meanings, node, schema) {
    const names = namesOf(`${node.pointer}/required`, schema["required"]);
    const named = names.map((name) => [name, { demands: [], required: true, listed: false }] as const);
    return meanings.free.with({ ...FREE_OBJECT, named: new Map(named), min: new Set(names).size });
  },
  negated: (meanings, node, schema) =>
    namesOf(`${node.pointer}/required`, schema["required"]).map((name) => lacking(meanings, node, name)),
};

const counts: Group = {
  name: "minProperties",
  keywords: ["minProperties", "maxProperties"],
  asked(meanings, node, schema) {
    const [min, max] = [countOf(node, schema, "minProperties", 0), countOf(node, schema, "maxProperties", Infinity)];
    if (max < min) return meanings.free.without("object");
    return meanings.free.with({ ...FREE_OBJECT, min, max, counted: `${node.pointer}/minProperties` });
  },
  negated(_meanings, node, schema) {
    const [min, max] = [countOf(node, schema, "minProperties", 0), countOf(node, schema, "maxProperties", Infinity)];
    const found: ObjectShape[] = [];
    const counted = `${node.pointer}/maxProperties`;
    if (min > 0) found.push({ ...FREE_OBJECT, max: min - 1 });
    if (max < Infinity) found.push({ ...FREE_OBJECT, min: max + 1, counted });
    return found;
  },
};

/** The keys that `propertyNames` does not allow. */
function wrongNames(meanings: Meanings, node: SchemaNode, schema: JsonObject): Language {
  const { languages } = meanings;
  const names = meanings.shapesOf([must(below(meanings, node, schema["propertyNames"], "propertyNames"))]);
  const any = languages.chars(ALL_CHARS);
  const allowed = names.flatMap((shape) => {
    if (shape.kind !== "string") return [];
    const length = languages.repeat(any, shape.min, shape.max);
    return [shape.min === 0 && shape.max === Infinity ? shape.language : languages.both(shape.language, length)];
  });
  return languages.not(languages.union(...allowed));
}

const propertyNames: Group = {
  name: "propertyNames",
  keywords: ["propertyNames"],
  asked(meanings, node, schema) {
    const demands = [must(meanings.nodes.at(false, node.pointer))];
    return meanings.free.with({ ...FREE_OBJECT, others: [{ keys: wrongNames(meanings, node, schema), demands }] });
  },
  negated: (meanings, node, schema) => [havingSome(wrongNames(meanings, node, schema), [])],
};

/** `dependencies` of old drafts holds both kinds. */
function dependency(
  meanings: Meanings,
  node: SchemaNode,
  keyword: string,
  name: string,
  value: unknown,
  negated: boolean,
): Union {
  const { free, meeting } = meanings;
  const has = [name === EVERYWHERE ? FREE_OBJECT : having(name)];
  const without = name === EVERYWHERE ? free.without("object") : free.with(lacking(meanings, node, name));
  if (Array.isArray(value)) {
    const names = namesOf(`${node.pointer}/${keyword}/${escaped(name)}`, value);
    if (negated) return names.flatMap((one) => meeting.unions(has, [lacking(meanings, node, one)]) ?? []);
    return [...without, ...names.reduce<Union>((all, one) => meeting.unions(all, [having(one)]) ?? all, has)];
  }
  const target = below(meanings, node, value, keyword, name);
  const union = meanings.shapesOf([negated ? mustNot(target) : must(target)]);
  const both = meeting.unions(has, union);
  if (both === null) meanings.note(target.pointer, "it has too many alternatives.");
  return negated ? (both ?? has) : [...without, ...(both ?? has)];
}

function dependencies(keyword: string): Group {
  return {
    name: keyword,
    keywords: [keyword],
    asked(meanings, node, schema) {
      let found: Union = meanings.free.all;
      for (const [name, value] of Object.entries(mapOf(node, schema, keyword))) {
        const both = meanings.meeting.unions(found, dependency(meanings, node, keyword, name, value, false));
        if (both === null)
          meanings.note(`${node.pointer}/${keyword}/${escaped(name)}`, "there are too many dependencies.");
        else found = both;
      }
      return found;
    },
    negated: (meanings, node, schema) =>
      Object.entries(mapOf(node, schema, keyword)).flatMap(([name, value]) =>
        dependency(meanings, node, keyword, name, value, true),
      ),
  };
}

/** Keywords that look at the same value with other schemas. */
const IN_PLACE = [
  "anyOf",
  "oneOf",
  "if",
  "then",
  "else",
  "dependentSchemas",
  "dependencies",
  "$dynamicRef",
  "$recursiveRef",
];

/** The keys that a schema looks at itself, or by `allOf` and `$ref`; null where it depends on the value. */
function looksAt(
  meanings: Meanings,
  node: SchemaNode,
  depth = 0,
): { properties: JsonObject; patternProperties: JsonObject } | null {
  const { schema } = node;
  if (typeof schema === "boolean") return { properties: {}, patternProperties: {} };
  if (depth > 20 || IN_PLACE.some((keyword) => schema[keyword] !== undefined)) return null;
  if (depth > 0 && schema["additionalProperties"] !== undefined) return null;
  const parts = Array.isArray(schema["allOf"])
    ? schema["allOf"].map((part: unknown, at) => below(meanings, node, part, "allOf", String(at)))
    : [];
  if (schema["$ref"] !== undefined) parts.push(meanings.nodes.resolve(node, "$ref", schema["$ref"]));
  const found = parts.map((part) => looksAt(meanings, part, depth + 1));
  if (!found.every((one) => one !== null)) return null;
  return {
    properties: Object.assign(
      {},
      ...found.map((one) => one.properties),
      mapOf(node, schema, "properties"),
    ) as JsonObject,
    patternProperties: Object.assign(
      {},
      ...found.map((one) => one.patternProperties),
      mapOf(node, schema, "patternProperties"),
    ) as JsonObject,
  };
}

const unevaluated: Group = {
  name: "unevaluatedProperties",
  keywords: ["unevaluatedProperties"],
  asked(meanings, node, schema) {
    const { free } = meanings;
    if (schema["unevaluatedProperties"] === true) return free.all;
    const seen = schema["additionalProperties"] === undefined ? looksAt(meanings, node) : null;
    if (seen === null) {
      meanings.note(`${node.pointer}/unevaluatedProperties`, "which keys other keywords look at depends on the value.");
      return free.all;
    }
    return free.with(
      membersShape(meanings, node, { ...seen }, schema["unevaluatedProperties"], "unevaluatedProperties"),
    );
  },
  negated(meanings, node) {
    meanings.note(
      `${node.pointer}/unevaluatedProperties`,
      "that a key breaks unevaluatedProperties cannot be said by a grammar.",
    );
    return [FREE_OBJECT];
  },
};

export const objects: readonly Group[] = [
  members,
  required,
  counts,
  propertyNames,
  dependencies("dependencies"),
  dependencies("dependentRequired"),
  dependencies("dependentSchemas"),
  unevaluated,
];
