/* Opens the database file: checks whose it is and whether it is free, and brings it to the present schema. */
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { foreignOwner } from "../../common/data-folder.ts";
import { syncFolder } from "../../common/sync.ts";
import { AltLasError, messageOf } from "../../errors.ts";
import { ALT_LAS, dataDirWords } from "../../common/paste.ts";
import { clearMark, lacksLog } from "./log-mark.ts";
import { pragma } from "./pragma.ts";
import { APPLICATION_ID, knownSchema, type Tell, upgrade } from "./upgrade.ts";

/** SQLite's primary result codes; https://www.sqlite.org/rescode.html */
const BUSY = 5;
const CORRUPT = 11;
const FULL = 13;
const NOT_A_DATABASE = 26;
/** Bytes: one page of the smallest size there is. */
const SMALLEST_DATABASE = 512;
/** Milliseconds to wait for a lock: as long as a check of the file takes, not as long as a server runs. */
export const TIMEOUT = 200;
/** Where in the file SQLite puts its locks. */
const FIRST_LOCK_BYTE = 0x40000000;

/** Bytes to which SQLite makes a longer log shorter, when it begins anew. */
export const LONGEST_LOG = 64 * 1024 * 1024;

/**
 * Bytes of a page of a new database; an older one keeps its own until `alt-las compact`. A row takes about half a KiB beside its
 * answer: with an answer of 2 KiB, one fits into 4 KiB with much room left over, three into this, which takes 0.7 of the disk.
 */
export const PAGE_SIZE = 8192;
/** Bytes of log between two moves into the database: fewer cost throughput, more gain nothing and make each move longer. */
const LOG = 16 * 1024 * 1024;

/** A file that SQLite would take for an empty one, and write over. */
class DamagedFile extends Error {}

/**
 * Opens the database for this process alone, creates it if there is none, and applies missing migrations.
 * Nothing is written to a file that is in use, damaged, of another program or of a later version.
 * @param tell hears of the upgrade of a database that an earlier version made
 * @throws an error that is damage (`isDamage`), else {AltLasError} `conflict` when another process has it, `bad_config` when it is
 *   not ours or cannot be used at that path
 */
export function openDatabase(path: string, tell: Tell = () => {}): DatabaseSync {
  let db: DatabaseSync | undefined;
  try {
    if (lacksLog(path)) throw withoutLog(path);
    if (hasOnlyLog(path)) throw withoutDatabase(path);
    createFile(path);
    db = openLocked(path);
    makeDurable(db, path);
    upgrade(db, path, tell);
    clearMark(db);
    return db;
  } catch (error) {
    db?.close();
    throw error instanceof AltLasError || isDamage(error) ? error : openFailure(error, path);
  }
}

/**
 * Opens a database that is there, for this process alone, and changes nothing in it.
 * @throws as `openDatabase`
 */
export function openLocked(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: TIMEOUT });
  try {
    lock(db);
    checkOwner(db, path);
    return db;
  } catch (error) {
    db.close();
    throw error instanceof AltLasError || isDamage(error) ? error : openFailure(error, path);
  }
}

/**
 * Whether there is a log without its database. SQLite would throw it away, with the last writes. A log with a second name was going into
 * quarantine when a server died (quarantine.ts), and is kept there.
 */
function hasOnlyLog(path: string): boolean {
  if (existsSync(path)) return false;
  const log = statSync(`${path}-wal`, { throwIfNoEntry: false });
  return log !== undefined && log.size > 0 && log.nlink === 1;
}

function withoutDatabase(path: string): AltLasError {
  const sentence = `${path} is gone, and its log ${path}-wal, which has what was stored last, is still there. Put the database back beside it, or restore a backup. To begin anew without what is in the log, move the log away.`;
  return new AltLasError("bad_config", sentence);
}

/** Says that a database lacks its log (`lacksLog`), and what to do. */
export function withoutLog(path: string): AltLasError {
  const sentence = `${path} was copied without its log: ${path}-wal belongs to it, is not there, and has what was stored last. Put the log beside it, or restore a backup. To go on without what was in the log: ${ALT_LAS} compact --accept-missing-log${dataDirWords(dirname(path))}`;
  return new AltLasError("bad_config", sentence);
}

/** Whether an error says that the file is damaged. */
export function isDamage(error: unknown): boolean {
  const code = resultCode(error);
  return code === CORRUPT || code === NOT_A_DATABASE || error instanceof DamagedFile;
}

/**
 * Makes sure that no other server has a file, damaged or not. SQLite asks for the lock before it reads.
 * @throws {AltLasError} `conflict` when one has it; what SQLite throws when it cannot tell
 */
export function checkFree(path: string): void {
  const db = new DatabaseSync(path, { timeout: TIMEOUT });
  try {
    lock(db);
  } catch (error) {
    if (resultCode(error) === BUSY) throw inUse(path, error);
    if (!isDamage(error)) throw error;
  } finally {
    db.close();
  }
}

