/* Makes writes survive a power cut. */
import { closeSync, fsyncSync, openSync } from "node:fs";

/** Never for the database itself while it is open: closing it again would drop the locks that this process holds on it (POSIX). */
export function syncFile(path: string): void {
  const fd = openSync(path, "r+");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Names in a folder survive a power cut only when it is on disk. */
export function syncFolder(folder: string): void {
  // Windows cannot open a folder; there, a name is on disk when the system gets to it.
  if (process.platform === "win32") return;
  const fd = openSync(folder, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
