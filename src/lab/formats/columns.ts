/** Checks that the readers of all formats share: numbers and their bounds, in sentences that name the column. */

/** A value that is not as it has to be, in words that name its column. */
export class BadValue extends Error {}

/** The most tokens of a prompt or an answer. */
const MOST_TOKENS = 2 ** 31 - 1;

export function tokensOf(column: string, text: string | number | undefined): number {
  const tokens = numberOf(text);
  if (Number.isInteger(tokens) && tokens >= 0 && tokens <= MOST_TOKENS) return tokens;
  throw new BadValue(`${column} must be a number of tokens, an integer from 0 on; got ${quoted(text)}.`);
}

export function secondsOf(column: string, text: string | number | undefined): number {
  const seconds = numberOf(text);
  if (Number.isFinite(seconds) && seconds >= 0) return seconds;
  throw new BadValue(`${column} must be a time in seconds, a number from 0 on; got ${quoted(text)}.`);
}

function numberOf(text: string | number | undefined): number {
  if (typeof text === "number") return text;
  return text === undefined || text.trim() === "" ? Number.NaN : Number(text);
}

export function quoted(value: unknown): string {
  return value === undefined ? "no value" : JSON.stringify(value);
}
