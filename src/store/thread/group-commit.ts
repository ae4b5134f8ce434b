/*
 * Group commit: at most one write is under way. Saves made meanwhile become the next write, in which a task appears once, in its state of
 * that moment. So the slower the disk commits, the more tasks each commit carries.
 */
import { AltLasError, messageOf } from "../../errors.ts";
import type { Task } from "../../task.ts";
import type { StoreRecord, When } from "../store.ts";
import { charactersOf, copyOf, independent, type Save } from "./saves.ts";
import { RowError } from "./storage-thread.ts";

export interface GroupCommitParts {
  /** Writes all of this or nothing. It is never called again before it has ended. */
  readonly write: (tasks: ReadonlySet<Task>, records: readonly StoreRecord[]) => Promise<void>;
  /** So many saves were refused. */
  readonly failed: (error: AltLasError, saves: number) => void;
}

/** The most tasks in one transaction, unless a single save has more: larger ones make every client wait longer. */
const MAX_ROWS = 2000;
const MAX_CHARACTERS = 16 * 1024 * 1024;
/** Milliseconds that a save nobody waits for waits for one that somebody does. */
const PATIENCE = 2;

export class GroupCommit {
  readonly #parts: GroupCommitParts;
  /** Saves for the next write. */
  readonly #pending: Save[] = [];
  /** Halves of writes that failed because of one row; they are tried before `#pending`. */
  readonly #retries: Save[][] = [];
  #writing = false;
  #gathering = false;
  /** Saves in `#pending` that are waited for. */
  #waiting = 0;
  /** Runs while `#pending` waits for more saves. */
  #patience: NodeJS.Timeout | undefined;
  #onIdle: (() => void) | undefined;

  constructor(parts: GroupCommitParts) {
    this.#parts = parts;
  }

  /** @throws {AltLasError} nothing of it is written, and it may be saved again */
  save(tasks: readonly Task[], records: readonly StoreRecord[], when: When): Promise<void> {
    return new Promise((resolve, reject) => {
      const characters = charactersOf(tasks, records);
      this.#pending.push({ tasks: tasks.slice(), records: records.map(copyOf), characters, when, resolve, reject });
      if (when === "now") this.#waiting++;
      if (!this.#writing) this.#schedule();
    });
  }

  /** Writes what waits, and resolves when nothing is to be written. */
  idle(): Promise<void> {
    if (!this.#writing && this.#pending.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle = resolve;
      this.#flush();
    });
  }

  /** Refuses the saves that wait; the write under way goes on. */
  refuse(error: AltLasError): void {
    for (const save of [...this.#retries.splice(0).flat(), ...this.#pending.splice(0)]) save.reject(error);
    this.#waiting = 0;
  }

  /**
   * Begins a write where somebody waits for it: the disk is busy while other requests are read and answered. The ends of tasks that nobody
   * waits for share the write of the next one: a write costs nearly the same with one row as with several.
   */
  #schedule(): void {
    if (this.#waiting > 0) this.#gather();
    else this.#linger();
  }

  #linger(): void {
    this.#patience ??= setTimeout(() => {
      this.#patience = undefined;
      this.#flush();
    }, PATIENCE);
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

  /** Writes waiting saves, if there are any and no write is under way. */
  #flush(): void {
    if (this.#writing) return;
    const saves = this.#take();
    if (saves.length === 0) return this.#onIdle?.();
    this.#writing = true;
    void this.#commit(saves);
  }

  /** Never rejects: each save gets the outcome. */
  async #commit(saves: readonly Save[]): Promise<void> {
    try {
      const tasks = new Set<Task>();
      const records: StoreRecord[] = [];
      for (const save of saves) {
        for (const task of save.tasks) tasks.add(task);
        for (const record of save.records) records.push(record);
      }
      await this.#parts.write(tasks, records);
    } catch (error) {
      this.#writing = false;
      this.#onFailed(saves, error);
      this.#flush();
      return;
    }
    this.#writing = false;
    if (this.#pending.length > 0 && this.#retries.length === 0 && this.#onIdle === undefined) this.#schedule();
    else this.#flush();
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
    const taken = this.#pending.splice(0, end === -1 ? this.#pending.length : end);
    this.#waiting -= waitedFor(taken);
    clearTimeout(this.#patience);
    this.#patience = undefined;
    return taken;
  }

  /**
   * One bad task must not fail saves that have nothing to do with it, so they are tried again in halves until it is alone. Saves that share
   * a task or a record's subject stay together. Written apart, one could write the other's state, or they could take effect in another
   * order.
   */
  #onFailed(saves: readonly Save[], error: unknown): void {
    // Any other error was thrown while rows were made or sent, and so is about one of them too.
    const ofRow = error instanceof RowError || !(error instanceof AltLasError);
    const groups = ofRow ? independent(saves) : [];
    if (groups.length > 1) {
      const half = groups.length >> 1;
      this.#retries.unshift(groups.slice(0, half).flat(), groups.slice(half).flat());
      return;
    }
    const refusal = error instanceof AltLasError ? error : new AltLasError("store_unavailable", messageOf(error));
    this.#parts.failed(refusal, saves.length);
    for (const save of saves) save.reject(refusal);
  }
}

function waitedFor(saves: readonly Save[]): number {
  let count = 0;
  for (const { when } of saves) if (when === "now") count++;
  return count;
}
