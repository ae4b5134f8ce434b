/** The options for the start of an instance's worker. */
import type { EngineOptions } from "../../engine/engine.ts";
import { engineTraits } from "../../engine/kinds.ts";
import type { WorkerOptions } from "../worker/worker.ts";
import type { InstanceOptions } from "./instance-parts.ts";

/** Times `stallTimeout`: the biggest models from slow disks take many minutes. */
const LOADING_MAY_TAKE = 30;

/** Seconds by which a worker that asks a server may be late in letting go of a task. */
const PATIENCE_MARGIN = 10;

export function workerOptions(options: InstanceOptions, planned: EngineOptions): WorkerOptions {
  const { beside, device, inherit, openChannel, cancelTimeout, energy, log } = options;
  // Threads that wait for each other's turn on a core make both models far slower than half as fast.
  const cores = Math.max(1, Math.floor(planned.tuning.cores / (1 + beside())));
  const engine = { ...planned, tuning: { ...planned.tuning, cores } };
  const stallTimeout = stallTimeoutOf(options);
  return {
    gpuId: device.id,
    engine,
    environment: device.environment,
    inherit,
    openChannel,
    proveCuda: device.vendor === "nvidia",
    silenceTimeout: options.stallTimeout,
    stallTimeout,
    loadTimeout: stallTimeout * LOADING_MAY_TAKE,
    cancelTimeout,
    energy,
    log,
  };
}

/** Seconds. A server is given its own time, after which its engine lets go of the task by itself. */
function stallTimeoutOf({ engine, stallTimeout }: InstanceOptions): number {
  if (!engineTraits(engine.kind).hasPatience) return stallTimeout;
  const { firstByte, token } = engine.patience;
  return Math.max(stallTimeout, Math.max(firstByte, token) + PATIENCE_MARGIN);
}
