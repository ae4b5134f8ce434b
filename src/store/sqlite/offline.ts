/* Work of the commands on a database that no server has open. */
import { existsSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { AltLasError } from "../../errors.ts";
import { copyDatabase } from "./copy.ts";
import { lacksLog } from "./log-mark.ts";
import { pragma } from "./pragma.ts";
import { openLocked, withoutLog } from "./schema.ts";

/** Facts that a look at a database tells. */
export interface DatabaseFacts {
  /** The number of its last migration. */
  readonly schema: number;
  readonly tasks: number;
  /** SQLite's own words about the first damage; null: none was found. */
  readonly damage: string | null;
}

/** A database under the lock that keeps a server from starting meanwhile. */
export interface OfflineDatabase {
  /** As `copyDatabase`. */
  copy(path: string, signal: AbortSignal): Promise<number>;
  /**
   * Reads what is there.
   * @param isWhole whether every page is read, which takes as long as reading the file
   */
  check(isWhole: boolean): DatabaseFacts;
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
  return {
    copy: (target, signal) => copyDatabase(db, target, signal),
    check: (isWhole) => look(db, isWhole),
    close: () => db.close(),
  };
}

function look(db: DatabaseSync, isWhole: boolean): DatabaseFacts {
  const said = isWhole ? String(pragma(db, "quick_check(1)")) : "ok";
  const { tasks } = db.prepare("SELECT count(*) AS tasks FROM tasks").get() as { tasks: number };
  return { schema: Number(pragma(db, "user_version")), tasks, damage: said === "ok" ? null : said };
}
