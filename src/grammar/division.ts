/**
 * Characters in classes: all of one class do the same to a language (the derivative classes of Owens, Reppy and Turon 2009). A property of
 * Unicode has hundreds of ranges and makes two classes, so that what is done is done twice and not for each range.
 */
import { type CharSet, charSet, intersectionOf, TEXT_CHARS } from "./charset.ts";
import type { Work } from "./limits.ts";

export interface Division {
  /** The first character of each range; the first one is 0. */
  readonly cuts: readonly number[];
  /** The class of each range. */
  readonly classes: readonly number[];
  /** The first character of each class. */
  readonly first: readonly number[];
}

/** All characters are of one class. */
export const UNDIVIDED: Division = { cuts: [0], classes: [0], first: [0] };

/** Ranges that are gone through in a step. */
const RANGES_IN_STEP = 64;

/** The class of a character. */
export function classOf({ cuts, classes }: Division, char: number): number {
  let low = 0;
  let high = cuts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (cuts[middle]! <= char) low = middle + 1;
    else high = middle;
  }
  return classes[low - 1]!;
}

/** By set: those of Unicode's properties are large, and are met in every state of a pattern. */
const known = new WeakMap<CharSet, Division>();

/** The characters in a set, and those that are not. */
export function divisionOf(set: CharSet): Division {
  const made = known.get(set) ?? divided(set);
  known.set(set, made);
  return made;
}

function divided(set: CharSet): Division {
  const cuts = set.map((edge, at) => (at % 2 === 0 ? edge : edge + 1));
  return numbered(set[0] === 0 ? cuts : [0, ...cuts], (at) => String(at % 2));
}

/** Each of these characters by itself, and all others. */
export function singled(chars: readonly number[]): Division {
  const single = new Set(chars);
  const cuts = new Set([0]);
  for (const char of single) cuts.add(char).add(char + 1);
  return numbered(ascending(cuts), (_at, cut) => (single.has(cut) ? String(cut) : ""));
}

/** Each range by itself. */
export function dividedAt(cuts: readonly number[]): Division {
  return numbered(ascending(new Set([0, ...cuts])), String);
}

function ascending(numbers: ReadonlySet<number>): number[] {
  return [...numbers].toSorted((one, other) => one - other);
}

/** @param nameOf ranges of one name are of one class */
function numbered(cuts: readonly number[], nameOf: (at: number, cut: number) => string): Division {
  const numbers = new Map<string, number>();
  const first: number[] = [];
  const classes = cuts.map((cut, at) => {
    const name = nameOf(at, cut);
    const number = numbers.get(name) ?? numbers.size;
    if (number === first.length) first.push(cut);
    numbers.set(name, number);
    return number;
  });
  return { cuts, classes, first };
}

/** Makes divisions of divisions, and keeps them. */
export class Divisions {
  readonly #work: Work;
  readonly #ids = new Map<Division, number>();
  readonly #products = new Map<string, Division>();

  constructor(work: Work) {
    this.#work = work;
  }

  /** Characters of one class in all of them are of one class. */
  product(all: readonly Division[]): Division {
    const parts = [...new Set(all)].filter((one) => one.first.length > 1);
    if (parts.length === 0) return UNDIVIDED;
    if (parts.length === 1) return parts[0]!;
    const key = parts
      .map((one) => this.#idOf(one))
      .toSorted((one, other) => one - other)
      .join();
    const product = this.#products.get(key) ?? this.#multiplied(parts);
    this.#products.set(key, product);
    return product;
  }

  #idOf(division: Division): number {
    const id = this.#ids.get(division) ?? this.#ids.size;
    this.#ids.set(division, id);
    return id;
  }

  #multiplied(parts: readonly Division[]): Division {
    const cuts = ascending(new Set(parts.flatMap((part) => part.cuts)));
    this.#work.step(1 + Math.floor((cuts.length * parts.length) / RANGES_IN_STEP));
    const at = parts.map(() => 0);
    return numbered(cuts, (_at, cut) =>
      parts
        .map(({ cuts: own, classes }, part) => {
          while (own[at[part]! + 1]! <= cut) at[part]!++;
          return classes[at[part]!];
        })
        .join(),
    );
  }
}

const sets = new WeakMap<Division, Map<string, CharSet>>();

/** The characters of some classes, in ascending order, that a text can have; the same object for the same classes. */
export function textCharsIn(division: Division, classes: readonly number[]): CharSet {
  const own = sets.get(division) ?? new Map<string, CharSet>();
  sets.set(division, own);
  const key = classes.join();
  const set = own.get(key) ?? collected(division, new Set(classes));
  own.set(key, set);
  return set;
}

function collected({ cuts, classes }: Division, wanted: ReadonlySet<number>): CharSet {
  const ranges = cuts.flatMap((from, at): [number, number][] =>
    wanted.has(classes[at]!) ? [[from, (cuts[at + 1] ?? Infinity) - 1]] : [],
  );
  return intersectionOf(charSet(ranges), TEXT_CHARS);
}
