/** Whether the server behind a GPU has room for tasks, as far as it has shown: it refuses some for lack of it, and says for how long. */

/** Seconds for which a server that has refused a task is left alone at least, and when it does not say for how long. */
const PAUSE_SECONDS = 1;

/** Milliseconds between two times that it is told to have become full: with a busy server that may be every second. */
const NOTE_INTERVAL = 60_000;

/** What its owner is told. */
export interface FullnessEvents {
  /** `isFull` has changed. */
  changed(): void;
  /** It has become full, or has room again, and why; once a minute at most, and not each time that it is asked again in between. */
  note(event: "crowded" | "free", why: string): void;
}

export class Fullness {
  readonly #events: FullnessEvents;
  /** Set while it is left alone. */
  #timer: NodeJS.Timeout | null = null;
  /** Whether it was told that it is full, and not yet that it has room again. */
  #noted = false;
  /** Milliseconds on the monotonic clock. */
  #notedAt = -Infinity;

  constructor(events: FullnessEvents) {
    this.#events = events;
  }

  /** Whether it is not to be asked now. */
  get isFull(): boolean {
    return this.#timer !== null;
  }

  /** It has refused a task. That is no failure; it is asked again after a while. @param seconds as it says itself; undefined: it does not */
  refused(seconds: number | undefined, sentence: string): void {
    const pause = Math.max(seconds ?? PAUSE_SECONDS, PAUSE_SECONDS);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.askAgain(), pause * 1000);
    this.#note(`${sentence} It is asked again in ${pause} s.`);
    this.#events.changed();
  }

  /** It has done some work, or another task has left it: there is room, whatever it said of seconds. */
  hasRoom(): void {
    if (this.#noted) this.#events.note("free", "Its server has room again.");
    this.#noted = false;
    this.askAgain();
  }

  /** Whatever it has said, the next task may try. */
  askAgain(): void {
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#events.changed();
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #note(why: string): void {
    const now = performance.now();
    if (this.#noted || now - this.#notedAt < NOTE_INTERVAL) return;
    this.#noted = true;
    this.#notedAt = now;
    this.#events.note("crowded", why);
  }
}
