/* Writes a database anew, without removed data, and so that its free pages can go back to the file system from then on. */
import { closeSync, existsSync, openSync, rmSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { renameSync } from "../../common/rename.ts";
import { syncFile, syncFolder } from "../../common/sync.ts";
import { type System, SYSTEM } from "../../common/system.ts";
import { AltLasError } from "../../errors.ts";
import { clearMark, lacksLog } from "./log-mark.ts";
import { openLocked, PAGE_SIZE, withoutLog } from "./schema.ts";

/**
 * Replaces a database by a compact copy of itself. After any failure either the old file or the new one is in place.
 * @param acceptMissingLog take a file that was copied without its log as it is
 * @returns bytes before and after
 * @throws {AltLasError} `conflict` when a server has it, `bad_config` when it is not ours or lacks its log; what SQLite throws
 */
export function compactDatabase(
  path: string,
  acceptMissingLog: boolean,
  system: System = SYSTEM,
): { before: number; after: number } {
  const database = resolve(path);
  if (!existsSync(database)) throw new AltLasError("bad_config", `There is no task database at ${path}.`);
  const lacked = lacksLog(database);
  if (lacked && !acceptMissingLog) throw withoutLog(path);
  const next = `${database}.compact`;
  const db = openLocked(database);
  try {
    if (lacked) clearMark(db);
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    const before = statSync(database).size;
    // Left by a run that was killed.
    rmSync(next, { force: true });
    closeSync(openSync(next, "wx", 0o600));
    db.exec(`PRAGMA page_size = ${PAGE_SIZE}; PRAGMA auto_vacuum = INCREMENTAL`);
    db.prepare("VACUUM INTO ?").run(next);
    syncFile(next);
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    // Without the lock a server may start now; where this is needed, the file that it has open cannot be replaced.
    if (!system.replacesOpenFiles) db.close();
    // The old log must not stand beside the new file. It is empty, and the old file is whole without it.
    rmSync(`${database}-wal`, { force: true });
    renameSync(next, database);
    syncFolder(dirname(database));
    return { before, after: statSync(database).size };
  } catch (error) {
    rmSync(next, { force: true });
    throw error;
  } finally {
    // SQLite sees that another file has its name, and leaves that alone.
    if (db.isOpen) db.close();
  }
}
