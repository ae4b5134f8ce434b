/** The worker processes of an instance: the present one, and earlier ones that have not ended yet. */
import type { GpuWorker } from "../worker/worker.ts";

export class Processes {
  readonly #all = new Set<GpuWorker>();
  #ended: Promise<unknown> = Promise.resolve();

  get count(): number {
    return this.#all.size;
  }

  /** Process ids, those of their engines' servers too. */
  get pids(): readonly number[] {
    return [...this.#all].flatMap(({ pids }) => pids);
  }

  /** Resolves when those that were told to end have ended: until then they may hold the card's memory. */
  get ended(): Promise<unknown> {
    return this.#ended;
  }

  add(worker: GpuWorker): void {
    this.#all.add(worker);
  }

  /** @param gone resolves when it has ended */
  ends(worker: GpuWorker, gone: Promise<void>): void {
    this.#ended = Promise.all([this.#ended, gone.then(() => this.#all.delete(worker))]);
  }
}
