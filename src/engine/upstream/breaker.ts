/** Tells a server that is broken from tasks that it cannot do. */

/** Failures in a row after which a server has to show that it works. */
const MAX_FAILURES = 3;

/**
 * Counts failures without a success between them. They may all be of one task that fails again and again, and whoever else is at work there
 * must not be cut off for it: so the server is given up only if it cannot even do the smallest task.
 */
export class Breaker {
  readonly #prove: () => Promise<unknown>;
  #failures = 0;
  #proof: Promise<boolean> | null = null;

  /** @param prove has the server do the smallest task; rejects when it cannot */
  constructor(prove: () => Promise<unknown>) {
    this.#prove = prove;
  }

  /** It has done what it was asked to do. */
  succeeded(): void {
    this.#failures = 0;
  }

  /** It has failed, with these words. Resolves with what it has done, if that is to be the end of it, without a subject; else with null. */
  async failed(said: string): Promise<string | null> {
    this.#failures++;
    if (this.#failures < MAX_FAILURES) return null;
    this.#proof ??= this.#works().finally(() => (this.#proof = null));
    if (!(await this.#proof))
      return `failed ${this.#failures} times in a row, and then when it was asked for one token; the last task failed so: ${said}`;
    this.succeeded();
    return null;
  }

  #works(): Promise<boolean> {
    return this.#prove().then(
      () => true,
      () => false,
    );
  }
}
