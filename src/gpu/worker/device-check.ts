/** Whether a worker runs on what it was meant to run on. */
import type { EngineInfo } from "../../engine/engine.ts";
import { engineTraits } from "../../engine/kinds.ts";
import { deviceTraits } from "../device-kinds.ts";
import { sameGpu } from "./cuda.ts";
import type { Device } from "../inventory/devices.ts";

/**
 * The fault of the device that a worker has opened, as one sentence; null: none.
 * @param gpus the UUIDs that the CUDA driver shows the worker's process; null: nobody can tell
 */
export function mismatch(device: Device, info: EngineInfo, gpus: readonly string[] | null): string | null {
  if (!deviceTraits(device).hasCards) return null;
  const asked = device.uuids.join(", ");
  const { library } = engineTraits(device.engine.kind);
  if (library !== null && info.backend !== device.backend)
    return `The worker was to use ${device.backend} on ${asked}, but ${library} opened ${info.backend}.`;
  if (gpus !== null && !sameSet(device.uuids, gpus))
    return `The worker was to use ${asked}, but the CUDA driver shows it ${gpus.join(", ") || "no GPU"}.`;
  if (library !== null && info.devices.length !== device.uuids.length)
    return `The worker was to use ${asked}, but ${library} opened ${info.devices.length} GPUs (${info.device}).`;
  return null;
}

function sameSet(wanted: readonly string[], got: readonly string[]): boolean {
  return wanted.length === got.length && wanted.every((uuid) => got.some((other) => sameGpu(uuid, other)));
}
