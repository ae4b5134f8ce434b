/* Copies an open database in small steps. Writes go on between the steps. */
import { closeSync, openSync } from "node:fs";
import { backup, DatabaseSync } from "node:sqlite";
import { clearMark } from "./log-mark.ts";
import { pragma } from "./pragma.ts";

/** Pages in one step, for which a write may have to wait: less than a millisecond. */
const PAGES = 64;

/**
 * Copies a database into a new file, for its owner alone. Writes of the same connection meanwhile are in the copy.
 * @returns the number of the last migration that it has
 * @throws what SQLite throws; and what `signal` was aborted with
 */
export async function copyDatabase(db: DatabaseSync, path: string, signal: AbortSignal): Promise<number> {
  closeSync(openSync(path, "wx", 0o600));
  await copyPages(db, path, signal);
  const copy = new DatabaseSync(path);
  try {
    // The copy is a single file without a log. The mark may have been set when it was made, and would tell of a missing one.
    copy.exec("PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL");
    clearMark(copy);
    return Number(pragma(copy, "user_version"));
  } finally {
    copy.close();
  }
}

/** Begins again when the first step meets a write under way: Node then ends the copy with the error "not an error". */
async function copyPages(db: DatabaseSync, path: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      await backup(db, path, { rate: PAGES, progress: () => signal.throwIfAborted() });
      return signal.throwIfAborted();
    } catch (error) {
      signal.throwIfAborted();
      if ((error as { errcode?: unknown }).errcode !== 0) throw error;
    }
  }
}
