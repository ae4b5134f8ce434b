/** The models of a data directory as `alt-las models` lists them, whether a server runs there or not. */
import type { InstanceStatus } from "../gpu/status.ts";
import type { ModelEntry } from "./registry.ts";

/** A model on one GPU, as far as it is listed. */
type ListedInstance = Pick<InstanceStatus, "gpuId" | "state" | "reason" | "lastUsedAt">;

export interface ListedModel {
  readonly name: string;
  readonly source: string | null;
  readonly licence: string | null;
  /** Bytes; null: its file is not here. */
  readonly size_bytes: number | null;
  /** Of its first file; null: it is not here. */
  readonly path: string | null;
  /** The GPUs that have it. */
  readonly gpu_ids: readonly number[];
  readonly state: ListedInstance["state"] | "fetching" | "on disk" | "missing";
  /** One sentence; null: there is nothing to say. */
  readonly reason: string | null;
  /** Unix milliseconds; null: not since the server has started, or none runs. */
  readonly last_used_at: number | null;
}

/** From the nearest to serving to the farthest from it. */
const NEARNESS: readonly ListedInstance["state"][] = ["ready", "loading", "unloading", "cold", "failed"];

/** @param instances null: no server runs */
export function listedModel(entry: ModelEntry, instances: readonly ListedInstance[] | null): ListedModel {
  const { settings, file, licence, bytes } = entry;
  const used = (instances ?? []).flatMap(({ lastUsedAt }) => lastUsedAt ?? []);
  return {
    name: settings.name,
    source: settings.source ?? null,
    licence,
    size_bytes: bytes,
    path: file?.state === "there" ? file.path : null,
    gpu_ids: (instances ?? []).filter(({ state }) => state === "ready").map(({ gpuId }) => gpuId),
    ...stateOf(file, instances),
    last_used_at: used.length === 0 ? null : Math.max(...used),
  };
}

function stateOf(
  file: ModelEntry["file"],
  instances: readonly ListedInstance[] | null,
): Pick<ListedModel, "state" | "reason"> {
  if (instances === null) {
    if (file?.state === "failed") return { state: "missing", reason: file.why };
    return file?.state === "fetching" ? { state: "missing", reason: null } : { state: "on disk", reason: null };
  }
  const loaded = NEARNESS.flatMap((wanted) => instances.filter(({ state }) => state === wanted))[0];
  if (loaded?.state === "ready") return { state: "ready", reason: null };
  if (loaded?.state === "loading" && file?.state !== "fetching") return { state: "loading", reason: loaded.reason };
  if (file !== null && file.state !== "there") return { state: file.state, reason: file.why };
  if (loaded === undefined) return { state: "failed", reason: "No GPU here can hold it." };
  return { state: loaded.state, reason: loaded.state === "failed" ? loaded.reason : null };
}
