/** A timer for a time of the server's clock. */
import type { Clock } from "../common/clock.ts";

/** Milliseconds: the longest that a timer can wait. */
const LONGEST_TIMER = 2 ** 31 - 1;

export class AlarmTimer {
  readonly #clock: Clock;
  readonly #ring: () => void;
  #timer: NodeJS.Timeout | undefined;

  /** @param ring called at the time, or before it if that is many days ahead */
  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock;
    this.#ring = ring;
  }

  /** Replaces the time that was set before. @param at Infinity: never */
  set(at: number): void {
    clearTimeout(this.#timer);
    if (at === Infinity) return;
    this.#timer = setTimeout(this.#ring, Math.min(LONGEST_TIMER, Math.max(0, at - this.#clock.now())));
  }
}
