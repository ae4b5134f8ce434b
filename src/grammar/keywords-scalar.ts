/** Keywords about types, single values, numbers and strings. */
import { isMistyped } from "../common/mistyped.ts";
import { formatPattern, formatRange, outerPattern } from "./formats.ts";
import { countOf, type Group, type Meanings, listOf, must, mustNot, wrong } from "./group.ts";
import type { Language } from "./language.ts";
import { SchemaError } from "./limits.ts";
import { besides, fractionLanguage, multipleLanguage, noMultipleLanguage } from "./numbers.ts";
import { PatternError } from "./pattern.ts";
import { patternLanguage } from "./pattern-language.ts";
import { isObject, type JsonObject, nameOf, type SchemaNode } from "./schema-node.ts";
import {
  type ArrayShape,
  type Demands,
  FREE_ARRAY,
  FREE_OBJECT,
  KINDS,
  type NumberShape,
  type ObjectShape,
  type Shape,
  type StringShape,
  type Union,
} from "./shape.ts";

const TYPES: ReadonlySet<string> = new Set([...KINDS, "integer"]);

/** The names of types elsewhere. */
const ALSO_CALLED: Readonly<Record<string, string>> = {
  bool: "boolean",
  dict: "object",
  double: "number",
  float: "number",
  int: "integer",
  list: "array",
  none: "null",
  str: "string",
  text: "string",
};

function noType(node: SchemaNode, given: unknown): SchemaError {
  const what = "the name of a JSON type, or a list of them";
  const name = typeof given === "string" ? given.toLowerCase() : "";
  const called = Object.hasOwn(ALSO_CALLED, name) ? ALSO_CALLED[name] : undefined;
  const meant = called ?? [...TYPES].find((type) => isMistyped(type, name));
  const known = meant === undefined ? `known are ${[...TYPES].join(", ")}` : `perhaps ${meant} was meant`;
  return new SchemaError(`${node.pointer}/type`, `type must be ${what}; got ${nameOf(given)}; ${known}.`);
}

function typesOf(node: SchemaNode, schema: JsonObject): ReadonlySet<string> {
  const listed: readonly unknown[] = Array.isArray(schema["type"]) ? schema["type"] : [schema["type"]];
  if (listed.length === 0) throw noType(node, listed);
  for (const type of listed) {
    if (typeof type !== "string" || !TYPES.has(type)) throw noType(node, type);
  }
  return new Set([...(listed as string[]), ...(schema["nullable"] === true ? ["null"] : [])]);
}

const type: Group = {
  name: "type",
  keywords: ["type"],
  asked({ free }, node, schema) {
    const types = typesOf(node, schema);
    return free.all.flatMap((shape): Shape[] => {
      if (types.has(shape.kind)) return [shape];
      return shape.kind === "number" && types.has("integer") ? [{ ...shape, integer: true }] : [];
    });
  },
  negated({ free, languages }, node, schema) {
    const types = typesOf(node, schema);
    return free.all.flatMap((shape): Shape[] => {
      if (types.has(shape.kind)) return [];
      const noInteger = shape.kind === "number" && types.has("integer");
      return [noInteger ? { ...shape, texts: fractionLanguage(languages) } : shape];
    });
  },
};

/** The shapes of given values. */
export function valuesShapes(meanings: Meanings, pointer: string, values: readonly unknown[]): Union {
  const { languages, free } = meanings;
  const texts = values.filter((value) => typeof value === "string");
  const shapes = values.flatMap((value): Shape[] => {
    if (value === null) return [{ kind: "null" }];
    if (typeof value === "boolean") return [{ kind: "boolean", values: [value] }];
    if (Array.isArray(value)) {
      const prefix = value.map((item) => [must(meanings.nodes.constant(item, pointer))]);
      return [{ ...FREE_ARRAY, prefix, min: value.length, max: value.length }];
    }
    return isObject(value) ? [objectShape(meanings, pointer, value)] : [];
  });
  const numbers = values.filter((value) => typeof value === "number");
  if (numbers.length > 0) shapes.push(numbersShape(meanings, numbers));
  if (texts.length > 0) shapes.push({ ...free.string, language: languages.words(texts) });
  return meanings.meeting.tidy(shapes);
}

