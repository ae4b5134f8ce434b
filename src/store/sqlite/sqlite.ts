import { AltLasError, messageOf } from "../../errors.ts";
import type { Request } from "../../request.ts";
import type { Task } from "../../task.ts";
import { needsScan } from "./listing.ts";
import type { Exchange, Kind, Opening, StoreLimits } from "./messages.ts";
import { deliveryOf, recordRow } from "./records.ts";
import type { Row } from "./columns.ts";
import { charactersOfRow, listedTaskOf, taskOf } from "./rows.ts";
import { type Missing, OpenFiles } from "./presence.ts";
import { Restoring } from "./restoring.ts";
import { charactersOf, copyOf, independent, rowsOf, type Save } from "./saves.ts";
import { type Answer, RowError, StorageThread } from "./storage-thread.ts";
import { StoreLost } from "../store.ts";
import { WHOLE } from "../store.ts";
import type {
  BatchState,
  Delivery,
  IdempotencyRecord,
  ListedPage,
  ListedTask,
  Reading,
  Store,
  StoreRecord,
  SweepLimits,
  TaskFilter,
  WebhookSecret,
} from "../store.ts";

/** What the store tells the operator. */
export interface StoreLog {
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface SqliteStoreOptions extends StoreLimits {
  /** The database file; it and its folder are created when missing. */
  readonly path: string;
  readonly log?: StoreLog & { info(fields: object, message: string): void };
  /** Another program for the thread; for tests. */
  readonly thread?: URL;
}

/** What one transaction holds at most, unless a single save holds more: larger ones make everybody wait longer. */
const MAX_ROWS = 2000;
const MAX_CHARACTERS = 16 * 1024 * 1024;
const SLOW_MS = 1000;

/**
 * Tasks in one SQLite file, which belongs to one process at a time.
 *
 * Group commit: at most one write is under way; saves made meanwhile become the next one, in which a task appears once
 * in its state of that moment. So the fewer commits the disk manages, the more tasks each of them carries.
 *
 * Texts come back as UTF-8 keeps them: half a surrogate pair becomes U+FFFD, which is also what an engine would read.
 */
export class SqliteStore implements Store {
  /** For metrics: transactions sent, and rows written by those that succeeded. */
  readonly written = { transactions: 0, inserts: 0, updates: 0 };

  readonly #options: SqliteStoreOptions;
  readonly #lost = new AbortController();
  readonly lost = this.#lost.signal;
  #thread: StorageThread | undefined;
  #opening: ReturnType<Store["open"]> | undefined;
  #closing: Promise<void> | undefined;
  /** Why nothing can be asked for now; null: it can. */
  #refusal: AltLasError | null = new AltLasError("store_unavailable", "the task database is not open");

  /** Saves for the next write. */
  readonly #pending: Save[] = [];
  /** Halves of writes that failed because of one row; they are tried before `#pending`. */
  readonly #retries: Save[][] = [];
  #writing = false;
  #gathering = false;
  #onIdle: (() => void) | undefined;
  /** The copy under way. */
  #copy: PromiseWithResolvers<number> | undefined;
  /** The scan before the next one: two at a time would make a write wait for two windows. */
  #scans: Promise<unknown> = Promise.resolve();
  /** Tasks that have a row. Weak, so that finished tasks can be forgotten. */
  readonly #stored = new WeakSet<Task>();

  constructor(options: SqliteStoreOptions) {
    this.#options = options;
  }

  /**
   * A damaged file is moved aside, with its log, to `<path>.damaged-<time>`.
   * @throws {AltLasError} `conflict` when another server uses the file, `bad_config` when it is another program's, a newer version's,
   *   or cannot be used at that path, `store_unavailable` when it is damaged and cannot be moved
   */
  open(): ReturnType<Store["open"]> {
    this.#opening ??= this.#open();
    return this.#opening;
  }

  save(tasks: readonly Task[], records: readonly StoreRecord[] = []): Promise<void> {
    if (this.#refusal !== null) return Promise.reject(this.#refusal);
    if (tasks.length === 0 && records.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const characters = charactersOf(tasks, records);
      this.#pending.push({ tasks: tasks.slice(), records: records.map(copyOf), characters, resolve, reject });
      this.#gather();
    });
  }

  async get(id: string): Promise<Task | null> {
    const { rows } = await this.#request("get", { id });
    return this.#tasksOf(rows)[0] ?? null;
  }

