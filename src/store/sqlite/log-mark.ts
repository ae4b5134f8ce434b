/* A mark by which a database file that was copied without its log can be recognised: alone it would look whole, only older. */
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";

/** Where a log's header counts how often the log has begun anew; https://www.sqlite.org/fileformat.html#the_wal_header */
const SEQUENCE = 12;

/**
 * Keeps the mark: 1 in the file, while the log that follows says 0.
 *
 *  1. A 1 is committed, and moved into the file.
 *  2. A 0 is committed, which stays in the log with all that comes after it.
 *
 * So the file alone says 1. Moving the whole log into it (SQLite at any close, another program after a crash) makes it say 0,
 * together with the last task. SQLite moves the log by itself whenever it is long; its next commit begins the log anew, and then
 * the two steps are made again.
 */
export class LogMark {
  readonly #db: DatabaseSync;
  readonly #log: number;
  readonly #header = Buffer.alloc(4);
  /** The count in the log's header when the steps were made; undefined: they are not. */
  #sequence: number | undefined;

  /** @param db open at this path, with a log beside it, and with the table */
  constructor(db: DatabaseSync, path: string) {
    this.#db = db;
    this.#log = openSync(`${path}-wal`, "r");
  }

  /**
   * To be called after every change; nearly always it reads four bytes.
   * @returns whether it wrote
   * @throws what SQLite throws: then call it again later
   */
  keep(): boolean {
    if (this.#sequence !== undefined) {
      const now = this.#read();
      // A log that somebody else has emptied must stay so: with a mark in it, it would look whole.
      if (now === this.#sequence || now === undefined) return false;
    }
    this.#sequence = undefined;
    this.#db.exec("UPDATE log_mark SET is_in_log = 1");
    this.#db.exec("PRAGMA wal_checkpoint(PASSIVE)");
    this.#db.exec("UPDATE log_mark SET is_in_log = 0");
    this.#sequence = this.#read();
    return true;
  }

  /** To be called before the log is emptied on purpose. */
  logIsEmptied(): void {
    this.#sequence = undefined;
  }

  /** To be called before the database is closed, which leaves the file whole. */
  close(): void {
    closeSync(this.#log);
    try {
      clearMark(this.#db);
    } catch {
      // The disk takes no writes: the log stays then, too.
    }
  }

  /** undefined: the log is empty. */
  #read(): number | undefined {
    const read = readSync(this.#log, this.#header, 0, 4, SEQUENCE);
    return read === 4 ? this.#header.readUInt32BE() : undefined;
  }
}

/**
 * Clears the mark that a crash between the two steps left. It writes nothing where there is nothing to clear, as in a file of an older
 * version.
 */
export function clearMark(db: DatabaseSync): void {
  if (db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'log_mark'").get() === undefined) return;
  db.exec("UPDATE log_mark SET is_in_log = 0 WHERE is_in_log <> 0");
}

/**
 * Whether a database file stands there without the log that belongs to it. Older files have no mark, and are taken as they are.
 * The file is read as it is: opening it in the usual way would make an empty log beside it.
 */
export function lacksLog(path: string): boolean {
  if (sizeOf(path) === 0 || sizeOf(`${path}-wal`) > 0) return false;
  const url = pathToFileURL(resolve(path));
  url.searchParams.set("immutable", "1");
  try {
    const db = new DatabaseSync(url, { readOnly: true });
    try {
      return db.prepare("SELECT is_in_log FROM log_mark").get()?.["is_in_log"] === 1;
    } finally {
      db.close();
    }
  } catch {
    // No mark, or no database: opening it will find out.
    return false;
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