/** Numbers as JavaScript writes them. */
function numbersShape({ free, languages }: Meanings, numbers: readonly number[]): NumberShape {
  const range = numbers.reduce(({ min, max }, value) => ({ min: Math.min(min, value), max: Math.max(max, value) }), {
    min: Infinity,
    max: -Infinity,
  });
  const texts = languages.words(numbers.map((value) => JSON.stringify(value)));
  return { ...free.number, ...range, integer: numbers.every(Number.isInteger), texts };
}

function objectShape({ nodes, languages }: Meanings, pointer: string, value: JsonObject): Shape {
  const named = Object.entries(value).map(([name, one]) => {
    const demands = [must(nodes.constant(one, pointer))];
    return [name, { demands, required: true, listed: true }] as const;
  });
  const others = [{ keys: languages.everything, demands: [must(nodes.at(false, pointer))] }];
  return { ...FREE_OBJECT, named: new Map(named), others, min: named.length, max: named.length };
}

function otherValues(meanings: Meanings, pointer: string, values: readonly unknown[]): Union {
  const { free, languages } = meanings;
  const texts = values.filter((value) => typeof value === "string");
  const numbers = [...new Set(values.filter((value) => typeof value === "number"))].toSorted((a, b) => a - b);
  const booleans = [true, false].filter((value) => !values.includes(value));
  const simple: Union = [
    ...(values.includes(null) ? [] : [{ kind: "null" } as const]),
    ...(booleans.length === 0 ? [] : [{ kind: "boolean", values: booleans } as const]),
    ...numbersBetween(free.number, numbers),
    { ...free.string, language: languages.not(languages.words(texts)) },
    FREE_ARRAY,
    FREE_OBJECT,
  ];
  return values.reduce<Union>((left, value) => {
    const other = Array.isArray(value)
      ? free.with(...otherLists(meanings, pointer, value))
      : isObject(value)
        ? free.with(...otherObjects(meanings, pointer, value))
        : left;
    const both = other === left ? left : meanings.meeting.unions(left, other);
    if (both === null) meanings.note(pointer, "there are too many values that are not to be.");
    return both ?? left;
  }, simple);
}

/** Shorter, longer, or another item somewhere. */
function otherLists(meanings: Meanings, pointer: string, value: readonly unknown[]): ArrayShape[] {
  const differing = value.map((item, at): ArrayShape => {
    const before = Array.from({ length: at }, (): Demands => []);
    const demands = [mustNot(meanings.nodes.constant(item, pointer))];
    return { ...FREE_ARRAY, prefix: [...before, demands], min: at + 1 };
  });
  const shorter: ArrayShape[] = value.length === 0 ? [] : [{ ...FREE_ARRAY, max: value.length - 1 }];
  return [...shorter, { ...FREE_ARRAY, min: value.length + 1 }, ...differing];
}

/** Without a key, with another value for it, or with another key. */
function otherObjects({ nodes, languages }: Meanings, pointer: string, value: JsonObject): ObjectShape[] {
  const no = [must(nodes.at(false, pointer))];
  const differing = Object.entries(value).flatMap(([name, item]): ObjectShape[] => {
    const other = [mustNot(nodes.constant(item, pointer))];
    return [
      { ...FREE_OBJECT, named: new Map([[name, { demands: no, required: false, listed: false }]]) },
      { ...FREE_OBJECT, named: new Map([[name, { demands: other, required: true, listed: false }]]), min: 1 },
    ];
  });
  const keys = languages.not(languages.words(Object.keys(value)));
  return [...differing, { ...FREE_OBJECT, some: [{ keys, demands: [] }], min: 1 }];
}

