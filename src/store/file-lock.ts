/* A lock between processes. SQLite brings it, because the system takes it back when its holder dies; a file of our own would stay. */
import { DatabaseSync } from "node:sqlite";

export interface FileLock {
  release(): void;
}

/** Another process has the lock. */
export class Locked extends Error {}

/** `SQLITE_BUSY`. */
const BUSY = 5;
/** `SQLITE_IOERR_FSTAT`: the former holder of the lock has removed its file. */
const GONE = 1802;

/**
 * Takes a lock, in a file of its own that is made when it is missing, and stays.
 * @param patience milliseconds to wait for another holder
 * @throws {Locked} when another process has it; what SQLite throws when the file cannot be used
 */
export function lockFile(path: string, patience: number): FileLock {
  const db = new DatabaseSync(path, { timeout: patience });
  try {
    db.exec("BEGIN EXCLUSIVE");
    return { release: () => db.close() };
  } catch (error) {
    db.close();
    const { errcode } = error as { readonly errcode?: unknown };
    throw errcode === BUSY || errcode === GONE ? new Locked("another process has the lock", { cause: error }) : error;
  }
}
