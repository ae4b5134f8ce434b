import { Worker } from "node:worker_threads";
import { AltLasError, messageOf } from "../errors.ts";
import type { Task } from "../task.ts";
import type { Failure, Reply, Request } from "./messages.ts";
import { changedRow, listedTaskOf, newRow, type Row, taskOf } from "./rows.ts";
import type { ListedTask, Store, TaskFilter } from "./store.ts";

/** What the store tells the operator. */
export interface StoreLog {
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface SqliteStoreOptions {
  /** The database file; it and its folder are created when missing. */
  readonly path: string;
  readonly log?: StoreLog;
  /** The largest the database file may become, in pages of 4096 bytes; beyond it saves fail like on a full disk. */
  readonly maxPages?: number;
  /** Another program for the thread; for tests. */
  readonly thread?: URL;
}

/** What one transaction holds at most, unless a single save holds more: larger ones make everybody wait longer. */
const MAX_TASKS = 2000;
const MAX_CHARACTERS = 16 * 1024 * 1024;
const SLOW_MS = 1000;

interface Save {
  readonly tasks: readonly Task[];
  /** In their texts. */
  readonly characters: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

interface Answer {
  readonly rows: Row[];
  readonly value: number;
}

interface Question {
  readonly rows: Row[];
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

/** A failed transaction that may succeed without one of its rows. */
class RowError extends AltLasError {}

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
  #worker: Worker | undefined;
  #exited: Promise<void> = Promise.resolve();
  #opening: ReturnType<Store["open"]> | undefined;
  #closing: Promise<void> | undefined;
  /** Why nothing can be asked for now; null: it can. */
  #refusal: AltLasError | null = new AltLasError("store_unavailable", "the task database is not open");

  /** Asked, not answered, in the order they were sent. */
  readonly #questions: Question[] = [];
  /** Saves for the next write. */
  readonly #pending: Save[] = [];
  /** Halves of writes that failed because of one row; they are tried before `#pending`. */
  readonly #retries: Save[][] = [];
  #writing = false;
  #gathering = false;
  #onIdle: (() => void) | undefined;
  /** Tasks that have a row. Weak, so that finished tasks can be forgotten. */
  readonly #stored = new WeakSet<Task>();

  constructor(options: SqliteStoreOptions) {
    this.#options = options;
  }

  /**
   * @throws {AltLasError} `conflict` when another server uses the file, `store_unavailable` when it is damaged,
   *   `bad_config` when it is another program's, a newer version's, or cannot be used at that path
   */
  open(): ReturnType<Store["open"]> {
    this.#opening ??= this.#open();
    return this.#opening;
  }

  save(tasks: readonly Task[]): Promise<void> {
    if (this.#refusal !== null) return Promise.reject(this.#refusal);
    if (tasks.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#pending.push({ tasks: tasks.slice(), characters: charactersOf(tasks), resolve, reject });
      this.#gather();
    });
  }

  async get(id: string): Promise<Task | null> {
    const { rows } = await this.#request({ kind: "get", id });
    return this.#tasksOf(rows)[0] ?? null;
  }

