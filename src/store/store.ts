import type { Request, RequestFacts } from "../request.ts";
import { AltLasError } from "../errors.ts";
import { type Past, type RecordedTimes } from "./gap.ts";
import { type Batch, type Task, type TaskStatus, type WebhookEvent } from "../task.ts";

/** A task without its prompt: a list of a thousand would else be a gigabyte at worst. */
export type ListedTask = Omit<Task, "request" | keyof RequestFacts>;

/** Which tasks to list; undefined: any. Times are Unix milliseconds. */
export interface TaskFilter {
  /** Only this user's. */
  readonly user: string | undefined;
  readonly status: TaskStatus | undefined;
  readonly batchId?: string | undefined;
  readonly taskType?: string | undefined;
  readonly gpuId?: number | undefined;
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
  /** There is more of what was asked for, behind the last of these; absent: there is not. */
  readonly more?: true;
}

/** An answered submission that a client may send again. */
export interface IdempotencyRecord {
  readonly user: string;
  /** The client's own name for it. */
  readonly key: string;
  /** Says whether a request is the same one. */
  readonly fingerprint: string;
  /** What was answered, as JSON. */
  readonly answer: string;
  /** By the server's clock. */
  readonly createdAt: number;
}

/** One try to bring a webhook to its receiver. */
export interface DeliveryAttempt {
  /** As it is shown; Unix milliseconds. */
  readonly at: number;
  /** By the server's clock; absent: the same. */
  readonly clock?: number;
  /** Of the receiver's answer; null: there was none. */
  readonly status: number | null;
  /** Why it was in vain, where the status does not say so; null: it does, or it was not in vain. */
  readonly error: string | null;
  /** Milliseconds it took. */
  readonly duration: number;
}

/** One event on its way to its receiver. Times are Unix milliseconds. */
export interface Delivery {
  /** The same event always has the same one. */
  readonly id: string;
  /** The id of the task or batch that it is about. */
  readonly subject: string;
  readonly user: string;
  readonly event: WebhookEvent;
  readonly url: string;
  /** What is sent, the same bytes with every try. */
  readonly body: string;
  readonly createdAt: number;
  readonly status: "pending" | "delivered" | "failed";
  /** When to try next, while it is pending, by the server's clock. */
  readonly nextAt: number;
  readonly attempts: readonly DeliveryAttempt[];
}

/** What a user's webhooks are signed with. Times are Unix milliseconds. */
export interface WebhookSecret {
  readonly user: string;
  /** `whsec_` and base64. */
  readonly secret: string;
  /** The one before, which signs too until `previousUntil`. */
  readonly previous: string | null;
  /** By the server's clock. */
  readonly previousUntil: number | null;
  readonly createdAt: number;
  /** Whether the user has seen it. */
  readonly shown: boolean;
}

/** What is written beside tasks, in the same transaction. */
export type StoreRecord =
  /** A new batch, or the end of one. */
  | { readonly kind: "batch"; readonly batch: Batch }
  | { readonly kind: "idempotency"; readonly record: IdempotencyRecord }
  /** A delivery that may be there already: then nothing happens. */
  | { readonly kind: "event"; readonly delivery: Delivery }
  /** The present state of a delivery that is there; nothing happens when it is not. */
  | { readonly kind: "delivery"; readonly delivery: Delivery }
  | { readonly kind: "secret"; readonly secret: WebhookSecret }
  /** Where both clocks are. */
  | { readonly kind: "clock"; readonly clock: RecordedTimes };

/** A batch and what has become of its tasks, as far as they are still kept. */
export interface BatchState {
  readonly batch: Batch;
  readonly counts: Readonly<{ [Status in TaskStatus]: number }>;
  /** Queued tasks that have no GPU yet. */
  readonly unbound: number;
}

/** What is old enough to be removed. Times are by the server's clock. */
export interface SweepLimits {
  /** Tasks that ended before. */
  readonly endedBefore: number;
  /** Ended tasks to keep at most, the latest submitted; null: any number. */
  readonly maxEnded: number | null;
  /** Idempotency keys made before. */
  readonly keysBefore: number;
}

/** Nothing can be stored or read until the server is started again: the store's files are gone, or its thread is. */
export class StoreLost extends AltLasError {
  /** @param sentence is shown to clients, so it names no path */
  constructor(sentence: string) {
    super("store_unavailable", sentence);
  }
}

/**
 * Where tasks outlive the process.
 *
 * Promises every implementation keeps (test/store-conformance.test.ts):
 *  1. When `save` resolves, the state its tasks had when it was called (or a later one) and its records survive a power cut.
 *  2. The tasks and records of one `save` are written together or not at all. New tasks and changed ones may be mixed.
 *  3. Saves take effect in the order of the calls. Calls made while a write is under way are written together by the next one.
 *  4. When `save` rejects (`AltLasError` with `store_unavailable`), nothing of that call is on disk, and the caller may save again.
 *  5. Everything that reads sees what was written by each `save` that has resolved.
 *  6. Nothing here blocks the caller's thread on a disk, and no single read or sweep keeps a write waiting for long.
 *  7. Removing a task removes its webhook deliveries; a batch that has ended goes with its last task, and its deliveries with it.
 */
export interface Store {
  /** Aborted, with a `StoreLost` as its reason, when the store is lost for good. From then on everything but `close` rejects with it. */
  readonly lost: AbortSignal;
  /**
   * Opens or creates the store.
   * @returns the tasks that have not ended, in submission order; the batches that have not ended; the highest `seq` ever given (0:
   *   none); what is known of the time until now; and where a damaged file was moved to make room for a new one (null: there was none)
   */
  open(): Promise<{
    readonly live: Task[];
    readonly batches: Batch[];
    readonly lastSeq: number;
    readonly past: Past;
    readonly movedAside: string | null;
  }>;
  /** Writes the present state of these tasks, and the records. */
  save(tasks: readonly Task[], records?: readonly StoreRecord[]): Promise<void>;
  /** A task with its request. */
  get(id: string): Promise<Task | null>;
  /** What the task with this `seq` asks; null: there is no such task. */
  request(seq: number): Promise<Request | null>;
  /** Newest first. `total` says how many match, whatever `limit`, `offset` and `after` are. */
  list(filter: TaskFilter, reading?: Reading): Promise<ListedPage>;
  batch(id: string): Promise<BatchState | null>;
  /**
   * The ended tasks of a batch, in the order of their ends: at most `limit`, without the first `offset`; no more than these characters,
   * but one task at least.
   */
  endsOf(batchId: string, offset: number, limit: number, maxCharacters?: number): Promise<ListedTask[]>;
  idempotency(user: string, key: string): Promise<IdempotencyRecord | null>;
  /** Removes a task that has ended; false: there is no such task, or it has not ended. */
  remove(id: string): Promise<boolean>;
  /** Removes some of what is beyond the limits, in one small step. @returns whether there may be more */
  sweep(limits: SweepLimits): Promise<boolean>;
  /** Tasks that ended before a time of the server's clock. */
  countEnded(before: number): Promise<number>;
  /** Each user's pending deliveries, at most `limit` of one user; those that are to be tried first in front. */
  pendingDeliveries(limit: number): Promise<Delivery[]>;
  /** All deliveries about a task or batch, oldest first. */
  deliveriesOf(subject: string): Promise<Delivery[]>;
  secret(user: string): Promise<WebhookSecret | null>;
  /** Writes what is pending and closes. Calling it twice is harmless. */
  close(): Promise<void>;
}
