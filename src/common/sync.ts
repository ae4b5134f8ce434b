/* Makes writes survive a power cut. */
import { closeSync, fsyncSync, openSync } from "node:fs";
import { open } from "node:fs/promises";
import { type System, SYSTEM } from "./system.ts";

/** Never for the database itself while it is open: closing it again would drop the locks that this process holds on it (POSIX). */
export function syncFile(path: string): void {
  const fd = openSync(path, "r+");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Names in a folder survive a power cut only when it is on disk. Where folders cannot be opened, that is when the system gets to it. */
export function syncFolder(folder: string, system: System = SYSTEM): void {
  if (!system.syncsFolders) return;
  const fd = openSync(folder, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** As `syncFolder`, without holding up anybody else. */
export async function syncNames(folder: string, system: System = SYSTEM): Promise<void> {
  if (!system.syncsFolders) return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
