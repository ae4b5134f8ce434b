/**
 * Shares the time of one worker, and the energy that its cards take meanwhile, among the tasks that run there.
 *
 *  1. The time from one step to the next is shared by the tokens that the step brought each task: those that it generated, and those of
 *     its prompt in the step in which it begins.
 *  2. Where no task got a token, all that run have equal shares. So it is also when a task comes between two steps, as the time before is
 *     not its own, and when the worker ends.
 *  3. Time in which no task runs is nobody's. So the shares of all tasks add up to the time in which any runs there, however each ends.
 *  4. A health check costs nobody anything, and a task whose request is still being read uses nothing yet.
 */
import { type Energy } from "../card/energy.ts";
import { addUp, type Run } from "./run.ts";

export class Meter {
  readonly #runs: ReadonlyMap<number, Run>;
  readonly #energy: Energy | null;
  /** Runs that are counted now. */
  #count = 0;
  /** Milliseconds; the time before has been shared. */
  #since = 0;
  /** Joules that were shared by then. */
  #joules = 0;

  /** @param runs those of the worker, as they are @param energy of its cards; null: nobody measures it */
  constructor(runs: ReadonlyMap<number, Run>, energy: Energy | null) {
    this.#runs = runs;
    this.#energy = energy;
  }

  /** Before a run is marked as sent. @param now milliseconds */
  comes(run: Run, now: number): void {
    this.settle(now);
    if (run.use === null) return;
    if (++this.#count === 1) this.#energy?.begins(now);
  }

  /** A run has left; the time until then is shared. */
  left(run: Run): void {
    addUp(run);
    if (isCounted(run) && --this.#count === 0) this.#energy?.ends(this.#since);
  }

  /** All runs leave. @param now milliseconds */
  drop(now: number): void {
    this.settle(now);
    this.tick();
    if (this.#count > 0) this.#energy?.ends(now);
    this.#count = 0;
  }

  /** Shows the tasks what has been shared. */
  tick(): void {
    for (const run of this.#runs.values()) addUp(run);
  }

  /** Shares the time until now, by the tokens that the runs have got since the last time. @param now milliseconds */
  settle(now: number): void {
    const seconds = (now - this.#since) / 1000;
    const isMeasured = this.#energy?.isKnown(now) ?? false;
    const joules = this.#energy?.perInstance(now) ?? 0;
    const taken = joules - this.#joules;
    this.#since = now;
    this.#joules = joules;
    if (this.#count === 0) return;
    let tokens = 0;
    for (const run of this.#runs.values()) if (isCounted(run)) tokens += run.stepTokens;
    for (const run of this.#runs.values()) {
      if (!isCounted(run)) continue;
      const share = tokens > 0 ? run.stepTokens / tokens : 1 / this.#count;
      run.stepTokens = 0;
      run.gpuSeconds += seconds * share;
      run.joules += taken * share;
      if (isMeasured || taken > 0) run.isMeasured = true;
    }
  }
}

function isCounted(run: Run): boolean {
  return run.sent && run.use !== null;
}
