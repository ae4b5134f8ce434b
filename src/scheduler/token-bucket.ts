/** A limit for each minute: the bucket fills steadily, and holds one minute's worth. */

const MINUTE = 60_000;

/** How much of a minute's worth there is. */
export interface BucketLevel {
  readonly limit: number;
  /** Whole ones that can be taken now. */
  readonly remaining: number;
  /** Seconds until all of them can be, if nothing is taken. */
  readonly resetSeconds: number;
}

export class TokenBucket {
  #perMinute: number;
  #level: number;
  /** Unix milliseconds when `#level` was true. */
  #at: number;

  constructor(perMinute: number, now: number) {
    this.#perMinute = perMinute;
    this.#level = perMinute;
    this.#at = now;
  }

  /** It has another size from now on: what is in it keeps its share, and what is owed stays owed. */
  resize(perMinute: number, now: number): void {
    this.#fill(now);
    if (this.#level > 0) this.#level *= perMinute / this.#perMinute;
    this.#perMinute = perMinute;
  }

  /** Seconds until `amount` can be taken; 0: now. A full bucket gives more than a minute's worth, as else nobody ever could. */
  secondsUntil(amount: number, now: number): number {
    this.#fill(now);
    const missing = Math.min(amount, this.#perMinute) - this.#level;
    return missing <= 0 ? 0 : (missing / this.#perMinute) * (MINUTE / 1000);
  }

  level(now: number): BucketLevel {
    this.#fill(now);
    return {
      limit: this.#perMinute,
      remaining: Math.max(0, Math.floor(this.#level)),
      resetSeconds: ((this.#perMinute - this.#level) / this.#perMinute) * (MINUTE / 1000),
    };
  }

  /** Takes an amount, or gives it back if it is below 0. It may take more than there is; later ones wait for that. */
  take(amount: number, now: number): void {
    this.#fill(now);
    this.#level = Math.min(this.#perMinute, this.#level - amount);
  }

  #fill(now: number): void {
    // A clock that was set back must not empty it.
    const passed = Math.max(0, now - this.#at);
    this.#level = Math.min(this.#perMinute, this.#level + (this.#perMinute * passed) / MINUTE);
    this.#at = now;
  }
}
