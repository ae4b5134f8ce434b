import { startedModule } from "../../common/started-module.ts";
import { AltLasError } from "../../errors.ts";
import type { Task, TaskStatus } from "../../task.ts";
import { STORE_COMMITTED } from "../../topics.ts";
import {
  type Opened,
  type Store,
  StoreLost,
  type StoreLog,
  type StoreRecord,
  type SweepLimits,
  type When,
} from "../store.ts";
import { GroupCommit } from "./group-commit.ts";
import type { Exchange, Kind, Opening, StoreLimits } from "./messages.ts";
import {
  SqliteAudit,
  SqliteBatchFiles,
  SqliteFiles,
  SqliteIdempotency,
  SqliteOutbox,
  SqliteTasks,
  SqliteUsage,
} from "./ports.ts";
import { endedUsage } from "./usage.ts";
import { type Missing, OpenFiles } from "./presence.ts";
import { recordRow } from "./records.ts";
import { Restoring } from "./restoring.ts";
import { rowsOf } from "./saves.ts";
import { type Answer, StorageThread } from "./storage-thread.ts";
import type { UpgradeNews } from "./upgrade.ts";
import { tellOperators } from "../../topics.ts";

export interface SqliteStoreOptions extends StoreLimits {
  /** The database file; it and its folder are created when missing. */
  readonly path: string;
  readonly log?: StoreLog & { info(fields: object, message: string): void };
  /** Another program for the thread; for tests. */
  readonly thread?: URL;
}

/** A write that takes longer is told to the operator. */
const SLOW_MS = 1000;

/**
 * A store in one SQLite file, which belongs to one process at a time. The file is read and written by a thread of its own.
 *
 * Texts come back as UTF-8 encodes them: half a surrogate pair becomes U+FFFD, which an engine would read, too. Requests come back
 * unchanged, as JSON escapes such halves.
 */
export class SqliteStore implements Store {
  /** For metrics: transactions sent, and rows written by those that succeeded. */
  readonly written = { transactions: 0, inserts: 0, updates: 0 };

