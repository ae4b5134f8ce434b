/* The port of tasks and batches. The state of a batch is counted from its tasks, and it is removed with the last of them. */
import type { Request, RequestFacts } from "../request.ts";
import type { Batch, Task, TaskStatus } from "../task.ts";

/** A task without its request: with the requests, a list of a thousand could be a gigabyte. */
export type ListedTask = Omit<Task, "request" | keyof RequestFacts>;

/** Which tasks to list; undefined: any. Times are Unix milliseconds. */
export interface TaskFilter {
  /** Only this user's. */
  readonly user: string | undefined;
  /** Only what is this team's. */
  readonly team?: string | undefined;
  readonly status: TaskStatus | undefined;
  readonly batchId?: string | undefined;
  readonly taskType?: string | undefined;
  readonly gpuId?: number | undefined;
  /** As tasks show it: the one that runs or ran it, else the one that it asks for. */
  readonly model?: string | undefined;
  /** Submitted at this time or later. */
  readonly since?: number | undefined;
  /** Submitted before this time. */
  readonly until?: number | undefined;
  /** Only tasks with a lower `seq`: those that come after that one in the list. */
  readonly after?: number | undefined;
  readonly limit: number;
  readonly offset: number;
}

/** How much of a list to read. */
export interface Reading {
  /** Characters to read at most; a task is read whole, and one at least. */
  readonly maxCharacters: number;
  /** Whether `total` is wanted; it is 0 if not. */
  readonly counted: boolean;
}

export const WHOLE: Reading = { maxCharacters: Number.POSITIVE_INFINITY, counted: true };

/** Part of a list, or all of it. */
export interface ListedPage {
  readonly tasks: readonly ListedTask[];
  readonly total: number;
  /** More matching tasks follow the last of these; absent: none do. */
  readonly more?: true;
}

/**
 * A batch, and the states of its tasks that are still stored, and of its lines that are no tasks: one to come counts as `queued`, or once
 * no more become tasks as what it will be.
 */
export interface BatchState {
  readonly batch: Batch;
  readonly counts: Readonly<{ [Status in TaskStatus]: number }>;
  /** Queued tasks that have no GPU yet, and lines to come. */
  readonly unbound: number;
}

/** A batch whose tasks have all ended. */
export interface EndedBatch extends BatchState {
  /** Whether no texts of its tasks go when they are read, or have gone. */
  readonly keepsTexts: boolean;
}

/** Before which ends tasks are too old, by the server's clock. */
export interface EndLimits {
  readonly endedBefore: number;
  /** Users whose tasks are kept shorter or longer than those of all others; absent: there are none. */
  readonly ofUsers?: readonly OwnLimit[] | undefined;
}

export interface OwnLimit {
  readonly user: string;
  readonly endedBefore: number;
}

/** Figures of a task, without any of its texts. */
export interface PastTask extends Pick<
  Task,
  "seq" | "user" | "createdClock" | "size" | "taskType" | "priority" | "prefix"
> {
  /** The bound on its answer, which may be `TO_THE_END`; null: an earlier version has lost it. */
  readonly maxTokens: number | null;
  /** The one that ran it, else the one that it asks for. */
  readonly model: string | null;
  /** null: it has not ended, or its server did not tell. */
  readonly promptTokens: number | null;
  /** null: it has no answer. */
  readonly completionTokens: number | null;
}

/** A new batch, or the end of one. */
export interface BatchRecord {
  readonly kind: "batch";
  readonly batch: Batch;
}

/** The note of a new task, which stays as it is (`TaskInput.note`). */
export interface NoteRecord {
  readonly kind: "note";
  /** Of its task. */
  readonly seq: number;
  readonly note: string;
}

/** Bytes of all tasks of a user: the contents of their requests, and their results. */
export interface StoredBytes {
  readonly user: string;
  readonly bytes: number;
}

/**
 * Tasks that were saved (`Store.save`). Promises of every implementation, beside those of the whole store (test/kits/tasks.ts,
 * test/kits/task-lists.ts):
 *  1. Each field of a task comes back as it was, however long it is, as far as UTF-8 can encode it.
 *  2. A list is newest first, and tells how many tasks match in all. It keeps no write waiting for long, however many tasks it has to read.
 *  3. Removing a task removes its webhook deliveries. A batch that has ended is removed with its last task, and its deliveries with it.
 *  4. The `seq` of a task that was removed is not forgotten: `lastSeq` never goes back, nor behind the lines of a batch that are yet to come.
 *  5. A note is there as long as its task.
 *  6. Of a task whose texts are `never` stored no request and no text of its result comes back, and none reaches the disk. Where they are
 *     kept `until_read`, they go with `removeTexts`, with a sweep (`SweepLimits.unreadBefore`), and with the write that says that a
 *     webhook of its end was delivered. Then `texts` is `removed`, its deliveries tell no result, and of its note `custom_id` alone stays.
 *     A list has no texts of either.
 *  7. The stored bytes of a user's tasks are counted with each write and each removal, and never by reading all of them.
 *  8. The history has every task that is stored, whatever its state, in the order of submission, and reads no text.
 */
export interface TaskStore {
  /** A task without its request, which may be large. */
  get(id: string): Promise<Task | null>;
  /** The request of the task with this `seq`; null: there is no such task. */
  request(seq: number): Promise<Request | null>;
  /** The notes of the tasks with these `seq`s, at most 1,000, by `seq`; those that have none are left out. */
  notes(seqs: readonly number[]): Promise<ReadonlyMap<number, string>>;
  /** Newest first, and without the vectors of results. `total` says how many match, whatever `limit`, `offset` and `after` are. */
  list(filter: TaskFilter, reading?: Reading): Promise<ListedPage>;
  batch(id: string): Promise<BatchState | null>;
  /**
   * The ended tasks of a batch, in the order of their ends: at most `limit`, without the first `offset`; no more than these characters,
   * but one task at least.
   */
  endsOf(batchId: string, offset: number, limit: number, maxCharacters?: number): Promise<ListedTask[]>;
  /** As `endsOf`, of the tasks with `seq`s from one to another, in the order of these. */
  endsIn(from: number, to: number, limit: number, maxCharacters?: number): Promise<ListedTask[]>;
  /** The first tasks with a higher `seq` than this, in that order. */
  history(after: number, limit: number): Promise<PastTask[]>;
  /** Removes a task that has ended; false: there is no such task, or it has not ended. */
  remove(id: string): Promise<boolean>;
  /**
   * Removes the texts of those of these tasks that have ended and whose texts are kept until they are read (`Task.texts`); all else of them
   * stays. Those of others are left alone. @returns whether any were removed
   */
  removeTexts(seqs: readonly number[]): Promise<boolean>;
  /** The stored bytes of each user's tasks, without reading them. */
  storedBytes(): Promise<readonly StoredBytes[]>;
  /** Tasks that ended before a time of the server's clock. @param ofUsers as of `EndLimits` */
  countEnded(before: number, ofUsers?: readonly OwnLimit[]): Promise<number>;
}
