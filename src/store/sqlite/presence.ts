/* Whether the files that the database has open are still there, and whole: what goes into a deleted file is nowhere. */
import { type BigIntStats, statSync } from "node:fs";
import { resolve } from "node:path";

/** Milliseconds between two looks while nothing is asked for. */
export const LOOK_EVERY = 500;

/** The system's codes for a name behind which there is no file any more. */
const ABSENT: ReadonlySet<string | undefined> = new Set(["ENOENT", "ENOTDIR", "ESTALE"]);

/** A file that went away, as a whole or in part. */
export interface Missing {
  readonly file: "database" | "log";
  /** Where it was. */
  readonly path: string;
  readonly how: "deleted" | "replaced" | "cut short";
}

interface OpenFile {
  readonly file: Missing["file"];
  readonly path: string;
  /** Where it is kept, and as which file; null: it was not there. */
  readonly device: bigint | null;
  readonly inode: bigint | null;
  /** Bytes after the last thing that was done here. */
  size: bigint;
}

/**
 * The database and its log, as they are now. A look is two calls of `stat`, some microseconds.
 *
 * SQLite keeps its own check for the end: with the database file moved away it neither writes nor removes anything there.
 */
export class OpenFiles {
  readonly #files: readonly OpenFile[];

  /** @param path of a database that is open, with its log */
  constructor(path: string) {
    // The process may change its folder later.
    const database = resolve(path);
    const files = [
      { file: "database", path: database },
      { file: "log", path: `${database}-wal` },
    ] as const;
    this.#files = files.map((one) => {
      const stats = statsOf(one.path);
      return { ...one, device: stats?.dev ?? null, inode: stats?.ino ?? null, size: stats?.size ?? 0n };
    });
  }

  /**
   * The first file that is not there any more, is another one, or is shorter than it was; null: all are as they were.
   * @param isOwn something was done here since the last look, which may have made a file shorter, too
   */
  missing(isOwn: boolean): Missing | null {
    for (const one of this.#files) {
      const { file, path, device, inode, size } = one;
      const now = statsOf(path);
      // That the disk cannot tell is no sign that something is lost.
      if (now === undefined) continue;
      if (now === null) return { file, path, how: "deleted" };
      if (now.dev !== device || now.ino !== inode) return { file, path, how: "replaced" };
      if (now.size < size && !isOwn) return { file, path, how: "cut short" };
      one.size = now.size;
    }
    return null;
  }

  /** What a client may know of it: no path. */
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
