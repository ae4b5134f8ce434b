/**
 * The GPUs on the PCI bus, whether or not a driver drives them. Linux only: it reads what the kernel says under
 * /sys/bus/pci (kernel documentation, Documentation/PCI/sysfs-pci.rst).
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

export interface PciGpu {
  /** In lower case, like `0000:65:00.0`. */
  readonly busId: string;
  readonly vendor: "nvidia" | "amd" | "intel" | "other";
  /** The vendor's number for the model, like `0x2330`; null: the kernel does not tell. */
  readonly deviceId: string | null;
  /** The kernel's driver that drives it, like `nvidia` or `vfio-pci`; null: none does. */
  readonly driver: string | null;
}

const VENDORS: Readonly<Record<string, PciGpu["vendor"]>> = {
  "0x10de": "nvidia",
  "0x1002": "amd",
  "0x8086": "intel",
};

/** In bus order; none where the system has no such folder, as on macOS and Windows. */
export async function findPciGpus(root = "/sys"): Promise<readonly PciGpu[]> {
  const folder = join(root, "bus", "pci", "devices");
  const names = await readdir(folder).catch(() => []);
  const gpus = await Promise.all(names.toSorted().map((name) => pciGpuAt(join(folder, name), name)));
  return gpus.filter((gpu) => gpu !== null);
}

/**
 * Whether a PCI class is a GPU's: display controllers (0x03xxxx), and AMD's Instinct accelerators, which from the
 * MI300 on call themselves processing accelerators (0x12xxxx).
 */
export function isGpuClass(pciClass: string, vendor: PciGpu["vendor"]): boolean {
  return /^0x03[0-9a-f]{4}$/i.test(pciClass) || (vendor === "amd" && /^0x12[0-9a-f]{4}$/i.test(pciClass));
}

export function vendorOf(vendorId: string): PciGpu["vendor"] {
  return VENDORS[vendorId.toLowerCase()] ?? "other";
}

async function pciGpuAt(folder: string, busId: string): Promise<PciGpu | null> {
  const [vendorId, pciClass, deviceId, uevent] = await Promise.all(
    ["vendor", "class", "device", "uevent"].map((name) => text(join(folder, name))),
  );
  // A device may vanish while it is looked at.
  if (vendorId == null || pciClass == null) return null;
  const vendor = vendorOf(vendorId);
  if (!isGpuClass(pciClass, vendor)) return null;
  const driver = /^DRIVER=(.+)$/m.exec(uevent ?? "")?.[1] ?? null;
  return { busId: busId.toLowerCase(), vendor, deviceId: deviceId ?? null, driver };
}

async function text(path: string): Promise<string | null> {
  return readFile(path, "utf8").then(
    (value) => value.trim(),
    () => null,
  );
}
