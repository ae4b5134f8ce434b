/** The latest operators' events of this run, for readers who come later or come again. In memory only. */
import { randomBytes } from "node:crypto";
import { OPERATOR_EVENT, type OperatorEvent } from "../topics.ts";

/** Events that are kept. */
const SIZE = 1000;

/** One event, and its number: the first event of a run has 1. */
export interface Numbered {
  readonly number: number;
  readonly event: OperatorEvent;
}

export class EventRing {
  /** Names this run of the server: numbers of other runs say nothing here. */
  readonly run = randomBytes(6).toString("hex");
  readonly #size: number;
  /** Oldest first. */
  readonly #events: OperatorEvent[] = [];
  readonly #readers = new Set<() => void>();
  readonly #stop: () => void;
  /** The number of the newest event; 0: there was none yet. */
  #last = 0;

  /** Keeps what is told from now on. */
  constructor(size = SIZE) {
    this.#size = size;
    this.#stop = OPERATOR_EVENT.subscribe((event) => this.#add(event));
  }

  /** Keeps nothing from now on. */
  stop(): void {
    this.#stop();
  }

  get last(): number {
    return this.#last;
  }

  /** The number before that of the oldest event that is kept. */
  get before(): number {
    return this.#last - this.#events.length;
  }

  /** The events after a number, oldest first, as far as they are kept. */
  after(number: number): readonly Numbered[] {
    const first = Math.max(number, this.before);
    return this.#events.slice(first - this.before).map((event, index) => ({ number: first + index + 1, event }));
  }

  /** The number of the last event before a time; `before`: none is kept from before it. @param time Unix milliseconds */
  lastBefore(time: number): number {
    // The wall clock may have been set back between two events: those after the first that counts all count.
    const index = this.#events.findIndex(({ at }) => at >= time);
    return index === -1 ? this.#last : this.before + index;
  }

  /** Calls `reader` after each event, until what is returned is called. */
  follow(reader: () => void): () => void {
    this.#readers.add(reader);
    return () => void this.#readers.delete(reader);
  }

  #add(event: OperatorEvent): void {
    this.#last++;
    this.#events.push(event);
    if (this.#events.length > this.#size) this.#events.shift();
    for (const reader of this.#readers) reader();
  }
}
