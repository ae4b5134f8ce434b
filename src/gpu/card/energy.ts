/**
 * The energy that a GPU's cards take while it works: measured power times time. Instances that work at once share the power alike, so that
 * the shares of all add up to what the cards took.
 */

/** The energy of cards, as one of their instances asks for it. Times are milliseconds on the monotonic clock. */
export interface Energy {
  /** The instance has begun to work, or has ended to. */
  begins(now: number): void;
  ends(now: number): void;
  /** Joules that an instance would have been charged so far, had it worked all the time: what one has taken is the growth of this. */
  perInstance(now: number): number;
  /** Whether the power is measured now. */
  isKnown(now: number): boolean;
}

/** Milliseconds after which a reading is ignored. */
const EXPIRES = 30_000;

/** Of one card. */
export class CardEnergy implements Energy {
  #watts: number | null = null;
  #readAt = -Infinity;
  /** Instances that work. */
  #working = 0;
  #joules = 0;
  /** `#joules` is as of then. */
  #at = 0;

  /** @param watts null: nobody measures it */
  read(watts: number | null, now: number): void {
    this.#advance(now);
    this.#watts = watts;
    this.#readAt = now;
  }

  begins(now: number): void {
    this.#advance(now);
    this.#working++;
  }

  ends(now: number): void {
    this.#advance(now);
    this.#working--;
  }

  perInstance(now: number): number {
    this.#advance(now);
    return this.#joules;
  }

  isKnown(now: number): boolean {
    return this.#watts !== null && now - this.#readAt <= EXPIRES;
  }

  /** An instance may tell late of a moment that others were past. */
  #advance(now: number): void {
    const until = Math.min(now, this.#readAt + EXPIRES);
    if (this.#watts !== null && this.#working > 0 && until > this.#at)
      this.#joules += ((until - this.#at) / 1000) * (this.#watts / this.#working);
    this.#at = Math.max(this.#at, now);
  }
}

/** Of several cards that hold one model together; of none, which nobody measures. */
export class JointEnergy implements Energy {
  readonly #cards: readonly Energy[];

  constructor(cards: readonly Energy[]) {
    this.#cards = cards;
  }

  begins(now: number): void {
    for (const card of this.#cards) card.begins(now);
  }

  ends(now: number): void {
    for (const card of this.#cards) card.ends(now);
  }

  perInstance(now: number): number {
    let joules = 0;
    for (const card of this.#cards) joules += card.perInstance(now);
    return joules;
  }

  isKnown(now: number): boolean {
    return this.#cards.length > 0 && this.#cards.every((card) => card.isKnown(now));
  }
}
