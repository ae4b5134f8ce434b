/** Counts what comes again and again under a name, and forgets it when it stops. */

interface Entry {
  readonly count: number;
  /** Milliseconds of the clock. */
  readonly at: number;
}

/** Milliseconds after the last one for which they count. */
const KEPT = 900_000;
/** Names that are remembered at most: an attacker has as many as it likes. */
const MAX_NAMES = 10_000;

export class Tally {
  /** The one that came last is at the end. */
  readonly #entries = new Map<string, Entry>();
  readonly #now: () => number;

  /** @param now milliseconds of a clock that only goes forward */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** @returns how many there have been under this name, with this one */
  add(name: string): number {
    const count = this.get(name).count + 1;
    this.#entries.delete(name);
    this.#entries.set(name, { count, at: this.#now() });
    const oldest = this.#entries.keys().next().value;
    if (this.#entries.size > MAX_NAMES && oldest !== undefined) this.#entries.delete(oldest);
    return count;
  }

  /** How many there have been, and when the last one was. */
  get(name: string): Entry {
    const entry = this.#entries.get(name);
    return entry === undefined || this.#now() - entry.at > KEPT ? { count: 0, at: 0 } : entry;
  }

  forget(name: string): void {
    this.#entries.delete(name);
  }
}
