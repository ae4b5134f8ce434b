/** The GPUs of a replay, and what the scheduler is told of them. */
import type { GpuFacts, InstanceFacts } from "../gpu/facts.ts";
import type { Need } from "../request.ts";
import type { GpuSpeed } from "./speed.ts";

export interface LabGpu {
  readonly slots: number;
  readonly speed: GpuSpeed;
  /** Tokens of context for each slot. */
  readonly context: number;
  /** Bytes of KV cache for each token. */
  readonly kvBytesPerToken: number;
}

/** Of `reference`. */
export const REFERENCE_CONTEXT = 32_768;
export const REFERENCE_KV_BYTES = 131_072;

const CAN: ReadonlySet<Need> = new Set(["completion"]);

/** @param slots more than it has, where it takes all tasks at once and lets them wait by itself */
export function factsOf(id: number, { context, kvBytesPerToken }: LabGpu, slots: number): GpuFacts {
  const instance: InstanceFacts = {
    id: 0,
    model: "lab",
    modelName: "lab",
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
  return { id, memoryFree: null, othersUtilization: 0, mostTasks: null, memory: null, instances: [instance] };
}

export const BYTES_PER_TOKEN = 4;
