/** One NVIDIA card, whole or divided by MIG, with the events that NVML reports of it. */
import { NvmlDevice } from "./nvml-device.ts";
import { type Handle, NVML, type NvmlLibrary } from "./nvml-library.ts";
import type { GpuEvent, GpuIdentity, GpuSample } from "./telemetry.ts";

/** nvmlEventType…, of which a driver may support some. */
const DOUBLE_BIT_ECC_ERROR = 0x2n;
const XID_CRITICAL_ERROR = 0x8n;
/** Events taken at most by one call; what is left comes with the next. */
const MAX_EVENTS = 64;
/** In an event: it does not belong to a single part of the card. */
const NO_INSTANCE = 0xffff_ffff;

/** The whole card, or one of the MIG devices that stand in its place. */
interface Part {
  readonly identity: GpuIdentity;
  readonly device: NvmlDevice;
  /** null: the whole card. */
  readonly instance: number | null;
}

/** A part that answers no more, with the nvmlReturn_t that says why. */
export interface LostPart {
  readonly uuid: string;
  readonly code: number;
}

export class NvmlCard {
  readonly #nvml: NvmlLibrary;
  readonly #card: NvmlDevice;
  readonly #parts: readonly Part[];
  /** Of its own for each card: where registering fails, the header of NVML says, the set is not to be used. null: no events. */
  readonly #events: Handle | null;
  /** An nvmlEventData_t: the device, the type, the data (the number of an Xid), and in one the instances of GPU and computing. */
  readonly #event = new BigUint64Array(4);
  readonly #instances = new Uint32Array(this.#event.buffer, 24, 2);

  constructor(nvml: NvmlLibrary, handle: Handle, index: number) {
    this.#nvml = nvml;
    this.#card = new NvmlDevice(nvml, handle);
    this.#parts = partsOf(this.#card, index);
    this.#judge();
    this.#events = this.#parts.length === 0 ? null : registerEvents(nvml, handle);
  }

  /** None: the card does not tell who it is, or is divided by MIG into nothing so far. */
  get gpus(): readonly GpuIdentity[] {
    return this.#parts.map(({ identity }) => identity);
  }

