/** Puts the keys of an instance in the order that a grammar asks for: that of `properties`, where they stand in the schema; others last. */
import { checkOf } from "../../src/grammar/check.ts";

type Json = Readonly<Record<string, unknown>>;

interface Part {
  readonly schema: unknown;
  /** A JSON pointer. */
  readonly pointer: string;
}

/** Keywords that look at the same value. */
const LISTS: ReadonlySet<string> = new Set(["allOf", "anyOf", "oneOf"]);
const SINGLE: ReadonlySet<string> = new Set(["if", "then", "else"]);

export class Ordering {
  readonly #root: unknown;
  readonly #checks = new Map<string, (value: unknown) => boolean>();

  /** @param schema of the instances */
  constructor(schema: unknown) {
    this.#root = schema;
  }

  ordered(value: unknown): unknown {
    return this.#order(value, [{ schema: this.#root, pointer: "" }]);
  }

  #order(value: unknown, parts: readonly Part[]): unknown {
    const all = this.#spread(value, parts);
    if (Array.isArray(value)) {
      return value.map((item, at) =>
        this.#order(
          item,
          all.flatMap((part) => itemParts(part, at)),
        ),
      );
    }
    if (!isObject(value)) return value;
    const listed = all.flatMap(({ schema }) => keysOf((schema as Json)["properties"]));
    const required = all.flatMap(({ schema }) => (schema as Json)["required"] ?? []);
    const keys = [...new Set([...listed, ...(required as string[]), ...Object.keys(value)])];
    const own = keys.filter((key) => Object.hasOwn(value, key));
    return Object.fromEntries(
      own.map((key) => [
        key,
        this.#order(
          value[key],
          all.flatMap((part) => keyParts(part, key)),
        ),
      ]),
    );
  }

  /** The parts with those that hold for the same value, in the order in which they stand; alternatives that the value does not match are left out. */
  #spread(value: unknown, parts: readonly Part[]): Part[] {
    const found = new Map<unknown, Part>();
    const visit = (part: Part): void => {
      const { schema, pointer } = part;
      if (!isObject(schema) || found.has(schema)) return;
      found.set(schema, part);
      for (const [keyword, below] of Object.entries(schema)) {
        const at = `${pointer}/${keyword}`;
        if (keyword === "$ref" && typeof below === "string")
          visit({ schema: valueAt(this.#root, below), pointer: below.slice(1) });
        else if (LISTS.has(keyword) && Array.isArray(below)) {
          const options = below.map((one: unknown, index) => ({ schema: one, pointer: `${at}/${index}` }));
          const fitting = keyword === "allOf" ? options : options.filter((option) => this.#fits(option, value));
          (fitting.length === 0 ? options : fitting).forEach(visit);
        } else if (SINGLE.has(keyword)) visit({ schema: below, pointer: at });
        else if (keyword === "dependencies" || keyword === "dependentSchemas") {
          for (const [key, one] of Object.entries(below as Json)) visit({ schema: one, pointer: `${at}/${key}` });
        }
      }
    };
    parts.forEach(visit);
    return [...found.values()];
  }

  #fits({ pointer }: Part, value: unknown): boolean {
    const check = this.#checks.get(pointer) ?? this.#checkOf(pointer);
    this.#checks.set(pointer, check);
    return check(value);
  }

  #checkOf(pointer: string): (value: unknown) => boolean {
    try {
      const check = checkOf(this.#root, pointer);
      return (value) => check(value) === null;
    } catch {
      return () => true;
    }
  }
}

function valueAt(root: unknown, reference: string): unknown {
  if (!reference.startsWith("#")) return undefined;
  let value = root;
  for (const part of decodeURIComponent(reference.slice(1)).split("/").slice(1)) {
    if (value === null || typeof value !== "object") return undefined;
    value = (value as Json)[part.replaceAll("~1", "/").replaceAll("~0", "~")];
  }
  return value;
}

function itemParts({ schema, pointer }: Part, at: number): Part[] {
  const { prefixItems, items, additionalItems, contains } = schema as Json;
  const list = Array.isArray(prefixItems) ? prefixItems : Array.isArray(items) ? items : [];
  const keyword = Array.isArray(prefixItems) ? "prefixItems" : "items";
  const rest = Array.isArray(items)
    ? { schema: additionalItems, pointer: `${pointer}/additionalItems` }
    : { schema: items, pointer: `${pointer}/items` };
  const own = at < list.length ? { schema: list[at] as unknown, pointer: `${pointer}/${keyword}/${at}` } : rest;
  return [own, { schema: contains, pointer: `${pointer}/contains` }];
}

function keyParts({ schema, pointer }: Part, key: string): Part[] {
  const { properties, patternProperties, additionalProperties } = schema as Json;
  const own = isObject(properties) && Object.hasOwn(properties, key);
  const matching = keysOf(patternProperties).filter((pattern) => matches(pattern, key));
  const found = matching.map((pattern) => ({
    schema: (patternProperties as Json)[pattern],
    pointer: `${pointer}/patternProperties/${escaped(pattern)}`,
  }));
  if (own) found.unshift({ schema: properties[key], pointer: `${pointer}/properties/${escaped(key)}` });
  return found.length > 0 ? found : [{ schema: additionalProperties, pointer: `${pointer}/additionalProperties` }];
}

function escaped(key: string): string {
  return encodeURIComponent(key.replaceAll("~", "~0").replaceAll("/", "~1"));
}

function keysOf(value: unknown): string[] {
  return isObject(value) ? Object.keys(value) : [];
}

function matches(pattern: string, key: string): boolean {
  try {
    return new RegExp(pattern).test(key);
  } catch {
    return false;
  }
}

function isObject(value: unknown): value is Json {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
