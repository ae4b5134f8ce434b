/**
 * Shares the time of one worker, and the energy that its cards take meanwhile, among the tasks that run there.
 *
 *  1. The time from one step to the next is shared by the tokens that the step brought each task: those that it generated, and those of
 *     its prompt in the step in which it begins.
 *  2. Where no task got a token, all that run have equal shares. So it is also when a task comes between two steps, as the time before is not its
 *     own, and when the worker ends.
 *  3. Time in which no task runs is nobody's. So the shares of all tasks add up to the time in which any runs there, however each ends.
 */
import { type Run } from "./run.ts";

export class Meter {
  readonly #runs: ReadonlyMap<number, Run>;
  readonly #watts: () => number | null;
  /** Milliseconds; the time before has been shared. */
  #since = 0;

  /**
   * @param runs those of the worker, as they are
   * @param watts what its cards take now, for this worker; null: nobody measures it
   */
  constructor(runs: ReadonlyMap<number, Run>, watts: () => number | null) {
    this.#runs = runs;
    this.#watts = watts;
  }

  /** Shares the time until now. Before a run comes, when a step's tokens are noted, and before the runs are dropped. @param now milliseconds */
  settle(now: number): void {
    const seconds = (now - this.#since) / 1000;
    this.#since = now;
    let count = 0;
    let tokens = 0;
    for (const run of this.#runs.values()) {
      if (!isCounted(run)) continue;
      count++;
      tokens += run.stepTokens;
    }
    if (count === 0) return;
    const watts = this.#watts();
    for (const run of this.#runs.values()) {
      if (!isCounted(run)) continue;
      const share = tokens > 0 ? (seconds * run.stepTokens) / tokens : seconds / count;
      run.stepTokens = 0;
      run.use.gpuSeconds += share;
      if (watts !== null) run.use.energyJoules = (run.use.energyJoules ?? 0) + share * watts;
    }
  }
}

/** A health check costs nobody anything, and a task whose request is still being read uses nothing yet. */
function isCounted(run: Run): run is Run & { readonly use: NonNullable<Run["use"]> } {
  return run.sent && run.use !== null;
}
