/**
 * Lets one at a time use a thing, in the order of asking. Workers on one card load their models one after the other: each must see
 * what memory the one before has left.
 */
export class Turns {
  readonly #last = new Map<string, Promise<void>>();

  /** Resolves when nobody else has any of `names`, with the function that gives them back. Calling that twice is harmless. */
  async take(names: readonly string[]): Promise<() => void> {
    const before = names.map((name) => this.#last.get(name));
    const { promise, resolve } = Promise.withResolvers<void>();
    for (const name of names) this.#last.set(name, promise);
    await Promise.all(before);
    return resolve;
  }
}
