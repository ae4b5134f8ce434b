/** How much may run on a device: what its own entry says, else what holds for all devices. */
import type { Config } from "../../config/config.ts";

/** The settings of an entry alone; absent: as for all devices. */
export interface OwnLimits {
  readonly slots?: number;
  readonly memory_threshold?: number;
  readonly utilization_threshold?: number;
}

export interface DeviceLimits {
  readonly slots: number;
  /** Shares, 0 to 1, that others may take before it is left out. */
  readonly thresholds: { readonly memory: number; readonly utilization: number };
}

export function limitsOf(own: OwnLimits, { gpu: { multi_gpu } }: Pick<Config, "gpu">): DeviceLimits {
  return {
    slots: own.slots ?? multi_gpu.max_concurrent_tasks_per_gpu,
    thresholds: {
      memory: own.memory_threshold ?? multi_gpu.memory_threshold,
      utilization: own.utilization_threshold ?? multi_gpu.utilization_threshold,
    },
  };
}