  /** Those that answer, and those that do no more. */
  sample(): { readonly samples: readonly GpuSample[]; readonly lost: readonly LostPart[] } {
    if (this.#parts.length === 0) return { samples: [], lost: [] };
    const isDivided = this.#parts.some(({ identity }) => identity.parentUuid !== null);
    const ofCard = figuresOfCard(this.#card, isDivided);
    const samples = this.#parts.map(({ identity, device }) => ({
      ...ofCard,
      ...figuresOf(device),
      uuid: identity.uuid,
    }));
    this.#judge();
    // A part is lost with its card.
    const failures = this.#parts.map(({ device }) => device.failure ?? this.#card.failure);
    return {
      samples: samples.filter((_, at) => failures[at] === null),
      lost: this.#parts.flatMap(({ identity: { uuid } }, at) => {
        const code = failures[at] ?? null;
        return code === null ? [] : [{ uuid, code }];
      }),
    };
  }

  /** Events since the last question, also those of a card that is lost. */
  events(): readonly GpuEvent[] {
    const events: GpuEvent[] = [];
    for (let count = 0; count < MAX_EVENTS && this.#next(); count++) {
      const [, type, data] = this.#event;
      const concerned = this.#concerned(this.#instances[0]!);
      if (type === XID_CRITICAL_ERROR)
        events.push(...concerned.map((uuid) => ({ type: "xid" as const, uuid, xid: Number(data) })));
      if (type === DOUBLE_BIT_ECC_ERROR)
        events.push(...concerned.map((uuid) => ({ type: "double_bit_ecc" as const, uuid })));
    }
    return events;
  }

  close(): void {
    if (this.#events !== null) this.#nvml.nvmlEventSetFree(this.#events);
  }

  #judge(): void {
    for (const device of new Set([this.#card, ...this.#parts.map((part) => part.device)])) device.judge();
  }

  /** Whether there was an event; it is in `#event`. Does not wait. */
  #next(): boolean {
    if (this.#events === null) return false;
    // The older function leaves them as they are.
    this.#instances.fill(NO_INSTANCE);
    const code = this.#nvml.nvmlEventSetWait_v2(this.#events, this.#event, 0);
    const isMissing = code === NVML.FUNCTION_NOT_FOUND;
    return (isMissing ? this.#nvml.nvmlEventSetWait(this.#events, this.#event, 0) : code) === NVML.SUCCESS;
  }

  /** The UUIDs of the parts that an event is about: one if the driver knows which, else all. */
  #concerned(instance: number): readonly string[] {
    const one = this.#parts.filter((part) => part.instance === instance);
    return (one.length > 0 ? one : this.#parts).map(({ identity }) => identity.uuid);
  }
}

/** Constant properties, and for MIG devices the card they are parts of. */
function partsOf(card: NvmlDevice, index: number): Part[] {
  const uuid = card.uuid();
  const pciBusId = card.pciBusId();
  if (uuid === null || pciBusId === null) return [];
  const whole = {
    vendor: "nvidia",
    uuid,
    parentUuid: null,
    pciBusId,
    index,
    name: card.name() ?? "NVIDIA GPU",
    computeCapability: card.computeCapability(),
    memoryTotal: card.memory()?.total ?? null,
    slowdownTemperature: card.slowdownTemperature(),
  } as const satisfies GpuIdentity;
  const migDevices = card.migDevices();
  if (migDevices === null) return [{ identity: whole, device: card, instance: null }];
  return [...migDevices].flatMap(([number, device]) => {
    const own = device.uuid();
    if (own === null) return [];
    const name = device.name() ?? `${whole.name} MIG`;
    const memoryTotal = device.memory()?.total ?? null;
    const identity = { ...whole, uuid: own, parentUuid: uuid, index: number, name, memoryTotal };
    return [{ identity, device, instance: device.gpuInstanceId() }];
  });
}

/** The figures that only a card has. Its parts have the same temperature, but nobody can tell how much of its power each takes. */
function figuresOfCard(
  card: NvmlDevice,
  isDivided: boolean,
): Omit<GpuSample, "uuid" | keyof ReturnType<typeof figuresOf>> {
  return {
    temperature: card.temperature(),
    power: isDivided ? null : card.power(),
    powerLimit: isDivided ? null : card.powerLimit(),
    energy: isDivided ? null : card.energy(),
    throttle: card.throttle(),
    ecc: card.ecc(),
  };
}

function figuresOf(
  device: NvmlDevice,
): Pick<GpuSample, "utilization" | "processes" | `memory${"Total" | "Used" | "Free"}`> {
  const memory = device.memory();
  const utilization = device.utilization();
  return {
    utilization,
    memoryTotal: memory?.total ?? null,
    memoryUsed: memory?.used ?? null,
    memoryFree: memory?.free ?? null,
    processes: device.processes(utilization),
  };
}

/** A set that gets the card's Xid and double-bit errors from now on; null where there are no such events, as on Windows. */
function registerEvents(nvml: NvmlLibrary, card: Handle): Handle | null {
  const supported = new BigUint64Array(1);
  if (nvml.nvmlDeviceGetSupportedEventTypes(card, supported) !== NVML.SUCCESS) return null;
  const wanted = supported[0]! & (XID_CRITICAL_ERROR | DOUBLE_BIT_ECC_ERROR);
  const set = new BigUint64Array(1);
  if (wanted === 0n || nvml.nvmlEventSetCreate(set) !== NVML.SUCCESS) return null;
  if (nvml.nvmlDeviceRegisterEvents(card, wanted, set[0]!) === NVML.SUCCESS) return set[0]!;
  nvml.nvmlEventSetFree(set[0]!);
  return null;
}
