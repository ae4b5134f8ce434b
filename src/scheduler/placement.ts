/** An instance as strategies compare it, and the record of a choice. */
import type { CardFacts, InstanceFacts, InstanceRef } from "../gpu/facts.ts";
import type { Why, WhyNot } from "../reasons.ts";
import type { CountsByReason, Placement, Task } from "../task.ts";
import { isSuspect } from "./attempts.ts";
import type { Pace } from "./pace.ts";
import type { Cached } from "./prefixes.ts";
import type { RunningTasks } from "./running.ts";

/** An instance as the scheduler sees it. Its load follows from the set of its running tasks alone, so it cannot drift. */
export interface Instance extends InstanceRef {
  /** Of its GPU. */
  readonly card: CardFacts;
  readonly facts: InstanceFacts;
  readonly running: RunningTasks;
  /** How fast it does tasks, as it was measured. */
  readonly pace: Pace;
  /** Tasks that run on the other instances of its GPU, where these share its slots; else 0. */
  readonly beside: number;
  /** The suspect that it is reserved for: it takes nothing else until it is empty. */
  readonly reservedFor: Task | null;
  /** Why it is not available for tasks that may run beside others; null: it is. */
  readonly whyNot: WhyNot | null;
  /** Whether it takes nothing new, so that another model can have its memory. */
  readonly isLeaving: boolean;
  /** When its model was loaded, and when its last task ended there; milliseconds of the server's clock. */
  readonly loadedAt: number;
  readonly lastUsedAt: number;
  /** The figure that `least_loaded` compares: see `loadOf`. */
  readonly load: number;
  /** Tokens of work that it does in the reference span: see speeds.ts. */
  readonly capacity: number;
  /**
   * Seconds that a token of one task more would cost there, with what the others wait for it; 0: not known, or all instances are about as
   * fast.
   */
  readonly seconds: number;
  /** Bytes: see `freeMemoryOf`. */
  readonly freeMemory: number;
}

/** From this ratio on one instance is faster than another: noise must move nothing. */
export const UNEVEN = 1.25;

/** The inputs of a load. */
interface Loaded extends Pick<Instance, "card" | "beside" | "capacity"> {
  readonly facts: Pick<InstanceFacts, "slots">;
  readonly running: Pick<RunningTasks, "work">;
}

/**
 * The figure that `least_loaded` compares: e + (1 − e)·w, e being the others' share of the GPU's time in steps of 0.05, and w the work placed
 * there ÷ what it does in the reference span, at most 1. Where all tasks and all GPUs are alike, w is running ÷ slots. Of an instance that
 * shares the slots of its GPU, the GPU counts where it is fuller.
 */
export function loadOf({ card, facts, running, beside, capacity }: Loaded): number {
  const { othersUtilization, mostTasks } = card;
  const others = Math.round(othersUtilization * 20) / 20;
  const own = running.work / capacity;
  const ofGpu = mostTasks === null ? 0 : (own * facts.slots + beside) / mostTasks;
  return others + (1 - others) * Math.min(1, Math.max(own, ofGpu));
}

/** The load of a GPU: that of all its instances as if they were one; 0: it has none. */
export function loadOfAll(instances: readonly Instance[]): number {
  const [first] = instances;
  if (first === undefined) return 0;
  const sum = (of: (one: Instance) => number): number => instances.reduce((all, one) => all + of(one), 0);
  const slots = sum(({ facts }) => facts.slots);
  // Of slots that they share, each one would else count once for each instance.
  const capacity = (sum((one) => one.capacity) * (first.card.mostTasks ?? slots)) / slots;
  const card = { ...first.card, mostTasks: null };
  return loadOf({ card, facts: { slots }, running: { work: sum(({ running }) => running.work) }, beside: 0, capacity });
}

/** The count and load of the tasks that run on a GPU. @param all the instances of all GPUs */
export function placedOn(all: readonly Instance[], id: number): { taskCount: number; load: number } {
  const here = all.filter(({ gpuId }) => gpuId === id);
  return { taskCount: here.reduce((sum, { running }) => sum + running.size, 0), load: loadOfAll(here) };
}

/** Bytes of KV cache the task may fill there: as many tokens as it is estimated at, at most one slot's context. */
export function memoryNeed({ estimatedTokens }: Task, { kvBytesPerToken, context }: InstanceFacts): number {
  return kvBytesPerToken * Math.min(estimatedTokens, context ?? estimatedTokens);
}

/**
 * Bytes that are free beside the needs of the running tasks. The engine allocates the KV cache of all its slots when it loads. The share of
 * it that running tasks do not need counts as free, so any task fits into a free slot.
 */
