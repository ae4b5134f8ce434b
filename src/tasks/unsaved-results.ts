/** Backpressure of the disk: results that are not on disk yet have to stay in memory, so while they take too much no task starts. */
import type { Task } from "../task.ts";
import { lastingHeap } from "../common/heap.ts";

export interface UnsavedResultsParts {
  /** Bytes of the heap that they may take before starts are held; default an eighth of the heap. */
  readonly budget?: number | undefined;
  /** There are too many. */
  readonly full: (bytes: number) => void;
  /** There is enough memory again. */
  readonly room: () => void;
}

/** Bytes of an event's body for each byte of the result that it repeats. */
const WITH_EVENT = 3;

export class UnsavedResults {
  readonly #parts: UnsavedResultsParts;
  readonly #budget: number;
  /** By their tasks' ids. */
  readonly #sizes = new Map<string, number>();
  #bytes = 0;
  #isFull = false;

  constructor(parts: UnsavedResultsParts) {
    this.#parts = parts;
    this.#budget = parts.budget ?? lastingHeap() / 8;
  }

  /** A task has ended. A second call is harmless. */
  add(task: Task): void {
    if (task.result === null || this.#sizes.has(task.id)) return;
    const { text } = task.result;
    const size =
      (Buffer.byteLength(text) === text.length ? 1 : 2) * text.length * (task.webhook === null ? 1 : WITH_EVENT);
    this.#sizes.set(task.id, size);
    this.#bytes += size;
    if (this.#isFull || this.#bytes <= this.#budget) return;
    this.#isFull = true;
    this.#parts.full(this.#bytes);
  }

  /** Its end is on disk. */
  delete({ id }: Task): void {
    const size = this.#sizes.get(id);
    if (size === undefined) return;
    this.#sizes.delete(id);
    this.#bytes -= size;
    if (!this.#isFull || this.#bytes > this.#budget) return;
    this.#isFull = false;
    this.#parts.room();
  }
}
