/** Requests that wait for the ends of tasks. A wait costs memory only: nothing polls. */
import { InFlight } from "../common/in-flight.ts";

export class Waiters {
  readonly #waiting = new InFlight<string, Set<(id: string) => void>>();

  /** Resolves when `wake` was called for each of the tasks, when `seconds` are over, or when the signal aborts. */
  until(ids: readonly string[], seconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const left = new Set(ids);
      const end = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", end);
        for (const id of left) this.#remove(id, wake);
        resolve();
      };
      const wake = (id: string): void => {
        this.#remove(id, wake);
        left.delete(id);
        if (left.size === 0) end();
      };
      const timer = setTimeout(end, seconds * 1000);
      signal?.addEventListener("abort", end);
      for (const id of left) this.#add(id, wake);
    });
  }

  has(id: string): boolean {
    return this.#waiting.has(id);
  }

  wake(id: string): void {
    for (const wake of this.#waiting.get(id) ?? []) wake(id);
  }

  wakeAll(): void {
    for (const id of this.#waiting.names()) this.wake(id);
  }

  #add(id: string, wake: (id: string) => void): void {
    const others = this.#waiting.get(id);
    if (others === undefined) this.#waiting.set(id, new Set([wake]));
    else others.add(wake);
  }

  #remove(id: string, wake: (id: string) => void): void {
    const others = this.#waiting.get(id);
    others?.delete(wake);
    if (others?.size === 0) this.#waiting.delete(id);
  }
}
