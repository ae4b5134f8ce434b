/** Who waits for the end of a task. Waiting costs memory only: nothing is asked for again and again. */
export class Waiters {
  readonly #waiting = new Map<string, Set<() => void>>();

  /** Resolves when `wake` is called for the task, when `seconds` are over, or when the signal aborts. */
  until(id: string, seconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", wake);
        this.#remove(id, wake);
        resolve();
      };
      const timer = setTimeout(wake, seconds * 1000);
      signal?.addEventListener("abort", wake);
      this.#add(id, wake);
    });
  }

  wake(id: string): void {
    for (const wake of this.#waiting.get(id) ?? []) wake();
  }

  wakeAll(): void {
    for (const id of this.#waiting.keys()) this.wake(id);
  }

  #add(id: string, wake: () => void): void {
    const others = this.#waiting.get(id);
    if (others === undefined) this.#waiting.set(id, new Set([wake]));
    else others.add(wake);
  }

  #remove(id: string, wake: () => void): void {
    const others = this.#waiting.get(id);
    others?.delete(wake);
    if (others?.size === 0) this.#waiting.delete(id);
  }
}
