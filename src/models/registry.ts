/**
 * The models that this server knows by name: those of the configuration, and those that were pulled. It fetches what is not here, keeps the
 * list of what was pulled, and tells whenever a model or the state of its file has changed.
 */
import { wallTime } from "../common/clock.ts";
import { ABSENT, FileWatch } from "../common/file-watch.ts";
import { shown } from "../common/validation.ts";
import { type Config, deviceEntries, type ModelSettings } from "../config/config.ts";
import { engineTraits } from "../engine/kinds.ts";
import { AltLasError, messageOf } from "../errors.ts";
import type { ModelFile, ServedModel } from "../gpu/served.ts";
import type { Logger } from "../log/log.ts";
import type { FetchedModel, FetchProgress } from "./fetch.ts";
import { progressBehind } from "../common/progress-words.ts";
import { type Fetcher, HeldModel, type Provenance } from "./held-model.ts";
import { changePulled, type PulledModel, pulledPath, readPulled } from "./pulled.ts";
import { nameTaken, pullOf, withPulled } from "./pull-rules.ts";
import { type ModelSource, parseSource } from "./source.ts";
import { tellOperators } from "../topics.ts";

/** A model that the server knows by name. */
export interface ModelEntry {
  readonly settings: ModelSettings;
  readonly origin: "config" | "pulled";
  /** As it is now; null: its engine has no file. */
  readonly file: ModelFile | null;
  /** The commit of the repository that its file is from; null: it is from none, or is not here. */
  readonly commit: string | null;
  /** As its source names it; null: not known. */
  readonly licence: string | null;
  /** Of all its parts; null: they are not here. */
  readonly bytes: number | null;
  /** null: nothing is being fetched. */
  readonly fetch: FetchProgress | null;
}

export interface RegistryParts {
  readonly config: Config;
  readonly dataDir: string;
  /** Where the cache and the hub are named. */
  readonly environment: NodeJS.ProcessEnv;
  readonly log: Logger;
  /** A model has come or gone, or its file has another state. */
  changed(models: readonly ServedModel[]): void;
  /** Why a model cannot be removed now; null: it can. */
  readonly inUse?: (name: string) => string | null;
  readonly fetcher?: Fetcher;
  readonly timing?: RegistryTiming;
}

export interface RegistryTiming {
  /** Seconds before each further try to fetch; the last one repeats. */
  readonly retryPauses: readonly number[];
  /** Milliseconds between two looks whether the files are still there. */
  readonly looks: number;
}

/** The code that fetches is loaded only where something is to be found or fetched. */
const REAL: Fetcher = {
  find: async (source, environment) => (await import("./fetch.ts")).findModel(source, environment),
  fetch: async (source, options) => (await import("./fetch.ts")).fetchModel(source, options),
  remove: async (source, environment, others) =>
    (await import("./remove.ts")).removeModel(source, environment, others),
};

const TIMING: RegistryTiming = { retryPauses: [5, 15, 30, 60, 120, 300, 600], looks: 2000 };

export class ModelRegistry {
  readonly #parts: RegistryParts;
  #configured: readonly HeldModel[];
  #pulled: ReadonlyMap<string, HeldModel> = new Map();
  /** The contents of the file of pulled models when it was read last. */
  #records: readonly PulledModel[] = [];
  /** Of the list, when it was looked at last. */
  #version = ABSENT;
  #watch: FileWatch | null = null;
  #looks: NodeJS.Timeout | undefined;
  /** `models_from_cache`. */
  #fromCache: boolean;
  #allowsUrls: boolean;
  #isStarted = false;
  #isStopped = false;

  /** Looks at the files of paths; the others are found by `find` and fetched from `start` on. */
  constructor(parts: RegistryParts) {
    this.#parts = parts;
    this.#fromCache = parts.config.models_from_cache;
    this.#allowsUrls = parts.config.models_allow_urls;
    this.#configured = parts.config.models.map((settings) => this.#held(settings, null));
    this.#readPulled();
  }

  /** In the order of the configuration, then those that were pulled, in that order. */
  entries(): readonly ModelEntry[] {
    return this.#all.map((held) => this.#entryOf(held));
  }

  /** In the same order. */
  served(): readonly ServedModel[] {
    return this.#all.map(({ served }) => served);
  }

