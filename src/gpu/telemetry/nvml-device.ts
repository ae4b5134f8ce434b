/**
 * NVML's figures of one card or MIG device. Each figure stands by itself: one that the device does not support is null. The sizes and
 * offsets are those of the structs in nvml.h, which are the same on all 64-bit systems.
 */
import { clockReasons } from "./clock-reasons.ts";
import { normalizedBusId } from "./nvidia-smi-output.ts";
import { type Handle, NVML, type NvmlLibrary } from "./nvml-library.ts";
import type { GpuProcess, GpuSample } from "./telemetry.ts";

/** nvmlTemperatureSensors_t, nvmlTemperatureThresholds_t, nvmlEccCounterType_t and nvmlMemoryErrorType_t. */
const TEMPERATURE_GPU = 0;
const TEMPERATURE_THRESHOLD_SLOWDOWN = 1;
const VOLATILE_ECC = 0;
const ERROR_CORRECTED = 0;
const ERROR_UNCORRECTED = 1;

/** nvmlMemory_v2: the size of the struct in the lower bytes, the version in the highest. */
const MEMORY_V2 = BigInt(40 | (2 << 24));
/** NVML_DEVICE_MIG_ENABLE. */
const MIG_ENABLED = 1;
const VALUE_NOT_AVAILABLE = 0xffff_ffff_ffff_ffffn;

/** Milliseconds for which a process's share holds when the driver has no newer one: it takes one at least once a second. */
const SHARE_HOLDS = 2000;

/** Answers that say nothing about the health of the device. */
const NOT_TOLD: ReadonlySet<number> = new Set([
  NVML.NOT_SUPPORTED,
  NVML.NO_PERMISSION,
  NVML.FUNCTION_NOT_FOUND,
  NVML.NO_DATA,
  NVML.ARGUMENT_VERSION_MISMATCH,
  NVML.DEPRECATED,
]);

/** Memory for answers, shared by all devices: the calls are synchronous. */
const u32 = new Uint32Array(1);
const minor = new Uint32Array(1);
const u64 = new BigUint64Array(1);
const text = Buffer.alloc(96);
const pci = Buffer.alloc(68);
const memoryV1 = new BigUint64Array(3);
const memoryV2 = new BigUint64Array(5);
const rates = new Uint32Array(2);
/** Lists of processes and of their shares; replaced by a larger one when it is too small. */
let list = Buffer.alloc(256 * 32);

interface Memory {
  readonly total: number;
  readonly used: number;
  readonly free: number;
}

export class NvmlDevice {
  readonly handle: Handle;
  readonly #nvml: NvmlLibrary;
  #failure: number | null = null;
  /** Whether a call worked, and the last that failed, since the last `judge`. */
  #worked = false;
  #failed: number | null = null;
  /** Microseconds on the driver's clock: the newest share that was seen. */
  #sharesUntil = 0n;
  #shares: Shares | null = { byPid: new Map(), at: -Infinity };

  constructor(nvml: NvmlLibrary, handle: Handle) {
    this.#nvml = nvml;
    this.handle = handle;
  }

  /** The nvmlReturn_t with which it was lost; it is asked no more. null: it answers. */
  get failure(): number | null {
    return this.#failure;
  }

