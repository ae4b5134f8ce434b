/** The models on a card, as the decision which of them stay sees them. */
import type { InstanceState } from "../gpu/facts.ts";
import type { Instance } from "./placement.ts";
import { loadingCost, type Resident } from "./residency.ts";

/** The states in which an instance takes memory, and what the decision calls them. */
const RESIDENT: Readonly<Partial<Record<InstanceState, Resident["state"]>>> = {
  starting: "loading",
  // Its worker is not there now, or is trying again: it may go as one that is ready.
  faulted: "ready",
  ready: "ready",
  hot: "ready",
  // It goes by itself.
  draining: "loading",
  unloading: "unloading",
};

/** Names a model together with its file. */
export function keyOf({ facts: { modelName, model } }: Pick<Instance, "facts">): string {
  return `${modelName}\n${model}`;
}

export function takesMemory({ facts: { state } }: Instance): boolean {
  return RESIDENT[state] !== undefined;
}

/**
 * An instance that takes memory, as the decision sees it; null: what it takes is yet to be known.
 * @param id names it in the decision @param waiting tasks that wait for its model
 */
export function residentOf(instance: Instance, id: number, waiting: number): Resident | null {
  const { facts, running, loadedAt, lastUsedAt } = instance;
  const { memory, fileBytes, loadSeconds, pinned } = facts.residency;
  const state = RESIDENT[facts.state];
  if (memory === null || state === undefined) return null;
  const times = { lastUsedAt, loadedAt, loadSeconds };
  return { id, model: placeName(instance), memory, state, running: running.size, waiting, ...times, fileBytes, pinned };
}

/** Names an instance. */
export function placeName({ gpuId, id }: Instance): string {
  return `${gpuId}/${id}`;
}

/** The cost of bringing its model back; see `loadingCost`. */
export function costOf({ facts: { residency }, lastUsedAt }: Instance, now: number): number {
  return loadingCost(residency, now - lastUsedAt);
}
