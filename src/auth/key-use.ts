/**
 * When each key was used last: `key-use.json` in the data directory, by the keys' SHA-256. It is written once a minute at most, so that a
 * crash loses the last minute, and a disk that is full or gone costs nothing but the figures.
 */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { wallTimeText } from "../common/clock.ts";
import { nextName } from "../common/next-file.ts";
import { readPlainFile } from "../common/plain-file.ts";
import { rename } from "../common/rename.ts";
import { messageOf } from "../errors.ts";
import type { Logger } from "../log/log.ts";
import { type Caller, keyHashOf } from "./tables.ts";

/** Milliseconds between two writes. */
const PACE = 60_000;

/** The times, in ISO 8601, by SHA-256; empty where nothing can be read. */
export function readKeyUse(dataDir: string): Map<string, string> {
  try {
    const found: unknown = JSON.parse(readPlainFile(pathIn(dataDir)).toString("utf8"));
    const pairs = Object.entries(Object(found) as object);
    return new Map(pairs.filter((pair): pair is [string, string] => typeof pair[1] === "string"));
  } catch {
    return new Map();
  }
}

export class KeyUse {
  readonly #dataDir: string;
  readonly #log: Logger;
  readonly #times: Map<string, string>;
  /** Those who have come with a key since the times were taken last. */
  readonly #used = new Set<Caller>();
  #isWritten = true;
  #timer: NodeJS.Timeout | null = null;

  constructor(dataDir: string, log: Logger) {
    this.#dataDir = dataDir;
    this.#log = log;
    this.#times = readKeyUse(dataDir);
  }

  /** Called for every request: it costs an entry in a set. */
  note(caller: Caller): void {
    this.#used.add(caller);
  }

  /** When a key was used last, in ISO 8601; null: not known. @param sha256 in hexadecimal */
  lastOf(sha256: string): string | null {
    this.#take();
    return this.#times.get(sha256) ?? null;
  }

  /** Writes from now on. @returns what ends that, after a last write */
  start(): () => Promise<void> {
    this.#timer = setInterval(() => void this.#write(), PACE).unref();
    return async () => {
      clearInterval(this.#timer ?? undefined);
      await this.#write();
    };
  }

  #take(): void {
    if (this.#used.size === 0) return;
    const now = wallTimeText();
    for (const caller of this.#used) {
      const sha256 = keyHashOf(caller);
      if (sha256 !== null) this.#times.set(sha256, now);
    }
    this.#used.clear();
    this.#isWritten = false;
  }

  async #write(): Promise<void> {
    this.#take();
    if (this.#isWritten) return;
    this.#isWritten = true;
    const path = pathIn(this.#dataDir);
    const next = nextName(path);
    try {
      // A file of that name that is there already, or leads elsewhere, is not ours to write.
      await writeFile(next, JSON.stringify(Object.fromEntries(this.#times)), { mode: 0o600, flag: "wx" });
      await rename(next, path);
    } catch (error) {
      await rm(next, { force: true }).catch(() => undefined);
      this.#log.debug(`${path} cannot be written: ${messageOf(error)}`);
    }
  }
}

function pathIn(dataDir: string): string {
  return join(dataDir, "key-use.json");
}