  async request(seq: number): Promise<Request | null> {
    return (await this.#request("request", { seq })).value;
  }

  async list(filter: TaskFilter, reading: Reading = WHOLE): Promise<ListedPage> {
    if (needsScan(filter)) return this.#scanInTurn(filter, reading);
    const { rows, value } = await this.#request("list", { filter, reading });
    const { more } = value;
    const total = reading.counted ? value.total : 0;
    return { tasks: rows.map(listedTaskOf), total, ...(more && { more }) };
  }

  async batch(id: string): Promise<BatchState | null> {
    return (await this.#request("batch", { id })).value;
  }

  async endsOf(
    batchId: string,
    offset: number,
    limit: number,
    maxCharacters = WHOLE.maxCharacters,
  ): Promise<ListedTask[]> {
    return (await this.#request("ends", { batchId, offset, limit, maxCharacters })).rows.map(listedTaskOf);
  }

  async idempotency(user: string, key: string): Promise<IdempotencyRecord | null> {
    return (await this.#request("idempotency", { user, key })).value;
  }

  async remove(id: string): Promise<boolean> {
    return (await this.#request("remove", { id })).value;
  }

  async sweep(limits: SweepLimits): Promise<boolean> {
    return (await this.#request("sweep", { limits })).value;
  }

  async countEnded(before: number): Promise<number> {
    return (await this.#request("countEnded", { before })).value;
  }

  async pendingDeliveries(limit: number): Promise<Delivery[]> {
    return (await this.#request("pending", { limit })).rows.map(deliveryOf);
  }

  async deliveriesOf(subject: string): Promise<Delivery[]> {
    return (await this.#request("deliveries", { subject })).rows.map(deliveryOf);
  }

  async secret(user: string): Promise<WebhookSecret | null> {
    return (await this.#request("secret", { user })).value;
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

  async #open(): ReturnType<Store["open"]> {
    if (this.#closing !== undefined) throw this.#refusal;
    const { path, cacheBytes, maxPages, thread: program } = this.#options;
    const thread = new StorageThread(program ?? new URL("./thread.ts", import.meta.url), {
      ended: (error) => this.#onThreadEnd(error),
      migrating: ({ step, last, file }) =>
        this.#options.log?.info(
          { path, migration: file },
          `the task database gets step ${step} of ${last} of its schema`,
        ),
      copied: (schema, reason) => this.#onCopied(schema, reason),
      lost: (missing, rescue) => this.#onFilesLost(missing, rescue),
    });
    this.#thread = thread;
    try {
      const restoring = new Restoring();
      const value = await thread.read("open", { path, limits: { cacheBytes, maxPages } }, restoring);
      const live = restoring.tasks;
      for (const task of live) this.#stored.add(task);
      this.#tellOf(value);
      this.#refusal = null;
      const { batches, lastSeq, past, aside } = value;
      return { live, batches, lastSeq, past, movedAside: aside?.path ?? null };
    } catch (error) {
      // It has ended by itself, unless it is a row that cannot be understood.
      await thread.ask("close", {}).catch(() => undefined);
      await thread.exited;
      throw error;
    }
  }

  #tellOf({ aside }: Opening): void {
    if (aside === null) return;
    const { path } = this.#options;
    this.#options.log?.error(
      { path, movedTo: aside.path, reason: aside.reason },
      `${path} is damaged (${aside.reason}); it was moved to ${aside.path}, and an empty database was made in its place`,
    );
  }

  async #close(): Promise<void> {
    await this.#opening?.catch(() => undefined);
    // A thread whose files are lost answers nothing else, but has to be told to end.
    const usable = this.#refusal === null || this.lost.aborted;
    // 1. Nothing new is taken. 2. What is pending is written or refused. 3. The thread closes the file and ends.
    this.#refusal = new AltLasError("store_unavailable", "the task database is closed");
    if (usable) {
      await this.#idle();
      await this.#ask("close", {}).catch(() => undefined);
    }
    await this.#thread?.exited;
  }

  #scanInTurn(filter: TaskFilter, reading: Reading): Promise<ListedPage> {
    const scan = this.#scans.then(() => this.#scan(filter, reading));
    this.#scans = scan.catch(() => undefined);
    return scan;
  }

  /** Writes get their turn between two windows; tasks that are newer than the first window are not looked at. */
  async #scan(filter: TaskFilter, { maxCharacters, counted }: Reading): Promise<ListedPage> {
    const tasks: ListedTask[] = [];
    let { limit, offset } = filter;
    let total = 0;
    let characters = 0;
    let more = false;
    // A list that goes on begins where it was; only to count, all has to be looked at.
    let below: number | null = counted ? Number.MAX_SAFE_INTEGER : (filter.after ?? Number.MAX_SAFE_INTEGER);
    while (below !== null) {
      const { rows, value }: Answer<"scan"> = await this.#request("scan", {
        filter: { ...filter, limit, offset },
        below,
        maxCharacters: maxCharacters - characters,
      });
      more ||= value.more;
      for (const row of rows) {
        tasks.push(listedTaskOf(row));
        characters += charactersOfRow(row);
      }
      total += value.matched;
      // What is left over begins the next part of the list.
      if (characters >= maxCharacters && limit > rows.length) more = true;
      limit = more ? 0 : limit - rows.length;
      if (!counted && limit === 0) break;
      offset -= value.passed;
      below = value.next;
    }
    return { tasks, total: counted ? total : 0, ...(more && { more }) };
  }

  #idle(): Promise<void> {
    if (!this.#writing && this.#pending.length === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#onIdle = resolve));
  }

  /** Starts a write after this turn of the event loop, so that the saves of the whole turn share it. */
  #gather(): void {
    if (this.#gathering || this.#writing) return;
    this.#gathering = true;
    setImmediate(() => {
      this.#gathering = false;
      this.#flush();
    });
  }

  /** Writes what waits, if anything does and no write is under way. */
  #flush(): void {
    if (this.#writing) return;
    const saves = this.#take();
    if (saves.length === 0) return this.#onIdle?.();
    this.#writing = true;
    void this.#commit(saves);
  }

  /** Never rejects: each of the saves learns how it went. */
  async #commit(saves: readonly Save[]): Promise<void> {
    try {
      const tasks = new Set(saves.flatMap((save) => save.tasks));
      await this.#write(
        tasks,
        saves.flatMap((save) => save.records),
      );
      for (const task of tasks) this.#stored.add(task);
    } catch (error) {
      this.#writing = false;
      this.#onWriteFailed(saves, error);
      this.#flush();
      return;
    }
    this.#writing = false;
    // The next write first: the disk works while the callers go on.
    this.#flush();
    for (const save of saves) save.resolve();
  }

  /** The saves of the next write. */
  #take(): Save[] {
    const retry = this.#retries.shift();
    if (retry !== undefined) return retry;
    let rows = 0;
    let characters = 0;
    const end = this.#pending.findIndex((save, index) => {
      rows += save.tasks.length + save.records.length;
      characters += save.characters;
      return index > 0 && (rows > MAX_ROWS || characters > MAX_CHARACTERS);
    });
    return this.#pending.splice(0, end === -1 ? this.#pending.length : end);
  }

  async #write(tasks: ReadonlySet<Task>, records: readonly StoreRecord[]): Promise<void> {
    const { inserts, updates, transfer } = rowsOf(tasks, this.#stored);
    this.written.transactions++;
    const started = performance.now();
    await this.#ask("write", { inserts, updates, records: records.map(recordRow) }, transfer);
    this.written.inserts += inserts.length;
    this.written.updates += updates.length;
    const ms = Math.round(performance.now() - started);
    if (ms > SLOW_MS) this.#options.log?.warn({ ms, tasks: tasks.size }, "writing tasks to disk is slow");
  }

  /**
   * One bad task must not fail saves that have nothing to do with it, so they are tried again in halves until it is
   * alone. Saves that share a task or a record's subject stay together: written apart, one of them would write what belongs to the
   * other, or they would take effect in another order.
   */
  #onWriteFailed(saves: readonly Save[], error: unknown): void {
    // What is not an AltLasError was thrown while rows were made or sent, and so is about one of them too.
    const ofRow = error instanceof RowError || !(error instanceof AltLasError);
    const groups = ofRow ? independent(saves) : [];
    if (groups.length > 1) {
      const half = groups.length >> 1;
      this.#retries.unshift(groups.slice(0, half).flat(), groups.slice(half).flat());
      return;
    }
    const refusal = error instanceof AltLasError ? error : new AltLasError("store_unavailable", messageOf(error));
    if (!(error instanceof StoreLost)) {
      const { path } = this.#options;
      this.#options.log?.error({ reason: messageOf(error), path, saves: saves.length }, "tasks could not be written");
    }
    for (const save of saves) save.reject(refusal);
  }

  #tasksOf(rows: readonly Row[]): Task[] {
    const tasks = rows.map((row) => taskOf(row));
    for (const task of tasks) this.#stored.add(task);
    return tasks;
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

  /** Also called at the end of `close`, when nothing waits any more. */
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