/** Creates folders and file for the owner alone: they hold prompts. */
function createFile(path: string): void {
  const folder = dirname(resolve(path));
  const created = mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (created !== undefined) syncFolders(folder, dirname(created));
  try {
    // Never open a file that exists: closing it again would drop the locks this process may hold on it (POSIX).
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    const { mode, size } = statSync(path);
    // SQLite takes anything shorter than a page for an empty database, writes over it and throws its log away.
    if (size > 0 && size < SMALLEST_DATABASE) throw new DamagedFile(`it has ${size} bytes`, { cause: error });
    if (size === 0 && logSize(path) > 0) throw new DamagedFile("it is empty, but its log is not", { cause: error });
    if ((mode & 0o077) !== 0) chmodSync(path, 0o600);
  }
}

function logSize(path: string): number {
  return statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
}

/** A new folder survives a power cut only when its parent is on disk. SQLite itself sees to the innermost one. */
function syncFolders(from: string, to: string): void {
  for (let folder = dirname(from); folder.length >= to.length; folder = dirname(folder)) {
    syncFolder(folder);
    if (folder === dirname(folder)) return;
  }
}

/** Takes the lock with the first read and keeps it; the system releases it however the process ends. */
function lock(db: DatabaseSync): void {
  // Before the first read, or SQLite would share the file through a -shm file beside it.
  db.exec("PRAGMA locking_mode = EXCLUSIVE");
  pragma(db, "user_version");
}

function checkOwner(db: DatabaseSync, path: string): void {
  const known = knownSchema();
  const version = pragma(db, "user_version") as number;
  const empty = db.prepare("SELECT 1 FROM sqlite_schema").get() === undefined;
  if (!empty && pragma(db, "application_id") !== APPLICATION_ID) {
    throw new AltLasError("bad_config", `${path} is a database of another program; choose another store.path`);
  }
  if (version > known) {
    throw new AltLasError(
      "bad_config",
      `${path} was written by a newer version of ALT_LAS (schema ${version}, this version knows up to ${known}); run that version`,
    );
  }
}

function makeDurable(db: DatabaseSync, path: string): void {
  // For a new file only; `alt-las compact` does it for an older one.
  if (pragma(db, "page_count") === 0) db.exec(`PRAGMA page_size = ${PAGE_SIZE}; PRAGMA auto_vacuum = INCREMENTAL`);
  // Removed text is overwritten with zeros, not only forgotten.
  db.exec("PRAGMA secure_delete = ON");
  const journal = pragma(db, "journal_mode = WAL");
  // Every commit waits for the disk; on macOS, fullfsync makes the disk itself wait too.
  db.exec("PRAGMA synchronous = FULL; PRAGMA fullfsync = ON");
  if (journal !== "wal" || pragma(db, "synchronous") !== 2) {
    throw new AltLasError("bad_config", `${path} is on a file system where SQLite cannot keep a write-ahead log`);
  }
  // After a large transaction the log shrinks to 64 MiB again.
  const pages = Math.ceil(LOG / (pragma(db, "page_size") as number));
  db.exec(`PRAGMA wal_autocheckpoint = ${pages}; PRAGMA journal_size_limit = ${LONGEST_LOG}`);
  db.exec("PRAGMA temp_store = MEMORY");
}

function openFailure(error: unknown, path: string): AltLasError {
  if (resultCode(error) === BUSY) return inUse(path, error);
  const sentence =
    resultCode(error) === FULL
      ? `the task database ${path} cannot be opened: ${messageOf(error)}. Make room on its disk and start again: nothing is lost, and an upgrade goes on where it was`
      : `the task database ${path} cannot be opened: ${messageOf(error)}`;
  return new AltLasError("bad_config", foreign(path) ?? sentence, { cause: error });
}

/** SQLite says "disk I/O error" of a file that is another user's. */
function foreign(path: string): string | null {
  const folder = dirname(resolve(path));
  try {
    for (const one of [folder, path]) accessSync(one, constants.R_OK | constants.W_OK);
    return null;
  } catch (error) {
    return foreignOwner(folder, error);
  }
}

const STOP_IT = "Stop that one first, or name another folder with --data-dir.";

export function inUse(path: string, cause: unknown): AltLasError {
  return new AltLasError("conflict", `${path} is in use by another server${holder(path)}. ${STOP_IT}`, { cause });
}

/** The primary result code of an error of SQLite, else undefined. */
export function resultCode(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown }).errcode;
  return typeof code === "number" ? code & 0xff : undefined;
}

/** The holder of the lock, where the kernel tells it: " (process 123)" or nothing. */
function holder(path: string): string {
  try {
    const inode = String(statSync(path).ino);
    for (const line of readFileSync("/proc/locks", "utf8").split("\n")) {
      // 1: POSIX  ADVISORY  WRITE 8452 fe:00:9977872 1073741826 1073742335
      const [, , , , pid, file, start] = line.split(/\s+/);
      if (file?.split(":").at(-1) === inode && Number(start) >= FIRST_LOCK_BYTE && Number(pid) > 0) {
        return ` (process ${pid})`;
      }
    }
  } catch {
    // Not Linux, or not allowed: the sentence does without it.
  }
  return "";
}
