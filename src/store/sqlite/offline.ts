/* Work of the commands on a database that no server has open. */
import { existsSync } from "node:fs";
import { AltLasError } from "../../errors.ts";
import { copyDatabase } from "./copy.ts";
import { lacksLog } from "./log-mark.ts";
import { openLocked, withoutLog } from "./schema.ts";

/** A database under the lock that keeps a server from starting meanwhile. */
export interface OfflineDatabase {
  /** As `copyDatabase`. */
  copy(path: string, signal: AbortSignal): Promise<number>;
  /** Releases the lock. */
  close(): void;
}

/**
 * Opens a database, and changes nothing in it.
 * @throws {AltLasError} `conflict` when a server has it, `bad_config` when it is not there, not ours or lacks its log; an error that is
 *   damage (`isDamage`)
 */
export function openOffline(path: string): OfflineDatabase {
  if (!existsSync(path)) throw new AltLasError("bad_config", `There is no task database at ${path}.`);
  if (lacksLog(path)) throw withoutLog(path);
  const db = openLocked(path);
  return { copy: (target, signal) => copyDatabase(db, target, signal), close: () => db.close() };
}
