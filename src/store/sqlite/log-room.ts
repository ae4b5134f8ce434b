/* Room behind the log's end, so that a commit overwrites a piece of the file and does not make it longer. */
import { closeSync, fdatasyncSync, fstatSync, openSync, writeSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { pragma } from "./pragma.ts";

/** Bytes of room; with less than half of it left, it is made again. */
const ROOM = 4 * 1024 * 1024;
/** https://www.sqlite.org/fileformat.html#the_wal_file_format */
const LOG_HEADER = 32;
const FRAME_HEADER = 24;

/**
 * A file that grows has its new size on disk only after a commit of the file system's journal, which every commit of ours would wait for:
 * a third of its time, until the log has been long once. Bytes behind the last frame mean nothing to SQLite; here they are zeros.
 */
export class LogRoom {
  readonly #db: DatabaseSync;
  readonly #log: number;
  readonly #frame: number;
  /** Bytes from which on the log begins anew. */
  readonly #longest: number;

  /** @param path of a database that is open, with its log */
  constructor(db: DatabaseSync, path: string) {
    this.#db = db;
    this.#log = openSync(`${path}-wal`, "r+");
    this.#frame = FRAME_HEADER + Number(pragma(db, "page_size"));
    this.#longest = this.#frame * Number(pragma(db, "wal_autocheckpoint"));
  }

  /** Makes room where there is too little, which takes milliseconds. */
  make(): void {
    try {
      const { size } = fstatSync(this.#log);
      // An empty log must stay so: what is in it makes the database file look whole (log-mark.ts).
      if (size === 0 || size >= this.#longest || size - this.#used() > ROOM / 2) return;
      writeSync(this.#log, Buffer.alloc(ROOM), 0, ROOM, size);
      fdatasyncSync(this.#log);
    } catch {
      // The disk takes no writes now, and what a commit needs of it is no less for that.
    }
  }

  /** To be called before the database is closed. */
  close(): void {
    closeSync(this.#log);
  }

  /** Bytes up to the end of the last frame. */
  #used(): number {
    const { log } = this.#db.prepare("PRAGMA wal_checkpoint(NOOP)").get() as { readonly log: number };
    return LOG_HEADER + Math.max(log, 0) * this.#frame;
  }
}
