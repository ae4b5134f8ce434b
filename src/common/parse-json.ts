/** From the bytes of a body, or of a line, to its value, at a cost that its sender cannot blow up. */
import { isUtf8 } from "node:buffer";
import { AltLasError, messageOf } from "../errors.ts";

const BYTE_ORDER_MARK = 0xfe_ff;
const QUOTE = 0x22;
const COMMA = 0x2c;
const BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const BRACE = 0x7b;

/**
 * The value of a body; null when there is none.
 * @param maxParts lists, objects and further members that the body may have. 64 MiB of "[" would take 12 seconds and gigabytes to parse
 * @param what it is called in sentences
 * @throws {AltLasError} `malformed_json`, or `invalid_input` for too many parts
 */
export function parseJson(body: Buffer, maxParts: number, what = "The body"): unknown {
  if (body.length === 0) return null;
  // Text in another encoding would otherwise become replacement characters, and the model would answer to those.
  if (!isUtf8(body)) throw new AltLasError("malformed_json", `${what} is not UTF-8.`);
  if (hasMoreParts(body, maxParts)) {
    const sentence = `${what} has more than ${maxParts} lists, objects and members, which no valid request has.`;
    throw new AltLasError("invalid_input", sentence);
  }
  const text = body.toString("utf8");
  try {
    return JSON.parse(text.charCodeAt(0) === BYTE_ORDER_MARK ? text.slice(1) : text);
  } catch (error) {
    throw new AltLasError("malformed_json", `${what} is not JSON: ${messageOf(error)}.`);
  }
}

/** Counts what begins a list, an object or a further member; what is in strings doesn't count. */
function hasMoreParts(body: Buffer, limit: number): boolean {
  // Nothing has more parts than bytes, so ordinary requests are not even looked at.
  if (body.length <= limit) return false;
  let parts = 0;
  let inString = false;
  for (let i = 0; i < body.length; i++) {
    const byte = body[i];
    if (byte === QUOTE) inString = !inString;
    else if (inString) i += byte === BACKSLASH ? 1 : 0;
    else if ((byte === COMMA || byte === BRACKET || byte === BRACE) && ++parts > limit) return true;
  }
  return false;
}
