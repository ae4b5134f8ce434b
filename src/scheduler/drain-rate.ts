/** How fast slots free up, from the last tasks that ended. */

/** Ends that are remembered. */
const WINDOW = 64;
/** Without any end to go by. */
const UNKNOWN_SECONDS = 10;
const MAX_SECONDS = 300;

export class DrainRate {
  readonly #now: () => number;
  readonly #ends: number[] = [];
  #next = 0;

  /** @param now Unix milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Counts one task that ended now. */
  count(): void {
    this.#ends[this.#next] = this.#now();
    this.#next = (this.#next + 1) % WINDOW;
  }

  /** Whole seconds, 1 to 300, until `places` more slots have probably freed up. */
  secondsFor(places: number): number {
    if (this.#ends.length === 0) return UNKNOWN_SECONDS;
    const oldest = this.#ends.length < WINDOW ? this.#ends[0]! : this.#ends[this.#next]!;
    // n ends have n − 1 pauses between them; what has passed since the last one counts, so that a stall shows.
    const secondsEach = (this.#now() - oldest) / 1000 / Math.max(1, this.#ends.length - 1);
    return Math.min(MAX_SECONDS, Math.max(1, Math.ceil(places * secondsEach)));
  }
}
