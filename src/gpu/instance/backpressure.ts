/** Whether the server behind a GPU has room for tasks, as far as it has shown: it refuses some for lack of it, and says for how long. */

/**
 * Seconds for which a server that has refused a task is left alone: at least, and when it does not say for how long; and at most, whatever it
 * says, as it may have refused only this one, or its hour's quota may have been raised.
 */
const PAUSE = { least: 1, most: 60 };

/** Seconds from which on a pause is always told; shorter ones come every second with a busy server. */
const LONG_PAUSE = 10;

/** Milliseconds between two times that a short one is told. */
const NOTE_INTERVAL = 60_000;

/** Events for its owner. */
export interface BackpressureEvents {
  /** `isFull` has changed. */
  changed(): void;
  /** It has become full, or has room again, and why; of a server that is full again and again for a moment, once a minute. */
  note(event: "crowded" | "free", why: string): void;
}

export class Backpressure {
  readonly #events: BackpressureEvents;
  /** Set while it is left alone. */
  #timer: NodeJS.Timeout | null = null;
  /** Whether it was told that it is full, and not yet that it has room again. */
  #noted = false;
  /** Milliseconds on the monotonic clock. */
  #notedAt = -Infinity;

  constructor(events: BackpressureEvents) {
    this.#events = events;
  }

  /** Whether it is not to be asked now. */
  get isFull(): boolean {
    return this.#timer !== null;
  }

  /**
   * It has refused a task. That is no failure; it is asked again after a while.
   * @param seconds as it says itself; undefined: it does not
   * @returns seconds after which it is asked again
   */
  refused(seconds: number | undefined, sentence: string): number {
    const pause = Math.min(Math.max(seconds ?? PAUSE.least, PAUSE.least), PAUSE.most);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.askAgain(), pause * 1000);
    this.#note(pause, `${sentence} It is asked again in ${Math.ceil(pause)} s.`);
    this.#events.changed();
    return pause;
  }

  /** It has done some work, or another task has left it: there is room, whatever it said of seconds. */
  hasRoom(): void {
    if (this.#noted) this.#events.note("free", "Its server has room again.");
    this.#noted = false;
    this.askAgain();
  }

  /** The next task may try, without regard to earlier refusals. */
  askAgain(): void {
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#events.changed();
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #note(pause: number, why: string): void {
    const now = performance.now();
    if (pause < LONG_PAUSE && now - this.#notedAt < NOTE_INTERVAL) return;
    this.#noted = true;
    this.#notedAt = now;
    this.#events.note("crowded", why);
  }
}