  /** A sentence about what the server is to start with and is being fetched; null: all that is here. */
  get fetching(): string | null {
    const coming = this.#configured.filter(
      ({ settings, file }) => settings.load === "start" && file?.state === "fetching",
    );
    const [first] = coming;
    if (first === undefined) return null;
    const which = this.#all.length === 1 ? "The model" : `${coming.length} of ${this.#all.length} models`;
    const progress = progressBehind(first.progress);
    return coming.length > 1
      ? `${which} are still being fetched${progress}.`
      : `${which} is still being fetched${progress}.`;
  }

  /** Finds what was fetched before, without asking anybody. */
  async find(): Promise<void> {
    await Promise.all(this.#all.map((held) => held.find()));
  }

  /** Fetches what is not here, and watches the files and the list from now on. */
  start(): void {
    this.#isStarted = true;
    for (const held of this.#all) this.#fetchIfMissing(held);
    this.#followList();
    this.#lookSoon();
  }

  /** Ends what is being fetched; what has come stays. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#watch?.stop();
    clearTimeout(this.#looks);
    await Promise.all(this.#all.map((held) => held.stop()));
  }

  /**
   * Begins to fetch a model, and serves it as soon as it is here; one that is known by this name and this source already is fetched if it
   * is not here.
   * @param name what requests shall call it; its short name where none is given
   * @param by the user who wants it; absent: a command on this machine
   * @throws {AltLasError} `invalid_input`: the source or the name is malformed, or pulled models are not served; `conflict`: the name is another model's
   */
  pull(source: string, name?: string, by?: string): ModelEntry {
    const { dataDir } = this.#parts;
    if (!this.#fromCache)
      throw new AltLasError("invalid_input", "models_from_cache is false: this server serves nothing that was pulled.");
    const wish = pullOf(source, name);
    const known = this.#named(wish.name);
    if (known !== undefined) {
      if (known.settings.source !== wish.source) throw nameTaken(wish.name, known.settings.source);
      known.fetch();
      return this.#entryOf(known);
    }
    this.#take(changePulled(dataDir, (models) => withPulled(models, { ...wish, pulled_at: wallTime(), file: null })));
    tellOfModel("pulled", wish.name, by);
    return this.#entryOf(this.#pulled.get(wish.name)!);
  }

  /**
   * Forgets a model that was pulled, and removes its files, unless they are the user's own or another model's, too.
   * @param by the user who wants it; absent: a command on this machine
   * @returns the bytes that are free again; null: no file was removed
   * @throws {AltLasError} `not_found`: no model has this name; `conflict`: it stands in the configuration, or is in use
   */
  async remove(name: string, by?: string): Promise<number | null> {
    const { dataDir, environment, fetcher = REAL, inUse } = this.#parts;
    const held = this.#named(name);
    if (held === undefined) throw new AltLasError("not_found", `No model was pulled under the name ${shown(name)}.`);
    if (this.#configured.includes(held))
      throw new AltLasError("conflict", `The model ${name} stands in the configuration; take it out there.`);
    const use = inUse?.(name) ?? null;
    if (use !== null) throw new AltLasError("conflict", use);
    this.#take(changePulled(dataDir, (models) => models.filter((model) => model.name !== name)));
    tellOfModel("removed", name, by);
    const { source } = held;
    const isShared = this.#all.some((one) => one.settings.source === held.settings.source || isSameFile(one, held));
    if (source === null || source.kind === "path" || isShared) return null;
    const others = [...this.#configured, ...this.#pulled.values()].flatMap((one) => one.source ?? []);
    return fetcher.remove(source, environment, others);
  }

  /** `models_allow_urls`. */
  get allowsUrls(): boolean {
    return this.#allowsUrls;
  }

  /** Whether models stand in the configuration. */
  get isConfigured(): boolean {
    return this.#configured.length > 0;
  }

  /**
   * Takes over another configuration. Models that are the same keep their state.
   * @throws {AltLasError} one of the sources is malformed; nothing has changed then
   */
  configure({
    models,
    models_from_cache: fromCache,
    models_allow_urls: allowsUrls,
  }: Pick<Config, "models" | "models_from_cache" | "models_allow_urls">): void {
    const before = this.#configured;
    this.#configured = models.map((settings) => {
      const text = JSON.stringify(settings);
      const same = before.find((held) => JSON.stringify(held.settings) === text);
      return same ?? this.#held(settings, null, before.find((held) => held.settings.source === settings.source)?.found);
    });
    for (const held of before) if (!this.#configured.includes(held)) held.stop();
    this.#allowsUrls = allowsUrls;
    if (fromCache !== this.#fromCache) {
      this.#fromCache = fromCache;
      this.#followList();
    }
    this.#changed();
    for (const held of this.#configured) if (this.#isStarted) void held.find().then(() => this.#fetchIfMissing(held));
  }

  /** Those of the configuration have their names first. */
  get #all(): readonly HeldModel[] {
    const names = new Set(this.#configured.flatMap(({ settings: { name, aliases } }) => [name, ...aliases]));
    return [...this.#configured, ...[...this.#pulled.values()].filter(({ settings }) => !names.has(settings.name))];
  }

  #named(name: string): HeldModel | undefined {
    return this.#all.find(({ settings }) => settings.name === name || settings.aliases.includes(name));
  }

  #entryOf(held: HeldModel): ModelEntry {
    const { settings, file, found, progress } = held;
    const isHere = file?.state === "there";
    return {
      settings,
      origin: this.#configured.includes(held) ? "config" : "pulled",
      file,
      commit: found?.commit ?? null,
      licence: found?.licence ?? null,
      bytes: isHere ? file.bytes : null,
      fetch: progress,
    };
  }

  /** @param known where its file is, as far as that is known */
  #held(
    settings: ModelSettings,
    record: PulledModel | null,
    known: Provenance | null = record?.file ?? null,
  ): HeldModel {
    const { config, environment, fetcher = REAL, log, timing = TIMING } = this.#parts;
    const hasFile = record !== null || engineTraits(settings.engine?.kind ?? config.engine.kind).model === "file";
    return new HeldModel({
      settings,
      isPulled: record !== null,
      hasFile,
      source: !hasFile ? null : record === null ? parseSource(settings.source ?? "") : sourceOf(record),
      known,
      environment,
      fetcher,
      log,
      retryPauses: timing.retryPauses,
      changed: () => this.#changed(),
      arrived: (found) => record !== null && this.#remember(record, found),
    });
  }

  #changed(): void {
    if (!this.#isStopped) this.#parts.changed(this.served());
  }

  /** A pulled model whose file has vanished stays away until somebody pulls it again: it may be on a disk that comes back. */
  #fetchIfMissing(held: HeldModel): void {
    // It may have been taken out of the configuration while its file was looked for; nobody would ever end its fetch.
    if (!this.#isStarted || this.#isStopped || !this.#all.includes(held)) return;
    if (held.file?.state === "fetching") held.fetch();
  }

  #lookSoon(): void {
    const { looks } = this.#parts.timing ?? TIMING;
    this.#looks = setTimeout(() => void this.#look(), looks).unref();
  }

  /** One after the other: each look that hangs holds one of the few threads that wait for files. */
  async #look(): Promise<void> {
    for (const held of this.#all) await held.look();
    if (!this.#isStopped) this.#lookSoon();
  }

  // --- the list of what was pulled ---------------------------------------------------------------------------------

  /** As long as what was pulled is served. */
  #followList(): void {
    this.#watch?.stop();
    this.#watch = null;
    if (!this.#fromCache) return this.#take([]);
    this.#version = ABSENT;
    this.#watch = new FileWatch(pulledPath(this.#parts.dataDir), { seen: (version) => this.#onList(version) });
  }

  #onList(version: string): void {
    if (version === this.#version) return;
    this.#version = version;
    const before = this.#records;
    this.#readPulled();
    const models = this.#records.map(({ name }) => name);
    if (this.#records !== before) this.#parts.log.info({ models }, "another process has changed the list of pulled models");
  }

  #readPulled(): void {
    const { dataDir, log } = this.#parts;
    if (!this.#fromCache) return;
    try {
      this.#take(readPulled(dataDir));
    } catch (error) {
      log.error(`${messageOf(error)} Until then what was pulled since is not known.`);
    }
  }

  /** Makes what is held follow the list. */
  #take(records: readonly PulledModel[]): void {
    if (JSON.stringify(records) === JSON.stringify(this.#records)) return;
    this.#records = records;
    const before = this.#pulled;
    this.#pulled = new Map(records.map((record) => [record.name, this.#following(record, before.get(record.name))]));
    const now = new Set(this.#pulled.values());
    for (const held of before.values()) if (!now.has(held)) held.stop();
    if (!this.#isStarted && before.size === 0) return;
    this.#changed();
    for (const held of now) this.#fetchIfMissing(held);
  }

  #following(record: PulledModel, before: HeldModel | undefined): HeldModel {
    if (before === undefined || before.settings.source !== record.source)
      return this.#held(settingsOf(record, this.#parts.config), record);
    if (record.file !== null) before.hear(record.file);
    return before;
  }

  #remember({ name, source }: PulledModel, { path, bytes, commit, licence }: FetchedModel): void {
    const file = { path, bytes, commit, licence };
    try {
      this.#take(
        changePulled(this.#parts.dataDir, (models) =>
          models.map((model) => (model.name === name && model.source === source ? { ...model, file } : model)),
        ),
      );
    } catch (error) {
      this.#parts.log.error({ model: name }, `It cannot be remembered that it was pulled: ${messageOf(error)}`);
    }
  }
}

function tellOfModel(event: "pulled" | "removed", model: string, by: string | undefined): void {
  const whose = by === undefined ? "" : ` by ${by}`;
  tellOperators({ kind: "model", event, model, ...(by !== undefined && { by }), sentence: `${model} was ${event}${whose}.` });
}

function isSameFile({ found: one }: HeldModel, { found: other }: HeldModel): boolean {
  return one !== null && other !== null && one.path === other.path;
}

/** A source in the list may have been written by a version that knew other names. */
function sourceOf({ source }: PulledModel): ModelSource | null {
  try {
    return parseSource(source);
  } catch {
    return null;
  }
}

/** A device whose models have names on another server can load no file, so beside such a device the engine is named. */
function settingsOf({ name, source }: PulledModel, config: Config): ModelSettings {
  const kinds = [config.engine.kind, ...deviceEntries(config).map(({ entry }) => entry.engine?.kind)];
  const which = (model: "name" | "file") => kinds.find((kind) => kind !== undefined && engineTraits(kind).model === model);
  const engine = which("name") === undefined ? {} : { engine: { kind: which("file") ?? "llama" } };
  return { name, source, aliases: [], load: "demand", task_types: [], ...engine };
}
