/** Drivers and cards of this machine; and, where no server runs, what one would serve with. */
import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { shownSize } from "../common/sizes.ts";
import { type Config, engineFault } from "../config/config.ts";
import { messageOf } from "../errors.ts";
import { type Device, findDevices } from "../gpu/inventory/devices.ts";
import { KnownGpus } from "../gpu/inventory/known-gpus.ts";
import { findPciGpus, type PciGpu } from "../gpu/inventory/pci.ts";
import { probeLlama } from "../gpu/inventory/probe.ts";
import { type Found, GpuMonitor } from "../gpu/telemetry/monitor.ts";
import { createLogger } from "../log/log.ts";
import type { Fact, Problem, Section } from "./section.ts";

/** Milliseconds between samples; none is waited for. */
const INTERVAL = 60_000;

export interface Cards extends Section {
  readonly found: Found;
  readonly silent: readonly string[];
  readonly pci: readonly PciGpu[];
}

/** Asks the drivers, in a process of their own: one that crashes costs nothing here. */
export async function cards(inherit: readonly string[]): Promise<Cards> {
  const monitor = new GpuMonitor({ interval: INTERVAL, inherit, log: createLogger("silent") });
  const [found, pci] = await Promise.all([monitor.start(), findPciGpus()]);
  const silent = [...monitor.silentDrivers];
  await monitor.stop();
  return { ...cardFacts(found, silent, pci), found, silent, pci };
}

/** Facts and problems of the cards. @param silent sentences of drivers that are installed and list no GPU */
export function cardFacts(found: Found, silent: readonly string[], pci: readonly PciGpu[]): Section {
  const listed = found.gpus.map(({ name, pciBusId, memoryTotal, computeCapability }) => ({
    name,
    bus: pciBusId,
    memory_bytes: memoryTotal,
    compute_capability: computeCapability,
  }));
  return {
    facts: {
      drivers: found.sources,
      cards: listed,
      on_the_pci_bus: pci.map(({ busId, vendor, driver }) => `${vendor} at ${busId}, driver ${driver ?? "none"}`),
      drivers_not_used: found.notes,
    },
    problems: silent.map((note) => ({
      problem: `A GPU driver is installed and has no GPU to offer: ${note} After an update of a driver the machine has to be started again.`,
      mend: "nvidia-smi",
    })),
  };
}

export interface DeviceOptions {
  readonly config: Config;
  readonly dataDir: string;
  readonly cards: Pick<Cards, "found" | "silent" | "pci">;
  readonly environment: NodeJS.ProcessEnv;
  /** Only a test has another one. */
  readonly probe?: typeof probeLlama;
}

/** The devices that a start would serve with; as a start finds them, and with nothing remembered. */
export async function devicesAtAStart(options: DeviceOptions): Promise<Section> {
  const { config, dataDir, environment, probe = probeLlama } = options;
  const { found, silent, pci } = options.cards;
  // A survey gives numbers to new GPUs, and doctor changes nothing: it works on a copy of those that are known.
  const copy = mkdtempSync(join(tmpdir(), "alt-las-doctor-"));
  try {
    const known = join(dataDir, "gpus.json");
    if (existsSync(known)) cpSync(known, join(copy, "gpus.json"));
    const warnings: string[] = [];
    const log = { warn: (sentence: string) => void warnings.push(sentence) };
    const sources = {
      found,
      known: KnownGpus.open(copy),
      pciGpus: pci,
      environment,
      silentDrivers: silent,
      log,
      probe,
    };
    const devices = await findDevices(config, sources);
    return {
      facts: { devices: devices.map(shownDevice) },
      problems: [...warnings.map((problem) => ({ problem, mend: null })), ...troubles(devices)],
    };
  } catch (error) {
    return { facts: {}, problems: [{ problem: messageOf(error), mend: null }] };
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function shownDevice({ id, name, slots, memoryTotal, engine, ...device }: Device): Fact {
  const memory = memoryTotal === null ? "" : `, ${shownSize(memoryTotal)}`;
  const state = whyNot({ engine, ...device }) === null ? "can serve" : "cannot serve";
  return `${id}: ${name}${memory}, ${slots} slots, engine ${engine.kind}: ${state}`;
}

function whyNot({ lost, unfit, engine }: Pick<Device, "lost" | "unfit" | "engine">): string | null {
  return lost ?? unfit ?? engineFault(engine)?.sentence ?? null;
}

/** One for each reason: cards of one machine mostly lack the same. */
function troubles(devices: readonly Device[]): Problem[] {
  const broken = devices.flatMap((device) => {
    const why = whyNot(device);
    return why === null ? [] : [{ id: device.id, why, mend: device.mendedBy }];
  });
  return [...Map.groupBy(broken, ({ why }) => why)].map(([why, of]) => ({
    problem: `GPU ${of.map(({ id }) => id).join(", ")}: ${why}`,
    mend: of[0]!.mend,
  }));
}
