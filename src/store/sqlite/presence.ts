/* Checks whether the files that the database has open are still there, and whole: writes into a deleted file are lost. */
import { type BigIntStats, closeSync, openSync, readSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { wallTime } from "../../common/clock.ts";

/** Milliseconds between two checks while there are no requests. */
export const CHECK_EVERY = 500;
/** Milliseconds within which two changes of a folder may have the same time: some file systems count in steps of two seconds. */
const SAME_TIME = 2500;
/** Bytes behind a file's last known end for which a read is tried before its size is asked for. */
const STEP = 64 * 1024;

/** The system's codes for a name behind which there is no file any more. */
const ABSENT: ReadonlySet<string | undefined> = new Set(["ENOENT", "ENOTDIR", "ESTALE"]);

type Part = "database" | "log";

/** A file that was moved, deleted, replaced or cut short. */
export interface Missing {
  readonly file: Part;
  /** Where it was. */
  readonly path: string;
  readonly how: "deleted" | "replaced" | "cut short";
}

/** The least size in bytes that our own work since the last check may have left of a file; Infinity: our work made nothing shorter. */
export type Shortest = (file: Part) => number;

/** Nothing was done here. */
export const UNTOUCHED: Shortest = () => Number.POSITIVE_INFINITY;
/** The log may have been moved into the database. */
export const LOG_EMPTIED: Shortest = () => 0;

interface OpenFile {
  readonly file: Part;
  readonly path: string;
  /** Its device and its inode; null: it did not exist. */
  readonly device: bigint | null;
  readonly inode: bigint | null;
  /** One of our own. */
  readonly descriptor: number;
  /** Its size in bytes after our last work on it. */
  size: number;
}

/**
 * The database and its log, as they are now.
 *
 * The check at every request must not ask for the state of the files themselves. Since version 6.13, Linux gives a file a new time of
 * change for the first write after somebody has read that time, and the next `fsync` has to store it: a commit of the file system's journal
 * for each write. The folder's time of change says that no name in it changed, and a read at the last byte that nothing was cut off.
 * https://docs.kernel.org/filesystems/multigrain-ts.html
 *
 * SQLite keeps its own check for the end: with the database file moved away it neither writes nor removes anything there.
 */
export class OpenFiles {
  readonly #now: () => number;
  readonly #folder: string;
  readonly #files: readonly OpenFile[];
  readonly #bytes = Buffer.allocUnsafeSlow(STEP);
  /** The folder as its names were last checked; its time of change is NaN while another change might have the same time. */
  #known = { device: 0, inode: 0, changed: Number.NaN };

  /** @param path of a database that is open, with its log @param now the wall clock, which file systems go by */
  constructor(path: string, now = wallTime) {
    this.#now = now;
    // The process may change its folder later.
    const database = resolve(path);
    this.#folder = dirname(database);
    const files = [
      { file: "database", path: database },
      { file: "log", path: `${database}-wal` },
    ] as const;
    this.#files = files.map((one) => {
      const stats = statsOf(one.path);
      const known = { device: stats?.dev ?? null, inode: stats?.ino ?? null, size: Number(stats?.size ?? 0) };
      return { ...one, ...known, descriptor: openSync(one.path, "r") };
    });
  }

  /** As `missing`, at the price of three short system calls while no name in the folder has changed. */
  missingAtAGlance(shortest: Shortest = UNTOUCHED): Missing | null {
    return this.#hasItsNames() && this.#hasItsEnds() ? null : this.missing(shortest);
  }

  /** Must be called after our own work. @returns as `missing`, but a missing name is left to the next check */
  noteEnds(shortest: Shortest): Missing | null {
    return this.#hasItsEnds() ? null : this.missing(shortest);
  }

  /** The first file that is missing, is another one, or is shorter than it should be; null: all are as they were. */
  missing(shortest: Shortest = UNTOUCHED): Missing | null {
    const folder = this.#folderNow();
    for (const one of this.#files) {
      const { file, path, device, inode, size } = one;
      const now = statsOf(path);
      // An error of the disk is no sign that a file is lost.
      if (now === undefined) continue;
      if (now === null) return { file, path, how: "deleted" };
      if (now.dev !== device || now.ino !== inode) return { file, path, how: "replaced" };
      const bytes = Number(now.size);
      if (bytes < size && bytes < shortest(file)) return { file, path, how: "cut short" };
      one.size = bytes;
    }
    this.#known = folder;
    return null;
  }

  /** Must be called after the database is closed: closing any descriptor of a file gives up the locks that SQLite has on it. */
  close(): void {
    for (const { descriptor } of this.#files) closeSync(descriptor);
  }

  #hasItsNames(): boolean {
    const { device, inode, changed } = this.#folderNow();
    return changed === this.#known.changed && inode === this.#known.inode && device === this.#known.device;
  }

  #folderNow(): { device: number; inode: number; changed: number } {
    try {
      const { dev, ino, ctimeMs } = statSync(this.#folder);
      return { device: dev, inode: ino, changed: Math.abs(this.#now() - ctimeMs) > SAME_TIME ? ctimeMs : Number.NaN };
    } catch {
      return { device: 0, inode: 0, changed: Number.NaN };
    }
  }

  /** Takes note of the files' new ends. @returns false: a read cannot tell, or a file is shorter than it was */
  #hasItsEnds(): boolean {
    try {
      for (const one of this.#files) {
        const from = Math.max(one.size - 1, 0);
        const read = readSync(one.descriptor, this.#bytes, 0, STEP, from);
        if (read === STEP || (read === 0 && one.size > 0)) return false;
        one.size = from + read;
      }
      return true;
    } catch {
      return false;
    }
  }

  /** The sentence for clients: without a path. */
  static sentence({ file, how }: Missing): string {
    const name = file === "database" ? "The task database" : "The log of the task database";
    return `${name} was ${how} while the server ran. Nothing can be stored or read until the server is started again.`;
  }
}

/** Null: there is no such file; undefined: the disk cannot tell. */
function statsOf(path: string): BigIntStats | null | undefined {
  try {
    return statSync(path, { bigint: true });
  } catch (error) {
    return ABSENT.has((error as NodeJS.ErrnoException).code) ? null : undefined;
  }
}
