/** The facts of GPUs and their instances that placement depends on. The scheduler knows nothing else of gpu/. */
import type { Need } from "../request.ts";
import type { WhyNot } from "../reasons.ts";

/**
 * `starting`: its worker is loading the model, for the first time or again; `ready`: takes tasks; `hot`: takes none until it has cooled
 * down; `draining`: finishes what runs and takes nothing new, because an operator said so; `drained`: has finished; `unfit`: cannot
 * serve as things are; `faulted`: failed, and is tried again by itself; `lost`: does not exist any more.
 */
export const GPU_STATES = ["starting", "ready", "hot", "draining", "drained", "unfit", "faulted", "lost"] as const;
export type GpuState = (typeof GPU_STATES)[number];

/** The state of one instance. `cold`: its model is not there, and is loaded when it is wanted; `unloading`: its model leaves. */
export type InstanceState = GpuState | "cold" | "unloading";

/** Whether tasks may wait for a GPU in this state when another could run them: it serves, or soon will by itself. */
export function isServing(state: InstanceState): boolean {
  return state === "starting" || state === "ready" || state === "hot";
}

/** Whether a GPU in this state may run tasks again without a change to the machine or the configuration. */
export function mayServeAgain(state: InstanceState): boolean {
  return state !== "unfit" && state !== "lost";
}

/** The kinds of external load that can crowd a GPU. */
export type ExternalLoad = Extract<WhyNot, "memory_taken" | "used_by_others">;

/** Names an instance. */
export interface InstanceRef {
  readonly gpuId: number;
  /** Among those of its GPU. */
  readonly id: number;
}

/** The facts of a card, or of several that hold one model together. */
export interface CardFacts {
  /** The `gpu_id`. */
  readonly id: number;
  /** Bytes; null: the device does not tell. */
  readonly memoryFree: number | null;
  /** Share of its time, 0 to 1, used by processes that are not this server's workers. */
  readonly othersUtilization: number;
  /** Tasks that run there at once, on all its instances together; null: as many as these have slots. */
  readonly mostTasks: number | null;
  /** The memory in which models may be; null: any number of models may be there, or nobody can tell. */
  readonly memory: CardMemory | null;
}

export interface CardMemory {
  /** Bytes that models may take. */
  readonly total: number;
  /** Bytes of these that other processes take. */
  readonly reserved: number;
  /** Ids of the GPUs whose models are in it, in order; absent: only this one's are. */
  readonly sharedBy?: readonly number[];
}

/** Facts of one instance for the decision which models stay on a card. */
export interface Residency {
  /** Bytes that it takes of the card, or would take; null: that is yet to be found out, so nothing is decided. */
  readonly memory: number | null;
  /** Bytes of the model's file; 0: it has none. */
  readonly fileBytes: number;
  /** Seconds that its model took to load; null: not measured. */
  readonly loadSeconds: number | null;
  /** It is there for good: nothing unloads it. */
  readonly pinned: boolean;
}

/** The facts of one instance. */
export interface InstanceFacts {
  /** Among those of its GPU. */
  readonly id: number;
  /** Path of its file, or the name by which its server knows it; "" where there is neither. */
  readonly model: string;
  /** The name by which requests call its model; null until that was loaded. */
  readonly modelName: string | null;
  /** Tasks that name no model do not run there; absent: they may. */
  readonly onlyByName?: true | undefined;
  /** The needs that its model and its engine can meet; null until the model was loaded. */
  readonly can: ReadonlySet<Need> | null;
  /** As it looks from outside, with what its card and the operator say. */
  readonly state: InstanceState;
  /** Why it is in this state; null when `ready`. */
  readonly reason: string | null;
  /** Of one that is starting: the file of its model is yet to come. */
  readonly isFetching: boolean;
  /** Why it is crowded and takes no new tasks although it is ready; null: it is not. */
  readonly crowded: ExternalLoad | Extract<WhyNot, "server_full"> | null;
  /** Tasks that may run there at once. */
  readonly slots: number;
  /** Slots that its model was loaded with, which may be more; absent: as many. */
  readonly loadedSlots?: number;
  /** Tokens of context for each slot; null until the model is loaded. */
  readonly context: number | null;
  readonly residency: Residency;
  /** The instance of this GPU that is to take its place, and can be loaded for that; null: none is. */
  readonly successor: number | null;
  /** It finishes what runs and is gone then: nothing may be placed there, or wait for it. */
  readonly retired: boolean;
  readonly kvBytesPerToken: number;
  /** A text of n bytes has at least n / this many tokens. */
  readonly maxTokenBytes: number;
}

/** A GPU with all its instances, in the order of their ids. */
export interface GpuFacts extends CardFacts {
  readonly instances: readonly InstanceFacts[];
}
