/** The values that were asked for last, so that they need not be made again. */
export class Kept<Value> {
  readonly #most: number;
  /** The least recently used first. */
  readonly #values = new Map<string, Value>();

  /** @param most that are kept */
  constructor(most: number) {
    this.#most = most;
  }

  get(key: string, make: () => Value): Value {
    const value = this.#values.has(key) ? this.#values.get(key)! : make();
    this.#values.delete(key);
    this.#values.set(key, value);
    const [oldest] = this.#values.keys();
    if (this.#values.size > this.#most) this.#values.delete(oldest!);
    return value;
  }

  /** Makes it again when it is next asked for, unless that has happened already. */
  forget(key: string, value: Value): void {
    if (this.#values.get(key) === value) this.#values.delete(key);
  }
}
