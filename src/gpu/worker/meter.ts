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
import { takeOut } from "../../common/in-flight.ts";
import type { Energy } from "../card/energy.ts";
import { addUp, type Run } from "./run.ts";

export class Meter {
  readonly #energy: Energy | null;
  /** Runs that are counted now. */
  readonly #runs: Run[] = [];
  /** Milliseconds; the time before has been shared. */
  #since = 0;
  /** Joules that were shared by then. */
  #joules = 0;

  /** @param energy of the worker's cards; null: nobody measures it */
  constructor(energy: Energy | null) {
    this.#energy = energy;
  }

  /** A run is given to the worker. @param now milliseconds */
  comes(run: Run, now: number): void {
    this.settle(now);
    if (run.use === null) return;
    if (this.#runs.push(run) === 1) this.#energy?.begins(now);
  }

  /** A run has left; the time until then is shared. */
  left(run: Run): void {
    addUp(run);
    if (takeOut(this.#runs, run) && this.#runs.length === 0) this.#energy?.ends(this.#since);
  }

  /** All runs leave. @param now milliseconds */
  drop(now: number): void {
    this.settle(now);
    this.tick();
    if (this.#runs.length > 0) this.#energy?.ends(now);
    this.#runs.length = 0;
  }

  /** Shows the tasks what has been shared. */
  tick(): void {
    for (const run of this.#runs) addUp(run);
  }

  /** Shares the time until now, by the tokens that the runs have got since the last time. @param now milliseconds */
  settle(now: number): void {
    const seconds = (now - this.#since) / 1000;
    const isMeasured = this.#energy?.isKnown(now) ?? false;
    const joules = this.#energy?.perInstance(now) ?? 0;
    const taken = joules - this.#joules;
    this.#since = now;
    this.#joules = joules;
    let tokens = 0;
    for (const run of this.#runs) tokens += run.stepTokens;
    for (const run of this.#runs) {
      const share = tokens > 0 ? run.stepTokens / tokens : 1 / this.#runs.length;
      run.stepTokens = 0;
      run.gpuSeconds += seconds * share;
      run.joules += taken * share;
      if (isMeasured || taken > 0) run.isMeasured = true;
    }
  }
}
