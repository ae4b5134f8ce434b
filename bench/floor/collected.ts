/** What comes in one turn of the event loop, in one message. */
export class Collected<T> {
  readonly #send: (all: readonly T[]) => void;
  #all: T[] = [];

  constructor(send: (all: readonly T[]) => void) {
    this.#send = send;
  }

  add(one: T): void {
    if (this.#all.push(one) > 1) return;
    setImmediate(() => {
      const all = this.#all;
      this.#all = [];
      this.#send(all);
    });
  }
}
