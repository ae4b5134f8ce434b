/**
 * The functions of NVML that are used here, declared after nvml.h of NVML 13 (NVIDIA/go-nvml, gen/nvml/nvml.h, API version 13). Of each
 * versioned function the older form is declared too where drivers that are still in use lack the newer one.
 */
import { join } from "node:path";
import { SYSTEM } from "../../common/system.ts";
import { NoDriver } from "./telemetry.ts";

/** nvmlReturn_t, as far as it makes a difference here. */
export const NVML = {
  SUCCESS: 0,
  NOT_SUPPORTED: 3,
  NO_PERMISSION: 4,
  NOT_FOUND: 6,
  INSUFFICIENT_SIZE: 7,
  FUNCTION_NOT_FOUND: 13,
  GPU_IS_LOST: 15,
  RESET_REQUIRED: 16,
  NO_DATA: 21,
  ARGUMENT_VERSION_MISMATCH: 25,
  DEPRECATED: 26,
} as const;

/** nvmlDevice_t or nvmlEventSet_t: a pointer that only NVML looks behind. */
export type Handle = bigint;

/** How a parameter is passed: numbers by value, handles as the 64-bit numbers that they are, and memory that NVML reads or fills. */
type Parameter = "uint32" | "uint64" | "void *";

interface Passed {
  readonly uint32: number;
  readonly uint64: bigint;
  readonly "void *": NodeJS.ArrayBufferView | null;
}

const HANDLE = "uint64";
const OUT = "void *";

/** Every one of them returns an nvmlReturn_t. */
const SIGNATURES = {
  nvmlInit_v2: [],
  nvmlShutdown: [],
  nvmlSystemGetDriverVersion: [OUT, "uint32"],
  nvmlDeviceGetCount_v2: [OUT],
  nvmlDeviceGetHandleByIndex_v2: ["uint32", OUT],
  nvmlDeviceGetUUID: [HANDLE, OUT, "uint32"],
  nvmlDeviceGetName: [HANDLE, OUT, "uint32"],
  nvmlDeviceGetPciInfo_v3: [HANDLE, OUT],
  nvmlDeviceGetCudaComputeCapability: [HANDLE, OUT, OUT],
  nvmlDeviceGetMemoryInfo: [HANDLE, OUT],
  nvmlDeviceGetMemoryInfo_v2: [HANDLE, OUT],
  nvmlDeviceGetUtilizationRates: [HANDLE, OUT],
  nvmlDeviceGetTemperature: [HANDLE, "uint32", OUT],
  nvmlDeviceGetTemperatureThreshold: [HANDLE, "uint32", OUT],
  nvmlDeviceGetPowerUsage: [HANDLE, OUT],
  nvmlDeviceGetEnforcedPowerLimit: [HANDLE, OUT],
  nvmlDeviceGetTotalEnergyConsumption: [HANDLE, OUT],
  nvmlDeviceGetCurrentClocksEventReasons: [HANDLE, OUT],
  nvmlDeviceGetCurrentClocksThrottleReasons: [HANDLE, OUT],
  nvmlDeviceGetTotalEccErrors: [HANDLE, "uint32", "uint32", OUT],
  nvmlDeviceGetComputeRunningProcesses_v2: [HANDLE, OUT, OUT],
  nvmlDeviceGetComputeRunningProcesses_v3: [HANDLE, OUT, OUT],
  nvmlDeviceGetGraphicsRunningProcesses_v2: [HANDLE, OUT, OUT],
  nvmlDeviceGetGraphicsRunningProcesses_v3: [HANDLE, OUT, OUT],
  nvmlDeviceGetProcessUtilization: [HANDLE, OUT, OUT, "uint64"],
  nvmlDeviceGetMigMode: [HANDLE, OUT, OUT],
  nvmlDeviceGetMaxMigDeviceCount: [HANDLE, OUT],
  nvmlDeviceGetMigDeviceHandleByIndex: [HANDLE, "uint32", OUT],
  nvmlDeviceGetGpuInstanceId: [HANDLE, OUT],
  nvmlDeviceGetSupportedEventTypes: [HANDLE, OUT],
  nvmlDeviceRegisterEvents: [HANDLE, "uint64", HANDLE],
  nvmlEventSetCreate: [OUT],
  nvmlEventSetFree: [HANDLE],
  nvmlEventSetWait: [HANDLE, OUT, "uint32"],
  nvmlEventSetWait_v2: [HANDLE, OUT, "uint32"],
} as const satisfies Readonly<Record<string, readonly Parameter[]>>;

