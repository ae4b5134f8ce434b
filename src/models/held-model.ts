/** A model that the server knows by name: finds its file, fetches it, and notices when it goes or comes back. */
import { resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { ModelSettings } from "../config/config.ts";
import { AltLasError, messageOf } from "../errors.ts";
import type { ModelFile, ServedModel } from "../gpu/served.ts";
import type { Logger } from "../log/log.ts";
import type { FetchedModel, FetchProgress } from "./fetch.ts";
import { FetchLog } from "./fetch-log.ts";
import { progressBehind } from "../common/progress-words.ts";
import { bytesAt, fileAt } from "./model-file.ts";
import type { ModelSource } from "./source.ts";
import { tellOperators } from "../topics.ts";

/** Finds, fetches and removes files. */
export interface Fetcher {
  /** Finds the model that is here already, without asking anybody; null: not all of it is. */
  find(source: ModelSource, environment: NodeJS.ProcessEnv): Promise<FetchedModel | null>;
  /** @throws {AltLasError} with what to do; the reason of the signal when that aborts */
  fetch(
    source: ModelSource,
    options: {
      readonly environment: NodeJS.ProcessEnv;
      readonly signal: AbortSignal;
      onProgress(progress: FetchProgress): void;
      onNote?(sentence: string): void;
    },
  ): Promise<FetchedModel>;
  /** @param others whose files stay @returns the bytes of the model; null: there was none */
  remove(
    source: ModelSource,
    environment: NodeJS.ProcessEnv,
    others: readonly ModelSource[],
  ): Promise<number | null>;
}

/** The place of a model's file, and the facts known of it. */
export type Provenance = Pick<FetchedModel, "path" | "bytes" | "commit" | "licence">;

export interface HeldModelParts {
  readonly settings: ModelSettings;
  /** Whether it was pulled, and stands in no configuration. */
  readonly isPulled: boolean;
  /** Whether its engine loads a file. */
  readonly hasFile: boolean;
  /** null: there is no file, or this version does not understand where it came from. */
  readonly source: ModelSource | null;
  /** Where its file was when it was pulled; null: nobody has said that it was here. */
  readonly known: Provenance | null;
  readonly environment: NodeJS.ProcessEnv;
  readonly fetcher: Fetcher;
  readonly log: Logger;
  /** Seconds before each further try to fetch; the last one repeats. */
  readonly retryPauses: readonly number[];
  /** Its file has another state. */
  changed(): void;
  /** Its file was fetched. */
  arrived(found: FetchedModel): void;
}

const LOOKING: ModelFile = { state: "fetching", why: "Its file is being looked for." };
const FETCHING: ModelFile = { state: "fetching", why: "Its file is being fetched." };

export class HeldModel {
  readonly #parts: HeldModelParts;
  /** Replaced at each change, so that whoever compares finds it. */
  #served: ServedModel;
  /** Where its file is, or was last. */
  #found: Provenance | null;
  #progress: FetchProgress | null = null;
  /** Ends the fetch that is under way; null: there is none. */
  #fetching: AbortController | null = null;

  constructor(parts: HeldModelParts) {
    const { settings, hasFile, source, known } = parts;
    this.#parts = parts;
    const isPath = source?.kind === "path";
    this.#found = isPath ? { path: resolve(source.path), bytes: 0, commit: null, licence: null } : known;
    const file = this.#found === null ? LOOKING : fileAt(this.#found.path);
    this.#served = { settings, file: hasFile ? file : null, ...(parts.isPulled && { onlyByName: true }) };
  }

  get settings(): ModelSettings {
    return this.#parts.settings;
  }

  /** null: there is no file, or this version does not understand where it came from. */
  get source(): ModelSource | null {
    return this.#parts.source;
  }

  /** As the GPUs are told of it; the same object as long as nothing has changed. */
  get served(): ServedModel {
    return this.#served;
  }

  /** As it is now: while it is fetched its sentence says how far that is. */
  get file(): ModelFile | null {
    const { file } = this.#served;
    if (file?.state !== "fetching" || this.#progress === null) return file;
    return { state: "fetching", why: `Its file is being fetched${progressBehind(this.#progress)}.` };
  }

  /** null: nothing is being fetched. */
  get progress(): FetchProgress | null {
    return this.#progress;
  }

  /** Where its file came from; null: it was not here yet, or there is none. */
  get found(): Provenance | null {
    return this.#found;
  }

  /** Looks for the file where fetched ones are, without asking anybody. */
  async find(): Promise<void> {
    const { source, environment, fetcher, log } = this.#parts;
    if (source === null || this.#found !== null) return;
    try {
      const found = await fetcher.find(source, environment);
      if (found !== null && this.#found === null) this.#have(found);
    } catch (error) {
      // A cache that cannot be read is a reason to fetch, which says what is wrong with it.
      log.debug({ err: error, model: this.settings.name }, "the cache of models could not be searched");
    }
  }

  /** Fetches the file in the background until it is here, unless it is, or is being fetched. */
  fetch(): void {
    const { source } = this.#parts;
    if (source === null || source.kind === "path" || this.#fetching !== null) return;
    if (this.#served.file?.state === "there") return;
    const fetching = new AbortController();
    this.#fetching = fetching;
    void this.#fetchUntilHere(source, fetching.signal).finally(() => {
      if (this.#fetching === fetching) this.#fetching = null;
    });
  }

  /** Its file was fetched by another process. */
  hear(found: Provenance): void {
    if (this.#served.file?.state === "there" && this.#found?.path === found.path) return;
    this.stop();
    this.#have(found);
  }

  /** Looks whether its file is still where it was, or is there again. */
  async look(): Promise<void> {
    const found = this.#found;
    if (found === null || this.#fetching !== null) return;
    const bytes = await bytesAt(found.path);
    const { file } = this.#served;
    const isSame = file?.state === "there" ? bytes === file.bytes : bytes === null;
    // A file that has changed is looked at more closely; that is rare.
    if (!isSame && this.#found === found && this.#fetching === null) this.#is(fileAt(found.path));
  }

  /** Ends its fetch; what has come stays. */
  stop(): void {
    this.#fetching?.abort();
    this.#fetching = null;
    this.#progress = null;
  }

  async #fetchUntilHere(source: ModelSource, signal: AbortSignal): Promise<void> {
    const { retryPauses, settings } = this.#parts;
    const log = this.#parts.log.child({ model: settings.name });
    for (let tries = 0; !signal.aborted; tries++) {
      const why = await this.#tryToFetch(source, signal, log);
      this.#progress = signal.aborted ? this.#progress : null;
      if (why === null || signal.aborted) return;
      const seconds = retryPauses[Math.min(tries, retryPauses.length - 1)]!;
      this.#is({ state: "failed", why: `${why} It is tried again ${seconds} s later.` });
      log.warn(`its file could not be fetched and is tried again in ${seconds} s: ${why}`);
      const sentence = `The file of ${settings.name} could not be fetched and is tried again in ${seconds} s: ${why}`;
      tellOperators({ kind: "model", event: "fetch_failed", model: settings.name, sentence });
      await pause(seconds * 1000, undefined, { signal, ref: false }).catch(() => {});
    }
  }

  /** @returns why it failed; null: the file is here, or nobody wants it any more */
  async #tryToFetch(source: ModelSource, signal: AbortSignal, log: Logger): Promise<string | null> {
    const { environment, fetcher, settings } = this.#parts;
    const lines = new FetchLog(log, settings.source ?? "");
    this.#is(FETCHING);
    try {
      const found = await fetcher.fetch(source, {
        environment,
        signal,
        onNote: (sentence) => log.info(sentence),
        onProgress: (progress) => {
          if (signal.aborted) return;
          this.#progress = progress;
          lines.progress(progress);
        },
      });
      if (signal.aborted) return null;
      lines.done(found);
      const { name: model } = settings;
      tellOperators({ kind: "model", event: "fetched", model, sentence: `The file of ${model} is here.` });
      this.#progress = null;
      this.#have(found);
      this.#parts.arrived(found);
      return null;
    } catch (error) {
      if (!(error instanceof AltLasError) && !signal.aborted) log.error({ err: error }, "a fetch failed");
      return error instanceof AltLasError ? error.message : `${messageOf(error)}.`;
    }
  }

  #have({ path, bytes, commit, licence }: Provenance): void {
    this.#found = { path, bytes, commit, licence };
    this.#is(fileAt(path));
  }

  #is(file: ModelFile): void {
    if (JSON.stringify(file) === JSON.stringify(this.#served.file)) return;
    this.#served = { ...this.#served, file };
    this.#parts.changed();
  }
}
