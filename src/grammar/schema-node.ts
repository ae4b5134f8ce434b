/** The parts of a schema: where each stands, and what its references mean. */
import { type GrammarLimits, SchemaError } from "./limits.ts";

/** An object as JSON.parse gives it. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** A schema or a part of one that is a schema itself. */
export interface SchemaNode {
  readonly id: number;
  readonly schema: JsonObject | boolean;
  /** Where it stands, as a JSON pointer. */
  readonly pointer: string;
}

/** Keywords whose values are schemas by name. */
export const MAPS: ReadonlySet<string> = new Set([
  "properties",
  "patternProperties",
  "$defs",
  "definitions",
  "dependentSchemas",
  "dependencies",
]);
/** Keywords whose values are data. */
const DATA = new Set(["enum", "const", "default", "examples", "example"]);

/** References without an address of their own are relative to this one. */
const NOWHERE = "schema:///";

interface Place {
  readonly value: unknown;
  readonly pointer: string;
  /** The address of the schema around it. */
  readonly base: string;
}

export class SchemaNodes {
  readonly #nodes = new Map<unknown, SchemaNode>();
  readonly #data = new Map<string, SchemaNode>();
  readonly #bases = new WeakMap<object, string>();
  /** Schemas with an address, and those with an anchor, by address. */
  readonly #places = new Map<string, Place>();
  readonly root: SchemaNode;

  /** @throws SchemaError for what is no schema, or is too large */
  constructor(schema: unknown, limits: GrammarLimits) {
    const text = JSON.stringify(schema);
    if (text !== undefined && text.length > limits.schemaLength) {
      throw new SchemaError(
        "",
        `the schema has ${text.length} characters; at most ${limits.schemaLength} are allowed.`,
      );
    }
    this.#index({ value: schema, pointer: "", base: NOWHERE }, limits.depth, false);
    this.#places.set(NOWHERE, { value: schema, pointer: "", base: NOWHERE });
    this.root = this.at(schema, "");
  }

  /** The node of a value that stands at `pointer`; one value has one node, wherever it is met. */
  at(value: unknown, pointer: string): SchemaNode {
    if (typeof value === "boolean") return this.#nodes.get(value) ?? this.#add(value, value, pointer);
    if (!isObject(value)) {
      throw new SchemaError(pointer, `a schema must be an object, true or false; got ${nameOf(value)}.`);
    }
    return this.#nodes.get(value) ?? this.#add(value, value, pointer);
  }

