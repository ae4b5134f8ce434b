/** The part of backups that every server needs. Making one takes a library for tar files, which is loaded when somebody asks for it. */
import { readdir, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";

/** The route of the control socket by which a running server is asked for a backup. */
export const BACKUP_ROUTE = "POST /backup";

/** How the names of folders begin in which backups are made. */
export const PREFIX = ".backup-";

/** Removes the files that a killed backup left beside a database, whose lock the caller has. */
export async function removeLeftovers(databasePath: string): Promise<void> {
  const folder = dirname(resolve(databasePath));
  for (const name of await readdir(folder)) {
    if (name.startsWith(PREFIX)) await rm(join(folder, name), { recursive: true, force: true });
  }
}
