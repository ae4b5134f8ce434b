/* The promises of a database: a port for each kind of stored thing, and one way to write for all of them. */
import { AltLasError } from "../errors.ts";
import type { Batch, Task, TaskStatus } from "../task.ts";
import type { Past, RecordedTimes } from "./gap.ts";
import type { AuditRecord, AuditStore } from "./audit.ts";
import type { BatchFileRecord, BatchFileStore } from "./batch-files.ts";
import type { FileRecord, FileStore } from "./files.ts";
import type { ForgetOptions, ForgetStep } from "./forget.ts";
import type { AnswerRecord, IdempotencyStore } from "./idempotency.ts";
import type { Outbox, OutboxRecord } from "./outbox.ts";
import type { BatchRecord, EndLimits, NoteRecord, TaskStore } from "./tasks.ts";
import type { UsageStore } from "./usage.ts";

/** The store's lines for the operator. */
export interface StoreLog {
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** The present time by both clocks. */
export interface ClockRecord {
  readonly kind: "clock";
  readonly clock: RecordedTimes;
}

/** Records that are written beside tasks. Each port adds its own kinds. */
export type StoreRecord =
  | BatchRecord
  | NoteRecord
  | AnswerRecord
  | OutboxRecord
  | ClockRecord
  | BatchFileRecord
  | FileRecord
  | AuditRecord;

/** Limits beyond which rows are removed. Times are by the server's clock. */
export interface SweepLimits extends EndLimits {
  /** Tasks that ended before, and whose texts nobody has read: their texts go, and they stay. Absent: none do. */
  readonly unreadBefore?: number | undefined;
  /** Ended tasks to keep at most, the latest submitted; null: any number. */
  readonly maxEnded: number | null;
  /** Idempotency keys made before. */
  readonly keysBefore: number;
  /** Hours of usage that had ended before. */
  readonly usageBefore: number;
  /** Rows of the audit log that are kept since before; absent: they all stay. */
  readonly auditBefore?: number | undefined;
}

/** The content of a store when it is opened. */
export interface Opened {
  /** The tasks that have not ended, in submission order, without their requests. */
  readonly live: Task[];
  /** The batches that have not ended, in submission order. */
  readonly batches: Batch[];
  /** The highest `seq` ever given; 0: none. */
  readonly lastSeq: number;
  /** The recorded times of earlier runs. */
  readonly past: Past;
  /** The new name of a damaged file, which is in quarantine; null: there was none. */
  readonly quarantinedTo: string | null;
}

/** The store is lost until the server is started again: its files were moved or deleted, or its thread has ended. */
export class StoreLost extends AltLasError {
  /** @param sentence is shown to clients, so it names no path */
  constructor(sentence: string) {
    super("store_unavailable", sentence);
  }
}

/** Another server has taken the database, and goes on with its tasks. */
export class StoreTaken extends StoreLost {}

/** For what copies files: a sentence that says what to do where the tasks are in none. */
export const BY_POSTGRES =
  "The tasks are on a PostgreSQL server (store.url): copy them by pg_dump, and the data directory beside it; see docs/postgres.md.";

/** How much a write hurries. */
export type When = "now" | "soon";

/**
 * The place where tasks, and the records that belong to them, outlive the process. Each part of the server gets only the ports that it
 * needs.
 *
 * Promises every implementation keeps (test/kits/store.ts); those of each port stand with the port:
 *  1. When `save` resolves, the state its tasks had when it was called (or a later one) and its records survive a power cut.
 *  2. The tasks and records of one `save` are written together or not at all, whichever ports they belong to. New tasks and changed ones
 *     may be mixed.
 *  3. Saves take effect in the order of the calls, those of all ports together. Calls made while a write is under way are written together
 *     by the next one.
 *  4. When `save` rejects (`AltLasError` with `store_unavailable`), nothing of that call is on disk, and the caller may save again.
 *  5. Every read sees the writes of each `save` that has resolved.
 *  6. Nothing here blocks the caller's thread on a disk, and no single read or sweep keeps a write waiting for long.
 */
export interface Store {
  readonly tasks: TaskStore;
  readonly outbox: Outbox;
  readonly idempotency: IdempotencyStore;
  readonly usage: UsageStore;
  readonly batchFiles: BatchFileStore;
  readonly files: FileStore;
  readonly audit: AuditStore;
  /** Aborted, with a `StoreLost` as its reason, when the store is lost for good. From then on everything but `close` rejects with it. */
  readonly lost: AbortSignal;
  /** Whether nothing can be stored until the database can be reached again; absent: it always can. */
  readonly away?: boolean;
  /** Opens or creates the store. */
  open(): Promise<Opened>;
  /**
   * Writes the present state of these tasks, and the records.
   * @param when `soon`: nobody waits for it, and a few milliseconds may pass in which others come that are written with it; default `now`
   */
  save(tasks: readonly Task[], records?: readonly StoreRecord[], when?: When): Promise<void>;
  /**
   * The status that a task's row has on disk, which may be later than that with which `save` was called (promise 1); null: it has no row.
   * Only of tasks that were saved or read through this store.
   */
  statusOnDisk(task: Task): TaskStatus | null;
  /** Removes some rows that are beyond the limits, in one small step. @returns whether there may be more */
  sweep(limits: SweepLimits): Promise<boolean>;
  /**
   * Removes some of what is stored of a user (files apart), in one small step; its sums of usage go to `FORGOTTEN_USER`, and rows of the
   * audit log stay. After the last step (`next` null) no file of the store has what was removed.
   */
  forget(options: ForgetOptions): Promise<ForgetStep>;
  /** Writes pending saves and closes. Calling it twice is harmless. */
  close(): Promise<void>;
}
