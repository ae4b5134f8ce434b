/** The memory in which models may be on a device. */
import { deviceTraits } from "../device-kinds.ts";
import type { CardMemory } from "../facts.ts";
import type { Instance } from "../instance/instance.ts";
import type { Device } from "../inventory/devices.ts";
import type { Reading } from "./readings.ts";

/** Bytes: what others take is rounded up to these, so that decisions are not made anew for each sample. */
const STEP = 64 * 2 ** 20;

/** A device, with what is on it and on those that share its memory. */
export interface Place {
  readonly device: Device;
  readonly reading: Reading | null;
  /** On all devices of its kind. */
  readonly all: readonly { readonly device: Device; readonly instances: readonly Instance[] }[];
}

/** null: any number of models may be there, or nobody can tell. */
export function roomOn({ device, reading, all }: Place): CardMemory | null {
  const { memoryTotal, thresholds } = device;
  const total = reading?.memoryTotal ?? memoryTotal;
  if (total === null) return null;
  const { isMachine, hasCards } = deviceTraits(device);
  const mayTake = isMachine || hasCards ? total * thresholds.memory : total;
  const reserved = isMachine ? foreign(device, all, mayTake) : others(reading, total);
  const sharedBy = isMachine ? all.map((one) => one.device.id) : sharersOf(device, all);
  return { total: Math.floor(mayTake), reserved, ...(sharedBy.length > 1 && { sharedBy }) };
}

/** Several may be on one card, or on one of several that they join. */
function sharersOf(device: Device, all: Place["all"]): readonly number[] {
  const uuids = new Set(device.uuids);
  let sharers: Device[] = [];
  for (let before = -1; before < sharers.length;) {
    before = sharers.length;
    sharers = all.map((one) => one.device).filter((one) => one.uuids.some((uuid) => uuids.has(uuid)));
    for (const uuid of sharers.flatMap((one) => one.uuids)) uuids.add(uuid);
  }
  return sharers.map(({ id }) => id);
}

function others(reading: Reading | null, total: number): number {
  return upTo((reading?.othersMemory ?? 0) * total);
}

/** Bytes that are not free on this machine, and are no model's. */
function foreign({ thresholds }: Device, all: Place["all"], mayTake: number): number {
  return upTo(Math.max(0, mayTake - process.availableMemory() * thresholds.memory - taken(all)));
}

function taken(all: Place["all"]): number {
  const there = all.flatMap(({ instances }) => instances).filter(({ use }) => use !== "none");
  return there.reduce((sum, { stay }) => sum + (stay.residency.memory ?? 0), 0);
}

function upTo(bytes: number): number {
  return Math.ceil(bytes / STEP) * STEP;
}

/**
 * The part of free bytes that an instance may take when it loads now. The others that are yet to load there keep what is known to be
 * enough for them; where that is not known, all get the same.
 * @param all on the same memory
 */
export function budgetOf(free: number, about: Instance, all: readonly Instance[]): number {
  const later = all.filter((one) => one !== about && one.isToLoad);
  const needs = later.map(({ stay }) => (stay.served === null ? null : stay.residency.memory));
  const left = needs.includes(null) ? 0 : needs.reduce<number>((rest, need) => rest - (need ?? 0), free);
  return Math.max(left, free / (1 + later.length));
}
