/** Checks a small file at intervals, without ever waiting for its disk in the main thread. */
import type { Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { messageOf } from "../errors.ts";

/** Milliseconds between two checks. */
const EVERY = 500;
/** Milliseconds after which a disk that does not answer counts as hanging. */
const PATIENCE = 250;

/** Milliseconds in which the event loop is taken to be free or busy. */
const STEP = 25;

export interface FileWatchOptions {
  /** Called after each check that was answered. @param version as `versionOf` has it */
  readonly seen: (version: string) => void;
  /** The disk hangs, or answers again. */
  readonly hangs?: (doesHang: boolean) => void;
  /** For tests. */
  readonly look?: (path: string) => Promise<Stats>;
}

export class FileWatch {
  readonly #path: string;
  readonly #options: FileWatchOptions;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  /** Checks from now on, until it is stopped. It keeps no process alive. */
  constructor(path: string, options: FileWatchOptions) {
    this.#path = path;
    this.#options = options;
    this.#next();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  /** One check at a time: each that hangs holds one of the few threads that wait for files. */
  #next(): void {
    if (!this.#isStopped) this.#timer = setTimeout(() => void this.#look(), EVERY).unref();
  }

  async #look(): Promise<void> {
    const { seen, hangs, look = stat } = this.#options;
    let hung = false;
    const patience = afterIdle(PATIENCE, () => {
      hung = true;
      hangs?.(true);
    });
    const version = await look(this.#path).then(versionOf, versionOfError);
    patience.abort();
    if (this.#isStopped) return;
    if (hung) hangs?.(false);
    seen(version);
    this.#next();
  }
}

/**
 * Calls `done` after so many milliseconds in which the event loop was free to hear of anything else; a busy one finds a timer that is up
 * before it finds the answer that came in time. @returns what ends it
 */
export function afterIdle(milliseconds: number, done: () => void): AbortController {
  const over = new AbortController();
  let idle = 0;
  const wait = (): void => {
    const due = performance.now() + STEP;
    const timer = setTimeout(() => {
      idle += performance.now() - due < STEP ? STEP : 0;
      // Events that came meanwhile are handled before this.
      setImmediate(() => {
        if (over.signal.aborted) return;
        if (idle >= milliseconds) done();
        else wait();
      });
    }, STEP).unref();
    over.signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  };
  wait();
  return over;
}

/** The version of a file that is not there. */
export const ABSENT = "none";

/** Differs after every change: a change replaces the file, so at least its inode or its time is another. */
export function versionOf({ ino, mtimeMs, size }: Stats): string {
  return `${ino} ${mtimeMs} ${size}`;
}

/** The version of a file that cannot be looked at. */
export function versionOfError(error: unknown): string {
  return (error as NodeJS.ErrnoException).code === "ENOENT" ? ABSENT : messageOf(error);
}
