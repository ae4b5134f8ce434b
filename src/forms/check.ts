/** Checks texts against schemas. Its libraries are loaded with it: the time of a question must not count that. */
import { Kept } from "../common/kept.ts";
import { messageOf } from "../errors.ts";
import { type Check, checkOf } from "../grammar/check.ts";

/** By the schema as JSON: programs ask for the same few. */
const kept = new Kept<Check>(16);

/** Returns the mismatch as a sentence; null: the text is JSON that matches. @param schema as JSON */
export function checked(schema: string, text: string): string | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "The answer is no JSON.";
  }
  let check: Check;
  try {
    check = kept.get(schema, () => checkOf(JSON.parse(schema)));
  } catch (error) {
    return `The answer could not be checked against its schema: ${messageOf(error)}.`;
  }
  const wrong = check(value);
  return wrong === null ? null : `The answer does not match its schema: ${wrong}.`;
}
