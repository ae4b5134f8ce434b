/**
 * Texts of models, users and servers must not reach a terminal as they are: a terminal obeys control characters, and characters of
 * another direction turn its lines around.
 */

const UNSAFE = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu;
const UNSAFE_IN_TEXT = /(?![\n\t])[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu;
const REPLACEMENT = "\ufffd";

/** A value as JSON has it, with all its texts fit for one line of a terminal. */
export function legible<T>(value: T): T {
  return JSON.parse(JSON.stringify(value), (_key, part: unknown) =>
    typeof part === "string" ? part.replace(UNSAFE, REPLACEMENT) : part,
  ) as T;
}

/** A text of several lines. Carriage returns are left out: alone one would have the line overwritten. */
export function legibleText(text: string): string {
  return text.replaceAll("\r", "").replace(UNSAFE_IN_TEXT, REPLACEMENT);
}

/** The same value in JSON, with whatever a terminal would obey written as an escape. @param space as of `JSON.stringify` */
export function jsonText(value: unknown, space?: number): string {
  // JSON has no raw control characters inside of texts but those from 0x7f on; line feeds between them are JSON's own.
  return JSON.stringify(value, null, space).replace(UNSAFE_IN_TEXT, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
