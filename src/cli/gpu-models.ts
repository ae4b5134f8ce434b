/** The models on a GPU as `alt-las gpus` prints them, where there may be several. */
import type { GpuDetails, GpuView } from "../http/schemas/gpus.ts";
import { shortened, table } from "./table.ts";

/** Cells of the list of models in a table of GPUs. */
const MOST = 40;

/** Its models, as requests call them: those that are there by name, the others as a number. Servers before 0.2 tell no instances. */
export function modelsOn({ model_name: only, instances = [] }: GpuView): string {
  if (only !== null) return only;
  const there = instances.filter(({ state }) => state === "ready" || state === "loading");
  const names = there.map(({ model, state }) => `${model ?? "-"}${state === "ready" ? "" : " (loading)"}`);
  const others = instances.length - there.length;
  if (names.length === 0) return others === 0 ? "-" : `${others} not loaded`;
  return shortened(others === 0 ? names.join(", ") : `${names.join(", ")} +${others}`, MOST);
}

/** One line for each model; null: there is one, and the page says all of it. @param bytesOf a number of bytes in words */
export function modelsTable({ instances = [] }: GpuDetails, bytesOf: (bytes: number | null) => string): string | null {
  if (instances.length < 2) return null;
  const rows = instances.map(({ model, state, memory_bytes, load_seconds, running }) => [
    model ?? "-",
    state,
    String(running),
    bytesOf(memory_bytes),
    load_seconds === null ? "-" : `${load_seconds} s`,
  ]);
  return table(["MODEL", "STATE", "TASKS", "MEMORY", "LOADED IN"], rows);
}
