/** Checks values against a schema: what the grammar leaves looser is found afterwards. */
import { type FormatsPlugin } from "ajv-formats";
import addFormats from "ajv-formats";
import { Ajv2020 } from "ajv/dist/2020.js";
import { isObject, type JsonObject } from "./schema-node.ts";

/** Digits that a quotient may be off: no divisor like 0.01 has an exact double. */
const DIVISION_DIGITS = 6;

/** What is wrong with a value, as a sentence; null where nothing is. */
export type Check = (value: unknown) => string | null;

/**
 * Checks values by a schema of any draft from 4 on; unknown keywords and formats ask for nothing.
 * @throws Error where the schema is none
 */
export function checkOf(schema: unknown): Check {
  const ajv = new Ajv2020({
    strict: false,
    validateSchema: false,
    validateFormats: true,
    multipleOfPrecision: DIVISION_DIGITS,
    logger: false,
  });
  // The package is CommonJS: its types give the module where Node gives the function.
  (addFormats as unknown as FormatsPlugin)(ajv);
  const validate = compiled(ajv, schema);
  return (value) => (validate(value) === true ? null : ajv.errorsText(validate.errors, { dataVar: "the answer" }));
}

function compiled(ajv: Ajv2020, schema: unknown): ReturnType<Ajv2020["compile"]> {
  const modern = modernised(schema, false);
  try {
    return ajv.compile(modern as JsonObject | boolean);
  } catch (error) {
    // Patterns of old schemas may have escapes that Unicode's rules refuse.
    if (!(error instanceof SyntaxError)) throw error;
    const old = new Ajv2020({ ...ajv.opts, unicodeRegExp: false });
    (addFormats as unknown as FormatsPlugin)(old);
    return old.compile(modern as JsonObject | boolean);
  }
}

const MAPS = new Set(["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"]);
const DATA = new Set(["enum", "const", "default", "examples", "example"]);

/** The schema in the words of 2020-12. @param map whether the value holds schemas by name */
function modernised(value: unknown, map: boolean): unknown {
  if (Array.isArray(value)) return value.map((item) => modernised(item, false));
  if (!isObject(value)) return value;
  const entries = Object.entries(value).map(([key, child]): [string, unknown] => [
    key,
    !map && DATA.has(key) ? child : modernised(child, !map && MAPS.has(key)),
  ]);
  return map ? Object.fromEntries(entries) : modernKeywords(Object.fromEntries(entries));
}

function modernKeywords({ $schema, id, ...schema }: JsonObject): JsonObject {
  const { exclusiveMinimum, exclusiveMaximum, items, additionalItems, ...rest } = schema;
  const modern: Record<string, unknown> = { ...rest };
  if (typeof id === "string" && modern["$id"] === undefined) modern["$id"] = id;
  if (Array.isArray(items)) {
    modern["prefixItems"] = items;
    if (additionalItems !== undefined) modern["items"] = additionalItems;
  } else if (items !== undefined) modern["items"] = items;
  for (const [keyword, bound, value] of [
    ["exclusiveMinimum", "minimum", exclusiveMinimum],
    ["exclusiveMaximum", "maximum", exclusiveMaximum],
  ] as const) {
    if (value === true) {
      modern[keyword] = modern[bound];
      delete modern[bound];
    } else if (value !== undefined && value !== false) modern[keyword] = value;
  }
  void $schema;
  return modern;
}
