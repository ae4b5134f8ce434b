/**
 * AMD GPUs, as the kernel's amdgpu driver tells them under /sys/class/drm/card<N>/device.
 *
 * Source: the Linux kernel's documentation, "AMDGPU driver: GPU power/thermal controls and monitoring" (gpu_busy_percent
 * and the hwmon files with their units), "Misc AMDGPU driver information" (product_name, unique_id, mem_info_vram_*) and
 * "AMDGPU RAS support" (ras/umc_err_count): https://docs.kernel.org/gpu/amdgpu/thermal.html, driver-misc.html, ras.html.
 *
 * The use of single processes stands in /proc/<pid>/fdinfo, of which only one's own is readable without being root, and a
 * list with holes would pass others' memory off as nobody's. So `processes` is null.
 */
import { readdir, readFile, realpath } from "node:fs/promises";
import { basename, join } from "node:path";
import { isGpuClass, vendorOf } from "../inventory/pci.ts";
import { type Driver, type GpuIdentity, type GpuSample, NoDriver, type Snapshot } from "./telemetry.ts";

/** One card: who it is, and the folder of its PCI device, which outlives the number of the card. */
interface Card {
  readonly identity: GpuIdentity;
  readonly folder: string;
}

/** The text of a file; null when there is none or it cannot be read now; `gone`: the device behind it is. */
type Contents = { readonly text: string | null; readonly gone: boolean };

/** @throws {Error} when there is no AMD GPU */
export async function openAmd(root = "/sys"): Promise<Driver> {
  const driver = new AmdSysfs(root);
  if ((await driver.discover()).length === 0) throw new NoDriver(`There is no AMD GPU under ${root}/class/drm.`);
  return driver;
}

class AmdSysfs implements Driver {
  readonly source = "amdgpu (sysfs)";
  readonly #root: string;
  /** By uuid; one that was found stays, so that it is called lost when it is gone. */
  readonly #cards = new Map<string, Card>();

  constructor(root: string) {
    this.#root = root;
  }

