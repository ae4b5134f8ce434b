/** The present figures of a gpu_id's hardware: those of its card, or of all cards that hold its model together. */
import { availableParallelism, totalmem } from "node:os";
import type { UpstreamFigures } from "../../engine/engine.ts";
import type { GpuUser } from "../status.ts";
import type { OthersReading } from "./external-load.ts";
import type { GpuSample } from "../telemetry/telemetry.ts";
import type { Usage } from "../worker/worker.ts";

/** A value that nobody gives is null. Units as in `GpuSample`; shares are 0 to 1. */
export interface Reading extends Omit<GpuSample, "uuid" | "processes"> {
  readonly processes: readonly GpuUser[] | null;
  readonly othersMemory: number | null;
  readonly othersUtilization: number | null;
  /** The figures of the server behind its engine; null: there is none, or it does not tell. */
  readonly upstream: UpstreamFigures | null;
}

/** The reading of a GPU without any figures. */
export const UNKNOWN: Reading = {
  utilization: null,
  memoryTotal: null,
  memoryUsed: null,
  memoryFree: null,
  temperature: null,
  power: null,
  powerLimit: null,
  energy: null,
  throttle: null,
  ecc: null,
  processes: null,
  othersMemory: null,
  othersUtilization: null,
  upstream: null,
};

/** One card with what others take of it. */
export interface CardReading {
  readonly sample: GpuSample;
  readonly others: OthersReading;
}

/** The figures of all cards as one: amounts are added, and of other figures the worst counts. */
export function combine(cards: readonly CardReading[]): Reading {
  const samples = cards.map(({ sample }) => sample);
  const users = cards.map(({ others }) => others.users);
  return {
    utilization: mean(samples.map(({ utilization }) => utilization)),
    memoryTotal: sum(samples.map(({ memoryTotal }) => memoryTotal)),
    memoryUsed: sum(samples.map(({ memoryUsed }) => memoryUsed)),
    memoryFree: sum(samples.map(({ memoryFree }) => memoryFree)),
    temperature: worst(samples.map(({ temperature }) => temperature)),
    power: sum(samples.map(({ power }) => power)),
    powerLimit: sum(samples.map(({ powerLimit }) => powerLimit)),
    energy: sum(samples.map(({ energy }) => energy)),
    throttle: merged(samples.map(({ throttle }) => throttle)),
    ecc: sumOfErrors(samples.map(({ ecc }) => ecc)),
    processes: allKnown(users) ? users.flat() : null,
    othersMemory: worst(cards.map(({ others }) => others.memory)),
    othersUtilization: worst(cards.map(({ others }) => others.utilization)),
    upstream: null,
  };
}

/** Bytes this process and its children may use: the cgroup's limit where there is one, else the machine's memory. */
export function memoryLimit(): number {
  const machine = totalmem();
  const cgroup = process.constrainedMemory();
  return cgroup > 0 && cgroup < machine ? cgroup : machine;
}

/**
 * A CPU device, whose figures are those of its worker process: the kernel's counters of it, which the worker reads itself.
 * @param last what it said the time before; null: nothing
 */
export function cpuReading(usage: Usage | null, last: Usage | null): Reading {
  return {
    ...UNKNOWN,
    utilization: cpuShare(usage, last),
    memoryUsed: usage?.residentBytes ?? null,
    memoryTotal: memoryLimit(),
    memoryFree: process.availableMemory(),
  };
}

/** A GPU without a driver that can be asked: what the engine's library says of its memory, and nothing else. */
export function engineReading(usage: Usage | null): Reading {
  const memory = usage?.deviceMemory ?? null;
  if (memory === null) return UNKNOWN;
  return { ...UNKNOWN, memoryTotal: memory.total, memoryUsed: memory.used, memoryFree: memory.free };
}

/**
 * A server that runs elsewhere has only the figures that it tells itself. Its external load is the others' share of the requests it can
 * work on at once. Where it does not tell how many those are, they are taken to be as many as run if requests wait, else enough for the
 * others' and all our slots.
 * @param slots tasks of this server that it may run at once
 */
export function remoteReading(usage: Pick<Usage, "upstream"> | null, slots: number): Reading {
  const upstream = usage?.upstream ?? null;
  if (upstream === null || upstream.running === null) return { ...UNKNOWN, upstream };
  const { running, ours, waiting } = upstream;
  const others = Math.max(0, running + (waiting ?? 0) - ours);
  const room = upstream.slots ?? ((waiting ?? 0) > 0 ? running : others + slots);
  return { ...UNKNOWN, upstream, othersUtilization: Math.min(1, others / Math.max(1, room)) };
}

/** Percent of the machine's CPU time that the worker used between two reports. */
function cpuShare(usage: Usage | null, last: Usage | null): number | null {
  if (usage === null || last === null || last.pid !== usage.pid || usage.at <= last.at) return null;
  const seconds = (usage.at - last.at) / 1000;
  const percent = ((usage.cpuSeconds - last.cpuSeconds) / (seconds * availableParallelism())) * 100;
  return Math.round(Math.min(100, Math.max(0, percent)) * 10) / 10;
}

function allKnown<T>(values: readonly (T | null)[]): values is readonly T[] {
  return values.every((value) => value !== null);
}

function sum(values: readonly (number | null)[]): number | null {
  return allKnown(values) ? values.reduce((total, value) => total + value, 0) : null;
}

function mean(values: readonly (number | null)[]): number | null {
  const total = sum(values);
  return total === null ? null : total / values.length;
}

/** The highest of those that are known. */
function worst(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length > 0 ? Math.max(...known) : null;
}

function merged(lists: readonly (readonly string[] | null)[]): readonly string[] | null {
  return allKnown(lists) ? [...new Set(lists.flat())] : null;
}

function sumOfErrors(values: readonly GpuSample["ecc"][]): GpuSample["ecc"] {
  if (!allKnown(values)) return null;
  return {
    corrected: values.reduce((total, { corrected }) => total + corrected, 0),
    uncorrected: values.reduce((total, { uncorrected }) => total + uncorrected, 0),
  };
}
