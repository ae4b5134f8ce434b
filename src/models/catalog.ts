/** The models as clients and operators see them: what is known of each, where it is, and having it loaded and unloaded. */
import { basename } from "node:path";
import { withoutPart } from "../common/gguf.ts";
import { shown } from "../common/validation.ts";
import { AltLasError } from "../errors.ts";
import type { InstanceRef } from "../gpu/facts.ts";
import { modelMeant, type ModelStatus } from "../gpu/models.ts";
import type { InstanceStatus } from "../gpu/status.ts";
import type { Capability } from "../request.ts";
import type { FetchProgress } from "./fetch.ts";
import { bytesAt } from "./model-file.ts";
import type { ModelEntry, ModelRegistry } from "./registry.ts";
import { isPublic } from "./pull-rules.ts";
import { parseSource } from "./source.ts";

/** A model with all its instances. */
export interface CatalogModel {
  /** Its name in requests. */
  readonly name: string;
  readonly aliases: readonly string[];
  /** Its keeper: a device, whose own model it is; the configuration; or whoever pulled it. */
  readonly origin: "device" | ModelEntry["origin"];
  /** As the configuration has it, or as it was pulled; of a device's own model its file, or its name on the server behind it; null: neither. */
  readonly source: string | null;
  /** Of the repository that it comes from; null: none, or not known. */
  readonly commit: string | null;
  readonly licence: string | null;
  /** Bytes of its files; null: it has none here. */
  readonly sizeBytes: number | null;
  /** Tokens in its largest slot; null: not known yet. */
  readonly context: number | null;
  /** null: it was not loaded yet. */
  readonly capabilities: readonly Capability[] | null;
  readonly load: "start" | "demand";
  /** Seconds without a task after which it is unloaded; null: it stays. */
  readonly keepAlive: number | null;
  /** null: it is not being fetched. */
  readonly fetch: FetchProgress | null;
  /** One for each GPU that may hold it, in `gpu_id` order. */
  readonly instances: readonly InstanceStatus[];
}

/** The GPUs, as the catalog asks them. */
interface Pool {
  models(): readonly ModelStatus[];
  instances(): readonly InstanceStatus[];
  prepare(refs: readonly InstanceRef[]): Promise<void>;
}

/** The scheduler, as the catalog asks it. */
interface Asked {
  ask(refs: readonly InstanceRef[], to: "load" | "unload"): void;
  tooLargeFor(refs: readonly InstanceRef[], gpuId: number | null): string | null;
}

export interface CatalogParts {
  readonly pool: Pool;
  readonly scheduler: Asked;
  /** The ids of all GPUs. */
  readonly gpuIds: () => readonly number[];
  readonly registry: Pick<ModelRegistry, "entries" | "pull" | "remove">;
  /** `models_allow_urls`. */
  readonly allowUrls: () => boolean;
}

export class ModelCatalog {
  readonly #parts: CatalogParts;
  /** Of devices' own models, by their paths. */
  readonly #sizes = new Map<string, number>();

  constructor(parts: CatalogParts) {
    this.#parts = parts;
  }

