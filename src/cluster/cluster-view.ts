/** How the GPUs and models of all machines look together. */
import { AltLasError } from "../errors.ts";
import { type GpuFacts, isServing, mayServeAgain } from "../gpu/facts.ts";
import type { Drain } from "../gpu/inventory/known-gpus.ts";
import type { ModelStatus } from "../gpu/models.ts";
import type { GpuStatus, InstanceStatus, Readiness } from "../gpu/status.ts";
import { type GpuIds, lockWords } from "./gpu-ids.ts";
import type { Machine } from "./machine.ts";
import { BEAT_MS } from "./messages.ts";
import type { MachineStatus } from "./status.ts";

/**
 * A GPU as placement is told of it. One of a machine that is gone is `faulted`: it may serve again, so tasks may wait for it. One that an
 * operator has drained takes nothing, also before its agent has heard of that.
 */
export function withDrain(
  facts: GpuFacts,
  { gone, drain }: { readonly gone: string | null; readonly drain: Drain | null },
): GpuFacts {
  if (gone === null && drain === null) return facts;
  const instances = facts.instances.map((one) => {
    if (gone !== null && mayServeAgain(one.state)) return { ...one, state: "faulted" as const, reason: gone };
    const takesTasks = isServing(one.state) || one.state === "cold";
    if (drain === null || !takesTasks) return one;
    return { ...one, state: "draining" as const, reason: `Drained by ${drain.by}.` };
  });
  return { ...facts, instances };
}

/** A GPU with its id in the cluster, its machine, and what is true of it when that is gone. */
export function withoutMachine(
  gpu: GpuStatus,
  machine: Pick<Machine, "name" | "whyGone" | "idOf" | "facts">,
): GpuStatus {
  const id = machine.idOf(gpu.id);
  const facts = machine.facts.get(id)?.instances;
  const instances = gpu.instances.map((one) => ({ ...sizesOf(facts, one.id), ...one, gpuId: id }));
  const known = { ...gpu, id, machine: machine.name, instances };
  if (machine.whyGone === null) return known;
  return { ...known, status: "faulted", reason: machine.whyGone, pid: null, processes: null };
}

/** Sizes of an instance, which agents of the version before tell in its facts alone. */
function sizesOf(
  facts: GpuFacts["instances"] | undefined,
  id: number,
): Pick<InstanceStatus, "slots" | "context" | "kvBytesPerToken"> {
  const { slots = 0, context = null, kvBytesPerToken = 0 } = facts?.find((one) => one.id === id) ?? {};
  return { slots, context, kvBytesPerToken: kvBytesPerToken === 0 ? null : kvBytesPerToken };
}

/** @param present the machines that are there */
export function readinessOf(present: readonly Machine[]): Readiness {
  if (present.some(({ look }) => look?.readiness.ready === true)) return { ready: true, reason: null };
  const reasons = present.map(({ name, look }) => `${name}: ${look?.readiness.reason ?? "It has told nothing yet."}`);
  const reason = reasons.length > 0 ? reasons.join(" ") : "No machine has joined: npx alt-las agent --join adds one.";
  return { ready: false, reason };
}

/** The refusal of what is asked of a GPU that no machine has. @param all those that there are */
export function noGpu(gpuId: number, all: readonly number[]): AltLasError {
  const known = all.length === 0 ? "no machine has joined yet" : `there are ${all.join(", ")}`;
  return new AltLasError("not_found", `There is no GPU ${gpuId}; ${known}.`);
}

/** @param running its tasks */
export function machineStatus(machine: Machine, running: number, ids: Pick<GpuIds, "lockOf">): MachineStatus {
  const { name, version: protocol, unobeyed: unacknowledged, clockAhead } = machine;
  const lock = ids.lockOf(name);
  const gone = lock === null ? machine.whyGone : lockWords(lock);
  return {
    name,
    gone,
    lockedOut: lock?.at ?? null,
    gpus: machine.look?.gpus.length ?? 0,
    running,
    protocol,
    heartbeatAge: gone === null ? (machine.missed * BEAT_MS) / 1000 : null,
    unacknowledged,
    clockAhead: clockAhead === null ? null : clockAhead / 1000,
  };
}

export function byName(machines: readonly MachineStatus[]): readonly MachineStatus[] {
  return machines.toSorted((one, other) => (one.name < other.name ? -1 : 1));
}

/** A name is the same model on every machine. */
export function allModels(models: readonly ModelStatus[]): readonly ModelStatus[] {
  return Array.from(
    Map.groupBy(models, ({ name }) => name),
    ([, same]) => same.reduce(together),
  );
}

function together(one: ModelStatus, other: ModelStatus): ModelStatus {
  const { context, capabilities } = one;
  const all = [...(capabilities ?? []), ...(other.capabilities ?? [])];
  return {
    ...one,
    aliases: [...new Set([...one.aliases, ...other.aliases])],
    served: one.served ?? other.served,
    since: Math.min(one.since, other.since),
    context: context === null || other.context === null ? (context ?? other.context) : Math.max(context, other.context),
    capabilities: capabilities === null && other.capabilities === null ? null : [...new Set(all)],
  };
}
