/** Stand-ins for what tells a machine of its GPUs: an nvidia-smi for the PATH, and a /sys tree with AMD cards. */
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Driver, type Snapshot } from "../../src/gpu/telemetry/telemetry.ts";
import { deadline, newFolder, type Owner } from "./server.ts";

/** Milliseconds between two looks; a driver does not tell when it has something new. */
const LOOK_EVERY = 5;

/** What a card of the stand-in for nvidia-smi says. What is left out it does not support: `[N/A]`. */
export interface FakeNvidiaGpu {
  /** Like `0000:65:00.0`. */
  readonly busId: string;
  readonly uuid: string;
  readonly name: string;
  /** MiB, as nvidia-smi writes it. */
  readonly memoryTotal: number;
  readonly memoryUsed?: number;
  /** Percent. */
  readonly utilization?: number;
  /** Degrees Celsius. */
  readonly temperature?: number;
  /** Degrees Celsius; without it, the card tells only a distance, as newer ones do. */
  readonly slowdownTemperature?: number;
  /** Watts. */
  readonly power?: number;
  readonly powerLimit?: number;
  /** Like "9.0". */
  readonly computeCapability?: string;
  /** NVML's bits, like "0x0000000000000004". */
  readonly throttle?: string;
  /** Corrected and uncorrected errors. */
  readonly ecc?: readonly [number, number];
  /** Set: the card is divided by MIG into these. */
  readonly mig?: readonly { readonly uuid: string; readonly profile: string }[];
  /** `memory` in MiB, or what stands there instead; `device`: the UUID it is listed under, if not the card's. */
  readonly processes?: readonly { readonly pid: number; readonly memory?: number | string; readonly device?: string }[];
  /** What it says for single fields instead, like `{ "power.draw": "[Unknown Error]" }`. */
  readonly says?: Readonly<Record<string, string>>;
  /** Said instead of its row. */
  readonly complaint?: string;
}

export interface FakeNvidiaState {
  readonly gpus: readonly FakeNvidiaGpu[];
  readonly driverVersion?: string;
  /** Fields of `--query-gpu` that it refuses, as older ones do. */
  readonly unknownFields?: readonly string[];
  /** It says this and ends, also when it is in its loop. */
  readonly failure?: { readonly text: string; readonly code: number };
  /** It says nothing, for ever. */
  readonly hangs?: boolean;
}

export interface FakeNvidiaSmi {
  /** For the PATH. */
  readonly folder: string;
  /** The file, to be run by its path. */
  readonly command: string;
  /** What it says from its next turn on. */
  write(state: FakeNvidiaState): void;
  /** The arguments of each of its runs so far, in order. */
  runs(): readonly string[];
}

/** For systems with a shell. It is gone when its owner ends; what still runs then must have been ended before. */
export function fakeNvidiaSmi(owner: Owner, state: FakeNvidiaState): FakeNvidiaSmi {
  const folder = newFolder(owner);
  const command = join(folder, "nvidia-smi");
  const script = fileURLToPath(new URL("fake-nvidia-smi.ts", import.meta.url));
  // "exec", so that what kills it kills Node and not the shell around it.
  writeFileSync(command, `#!/bin/sh\nexec "${process.execPath}" "${script}" "${folder}" "$@"\n`);
  chmodSync(command, 0o755);
  const write = (newState: FakeNvidiaState): void => replace(join(folder, "state.json"), JSON.stringify(newState));
  write(state);
  writeFileSync(join(folder, "runs"), "");
  const runs = (): string[] => readFileSync(join(folder, "runs"), "utf8").split("\n").slice(0, -1);
  return { folder, command, write, runs };
}

/** A data centre card at a bus of its own. */
export function nvidiaGpu(bus: number, changes: Partial<FakeNvidiaGpu> = {}): FakeNvidiaGpu {
  const hex = bus.toString(16).padStart(2, "0");
  return {
    busId: `0000:${hex}:00.0`,
    uuid: `GPU-000000${hex}-0000-0000-0000-000000000000`,
    name: "NVIDIA H100 80GB HBM3",
    memoryTotal: 81_559,
    memoryUsed: 1000,
    utilization: 0,
    temperature: 40,
    power: 70,
    powerLimit: 700,
    computeCapability: "9.0",
    throttle: "0x0000000000000001",
    ecc: [0, 0],
    ...changes,
  };
}

