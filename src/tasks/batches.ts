/** Batches that have not ended, and the readers that follow the ends of their tasks. */
import { EventEmitter, on, once } from "node:events";
import type { Clock } from "../common/clock.ts";
import type { BatchState, TaskStore } from "../store/tasks.ts";
import type { Batch, BatchLines, Task } from "../task.ts";
import { resultPages } from "./result-pages.ts";
import type { BatchSnapshot, ListedSnapshot } from "./task-api.ts";

type Ended = Pick<Task, "id">;

interface LiveBatch {
  readonly batch: Batch;
  /** Tasks that have not ended, or whose end is not on disk yet, and lines to come. */
  live: number;
  /** The latest time that one of its tasks has shown. */
  latest: number;
  /** `end` for each task, with its id; `done` when no more will come; `fewer` when there is room for lines, or no more are wanted. */
  readonly events: EventEmitter;
  /** `fewer` is told when no more tasks than so many are live; -1: nobody waits for that. */
  below: number;
}

/** Tasks that have not ended, without the lines that are yet to become tasks. */
function tasksIn({ live, batch }: LiveBatch): number {
  return live - (batch.lines?.toCome ?? 0);
}

export class Batches {
  readonly #store: Pick<TaskStore, "batch" | "endsOf" | "endsIn" | "get">;
  /** A batch has ended, and the end of each task is on disk; resolves when the end of the batch is, too. */
  readonly #finished: (batch: Batch) => Promise<void>;
  readonly #clock: Clock;
  readonly #live = new Map<string, LiveBatch>();
  /** Batches whose end is being written. */
  readonly #ending = new Map<string, Batch>();

  constructor(
    store: Pick<TaskStore, "batch" | "endsOf" | "endsIn" | "get">,
    finished: (batch: Batch) => Promise<void>,
    clock: Clock,
  ) {
    this.#store = store;
    this.#finished = finished;
    this.#clock = clock;
  }

  /** Takes over the batches of an earlier run. A batch ends now if the ends of all its tasks were written, but not its own. */
  restore(batches: readonly Batch[], live: readonly Task[]): void {
    const left = new Map<string | null, number>();
    for (const { batchId } of live) left.set(batchId, (left.get(batchId) ?? 0) + 1);
    for (const batch of batches)
      this.#endIfDone(this.#add(batch, (left.get(batch.id) ?? 0) + (batch.lines?.toCome ?? 0)));
  }

  /** A new batch, of which every task is yet to end. */
  add(batch: Batch): void {
    this.#add(batch, batch.size);
  }

  /** A batch was refused after all. */
  withdraw(id: string): void {
    this.#live.delete(id);
  }

  /** The end of a task is on disk. */
  ended(task: Task): void {
    const entry = task.batchId === null ? undefined : this.#live.get(task.batchId);
    if (entry === undefined) return;
    entry.live--;
    entry.latest = Math.max(entry.latest, task.finishedAt ?? 0);
    // Only the id: whole results would pile up here for a slow reader.
    entry.events.emit("end", { id: task.id });
    if (tasksIn(entry) <= entry.below) entry.events.emit("fewer");
    this.#endIfDone(entry);
  }

  // --- batches of files ------------------------------------------------------------------------------------------

  /** A batch that has not ended; undefined: there is none. */
  live(id: string): Batch | undefined {
    return this.#live.get(id)?.batch;
  }

  /** The lines of a batch that has not ended; null: there is none, or it has no lines. */
  linesOf(id: string): BatchLines | null {
    return this.#live.get(id)?.batch.lines ?? null;
  }

