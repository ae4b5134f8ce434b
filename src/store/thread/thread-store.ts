import type { ForgetOptions, ForgetStep } from "../forget.ts";
import { AltLasError } from "../../errors.ts";
import type { Task, TaskStatus } from "../../task.ts";
import { STORE_COMMITTED } from "../../topics.ts";
import {
  type Opened,
  type Store,
  StoreLost,
  StoreTaken,
  type StoreLog,
  type StoreRecord,
  type SweepLimits,
  type When,
} from "../store.ts";
import { GroupCommit } from "./group-commit.ts";
import type { Exchange, Kind, News, Opening, Place } from "./messages.ts";
import {
  StoredAudit,
  StoredBatchFiles,
  StoredFiles,
  StoredIdempotency,
  StoredOutbox,
  StoredTasks,
  StoredUsage,
} from "./ports.ts";
import { recordRow } from "./records.ts";
import { Restoring } from "./restoring.ts";
import { rowsOf } from "./saves.ts";
import { type Answer, StorageThread } from "./storage-thread.ts";
import { storedStatuses } from "./stored-statuses.ts";
import { endedUsage } from "./usage-rows.ts";

export type ThreadStoreLog = StoreLog & { info(fields: object, message: string): void };

export interface ThreadStoreOptions {
  readonly place: Place;
  /** The program of the thread. */
  readonly program: URL;
  /** Named in the lines of the log, like `{ path: … }`. */
  readonly named: object;
  readonly log: ThreadStoreLog | undefined;
}

/** A write that takes longer is told to the operator. */
const SLOW_MS = 1000;

/**
 * A store whose database is read and written by a thread of its own.
 *
 * Texts come back as UTF-8 encodes them: half a surrogate pair becomes U+FFFD, which an engine would read, too. Requests come back
 * unchanged, as JSON escapes such halves.
 */
export class ThreadStore implements Store {
  /** For metrics: transactions sent, and rows written by those that succeeded. */
  readonly written = { transactions: 0, inserts: 0, updates: 0 };

