/** Times in which the database of the server under test cannot be reached, which excuse that it tells nothing. */

/** Milliseconds after the end of one in which answers of before may still come. */
const AFTERWARDS = 2000;

export class Outage {
  #over: PromiseWithResolvers<void> | null = null;
  #endedAt = -Infinity;

  begin(): void {
    this.#over ??= Promise.withResolvers();
  }

  end(): void {
    this.#over?.resolve();
    this.#over = null;
    this.#endedAt = performance.now();
  }

  /** Whether there is one, or was a moment ago. */
  get isRecent(): boolean {
    return this.#over !== null || performance.now() - this.#endedAt < AFTERWARDS;
  }

  /** Resolves when there is none. */
  async over(): Promise<void> {
    await this.#over?.promise;
  }
}
