/**
 * How fast waiting tasks get slots, as the last starts show.
 *
 * Time counts only while a task waits, so that an idle night does not look like a slow queue. Tasks that leave without a
 * slot (canceled, too late) say nothing about the next ones, so they do not count as starts.
 */

/** Starts that are remembered. */
const WINDOW = 64;
/** The least number of seconds assumed for each task while fewer than two starts are known. */
const UNKNOWN_SECONDS = 10;
/** A day; a longer estimate would tell a client nothing more. */
const MAX_SECONDS = 86_400;

export class DrainRate {
  /** Milliseconds. */
  readonly #now: () => number;
  #waiting = 0;
  /** Milliseconds during which something waited, up to `#since`. */
  #busy = 0;
  /** When something began to wait; it counts while something does. */
  #since = 0;
  /** When the last starts were, measured as the time during which a task waited. */
  readonly #starts: number[] = [];
  #next = 0;

  /** @param now the server's clock, in milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** One task begins to wait. */
  enters(): void {
    if (this.#waiting++ === 0) this.#since = this.#now();
  }

  /** One task leaves the queue, for whatever reason. */
  leaves(): void {
    if (--this.#waiting === 0) this.#busy += this.#sinceThen();
  }

  /** One task that has waited gets a slot. */
  starts(): void {
    this.#starts[this.#next] = this.#time();
    this.#next = (this.#next + 1) % WINDOW;
  }

  /** Whole seconds, 1 to 86,400, until so many more tasks will probably have got slots. */
  secondsFor(places: number): number {
    const now = this.#time();
    const count = this.#starts.length;
    const last = count === 0 ? 0 : this.#starts[(this.#next + WINDOW - 1) % WINDOW]!;
    const oldest = count < WINDOW ? (this.#starts[0] ?? 0) : this.#starts[this.#next]!;
    // n starts have n − 1 pauses between them. The time since the last one counts too, so that a stall shows.
    const each = count < 2 ? Math.max(UNKNOWN_SECONDS * 1000, now) : (now - oldest) / (count - 1);
    // After a long time without a start, the next one is probably not nearer than that.
    const seconds = Math.max(places * each, now - last) / 1000;
    return Math.min(MAX_SECONDS, Math.max(1, Math.ceil(seconds)));
  }

  /** Milliseconds during which something waited. */
  #time(): number {
    return this.#busy + (this.#waiting > 0 ? this.#sinceThen() : 0);
  }

  /** Never below 0, also where a clock was set back. */
  #sinceThen(): number {
    return Math.max(0, this.#now() - this.#since);
  }
}