  /** A schema for one value, as an element of an `enum` asks for within. */
  constant(value: unknown, pointer: string): SchemaNode {
    const key = JSON.stringify(value);
    const known = this.#data.get(key);
    if (known !== undefined) return known;
    const node = { id: this.#nodes.size + this.#data.size, schema: { const: value }, pointer };
    this.#data.set(key, node);
    return node;
  }

  #add(key: unknown, schema: JsonObject | boolean, pointer: string): SchemaNode {
    const node = { id: this.#nodes.size + this.#data.size, schema, pointer };
    this.#nodes.set(key, node);
    return node;
  }

  /** @throws SchemaError where the reference leads nowhere, or out of the schema */
  resolve(node: SchemaNode, keyword: string, reference: unknown): SchemaNode {
    const pointer = `${node.pointer}/${keyword}`;
    if (typeof reference !== "string")
      throw new SchemaError(pointer, `${keyword} must be a text; got ${nameOf(reference)}.`);
    const base = typeof node.schema === "boolean" ? NOWHERE : (this.#bases.get(node.schema) ?? NOWHERE);
    const url = URL.canParse(reference, base) ? new URL(reference, base) : null;
    if (url === null) throw new SchemaError(pointer, `${keyword} "${reference}" is no address.`);
    const fragment = url.hash.slice(1);
    url.hash = "";
    const found = this.#find(url.href, fragment) ?? (reference.startsWith("#") ? this.#find(NOWHERE, fragment) : null);
    if (found !== null) return this.at(found.value, found.pointer);
    const why =
      reference.startsWith("#") || this.#places.has(url.href)
        ? `${keyword} "${reference}" leads nowhere.`
        : `${keyword} "${reference}" leads out of the schema, which is not followed.`;
    throw new SchemaError(pointer, why);
  }

  #find(address: string, fragment: string): Place | null {
    const resource = this.#places.get(address) ?? this.#places.get(address.replace(/\/$/, ""));
    if (resource === undefined) return null;
    if (fragment === "") return resource;
    if (!fragment.startsWith("/")) return this.#places.get(`${resource.base}#${fragment}`) ?? null;
    let { value, pointer } = resource;
    for (const part of fragment.slice(1).split("/")) {
      const key = decoded(part).replaceAll("~1", "/").replaceAll("~0", "~");
      if (value === null || typeof value !== "object" || !Object.hasOwn(value, key)) return null;
      value = (value as JsonObject)[key];
      pointer += `/${escaped(key)}`;
    }
    return { value, pointer, base: resource.base };
  }

  /** Notes the addresses within a schema. @param map whether the value holds schemas by name */
  #index({ value, pointer, base }: Place, depth: number, map: boolean): void {
    if (value === null || typeof value !== "object") return;
    if (depth === 0) throw new SchemaError(pointer, "the schema is nested too deep.");
    if (Array.isArray(value)) {
      value.forEach((item, at) => this.#index({ value: item, pointer: `${pointer}/${at}`, base }, depth - 1, false));
      return;
    }
    const schema = value as JsonObject;
    const own = map ? base : this.#address({ value, pointer, base });
    this.#bases.set(schema, own);
    for (const [key, child] of Object.entries(schema)) {
      if (!map && DATA.has(key)) continue;
      const inMap = !map && MAPS.has(key);
      this.#index({ value: child, pointer: `${pointer}/${escaped(key)}`, base: own }, depth - 1, inMap);
    }
  }

  /** The address of what is within a schema. */
  #address({ value, pointer, base }: Place): string {
    const { $id, id, $anchor, $dynamicAnchor } = value as JsonObject;
    const name = typeof $id === "string" ? $id : typeof id === "string" ? id : null;
    let own = base;
    if (name?.startsWith("#")) {
      const other = this.#places.get(base + name);
      if (other !== undefined && name === $id) throw twice(pointer, "$id", name, other);
      this.#places.set(base + name, { value, pointer, base });
    } else if (name !== null && URL.canParse(name, base)) {
      const url = new URL(name, base);
      url.hash = "";
      own = url.href;
      const other = this.#places.get(own);
      // An old label may stand in several places, and the first one counts.
      if (other !== undefined && name === $id) throw twice(pointer, "$id", name, other);
      if (other === undefined) this.#places.set(own, { value, pointer, base: own });
    }
    for (const [keyword, anchor] of Object.entries({ $anchor, $dynamicAnchor })) {
      if (typeof anchor !== "string") continue;
      const other = this.#places.get(`${own}#${anchor}`);
      if (other !== undefined && other.value !== value) throw twice(pointer, keyword, anchor, other);
      this.#places.set(`${own}#${anchor}`, { value, pointer, base: own });
    }
    return own;
  }
}

function twice(pointer: string, keyword: string, name: string, other: Place): SchemaError {
  const place = other.pointer === "" ? "the whole schema" : other.pointer;
  return new SchemaError(`${pointer}/${keyword}`, `${keyword} "${name}" is that of ${place} already.`);
}

export function isObject(value: unknown): value is JsonObject {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** One part of a JSON pointer. */
export function escaped(key: string): string {
  return key.replaceAll("~", "~0").replaceAll("/", "~1");
}

export function nameOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (value === undefined) return "missing";
  return typeof value === "object" ? "an object" : `${JSON.stringify(value)}`.slice(0, 60);
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
