/** Checks texts against schemas. */
import { messageOf } from "../errors.ts";
import { type Check } from "../grammar/check.ts";

/** Checks that are kept made: programs ask for the same few schemas again and again. */
const KEPT = 16;

/** By the schema as JSON; the least recently used first. */
const kept = new Map<string, Check>();

/** What does not match, as a sentence; null: the text is JSON that matches. @param schema as JSON */
export async function checked(schema: string, text: string): Promise<string | null> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "The answer is no JSON.";
  }
  let check: Check;
  try {
    check = await checkFor(schema);
  } catch (error) {
    return `The answer could not be checked against its schema: ${messageOf(error)}.`;
  }
  const wrong = check(value);
  return wrong === null ? null : `The answer does not match its schema: ${wrong}.`;
}

async function checkFor(schema: string): Promise<Check> {
  // Loaded where it is used: most threads only compile.
  const { checkOf } = await import("../grammar/check.ts");
  const check = kept.get(schema) ?? checkOf(JSON.parse(schema));
  kept.delete(schema);
  kept.set(schema, check);
  const [oldest] = kept.keys();
  if (kept.size > KEPT) kept.delete(oldest!);
  return check;
}
