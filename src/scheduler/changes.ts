/** The effects of a change to an instance on the tasks that run there or wait for it. */
import type { InstanceFacts, InstanceState } from "../gpu/facts.ts";
import type { Change } from "./fleet.ts";

/** States in which an instance has its worker, and so its KV cache. */
export const HAS_WORKER: ReadonlySet<InstanceState> = new Set(["ready", "hot", "draining"]);

/** Placement depends on these, and on the free memory of the card. */
const DECISIVE = [
  "state",
  "crowded",
  "slots",
  "context",
  "maxTokenBytes",
  "modelName",
  "can",
] as const satisfies (keyof InstanceFacts)[];

/** Whether a model is not there any more that was: the rest of a batch that is bound to its GPU may go elsewhere. */
export function hasLeft({ instance: { facts }, before }: Change): boolean {
  return before?.state === "unloading" && facts.state === "cold";
}

/** Whether a change to an instance may let a waiting task start. */
export function letsIn({ instance: { facts }, before }: Change): boolean {
  return before === null || DECISIVE.some((key) => before[key] !== facts[key]);
}