/** The first snapshot that `isMeant` is true for; failed samples before it don't count. */
export function sampleUntil(driver: Driver, isMeant: (snapshot: Snapshot) => boolean): Promise<Snapshot> {
  return until(async () => {
    const snapshot = await driver.sample().catch(() => null);
    return snapshot !== null && isMeant(snapshot) ? snapshot : null;
  });
}

/** The first failure of a sample. */
export function failureUntil(driver: Driver): Promise<Error> {
  return until(() =>
    driver.sample().then(
      () => null,
      (error: Error) => error,
    ),
  );
}

async function until<Found>(look: () => Promise<Found | null>): Promise<Found> {
  for (const signal = deadline(); ; await sleep(LOOK_EVERY, undefined, { signal })) {
    const found = await look();
    if (found !== null) return found;
  }
}

/** A card, or another PCI device, of the stand-in for /sys. */
export interface FakePciDevice {
  /** Like `0000:03:00.0`. */
  readonly busId: string;
  /** Like `0x1002`. */
  readonly vendor: string;
  /** Like `0x030000`. */
  readonly class: string;
  /** The number N of its folder /sys/class/drm/card<N>; without it, no driver drives it. */
  readonly card?: number;
  /** More files and their text, by their path in the device's folder. */
  readonly files?: Readonly<Record<string, string>>;
}

/** Laid out like the kernel's: the folder of a device, and links to it from /sys/class/drm and /sys/bus/pci. */
export class FakeSysfs {
  readonly root: string;

  constructor(owner: Owner) {
    this.root = newFolder(owner);
    mkdirSync(join(this.root, "class", "drm"), { recursive: true });
    mkdirSync(join(this.root, "bus", "pci", "devices"), { recursive: true });
  }

  /** Also for one that comes back. */
  add(device: FakePciDevice): void {
    const folder = this.#folder(device.busId);
    const files = { vendor: device.vendor, class: device.class, ...device.files };
    for (const name of Object.keys(files)) mkdirSync(dirname(join(folder, name)), { recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), `${text}\n`);
    symlinkSync(folder, join(this.root, "bus", "pci", "devices", device.busId));
    if (device.card !== undefined) this.#addCard(folder, device.card);
  }

  /** From its next reading on. */
  set(busId: string, name: string, text: string): void {
    replace(join(this.#folder(busId), name), `${text}\n`);
  }

  /** The card has no such file. */
  unset(busId: string, name: string): void {
    rmSync(join(this.#folder(busId), name));
  }

  /** Reading the file answers EIO, as /proc/self/mem does at its beginning: Linux only. */
  break(busId: string, name: string): void {
    this.unset(busId, name);
    symlinkSync("/proc/self/mem", join(this.#folder(busId), name));
  }

  /** The device falls off the bus. */
  remove({ busId, card }: FakePciDevice): void {
    rmSync(join(this.root, "bus", "pci", "devices", busId));
    if (card !== undefined) rmSync(join(this.root, "class", "drm", `card${card}`));
    rmSync(this.#folder(busId), { recursive: true });
  }

  #addCard(folder: string, number: number): void {
    const card = join(folder, "drm", `card${number}`);
    mkdirSync(card, { recursive: true });
    symlinkSync(folder, join(card, "device"));
    symlinkSync(card, join(this.root, "class", "drm", `card${number}`));
  }

  #folder(busId: string): string {
    return join(this.root, "devices", "pci0000:00", busId);
  }
}

/** An AMD card at a bus of its own, with the files that amdgpu gives it. */
export function amdCard(bus: number, files: Readonly<Record<string, string>> = {}): FakePciDevice {
  const hex = bus.toString(16).padStart(2, "0");
  return {
    busId: `0000:${hex}:00.0`,
    vendor: "0x1002",
    class: "0x030000",
    card: bus,
    files: {
      device: "0x744c",
      unique_id: `00000000000000${hex}`,
      gpu_busy_percent: "0",
      mem_info_vram_total: "25753026560",
      mem_info_vram_used: "1000000",
      "hwmon/hwmon3/temp1_input": "45000",
      "hwmon/hwmon3/temp1_crit": "100000",
      "hwmon/hwmon3/power1_average": "21000000",
      "hwmon/hwmon3/power1_cap": "303000000",
      ...files,
    },
  };
}

/** In one step, so that nobody reads half of it. */
function replace(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}
