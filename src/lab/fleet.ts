/** The GPUs of a replay, and what the scheduler is told of them. */
import type { GpuFacts, InstanceFacts } from "../gpu/facts.ts";
import type { Need } from "../request.ts";
import type { MachineModel } from "./machine.ts";
import type { GpuSpeed } from "./speed.ts";

/** A model on a GPU, as it is or would be there. */
export interface OnGpu {
  readonly slots: number;
  readonly speed: GpuSpeed;
  /** Tokens of context for each slot. */
  readonly context: number;
  /** Bytes of KV cache for each token. */
  readonly kvBytesPerToken: number;
}

/** A model that a GPU may hold. */
export interface LabModel extends OnGpu {
  /** Its name in requests. */
  readonly name: string;
  /** Bytes that it takes. */
  readonly memory: number;
  /** Whether it is there at the start. */
  readonly atStart: boolean;
  /** Seconds without a task after which it is unloaded; null: it stays until another one needs its room. */
  readonly keepAlive: number | null;
}

/** A GPU, with the model that it has for good, unless `models` says which may be there. */
export interface LabGpu extends OnGpu {
  /** Several that come and go; absent: all models count as one. */
  readonly models?: readonly LabModel[];
  /** Bytes in which models may be; null, absent: any number of them may be there. */
  readonly memory?: number | null;
}

/** Of `reference`. */
export const REFERENCE_CONTEXT = 32_768;
export const REFERENCE_KV_BYTES = 131_072;
export const REFERENCE_GPU_MEMORY = 24e9;
export const REFERENCE_MODEL_MEMORY = 10e9;

/** At least one. */
export function modelsOn(gpu: LabGpu): readonly MachineModel[] {
  return gpu.models === undefined || gpu.models.length === 0 ? [gpu] : gpu.models;
}

const CAN: ReadonlySet<Need> = new Set(["completion"]);

/** @param slots more than it has, where it takes all tasks at once and lets them wait by itself */
export function factsOf(id: number, { context, kvBytesPerToken }: LabGpu, slots: number): GpuFacts {
  const instance = instanceFacts({ name: "lab", slots, context, kvBytesPerToken });
  return { id, memoryFree: null, othersUtilization: 0, mostTasks: null, memory: null, instances: [instance] };
}

/** Of an instance that is there for good; others differ in what they say. */
export function instanceFacts({
  name,
  slots,
  context,
  kvBytesPerToken,
}: Pick<LabModel, "name" | "slots" | "context" | "kvBytesPerToken">): InstanceFacts {
  return {
    id: 0,
    model: name,
    modelName: name,
    can: CAN,
    state: "ready",
    reason: null,
    isFetching: false,
    crowded: null,
    slots,
    context,
    kvBytesPerToken,
    // A token has four bytes here, so that a prompt that does not fit is refused.
    maxTokenBytes: BYTES_PER_TOKEN,
    residency: { memory: null, fileBytes: 0, loadSeconds: null, pinned: true },
    successor: null,
    retired: false,
  };
}

export const BYTES_PER_TOKEN = 4;

/** Slots of a GPU that takes everything. */
export const ANY_NUMBER = 1_000_000;
