/** Keywords that put schemas together: references, all of, any of, one of, not, if. */
import { below, type Group, type Meanings, listOf, must, mustNot, wrong } from "./group.ts";
import type { JsonObject, SchemaNode } from "./schema-node.ts";
import type { Demand, Demands, Union } from "./shape.ts";

function partsOf(meanings: Meanings, node: SchemaNode, schema: JsonObject, keyword: string): SchemaNode[] {
  const list = listOf(node, schema, keyword);
  if (list.length === 0) throw wrong(node, keyword, "a list of at least one schema", list);
  return list.map((part, at) => below(meanings, node, part, keyword, String(at)));
}

function reference(keyword: string): Group {
  return {
    name: keyword,
    keywords: [keyword],
    asked: (meanings, node, schema) =>
      meanings.shapesOf([must(meanings.nodes.resolve(node, keyword, schema[keyword]))]),
    negated: (meanings, node, schema) =>
      meanings.shapesOf([mustNot(meanings.nodes.resolve(node, keyword, schema[keyword]))]),
  };
}

/** One of the schemas for each of the demands. */
function anyOfThem(meanings: Meanings, demands: readonly Demand[]): Union {
  return meanings.anyOf(demands.map((demand) => meanings.shapesOf([demand])));
}

const allOf: Group = {
  name: "allOf",
  keywords: ["allOf"],
  asked: (meanings, node, schema) => meanings.shapesOf(partsOf(meanings, node, schema, "allOf").map(must)),
  negated: (meanings, node, schema) => anyOfThem(meanings, partsOf(meanings, node, schema, "allOf").map(mustNot)),
};

const anyOf: Group = {
  name: "anyOf",
  keywords: ["anyOf"],
  asked: (meanings, node, schema) => anyOfThem(meanings, partsOf(meanings, node, schema, "anyOf").map(must)),
  negated: (meanings, node, schema) => meanings.shapesOf(partsOf(meanings, node, schema, "anyOf").map(mustNot)),
};

/** Each alternative without the values that another one allows as well. */
function exactlyOne(meanings: Meanings, parts: readonly SchemaNode[]): Union {
  const unions = parts.map((part) => meanings.shapesOf([must(part)]));
  const found = parts.map((part, at) => {
    const rivals = parts.filter((_, other) => {
      if (other === at) return false;
      const shared = meanings.meeting.unions(unions[at]!, unions[other]!);
      return shared === null || shared.length > 0;
    });
    const demands: Demands = [must(part), ...rivals.map(mustNot)];
    return meanings.shapesOf(demands);
  });
  return meanings.anyOf(found);
}

const oneOf: Group = {
  name: "oneOf",
  keywords: ["oneOf"],
  asked: (meanings, node, schema) => exactlyOne(meanings, partsOf(meanings, node, schema, "oneOf")),
  negated(meanings, node, schema) {
    const parts = partsOf(meanings, node, schema, "oneOf");
    // None of them, or two.
    const none = meanings.shapesOf(parts.map(mustNot));
    const pairs = parts.flatMap((one, at) =>
      parts.slice(at + 1).map((other) => meanings.shapesOf([must(one), must(other)])),
    );
    return meanings.anyOf([none, ...pairs]);
  },
};

const not: Group = {
  name: "not",
  keywords: ["not"],
  asked: (meanings, node, schema) => meanings.shapesOf([mustNot(below(meanings, node, schema["not"], "not"))]),
  negated: (meanings, node, schema) => meanings.shapesOf([must(below(meanings, node, schema["not"], "not"))]),
};

/** With and without the condition, each with what follows from it. */
function conditional(
  meanings: Meanings,
  node: SchemaNode,
  schema: JsonObject,
  demand: (node: SchemaNode) => Demand,
): Union {
  if (schema["if"] === undefined) return meanings.free.all;
  const condition = below(meanings, node, schema["if"], "if");
  const branch = (keyword: string): Demand => demand(below(meanings, node, schema[keyword] ?? true, keyword));
  const then = meanings.shapesOf([must(condition), branch("then")]);
  const otherwise = meanings.shapesOf([mustNot(condition), branch("else")]);
  return meanings.anyOf([then, otherwise]);
}

const condition: Group = {
  name: "if",
  keywords: ["if"],
  asked: (meanings, node, schema) => conditional(meanings, node, schema, must),
  negated: (meanings, node, schema) => conditional(meanings, node, schema, mustNot),
};

export const applicators: readonly Group[] = [
  reference("$ref"),
  reference("$dynamicRef"),
  reference("$recursiveRef"),
  allOf,
  anyOf,
  oneOf,
  not,
  condition,
];
