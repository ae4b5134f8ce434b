/** The meaning of the entries of `gpu.devices`. */
import { engineTraits } from "../engine/kinds.ts";
import type { DeviceEntry, DeviceSettings } from "./device-settings.ts";
import type { Config } from "./schema.ts";

/** The entries of `gpu.devices`, each with its place; a name alone is an entry without settings. */
export function deviceEntries({ gpu: { devices } }: Config): { path: (string | number)[]; entry: DeviceSettings }[] {
  const root = ["gpu", "devices"];
  const entries: readonly DeviceEntry[] = isList(devices) ? devices : [devices];
  return entries.map((entry, index) => ({
    path: isList(devices) ? [...root, index] : root,
    entry: typeof entry === "object" ? entry : { gpu: entry },
  }));
}

function isList(devices: DeviceEntry | readonly DeviceEntry[]): devices is readonly DeviceEntry[] {
  return Array.isArray(devices);
}

export type PlacedEntry = ReturnType<typeof deviceEntries>[number];

/** Whether an entry means servers that run already. A simulated device stays one whatever the engine of the others is. */
export function isRemote({ gpu, engine }: DeviceSettings, config: Config): boolean {
  return (
    engineTraits(engine?.kind ?? config.engine.kind).computes === "elsewhere" && !String(gpu).startsWith("simulated:")
  );
}

/** The servers that an entry with the engine openai means. */
export function urlsOf({ engine }: DeviceSettings, config: Config): readonly string[] {
  return [engine?.url ?? config.engine.url ?? []].flat();
}
