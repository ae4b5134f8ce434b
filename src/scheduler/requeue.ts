/** Puts tasks back into the queue: after a run that was cut off, after a rest, or when the GPU that they waited for has stopped serving. */
import { isServing } from "../gpu/facts.ts";
import type { Task } from "../task.ts";
import { backoffSeconds } from "./attempts.ts";
import type { Deadlines } from "./deadlines.ts";
import { type Demand, lackOf } from "./demand.ts";
import type { Fleet } from "./fleet.ts";
import type { Waiting } from "./waiting.ts";

export interface RequeueParts {
  readonly fleet: Fleet;
  readonly waiting: Waiting;
  readonly deadlines: Deadlines;
  /** Seconds before the second try. */
  readonly retryBackoff: number;
  /** The server's clock. */
  readonly now: () => number;
}

export class Requeue {
  readonly #parts: RequeueParts;

  constructor(parts: RequeueParts) {
    this.#parts = parts;
  }

  /**
   * Queues tasks that have waited or run before, at the place that their age gives them. A batch that is not to be split may have lost its
   * GPU: its tasks follow those that have found another GPU, or wait as one.
   */
  add(tasks: readonly Task[]): void {
    this.#unbindFromLost(tasks);
    const unbound = tasks.filter(({ wholeBatch, boundTo }) => wholeBatch && boundTo === null);
    for (const task of tasks) if (!task.wholeBatch || task.boundTo !== null) this.#parts.waiting.add(task);
    if (unbound.length === 0) return;
    const homes = this.#homes();
    for (const [batchId, batch] of Map.groupBy(unbound, (task) => task.batchId)) {
      const home = homes.get(batchId) ?? null;
      const [there, elsewhere] = [
        batch.filter((task) => this.#serves(home, task)),
        batch.filter((task) => !this.#serves(home, task)),
      ];
      for (const task of there) this.#parts.waiting.add(Object.assign(task, { boundTo: home }));
      if (elsewhere.length > 0) this.#parts.waiting.addTogether(elsewhere);
    }
  }

  /**
   * As `add`, but a task whose last attempt counts against it rests first.
   * @param retryAfter seconds for which a full server is left alone
   */
  addAfterPause(tasks: readonly Task[], retryAfter?: number): void {
    const { waiting, deadlines, retryBackoff } = this.#parts;
    const now = this.#parts.now();
    this.#unbindFromLost(tasks);
    const ready = tasks.filter((task) => {
      const pause = backoffSeconds(task, retryBackoff, retryAfter);
      if (pause === 0) return true;
      waiting.rest(task);
      deadlines.retry(task, now + pause * 1000);
      return false;
    });
    this.add(ready);
    for (const task of tasks) deadlines.watchQueue(task);
  }

  /** Unbinds the waiting tasks of batches from a GPU that does not serve them any more. @returns those tasks */
  releaseBatches(gpuId: number): readonly Task[] {
    const { waiting } = this.#parts;
    const bound = waiting.boundTo(gpuId).filter(({ pinnedGpuId }) => pinnedGpuId === null);
    for (const task of bound) waiting.remove(task);
    this.add(bound);
    return bound.filter(({ boundTo }) => boundTo !== gpuId);
  }

  /** The serving GPUs that batches are bound to, by batch id. */
  #homes(): ReadonlyMap<string | null, number> {
    const homes = new Map<string | null, number>();
    for (const { gpuId, facts, running } of this.#parts.fleet.all) {
      if (!isServing(facts.state)) continue;
      const here = [...running, ...this.#parts.waiting.boundTo(gpuId)];
      for (const task of here) if (task.wholeBatch) homes.set(task.batchId, gpuId);
    }
    return homes;
  }

  /** Unbinds tasks of batches from GPUs that do not serve them any more. */
  #unbindFromLost(tasks: readonly Task[]): void {
    for (const task of tasks) if (task.pinnedGpuId === null && !this.#serves(task.boundTo, task)) task.boundTo = null;
  }

  /** Whether a GPU serves, and its model can do what a task asks. */
  #serves(gpuId: number | null, demand: Demand): boolean {
    if (gpuId === null) return false;
    return this.#parts.fleet.on(gpuId).some(({ facts }) => isServing(facts.state) && lackOf(facts, demand) === null);
  }
}
