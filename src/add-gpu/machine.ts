/** This machine's NVIDIA driver and cards, as the server would see them. */
import { openDrivers, type Drivers } from "../gpu/telemetry/drivers.ts";
import type { Machine } from "./plan.ts";

/** Milliseconds; nothing is sampled. */
const INTERVAL = 60_000;

export async function lookAtMachine(): Promise<Machine> {
  const log = { debug: () => {}, info: () => {} };
  const drivers = await openDrivers({ interval: INTERVAL, log });
  await Promise.all(drivers.drivers.map((driver) => driver.close()));
  return machineOf(drivers);
}

export function machineOf({ drivers, gpus, notes }: Pick<Drivers, "gpus" | "notes"> & SourcesOf): Machine {
  const versions = drivers.map(({ source }) => /^(?:NVML|nvidia-smi) (\d+(?:\.\d+)*)/.exec(source)?.[1]);
  return {
    driver: versions.find((version) => version !== undefined) ?? null,
    cards: gpus
      .filter(({ vendor }) => vendor === "nvidia")
      .map(({ name, computeCapability }) => ({ name, computeCapability })),
    notes: notes.filter((note) => /nvidia|nvml/i.test(note)),
  };
}

interface SourcesOf {
  readonly drivers: readonly { readonly source: string }[];
}
