/** Demands of tasks on a model and its engine, and the instances that can meet them. */
import { type InstanceFacts, mayServeAgain } from "../gpu/facts.ts";
import { type Need, PLAIN_NEEDS, sharedNeeds } from "../request.ts";
import type { WhyNot } from "../reasons.ts";
import type { CountsByReason, Task } from "../task.ts";
import { type Instance, roomFor } from "./placement.ts";

/** The model that a task names, and what has to be done with it. */
export type Demand = Pick<Task, "model" | "needs">;

/** Any model, for a text to continue with nothing special. */
export const PLAIN: Demand = { model: null, needs: PLAIN_NEEDS };

export function isPlain({ model, needs }: Demand): boolean {
  return model === null && needs === PLAIN_NEEDS;
}

/** The demand of tasks that are to run on one instance. They name one model, if any. */
export function demandOf(tasks: readonly Task[]): Demand {
  const first = tasks[0]!;
  if (tasks.length === 1 || tasks.every(({ model, needs }) => model === first.model && needs === first.needs))
    return first;
  const needs = sharedNeeds([...new Set(tasks.flatMap((task) => task.needs))].toSorted());
  return { model: tasks.find(({ model }) => model !== null)?.model ?? null, needs };
}

/** One value for each demand, so that it can be a key. There are as many as names of models, times what clients ask. */
export class Demands {
  readonly #known = new Map<readonly Need[], Map<string | null, Demand>>();

  get({ model, needs }: Demand): Demand {
    if (model === null && needs === PLAIN_NEEDS) return PLAIN;
    let byModel = this.#known.get(needs);
    if (byModel === undefined) this.#known.set(needs, (byModel = new Map()));
    let demand = byModel.get(model);
    if (demand === undefined) byModel.set(model, (demand = { model, needs }));
    return demand;
  }
}

/** Why an instance can not do it; null: it can, or may turn out to when it has loaded its model. */
export function lackOf(
  { modelName, onlyByName, can, retired }: Pick<InstanceFacts, "modelName" | "onlyByName" | "can" | "retired">,
  { model, needs }: Demand,
): Extract<WhyNot, "other_model" | "lacks_capability" | "retired"> | null {
  if (retired) return "retired";
  if (model === null && onlyByName) return "other_model";
  if (model !== null && modelName !== null && modelName !== model) return "other_model";
  return can === null || needs.every((need) => can.has(need)) ? null : "lacks_capability";
}

/** Whether an instance may ever do it: it can, or may load a model that can. */
export function mayEverDo(facts: InstanceFacts, demand: Demand): boolean {
  return lackOf(facts, demand) === null && (facts.can !== null || mayServeAgain(facts.state));
}

/** The instances that can do what some tasks ask. */
export interface Suitable {
  /** In `gpu_id` order. */
  readonly instances: readonly Instance[];
  /** The others. */
  readonly others: CountsByReason;
  /** Bytes of text that fit into one of them that may serve; -Infinity: there is none. */
  readonly mostRoom: number;
}

/** Demands whose instances are remembered. */
const MOST_KNOWN = 1000;

/** Works out once for each demand which instances can do it. */
export class Suitability {
  readonly #all: readonly Instance[];
  readonly #known = new Map<readonly Need[], Map<string | null, Suitable | null>>();
  #size = 0;
  /** Of `PLAIN`, so that most tasks are looked up nowhere. */
  #ofPlain: Suitable | null = null;

  /** @param all the fleet's list */
  constructor(all: readonly Instance[]) {
    this.#all = all;
  }

  /** The instances for a task; null: all of them. */
  of(demand: Demand): Suitable | null {
    if (isPlain(demand)) return this.#ofPlain;
    const { needs, model } = demand;
    const known = this.#known.get(needs)?.get(model);
    if (known !== undefined) return known;
    // Names that no model has are asked for, too.
    if (this.#size >= MOST_KNOWN) this.renew();
    this.#size++;
    const suitable = this.#among(demand);
    const byModel = this.#known.get(needs) ?? new Map<string | null, Suitable | null>();
    this.#known.set(needs, byModel.set(model, suitable));
    return suitable;
  }

  /** The facts that this depends on have changed. */
  renew(): void {
    this.#known.clear();
    this.#size = 0;
    this.#ofPlain = this.#among(PLAIN);
  }

  #among(demand: Demand): Suitable | null {
    const instances: Instance[] = [];
    const others: Partial<Record<WhyNot, number>> = {};
    let mostRoom = -Infinity;
    for (const instance of this.#all) {
      const lack = lackOf(instance.facts, demand);
      if (lack !== null) others[lack] = (others[lack] ?? 0) + 1;
      else instances.push(instance);
      if (lack === null && mayServeAgain(instance.facts.state)) mostRoom = Math.max(mostRoom, roomFor(instance.facts));
    }
    return instances.length === this.#all.length ? null : { instances, others, mostRoom };
  }
}