function numbersBetween(free: NumberShape, numbers: readonly number[]): NumberShape[] {
  return [-Infinity, ...numbers].map((from, at) => ({
    ...free,
    min: from === -Infinity ? from : besides(from, 1),
    max: numbers[at] === undefined ? Infinity : besides(numbers[at], -1),
  }));
}

const enumeration: Group = {
  name: "enum",
  keywords: ["enum"],
  asked: (meanings, node, schema) => valuesShapes(meanings, `${node.pointer}/enum`, listOf(node, schema, "enum")),
  negated: (meanings, node, schema) => otherValues(meanings, `${node.pointer}/enum`, listOf(node, schema, "enum")),
};

const constant: Group = {
  name: "const",
  keywords: ["const"],
  asked: (meanings, node, schema) => valuesShapes(meanings, `${node.pointer}/const`, [schema["const"]]),
  negated: (meanings, node, schema) => otherValues(meanings, `${node.pointer}/const`, [schema["const"]]),
};

/** `minimum` and the like: the bound that belongs to the range. */
function boundOf(
  node: SchemaNode,
  schema: JsonObject,
  keyword: string,
): { readonly value: number; readonly open: boolean } | null {
  const value = schema[keyword];
  // In draft 4 exclusiveMinimum only says how minimum is meant.
  if (typeof value === "boolean" && keyword.startsWith("exclusive")) return null;
  if (typeof value !== "number" || !Number.isFinite(value)) throw wrong(node, keyword, "a number", value);
  const side = keyword === "minimum" ? "exclusiveMinimum" : "exclusiveMaximum";
  return { value, open: keyword.startsWith("exclusive") || schema[side] === true };
}

function bound(keyword: string, lower: boolean): Group {
  return {
    name: keyword,
    keywords: [keyword],
    asked({ free }, node, schema) {
      const found = boundOf(node, schema, keyword);
      if (found === null) return free.all;
      const { value, open } = found;
      return free.with(
        lower
          ? { ...free.number, min: open ? besides(value, 1) : value }
          : { ...free.number, max: open ? besides(value, -1) : value },
      );
    },
    negated({ free }, node, schema) {
      const found = boundOf(node, schema, keyword);
      if (found === null) return [];
      const { value, open } = found;
      return [
        lower
          ? { ...free.number, max: open ? value : besides(value, -1) }
          : { ...free.number, min: open ? value : besides(value, 1) },
      ];
    },
  };
}

function divisorOf(node: SchemaNode, schema: JsonObject): number {
  const value = schema["multipleOf"];
  if (typeof value === "number" && value > 0 && Number.isFinite(value)) return value;
  throw wrong(node, "multipleOf", "a number above 0", value);
}

const multiple: Group = {
  name: "multipleOf",
  keywords: ["multipleOf"],
  asked(meanings, node, schema) {
    const { free, languages } = meanings;
    const divisor = divisorOf(node, schema);
    if (divisor === 1) return free.with({ ...free.number, integer: true });
    const texts = multipleLanguage(languages, divisor);
    if (texts !== null) return free.with({ ...free.number, integer: Number.isInteger(divisor), texts });
    meanings.note(`${node.pointer}/multipleOf`, `a divisor like ${divisor} has too many remainders for a grammar.`);
    return free.with({ ...free.number, integer: Number.isInteger(divisor) });
  },
  negated(meanings, node, schema) {
    const divisor = divisorOf(node, schema);
    const texts = noMultipleLanguage(meanings.languages, divisor);
    if (texts !== null) return [{ ...meanings.free.number, texts }];
    meanings.note(`${node.pointer}/multipleOf`, `a divisor like ${divisor} has too many remainders for a grammar.`);
    return [meanings.free.number];
  },
};

