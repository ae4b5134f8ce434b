/**
 * The part of TypeBox that is used: JSON Schemas, each with its type. The types are TypeBox's own; the code that makes the schemas is here,
 * because its library is hundreds of modules, and loading those was a quarter of a start. A test holds both to the same schemas
 * (schema-types.test.ts).
 */
import type { Type as TypeBox } from "typebox";

export type { Static, TObject, TSchema, TSchemaOptions } from "typebox";

type Schema = Readonly<Record<string, unknown>>;

type Made =
  | "Array"
  | "Boolean"
  | "Enum"
  | "Integer"
  | "Literal"
  | "Null"
  | "Number"
  | "Object"
  | "Omit"
  | "Optional"
  | "Partial"
  | "Record"
  | "String"
  | "Union"
  | "Unknown"
  | "Unsafe";

/** Marks what an object may lack; a schema has no word for it. Not seen by what copies or writes a schema. */
const OPTIONAL = "~optional";

const ANY_KEY = "^.*$";

function optional(schema: Schema): Schema {
  const properties = Object.getOwnPropertyDescriptors(schema);
  return Object.defineProperty(Object.defineProperties({}, properties), OPTIONAL, { value: true }) as Schema;
}

function objectOf(properties: Readonly<Record<string, Schema>>, options?: Schema): Schema {
  const required = Object.keys(properties).filter((key) => !(OPTIONAL in properties[key]!));
  return { type: "object", ...(required.length > 0 && { required }), properties, ...options };
}

function mapped(
  { properties }: { readonly properties: Readonly<Record<string, Schema>> },
  change: (schema: Schema, key: string) => readonly Schema[],
): Schema {
  const entries = Object.entries(properties);
  return objectOf(
    Object.fromEntries(entries.flatMap(([key, schema]) => change(schema, key).map((made) => [key, made]))),
  );
}

type Parts = Parameters<typeof mapped>[0];

const makers: Readonly<Record<Made, (...given: never[]) => Schema>> = {
  Array: (items: Schema, options?: Schema) => ({ type: "array", items, ...options }),
  Boolean: (options?: Schema) => ({ type: "boolean", ...options }),
  Enum: (values: readonly unknown[], options?: Schema) => ({ enum: values, ...options }),
  Integer: (options?: Schema) => ({ type: "integer", ...options }),
  Literal: (value: unknown, options?: Schema) => ({ type: typeof value, const: value, ...options }),
  Null: (options?: Schema) => ({ type: "null", ...options }),
  Number: (options?: Schema) => ({ type: "number", ...options }),
  Object: objectOf,
  Omit: (object: Parts, keys: readonly string[]) =>
    mapped(object, (schema, key) => (keys.includes(key) ? [] : [schema])),
  Optional: optional,
  Partial: (object: Parts) => mapped(object, (schema) => [optional(schema)]),
  Record: (_key: Schema, value: Schema, options?: Schema) => ({
    type: "object",
    patternProperties: { [ANY_KEY]: value },
    ...options,
  }),
  String: (options?: Schema) => ({ type: "string", ...options }),
  Union: (anyOf: readonly Schema[], options?: Schema) => ({ anyOf, ...options }),
  Unknown: (options?: Schema) => ({ ...options }),
  Unsafe: (schema: Schema) => schema,
};

export const Type = makers as unknown as Pick<typeof TypeBox, Made>;
