/**
 * Parses the output of nvidia-smi. Its fields: `nvidia-smi --help-query-gpu` and `--help-query-compute-apps`; the
 * manual, https://docs.nvidia.com/deploy/nvidia-smi/, says that no output stays the same from version to version.
 */
import { clockReasons } from "./clock-reasons.ts";
import type { GpuIdentity, GpuProcess, GpuSample } from "./telemetry.ts";

const MIB = 1024 * 1024;

/** More than any card has; a driver that fails has told more. Degrees Celsius, watts. */
const HOTTEST = 1000;
const COLDEST = -273;
const STRONGEST = 100_000;
/** Of cards and of their parts. */
const HIGHEST_INDEX = 100_000;
/** Windows has 32 bits for it. */
const HIGHEST_PID = 2 ** 32 - 1;

export const IDENTITY_FIELDS = [
  "pci.bus_id",
  "uuid",
  "index",
  "name",
  "memory.total",
  "driver_version",
  "compute_cap", // Driver 495 and newer.
  "mig.mode.current", // Driver 450 and newer.
] as const;

export const SAMPLE_FIELDS = [
  "pci.bus_id",
  "utilization.gpu",
  "memory.total",
  "memory.used",
  "memory.free",
  "temperature.gpu",
  "power.draw",
  "power.limit",
  "ecc.errors.corrected.volatile.total",
  "ecc.errors.uncorrected.volatile.total",
  "clocks_event_reasons.active", // Driver 535 and newer.
  "clocks_throttle_reasons.active", // The same under the name that all drivers know so far.
] as const;

export const PROCESS_FIELDS = ["gpu_uuid", "pid", "used_gpu_memory"] as const;

export type Field = (typeof IDENTITY_FIELDS | typeof SAMPLE_FIELDS | typeof PROCESS_FIELDS)[number];

/** The value of each field; a field that this driver does not know is missing. */
export type Row = ReadonlyMap<Field, string>;

/** null: the line is no row of these fields, but something that nvidia-smi has to say. */
export function rowOf(fields: readonly Field[], line: string): Row | null {
  const values = line.split(",").map((value) => value.trim());
  return values.length === fields.length ? new Map(fields.map((field, at) => [field, values[at]!])) : null;
}

/** The field that this driver's nvidia-smi does not know, for which it refuses the whole query. */
export function refusedField(output: string): string | null {
  return /Field "([^"]+)" is not a valid field to query/.exec(output)?.[1] ?? null;
}

/** In lower case with a domain of four digits, as the kernel writes it: nvidia-smi writes eight. */
export function normalizedBusId(text: string): string {
  return text.toLowerCase().replace(/^0000(?=[0-9a-f]{4}:)/, "");
}

/** The card that a complaint such as `Unable to determine the device handle for GPU0000:18:00.0: …` is about. */
export function busIdIn(text: string): string | null {
  const busId = /(?:[0-9a-f]{4}){1,2}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]/i.exec(text)?.[0];
  return busId === undefined ? null : normalizedBusId(busId);
}

/** null: nvidia-smi does not tell who it is, as of a card that is lost. */
export function identityOf(row: Row): GpuIdentity | null {
  const uuid = row.get("uuid") ?? "";
  const pciBusId = busIdIn(row.get("pci.bus_id") ?? "");
  if (!/^GPU-[\w-]+$/.test(uuid) || pciBusId === null) return null;
  return {
    vendor: "nvidia",
    uuid,
    parentUuid: null,
    pciBusId,
    index: whole(row, "index", 0, HIGHEST_INDEX) ?? 0,
    name: row.get("name")?.replace(/\p{Cc}+/gu, " ") || "NVIDIA GPU",
    computeCapability: number(row, "compute_cap", 1, 100),
    memoryTotal: bytes(row, "memory.total"),
    slowdownTemperature: null,
  };
}

export function isDividedByMig(row: Row): boolean {
  return row.get("mig.mode.current") === "Enabled";
}

/**
 * The MIG devices in the output of `nvidia-smi -L`, under the UUID of their card:
 *
 *     GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-…)
 *       MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef-…)
 */
export function migDevicesIn(list: string): ReadonlyMap<string, readonly MigDevice[]> {
  const devices = new Map<string, MigDevice[]>();
  let ofCard: MigDevice[] = [];
  for (const line of list.split("\n")) {
    const card = /^GPU \d+:.*\(UUID: (GPU-[^)]+)\)/.exec(line)?.[1];
    if (card !== undefined) devices.set(card, (ofCard = []));
    const [, profile, index, uuid] = /^\s+MIG (\S+)\s+Device\s+(\d+):\s*\(UUID: (MIG-[^)]+)\)/.exec(line) ?? [];
    const known = figureIn(index, 0, HIGHEST_INDEX);
    if (uuid !== undefined && known !== null) ofCard.push({ profile: profile!, index: known, uuid });
  }
  return devices;
}

