/** The models on a card, as the decision which of them stay sees them. */
import { type InstanceState } from "../gpu/facts.ts";
import { type Instance } from "./placement.ts";
import { loadingCost, type Resident } from "./residency.ts";

/** The states in which an instance takes memory, and what the decision calls them. */
const RESIDENT: Readonly<Partial<Record<InstanceState, Resident["state"]>>> = {
  starting: "loading",
  faulted: "loading",
  ready: "ready",
  hot: "ready",
  draining: "ready",
  unloading: "unloading",
};

/** Tasks that wait, by the name of their model. */
export type Waits = ReadonlyMap<string, number>;

/** Names a model together with its file. */
export function keyOf({ facts: { modelName, model } }: Pick<Instance, "facts">): string {
  return `${modelName}\n${model}`;
}

/** @returns null: of one of them it is yet to be known what it takes */
export function residentsOn(instances: readonly Instance[], waits: Waits): readonly Resident[] | null {
  const residents: Resident[] = [];
  for (const instance of instances) {
    const { id, facts, running, loadedAt, lastUsedAt } = instance;
    const state = RESIDENT[facts.state];
    if (state === undefined) continue;
    const { memory, fileBytes, loadSeconds, pinned } = facts.residency;
    if (memory === null) return null;
    const waiting = waits.get(facts.modelName ?? "") ?? 0;
    const model = keyOf(instance);
    residents.push({
      id,
      model,
      memory,
      state,
      running: running.size,
      waiting,
      lastUsedAt,
      loadedAt,
      loadSeconds,
      fileBytes,
      pinned,
    });
  }
  return residents;
}

/** What it would cost to bring its model back; see `loadingCost`. */
export function costOf({ facts: { residency }, lastUsedAt }: Instance, now: number): number {
  return loadingCost(residency, now - lastUsedAt);
}
