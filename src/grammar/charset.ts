/** Sets of characters, by code point. */

/** First and last code point of each range, ascending; ranges neither meet nor touch. */
export type CharSet = readonly number[];

export const LAST = 0x10ffff;
export const NO_CHARS: CharSet = [];
export const ALL_CHARS: CharSet = [0, LAST];
/** UTF-8 cannot say the halves of a surrogate pair. */
const SURROGATES: CharSet = [0xd800, 0xdfff];
export const TEXT_CHARS: CharSet = without(ALL_CHARS, SURROGATES);

/** The set of ranges in any order, which may overlap. */
export function charSet(ranges: readonly (readonly [number, number])[]): CharSet {
  const sorted = ranges.filter(([from, to]) => from <= to).toSorted(([one], [other]) => one - other);
  const set: number[] = [];
  for (const [from, to] of sorted) {
    const last = set.length - 1;
    if (last > 0 && from <= set[last]! + 1) set[last] = Math.max(set[last]!, to);
    else set.push(from, to);
  }
  return set;
}

/** The set of the characters of a text. */
export function charsOf(text: string): CharSet {
  return charSet([...text].map((char) => [char.codePointAt(0)!, char.codePointAt(0)!]));
}

export function rangesOf(set: CharSet): (readonly [number, number])[] {
  return Array.from({ length: set.length / 2 }, (_, at) => [set[2 * at]!, set[2 * at + 1]!]);
}

export function unionOf(...sets: readonly CharSet[]): CharSet {
  return charSet(sets.flatMap(rangesOf));
}

export function complementOf(set: CharSet, last = LAST): CharSet {
  const found: number[] = [];
  let from = 0;
  for (const [first, end] of rangesOf(set)) {
    if (first > from) found.push(from, first - 1);
    from = end + 1;
  }
  if (from <= last) found.push(from, last);
  return found;
}

export function intersectionOf(one: CharSet, other: CharSet): CharSet {
  const found: number[] = [];
  for (let a = 0, b = 0; a < one.length && b < other.length;) {
    const from = Math.max(one[a]!, other[b]!);
    const to = Math.min(one[a + 1]!, other[b + 1]!);
    if (from <= to) found.push(from, to);
    if (one[a + 1]! < other[b + 1]!) a += 2;
    else b += 2;
  }
  return found;
}

export function without(one: CharSet, other: CharSet): CharSet {
  return intersectionOf(one, complementOf(other, Math.max(LAST, one.at(-1) ?? 0)));
}

export function hasChar(set: CharSet, char: number): boolean {
  let low = 0;
  let high = set.length / 2;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (set[2 * middle + 1]! < char) low = middle + 1;
    else high = middle;
  }
  return 2 * low < set.length && set[2 * low]! <= char;
}

const keys = new WeakMap<CharSet, string>();

/** Equal sets have equal keys. */
export function charsKey(set: CharSet): string {
  const key = keys.get(set) ?? set.join();
  keys.set(set, key);
  return key;
}

/** How many characters there are. */
export function sizeOf(set: CharSet): number {
  return rangesOf(set).reduce((sum, [from, to]) => sum + to - from + 1, 0);
}
