/** The views of a GPU with its instances: one for placement, one for people. */
import { shownSize } from "../common/sizes.ts";
import type { Need } from "../request.ts";
import type { EngineInfo } from "../engine/engine.ts";
import type { Health, Visible } from "./card/health.ts";
import { type Reading, UNKNOWN } from "./card/readings.ts";
import type { InstanceHealth, OwnState } from "./instance/health.ts";
import type { Instance } from "./instance/instance.ts";
import type { Device } from "./inventory/devices.ts";
import type { CardMemory, ExternalLoad, GpuFacts, Residency } from "./facts.ts";
import type { GpuStatus, InstanceStatus } from "./status.ts";
import type { Succession } from "./succession.ts";

/** The facts about it at one moment. */
export interface GpuView {
  readonly device: Device;
  readonly health: Pick<Health, "state" | "reason" | "since" | "history" | "visible">;
  readonly instances: readonly Instance[];
  readonly succession: Pick<Succession, "failureOf" | "isHidden" | "successorOf" | "whyRetired">;
  /** null: there is none, or it is too old. */
  readonly reading: Reading | null;
  /** The external load of the card. */
  readonly crowded: ExternalLoad | null;
  readonly memory: CardMemory | null;
  readonly xids: Readonly<Record<string, number>>;
}

export function factsOf({ device, health, instances, succession, reading, crowded, memory }: GpuView): GpuFacts {
  return {
    id: device.id,
    memoryFree: reading?.memoryFree ?? null,
    othersUtilization: reading?.othersUtilization ?? 0,
    mostTasks: instances.some(({ stay }) => stay.served !== null) ? device.slots : null,
    memory,
    instances: instances
      .filter((one) => !succession.isHidden(one))
      .map((instance) => {
        const why = succession.whyRetired(instance);
        const { id, model, modelName, slots, info, isFull, stay } = instance;
        const own = visible(health.visible(instance.health), stay.residencyIn(memory), memory);
        return {
          id,
          model,
          modelName,
          onlyByName: stay.served?.onlyByName,
          can: info === null ? null : capabilitiesOf(info),
          ...(why === null || own.state === "unloading" ? own : retired(why)),
          isFetching: stay.served?.file?.state === "fetching",
          crowded: isFull ? "server_full" : crowded,
          slots: Math.min(slots, device.slots),
          loadedSlots: slots,
          residency: stay.residencyIn(memory),
          successor: succession.successorOf(instance),
          retired: why !== null,
          context: info?.context ?? null,
          kvBytesPerToken: info?.kvBytesPerToken ?? 0,
          maxTokenBytes: info?.maxTokenBytes ?? Number.MAX_SAFE_INTEGER,
        };
      }),
  };
}

/** A model that is larger than its card is not one that may be loaded there one day. */
function visible(own: Visible, { memory: needed }: Residency, memory: CardMemory | null): Visible {
  if (own.state !== "cold" || needed === null || memory === null || needed <= memory.total) return own;
  const reason = `Its model needs ${shownSize(needed)}, and this GPU has no more than ${shownSize(memory.total)} for models.`;
  return { state: "unfit", reason };
}

function retired(reason: string) {
  return { state: "draining", reason } as const;
}

/** Made once for each load: facts are told again and again. */
const sets = new WeakMap<EngineInfo, ReadonlySet<Need>>();

function capabilitiesOf(info: EngineInfo): ReadonlySet<Need> {
  let can = sets.get(info);
  if (can === undefined) sets.set(info, (can = new Set<Need>([...info.capabilities, ...info.honours])));
  return can;
}

export function statusOf({
  device,
  health,
  instances,
  succession,
  crowded,
  xids,
  ...view
}: GpuView): Omit<GpuStatus, "taskCount" | "load"> {
  const reading = view.reading ?? UNKNOWN;
  // The contract: a GPU's model and context are those of its one instance, else null.
  const only = instances.length === 1 ? instances[0]! : null;
  const info = only?.info ?? null;
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
    crowded: instances.length > 0 && instances.every(({ isFull }) => isFull) ? "server_full" : crowded,
    memoryTotal: reading.memoryTotal ?? device.memoryTotal,
    maxTemperature: device.maxTemperature,
    xids: { ...xids },
    computeCapability: device.computeCapability,
    slots: Math.min(info?.slots ?? device.slots, device.slots),
    modelName: only?.modelName ?? null,
    ...modelOf(info),
    pid: instances.find(({ pid }) => pid !== null)?.pid ?? null,
    restarts: instances.reduce((sum, { life }) => sum + life.restarts, 0),
    instances: instances.map((instance) => statusOfInstance(instance, { device, health, succession, ...view })),
    events: health.history,
  };
}

/** The states of an instance by those of its own health; its card and the operator may say more. */
const STATES: Readonly<Record<OwnState, InstanceStatus["state"]>> = {
  unfit: "failed",
  faulted: "failed",
  cold: "cold",
  unloading: "unloading",
  starting: "loading",
  ready: "ready",
};

function statusOfInstance(
  instance: GpuView["instances"][number],
  { device, health, succession, memory }: Pick<GpuView, "device" | "health" | "succession" | "memory">,
): InstanceStatus {
  const { id, model, modelName, stay, tasks, slots, info } = instance;
  const residency = stay.residencyIn(memory);
  const isFetching = stay.served?.file?.state === "fetching";
  const seen = visible(health.visible(instance.health), residency, memory);
  const failure = succession.failureOf(instance);
  const why = succession.whyRetired(instance);
  const told =
    why !== null
      ? ({ state: "unloading", reason: why } as const)
      : failure === null
        ? null
        : ({ state: "failed", reason: failure } as const);
  return {
    gpuId: device.id,
    id,
    model: modelName,
    source: model,
    ...(told ?? withShare(stateOf(instance.health, seen), seen.reason, instance.usage)),
    isFetching,
    // A model that is yet to be fetched counts as nothing.
    memoryBytes: residency.memory === 0 && isFetching ? null : residency.memory,
    loadSeconds: residency.loadSeconds,
    lastUsedAt: stay.lastUsedAt,
    running: tasks,
    slots: Math.min(slots, device.slots),
    context: info?.context ?? null,
    kvBytesPerToken: info === null || info.kvBytesPerToken === 0 ? null : info.kvBytesPerToken,
  };
}

/** A load says how far it is, where its engine knows that. */
function withShare(
  state: InstanceStatus["state"],
  reason: string | null,
  usage: GpuView["instances"][number]["usage"],
): Pick<InstanceStatus, "state" | "reason"> {
  const share = usage?.loadShare ?? null;
  if (state !== "loading" || share === null) return { state, reason };
  return { state, reason: `The model is being loaded (${Math.floor(share * 100)} %).` };
}

function stateOf({ state: own }: InstanceHealth, { state }: Visible): InstanceStatus["state"] {
  if (state === "lost" || state === "unfit") return "failed";
  // The worker of a drained GPU has ended, and comes back when the GPU is resumed.
  return own === "starting" && (state === "drained" || state === "draining") ? "cold" : STATES[own];
}

function modelOf(info: EngineInfo | null) {
  return {
    model: info?.model ?? null,
    capabilities: info?.capabilities ?? null,
    hasChatTemplate: info?.hasChatTemplate ?? null,
    context: info?.context ?? null,
    memoryNote: info?.memoryNote ?? null,
    device: info?.device ?? null,
    settings: info?.settings ?? null,
  };
}
