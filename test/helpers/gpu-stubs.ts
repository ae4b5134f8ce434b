/**
 * Stand-ins for NVIDIA's drivers, libnvidia-ml.so.1 and libcuda.so.1, over GPUs that the test describes and may change at any time:
 *
 *     const stubs = await gpuStubs(t, [stubGpu(1), stubGpu(2, { temperature: 91 })]);
 *     if (stubs === null) return t.skip(NO_GPU_STUBS);
 *     const server = await Server.start(t, { env: stubs.environment });
 *     stubs.write([stubGpu(1), stubGpu(2, { state: "lost" })]);
 */
import { execFile } from "node:child_process";
import { mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { newFolder, type Owner } from "./server.ts";

const SOURCES = fileURLToPath(new URL("../fixtures/nvml-stub/", import.meta.url));
const MIB = 1024 * 1024;

/** What a test says when `gpuStubs` gave null. */
export const NO_GPU_STUBS = "no C compiler: the stub drivers are built by cc, on Linux";

export interface StubProcess {
  readonly pid: number;
  /** Bytes; without them, the driver does not tell. */
  readonly memory?: number;
  /** Percent of the GPU's time. */
  readonly utilization?: number;
  /** In which of the driver's lists it stands; without it, in that of compute processes. */
  readonly kind?: "compute" | "graphics" | "both";
}

/** Reported once to each driver that listens. Ids grow: an event with an id that is not above the last one's counts as old. */
export type StubEvent = { readonly id: number; readonly gpuInstance?: number } & (
  | { readonly xid: number }
  | { readonly doubleBitEcc: true }
);

/**
 * `lost`: it fell off the bus; `reset`: it needs one; `gone`: the driver does not list it; a number: the code, of NVML, with which every
 * question about it is answered (0: a MIG device answers although its card does not). CUDA shows none that does not work.
 */
export type StubState = "works" | "lost" | "reset" | "gone" | number;

/** null: the device does not support it. */
interface StubDevice {
  readonly uuid: string;
  readonly name: string | null;
  /** Bytes. */
  readonly memoryTotal: number | null;
  /** Bytes, without what is reserved; left out: what its processes take together. */
  readonly memoryUsed?: number;
  /** Bytes that the driver keeps for itself. */
  readonly memoryReserved: number;
  /** Percent; left out: what its processes use together. */
  readonly utilization?: number | null;
  readonly processes: readonly StubProcess[] | null;
  readonly state: StubState;
}

/** A card. */
export interface StubGpu extends StubDevice {
  /** Like `0000:65:00.0`. NVML numbers the cards in the order in which they are written; that of their bus ids may be another. */
  readonly pciBusId: string;
  /** Like 8.6. */
  readonly computeCapability: number | null;
  /** Degrees Celsius. */
  readonly temperature: number | null;
  readonly slowdownTemperature: number | null;
  /** Watts. */
  readonly power: number | null;
  readonly powerLimit: number | null;
  /** Joules. */
  readonly energy: number | null;
  /** NVML's bits. */
  readonly clockReasons: number | null;
  readonly ecc: { readonly corrected: number; readonly uncorrected: number } | null;
  /** Whether the driver tells the utilization of single processes; `silent`: it does, but has taken no sample lately. */
  readonly processUtilization: "told" | "silent" | null;
  /** null: the driver reports none for it. */
  readonly events: readonly StubEvent[] | null;
  /** Set: it is divided by MIG into these, at most 7. */
  readonly mig?: readonly StubMig[];
}

/** A MIG device, a part of its card. */
export interface StubMig extends StubDevice {
  readonly gpuInstance: number | null;
}

export interface StubDriver {
  readonly version?: string;
  /** NVML refuses to start, with this code of its own (18: driver and library do not match). */
  readonly nvmlError?: number;
  /** CUDA refuses to start, with this code of its own (803: the same). */
  readonly cudaError?: number;
  /** NVML answers nvmlDeviceGetMemoryInfo_v2 with this code (25: no such version of the struct). */
  readonly memoryV2Error?: number;
}

/**
 * `current`: as drivers are now; `old`: without what came after driver 470; `r535`: with the longer entries in the lists of processes
 * that the first drivers of that series had.
 */
export type StubVariant = "current" | "old" | "r535";

export interface GpuStubs {
  /** The folder with both libraries, for LD_LIBRARY_PATH. */
  readonly libraryPath: string;
  /** The libraries, to be opened by their paths in this process; set `NVML_STUB_FILE` to `file` before. */
  readonly nvml: string;
  readonly cuda: string;
  readonly file: string;
  /**
   * For a child process: it finds the stub drivers as it would find the real ones. With `CUDA_STUB_WRONG: "1"` beside them, CUDA shows a
   * process that is to see one GPU another.
   */
  readonly environment: Readonly<Record<"LD_LIBRARY_PATH" | "NVML_STUB_FILE", string>>;
  /** What the drivers say from now on, in every process. */
  write(gpus: readonly StubGpu[], driver?: StubDriver): void;
}

const REFUSE_KOFFI = `
  import { registerHooks } from "node:module";
  registerHooks({
    resolve(name, context, next) {
      if (name === "koffi") throw new Error("Cannot find package 'koffi'");
      return next(name, context);
    },
  });
`;

/** For a child process: as if the optional package koffi were not installed. */
export const WITHOUT_KOFFI: Readonly<Record<"NODE_OPTIONS", string>> = {
  NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(REFUSE_KOFFI)}`,
};

/** null: they cannot be built here. */
export async function gpuStubs(
  owner: Owner,
  gpus: readonly StubGpu[],
  { driver = {}, variant = "current" }: { readonly driver?: StubDriver; readonly variant?: StubVariant } = {},
): Promise<GpuStubs | null> {
  const libraryPath = await built(variant);
  if (libraryPath === null) return null;
  const file = join(newFolder(owner), "gpus");
  const write = (now: readonly StubGpu[], drivers: StubDriver = driver): void => replace(file, text(now, drivers));
  write(gpus);
  const { LD_LIBRARY_PATH: others } = process.env;
  return {
    libraryPath,
    nvml: join(libraryPath, "libnvidia-ml.so.1"),
    cuda: join(libraryPath, "libcuda.so.1"),
    file,
    environment: { LD_LIBRARY_PATH: [libraryPath, ...(others ? [others] : [])].join(":"), NVML_STUB_FILE: file },
    write,
  };
}

/** A data centre card at rest that supports everything. `number`: 1 to 255, its bus and the end of its UUID's first digits. */
export function stubGpu(number: number, changes: Partial<StubGpu> = {}): StubGpu {
  const bus = number.toString(16).padStart(2, "0");
  return {
    uuid: `GPU-ca4d00${bus}-0000-4000-8000-000000000000`,
    pciBusId: `0000:${bus}:00.0`,
    name: "NVIDIA H100 80GB HBM3",
    computeCapability: 9,
    memoryTotal: 81_559 * MIB,
    memoryReserved: 551 * MIB,
    temperature: 40,
    slowdownTemperature: 90,
    power: 70,
    powerLimit: 700,
    energy: 1_000_000,
    clockReasons: 0x1,
    ecc: { corrected: 0, uncorrected: 0 },
    processes: [],
    processUtilization: "told",
    events: [],
    state: "works",
    ...changes,
  };
}

/** One of seven parts of a card. `number`: any, the end of its UUID's first digits. */
export function stubMig(number: number, changes: Partial<StubMig> = {}): StubMig {
  return {
    uuid: `MIG-00a7${number.toString(16).padStart(4, "0")}-0000-4000-8000-000000000000`,
    name: "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
    memoryTotal: 9_984 * MIB,
    memoryReserved: 15 * MIB,
    utilization: null,
    processes: [],
    gpuInstance: number,
    state: "works",
    ...changes,
  };
}

// --- building ----------------------------------------------------------------------------------------------------

const DEFINITIONS = { current: [], old: ["-DOLD_DRIVER"], r535: ["-DLONG_PROCESS_ENTRIES"] } as const;

const builds = new Map<StubVariant, Promise<string | null>>();

/** The folder, which is there until this process ends. */
function built(variant: StubVariant): Promise<string | null> {
  const build = builds.get(variant) ?? buildVariant(variant);
  builds.set(variant, build);
  return build;
}

/** @throws {Error} with what the compiler says of the sources */
async function buildVariant(variant: StubVariant): Promise<string | null> {
  if (process.platform !== "linux") return null;
  const folder = mkdtempSync(join(tmpdir(), "alt-las-gpu-stubs-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const options = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", ...DEFINITIONS[variant]];
  const compile = (source: string, library: string): Promise<unknown> =>
    promisify(execFile)("cc", [...options, "-o", join(folder, library), join(SOURCES, source)]);
  try {
    await Promise.all([compile("nvml.c", "libnvidia-ml.so.1"), compile("cuda.c", "libcuda.so.1")]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
  return folder;
}

// --- the file ----------------------------------------------------------------------------------------------------

type Values = Readonly<Record<string, string | number | null | undefined>>;

let writes = 0;

/** In one step, and with a time of its own: the clock of the file system may be too coarse to tell two writes apart. */
function replace(file: string, content: string): void {
  const next = `${file}.new`;
  writeFileSync(next, content);
  const time = Math.floor(Date.now() / 1000) + writes++;
  utimesSync(next, time, time);
  renameSync(next, file);
}

function text(gpus: readonly StubGpu[], { version, nvmlError, cudaError, memoryV2Error }: StubDriver): string {
  const driver = { version: version ?? "570.124.06", init: nvmlError, cuda_init: cudaError, memory_v2: memoryV2Error };
  return [line("driver", driver), ...gpus.flatMap(cardLines), ""].join("\n");
}

function cardLines(gpu: StubGpu): string[] {
  const [major, minor = "0"] = gpu.computeCapability === null ? [null, null] : String(gpu.computeCapability).split(".");
  const card = line("gpu", {
    ...deviceValues(gpu),
    pci_bus_id: gpu.pciBusId,
    major,
    minor,
    temperature: gpu.temperature,
    slowdown: gpu.slowdownTemperature,
    power: thousandfold(gpu.power),
    power_limit: thousandfold(gpu.powerLimit),
    energy: thousandfold(gpu.energy),
    clock_reasons: gpu.clockReasons,
    ecc_corrected: gpu.ecc?.corrected,
    ecc_uncorrected: gpu.ecc?.uncorrected,
    event_types: gpu.events === null ? null : XID | DOUBLE_BIT_ECC,
    process_utilization: gpu.processUtilization === null ? null : gpu.processUtilization === "told" ? 1 : 2,
    mig: gpu.mig === undefined ? 0 : 1,
  });
  const parts = (gpu.mig ?? []).flatMap((part) => [
    line("mig", { ...deviceValues(part), gpu_instance: part.gpuInstance }),
    ...processLines(part),
  ]);
  return [card, ...processLines(gpu), ...(gpu.events ?? []).map(eventLine), ...parts];
}

const STATES = { works: {}, lost: { error: 15 }, reset: { error: 16 }, gone: { unlisted: 1 } } as const;

function deviceValues(device: StubDevice): Values {
  const { uuid, name, memoryTotal, memoryReserved, processes, state } = device;
  const together = (of: "memory" | "utilization"): number =>
    (processes ?? []).reduce((sum, process) => sum + (process[of] ?? 0), 0);
  return {
    uuid,
    name,
    memory_total: memoryTotal,
    memory_reserved: memoryReserved,
    memory_used: device.memoryUsed ?? together("memory"),
    utilization: device.utilization === undefined ? Math.min(100, together("utilization")) : device.utilization,
    lists_processes: processes === null ? null : 1,
    ...(typeof state === "number" ? { error: state } : STATES[state]),
  };
}

function processLines({ processes }: StubDevice): string[] {
  return (processes ?? []).map(({ pid, memory, utilization, kind = "compute" }) =>
    line("process", {
      pid,
      memory,
      utilization,
      compute: kind === "graphics" ? 0 : 1,
      graphics: kind === "compute" ? 0 : 1,
    }),
  );
}

/** nvmlEventTypeXidCriticalError and nvmlEventTypeDoubleBitEccError. */
const XID = 0x8;
const DOUBLE_BIT_ECC = 0x2;

function eventLine(event: StubEvent): string {
  const what = "xid" in event ? { type: XID, data: event.xid } : { type: DOUBLE_BIT_ECC };
  return line("event", { id: event.id, ...what, gpu_instance: event.gpuInstance });
}

function line(kind: string, values: Values): string {
  const words = Object.entries(values).filter(([, value]) => value !== undefined && value !== null);
  return [kind, ...words.map(([key, value]) => `${key}=${value}`)].join("\t");
}

function thousandfold(value: number | null): number | null {
  return value === null ? null : Math.round(value * 1000);
}
