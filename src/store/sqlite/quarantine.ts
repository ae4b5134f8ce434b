/* Puts a damaged database file into quarantine: it is moved to another name, and never written over. */
import { existsSync, linkSync, rmSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { wallTimeText } from "../../common/clock.ts";
import { renameSync } from "../../common/rename.ts";
import { syncFolder } from "../../common/sync.ts";
import { AltLasError, messageOf } from "../../errors.ts";
import { type FileLock, Locked, lockFile } from "../file-lock.ts";
import type { Quarantined } from "../thread/messages.ts";
import { checkFree, inUse, isDamage, TIMEOUT } from "./schema.ts";

/** The files that SQLite keeps beside a database. */
const LOGS = ["-wal", "-shm", "-journal"];

/**
 * Opens a database, or a new one in its place when the file is damaged.
 * @param open opens and reads it; its errors tell damage from the rest (`isDamage`)
 * @throws what `open` throws, unless it is damage; {AltLasError} `conflict` when another server has the file, `store_unavailable`
 *   when a damaged file cannot be moved
 */
export function openOrReplace<T>(
  path: string,
  open: () => T,
): { readonly opened: T; readonly quarantined: Quarantined | null } {
  try {
    return { opened: open(), quarantined: null };
  } catch (error) {
    if (!isDamage(error)) throw error;
  }
  const lock = lockMoving(path);
  let result: ReturnType<typeof openUnderLock<T>>;
  try {
    result = openUnderLock(path, open);
  } finally {
    lock.release();
  }
  removeLock(`${path}.moving`);
  return result;
}

/** A server that still waits for the lock, or takes it now, finds a whole file that this one has: it needs no lock any more. */
function removeLock(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // Another server has it open, and the system removes no such file.
  }
}

function openUnderLock<T>(
  path: string,
  open: () => T,
): { readonly opened: T; readonly quarantined: Quarantined | null } {
  let reason: string;
  try {
    // Another server may have made a new database since this one looked.
    return { opened: open(), quarantined: null };
  } catch (error) {
    if (!isDamage(error)) throw error;
    reason = messageOf(error);
  }
  const quarantined = { path: quarantine(path, reason), reason };
  return { opened: open(), quarantined };
}

/**
 * Two servers may find the same file damaged. If both moved it, the second would move the new database of the first.
 * The damaged file itself cannot be locked, because SQLite reads it first.
 */
function lockMoving(path: string): FileLock {
  try {
    return lockFile(`${path}.moving`, TIMEOUT);
  } catch (error) {
    throw error instanceof Locked ? inUse(path, error) : error;
  }
}

/**
 * 1. The logs get their second names first: SQLite throws away the log of an empty file as soon as it looks at it.
 * 2. A server that has the file keeps it.
 * 3. Only with the file gone do the logs lose their first names: a crash in between leaves everything under one name at least, and
 *    no whole file without its log.
 */
function quarantine(path: string, reason: string): string {
  const target = freeName(path);
  const logs = LOGS.filter((log) => existsSync(path + log));
  try {
    for (const log of logs) linkSync(path + log, target + log);
    checkFree(path);
    renameSync(path, target);
    for (const log of logs) rmSync(path + log, { force: true });
    syncFolder(dirname(resolve(path)));
    return target;
  } catch (error) {
    if (existsSync(path)) undoLinks(path, target);
    if (error instanceof AltLasError) throw error;
    const sentence = `${path} is damaged (${reason}) and cannot be moved aside: ${messageOf(error)}; restore a copy, or move it away`;
    throw new AltLasError("store_unavailable", sentence, { cause: error });
  }
}

/** Takes the second names away again, but never the last one of a file. */
function undoLinks(path: string, target: string): void {
  for (const log of LOGS) if (existsSync(path + log)) rmSync(target + log, { force: true });
}

/** A name that neither a file nor a log has: renaming would write over it. */
function freeName(path: string): string {
  const base = `${path}.damaged-${wallTimeText().replaceAll(":", "")}`;
  for (let number = 1; ; number++) {
    const name = number === 1 ? base : `${base}-${number}`;
    if (!["", ...LOGS].some((log) => existsSync(name + log))) return name;
  }
}
