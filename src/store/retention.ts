/** Removes what need not be kept any longer, in steps so small that nobody waits for them. */
import { setTimeout as pause } from "node:timers/promises";
import { messageOf } from "../errors.ts";
import { type Store, StoreLost } from "./store.ts";
import { type StoreLog } from "./sqlite.ts";

export interface RetentionOptions {
  readonly store: Pick<Store, "sweep">;
  /** Milliseconds that a task is kept after its end. */
  readonly retention: number;
  /** Ended tasks that are kept at most; null: any number. */
  readonly maxStored: number | null;
  /** Milliseconds that an idempotency key is kept. */
  readonly keysLive: number;
  readonly log: StoreLog;
}

/** Milliseconds between two sweeps. */
const INTERVAL = 30_000;
/** Milliseconds between two steps of one sweep. */
const BREATH = 10;

export class Retention {
  readonly #options: RetentionOptions;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: RetentionOptions) {
    this.#options = options;
  }

  /** Sweeps from now on, now and again. Calling it twice is harmless. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Resolves when nothing is being removed any more. Calling it twice is harmless. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const more = await this.#step();
      // What is kept for seconds only must not lie around for half a minute.
      const until = more ? BREATH : Math.min(INTERVAL, this.#options.retention);
      await pause(until, undefined, { signal }).catch(() => {});
    }
  }

  async #step(): Promise<boolean> {
    const { store, retention, maxStored, keysLive, log } = this.#options;
    const now = Date.now();
    try {
      return await store.sweep({ endedBefore: now - retention, maxEnded: maxStored, keysBefore: now - keysLive });
    } catch (error) {
      if (error instanceof StoreLost) return false;
      log.warn({ reason: messageOf(error) }, "old tasks could not be removed; trying again later");
      return false;
    }
  }
}
