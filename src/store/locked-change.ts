/** Changes of a small file in the data directory that several processes make: one after the other. */
import { join } from "node:path";
import { makeDataDir } from "../common/data-folder.ts";
import { keepPrivate } from "../common/json-file.ts";
import { AltLasError, messageOf } from "../errors.ts";
import { type FileLock, Locked, lockFile } from "./file-lock.ts";

export interface LockOptions {
  /** The name of the lock's own file in the data directory, which is made when it is missing, and stays. */
  readonly name: string;
  /** The subject of the change, for the sentence about another process: like "the credentials". */
  readonly what: string;
  /** Milliseconds to wait for a change by another process to end. */
  readonly patience: number;
}

/**
 * Makes a change under the lock. @returns what it returns
 * @throws {AltLasError} `bad_config`: the lock cannot be used; `conflict`: another process holds it for too long
 */
export function changeLocked<T>(dataDir: string, options: LockOptions, change: () => T): T {
  const lock = takeLock(dataDir, options);
  try {
    return change();
  } finally {
    lock.release();
  }
}

function takeLock(dataDir: string, { name, what, patience }: LockOptions): FileLock {
  const path = join(dataDir, name);
  try {
    makeDataDir(dataDir);
    const lock = lockFile(path, patience);
    keepPrivate(path);
    return lock;
  } catch (error) {
    if (error instanceof AltLasError) throw error;
    if (error instanceof Locked)
      throw new AltLasError("conflict", `Another process is changing ${what}. Try again when it has ended.`, {
        cause: error,
      });
    throw new AltLasError("bad_config", `${path} cannot be locked: ${messageOf(error)}.`, { cause: error });
  }
}
