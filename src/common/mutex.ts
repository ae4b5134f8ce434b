/** Lets one at a time use a thing, in the order of asking. */
export class Mutex {
  /** Of the things that somebody has or waits for: when the last of those who asked gives it back. */
  readonly #last = new Map<string, Promise<void>>();

  /** Resolves when nobody else has any of `names`, with the function that gives them back. Calling that twice is harmless. */
  async take(names: readonly string[]): Promise<() => void> {
    const before = names.map((name) => this.#last.get(name));
    const { promise, resolve } = Promise.withResolvers<void>();
    for (const name of names) this.#last.set(name, promise);
    await Promise.all(before);
    return () => {
      for (const name of names) if (this.#last.get(name) === promise) this.#last.delete(name);
      resolve();
    };
  }

  /** Runs work when nobody else has `name`, however what was before it ended. */
  async run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const giveBack = await this.take([name]);
    try {
      return await work();
    } finally {
      giveBack();
    }
  }
}
