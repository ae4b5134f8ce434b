/** How much memory the requests under way may take: all together, and those of one caller. */
import { getHeapStatistics } from "node:v8";
import { InFlight } from "../common/in-flight.ts";
import type { Config } from "../config/config.ts";
import { AltLasError } from "../errors.ts";

/** Bytes, where the configuration does not say: this, or a quarter of what the heap may have where that is less. */
const DEFAULT_BYTES = 256 * 2 ** 20;

/** The bytes that one request holds. */
export class Holding {
  /** The later one has the higher number. */
  readonly number: number;
  readonly user: string;
  readonly evict: (error: AltLasError) => void;
  readonly #memory: RequestMemory;
  bytes = 0;
  kept = false;

  constructor(memory: RequestMemory, number: number, user: string, evict: (error: AltLasError) => void) {
    this.#memory = memory;
    this.number = number;
    this.user = user;
    this.evict = evict;
  }

  /**
   * Takes more.
   * @throws {AltLasError} `rate_limited`: it would be more than one caller may have; `overloaded`: more than there is. Everything it
   *   holds is released then
   */
  take(bytes: number): void {
    this.#memory.take(this, bytes);
  }

  /** From now on it gives way to nobody: what it holds is in use, and would stay there. */
  keep(): void {
    this.kept = true;
  }

  /** Gives back all of it; nothing can be taken after that. Calling it again is harmless. */
  release(): void {
    this.#memory.release(this);
  }
}

/**
 * A ledger of bytes that are really there: what a client only announces costs nothing.
 *
 * 1. A caller may have half of all, and always one largest body.
 * 2. When all is taken, the newest request of the caller with most gives way to a caller that has less, so that a few callers cannot shut
 *    out the others. Requests that are being worked on are spared.
 */
export class RequestMemory {
  readonly #limit: number;
  readonly #share: number;
  #taken = 0;
  #last = 0;
  /** Those that hold something, by number. */
  readonly #holdings = new InFlight<number, Holding>();
  /** Bytes, by caller; who has none is absent. */
  readonly #ofCaller = new Map<string, number>();

  constructor({
    max_open_bytes: limit,
    max_body_bytes: largest,
  }: Pick<Config["limits"], "max_open_bytes" | "max_body_bytes">) {
    const given = limit ?? Math.min(DEFAULT_BYTES, Math.floor(getHeapStatistics().heap_size_limit / 4));
    this.#limit = Math.max(given, largest);
    this.#share = Math.max(Math.floor(this.#limit / 2), largest);
  }

  /** Bytes held now. */
  get taken(): number {
    return this.#taken;
  }

  /**
   * Whether a request of that size would be refused at once.
   * @throws {AltLasError} as `take`
   */
  refuseIfFull(user: string, bytes: number): void {
    if (this.#bytesOf(user) + bytes > this.#share) throw this.#overShare(user);
  }

  /** @param evict called when it has to give way to another; it holds nothing any more then */
  hold(user: string, evict: (error: AltLasError) => void): Holding {
    return new Holding(this, ++this.#last, user, evict);
  }

  /** See `Holding`. */
  take(entry: Holding, bytes: number): void {
    const { user, number } = entry;
    if (this.#bytesOf(user) + bytes > this.#share) {
      this.release(entry);
      throw this.#overShare(user);
    }
    while (this.#taken + bytes > this.#limit) {
      if (!this.#evictFor(this.#bytesOf(user) + bytes)) {
        this.release(entry);
        throw overloaded();
      }
    }
    this.#holdings.set(number, entry);
    entry.bytes += bytes;
    this.#add(user, bytes);
  }

  /** Takes back the newest request of whoever has most and can spare one; false: none of those has more than that. */
  #evictFor(bytes: number): boolean {
    const greater = [...this.#ofCaller].filter(([, taken]) => taken > bytes);
    for (const [user] of greater.toSorted(([, a], [, b]) => b - a)) {
      const newest = this.#newestToSpare(user);
      if (newest === null) continue;
      this.release(newest);
      newest.evict(overloaded());
      return true;
    }
    return false;
  }

  #newestToSpare(user: string): Holding | null {
    let newest: Holding | null = null;
    for (const one of this.#holdings.values())
      if (one.user === user && !one.kept && one.number > (newest?.number ?? 0)) newest = one;
    return newest;
  }

  /** See `Holding`. */
  release(entry: Holding): void {
    if (!this.#holdings.delete(entry.number)) return;
    this.#add(entry.user, -entry.bytes);
    entry.bytes = 0;
  }

  #bytesOf(user: string): number {
    return this.#ofCaller.get(user) ?? 0;
  }

  #add(user: string, bytes: number): void {
    this.#taken += bytes;
    const left = this.#bytesOf(user) + bytes;
    if (left === 0) this.#ofCaller.delete(user);
    else this.#ofCaller.set(user, left);
  }

  #overShare(user: string): AltLasError {
    const sentence = `The requests of ${user} that are under way would hold more than ${this.#share} bytes, which is what limits.max_open_bytes leaves one caller. Try again when some have ended.`;
    return new AltLasError("rate_limited", sentence);
  }
}

function overloaded(): AltLasError {
  const sentence = "The requests under way take all the memory that limits.max_open_bytes allows. Try again later.";
  return new AltLasError("overloaded", sentence);
}
