/** The keywords of JSON Schema, in groups of those that only have a meaning together; all drafts from 4 to 2020-12. */
import { applicators } from "./keywords-logic.ts";
import { arrays } from "./keywords-array.ts";
import { objects } from "./keywords-object.ts";
import { scalars } from "./keywords-scalar.ts";
import type { Group } from "./group.ts";
import type { JsonObject } from "./schema-node.ts";

const GROUPS: ReadonlyMap<string, Group> = new Map(
  [...scalars, ...objects, ...arrays, ...applicators].flatMap((group) =>
    group.keywords.map((keyword): [string, Group] => [keyword, group]),
  ),
);

/** Those that ask for something, and those that say how others are meant. */
export const KEYWORDS: ReadonlySet<string> = new Set([...GROUPS.keys(), "then", "else", "minContains", "maxContains"]);

/**
 * The groups of a schema's keywords, in their order there, but `properties` first: its order is that of the keys. Unknown keywords ask for nothing.
 */
export function groupsOf(schema: JsonObject): readonly Group[] {
  const members = GROUPS.get("properties")!;
  const found = new Set(schema["properties"] === undefined ? [] : [members]);
  for (const [keyword, value] of Object.entries(schema)) {
    const group = GROUPS.get(keyword);
    if (group !== undefined && value !== undefined) found.add(group);
  }
  return [...found];
}