export function freeMemoryOf({ card, facts, running }: Pick<Instance, "card" | "facts" | "running">): number {
  const ownCache = (facts.loadedSlots ?? facts.slots) * (facts.context ?? 0) * facts.kvBytesPerToken;
  let reserved = 0;
  for (const task of running) reserved += memoryNeed(task, facts);
  return (card.memoryFree ?? 0) + ownCache - reserved;
}

/** The least number of tokens that a text of so many bytes can have there. */
export function leastTokens(bytes: number, { maxTokenBytes }: Pick<InstanceFacts, "maxTokenBytes">): number {
  return Math.ceil(bytes / maxTokenBytes);
}

/** The most bytes of a text that may leave one token of the context free; Infinity: the model is not known yet. */
export function roomFor({ context, maxTokenBytes }: Pick<InstanceFacts, "context" | "maxTokenBytes">): number {
  return context === null ? Infinity : (context - 1) * maxTokenBytes;
}

/** Why an instance may take no task at all now, or null when it may. */
export function obstacle(
  instance: Pick<Instance, "card" | "facts" | "running" | "beside" | "isLeaving">,
): WhyNot | null {
  const { card, facts, running, beside, isLeaving } = instance;
  if (facts.state !== "ready") return facts.state;
  if (isLeaving) return "leaving";
  if (card.mostTasks !== null && running.size + beside >= card.mostTasks) return "busy";
  return running.size >= facts.slots ? "busy" : facts.crowded;
}

/** Whether a suspect runs there. */
export function runsSuspect({ running }: Pick<Instance, "running">): boolean {
  if (running.size !== 1) return false;
  for (const task of running) if (isSuspect(task)) return true;
  return false;
}

/** The inputs of a strategy beside the instances. The same values give the same choice. */
export interface StrategyInput {
  /** The first of those that are placed together. */
  readonly task: Task;
  /** Whether some instances are known to be faster than others. */
  readonly isUneven: boolean;
  /** The GPU that round robin chose last; null: none yet. */
  readonly lastRoundRobin: number | null;
  /** Uniform in [0, 1). */
  readonly draw: number;
  /** Tokens of work that the task is expected to be, where a cache may spare a part of it on uneven instances; else 0. */
  readonly work: number;
  /** Instances that probably have a part of the prompt in their KV cache, the best first. */
  readonly cached: readonly Cached<Instance>[];
}

export interface Choice {
  readonly instance: Instance;
  readonly why: Why;
}

/** A rule that picks an instance: a pure function of its arguments. */
export interface Strategy {
  /** The figure it compares, for the record; null: it compares none. */
  readonly score: (instance: Instance) => number | null;
  /** `eligible` is never empty, and in the order of the fleet. */
  readonly choose: (eligible: readonly Instance[], input: StrategyInput) => Choice;
}

/** Picks one of `instances` by a number in [0, 1). */
export function drawFrom(instances: readonly Instance[], draw: number): Instance {
  return instances[Math.min(instances.length - 1, Math.floor(draw * instances.length))]!;
}

/** The place of an instance in a list that is sorted by `gpu_id`, then by id. */
export function placeOf(instances: readonly InstanceRef[], { gpuId, id }: InstanceRef): number {
  let low = 0;
  let high = instances.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = instances[middle]!;
    if (other.gpuId < gpuId || (other.gpuId === gpuId && other.id < id)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** GPUs that a placement lists beside the winner. */
const LISTED = 7;

/**
 * Records a choice: the winner and up to seven others with their scores, and the number of the rest by reason.
 * @param expectedTokens that the answer is expected to have
 */
export function record(
  name: Placement["strategy"],
  strategy: Strategy,
  { instance: winner, why }: Choice,
  eligible: readonly Instance[],
  others: CountsByReason,
  expectedTokens: number,
): Placement {
  const listed = [winner];
  for (const instance of eligible) {
    if (listed.length > LISTED) break;
    if (instance !== winner) listed.push(instance);
  }
  const unlisted = eligible.length - listed.length;
  const candidates = listed.map((one) => ({ gpuId: one.gpuId, score: rounded(strategy.score(one)) }));
  return {
    strategy: name,
    gpuId: winner.gpuId,
    reason: why,
    candidates,
    others: unlisted > 0 ? { ...others, eligible: unlisted } : others,
    expectedTokens,
  };
}

function rounded(score: number | null): number | null {
  return score === null ? null : Math.round(score * 1000) / 1000;
}
