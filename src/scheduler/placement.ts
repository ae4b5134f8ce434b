/** A GPU as strategies compare it, and what is written down about a choice. */
import { type GpuFacts } from "../gpu/status.ts";
import { type Why, type WhyNot } from "../reasons.ts";
import { type CountsByReason, type Placement, type Task } from "../task.ts";
import { isSuspect } from "./attempts.ts";
import { type Cached } from "./prefixes.ts";

/** A GPU as the scheduler sees it. Its load is the set of what runs there and nothing else, so it cannot drift. */
export interface Gpu {
  readonly facts: GpuFacts;
  readonly running: ReadonlySet<Task>;
  /** A waiting task that must run alone, for which it takes nothing else until it is empty. */
  readonly keptFor: Task | null;
  /** Why it takes no task that may run beside others; null: it does. */
  readonly shut: WhyNot | null;
  /** What `least_loaded` compares: see `loadOf`. */
  readonly load: number;
  /** Bytes: see `freeMemoryOf`. */
  readonly freeMemory: number;
}

/** What `least_loaded` compares: e + (1 − e)·(running ÷ slots), e being the others' share of the GPU's time in steps of 0.05. */
export function loadOf({ facts, running }: Pick<Gpu, "facts" | "running">): number {
  const others = Math.round(facts.othersUtilization * 20) / 20;
  return others + (1 - others) * (running.size / facts.slots);
}

/** Bytes of KV cache the task may fill on this GPU: as many tokens as it is estimated at, at most one slot's context. */
export function memoryNeed({ estimatedTokens }: Task, { kvBytesPerToken, context }: GpuFacts): number {
  return kvBytesPerToken * Math.min(estimatedTokens, context ?? estimatedTokens);
}

/**
 * Bytes that are free after what the running tasks have reserved. The engine sets the KV cache of all its slots aside when it loads, so
 * what its tasks have not reserved of that is as free as what nobody has taken; and a GPU with a free slot has room for any task there.
 */
export function freeMemoryOf({ facts, running }: Pick<Gpu, "facts" | "running">): number {
  const ownCache = facts.slots * (facts.context ?? 0) * facts.kvBytesPerToken;
  let reserved = 0;
  for (const task of running) reserved += memoryNeed(task, facts);
  return (facts.memoryFree ?? 0) + ownCache - reserved;
}

/** The least number of tokens that so many bytes of text can have on this GPU. */
export function leastTokens(bytes: number, { maxTokenBytes }: GpuFacts): number {
  return Math.ceil(bytes / maxTokenBytes);
}

/** Bytes that a text may have at most there, or it certainly leaves no room for one token; Infinity: the model is not known yet. */
export function roomFor({ context, maxTokenBytes }: GpuFacts): number {
  return context === null ? Infinity : (context - 1) * maxTokenBytes;
}

/** Why a GPU may take no task at all now, or null when it may. */
export function obstacle({ facts, running }: Pick<Gpu, "facts" | "running">): WhyNot | null {
  if (facts.state !== "ready") return facts.state;
  return running.size >= facts.slots ? "busy" : facts.crowded;
}

/** Whether a task runs there that must run alone. */
export function isHeld({ running }: Pick<Gpu, "running">): boolean {
  if (running.size !== 1) return false;
  for (const task of running) if (isSuspect(task)) return true;
  return false;
}

/** What a strategy may look at beside the GPUs. The same values give the same choice. */
export interface StrategyInput {
  /** The GPU that round robin chose last; null: none yet. */
  readonly lastRoundRobin: number | null;
  /** Uniform in [0, 1). */
  readonly draw: number;
  /** Who probably has how much of the prompt in its KV cache, the best first. */
  readonly cached: readonly Cached[];
}

export interface Choice {
  readonly gpu: Gpu;
  readonly why: Why;
}

/** A rule that picks a GPU: a pure function of its arguments. */
export interface Strategy {
  /** The figure it compares, for the record; null: it compares none. */
  readonly score: (gpu: Gpu) => number | null;
  /** `eligible` is never empty, and in `gpu_id` order. */
  readonly choose: (eligible: readonly Gpu[], input: StrategyInput) => Choice;
}

/** Picks one of `gpus` by a number in [0, 1). */
export function drawFrom(gpus: readonly Gpu[], draw: number): Gpu {
  return gpus[Math.min(gpus.length - 1, Math.floor(draw * gpus.length))]!;
}

/** GPUs that a placement lists beside the winner. */
const LISTED = 7;

/** Writes down a choice: the winner and up to seven others with their scores, the rest counted by reason. */
export function record(
  name: Placement["strategy"],
  strategy: Strategy,
  { gpu: winner, why }: Choice,
  eligible: readonly Gpu[],
  others: CountsByReason,
): Placement {
  const listed = [winner];
  for (const gpu of eligible) {
    if (listed.length > LISTED) break;
    if (gpu !== winner) listed.push(gpu);
  }
  const unlisted = eligible.length - listed.length;
  const candidates = listed.map((gpu) => ({ gpuId: gpu.facts.id, score: rounded(strategy.score(gpu)) }));
  return {
    strategy: name,
    gpuId: winner.facts.id,
    reason: why,
    candidates,
    others: unlisted > 0 ? { ...others, eligible: unlisted } : others,
  };
}

function rounded(score: number | null): number | null {
  return score === null ? null : Math.round(score * 1000) / 1000;
}