  /** Those by name in the order of the configuration, then those that were pulled, then the devices' own. */
  async list(): Promise<readonly CatalogModel[]> {
    const { pool } = this.#parts;
    const all = pool.instances();
    const models = pool.models();
    const known = models.map((model) =>
      this.#entryOf(
        model,
        all.filter((one) => one.model === model.name || (one.model === null && one.source === model.file)),
      ),
    );
    // Before it is loaded anywhere, a device's own model is known by its file alone.
    const files = new Set(models.map(({ file }) => file));
    const unknown = all.filter(({ model, source }) => model === null && source !== "" && !files.has(source));
    const bySource = Map.groupBy(unknown, ({ source }) => source);
    return Promise.all([...known, ...Array.from(bySource, ([source, instances]) => this.#provisional(source, instances))]);
  }

  /** @param asked a name, an alias or the name of its file @throws {AltLasError} `not_found` */
  async named(asked: string): Promise<CatalogModel> {
    return (await this.#find(asked)).entry;
  }

  /**
   * Has a model loaded: where memory is free, else where idle models can make room, else as soon as busy ones have.
   * @param gpuIds null: on all GPUs that may hold it and have the memory
   * @returns what is so when that was begun
   * @throws {AltLasError} `not_found`; `invalid_input`: a GPU that is not there or cannot hold it; `model_too_large`, with both numbers
   */
  async load(asked: string, gpuIds: readonly number[] | null): Promise<CatalogModel> {
    const { pool, scheduler } = this.#parts;
    const { entry, isOwn } = await this.#find(asked);
    const instances = this.#instancesOf(entry, gpuIds);
    if (isOwn) return entry;
    await pool.prepare(refsOf(instances));
    const wanted = gpuIds === null ? [instances] : instances.map((one) => [one]);
    for (const together of wanted) {
      const problem = scheduler.tooLargeFor(refsOf(together), gpuIds === null ? null : together[0]!.gpuId);
      if (problem !== null) throw new AltLasError("model_too_large", problem, { param: "model" });
    }
    const fitting = refsOf(instances).filter((ref) => scheduler.tooLargeFor([ref], ref.gpuId) === null);
    scheduler.ask(fitting, "load");
    // The scheduler begins what it decides when its event is over.
    await Promise.resolve();
    return this.named(asked);
  }

  /**
   * Has a model unloaded, as soon as no task runs there. Tasks that wait for it have it loaded again.
   * @param gpuIds null: on all GPUs
   * @throws {AltLasError} `not_found`; `invalid_input`: a GPU that is not there or cannot hold it; `conflict`: a device's own model
   */
  async unload(asked: string, gpuIds: readonly number[] | null): Promise<CatalogModel> {
    const { entry, isOwn } = await this.#find(asked);
    const instances = this.#instancesOf(entry, gpuIds);
    if (isOwn) throw ownModel(entry);
    this.#parts.scheduler.ask(refsOf(instances), "unload");
    await Promise.resolve();
    return this.named(asked);
  }

  /**
   * Begins to fetch a model; it is loaded when it is wanted.
   * @param name what requests shall call it; undefined: its short name
   * @param by the user who wants it
   * @throws {AltLasError} `invalid_input`: the source is none that a request may name, or malformed; `conflict`: the name is another model's
   */
  async pull(source: string, name: string | undefined, by: string): Promise<CatalogModel> {
    const { kind } = parseSource(source);
    if (!isPublic(source, this.#parts.allowUrls())) {
      const what = kind === "path" ? "a path" : "a URL, which needs models_allow_urls: true";
      const sentence = `source must be a name of the table or begin with hf:, as in hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF; it is ${what}.`;
      throw new AltLasError("invalid_input", sentence, { param: "source" });
    }
    const { settings } = this.#parts.registry.pull(source, name, by);
    return this.named(settings.name);
  }

  /**
   * Forgets a model that was pulled, and removes its files unless another model has them.
   * @returns it as it was
   * @throws {AltLasError} `not_found`; `conflict`: it stands in the configuration, is a device's own, or is loaded
   */
  async remove(asked: string, by: string): Promise<CatalogModel> {
    const { entry, isOwn } = await this.#find(asked);
    if (isOwn) throw ownModel(entry);
    await this.#parts.registry.remove(entry.name, by);
    return entry;
  }

  async #find(asked: string): Promise<{ entry: CatalogModel; isOwn: boolean }> {
    const list = await this.list();
    const models = this.#parts.pool.models();
    const meant = modelMeant(asked, models);
    const entry = list.find(({ name }) => name === (meant?.name ?? asked));
    if (entry !== undefined) return { entry, isOwn: (meant?.served ?? null) === null };
    const names = list.map(({ name }) => shown(name)).join(", ");
    const known = names === "" ? "None is known yet." : `Known are ${names}.`;
    throw new AltLasError("not_found", `There is no model ${shown(asked)}. ${known}`);
  }

  /** @throws {AltLasError} `invalid_input` */
  #instancesOf({ name, instances }: CatalogModel, gpuIds: readonly number[] | null): readonly InstanceStatus[] {
    const ids = instances.map(({ gpuId }) => gpuId);
    for (const id of gpuIds ?? []) {
      const all = this.#parts.gpuIds();
      if (!all.includes(id)) throw badPlace(id, `which is not there; there are ${all.join(", ")}`);
      if (!ids.includes(id)) throw badPlace(id, `which cannot hold ${name}; it may be on ${ids.join(", ") || "none"}`);
    }
    return gpuIds === null ? instances : instances.filter(({ gpuId }) => gpuIds.includes(gpuId));
  }

  async #entryOf(
    { name, aliases, served, context, capabilities, file }: ModelStatus,
    on: readonly InstanceStatus[],
  ): Promise<CatalogModel> {
    const origin = this.#parts.registry.entries().find(({ settings }) => settings.name === name);
    const size = served === null ? await this.#sizeOf(file) : (origin?.bytes ?? null);
    return {
      name,
      aliases,
      origin: served === null ? "device" : (origin?.origin ?? "config"),
      source: (served === null ? on[0]?.source : served.settings.source) || null,
      commit: origin?.commit ?? null,
      licence: origin?.licence ?? null,
      sizeBytes: size,
      context,
      capabilities,
      load: served?.settings.load ?? "start",
      keepAlive: served?.settings.keep_alive ?? null,
      fetch: origin?.fetch ?? null,
      instances: on,
    };
  }

  #provisional(source: string, instances: readonly InstanceStatus[]): Promise<CatalogModel> {
    const name = source.endsWith(".gguf") ? withoutPart(basename(source)) : source;
    const known = { aliases: [], served: null, context: null, capabilities: null, since: 0 };
    return this.#entryOf({ ...known, name, file: source }, instances);
  }

  /** null: there is no such file. */
  async #sizeOf(path: string | null): Promise<number | null> {
    if (path === null) return null;
    const bytes = this.#sizes.get(path) ?? (await bytesAt(path));
    if (bytes !== null) this.#sizes.set(path, bytes);
    return bytes;
  }
}

function ownModel({ name, instances }: CatalogModel): AltLasError {
  const ids = instances.map(({ gpuId }) => gpuId).join(", ");
  const sentence = `${shown(name)} is the own model of GPU ${ids}, and is there as long as that serves; models that come and go stand in models.`;
  return new AltLasError("conflict", sentence);
}

function badPlace(gpuId: number, why: string): AltLasError {
  return new AltLasError("invalid_input", `gpu_ids names GPU ${gpuId}, ${why}.`, { param: "gpu_ids" });
}

function refsOf(instances: readonly InstanceStatus[]): readonly InstanceRef[] {
  return instances.map(({ gpuId, id }) => ({ gpuId, id }));
}
