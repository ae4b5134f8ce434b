/** The types of a tool's arguments by its schema, to make JSON of values that a model has written as plain text. */
import { isObject, valueIn } from "../../common/json-values.ts";
import type { JsonSchema } from "../../request.ts";

/** How the languages of templates write them. */
const PYTHON: Readonly<Record<string, string>> = { True: "true", False: "false", None: "null" };
const ALTERNATIVES = ["anyOf", "oneOf"] as const;
/** References that a schema is followed through. */
const DEPTH = 8;

export class ParameterTypes {
  readonly #schema: JsonSchema;

  constructor(schema: JsonSchema = true) {
    this.#schema = schema;
  }

  /** The value as JSON: a text where only that is right, else what it is as JSON, if it is any. */
  jsonOf(key: string, value: string): string {
    const types = this.typesOf(this.propertyOf(key));
    const isText = types?.has("string") ?? true;
    if (isText && types?.size === 1) return JSON.stringify(value);
    const trimmed = value.trim();
    const text = PYTHON[trimmed] ?? trimmed;
    const found = valueIn(text);
    if (found === undefined) return JSON.stringify(value);
    return types === null || !isText || isOf(types, found) ? text : JSON.stringify(value);
  }

  /** The schema of an argument; undefined: any value. */
  propertyOf(key: string): JsonSchema | undefined {
    const { properties } = this.resolved(this.#schema);
    return isObject(properties) && Object.hasOwn(properties, key) ? (properties[key] as JsonSchema) : undefined;
  }

  /** The types of JSON that a schema allows; null: it does not say. */
  typesOf(schema: unknown, depth = 0): ReadonlySet<string> | null {
    if (depth > DEPTH) return null;
    const { type, enum: values, const: value, ...rest } = this.resolved(schema);
    if (typeof type === "string") return new Set([type]);
    if (Array.isArray(type)) return new Set(type as string[]);
    if (Array.isArray(values)) return new Set(values.map(typeOf));
    if (value !== undefined) return new Set([typeOf(value)]);
    for (const key of ALTERNATIVES) {
      const options = rest[key];
      if (!Array.isArray(options)) continue;
      const each = options.map((option) => this.typesOf(option, depth + 1));
      return each.includes(null) ? null : new Set(each.flatMap((types) => [...types!]));
    }
    return null;
  }

  /** Follows `$ref` into the tool's own definitions. @returns {} of what says nothing by keywords */
  resolved(schema: unknown): Readonly<Record<string, unknown>> {
    let found = schema;
    for (let depth = 0; depth < DEPTH && isObject(found) && typeof found["$ref"] === "string"; depth++)
      found = partAt(this.#schema, found["$ref"]);
    return isObject(found) ? found : {};
  }
}

/** @param reference a JSON pointer behind `#` */
function partAt(schema: JsonSchema, reference: string): unknown {
  let found: unknown = schema;
  for (const part of reference.replace(/^#\/?/, "").split("/").filter(Boolean)) {
    const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
    found = isObject(found) && Object.hasOwn(found, key) ? found[key] : undefined;
  }
  return found;
}

function typeOf(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
}

function isOf(types: ReadonlySet<string>, value: unknown): boolean {
  return types.has(typeOf(value)) || (types.has("integer") && Number.isInteger(value));
}
