/** Tells a server that is broken from tasks that it cannot do. */

/** Failures in a row after which a server is taken for broken. */
const MAX_FAILURES = 3;

/** One task that a server works on. */
export interface Witness {
  /** It has got a piece of its answer. */
  gotOn(): void;
  /** It has ended, however. */
  leave(): void;
}

/**
 * Failures without a success between them. They say nothing against a server on which another task, begun before the first of them, has
 * got on since: then it is one task that fails again and again, and the others must not be cut off for it.
 */
export class FailuresInARow {
  readonly #working = new Set<{ readonly begun: number; gotOn: number }>();
  /** Counts what happens, so that it has an order. */
  #moment = 0;
  #first = 0;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Whether the server is to be taken for broken. */
  get areTooMany(): boolean {
    const hasSurvivor = this.#working.values().some(({ begun, gotOn }) => begun < this.#first && gotOn > this.#first);
    return this.#count >= MAX_FAILURES && !hasSurvivor;
  }

  begin(): Witness {
    const task = { begun: ++this.#moment, gotOn: 0 };
    this.#working.add(task);
    return {
      gotOn: () => void (task.gotOn = ++this.#moment),
      leave: () => void this.#working.delete(task),
    };
  }

  add(): void {
    if (this.#count === 0) this.#first = ++this.#moment;
    this.#count++;
  }

  /** It has done what it was asked to do. */
  clear(): void {
    this.#count = 0;
  }
}
