/**
 * Callers in the order in which a free slot is offered to them: first the one that has had the least, among equals the one that waits
 * longest.
 */

/** Decides between callers that are equal in everything else. */
interface Ranked {
  readonly name: string;
  /** Unique. */
  readonly number: number;
}

/** A caller's place. */
export interface Rank<Caller extends Ranked> {
  readonly caller: Caller;
  /** Its tag. */
  readonly tag: number;
  /** The lowest `seq` that its waiting tasks may have. */
  readonly oldest: number;
}

export class Ranking<Caller extends Ranked> {
  readonly #ranks: Rank<Caller>[] = [];

  /** The highest tag; -Infinity: there is nobody. */
  get highest(): number {
    return this.#ranks.at(-1)?.tag ?? -Infinity;
  }

  add(rank: Rank<Caller>): void {
    this.#ranks.splice(this.#placeOf(rank), 0, rank);
  }

  remove(rank: Rank<Caller>): void {
    const place = this.#placeOf(rank);
    if (this.#ranks[place] !== rank) throw new Error(`${rank.caller.name} is not at its place`);
    this.#ranks.splice(place, 1);
  }

  [Symbol.iterator](): Iterator<Rank<Caller>> {
    return this.#ranks.values();
  }

  /** The first place that does not come before a rank. */
  #placeOf(rank: Rank<Caller>): number {
    let low = 0;
    let high = this.#ranks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isBefore(this.#ranks[middle]!, rank)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function isBefore(a: Rank<Ranked>, b: Rank<Ranked>): boolean {
  if (a.tag !== b.tag) return a.tag < b.tag;
  return a.oldest === b.oldest ? a.caller.number < b.caller.number : a.oldest < b.oldest;
}
