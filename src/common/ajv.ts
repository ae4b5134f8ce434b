/** Checks of values by our schemas. Apart from the sentences about what is wrong, which need no library. */
import { createRequire } from "node:module";
import type { Ajv, ErrorObject } from "ajv";
import { fits } from "./fits.ts";

const require = createRequire(import.meta.url);

/** Means nothing to Ajv: for sentences, hints and documents. */
const OUR_WORDS = ["allowed", "secret", "alsoCalled", "shorthand", "unsupported", "live"];

/**
 * An Ajv that fills in defaults and never changes a value's type.
 * @param options.allErrors goes on after the first misfit; not for what strangers send, who could send a million of them
 */
export function makeAjv({ allErrors = false } = {}): Ajv {
  // Loaded when something does not fit, or is asked often: it takes a hundredth of a start, and megabytes.
  const { Ajv: Loaded } = require("ajv") as typeof import("ajv");
  const ajv = new Loaded({
    allowUnionTypes: true,
    useDefaults: true,
    verbose: true,
    allErrors,
    keywords: OUR_WORDS,
    // Unknown words of ours are refused all the same. To check the schemas by that of all schemas would first have to compile that.
    validateSchema: false,
  });
  return ajv.addKeyword({
    keyword: "maxBytes",
    type: "string",
    schemaType: "number",
    validate: (limit: number, text: string) => Buffer.byteLength(text) <= limit,
  });
}

/** Whether a value fits a schema; then it has its defaults. Else `errors` says why not, until the next question. */
export interface Check {
  (value: unknown): boolean;
  errors?: ErrorObject[] | null;
}

let shared: Ajv | undefined;

/** A check that is compiled when something does not fit: most are not, in the life of a process. */
export function checkFor(schema: object): Check {
  let compiled: Check | undefined;
  const check: Check = (value) => {
    check.errors = null;
    if (fits(schema, value)) return true;
    compiled ??= (shared ??= makeAjv()).compile(schema);
    const isFitting = compiled(value);
    check.errors = compiled.errors ?? null;
    return isFitting;
  };
  return check;
}
