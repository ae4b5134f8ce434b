/* Upkeep of the files between the requests: overwrites removed text in the log, gives free pages back, keeps the mark and room in the log. */
import type { DatabaseSync } from "node:sqlite";
import { LogMark } from "./log-mark.ts";
import { LogRoom } from "./log-room.ts";
import { pragma } from "./pragma.ts";

/** Pages that one step gives back at a time. */
const PAGES = 32;
/** Milliseconds that giving pages back may take in one step. */
const STEP_TIME = 10;
/** Free pages that stay, for the next tasks: this many, or this share of the file. */
const SPARE_PAGES = 256;
const SPARE_SHARE = 1 / 8;
/** Milliseconds after which the log of a server that is never idle is emptied all the same. */
const LONGEST_IN_LOG = 60_000;

export class Upkeep {
  readonly #db: DatabaseSync;
  readonly #mark: LogMark;
  readonly #room: LogRoom;
  readonly #givesBack: boolean;
  /** Whether there was a request since the last tick. */
  #busy = false;
  /** When the oldest removal was, of which the log may still have text, in ms of the monotonic clock; null: there is none. */
  #removedAt: number | null = null;

  constructor(db: DatabaseSync, path: string) {
    this.#db = db;
    this.#mark = new LogMark(db, path);
    this.#room = new LogRoom(db, path);
    this.#givesBack = this.#number("auto_vacuum") === 2;
    this.#keepMark();
  }

  /** After a request. @param removed whether it may have removed something @returns whether the files were written to */
  done(removed: boolean): boolean {
    this.#busy = true;
    if (removed) this.#removedAt ??= performance.now();
    return this.#keepMark();
  }

  /** Gives some free pages back to the file system, in one small step. @returns whether there may be more */
  giveBack(): boolean {
    if (!this.#givesBack || !this.#hasSurplus()) return false;
    const end = performance.now() + STEP_TIME;
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      while (performance.now() < end && this.#hasSurplus()) this.#db.exec(`PRAGMA incremental_vacuum(${PAGES})`);
      this.#db.exec("COMMIT");
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
    return this.#hasSurplus();
  }

  #hasSurplus(): boolean {
    const spare = Math.max(SPARE_PAGES, this.#number("page_count") * SPARE_SHARE);
    return this.#number("freelist_count") > spare;
  }

  /**
   * From time to time: removed text is overwritten in the file, but stays in the log until the log is emptied.
   * @returns whether that was tried
   */
  tick(): boolean {
    const wasBusy = this.#busy;
    this.#busy = false;
    if (!wasBusy && this.#removedAt === null) this.#room.make();
    if (this.#removedAt === null) return false;
    if (wasBusy && performance.now() - this.#removedAt < LONGEST_IN_LOG) return false;
    try {
      this.emptyLog();
    } catch {
      // The disk takes no writes now; the next tick tries again.
    }
    return true;
  }

  /** @throws what SQLite throws, when the disk takes no writes */
  emptyLog(): void {
    this.#mark.logIsEmptied();
    this.#db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    this.#removedAt = null;
  }

  /** Bytes of the whole database, with what stands only in its log. */
  bytes(): number {
    return this.#number("page_count") * this.#number("page_size");
  }

  /** To be called before the database is closed. */
  close(): void {
    this.#room.close();
    this.#mark.close();
  }

  #keepMark(): boolean {
    try {
      return this.#mark.keep();
    } catch {
      // The disk takes no writes now; the next request tries again.
      return true;
    }
  }

  #number(name: string): number {
    return Number(pragma(this.#db, name));
  }
}
