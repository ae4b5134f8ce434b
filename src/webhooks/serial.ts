/** Work that must not overlap with other work of the same name. */
export class Serial {
  readonly #last = new Map<string, Promise<void>>();

  /** Runs it when all that was asked for under this name before is over, however that went. */
  async run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name);
    const { promise: over, resolve } = Promise.withResolvers<void>();
    this.#last.set(name, over);
    await before;
    try {
      return await work();
    } finally {
      resolve();
      if (this.#last.get(name) === over) this.#last.delete(name);
    }
  }
}
