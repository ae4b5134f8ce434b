/** Writes the states of live tasks to disk, always in their order: a task's admission first, its end last. */
import type { Logger } from "pino";
import { messageOf } from "../errors.ts";
import { type Store, StoreLost, type StoreRecord } from "../store/store.ts";
import { attemptNumber, isFinal, type Task } from "../task.ts";
import { StoreTrouble } from "./store-trouble.ts";

/** Milliseconds before a failed write is tried again. */
const RETRY_MS = 1000;
/** Milliseconds after a failed write during which the next one will probably fail, too. */
const RECOVERY_MS = 5000;

export interface WriterParts {
  readonly store: Pick<Store, "save" | "statusOnDisk" | "close" | "lost" | "away">;
  readonly log: Logger;
  /** The records that tell a task's present state, which are written with it. */
  readonly recordsOf: (task: Task) => readonly StoreRecord[];
  /** Whether somebody waits for what becomes of a task, or reads along. */
  readonly isAwaited: (task: Task) => boolean;
  /** New tasks are on disk. */
  readonly admitted: (tasks: readonly Task[]) => void;
  /** A task's start is on disk. @param attempt which one, from 1 */
  readonly started: (task: Task, attempt: number) => void;
  /** A task's final status is on disk. */
  readonly ended: (task: Task) => void;
  /** All writes that had failed have succeeded. */
  readonly caughtUp: () => void;
}

export class Writer {
  readonly #parts: WriterParts;
  /** By the ids of tasks whose admission is being written: whether they have changed since it began. */
  readonly #admitting = new Map<string, boolean>();
  /** Withdrawn tasks: they could not be written, and nothing of them may reach the disk. */
  readonly #withdrawn = new WeakSet<Task>();
  /** Tasks that could not be written yet, and are tried again, with the number of the last write that failed. */
  readonly #failed = new Map<Task, number>();
  readonly #failedRecords = new Map<readonly StoreRecord[], () => void>();
  /** Writes of tasks so far. */
  #writes = 0;
  #retry: NodeJS.Timeout | null = null;
  #closing = false;
  /** Milliseconds on the monotonic clock of the last failed write. */
  #failedAt = -Infinity;
  readonly #trouble: StoreTrouble;

  constructor(parts: WriterParts) {
    this.#parts = parts;
    this.#trouble = new StoreTrouble(parts.store);
  }

  /** Tasks and sets of records that could not be written, and are tried again. */
  get unwritten(): number {
    return this.#failed.size + this.#failedRecords.size;
  }

  /** Whether a task sent now could be written. */
  get works(): boolean {
    const { lost, away } = this.#parts.store;
    return !lost.aborted && away !== true && this.unwritten === 0 && performance.now() - this.#failedAt > RECOVERY_MS;
  }

  /**
   * Writes new tasks and records, together or not at all. Their later changes are written after them. A change that overtook a failing
   * admission would leave a task on disk that its client was refused.
   * @param failed is called before that is thrown
   * @throws {AltLasError} `store_unavailable`
   */
  async admit(tasks: readonly Task[], records: readonly StoreRecord[], failed?: () => void): Promise<void> {
    for (const task of tasks) this.#admitting.set(task.id, false);
    // Their present states; changes during the write are written afterwards.
    const attempts = tasks.map(attemptNumber);
    try {
      await this.#parts.store.save(tasks, this.#withRecordsOf(tasks, records));
    } catch (error) {
      this.#onFailure(error);
      for (const task of tasks) this.#withdraw(task);
      failed?.();
      throw error;
    }
    this.#onSuccess();
    for (const [index, task] of tasks.entries()) {
      const changed = this.#admitting.get(task.id);
      this.#admitting.delete(task.id);
      if (attempts[index]! > 0) this.#parts.started(task, attempts[index]!);
      if (changed === true) this.#changedMeanwhile(task);
    }
    this.#parts.admitted(tasks);
  }

