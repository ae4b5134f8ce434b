/** Large bodies are read as JSON, checked and stored only a few at a time: each takes up to twice its bytes of the heap until then. */
import { isAscii } from "node:buffer";
import { getHeapStatistics } from "node:v8";

const BACKSLASH = 0x5c;
/** Bytes from which on a body waits for its turn; smaller ones never wait. */
const LARGE = 256 * 1024;
/** Bytes of heap for all bodies that have their turn: this, or a quarter of what the heap may have where that is less. */
const DEFAULT_BUDGET = 128 * 2 ** 20;

/** @param largest bytes of the largest body that is taken; two that are not large can be counted where one largest fits */
export function isLarge(bytes: number, largest: number): boolean {
  return bytes >= Math.min(LARGE, largest / 2);
}

/**
 * Bytes that the value of a body takes of the heap at most. V8 keeps a text with two bytes a character as soon as one of them is not
 * Latin-1, and any text can have one.
 */
export function heapCostOf(body: Buffer): number {
  return isAscii(body) && !(body.includes(BACKSLASH) && body.includes("\\u")) ? body.length : 2 * body.length;
}

interface Waiting {
  readonly cost: number;
  /** null once it has begun: it holds the body. */
  begin: (() => void) | null;
}

/** The line of large bodies, in the order in which they were there. They wait as bytes, which lie outside the heap. */
export class BodyQueue {
  readonly #budget: number;
  #taken = 0;
  readonly #line = new Set<Waiting>();
  #looking = false;

  constructor(budget = Math.min(DEFAULT_BUDGET, Math.floor(getHeapStatistics().heap_size_limit / 4))) {
    this.#budget = budget;
  }

  /** Bytes of heap that those with a turn may take, and how many wait. */
  get state(): { readonly taken: number; readonly waiting: number } {
    return { taken: this.#taken, waiting: this.#line.size };
  }

  /**
   * @param begin called when it may begin, at once where nothing is before it; one alone may always, however large
   * @returns gives the turn back, or leaves the line. Calling it again is harmless
   */
  take(cost: number, begin: () => void): () => void {
    const turn: Waiting = { cost, begin };
    let left = false;
    this.#line.add(turn);
    if (this.#line.size === 1) this.#next();
    return () => {
      if (left) return;
      left = true;
      if (!this.#line.delete(turn)) this.#taken -= cost;
      this.#lookLater();
    };
  }

  /** After this turn of the event loop, in which what was given back is let go. */
  #lookLater(): void {
    if (this.#looking || this.#line.size === 0) return;
    this.#looking = true;
    setImmediate(() => {
      this.#looking = false;
      this.#next();
    });
  }

  #next(): void {
    for (const turn of this.#line) {
      if (this.#taken > 0 && this.#taken + turn.cost > this.#budget) return;
      this.#line.delete(turn);
      this.#taken += turn.cost;
      const { begin } = turn;
      turn.begin = null;
      begin?.();
    }
  }
}
