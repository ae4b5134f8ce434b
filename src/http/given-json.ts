/** JSON within a request that goes on as it is: what would break whoever reads it later is refused. */
import { AltLasError } from "../errors.ts";

/** Lists and objects within each other. The code that writes and reads JSON has no room on the stack for many thousands. */
const MAX_DEPTH = 100;

/** A value within another one; the whole has no key. */
interface Place {
  readonly value: unknown;
  readonly key: string;
  readonly outer: Place | null;
  readonly depth: number;
}

/** Found fit: what stands beside a batch is the same value in all its items. */
const fit = new WeakMap<object, number>();

/**
 * Goes through it without a call for each level, as it may have any depth. It is not to be changed afterwards.
 * @param field how the client calls it
 * @param maxBytes of it in UTF-8, written as JSON
 * @throws {AltLasError} `invalid_input`: it is too deep or too large, or has half a character; the sentence says where
 */
export function refuseUnfitJson(value: object | boolean, field: string, maxBytes: number): void {
  const known = typeof value === "object" ? fit.get(value) : undefined;
  const bytes = known ?? bytesOf(value, field);
  if (bytes > maxBytes) {
    const sentence = `${field} must be at most ${maxBytes} bytes as JSON; got ${bytes} bytes.`;
    throw new AltLasError("invalid_input", sentence, { param: field });
  }
  if (typeof value === "object") fit.set(value, bytes);
}

function bytesOf(value: unknown, field: string): number {
  const rest: Place[] = [{ value, key: "", outer: null, depth: 0 }];
  for (let place = rest.pop(); place !== undefined; place = rest.pop()) {
    if (typeof place.value === "string" && !place.value.isWellFormed()) throw unfit(field, place, HALF);
    if (place.value === null || typeof place.value !== "object") continue;
    const depth = place.depth + 1;
    if (depth > MAX_DEPTH) throw unfit(field, place, `has more than ${MAX_DEPTH} lists and objects within each other`);
    for (const [key, inner] of Object.entries(place.value)) {
      const next: Place = { value: inner, key, outer: place, depth };
      if (!key.isWellFormed()) throw unfit(field, next, HALF);
      rest.push(next);
    }
  }
  return Buffer.byteLength(JSON.stringify(value));
}

const HALF = "has half of a surrogate pair, which is no character";

function unfit(field: string, place: Place, why: string): AltLasError {
  const pointer = pointerOf(place);
  const at = pointer === "" ? "" : ` at ${pointer}`;
  return new AltLasError("invalid_input", `${field}${at} ${why}.`, { param: field });
}

/** Characters of a pointer in a sentence. */
const LONGEST_POINTER = 200;

/** RFC 6901. */
function pointerOf(place: Place): string {
  let pointer = "";
  for (let one = place; one.outer !== null && pointer.length <= LONGEST_POINTER; one = one.outer)
    pointer = `/${one.key.toWellFormed().replaceAll("~", "~0").replaceAll("/", "~1")}${pointer}`;
  return pointer.length > LONGEST_POINTER ? `…${pointer.slice(-LONGEST_POINTER)}` : pointer;
}