  readonly #options: SqliteStoreOptions;
  readonly #lost = new AbortController();
  readonly lost = this.#lost.signal;
  readonly tasks: SqliteTasks;
  readonly outbox: SqliteOutbox;
  readonly idempotency: SqliteIdempotency;
  readonly usage: SqliteUsage;
  readonly batchFiles: SqliteBatchFiles;
  readonly files: SqliteFiles;
  readonly audit: SqliteAudit;
  readonly #commits = new GroupCommit({
    write: (tasks, records) => this.#write(tasks, records),
    failed: (error, saves) => this.#onWriteFailed(error, saves),
  });
  #thread: StorageThread | undefined;
  #opening: Promise<Opened> | undefined;
  #closing: Promise<void> | undefined;
  /** Why requests are refused now; null: they are not. */
  #refusal: AltLasError | null = new AltLasError("store_unavailable", "the task database is not open");
  /** The copy under way. */
  #copy: PromiseWithResolvers<number> | undefined;
  /** The status in the row of each task that has one. Weak, so that finished tasks can be forgotten. */
  readonly #stored = new WeakMap<Task, TaskStatus>();

  constructor(options: SqliteStoreOptions) {
    this.#options = options;
    const ask = <K extends Kind>(kind: K, request: Exchange[K]["request"]): Promise<Answer<K>> =>
      this.#request(kind, request);
    this.tasks = new SqliteTasks(ask, this.#stored);
    this.outbox = new SqliteOutbox(ask, (records) => this.save([], records));
    this.idempotency = new SqliteIdempotency(ask);
    this.usage = new SqliteUsage(ask);
    this.batchFiles = new SqliteBatchFiles(ask);
    this.files = new SqliteFiles(ask);
    this.audit = new SqliteAudit(ask);
  }

  /**
   * A damaged file goes into quarantine, with its log: it is renamed to `<path>.damaged-<time>`.
   * @throws {AltLasError} `conflict` when another server uses the file, `bad_config` when it is another program's, a newer version's,
   *   or cannot be used at that path, `store_unavailable` when it is damaged and cannot be moved
   */
  open(): Promise<Opened> {
    this.#opening ??= this.#open();
    return this.#opening;
  }

  save(tasks: readonly Task[], records: readonly StoreRecord[] = [], when: When = "now"): Promise<void> {
    if (this.#refusal !== null) return Promise.reject(this.#refusal);
    if (tasks.length === 0 && records.length === 0) return Promise.resolve();
    return this.#commits.save(tasks, records, when);
  }

  statusOnDisk(task: Task): TaskStatus | null {
    return this.#stored.get(task) ?? null;
  }

  async sweep(limits: SweepLimits): Promise<boolean> {
    return (await this.#request("sweep", { limits })).value;
  }

  /**
   * Copies the database as of one moment into a new file, while it is read and written as always. One copy at a time.
   * @returns the number of the last migration that it has
   * @throws {AltLasError} `conflict` when another copy is under way, `store_unavailable` when it fails or the signal is aborted
   */
  async copy(path: string, signal: AbortSignal): Promise<number> {
    if (this.#copy !== undefined) throw new AltLasError("conflict", "Another copy of the database is under way.");
    const copy = Promise.withResolvers<number>();
    this.#copy = copy;
    const stop = (): void => void this.#ask("stopCopy", {}).catch(() => undefined);
    signal.addEventListener("abort", stop);
    try {
      await this.#request("copy", { path });
      if (signal.aborted) stop();
      return await copy.promise;
    } finally {
      signal.removeEventListener("abort", stop);
      this.#copy = undefined;
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #open(): Promise<Opened> {
    if (this.#closing !== undefined) throw this.#refusal;
    const { path, cacheBytes, maxPages, thread: program } = this.#options;
    const thread = new StorageThread(program ?? startedModule("./thread", import.meta.url), {
      ended: (error) => this.#onThreadEnd(error),
      upgrading: (news) => this.#options.log && logUpgrade(this.#options.log, path, news),
      copied: (schema, reason) => this.#onCopied(schema, reason),
      lost: (missing, rescue) => this.#onFilesLost(missing, rescue),
    });
    this.#thread = thread;
    try {
      const restoring = new Restoring();
      const value = await thread.read("open", { path, limits: { cacheBytes, maxPages } }, restoring);
      const live = restoring.tasks;
      for (const task of live) this.#stored.set(task, task.status);
      this.#tellOf(value);
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

  #tellOf({ quarantined }: Opening): void {
    if (quarantined === null) return;
    const { path } = this.#options;
    this.#options.log?.error(
      { path, movedTo: quarantined.path, reason: quarantined.reason },
      `${path} is damaged (${quarantined.reason}); it was moved to ${quarantined.path}, and an empty database was made in its place`,
    );
    const sentence = `${path} is damaged (${quarantined.reason}); it was moved to ${quarantined.path}.`;
    tellOperators({ kind: "store", event: "quarantined", sentence });
  }

  async #close(): Promise<void> {
    await this.#opening?.catch(() => undefined);
    // A thread whose files are lost answers no other request, but has to be told to end.
    const usable = this.#refusal === null || this.lost.aborted;
    // 1. Nothing new is taken. 2. Pending saves are written or refused. 3. The thread closes the file and ends.
    this.#refusal = new AltLasError("store_unavailable", "the task database is closed");
    if (usable) {
      await this.#commits.idle();
      await this.#ask("close", {}).catch(() => undefined);
    }
    await this.#thread?.exited;
  }

  async #write(tasks: ReadonlySet<Task>, records: readonly StoreRecord[]): Promise<void> {
    const { inserts, updates, transfer } = rowsOf(tasks, this.#stored);
    const usage = endedUsage(tasks, this.#stored);
    // They may change while they are written.
    const written = Array.from(tasks, (task) => [task, task.status] as const);
    this.written.transactions++;
    const started = performance.now();
    await this.#ask("write", { inserts, updates, usage, records: records.map(recordRow) }, transfer);
    for (const [task, status] of written) this.#stored.set(task, status);
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
    const { path } = this.#options;
    this.#options.log?.error({ reason: error.message, path, saves }, "tasks could not be written");
  }

  async #request<K extends Kind>(kind: K, request: Exchange[K]["request"]): Promise<Answer<K>> {
    if (this.#refusal !== null) throw this.#refusal;
    return this.#ask(kind, request);
  }

  async #ask<K extends Kind>(
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

  #onCopied(schema: number | null, reason: string): void {
    if (schema !== null) return this.#copy?.resolve(schema);
    this.#copy?.reject(new AltLasError("store_unavailable", `The database could not be copied: ${reason}.`));
  }

  /** Also called at the end of `close`, when no request waits. */
  #onThreadEnd(error: AltLasError): void {
    this.#copy?.reject(error);
    if (this.#refusal !== null) return;
    this.#options.log?.error({ err: error }, "no task can be stored until the server is restarted");
    this.#lose(new StoreLost("The task store has failed. Nothing can be stored until the server is started again."));
  }

  #onFilesLost(missing: Missing, rescue: string): void {
    const { file, path, how } = missing;
    const message = `${path} was ${how} while the server ran: nothing can be stored until it is started again; ${rescue}`;
    this.#options.log?.error({ file, path, how }, message);
    this.#lose(new StoreLost(OpenFiles.sentence(missing)));
  }

  #lose(error: StoreLost): void {
    this.#refusal ??= error;
    this.#lost.abort(error);
  }
}

function logUpgrade(log: NonNullable<SqliteStoreOptions["log"]>, path: string, news: UpgradeNews): void {
  switch (news.news) {
    case "copying":
      return log.info({ path, copy: news.to, bytes: news.bytes }, "the task database is copied before it is upgraded");
    case "not copied":
      return log.warn(
        { path, copy: news.to, reason: news.reason },
        "the task database is upgraded without a copy of it as it was",
      );
    case "migration":
      return log.info(
        { path, migration: news.file },
        `the task database gets step ${news.step} of ${news.last} of its schema`,
      );
    case "progress":
      return log.info({ path }, `brings ${shownCount(news.done)} of ${shownCount(news.total)} tasks over`);
  }
}

/** Like "12,000". */
function shownCount(count: number): string {
  return count.toLocaleString("en");
}
