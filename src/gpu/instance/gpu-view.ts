/** How a supervised GPU looks: to placement, and to people. */
import { type EngineInfo } from "../../engine/engine.ts";
import { type Device } from "../inventory/devices.ts";
import { type Health } from "./health.ts";
import { type Reading, UNKNOWN } from "../card/readings.ts";
import { type GpuFacts, type GpuStatus } from "../status.ts";

/** What its supervisor knows of it at one moment. */
export interface SupervisedGpu {
  readonly device: Device;
  readonly health: Pick<Health, "state" | "reason" | "since" | "history">;
  /** null until a model was loaded. */
  readonly info: EngineInfo | null;
  /** null: there is none, or it is too old. */
  readonly reading: Reading | null;
  readonly crowded: GpuFacts["crowded"];
  readonly xids: Readonly<Record<string, number>>;
  readonly pid: number | null;
  readonly restarts: number;
}

export function factsOf({ device, health, info, reading, crowded }: SupervisedGpu): GpuFacts {
  return {
    id: device.id,
    state: health.state,
    reason: health.reason,
    crowded,
    slots: info?.slots ?? device.slots,
    context: info?.context ?? null,
    kvBytesPerToken: info?.kvBytesPerToken ?? 0,
    maxTokenBytes: info?.maxTokenBytes ?? Number.MAX_SAFE_INTEGER,
    memoryFree: reading?.memoryFree ?? null,
    othersUtilization: reading?.othersUtilization ?? 0,
  };
}

export function statusOf({
  device,
  health,
  info,
  crowded,
  xids,
  pid,
  restarts,
  ...look
}: SupervisedGpu): Omit<GpuStatus, "taskCount" | "load"> {
  const reading = look.reading ?? UNKNOWN;
  return {
    ...reading,
    id: device.id,
    name: device.name,
    kind: device.kind,
    uuids: device.uuids,
    pciBusIds: device.pciBusIds,
    status: health.state,
    reason: health.reason,
    since: health.since,
    crowded,
    memoryTotal: reading.memoryTotal ?? device.memoryTotal,
    maxTemperature: device.maxTemperature,
    xids: { ...xids },
    computeCapability: device.computeCapability,
    slots: info?.slots ?? device.slots,
    model: info?.model ?? null,
    context: info?.context ?? null,
    memoryNote: info?.memoryNote ?? null,
    device: info?.device ?? null,
    settings: info?.settings ?? null,
    pid,
    restarts,
    events: health.history,
  };
}
