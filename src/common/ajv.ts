/** What checks values by our schemas. Apart from the sentences about what is wrong, which need no library. */
import { Ajv } from "ajv";

/** Means nothing to Ajv: for sentences, hints and documents. */
const OUR_WORDS = ["allowed", "secret", "alsoCalled", "shorthand", "unsupported", "live"];

/**
 * An Ajv that fills in defaults and never changes a value's type.
 * @param options.allErrors goes on after the first misfit; not for what strangers send, who could send a million of them
 */
export function makeAjv({ allErrors = false } = {}): Ajv {
  const ajv = new Ajv({ allowUnionTypes: true, useDefaults: true, verbose: true, allErrors, keywords: OUR_WORDS });
  return ajv.addKeyword({
    keyword: "maxBytes",
    type: "string",
    schemaType: "number",
    validate: (limit: number, text: string) => Buffer.byteLength(text) <= limit,
  });
}