  async list(filter: TaskFilter): Promise<{ tasks: ListedTask[]; total: number }> {
    const { rows, value } = await this.#request({ kind: "list", filter });
    return { tasks: rows.map(listedTaskOf), total: value };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #open(): ReturnType<Store["open"]> {
    if (this.#closing !== undefined) throw this.#refusal;
    this.#start();
    const { path, maxPages } = this.#options;
    try {
      const { rows, value } = await this.#ask({ kind: "open", path, maxPages });
      this.#refusal = null;
      return { live: this.#tasksOf(rows), lastSeq: value };
    } catch (error) {
      await this.#exited;
      throw error;
    }
  }

  #start(): void {
    const worker = new Worker(this.#options.thread ?? new URL("./sqlite-thread.ts", import.meta.url));
    this.#worker = worker;
    const exit = Promise.withResolvers<void>();
    this.#exited = exit.promise;
    worker.on("message", (reply: Reply) => this.#onReply(reply));
    worker.on("error", (error) => this.#onThreadEnd(messageOf(error)));
    worker.on("messageerror", (error) => this.#onThreadEnd(messageOf(error)));
    worker.on("exit", (code) => {
      this.#onThreadEnd(`exit code ${code}`);
      exit.resolve();
    });
  }

  async #close(): Promise<void> {
    await this.#opening?.catch(() => undefined);
    const usable = this.#refusal === null;
    // 1. Nothing new is taken. 2. What is pending is written or refused. 3. The thread closes the file and ends.
    this.#refusal = new AltLasError("store_unavailable", "the task database is closed");
    if (usable) {
      await this.#idle();
      await this.#ask({ kind: "close" }).catch(() => undefined);
    }
    await this.#exited;
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
      await this.#write(tasks);
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
    let tasks = 0;
    let characters = 0;
    const end = this.#pending.findIndex((save, index) => {
      tasks += save.tasks.length;
      characters += save.characters;
      return index > 0 && (tasks > MAX_TASKS || characters > MAX_CHARACTERS);
    });
    return this.#pending.splice(0, end === -1 ? this.#pending.length : end);
  }

  async #write(tasks: ReadonlySet<Task>): Promise<void> {
    const inserts: Row[] = [];
    const updates: Row[] = [];
    for (const task of tasks) {
      if (this.#stored.has(task)) updates.push(changedRow(task));
      else inserts.push(newRow(task));
    }
    this.written.transactions++;
    const started = performance.now();
    await this.#ask({ kind: "write", inserts, updates });
    this.written.inserts += inserts.length;
    this.written.updates += updates.length;
    const ms = Math.round(performance.now() - started);
    if (ms > SLOW_MS) this.#options.log?.warn({ ms, tasks: tasks.size }, "writing tasks to disk is slow");
  }

  /**
   * One bad task must not fail saves that have nothing to do with it, so they are tried again in halves until it is
   * alone. Saves that share a task stay together: written apart, one of them would write what belongs to the other.
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
    this.#options.log?.error({ reason: messageOf(error), saves: saves.length }, "tasks could not be written");
    const refusal = error instanceof AltLasError ? error : new AltLasError("store_unavailable", messageOf(error));
    for (const save of saves) save.reject(refusal);
  }

  #tasksOf(rows: readonly Row[]): Task[] {
    const tasks = rows.map((row) => taskOf(row));
    for (const task of tasks) this.#stored.add(task);
    return tasks;
  }

  #request(request: Request): Promise<Answer> {
    return this.#refusal === null ? this.#ask(request) : Promise.reject(this.#refusal);
  }

  #ask(request: Request): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#worker === undefined) throw this.#refusal;
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
      this.#worker.postMessage(request);
      this.#questions.push({ rows: [], resolve, reject });
    });
  }

  #onReply(reply: Reply): void {
    const question = this.#questions[0];
    if (question === undefined) return;
    if (reply.kind === "rows") {
      for (const row of reply.rows) question.rows.push(row);
      return;
    }
    this.#questions.shift();
    if (reply.kind === "done") question.resolve({ rows: question.rows, value: reply.value });
    else question.reject(errorOf(reply.failure));
  }

  /** Also called at the end of `close`, when nothing waits any more. */
  #onThreadEnd(reason: string): void {
    if (this.#worker === undefined) return;
    this.#worker = undefined;
    const error = new AltLasError("store_unavailable", `the storage thread ended: ${reason}`);
    if (this.#refusal === null) {
      this.#options.log?.error({ err: error }, "no task can be stored until the server is restarted");
      this.#refusal = error;
    }
    for (const question of this.#questions.splice(0)) question.reject(error);
  }
}

function errorOf({ code, sentence, ofRow }: Failure): AltLasError {
  return ofRow ? new RowError(code, sentence) : new AltLasError(code, sentence);
}

function charactersOf(tasks: readonly Task[]): number {
  let sum = 0;
  for (const task of tasks) sum += task.text.length + (task.result?.text.length ?? 0);
  return sum;
}

/** The saves in groups that have no task in common. */
function independent(saves: readonly Save[]): Save[][] {
  const groups = new Map<Task, Save[]>();
  for (const save of saves) {
    const group = [save];
    for (const related of new Set(save.tasks.map((task) => groups.get(task)))) group.push(...(related ?? []));
    for (const task of group.flatMap((member) => member.tasks)) groups.set(task, group);
  }
  return [...new Set(groups.values())];
}
