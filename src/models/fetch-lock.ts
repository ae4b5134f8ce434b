/** Lets one process do work that one is enough for, while the others wait for what it makes. The system frees the lock of a process that dies. */
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type FileLock, Locked, lockFile } from "../store/file-lock.ts";

/** Milliseconds between two looks of those who wait. */
const LOOK = 200;

/**
 * @param path of the lock's file, which stays; its folder is made
 * @param isDone whether the work has been done meanwhile
 * @returns the lock; null: the work is done, and the lock was not taken
 */
export async function takeLock(
  path: string,
  isDone: () => Promise<boolean>,
  signal: AbortSignal,
  look = LOOK,
): Promise<FileLock | null> {
  await mkdir(dirname(path), { recursive: true });
  for (;;) {
    signal.throwIfAborted();
    const lock = tryLock(path);
    if (lock !== null) {
      if (!(await isDone())) return lock;
      lock.release();
      return null;
    }
    if (await isDone()) return null;
    await pause(look, undefined, { signal });
  }
}

/** null: another one has it. */
function tryLock(path: string): FileLock | null {
  try {
    return lockFile(path, 0);
  } catch (error) {
    if (error instanceof Locked) return null;
    // Some network file systems know no locks. Two who write the same file there do no harm, see partial-file.ts.
    return { release: () => {} };
  }
}
