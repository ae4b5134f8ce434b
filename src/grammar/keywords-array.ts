/** Keywords about the items of arrays. */
import { below, countOf, type Group, type Meanings, must, mustNot } from "./group.ts";
import type { JsonObject, SchemaNode } from "./schema-node.ts";
import { type ArrayShape, type Demands, FREE_ARRAY } from "./shape.ts";

/** Where the schemas of the first items and of the others stand: `items` holds either, by draft. */
function itemsOf(meanings: Meanings, node: SchemaNode, schema: JsonObject): { prefix: Demands[]; rest: Demands } {
  const { prefixItems, items, additionalItems } = schema;
  const list = Array.isArray(prefixItems) ? prefixItems : Array.isArray(items) ? items : [];
  const keyword = Array.isArray(prefixItems) ? "prefixItems" : "items";
  const prefix = list.map((item: unknown, at) => [must(below(meanings, node, item, keyword, String(at)))]);
  const others = Array.isArray(items) ? additionalItems : items;
  const place = Array.isArray(items) ? "additionalItems" : "items";
  return { prefix, rest: others === undefined ? [] : [must(below(meanings, node, others, place))] };
}

const items: Group = {
  name: "items",
  keywords: ["items", "prefixItems", "additionalItems"],
  asked(meanings, node, schema) {
    const { prefix, rest } = itemsOf(meanings, node, schema);
    const closed = rest.some((demand) => demand.node.schema === false);
    return meanings.free.with({ ...FREE_ARRAY, prefix, rest, max: closed ? prefix.length : Infinity });
  },
  negated(meanings, node, schema) {
    const { prefix, rest } = itemsOf(meanings, node, schema);
    const found = prefix.map((demands, at): ArrayShape => {
      const before = Array.from({ length: at }, (): Demands => []);
      return { ...FREE_ARRAY, prefix: [...before, demands.map((demand) => mustNot(demand.node))], min: at + 1 };
    });
    if (rest.length > 0 && prefix.length === 0) {
      found.push({ ...FREE_ARRAY, some: [rest.map((demand) => mustNot(demand.node))], min: 1 });
    } else if (rest.length > 0) {
      meanings.note(`${node.pointer}/items`, "that one of the later items is wrong cannot be said by a grammar.");
      return [FREE_ARRAY];
    }
    return found.filter((shape) => ![...shape.prefix, ...shape.some].some((demands) => meanings.isEmpty(demands)));
  },
};

const counts: Group = {
  name: "minItems",
  keywords: ["minItems", "maxItems"],
  asked(meanings, node, schema) {
    const [min, max] = [countOf(node, schema, "minItems", 0), countOf(node, schema, "maxItems", Infinity)];
    return max < min ? meanings.free.without("array") : meanings.free.with({ ...FREE_ARRAY, min, max });
  },
  negated(_meanings, node, schema) {
    const [min, max] = [countOf(node, schema, "minItems", 0), countOf(node, schema, "maxItems", Infinity)];
    const found: ArrayShape[] = [];
    if (min > 0) found.push({ ...FREE_ARRAY, max: min - 1 });
    if (max < Infinity) found.push({ ...FREE_ARRAY, min: max + 1 });
    return found;
  },
};

const unique: Group = {
  name: "uniqueItems",
  keywords: ["uniqueItems"],
  asked: ({ free }, node, schema) =>
    schema["uniqueItems"] === true ? free.with({ ...FREE_ARRAY, unique: `${node.pointer}/uniqueItems` }) : free.all,
  negated(meanings, node, schema) {
    if (schema["uniqueItems"] !== true) return [];
    meanings.note(`${node.pointer}/uniqueItems`, "that two items are equal cannot be said by a grammar.");
    return [{ ...FREE_ARRAY, min: 2 }];
  },
};

const contains: Group = {
  name: "contains",
  keywords: ["contains"],
  asked(meanings, node, schema) {
    const { free } = meanings;
    const min = countOf(node, schema, "minContains", 1);
    const max = countOf(node, schema, "maxContains", Infinity);
    const demands = [must(below(meanings, node, schema["contains"], "contains"))];
    if (min > 1 || max < Infinity) meanings.note(`${node.pointer}/contains`, "how many items match cannot be counted.");
    return min === 0 ? free.all : free.with({ ...FREE_ARRAY, some: [demands], min: 1 });
  },
  negated(meanings, node, schema) {
    if (schema["minContains"] !== undefined || schema["maxContains"] !== undefined) {
      meanings.note(`${node.pointer}/contains`, "how many items match cannot be counted.");
      return [FREE_ARRAY];
    }
    return [{ ...FREE_ARRAY, rest: [mustNot(below(meanings, node, schema["contains"], "contains"))] }];
  },
};

const unevaluated: Group = {
  name: "unevaluatedItems",
  keywords: ["unevaluatedItems"],
  asked(meanings, node, schema) {
    if (schema["unevaluatedItems"] === true) return meanings.free.all;
    meanings.note(`${node.pointer}/unevaluatedItems`, "which items other keywords look at depends on the value.");
    return meanings.free.all;
  },
  negated(meanings, node) {
    meanings.note(
      `${node.pointer}/unevaluatedItems`,
      "that an item breaks unevaluatedItems cannot be said by a grammar.",
    );
    return [FREE_ARRAY];
  },
};

export const arrays: readonly Group[] = [items, counts, unique, contains, unevaluated];
