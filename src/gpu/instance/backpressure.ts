/** Backpressure of the server behind a GPU: when it refuses a task because it is full, it is left alone for a while. */

/**
 * The least and the most seconds for which a server that has refused a task is left alone. The least also holds when it names no time. The
 * most holds whatever it says: it may have refused only this one, or its hour's quota may have been raised.
 */
const PAUSE = { least: 1, most: 60 };

/** A pause of so many seconds or more is always told. A busy server makes shorter ones every second. */
const LONG_PAUSE = 10;

/** Milliseconds between two reports of short pauses. */
const NOTE_INTERVAL = 60_000;

/** Events for its owner. */
export interface BackpressureEvents {
  /** `isFull` has changed. */
  changed(): void;
  /** It has become full, or has stopped being so, and why. A server that is full again and again for moments is reported once a minute. */
  note(event: "crowded" | "free", why: string): void;
}

export class Backpressure {
  readonly #events: BackpressureEvents;
  /** Set while it is left alone. */
  #timer: NodeJS.Timeout | null = null;
  /** Whether the last report said that it is full. */
  #noted = false;
  /** Milliseconds on the monotonic clock. */
  #notedAt = -Infinity;

  constructor(events: BackpressureEvents) {
    this.#events = events;
  }

  /** Whether it is left alone now. */
  get isFull(): boolean {
    return this.#timer !== null;
  }

  /**
   * It has refused a task, which is no failure. It is asked again after a while.
   * @param seconds as the server says; undefined: it does not
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

  /** It has done some work, or another task has left it: it is not full any more, whatever time it named. */
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
