/** Ends a line for readers that follow Unicode (Python's `splitlines`); JSON escapes the others, and leaves these as they are. */
const LINE_ENDS = /[\u0085\u2028\u2029]/g;

/** JSON without a character at which any reader would break a line, for protocols of lines: events and NDJSON. */
export function jsonLine(value: object | string): string {
  return JSON.stringify(value).replace(
    LINE_ENDS,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
