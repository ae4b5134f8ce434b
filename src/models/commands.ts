/** The routes of a running server that `alt-las models` and `alt-las rm` ask. */
import { basename } from "node:path";
import { withoutPart } from "../common/gguf.ts";
import type { ControlRoutes } from "../control/server.ts";
import { AltLasError } from "../errors.ts";
import type { InstanceStatus } from "../gpu/status.ts";
import { type ListedModel, listedModel } from "./listing.ts";
import { bytesAt } from "./model-file.ts";
import type { ModelRegistry } from "./registry.ts";

/** @param instances all that there are now */
export function modelCommands(
  registry: Pick<ModelRegistry, "entries" | "remove">,
  instances: () => readonly InstanceStatus[],
): ControlRoutes {
  return {
    "POST /models": async () => ({ models: await listOf(registry, instances()) }),
    "POST /models/rm": async (body) => ({ freed: await registry.remove(nameIn(body)) }),
  };
}

/** Why a model cannot be removed now; null: it is loaded nowhere. */
export function useOf(name: string, instances: readonly InstanceStatus[]): string | null {
  const busy = instances.filter(
    ({ model, state, isFetching }) => model === name && state !== "cold" && state !== "failed" && !isFetching,
  );
  if (busy.length === 0) return null;
  const where = busy.map(({ gpuId }) => gpuId).join(", ");
  return `The model ${name} is loaded on GPU ${where}. POST /api/v1/models/${name}/unload unloads it.`;
}

async function listOf(
  registry: Pick<ModelRegistry, "entries">,
  instances: readonly InstanceStatus[],
): Promise<readonly ListedModel[]> {
  const entries = registry.entries();
  const names = new Set<string | null>(entries.map(({ settings }) => settings.name));
  // Devices' own models. Before one is loaded anywhere, it is known by its file alone.
  const own = instances.filter(({ model }) => !names.has(model));
  const models = Map.groupBy(own, ({ source, model }) => source || (model ?? ""));
  return Promise.all([
    ...entries.map((entry) =>
      listedModel(
        entry,
        instances.filter(({ model }) => model === entry.settings.name),
      ),
    ),
    ...Array.from(models, ([source, on]) => ownModel(source, on)),
  ]);
}

async function ownModel(source: string, instances: readonly InstanceStatus[]): Promise<ListedModel> {
  const name = instances.find(({ model }) => model !== null)?.model ?? withoutPart(basename(source));
  const bytes = /\.gguf$/i.test(source) ? await bytesAt(source) : null;
  const file = bytes === null ? null : ({ state: "there", path: source, bytes } as const);
  const settings = { name, source, aliases: [], load: "start" as const, task_types: [] };
  const entry = { settings, origin: "config" as const, file, commit: null, licence: null, bytes, fetch: null };
  return listedModel(entry, instances);
}

function nameIn(body: unknown): string {
  const { name } = (body ?? {}) as { readonly name?: unknown };
  if (typeof name !== "string") throw new AltLasError("invalid_input", "name must be a model's name.");
  return name;
}
