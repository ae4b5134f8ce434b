/** Which vendors' drivers this machine has. */
import { messageOf } from "../../errors.ts";
import { openAmd } from "./amd.ts";
import { openNvidiaSmi } from "./nvidia-smi.ts";
import { openNvml } from "./nvml.ts";
import { type Driver, type GpuIdentity, NoDriver } from "./telemetry.ts";

export interface DriverOptions {
  /** Milliseconds between two samples, for those that sample by themselves. */
  readonly interval: number;
  readonly log: { debug(sentence: string): void; info(sentence: string): void };
  /** Where the kernel shows its devices; without it, /sys. */
  readonly sysfs?: string;
}

export interface Drivers {
  /** Those that have a GPU. */
  readonly drivers: readonly Driver[];
  /** In PCI bus order over all vendors; the parts of a card in the order of its driver. */
  readonly gpus: readonly GpuIdentity[];
  /** One sentence for each driver that cannot be used, or has no GPU. */
  readonly notes: readonly string[];
  /** Those of `notes` that are about a driver that is installed: the machine has such GPUs, or had them. */
  readonly silent: readonly string[];
}

/** A driver with its GPUs, or why there is none, and whether it is installed at all. */
type Opened =
  | { readonly driver: Driver; readonly gpus: readonly GpuIdentity[] }
  | { readonly why: string; readonly isInstalled: boolean };

/** Opens every driver there is. Never rejects. */
export async function openDrivers({ interval, log, sysfs }: DriverOptions): Promise<Drivers> {
  const vendors = await Promise.all([openNvidia({ interval, log }), open(() => openAmd(sysfs)).then((amd) => [amd])]);
  const tried = vendors.flat();
  const failed = vendors.filter((ways) => !ways.some((way) => "driver" in way)).flat();
  const opened = tried.filter((each) => "driver" in each);
  const notes = tried.flatMap((each) => ("why" in each ? each.why : []));
  for (const note of notes) log.debug(note);
  return {
    drivers: opened.map(({ driver }) => driver),
    gpus: opened.flatMap(({ gpus }) => gpus).toSorted(byBus),
    notes,
    silent: failed.flatMap((way) => ("why" in way && way.isInstalled ? way.why : [])),
  };
}

/** NVML, and where that cannot be used, nvidia-smi. */
async function openNvidia({ interval, log }: DriverOptions): Promise<Opened[]> {
  const nvml = await open(() => openNvml());
  if ("driver" in nvml) return [nvml];
  const smi = await open(() => openNvidiaSmi({ interval }));
  if ("driver" in smi) log.info(`NVIDIA GPUs are read through nvidia-smi, which tells less than NVML. ${nvml.why}`);
  return [nvml, smi];
}

/** A driver that opens but cannot list its GPUs is of no use either. */
async function open(opener: () => Promise<Driver>): Promise<Opened> {
  let driver: Driver | undefined;
  try {
    driver = await opener();
    const gpus = await driver.discover();
    if (gpus.length > 0) return { driver, gpus };
    await driver.close();
    return { why: `${driver.source} lists no GPU.`, isInstalled: true };
  } catch (error) {
    await driver?.close().catch(() => {});
    return { why: sentenceOf(error), isInstalled: !(error instanceof NoDriver) };
  }
}

function byBus(a: GpuIdentity, b: GpuIdentity): number {
  if (a.pciBusId === b.pciBusId) return 0;
  return a.pciBusId < b.pciBusId ? -1 : 1;
}

/** A driver's failure as a sentence, so that several can stand beside each other. */
export function sentenceOf(error: unknown): string {
  const text = messageOf(error).trim();
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
