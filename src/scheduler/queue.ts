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

/** The task that stands for an entry. */
export function firstOf(entry: Entry): Task {
  return "tasks" in entry ? entry.tasks[0]! : entry;
}

/** Empty places that are put up with before the arrays are cut. */
const SPARE = 1024;

/**
 * Waiting entries in submission order. One that leaves only empties its place, and the arrays are cut when half of them is empty: so
 * neither serving a million waiting tasks nor canceling them moves the others each time.
 */
export class EntryQueue {
  #entries: (Entry | undefined)[] = [];
  /** Of the same places, also of empty ones. */
  #seqs: number[] = [];
  /** Before it everything is empty. */
  #front = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Adds an entry at the place its `seq` gives it: at the end for a new one, further ahead for one that comes back. */
  insert(entry: Entry): void {
    this.#size++;
    const last = this.#seqs.at(-1);
    if (last === undefined || last < entry.seq) {
      this.#entries.push(entry);
      this.#seqs.push(entry.seq);
      return;
    }
    const place = this.#place(entry.seq);
    // It comes back to the place it has left.
    const left = this.#seqs[place] === entry.seq;
    this.#entries.splice(place, left ? 1 : 0, entry);
    if (!left) this.#seqs.splice(place, 0, entry.seq);
    this.#front = Math.min(this.#front, place);
  }

  /** Removes an entry and says whether it was there. */
  remove(entry: Entry): boolean {
    const place = this.#place(entry.seq);
    if (this.#entries[place] !== entry) return false;
    this.#entries[place] = undefined;
    this.#size--;
    while (this.#front < this.#entries.length && this.#entries[this.#front] === undefined) this.#front++;
    if (this.#entries.length > SPARE && this.#size * 2 < this.#entries.length) this.#cut();
    return true;
  }

  has(entry: Entry): boolean {
    return this.#entries[this.#place(entry.seq)] === entry;
  }

  /** The first entry for which `fits` holds; undefined: none. */
  find(fits: (entry: Entry) => boolean): Entry | undefined {
    for (let i = this.#front; i < this.#entries.length; i++) {
      const entry = this.#entries[i];
      if (entry !== undefined && fits(entry)) return entry;
    }
    return undefined;
  }

  *[Symbol.iterator](): Iterator<Entry> {
    for (let i = this.#front; i < this.#entries.length; i++) {
      const entry = this.#entries[i];
      if (entry !== undefined) yield entry;
    }
  }

  #cut(): void {
    const left = [...this];
    this.#entries = left;
    this.#seqs = left.map(({ seq }) => seq);
    this.#front = 0;
  }

  /** The first place whose seq is not below `seq`. */
  #place(seq: number): number {
    let low = 0;
    let high = this.#seqs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#seqs[middle]! < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