type Signatures = typeof SIGNATURES;
type Arguments<Parameters extends readonly Parameter[]> = {
  readonly [At in keyof Parameters]: Passed[Parameters[At]];
};
type Functions = {
  readonly [Name in keyof Signatures]: (...values: Arguments<Signatures[Name]>) => number;
};

/** NVML's own functions; one that the installed driver lacks answers `FUNCTION_NOT_FOUND`. */
export interface NvmlLibrary extends Functions {
  /** A few words of NVIDIA's, like "GPU is lost". */
  errorString(code: number): string;
  /** See `hasLongProcessEntries`. */
  readonly hasLongProcessEntries: boolean;
}

type Library = ReturnType<(typeof import("koffi"))["load"]>;

/**
 * @param path of the library; without it, where the driver's installer puts it
 * @throws {NoDriver | Error} why NVML cannot be loaded; `NoDriver` where it is not installed
 */
export async function loadNvml(path?: string): Promise<NvmlLibrary> {
  const { load } = await import("koffi").catch((error: unknown) => {
    throw new NoDriver(`NVML needs the optional package koffi, which could not be loaded (${messageOf(error)})`);
  });
  const errors: string[] = [];
  for (const place of path === undefined ? places() : [path]) {
    try {
      return bind(load(place));
    } catch (error) {
      errors.push(`${place}: ${messageOf(error).replace(/^Failed to load shared library: /, "")}`);
    }
  }
  const sentence = `NVML could not be loaded (${errors.join("; ") || `NVIDIA has none for ${SYSTEM.platform}`})`;
  // A library that is there and cannot be loaded is another matter than none.
  throw errors.every((error) => ABSENT.test(error)) ? new NoDriver(sentence) : new Error(sentence);
}

/** Linux's words, and Windows' number for a library that it does not find. */
const ABSENT = /No such file or directory|\b126\b|could not be found/i;

function places(): readonly string[] {
  if (SYSTEM.platform === "linux") return ["libnvidia-ml.so.1"];
  if (SYSTEM.platform !== "win32") return [];
  const { SystemRoot = "C:\\Windows", ProgramFiles = "C:\\Program Files" } = process.env;
  const folders = [join(SystemRoot, "System32"), join(ProgramFiles, "NVIDIA Corporation", "NVSMI")];
  return ["nvml.dll", ...folders.map((folder) => join(folder, "nvml.dll"))];
}

function bind(library: Library): NvmlLibrary {
  const names = Object.keys(SIGNATURES) as (keyof Signatures)[];
  const functions = Object.fromEntries(
    names.map((name) => [
      name,
      has(library, name) ? library.func(name, "uint32", [...SIGNATURES[name]]) : () => NVML.FUNCTION_NOT_FOUND,
    ]),
  ) as unknown as Functions;
  const errorString = library.func("nvmlErrorString", "str", ["uint32"]) as (code: number) => string;
  return { ...functions, errorString, hasLongProcessEntries: hasLongProcessEntries(library) };
}

/**
 * The first drivers of the 535 series wrote entries of 32 bytes into the process lists of `_v3`, where those before and after write 24.
 * They are those that know confidential computing but not the function that the longer entries moved to (found out by nvitop, which
 * reads the lists by the same rule: XuehaiPan/nvitop, nvitop/api/libnvml.py).
 */
function hasLongProcessEntries(library: Library): boolean {
  return has(library, "nvmlDeviceGetConfComputeMemSizeInfo") && !has(library, "nvmlDeviceGetRunningProcessDetailList");
}

function has(library: Library, name: string): boolean {
  try {
    library.symbol(name);
    return true;
  } catch {
    return false;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
