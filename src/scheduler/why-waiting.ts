/** Why a task waits. It is found out when somebody asks, from what the scheduler decides by anyway, and nothing of it is kept. */
import type { InstanceState } from "../gpu/facts.ts";
import { wordsOf } from "../reasons.ts";
import type { Task } from "../task.ts";
import { isSuspect } from "./attempts.ts";
import type { Callers } from "./callers.ts";
import { demandOf } from "./demand.ts";
import type { Eligibility } from "./eligibility.ts";
import type { Fleet } from "./fleet.ts";
import { type Instance, obstacle } from "./placement.ts";
import { tasksOf, type Waiting } from "./waiting.ts";

export const WAIT_REASONS = [
  "gpu_busy",
  "gpu_drained",
  "gpu_not_ready",
  "caller_limit",
  "model_loading",
  "retry_pause",
  "batch_waits",
  "quarantine",
] as const;

export interface Wait {
  readonly reason: (typeof WAIT_REASONS)[number];
  /** One sentence of ours, with names of models and numbers of GPUs. */
  readonly sentence: string;
  /** The GPU's own sentence, maybe in another program's words; null: nothing more. */
  readonly detail: string | null;
  /** When the wait began, in milliseconds of the server's clock. */
  readonly since: number;
  /** Tasks of the same caller that ask the same and come before it; a batch that waits as one counts as one. */
  readonly ahead: number;
}

export interface WhyWaitingParts {
  readonly fleet: Fleet;
  readonly waiting: Waiting;
  readonly eligibility: Eligibility;
  readonly callers: Callers;
  /** Whether nothing may start, as results cannot be written. */
  readonly isHeld: () => boolean;
}

type Why = Pick<Wait, "reason" | "sentence"> & Partial<Pick<Wait, "detail">>;

/**
 * The first that applies:
 *  1. It rests after it was cut off.
 *  2. Its caller, or its team, has as many tasks running as it may.
 *  3. A GPU with its model takes tasks, and has no slot for it.
 *  4. Its model is nowhere yet: it is being fetched, is being loaded, or waits for memory.
 *  5. The GPUs with its model take nothing.
 */
export function whyWaiting(task: Task, parts: WhyWaitingParts): Wait {
  const { waiting } = parts;
  const why = waiting.isResting(task) ? RESTING : (ofCaller(task, parts) ?? ofGpus(task, parts)); // 1, 2
  return { detail: null, ...why, since: task.waitsSince, ahead: waiting.ahead(task) };
}

const RESTING: Why = { reason: "retry_pause", sentence: "It was cut off, and is tried again after a pause." };
const HELD: Why = { reason: "gpu_not_ready", sentence: "No task starts until results can be written to disk again." };

function ofCaller(task: Task, { callers }: WhyWaitingParts): Why | null {
  const holder = [callers.of(task), callers.teams.of(task)].find((one) => one?.isCapped === true) ?? null;
  if (holder === null) return null;
  const { title, limits } = holder;
  const most = limits.maxRunning === 1 ? "1 task" : `${limits.maxRunning} tasks`;
  return { reason: "caller_limit", sentence: `${title} has ${most} running, and may have no more.` };
}

function ofGpus(task: Task, { fleet, waiting, eligibility, isHeld }: WhyWaitingParts): Why {
  const together = tasksOf(waiting.batchOf(task) ?? task);
  const demand = demandOf(together);
  const all = (fleet.suitableFor(demand)?.instances ?? fleet.all).filter((one) =>
    eligibility.isAllowed(one, together[0]!, demand),
  );
  const open = all.filter(({ facts: { state, crowded } }) => state === "ready" && crowded === null);
  if (open.length > 0) return isHeld() ? HELD : ofOpen(task, open, together.length); // 3
  const coming = all.filter(({ facts: { state } }) => COMING.has(state));
  if (coming.length > 0) return ofComing(task, coming); // 4
  return ofShut(all); // 5
}

const COMING: ReadonlySet<InstanceState> = new Set(["starting", "cold", "unloading"]);

function ofOpen(task: Task, open: readonly Instance[], together: number): Why {
  const on = gpusOf(open);
  if (isSuspect(task))
    return {
      reason: "quarantine",
      sentence: `A worker failed under it, so it runs alone: it waits until nothing runs on ${on}.`,
    };
  if (open.every(({ isLeaving }) => isLeaving))
    return { reason: "model_loading", sentence: `Its model makes room for another one on ${on}, and comes back then.` };
  if (together > 1)
    return {
      reason: "batch_waits",
      sentence: `Its batch, ${together} tasks of which wait, runs on one GPU: it waits for ${on}.`,
    };
  return { reason: "gpu_busy", sentence: `All slots that it may have are taken: it waits for ${on}.` };
}

/** A load that is on its way before one that is yet to begin. */
function ofComing(task: Task, coming: readonly Instance[]): Why {
  const reason = "model_loading";
  const model = task.model ?? coming[0]!.facts.modelName;
  const which = model === null ? "Its model" : `The model ${model}`;
  const starting = coming.filter(({ facts }) => facts.state === "starting");
  const fetched = starting.find(({ facts }) => facts.isFetching);
  if (fetched !== undefined && starting.every(({ facts }) => facts.isFetching))
    return { reason, sentence: `${which} is not here yet.`, detail: fetched.facts.reason };
  const loading = starting.filter(({ facts }) => !facts.isFetching);
  if (loading.length > 0)
    return { reason, sentence: `${which} is being loaded on ${gpusOf(loading)}.`, detail: loading[0]!.facts.reason };
  const leaving = coming.filter(({ facts }) => facts.state === "unloading");
  if (leaving.length > 0)
    return { reason, sentence: `${which} leaves ${gpusOf(leaving)}, and is loaded again after that.` };
  return { reason, sentence: `${which} is loaded as soon as there is room for it on ${gpusOf(coming)}.` };
}

const OUT: ReadonlySet<InstanceState> = new Set(["draining", "drained"]);

function ofShut(all: readonly Instance[]): Why {
  if (all.length === 0) return { reason: "gpu_not_ready", sentence: "No GPU that it may go to is there." };
  if (all.every(({ facts }) => OUT.has(facts.state)))
    return { reason: "gpu_drained", sentence: `An operator took ${gpusOf(all)} out of service.` };
  const words = Map.groupBy(all, (one) => wordsOf(obstacle(one) ?? one.facts.state));
  const states = Array.from(words, ([word, on]) => `${gpusOf(on)} (${word})`).join(", ");
  const detail = all.find(({ facts }) => facts.reason !== null)?.facts.reason ?? null;
  return { reason: "gpu_not_ready", sentence: `Nothing that it may go to takes tasks: ${states}.`, detail };
}

/** Like "GPU 0, 2". */
function gpusOf(instances: readonly Instance[]): string {
  return `GPU ${[...new Set(instances.map(({ gpuId }) => gpuId))].join(", ")}`;
}
