/** Reads values of JSON without understanding them: where one ends is all that counts, until it is whole. */
import type { Reading, Source } from "./source.ts";

const [QUOTE, BACKSLASH] = ['"'.charCodeAt(0), "\\".charCodeAt(0)];
const OPENING = new Set([..."{["].map((char) => char.charCodeAt(0)));
const CLOSING = new Set([..."}]"].map((char) => char.charCodeAt(0)));
/** Of a number, or of `true`, `false` and `null`. */
const WORD = /[\w.+-]/;

/** Takes a string with its quotes. @returns null: none stands here, or it has no end */
export function* jsonString(source: Source): Reading<string | null> {
  return (yield* source.next()) === '"' ? yield* nested(source, () => {}) : null;
}

/** Takes a value. @param told hears it piece by piece @returns null: none stands here, or it has no end */
export function* jsonValue(source: Source, told: (piece: string) => void = () => {}): Reading<string | null> {
  const first = yield* source.next();
  if (first === "{" || first === "[" || first === '"') return yield* nested(source, told);
  const word = yield* source.all(WORD);
  if (word !== "") told(word);
  return word === "" ? null : word;
}

/** Takes what an opening bracket or a quote begins, up to what closes it. */
function* nested(source: Source, told: (piece: string) => void): Reading<string | null> {
  const from = source.at;
  let [depth, inString, isEscaped] = [0, false, false];
  for (;;) {
    const begun = source.at;
    let isWhole = false;
    while (source.at < source.text.length && !isWhole) {
      const unit = source.text.charCodeAt(source.at++);
      if (isEscaped) isEscaped = false;
      else if (inString) {
        if (unit === BACKSLASH) isEscaped = true;
        else if (unit === QUOTE) inString = false;
      } else if (unit === QUOTE) inString = true;
      else if (OPENING.has(unit)) depth++;
      else if (CLOSING.has(unit)) depth--;
      isWhole = depth === 0 && !inString;
    }
    if (source.at > begun) told(source.text.slice(begun, source.at));
    if (isWhole) return source.text.slice(from, source.at);
    if (source.hasEnded) return null;
    yield;
  }
}