  /** Most tasks have none: their admissions make no list. */
  #withRecordsOf(tasks: readonly Task[], records: readonly StoreRecord[]): readonly StoreRecord[] {
    let all: StoreRecord[] | null = null;
    for (const task of tasks) {
      const own = this.#parts.recordsOf(task);
      if (own.length > 0) (all ??= [...records]).push(...own);
    }
    return all ?? records;
  }

  /**
   * A task has changed while its admission was written. One that had ended before the store made its row is on disk with its end: writing
   * that again would have its client wait for the disk a second time.
   */
  #changedMeanwhile(task: Task): void {
    const { store, recordsOf, ended } = this.#parts;
    const isWhole = isFinal(task.status) && store.statusOnDisk(task) === task.status && recordsOf(task).length === 0;
    if (!isWhole) return void this.#write(task);
    // Its submitter is told of that first, and may read along.
    setImmediate(() => ended(task));
  }

  /** Whether a new task is still being written. */
  isAdmitting(task: Task): boolean {
    return this.#admitting.has(task.id);
  }

  /** Writes a task's present state, however often that takes. */
  changed(task: Task): void {
    if (this.#withdrawn.has(task)) return;
    if (this.#admitting.has(task.id)) this.#admitting.set(task.id, true);
    else void this.#write(task);
  }

  /** Writes records that belong to no change of a task, however often that takes. @returns when that is done */
  record(records: readonly StoreRecord[]): Promise<void> {
    return new Promise((resolve) => void this.#writeRecords(records, resolve));
  }

  /** Tries once more what could not be written, and closes the store. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#writeFailed();
    await this.#parts.store.close();
    if (this.#failed.size === 0 || this.#parts.store.lost.aborted) return;
    const sentence = "states of tasks could not be written before the stop: what has ended among them runs again";
    this.#parts.log.error({ tasks: this.#failed.size }, sentence);
  }

  #withdraw(task: Task): void {
    this.#admitting.delete(task.id);
    this.#withdrawn.add(task);
  }

  async #write(task: Task): Promise<void> {
    // Read before the write: a task may end while its start is written, and that end is not on disk then.
    const ended = isFinal(task.status);
    const attempt = task.status === "running" ? attemptNumber(task) : 0;
    const { store, recordsOf, isAwaited, started, ended: onEnd, caughtUp } = this.#parts;
    const number = ++this.#writes;
    try {
      await store.save([task], recordsOf(task), ended && !isAwaited(task) ? "soon" : "now");
    } catch (error) {
      this.#failed.set(task, number);
      return this.#tryLater(error);
    }
    // This write makes up for an earlier one, and not for one that was refused while this one was in doubt: but nothing is newer than an
    // end. An ended task, or its texts, may be removed next; then another write could not succeed, or would bring the texts back.
    const isNewest = ended || (this.#failed.get(task) ?? Infinity) < number;
    const wasFailed = isNewest && this.#failed.delete(task);
    this.#onSuccess();
    if (attempt > 0) started(task, attempt);
    if (ended) onEnd(task);
    if (wasFailed && this.unwritten === 0) caughtUp();
  }

  async #writeRecords(records: readonly StoreRecord[], done: () => void): Promise<void> {
    try {
      await this.#parts.store.save([], records);
    } catch (error) {
      this.#failedRecords.set(records, done);
      return this.#tryLater(error);
    }
    const wasFailed = this.#failedRecords.delete(records);
    if (this.unwritten === 0) this.#trouble.worked();
    done();
    if (wasFailed && this.unwritten === 0) this.#parts.caughtUp();
  }

  #onFailure(error: unknown): void {
    this.#failedAt = performance.now();
    if (!(error instanceof StoreLost)) this.#trouble.failed(error);
  }

  #onSuccess(): void {
    this.#failedAt = -Infinity;
    if (this.unwritten === 0) this.#trouble.worked();
  }

  /** One timer and one log line for all failed writes, which on a full disk are all there are. */
  #tryLater(error: unknown): void {
    this.#onFailure(error);
    // No later try can succeed, and the store has said so.
    if (this.#retry !== null || this.#closing || error instanceof StoreLost) return;
    this.#retry = setTimeout(() => {
      this.#parts.log.error(
        { tasks: this.#failed.size, reason: messageOf(error) },
        "states of tasks could not be written; trying again",
      );
      this.#writeFailed();
    }, RETRY_MS);
  }

  #writeFailed(): void {
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    // They stay in the sets until they are written.
    for (const task of this.#failed.keys()) void this.#write(task);
    for (const [records, done] of this.#failedRecords) void this.#writeRecords(records, done);
  }
}