  readonly #options: ThreadStoreOptions;
  readonly #lost = new AbortController();
  readonly lost = this.#lost.signal;
  readonly tasks: StoredTasks;
  readonly outbox: StoredOutbox;
  readonly idempotency: StoredIdempotency;
  readonly usage: StoredUsage;
  readonly batchFiles: StoredBatchFiles;
  readonly files: StoredFiles;
  readonly audit: StoredAudit;
  readonly #commits = new GroupCommit({
    write: (tasks, records) => this.#write(tasks, records),
    failed: (error, saves) => this.#onWriteFailed(error, saves),
  });
  #thread: StorageThread | undefined;
  #opening: Promise<Opened> | undefined;
  #closing: Promise<void> | undefined;
  /** Why requests are refused now; null: they are not. */
  #refusal: AltLasError | null = new AltLasError("store_unavailable", "the task database is not open");
  /** Why saves are refused until the database is back; null: they are not. */
  #away: AltLasError | null = null;
  /** Ends the wait for a write, at a close; undefined: nothing waits. */
  #giveUp: (() => void) | undefined;
  readonly #stored = storedStatuses();

  constructor(options: ThreadStoreOptions) {
    this.#options = options;
    const ask = <K extends Kind>(kind: K, request: Exchange[K]["request"]): Promise<Answer<K>> =>
      this.request(kind, request);
    this.tasks = new StoredTasks(ask, this.#stored);
    this.outbox = new StoredOutbox(ask, (records) => this.save([], records));
    this.idempotency = new StoredIdempotency(ask);
    this.usage = new StoredUsage(ask);
    this.batchFiles = new StoredBatchFiles(ask);
    this.files = new StoredFiles(ask);
    this.audit = new StoredAudit(ask);
  }

  get away(): boolean {
    return this.#away !== null;
  }

  /** Starts the thread, which loads its program, for an opening that has no time for that. */
  prepare(): void {
    const ended = (error: AltLasError): void => {
      // The opening that it was prepared for starts another one.
      if (this.#opening === undefined) this.#thread = undefined;
      this.onThreadEnd(error);
    };
    this.#thread ??= new StorageThread(this.#options.program, { ended, news: (news) => this.onNews(news) });
  }

  /** @throws {AltLasError} `conflict` when another server uses the database, `bad_config` when it cannot be used as it is */
  open(): Promise<Opened> {
    this.#opening ??= this.#open();
    return this.#opening;
  }

  save(tasks: readonly Task[], records: readonly StoreRecord[] = [], when: When = "now"): Promise<void> {
    const refusal = this.#refusal ?? this.#away;
    if (refusal !== null) return Promise.reject(refusal);
    if (tasks.length === 0 && records.length === 0) return Promise.resolve();
    return this.#commits.save(tasks, records, when);
  }

  statusOnDisk(task: Task): TaskStatus | null {
    return this.#stored.get(task) ?? null;
  }

  async sweep(limits: SweepLimits): Promise<boolean> {
    return (await this.request("sweep", { limits })).value;
  }

  async forget(options: ForgetOptions): Promise<ForgetStep> {
    return (await this.request("forget", { options })).value;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Asks the thread, unless requests are refused. */
  protected async request<K extends Kind>(kind: K, request: Exchange[K]["request"]): Promise<Answer<K>> {
    if (this.#refusal !== null) throw this.#refusal;
    return this.ask(kind, request);
  }

  protected async ask<K extends Kind>(
    kind: K,
    request: Exchange[K]["request"],
    transfer: readonly ArrayBuffer[] = [],
  ): Promise<Answer<K>> {
    if (this.#thread === undefined) throw this.#refusal;
    try {
      return await this.#thread.ask(kind, request, transfer);
    } catch (error) {
      throw this.lost.aborted ? this.lost.reason : error;
    }
  }

  /** The database is open. */
  protected onOpened(_opening: Opening): void {}

  /** The thread has told something by itself, or at last that it has ended. */
  protected onNews(news: News): void {
    switch (news.kind) {
      case "line":
        return this.#options.log?.[news.level](news.fields, news.message);
      case "away":
        return this.#onAway(news.sentence);
      case "lost":
        return this.#lose(new (news.isTaken ? StoreTaken : StoreLost)(news.sentence));
    }
  }

  /** Also called at the end of `close`, when no request waits. */
  protected onThreadEnd(error: AltLasError): void {
    if (this.#refusal !== null) return;
    this.#options.log?.error({ err: error }, "no task can be stored until the server is restarted");
    this.#lose(new StoreLost("The task store has failed. Nothing can be stored until the server is started again."));
  }

  async #open(): Promise<Opened> {
    if (this.#closing !== undefined) throw this.#refusal;
    const { place } = this.#options;
    this.prepare();
    const thread = this.#thread!;
    try {
      const restoring = new Restoring();
      const value = await thread.read("open", { place }, restoring);
      const live = restoring.tasks;
      for (const task of live) this.#stored.set(task, task.status);
      this.onOpened(value);
      this.#refusal = null;
      const { batches, lastSeq, past, quarantined } = value;
      return { live, batches, lastSeq, past, quarantinedTo: quarantined?.path ?? null };
    } catch (error) {
      // The thread has ended by itself, unless the error is about a row that cannot be read.
      await thread.ask("close", {}).catch(() => undefined);
      await thread.exited;
      throw error;
    }
  }

  async #close(): Promise<void> {
    await this.#opening?.catch(() => undefined);
    // A thread whose database is lost answers no other request, but has to be told to end.
    const usable = this.#refusal === null || this.lost.aborted;
    // 1. Nothing new is taken. 2. Pending saves are written or refused. 3. The thread closes the database and ends.
    this.#refusal = new AltLasError("store_unavailable", "the task database is closed");
    if (usable) {
      await Promise.race([this.#commits.idle(), this.#untilAway()]);
      await this.ask("close", {}).catch(() => undefined);
    }
    // It was prepared, and not opened.
    if (this.#opening === undefined) await this.ask("close", {}).catch(() => undefined);
    await this.#thread?.exited;
  }

  async #write(tasks: ReadonlySet<Task>, records: readonly StoreRecord[]): Promise<void> {
    const { inserts, updates, transfer } = rowsOf(tasks, this.#stored);
    const usage = endedUsage(tasks, this.#stored);
    // They may change while they are written.
    const statuses = statusesOf(tasks);
    this.written.transactions++;
    const started = performance.now();
    await this.ask("write", { inserts, updates, usage, records: records.map(recordRow) }, transfer);
    let index = 0;
    for (const task of tasks) this.#stored.set(task, statuses[index++]!);
    this.written.inserts += inserts.length;
    this.written.updates += updates.length;
    const took = performance.now() - started;
    if (STORE_COMMITTED.isHeard) STORE_COMMITTED.publish({ seconds: took / 1000 });
    const ms = Math.round(took);
    if (ms > SLOW_MS) this.#options.log?.warn({ ms, tasks: tasks.size }, "writing tasks to disk is slow");
  }

  /** The loss of the store was reported already. */
  #onWriteFailed(error: AltLasError, saves: number): void {
    if (error instanceof StoreLost) return;
    this.#options.log?.error({ reason: error.message, ...this.#options.named, saves }, "tasks could not be written");
  }

  /** Resolves when the database is away: nobody knows for how long. */
  #untilAway(): Promise<void> {
    if (this.#away !== null) return Promise.resolve();
    return new Promise((resolve) => (this.#giveUp = resolve));
  }

  /** A write under way may be in the database or not: its saves wait until that is known. Those behind it need not. */
  #onAway(sentence: string | null): void {
    this.#away = sentence === null ? null : new AltLasError("store_unavailable", sentence);
    if (this.#away === null) return;
    this.#commits.refuse(this.#away);
    this.#giveUp?.();
  }

  #lose(error: StoreLost): void {
    this.#refusal ??= error;
    this.#lost.abort(error);
  }
}

function statusesOf(tasks: Iterable<Task>): readonly TaskStatus[] {
  const statuses: TaskStatus[] = [];
  for (const { status } of tasks) statuses.push(status);
  return statuses;
}
