/** Mutexes by name: one caller at a time holds a name, in the order of asking. */
export class Mutex {
  /** For each name that is held or waited for: a promise that resolves when the last caller in line releases it. */
  readonly #last = new Map<string, Promise<void>>();

  /** Resolves when no other caller holds any of `names`, with the function that releases them. Calling that twice is harmless. */
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

  /** Runs work while holding `name`, however the work before it ended. */
  async run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const giveBack = await this.take([name]);
    try {
      return await work();
    } finally {
      giveBack();
    }
  }
}
