/* The data directory of a server whose tasks are elsewhere is for one server at a time, too. */
import { join } from "node:path";
import { AltLasError } from "../errors.ts";
import { type FileLock, Locked, lockFile } from "./file-lock.ts";

/** Milliseconds to wait for a server that ends. */
const PATIENCE = 200;

/** @throws {AltLasError} `conflict`: another server has it */
export function lockDataDir(dataDir: string): FileLock {
  try {
    return lockFile(join(dataDir, "alt-las.lock"), PATIENCE);
  } catch (error) {
    if (!(error instanceof Locked)) throw error;
    const sentence = `${dataDir} is in use by another server. Stop that one first, or name another folder with --data-dir.`;
    throw new AltLasError("conflict", sentence, { cause: error });
  }
}
