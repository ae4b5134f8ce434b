/* Whether the files that the database has open are still where they were opened: what goes into a deleted file is nowhere. */
import { type BigIntStats, statSync } from "node:fs";
import { resolve } from "node:path";

/** Milliseconds between two looks while nothing is asked for. */
export const LOOK_EVERY = 500;

/** The system's codes for a name behind which there is no file any more. */
const ABSENT: ReadonlySet<string | undefined> = new Set(["ENOENT", "ENOTDIR", "ESTALE"]);

/** A file that went away. */
export interface Missing {
  readonly file: "database" | "log";
  /** Where it was. */
  readonly path: string;
  readonly how: "deleted" | "replaced";
}

/**
 * The database and its log, as they are now. A look is two calls of `stat`, some microseconds.
 *
 * SQLite keeps its own check for the end: with the database file moved away it neither writes nor removes anything there.
 */
export class OpenFiles {
  readonly #files: readonly {
    readonly file: Missing["file"];
    readonly path: string;
    readonly identity: string | null;
  }[];

  /** @param path of a database that is open, with its log */
  constructor(path: string) {
    // The process may change its folder later.
    const database = resolve(path);
    const files = [
      { file: "database", path: database },
      { file: "log", path: `${database}-wal` },
    ] as const;
    this.#files = files.map((one) => ({ ...one, identity: identityOf(one.path, "") }));
  }

  /** The first file that is not there any more, or is another one; null: all are where they were. */
  missing(): Missing | null {
    for (const { file, path, identity } of this.#files) {
      const now = identityOf(path, identity);
      if (now !== identity) return { file, path, how: now === null ? "deleted" : "replaced" };
    }
    return null;
  }

  /** What a client may know of it: no path. */
  static sentence({ file, how }: Missing): string {
    const name = file === "database" ? "The task database" : "The log of the task database";
    return `${name} was ${how} while the server ran. Nothing can be stored or read until the server is started again.`;
  }
}

/** Null: there is no such file. @param unknown what to answer when the disk cannot tell: that is no sign that something is lost */
function identityOf<T>(path: string, unknown: T): string | null | T {
  let stats: BigIntStats;
  try {
    stats = statSync(path, { bigint: true });
  } catch (error) {
    return ABSENT.has((error as NodeJS.ErrnoException).code) ? null : unknown;
  }
  return `${stats.dev} ${stats.ino}`;
}
