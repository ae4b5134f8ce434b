/** Checks values against a schema: what the grammar leaves looser is found afterwards. */
import type { FormatsPlugin } from "ajv-formats";
import addFormats from "ajv-formats";
import { Ajv2020 } from "ajv/dist/2020.js";
import { isObject, type JsonObject } from "./schema-node.ts";

/** Digits that a quotient may be off: no divisor like 0.01 has an exact double. */
const DIVISION_DIGITS = 6;

/** The name of a schema of which a part counts. */
const WHOLE = "schema:whole";

/** Returns the faults of a value, as a sentence; null where it has none. */
export type Check = (value: unknown) => string | null;

/**
 * Checks values by a schema of any draft from 4 on; unknown keywords and formats ask for nothing.
 * @param part a JSON pointer to the part of the schema that counts
 * @throws Error where the schema is none
 */
export function checkOf(schema: unknown, part = ""): Check {
  const { ajv, validate } = compiled(schema, part);
  return (value) => (validate(value) === true ? null : ajv.errorsText(validate.errors, { dataVar: "the answer" }));
}

interface Compiled {
  readonly ajv: Ajv2020;
  readonly validate: ReturnType<Ajv2020["compile"]>;
}

/**
 * Old schemas may have escapes in patterns that Unicode's rules refuse, and use `id` for labels that no reference means: they are read by older
 * rules when the new ones refuse them.
 */
function compiled(schema: unknown, part: string): Compiled {
  let first: unknown;
  for (const ids of [true, false]) {
    for (const unicode of [true, false]) {
      try {
        const ajv = newAjv(unicode);
        const modern = modernised(schema, { ids, map: false }) as JsonObject | boolean;
        if (part === "") return { ajv, validate: ajv.compile(modern) };
        ajv.addSchema(modern, WHOLE);
        return { ajv, validate: ajv.compile({ $ref: `${WHOLE}#${part}` }) };
      } catch (error) {
        first ??= error;
      }
    }
  }
  throw first;
}

function newAjv(unicode: boolean): Ajv2020 {
  const ajv = new Ajv2020({
    strict: false,
    validateSchema: false,
    validateFormats: true,
    multipleOfPrecision: DIVISION_DIGITS,
    unicodeRegExp: unicode,
    // An inlined `contains` keeps its last verdict for an empty list (Ajv 8.20).
    inlineRefs: false,
    logger: false,
  });
  // The package is CommonJS: its types give the module where Node gives the function.
  (addFormats as unknown as FormatsPlugin)(ajv);
  return ajv;
}

const MAPS = new Set(["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"]);
const DATA = new Set(["enum", "const", "default", "examples", "example"]);

interface Reading {
  /** Whether the value holds schemas by name. */
  readonly map: boolean;
  /** Whether schemas have addresses of their own. */
  readonly ids: boolean;
}

/** The schema in the words of 2020-12. */
function modernised(value: unknown, { map, ids }: Reading): unknown {
  if (Array.isArray(value)) return value.map((item) => modernised(item, { map: false, ids }));
  if (!isObject(value)) return value;
  const entries = Object.entries(value).map(([key, child]): [string, unknown] => [
    key,
    !map && DATA.has(key) ? child : modernised(child, { map: !map && MAPS.has(key), ids }),
  ]);
  return map ? Object.fromEntries(entries) : modernKeywords(Object.fromEntries(entries), ids);
}

function modernKeywords(schema: JsonObject, ids: boolean): JsonObject {
  const {
    $schema: _,
    $async: __,
    $id,
    id,
    exclusiveMinimum,
    exclusiveMaximum,
    items,
    additionalItems,
    ...rest
  } = schema;
  const modern: Record<string, unknown> = { ...rest };
  const address = typeof $id === "string" ? $id : id;
  if (ids && typeof address === "string") modern["$id"] = address;
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
  return modern;
}
