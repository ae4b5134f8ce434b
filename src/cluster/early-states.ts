/** States that machines have told before the tasks of an earlier server are taken over: which of their runs may be adopted. */
import type { Task } from "../task.ts";
import type { Machine } from "./machine.ts";
import type { AgentState, News } from "./messages.ts";
import { isRunOf } from "./run-keys.ts";

/** A run of an earlier server that goes on, or that has ended without one. */
export interface EarlyRun {
  readonly machine: Machine;
  readonly run: AgentState["runs"][number] | AgentState["ends"][number];
}

export class EarlyStates {
  readonly #states = new Map<Machine, AgentState>();

  set(machine: Machine, state: AgentState): void {
    this.#states.set(machine, state);
  }

  delete(machine: Machine): void {
    this.#states.delete(machine);
  }

  /** Takes over news of the runs of a machine since. */
  hear(machine: Machine, news: News): void {
    const state = this.#states.get(machine);
    if (state === undefined) return;
    const gone = new Set(news.type === "ended" ? [news.key] : news.type === "lost" ? news.keys : []);
    if (gone.size === 0) return;
    const runs = state.runs.filter(({ key }) => !gone.has(key));
    this.#states.set(machine, { ...state, runs, ends: news.type === "ended" ? [...state.ends, news] : state.ends });
  }

  /**
   * The run of the last attempt of a task, on the GPU to which that was given. Another machine that claims to have it is not believed: a GPU is
   * another one where what was remembered of the cluster is lost.
   */
  find(task: Task): EarlyRun | null {
    for (const [machine, { runs, ends }] of this.#states) {
      const run = [...runs, ...ends].find(
        ({ key, instance }) => isRunOf(key, task) && machine.idOf(instance.gpuId) === task.gpuId,
      );
      if (run !== undefined) return { machine, run };
    }
    return null;
  }

  [Symbol.iterator](): Iterator<[Machine, AgentState]> {
    return this.#states[Symbol.iterator]();
  }
}
