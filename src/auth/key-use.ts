/**
 * When each key was used last. It is written once a minute at most, so that a crash loses the last minute, and a place that is full or gone
 * costs nothing but the figures.
 */
import { wallTimeText } from "../common/clock.ts";
import { messageOf } from "../errors.ts";
import type { Logger } from "../log/log.ts";
import type { AccountStore, KeyUses } from "../store/accounts.ts";
import { type Caller, keyHashOf } from "./tables.ts";

/** Milliseconds between two writes. */
const PACE = 60_000;

export class KeyUse {
  readonly #store: AccountStore;
  readonly #known: (sha256: string) => boolean;
  readonly #log: Logger;
  /** Those who have come with a key since the times were taken last. */
  readonly #used = new Set<Caller>();
  /** Times that are not written yet. */
  #times = new Map<string, string>();
  #timer: NodeJS.Timeout | null = null;

  /** @param known whether a key of that hash is in force: what others have left is forgotten */
  constructor(store: AccountStore, known: (sha256: string) => boolean, log: Logger) {
    this.#store = store;
    this.#known = known;
    this.#log = log;
  }

  /** Called for every request: it costs an entry in a set. */
  note(caller: Caller): void {
    this.#used.add(caller);
  }

  /** When keys were used last, as far as that is known. @throws {AltLasError} `store_unavailable` */
  async all(): Promise<KeyUses> {
    const stored = await this.#store.uses();
    this.#take();
    return new Map([...stored, ...this.#times]);
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
  }

  async #write(): Promise<void> {
    this.#take();
    if (this.#times.size === 0) return;
    const times = this.#times;
    this.#times = new Map();
    try {
      await this.#store.addUses(times, this.#known);
    } catch (error) {
      this.#times = new Map([...times, ...this.#times]);
      this.#log.debug(`the last uses of keys cannot be written: ${messageOf(error)}`);
    }
  }
}
