/** What waits, in submission order. */
import { type Task } from "../task.ts";

/** A batch sent with `batch_split: false` that has no GPU yet: it waits as one. */
export interface WaitingBatch {
  /** Of its first task. */
  readonly seq: number;
  readonly tasks: readonly Task[];
}

export type Entry = Task | WaitingBatch;

/** The tasks of an entry. */
export function tasksOf(entry: Entry): readonly Task[] {
  return "tasks" in entry ? entry.tasks : [entry];
}

/**
 * Waiting entries in submission order. Entries leave at the front nearly always, so the front is an index and
 * the array is cut only when half of it is empty: a million waiting tasks cost nothing to shift.
 */
export class EntryQueue {
  #entries: (Entry | undefined)[] = [];
  #front = 0;

  get size(): number {
    return this.#entries.length - this.#front;
  }

  /** Adds an entry at the place its `seq` gives it: at the end for a new one, further ahead for one that comes back. */
  insert(entry: Entry): void {
    const last = this.#entries.at(-1);
    if (this.size === 0 || last!.seq < entry.seq) this.#entries.push(entry);
    else this.#entries.splice(this.#position(entry.seq), 0, entry);
  }

  /** Removes an entry and says whether it was there. */
  remove(entry: Entry): boolean {
    const position = this.#position(entry.seq);
    if (this.#entries[position] !== entry) return false;
    if (position === this.#front) this.#shift();
    else this.#entries.splice(position, 1);
    return true;
  }

  /** The first entry for which `fits` holds; undefined: none. */
  find(fits: (entry: Entry) => boolean): Entry | undefined {
    for (let i = this.#front; i < this.#entries.length; i++) {
      const entry = this.#entries[i]!;
      if (fits(entry)) return entry;
    }
    return undefined;
  }

  *[Symbol.iterator](): Iterator<Entry> {
    for (let i = this.#front; i < this.#entries.length; i++) yield this.#entries[i]!;
  }

  #shift(): void {
    this.#entries[this.#front] = undefined;
    this.#front++;
    if (this.#front > 1024 && this.#front * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#front);
      this.#front = 0;
    }
  }

  /** The first position whose seq is not below `seq`. */
  #position(seq: number): number {
    let low = this.#front;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#entries[middle]!.seq < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