  /** The live batches that have lines. */
  withLines(): Batch[] {
    return [...this.#live.values()].flatMap(({ batch }) => (batch.lines === null ? [] : [batch]));
  }

  /** Tasks of a batch that have not ended, without its lines to come; null: the batch has ended. */
  inFlight(id: string): number | null {
    const entry = this.#live.get(id);
    return entry === undefined ? null : tasksIn(entry);
  }

  /** Lines were refused: they have ended. */
  refused(id: string, count: number): void {
    const entry = this.#live.get(id);
    if (entry === undefined) return;
    entry.live -= count;
    this.#endIfDone(entry);
  }

  /** Resolves when no more tasks than so many are in flight, when `wake` was called, or when the signal aborts. One caller at a time. */
  async below(id: string, most: number, signal: AbortSignal): Promise<void> {
    const entry = this.#live.get(id);
    if (entry === undefined || tasksIn(entry) <= most) return;
    entry.below = most;
    await heard(entry.events, "fewer", signal);
    entry.below = -1;
  }

  /** No more lines become tasks. */
  wake(id: string): void {
    this.#live.get(id)?.events.emit("fewer");
  }

  /** Resolves when a batch has ended. @returns false: no more ends will come, or the signal aborts */
  async end(id: string, signal: AbortSignal): Promise<boolean> {
    const entry = this.#live.get(id);
    if (entry !== undefined) await heard(entry.events, "done", signal);
    return !this.#live.has(id);
  }

  // --- what is shown of batches ----------------------------------------------------------------------------------

  async get(id: string): Promise<BatchSnapshot | null> {
    const state = await this.#store.batch(id);
    return state && { ...state, batch: this.#ending.get(id) ?? state.batch, status: statusOf(state) };
  }

  /**
   * The ended tasks of a batch, in the order of their ends. First those in the store, page by page; then, with `follow`, those that have
   * ended since just before the first page was read.
   */
  async *results(id: string, follow: boolean, signal: AbortSignal): AsyncGenerator<ListedSnapshot> {
    const later = follow ? this.#endsFromNow(id, signal) : undefined;
    const sent = new Set<string>();
    const isNew = ({ id: taskId }: { readonly id: string }): boolean => sent.size < sent.add(taskId).size;
    for await (const page of resultPages(this.#store, id, signal)) yield* page.filter(isNew);
    if (later === undefined) return;
    try {
      for await (const [ended] of later) {
        // Read only now, as it may have been removed while the reader was busy with those before.
        const task = isNew(ended) ? await this.#store.get(ended.id) : null;
        if (task !== null) yield task;
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** Ends the streams of all who follow a batch: no more ends will come. */
  close(): void {
    for (const { events } of this.#live.values()) {
      events.emit("fewer");
      events.emit("done");
    }
  }

  #endsFromNow(id: string, signal: AbortSignal): AsyncIterable<[Ended]> | undefined {
    const entry = this.#live.get(id);
    return entry && (on(entry.events, "end", { close: ["done"], signal }) as AsyncIterable<[Ended]>);
  }

  #add(batch: Batch, live: number): LiveBatch {
    const events = new EventEmitter().setMaxListeners(0);
    const entry = { batch, live, latest: batch.createdAt, events, below: -1 };
    this.#live.set(batch.id, entry);
    return entry;
  }

  #endIfDone({ batch, live, latest, events }: LiveBatch): void {
    if (live > 0) return;
    this.#live.delete(batch.id);
    batch.finishedAt = Math.max(this.#clock.now() + this.#clock.ahead, latest);
    events.emit("fewer");
    events.emit("done");
    this.#ending.set(batch.id, batch);
    void this.#finished(batch).finally(() => this.#ending.delete(batch.id));
  }
}

/** Resolves when the event comes, or the signal aborts. */
async function heard(events: EventEmitter, name: string, signal: AbortSignal): Promise<void> {
  await once(events, name, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}

/**
 * The status of a batch: one of five for the tasks that have not ended. When all have ended it is `canceled` if every task was, else
 * `completed`, also when some tasks were removed.
 */
export function statusOf({ batch, counts, unbound }: BatchState): BatchSnapshot["status"] {
  if (counts.canceled === batch.size) return "canceled";
  if (counts.queued + counts.running === 0) return "completed";
  if (counts.queued === 0) return "running";
  if (unbound === 0) return "all_distributed";
  if (unbound < counts.queued || counts.running > 0) return "mixed";
  return batch.whole ? "queued" : "all_queued";
}
