/*
 * Copies of the database that an upgrade or a repair has left beside it, whichever version they are of. Rows that are removed from the
 * database are still in them.
 */
import { readdirSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { messageOf } from "../../errors.ts";

/** Tables that may have rows of tasks that are gone, by their `seq`. */
const OF_TASKS = new Set(["prompts", "requests", "notes"]);

/** Removes a user from the copies, where they can be read. @returns sentences about those that still have it */
export function forgetInCopies(database: string, user: string): string[] {
  return copiesOf(database).flatMap((path) => {
    try {
      const db = new DatabaseSync(path);
      try {
        forgetInCopy(db, user);
        return [];
      } finally {
        db.close();
      }
    } catch (error) {
      const why = messageOf(error);
      return [`${path} may still have it, and cannot be changed (${why}): delete it when you need it no longer.`];
    }
  });
}

function copiesOf(database: string): string[] {
  const folder = dirname(resolve(database));
  const name = basename(database);
  return readdirSync(folder)
    .filter((one) => one.startsWith(`${name}.before-`) || one.startsWith(`${name}.damaged-`))
    .filter((one) => !/-(?:wal|shm)$/.test(one))
    .map((one) => join(folder, one));
}

/** From each table that says whose its rows are. */
function forgetInCopy(db: DatabaseSync, user: string): void {
  db.exec("PRAGMA secure_delete = ON");
  const tables = db.prepare(
    "SELECT m.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = ?",
  );
  const having = (column: string): string[] => tables.all(column).map((row) => String(row["name"]));
  db.exec("BEGIN IMMEDIATE");
  // Rows of the audit log stay: docs/privacy.md.
  for (const table of having("user"))
    if (table !== "audit") db.prepare(`DELETE FROM ${table} WHERE user = ?`).run(user);
  for (const table of having("seq"))
    if (OF_TASKS.has(table)) db.exec(`DELETE FROM ${table} WHERE seq NOT IN (SELECT seq FROM tasks)`);
  db.exec("COMMIT");
  db.exec("VACUUM");
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
}