const lengths: Group = {
  name: "minLength",
  keywords: ["minLength", "maxLength"],
  asked({ free }, node, schema) {
    const [min, max] = [countOf(node, schema, "minLength", 0), countOf(node, schema, "maxLength", Infinity)];
    return max < min ? free.without("string") : free.with({ ...free.string, min, max });
  },
  negated({ free }, node, schema) {
    const [min, max] = [countOf(node, schema, "minLength", 0), countOf(node, schema, "maxLength", Infinity)];
    const shapes: StringShape[] = [];
    if (min > 0) shapes.push({ ...free.string, max: min - 1 });
    if (max < Infinity) shapes.push({ ...free.string, min: max + 1 });
    return shapes;
  },
};

/** The language of a pattern; null, and a note, where no grammar can say it. @throws SchemaError for what is no regular expression */
export function languageOf(meanings: Meanings, pointer: string, source: string): Language | null {
  try {
    return patternLanguage(meanings.languages, source);
  } catch (error) {
    if (error instanceof SyntaxError) {
      // V8 repeats the pattern in front of the reason.
      const reason = error.message.split(": ").at(-1)!.toLowerCase();
      throw new SchemaError(pointer, `this is no regular expression of ECMAScript: ${reason}.`);
    }
    if (!(error instanceof PatternError)) throw error;
    meanings.note(pointer, `the pattern cannot be said by a grammar: ${error.message}.`);
    return null;
  }
}

function strings(
  name: string,
  find: (meanings: Meanings, node: SchemaNode, schema: JsonObject) => Language | null,
): Group {
  return {
    name,
    keywords: [name],
    asked(meanings, node, schema) {
      const language = find(meanings, node, schema);
      const { free } = meanings;
      return language === null ? free.all : free.with({ ...free.string, language });
    },
    negated(meanings, node, schema) {
      const language = find(meanings, node, schema);
      const { free, languages } = meanings;
      return [language === null ? free.string : { ...free.string, language: languages.not(language) }];
    },
  };
}

const pattern = strings("pattern", (meanings, node, schema) => {
  const source = schema["pattern"];
  if (typeof source !== "string") throw wrong(node, "pattern", "a text", source);
  return languageOf(meanings, `${node.pointer}/pattern`, source);
});

const format: Group = {
  name: "format",
  keywords: ["format"],
  asked(meanings, node, schema) {
    const name = formatOf(node, schema);
    const { free } = meanings;
    const range = formatRange(name);
    if (range !== undefined) return free.with({ ...free.number, integer: true, min: range[0], max: range[1] });
    const source = formatPattern(name);
    if (source === undefined) return free.all;
    const pointer = `${node.pointer}/format`;
    if (source === null) meanings.note(pointer, `the format ${name} cannot be said by a grammar.`);
    const language = source === null ? null : languageOf(meanings, pointer, source);
    if (language === null) return free.all;
    meanings.languages.formats.set(language, name);
    return free.with({ ...free.string, language });
  },
  negated(meanings, node, schema) {
    const name = formatOf(node, schema);
    const { free, languages } = meanings;
    const range = formatRange(name);
    if (range !== undefined) {
      const outside = [
        { max: besides(range[0], -1) },
        { min: besides(range[1], 1) },
        { texts: fractionLanguage(languages) },
      ];
      return outside.map((one) => ({ ...free.number, ...one }));
    }
    const source = outerPattern(name);
    if (source === undefined) return [];
    const language = languageOf(meanings, `${node.pointer}/format`, source);
    return [language === null ? free.string : { ...free.string, language: languages.not(language) }];
  },
};

function formatOf(node: SchemaNode, schema: JsonObject): string {
  const name = schema["format"];
  if (typeof name === "string") return name;
  throw wrong(node, "format", "a name", name);
}

export const scalars: readonly Group[] = [
  type,
  enumeration,
  constant,
  bound("minimum", true),
  bound("exclusiveMinimum", true),
  bound("maximum", false),
  bound("exclusiveMaximum", false),
  multiple,
  lengths,
  pattern,
  format,
];