  /**
   * To be called when figures have been asked for: decides whether the device is still there. A single figure may fail on a sound card
   * (the power of some laptops), so any error but "lost" and "needs a reset" is believed only when no call worked.
   */
  judge(): void {
    if (!this.#worked) this.#failure ??= this.#failed;
    this.#worked = false;
    this.#failed = null;
  }

  uuid(): string | null {
    return this.#text((out) => this.#nvml.nvmlDeviceGetUUID(this.handle, out, out.length));
  }

  name(): string | null {
    return this.#text((out) => this.#nvml.nvmlDeviceGetName(this.handle, out, out.length));
  }

  pciBusId(): string | null {
    if (!this.#ask(() => this.#nvml.nvmlDeviceGetPciInfo_v3(this.handle, pci))) return null;
    return normalizedBusId(stringIn(pci.subarray(36)));
  }

  computeCapability(): number | null {
    if (!this.#ask(() => this.#nvml.nvmlDeviceGetCudaComputeCapability(this.handle, u32, minor))) return null;
    return Number(`${u32[0]}.${minor[0]}`);
  }

  slowdownTemperature(): number | null {
    return this.#number((out) =>
      this.#nvml.nvmlDeviceGetTemperatureThreshold(this.handle, TEMPERATURE_THRESHOLD_SLOWDOWN, out),
    );
  }

  /**
   * In version 2 `used` is what was allocated, as nvidia-smi shows it, and what the driver keeps for itself (hundreds of MiB on large
   * cards) is apart from it. Version 1, all there is before driver 510, counts that as used: used + free = total.
   */
  memory(): Memory | null {
    memoryV2[0] = MEMORY_V2;
    if (this.#ask(() => this.#nvml.nvmlDeviceGetMemoryInfo_v2(this.handle, memoryV2)))
      return { total: Number(memoryV2[1]), used: Number(memoryV2[4]), free: Number(memoryV2[3]) };
    // Under WSL version 2 was seen to fail with an unknown error where version 1 works.
    if (!this.#ask(() => this.#nvml.nvmlDeviceGetMemoryInfo(this.handle, memoryV1))) return null;
    return { total: Number(memoryV1[0]), used: Number(memoryV1[2]), free: Number(memoryV1[1]) };
  }

  utilization(): number | null {
    return this.#ask(() => this.#nvml.nvmlDeviceGetUtilizationRates(this.handle, rates)) ? rates[0]! : null;
  }

  temperature(): number | null {
    return this.#number((out) => this.#nvml.nvmlDeviceGetTemperature(this.handle, TEMPERATURE_GPU, out));
  }

  power(): number | null {
    return thousandth(this.#number((out) => this.#nvml.nvmlDeviceGetPowerUsage(this.handle, out)));
  }

  powerLimit(): number | null {
    return thousandth(this.#number((out) => this.#nvml.nvmlDeviceGetEnforcedPowerLimit(this.handle, out)));
  }

  energy(): number | null {
    return thousandth(this.#large((out) => this.#nvml.nvmlDeviceGetTotalEnergyConsumption(this.handle, out)));
  }

  throttle(): readonly string[] | null {
    const bits =
      this.#large((out) => this.#nvml.nvmlDeviceGetCurrentClocksEventReasons(this.handle, out)) ??
      this.#large((out) => this.#nvml.nvmlDeviceGetCurrentClocksThrottleReasons(this.handle, out));
    return bits === null ? null : clockReasons(bits);
  }

  ecc(): GpuSample["ecc"] {
    const corrected = this.#eccErrors(ERROR_CORRECTED);
    const uncorrected = corrected === null ? null : this.#eccErrors(ERROR_UNCORRECTED);
    return corrected === null || uncorrected === null ? null : { corrected, uncorrected };
  }

  /**
   * Those that compute or draw there. One that does both is in both lists, each time with all of its memory.
   * @param utilization of the whole device, as just measured
   */
  processes(utilization: number | null): readonly GpuProcess[] | null {
    const memory = this.#processMemory("Compute");
    if (memory === null) return null;
    for (const [pid, bytes] of this.#processMemory("Graphics") ?? []) memory.set(pid, memory.get(pid) ?? bytes);
    const shares = memory.size === 0 ? null : this.#processShares(utilization);
    const shareOf = (pid: number): number | null => (shares === null ? null : (shares.get(pid) ?? 0));
    return [...memory].map(([pid, bytes]) => ({ pid, memory: bytes, utilization: shareOf(pid) }));
  }

  /** The handles of the MIG devices that it is divided into, by their numbers on this card; null: it is not. */
  migDevices(): ReadonlyMap<number, NvmlDevice> | null {
    if (this.#number((out) => this.#nvml.nvmlDeviceGetMigMode(this.handle, out, minor)) !== MIG_ENABLED) return null;
    const count = this.#number((out) => this.#nvml.nvmlDeviceGetMaxMigDeviceCount(this.handle, out)) ?? 0;
    const devices = new Map<number, NvmlDevice>();
    for (let index = 0; index < count; index++) {
      // Most of the numbers that could be are usually free.
      if (this.#nvml.nvmlDeviceGetMigDeviceHandleByIndex(this.handle, index, u64) === NVML.SUCCESS)
        devices.set(index, new NvmlDevice(this.#nvml, u64[0]!));
    }
    return devices;
  }

  /** Of a MIG device: the part of the card that it is. */
  gpuInstanceId(): number | null {
    return this.#number((out) => this.#nvml.nvmlDeviceGetGpuInstanceId(this.handle, out));
  }

  #eccErrors(type: number): number | null {
    const errors = this.#large((out) => this.#nvml.nvmlDeviceGetTotalEccErrors(this.handle, type, VOLATILE_ECC, out));
    return errors === null ? null : Number(errors);
  }

  /** Bytes by process id. An nvmlProcessInfo_t has the process id at 0 and the bytes at 8. */
  #processMemory(kind: "Compute" | "Graphics"): Map<number, number | null> | null {
    const v3 = this.#nvml[`nvmlDeviceGet${kind}RunningProcesses_v3`];
    const v2 = this.#nvml[`nvmlDeviceGet${kind}RunningProcesses_v2`];
    let entry = this.#nvml.hasLongProcessEntries ? 32 : 24;
    let code = this.#list(entry, (out, count) => v3(this.handle, count, out));
    if (code === NVML.FUNCTION_NOT_FOUND) {
      entry = 24;
      code = this.#list(entry, (out, count) => v2(this.handle, count, out));
    }
    if (!this.#ask(() => code)) return null;
    const memory = new Map<number, number | null>();
    for (let at = 0; at < u32[0]! * entry; at += entry) {
      const bytes = list.readBigUInt64LE(at + 8);
      memory.set(list.readUInt32LE(at), bytes === VALUE_NOT_AVAILABLE ? null : Number(bytes));
    }
    return memory;
  }

  /**
   * Percent by process id; a process that is not in it did nothing. null: the driver does not tell for single processes.
   *
   * 1. The driver is asked for what is newer than what it told last: otherwise it gives the mean over all that it remembers.
   * 2. Nothing newer means that nobody worked, if the whole device did nothing or it lasts. Else it was asked too early.
   */
  #processShares(utilization: number | null): ReadonlyMap<number, number> | null {
    const since = this.#sharesUntil; // 1.
    const code = this.#list(32, (out, count) =>
      this.#nvml.nvmlDeviceGetProcessUtilization(this.handle, out, count, since),
    );
    const at = performance.now();
    if (code === NVML.NOT_FOUND) {
      const isTooEarly = utilization !== null && utilization > 0 && at - (this.#shares?.at ?? at) < SHARE_HOLDS; // 2.
      if (!isTooEarly) this.#shares = { byPid: new Map(), at };
    } else {
      this.#shares = this.#ask(() => code) ? { byPid: this.#sharesInList(), at } : null;
    }
    return this.#shares?.byPid ?? null;
  }

  /**
   * The newest of each process. An nvmlProcessUtilizationSample_t has the process id at 0, the time at 8 and the percent at 16; what is
   * above 100 is a known fault of some drivers and no figure.
   */
  #sharesInList(): ReadonlyMap<number, number> {
    const newest = new Map<number, { readonly time: bigint; readonly percent: number }>();
    for (let at = 0; at < u32[0]! * 32; at += 32) {
      const [pid, time, percent] = [list.readUInt32LE(at), list.readBigUInt64LE(at + 8), list.readUInt32LE(at + 16)];
      if (time > this.#sharesUntil) this.#sharesUntil = time;
      if (percent <= 100 && time >= (newest.get(pid)?.time ?? 0n)) newest.set(pid, { time, percent });
    }
    return new Map([...newest].map(([pid, { percent }]) => [pid, percent]));
  }

  /** Fills `list`, and `u32` with the number of its entries. `entry`: bytes. */
  #list(entry: number, read: (out: Buffer, count: Uint32Array) => number): number {
    for (let attempt = 0; ; attempt++) {
      u32[0] = Math.floor(list.length / entry);
      const code = this.#failure ?? read(list, u32);
      if (code !== NVML.INSUFFICIENT_SIZE || attempt === 3) return code;
      // More may have come until it is asked again.
      list = Buffer.alloc(2 * Math.max(u32[0]!, 1) * entry);
    }
  }

  #number(read: (out: Uint32Array) => number): number | null {
    return this.#ask(() => read(u32)) ? u32[0]! : null;
  }

  #large(read: (out: BigUint64Array) => number): bigint | null {
    return this.#ask(() => read(u64)) ? u64[0]! : null;
  }

  #text(read: (out: Buffer) => number): string | null {
    return this.#ask(() => read(text)) ? stringIn(text) : null;
  }

  /** Whether the call worked. A device that is lost is not asked: each call to one may take seconds. */
  #ask(call: () => number): boolean {
    if (this.#failure !== null) return false;
    const code = call();
    if (code === NVML.SUCCESS) this.#worked = true;
    else if (code === NVML.GPU_IS_LOST || code === NVML.RESET_REQUIRED) this.#failure = code;
    else if (!NOT_TOLD.has(code)) this.#failed = code;
    return code === NVML.SUCCESS;
  }
}

interface Shares {
  readonly byPid: ReadonlyMap<number, number>;
  /** Milliseconds on the monotonic clock. */
  readonly at: number;
}

function stringIn(bytes: Buffer): string {
  return bytes.toString("utf8", 0, bytes.indexOf(0));
}

/** Of milliwatts and millijoules. */
function thousandth(value: number | bigint | null): number | null {
  return value === null ? null : Number(value) / 1000;
}
