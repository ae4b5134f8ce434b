/**
 * Small files of the data directory that stand in the database, too, so that the next server to lead has them: values that were set while the
 * server ran, and what is known of the GPUs of all machines. The database's version counts.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeJsonFile } from "../common/json-file.ts";
import { RUNTIME_FILE } from "../config/runtime-file.ts";
import { messageOf } from "../errors.ts";
import type { Logger } from "../log/log.ts";
import { CLUSTER_FILE } from "./gpu-ids.ts";

const NAMES = [RUNTIME_FILE, CLUSTER_FILE];
/** Milliseconds between two looks at the files: machines that join change them, too. */
const LOOK = 1000;

/** Where they are kept. Its writes fail once another server leads. */
export interface SharedFileStore {
  sharedFile(name: string): Promise<string | null>;
  putSharedFile(name: string, body: string): Promise<void>;
}

export class SharedFiles {
  readonly #store: SharedFileStore;
  readonly #dataDir: string;
  readonly #log: Pick<Logger, "warn">;
  /** The stored files, by name. */
  readonly #stored = new Map<string, string>();
  #turn: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #isTold = false;

  constructor(store: SharedFileStore, dataDir: string, log: Pick<Logger, "warn">) {
    this.#store = store;
    this.#dataDir = dataDir;
    this.#log = log;
  }

  /** Writes what is stored into the data directory, before anything reads it there. @throws {AltLasError} */
  async pull(): Promise<void> {
    for (const name of NAMES) {
      const body = await this.#store.sharedFile(name);
      if (body === null) continue;
      writeJsonFile(join(this.#dataDir, name), JSON.parse(body));
      this.#stored.set(name, body);
    }
  }

  /** Stores what has changed. Resolves when all is stored that stands in the files now. @throws {AltLasError} `store_unavailable` */
  push(): Promise<void> {
    return this.#inTurn(() => this.#push());
  }

  /** The same, by a write in any case: it fails where another server leads. @throws {AltLasError} `store_unavailable` */
  share(): Promise<void> {
    return this.#inTurn(() => {
      this.#stored.clear();
      return this.#push();
    });
  }

  start(): void {
    this.#timer ??= setInterval(() => void this.push().catch((error: unknown) => this.#tell(error)), LOOK);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async #push(): Promise<void> {
    for (const name of NAMES) {
      const body = await bodyOf(join(this.#dataDir, name));
      if (body === null || body === this.#stored.get(name)) continue;
      await this.#store.putSharedFile(name, body);
      this.#stored.set(name, body);
    }
    this.#isTold = false;
  }

  /** It is tried again, and each try would say the same. */
  #tell(error: unknown): void {
    if (this.#isTold) return;
    this.#isTold = true;
    this.#log.warn(
      `what the next server to lead has to know cannot be stored, and is tried again: ${messageOf(error)}`,
    );
  }
}

/** null: there is no such file. */
async function bodyOf(path: string): Promise<string | null> {
  try {
    return JSON.stringify(JSON.parse(await readFile(path, "utf8")));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}