export interface MigDevice {
  /** Its size, like `3g.20gb`. */
  readonly profile: string;
  readonly index: number;
  readonly uuid: string;
}

/**
 * Degrees by bus id, from the output of `nvidia-smi -q -d TEMPERATURE`. Since Ada, cards tell their limits only as a
 * distance from a limit that they keep to themselves ("GPU Slowdown T.Limit Temp: -2 C"): these are left out.
 */
export function slowdownTemperaturesIn(report: string): ReadonlyMap<string, number> {
  const temperatures = new Map<string, number>();
  let busId = "";
  for (const line of report.split("\n")) {
    if (line.startsWith("GPU ")) busId = busIdIn(line) ?? "";
    const degrees = figureIn(/^\s+GPU Slowdown Temp\s*:\s*(\d+) C/.exec(line)?.[1], 1, HOTTEST);
    if (degrees !== null) temperatures.set(busId, degrees);
  }
  return temperatures;
}

/**
 * Why a card does not work any more by its row, as a clause; null: it works. Single figures may be `[Unknown Error]` on
 * a sound card (the power of some laptops), so that is believed only when no figure is left.
 */
export function failureIn(row: Row): string | null {
  const values = [...row.values()];
  if (values.some((value) => /GPU is lost/i.test(value))) return "is lost";
  if (values.some((value) => /GPU requires reset|Reset required/i.test(value))) return "needs a reset";
  const figures = SAMPLE_FIELDS.slice(1).flatMap((field) => row.get(field) ?? []);
  const isSilent = figures.every((value) => value.startsWith("["));
  return isSilent && values.some((value) => /Unknown Error/i.test(value)) ? "answers with an unknown error" : null;
}

/** A card's figures; `processes` come from another query. */
export function sampleOf(uuid: string, row: Row, processes: readonly GpuProcess[] | null): GpuSample {
  return {
    uuid,
    utilization: number(row, "utilization.gpu", 0, 100),
    memoryTotal: bytes(row, "memory.total"),
    memoryUsed: bytes(row, "memory.used"),
    memoryFree: bytes(row, "memory.free"),
    temperature: number(row, "temperature.gpu", COLDEST, HOTTEST),
    power: number(row, "power.draw", 0, STRONGEST),
    powerLimit: number(row, "power.limit", 0, STRONGEST),
    energy: null,
    throttle: throttleOf(row.get("clocks_event_reasons.active") ?? row.get("clocks_throttle_reasons.active")),
    processes,
    ecc: eccOf(row),
  };
}

/** The figures of a card that hold for its MIG devices too: how hot it is and how sound. */
export function migSampleOf(uuid: string, card: GpuSample, processes: readonly GpuProcess[] | null): GpuSample {
  const unknown = { utilization: null, memoryTotal: null, memoryUsed: null, memoryFree: null };
  return { ...card, ...unknown, uuid, power: null, powerLimit: null, processes };
}

/** null: the row does not name a process. */
export function processOf(row: Row): { readonly gpu: string; readonly process: GpuProcess } | null {
  const pid = whole(row, "pid", 1, HIGHEST_PID);
  const gpu = row.get("gpu_uuid");
  if (pid === null || gpu === undefined) return null;
  return { gpu, process: { pid, memory: bytes(row, "used_gpu_memory"), utilization: null } };
}

function eccOf(row: Row): GpuSample["ecc"] {
  const corrected = whole(row, "ecc.errors.corrected.volatile.total");
  const uncorrected = whole(row, "ecc.errors.uncorrected.volatile.total");
  return corrected === null || uncorrected === null ? null : { corrected, uncorrected };
}

function throttleOf(mask: string | undefined): readonly string[] | null {
  return mask !== undefined && /^0x[0-9a-f]+$/i.test(mask) ? clockReasons(BigInt(mask)) : null;
}

/** nvidia-smi writes `[N/A]`, `[Not Supported]` or `[Insufficient Permissions]` for what it does not tell. */
function number(row: Row, field: Field, least: number, most: number): number | null {
  return figureIn(row.get(field), least, most);
}

function whole(row: Row, field: Field, least = 0, most = Number.MAX_SAFE_INTEGER): number | null {
  const value = number(row, field, least, most);
  return Number.isInteger(value) ? value : null;
}

function bytes(row: Row, field: Field): number | null {
  const mib = whole(row, field, 0, Number.MAX_SAFE_INTEGER / MIB);
  return mib === null ? null : mib * MIB;
}

/** null: it is no number, or one that cannot be true. */
function figureIn(text: string | undefined, least: number, most: number): number | null {
  if (text === undefined || !/^-?\d+(\.\d+)?$/.test(text)) return null;
  const value = Number(text);
  return value >= least && value <= most ? value : null;
}
