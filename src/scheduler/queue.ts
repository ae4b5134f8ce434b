/** Waiting entries in submission order. */
import { promptBytes, type Task } from "../task.ts";

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

/** A piece of a queue has at most twice as many entries. */
const PIECE = 256;

/**
 * Waiting entries in submission order, in pieces that are never empty. So adding or removing an entry moves the entries of one piece, and
 * not a million others.
 */
export class EntryQueue {
  readonly #pieces: Entry[][] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** undefined: it is empty. */
  get first(): Entry | undefined {
    return this.#pieces[0]?.[0];
  }

  /** Adds an entry at the place that its `seq` gives it: a new one at the end, one that waits again further ahead. */
  insert(entry: Entry): void {
    this.#size++;
    const last = this.#pieces.at(-1);
    if (last === undefined || (last.length >= PIECE && last.at(-1)!.seq < entry.seq)) {
      this.#pieces.push([entry]);
      return;
    }
    const index = Math.min(this.#pieceOf(entry.seq), this.#pieces.length - 1);
    const piece = this.#pieces[index]!;
    piece.splice(placeIn(piece, entry.seq), 0, entry);
    if (piece.length > 2 * PIECE) this.#pieces.splice(index + 1, 0, piece.splice(PIECE));
  }

  /** Removes an entry and says whether it was there. */
  remove(entry: Entry): boolean {
    const index = this.#pieceOf(entry.seq);
    const piece = this.#pieces[index];
    const place = piece === undefined ? 0 : placeIn(piece, entry.seq);
    if (piece?.[place] !== entry) return false;
    this.#size--;
    if (piece.length === 1) this.#pieces.splice(index, 1);
    else if (place === 0) piece.shift();
    else piece.splice(place, 1);
    return true;
  }

  has(entry: Entry): boolean {
    const piece = this.#pieces[this.#pieceOf(entry.seq)];
    return piece !== undefined && piece[placeIn(piece, entry.seq)] === entry;
  }

  /** The first entry for which `fits` holds; undefined: none. */
  find(fits: (entry: Entry) => boolean): Entry | undefined {
    for (const piece of this.#pieces) {
      const entry = piece.find(fits);
      if (entry !== undefined) return entry;
    }
    return undefined;
  }

  /** The number of entries with a lower `seq`. */
  before(seq: number): number {
    const index = this.#pieceOf(seq);
    const whole = this.#pieces.slice(0, index).reduce((sum, piece) => sum + piece.length, 0);
    return whole + placeIn(this.#pieces[index] ?? [], seq);
  }

  *[Symbol.iterator](): Iterator<Entry> {
    for (const piece of this.#pieces) yield* piece;
  }

  /** The first entries, so many at most. */
  front(count: number): Iterable<Entry> {
    return Iterator.from(this).take(count);
  }

  /** The first piece whose last seq is not below `seq`. The next entry to serve is in the first one. */
  #pieceOf(seq: number): number {
    const pieces = this.#pieces;
    if (pieces.length > 0 && pieces[0]!.at(-1)!.seq >= seq) return 0;
    return firstPlace(pieces.length, (place) => pieces[place]!.at(-1)!.seq >= seq);
  }
}

/** The first place whose seq is not below `seq`. */
function placeIn(piece: readonly Entry[], seq: number): number {
  return firstPlace(piece.length, (place) => piece[place]!.seq >= seq);
}

/** The first of so many indexes from which on a condition holds; their number: it holds nowhere. */
function firstPlace(places: number, holds: (place: number) => boolean): number {
  let low = 0;
  let high = places;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The most limits: with more different GPUs, asking each class would cost more than it saves. */
const MOST_LIMITS = 32;

/** The lengths of texts, in bytes, at which the GPUs differ. Texts between two neighbouring limits fit into the same GPUs. */
export class Sizes {
  /** In order. */
  readonly #limits: number[] = [];

  /** Classes of sizes; the last one has no limit. */
  get count(): number {
    return this.#limits.length + 1;
  }

  /** The class of an entry, by its longest text. A text belongs to the class of the first limit that it does not exceed. */
  classOf(entry: Entry): number {
    if (!("tasks" in entry)) return this.#classOf(promptBytes(entry));
    return entry.tasks.reduce((most, task) => Math.max(most, this.#classOf(promptBytes(task))), 0);
  }

  /** The least and the greatest number of bytes in a class. */
  rangeOf(index: number): readonly [least: number, most: number] {
    return [index === 0 ? 0 : this.#limits[index - 1]! + 1, this.#limits[index] ?? Infinity];
  }

  /** Adds a limit. @returns the class that it splits in two; null: none */
  split(limit: number): number | null {
    const limits = this.#limits;
    const place = firstPlace(limits.length, (index) => limits[index]! >= limit);
    if (limit === Infinity || limits[place] === limit || limits.length === MOST_LIMITS) return null;
    limits.splice(place, 0, limit);
    return place;
  }

  #classOf(bytes: number): number {
    const limits = this.#limits;
    for (let index = 0; index < limits.length; index++) if (bytes <= limits[index]!) return index;
    return limits.length;
  }
}

/**
 * Waiting entries in submission order, in a queue for each class of sizes. So a GPU with a small context skips all texts that are too long
 * at once.
 */
export class SizedQueue {
  readonly #sizes: Sizes;
  /** By class. */
  readonly #queues: EntryQueue[];
  #size = 0;

  constructor(sizes: Sizes) {
    this.#sizes = sizes;
    this.#queues = Array.from({ length: sizes.count }, () => new EntryQueue());
  }

  /** @returns whether it is the only one of its class */
  insert(entry: Entry): boolean {
    const queue = this.#queueOf(entry);
    queue.insert(entry);
    this.#size++;
    return queue.size === 1;
  }

  /** Removes an entry. @returns whether it was the last one of its class @throws {Error} it was not there, which is a bug of the caller */
  remove(entry: Entry): boolean {
    const queue = this.#queueOf(entry);
    if (!queue.remove(entry)) throw new Error(`entry ${entry.seq} does not wait`);
    this.#size--;
    return queue.size === 0;
  }

  has(entry: Entry): boolean {
    return this.#queueOf(entry).has(entry);
  }

  /** The number of entries with a lower `seq`. */
  before(seq: number): number {
    return this.#queues.reduce((sum, queue) => sum + queue.before(seq), 0);
  }

  /** The first entries, so many at most. */
  front(count: number): Entry[] {
    const each = this.#queues.map((queue) => [...queue.front(count)]);
    return each.length === 1
      ? each[0]!
      : each
          .flat()
          .toSorted((a, b) => a.seq - b.seq)
          .slice(0, count);
  }

  /** Looks at each class that has entries: its first one, and their number. */
  eachClass(look: (index: number, front: Entry, count: number) => void): void {
    if (this.#size === 0) return;
    for (let index = 0; index < this.#queues.length; index++) {
      const queue = this.#queues[index]!;
      if (queue.size > 0) look(index, queue.first!, queue.size);
    }
  }

  /** The first entry for which `fits` holds; undefined: none. @param classes which ones come into question; null: all */
  find(classes: readonly boolean[] | null, fits: (entry: Entry) => boolean): Entry | undefined {
    let first: Entry | undefined;
    for (let index = 0; index < this.#queues.length; index++) {
      const queue = this.#queues[index]!;
      if (queue.size === 0 || classes?.[index] === false) continue;
      const entry = queue.find(fits);
      if (entry !== undefined && (first === undefined || entry.seq < first.seq)) first = entry;
    }
    return first;
  }

  [Symbol.iterator](): Iterator<Entry> {
    const entries = this.#queues.flatMap((queue) => [...queue]);
    return entries.toSorted((a, b) => a.seq - b.seq).values();
  }

  /** A class was split in two. */
  split(index: number): void {
    const [whole] = this.#queues.splice(index, 1, new EntryQueue(), new EntryQueue());
    for (const entry of whole!) this.#queueOf(entry).insert(entry);
  }

  #queueOf(entry: Entry): EntryQueue {
    return this.#queues[this.#sizes.classOf(entry)]!;
  }
}
