/** How values are spread, in memory that does not grow with their number: each is known to half a percent. */

/** Seconds; less than this is nothing. */
const LEAST = 0.0001;
const STEP = Math.log(1.005);
/** Up to 30 years. */
const BUCKETS = 6000;

export class Histogram {
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #sum = 0;
  #most = 0;

  add(value: number): void {
    this.#count++;
    this.#sum += value;
    if (value > this.#most) this.#most = value;
    const bucket = value < LEAST ? 0 : Math.min(BUCKETS - 1, 1 + Math.floor(Math.log(value / LEAST) / STEP));
    this.#counts[bucket]!++;
  }

  get count(): number {
    return this.#count;
  }

  /** 0: there are none. */
  get mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }

  get most(): number {
    return this.#most;
  }

  /** The value that this share of all does not exceed. @param share 0 to 1 */
  quantile(share: number): number {
    let left = Math.ceil(share * this.#count);
    for (let bucket = 0; bucket < BUCKETS && left > 0; bucket++) {
      left -= this.#counts[bucket]!;
      if (left <= 0) return bucket === 0 ? 0 : Math.min(this.#most, LEAST * Math.exp((bucket - 0.5) * STEP));
    }
    return this.#most;
  }

  /** Shares of all that do not exceed values, for drawing: at most so many points. */
  points(most: number): readonly (readonly [value: number, share: number])[] {
    return Array.from({ length: most }, (_, index) => {
      const share = (index + 1) / most;
      return [this.quantile(share), share] as const;
    });
  }
}
