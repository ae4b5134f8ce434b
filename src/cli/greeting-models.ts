/** The models by name, on the first screen. */
import type { Device } from "../gpu/inventory/devices.ts";
import { mayHold } from "../gpu/served.ts";
import { progressBehind, sizeWords } from "../common/progress-words.ts";
import type { ModelEntry } from "../models/registry.ts";
import { shortened, table } from "./table.ts";
import { said } from "../words/terminal.ts";

/** Cells of the names of the models on one GPU. */
const NAMES_ROOM = 40;

/** The names of models that a GPU may hold; null: none of these stands in a configuration, so that the GPU has a model of its own. */
export function namesOn(device: Device, models: readonly ModelEntry[]): string | null {
  const configured = models.filter(({ origin }) => origin === "config");
  if (configured.length === 0) return null;
  const here = configured.filter(({ settings }) => mayHold(device, settings)).map(({ settings }) => settings.name);
  return here.length === 0 ? said("none") : shortened(here.join(", "), NAMES_ROOM);
}

/** All models by name, and under those that cannot be served why; nothing where there are none. */
export function modelParts(models: readonly ModelEntry[]): string[] {
  if (models.length === 0) return [];
  const rows = models.flatMap((entry) => {
    const { settings, bytes, file } = entry;
    const loaded = settings.load === "start" ? "at the start" : "when it is wanted";
    const row = [settings.name, bytes === null ? "-" : sizeWords(bytes), loaded, fileWords(entry)];
    return file?.state === "failed" ? [row, `  ${file.why}`] : [row];
  });
  const isComing = models.some(({ settings, file }) => settings.load === "start" && file?.state === "fetching");
  const waits = "What is being fetched is served when it is here: tasks wait for it, and /readyz says how far it is.";
  return [table(["MODEL", "SIZE", "LOADED", "FILE"], rows), ...(isComing ? [waits] : [])];
}

function fileWords({ file, fetch, settings: { source } }: ModelEntry): string {
  if (file === null) return source === undefined ? "needs none" : "elsewhere";
  if (file.state === "there") return "here";
  if (file.state === "failed") return "cannot be used";
  return `is being fetched${progressBehind(fetch)}`;
}