  async discover(): Promise<readonly GpuIdentity[]> {
    const cards = await findCards(join(this.#root, "class", "drm"));
    for (const card of cards) this.#cards.set(card.identity.uuid, card);
    return cards.map(({ identity }) => identity);
  }

  async sample(): Promise<Snapshot> {
    const looked = await Promise.all([...this.#cards.values()].map(sampleCard));
    return {
      samples: looked.filter((found) => "memoryUsed" in found),
      lost: looked.filter((found) => "reason" in found),
      events: [],
    };
  }

  async close(): Promise<void> {}
}

/** In PCI bus order. */
async function findCards(drm: string): Promise<Card[]> {
  const names = await readdir(drm).catch(() => []);
  const numbers = names.flatMap((name) => /^card(\d+)$/.exec(name)?.[1] ?? []).map(Number);
  const cards = await Promise.all(numbers.map((index) => cardAt(join(drm, `card${index}`, "device"), index)));
  const found = cards.filter((card) => card !== null);
  return found.toSorted((a, b) => (a.identity.pciBusId < b.identity.pciBusId ? -1 : 1));
}

/** null: what is there is no AMD GPU. */
async function cardAt(device: string, index: number): Promise<Card | null> {
  const folder = await realpath(device).catch(() => null);
  if (folder === null) return null;
  const [vendor, pciClass] = await Promise.all([textOf(folder, "vendor"), textOf(folder, "class")]);
  if (vendor === null || vendorOf(vendor) !== "amd" || !isGpuClass(pciClass ?? "", "amd")) return null;
  const [uniqueId, product, deviceId, total, sensors, pciBusId] = await Promise.all([
    textOf(folder, "unique_id"),
    textOf(folder, "product_name"),
    textOf(folder, "device"),
    numberOf(folder, "mem_info_vram_total"),
    readSensors(folder),
    busIdOf(folder),
  ]);
  return {
    folder,
    identity: {
      vendor: "amd",
      uuid: `AMD-${uniqueId || pciBusId}`,
      parentUuid: null,
      pciBusId,
      index,
      name: product || `AMD GPU ${deviceId ?? "of an unknown model"}`,
      computeCapability: null,
      memoryTotal: total,
      slowdownTemperature: sensors.critical,
    },
  };
}

/** The name of the PCI device's own folder; else what the kernel tells udev of it. */
async function busIdOf(folder: string): Promise<string> {
  const name = basename(folder).toLowerCase();
  if (/^[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/.test(name)) return name;
  const uevent = await textOf(folder, "uevent");
  return /^PCI_SLOT_NAME=(.+)$/m.exec(uevent ?? "")?.[1]?.toLowerCase() ?? name;
}

async function sampleCard({
  identity: { uuid, pciBusId },
  folder,
}: Card): Promise<GpuSample | { readonly uuid: string; readonly reason: string }> {
  const [drm, busy, total, used, sensors, ecc] = await Promise.all([
    readdir(join(folder, "drm")).catch(() => []),
    read(folder, "gpu_busy_percent"),
    read(folder, "mem_info_vram_total"),
    read(folder, "mem_info_vram_used"),
    readSensors(folder),
    readEcc(folder),
  ]);
  if (drm.length === 0) return { uuid, reason: `The kernel no longer lists the AMD GPU at ${pciBusId}.` };
  if (busy.gone || total.gone || used.gone) return { uuid, reason: `The AMD GPU at ${pciBusId} no longer answers.` };
  const memoryTotal = number(total);
  const memoryUsed = number(used);
  return {
    uuid,
    utilization: number(busy),
    memoryTotal,
    memoryUsed,
    memoryFree: memoryTotal === null || memoryUsed === null ? null : memoryTotal - memoryUsed,
    temperature: sensors.temperature,
    power: sensors.power,
    powerLimit: sensors.powerLimit,
    energy: null,
    throttle: null,
    processes: null,
    ecc,
  };
}

interface Sensors {
  readonly temperature: number | null;
  readonly critical: number | null;
  readonly power: number | null;
  readonly powerLimit: number | null;
}

/**
 * Degrees and watts. The number in hwmon<N> is a new one each time the driver starts. temp1 is the edge of the die; the
 * Instinct accelerators from the MI300 on have only the junction, temp2. Newer cards give the power of the moment,
 * power1_input, older ones an average.
 */
async function readSensors(folder: string): Promise<Sensors> {
  const names = await readdir(join(folder, "hwmon")).catch(() => []);
  const hwmon = join(folder, "hwmon", names.find((name) => name.startsWith("hwmon")) ?? "none");
  const [edge, edgeCritical, junction, junctionCritical, average, input, cap] = await Promise.all(
    ["temp1_input", "temp1_crit", "temp2_input", "temp2_crit", "power1_average", "power1_input", "power1_cap"].map(
      (name) => numberOf(hwmon, name),
    ),
  );
  const isEdge = edge != null;
  return {
    temperature: scaled(isEdge ? edge : junction, 1000),
    critical: scaled(isEdge ? edgeCritical : junctionCritical, 1000),
    power: scaled(average ?? input, 1_000_000),
    powerLimit: scaled(cap, 1_000_000),
  };
}

function scaled(value: number | null | undefined, divisor: number): number | null {
  return value == null ? null : value / divisor;
}

/** Of the memory controllers: `ue` are uncorrected, `ce` corrected errors. */
async function readEcc(folder: string): Promise<GpuSample["ecc"]> {
  const text = await textOf(join(folder, "ras"), "umc_err_count");
  const uncorrected = /^ue:\s*(\d+)/m.exec(text ?? "")?.[1];
  const corrected = /^ce:\s*(\d+)/m.exec(text ?? "")?.[1];
  if (uncorrected === undefined || corrected === undefined) return null;
  return { corrected: Number(corrected), uncorrected: Number(uncorrected) };
}

/**
 * A file that is not there, or refuses (the card is being reset, or lacks the sensor), is no figure. ENODEV and EIO say
 * that the device behind it does not answer.
 */
async function read(folder: string, name: string): Promise<Contents> {
  try {
    return { text: (await readFile(join(folder, name), "utf8")).trim(), gone: false };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return { text: null, gone: code === "ENODEV" || code === "EIO" };
  }
}

async function textOf(folder: string, name: string): Promise<string | null> {
  return (await read(folder, name)).text;
}

async function numberOf(folder: string, name: string): Promise<number | null> {
  return number(await read(folder, name));
}

function number({ text }: Contents): number | null {
  return text !== null && /^-?\d+$/.test(text) ? Number(text) : null;
}
