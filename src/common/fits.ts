/**
 * Whether a value fits a schema, found out by walking both. Ajv compiles the schema of the configuration first, which was a tenth of a
 * server's start; and the thousand names in what it writes used up V8's room for the shapes of small objects, so that every request cost more.
 * Nearly every configuration fits: Ajv is for those that do not, and says what is wrong.
 */
import { isDeepStrictEqual } from "node:util";

interface Schema {
  readonly [keyword: string]: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly patternProperties?: Readonly<Record<string, Schema>>;
  readonly then?: Schema;
  readonly else?: Schema;
}

type Fields = Record<string, unknown>;

/** Keywords that forbid nothing. `properties` has its defaults filled in before; `then` and `else` belong to `if`. */
const NOTES = new Set([
  "description",
  "examples",
  "default",
  "allowed",
  "secret",
  "alsoCalled",
  "shorthand",
  "live",
  "then",
  "else",
]);

const IS: Readonly<Record<string, (value: unknown) => boolean>> = {
  object: isObject,
  array: Array.isArray,
  string: (value) => typeof value === "string",
  number: Number.isFinite,
  integer: Number.isInteger,
  boolean: (value) => typeof value === "boolean",
  null: (value) => value === null,
};

/** The rule of each keyword for a value. Rules about one type ask nothing of another. */
const RULES: Readonly<Record<string, (wanted: never, value: unknown, schema: Schema, fills: boolean) => boolean>> = {
  type: (wanted: string | string[], value) => [wanted].flat().some((name) => IS[name]?.(value) ?? false),
  const: (wanted, value) => isDeepStrictEqual(wanted, value),
  enum: (wanted: unknown[], value) => wanted.includes(value),
  minimum: (wanted: number, value) => typeof value !== "number" || value >= wanted,
  exclusiveMinimum: (wanted: number, value) => typeof value !== "number" || value > wanted,
  maximum: (wanted: number, value) => typeof value !== "number" || value <= wanted,
  minLength: (wanted: number, value) => typeof value !== "string" || [...value].length >= wanted,
  maxLength: (wanted: number, value) => typeof value !== "string" || [...value].length <= wanted,
  maxBytes: (wanted: number, value) => typeof value !== "string" || Buffer.byteLength(value) <= wanted,
  pattern: (wanted: string, value) => typeof value !== "string" || new RegExp(wanted, "u").test(value),
  minItems: (wanted: number, value) => !Array.isArray(value) || value.length >= wanted,
  uniqueItems: (_wanted, value) =>
    !Array.isArray(value) || (value.every(isPlain) && new Set(value).size === value.length),
  items: (wanted: Schema, value, _, fills) => !Array.isArray(value) || value.every((item) => fits(wanted, item, fills)),
  required: (wanted: string[], value) => !isObject(value) || wanted.every((name) => value[name] !== undefined),
  properties: (wanted: Readonly<Record<string, Schema>>, value, _, fills) =>
    !isObject(value) ||
    Object.entries(wanted).every(([name, inner]) => value[name] === undefined || fits(inner, value[name], fills)),
  patternProperties: (wanted: Readonly<Record<string, Schema>>, value, _, fills) =>
    !isObject(value) ||
    Object.entries(wanted).every(([pattern, inner]) =>
      Object.keys(value).every((name) => !new RegExp(pattern, "u").test(name) || fits(inner, value[name], fills)),
    ),
  additionalProperties: (wanted, value, schema) =>
    !isObject(value) || (wanted === false && Object.keys(value).every((name) => isNamed(schema, name))),
  anyOf: (wanted: Schema[], value) => wanted.some((one) => fits(one, value, false)),
  if: (wanted: Schema, value, schema, fills) =>
    fits((fits(wanted, value, false) ? schema.then : schema.else) ?? {}, value, fills),
};

/**
 * @param value gets its defaults
 * @param fills whether it does; not where another alternative may be meant
 * @returns true: Ajv would say so, too; false: it does not fit, or Ajv has to be asked
 */
export function fits(schema: object, value: unknown, fills = true): boolean {
  const asked = schema as Schema;
  if (fills && isObject(value)) fillIn(asked.properties ?? {}, value);
  return Object.entries(asked).every(
    ([keyword, wanted]) => NOTES.has(keyword) || (RULES[keyword]?.(wanted as never, value, asked, fills) ?? false),
  );
}

function fillIn(properties: Readonly<Record<string, Schema>>, value: Fields): void {
  for (const [name, inner] of Object.entries(properties))
    if (value[name] === undefined && inner["default"] !== undefined) value[name] = structuredClone(inner["default"]);
}

function isNamed({ properties = {}, patternProperties = {} }: Schema, name: string): boolean {
  return (
    Object.hasOwn(properties, name) ||
    Object.keys(patternProperties).some((pattern) => new RegExp(pattern, "u").test(name))
  );
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Equal to another one only if it is the same. */
function isPlain(value: unknown): boolean {
  return typeof value !== "object" || value === null;
}
