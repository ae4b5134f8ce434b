/** Tells a server that is broken from tasks that it cannot do. */

/** Failures in a row after which a server has to show that it works. */
const MAX_FAILURES = 3;

/** What a server that works can do. */
export const PROOF = { text: "Hello", maxLength: 1, temperature: 0, emit: () => {} };

/**
 * Counts failures without a success between them. They may all be of one task that fails again and again, and whoever else is at work there
 * must not be cut off for it: so the server is given up only if it cannot even do the smallest task.
 */
export class Breaker {
  readonly #prove: () => Promise<boolean>;
  #failures = 0;
  #proof: Promise<boolean> | null = null;

  /** @param prove has the server do the smallest task; resolves with whether it could */
  constructor(prove: () => Promise<boolean>) {
    this.#prove = prove;
  }

  /** Failures in a row. */
  get failures(): number {
    return this.#failures;
  }

  /** It has done what it was asked to do. */
  succeeded(): void {
    this.#failures = 0;
  }

  /** It has failed. Resolves with whether it is broken. */
  async failed(): Promise<boolean> {
    this.#failures++;
    if (this.#failures < MAX_FAILURES) return false;
    this.#proof ??= this.#prove().finally(() => (this.#proof = null));
    const works = await this.#proof;
    if (works) this.succeeded();
    return !works;
  }
}
