/** The options of an instance's engine that are known before its model is loaded. */
import { availableParallelism } from "node:os";
import type { Config } from "../config/config.ts";
import { deviceTraits } from "./device-kinds.ts";
import type { InstanceEngine } from "./instance/instance-parts.ts";
import type { Device } from "./inventory/devices.ts";
import { engineOn, type ServedModel, simulatedFor } from "./served.ts";

interface Around {
  /** All of the server. */
  readonly devices: readonly Device[];
  readonly config: Config;
  /** Of the machine; for tests. */
  readonly cores?: number;
}

/** Cores are divided among the CPU devices, and one is left for the server. @param served null: the device's own model */
export function engineOptions(device: Device, served: ServedModel | null, around: Around): InstanceEngine {
  const { devices, config, cores: all = availableParallelism() } = around;
  const cpuDevices = devices.filter((one) => deviceTraits(one).isMachine).length;
  const cores = Math.max(1, Math.floor((all - 1) / Math.max(1, cpuDevices)));
  const { kind, model, context, minContext, raw, tuning, binary, upstream, patience } =
    served === null ? device.engine : engineOn(device, served);
  return {
    kind,
    model,
    context,
    minContext,
    raw,
    slots: served?.settings.slots ?? device.slots,
    backend: device.backend,
    tuning: { ...tuning, cores },
    binary,
    upstream,
    patience,
    memoryShare: device.thresholds.memory,
    simulated: simulatedFor(config.engine.simulated, served),
  };
}
