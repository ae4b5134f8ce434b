/** `alt-las pull`: fetches a model, remembers it for the servers on a data directory, and says how to use it. */
import type { Writable } from "node:stream";
import { wallTime } from "../common/clock.ts";
import { makeDataDir } from "../common/data-folder.ts";
import { ALT_LAS, dataDirWords, shellWord, startCommand } from "../common/paste.ts";
import type { Config } from "../config/config.ts";
import { AltLasError } from "../errors.ts";
import { type FetchedModel, fetchModel, type FetchProgress } from "../models/fetch.ts";
import { durationWords, progressWords, secondsLeft, sizeWords } from "../common/progress-words.ts";
import { Milestones } from "../common/milestones.ts";
import { fileAt } from "../models/model-file.ts";
import { changePulled, readPulled } from "../models/pulled.ts";
import { isConfigured, pullOf, type Wish, withPulled } from "../models/pull-rules.ts";
import { parseSource } from "../models/source.ts";

export interface PullOptions {
  readonly source: string;
  /** undefined: its short name. */
  readonly name?: string | undefined;
  readonly config: Pick<Config, "models" | "models_from_cache">;
  readonly dataDir: string;
  readonly environment: NodeJS.ProcessEnv;
  /** Where progress is told. */
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** The display of how far a fetch is. */
export interface Progress {
  show(progress: FetchProgress): void;
  note(sentence: string): void;
  /** No more comes. */
  end(): void;
}

/** Exit codes of what a signal has ended: 128 and its number. */
const STOPPED = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Runs it until it has ended, or a signal ends it.
 * @param stream where progress is told
 * @returns what to print, and the exit code
 */
export async function pull(
  options: Omit<PullOptions, "progress" | "signal">,
  stream: Writable,
): Promise<{ readonly text: string; readonly code: number }> {
  const stopping = new AbortController();
  let code = 0;
  const stop = (signal: NodeJS.Signals): void => {
    code = STOPPED[signal as keyof typeof STOPPED];
    stopping.abort();
  };
  for (const signal of Object.keys(STOPPED)) process.once(signal, stop);
  try {
    const progress = progressOn(stream, options.name ?? options.source);
    return { text: await pullCommand({ ...options, progress, signal: stopping.signal }), code: 0 };
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
    return { text: "Stopped. What has come is kept: the same command goes on from there.", code };
  } finally {
    for (const signal of Object.keys(STOPPED)) process.off(signal, stop);
  }
}

/**
 * @returns what to print
 * @throws {AltLasError} what is wrong with the source, the name or the hub; the reason of the signal when that aborts
 */
export async function pullCommand(options: PullOptions): Promise<string> {
  const { config, dataDir } = options;
  const wish = pullOf(options.source, options.name);
  const configured = isConfigured(wish, config);
  const record = { ...wish, pulled_at: wallTime(), file: null };
  // Before all is fetched for nothing.
  if (!configured) withPulled(readPulled(dataDir), record);
  const model = await fetched(wish, options);
  const { path, bytes, commit, licence } = model;
  if (!configured) {
    makeDataDir(dataDir);
    changePulled(dataDir, (models) => withPulled(models, { ...record, file: { path, bytes, commit, licence } }));
  }
  const about = [sizeWords(bytes), `licence ${licence ?? "not known"}`].join(", ");
  return [`${wish.name} is here: ${about}.`, `  ${path}`, ...nextSteps(wish, configured, options)].join("\n");
}

async function fetched({ source }: Wish, options: PullOptions): Promise<FetchedModel> {
  const { environment, progress, signal } = options;
  const parsed = parseSource(source);
  if (parsed.kind === "path") return ownFile(parsed.path);
  try {
    return await fetchModel(parsed, {
      environment,
      signal,
      onProgress: (now) => progress.show(now),
      onNote: (sentence) => progress.note(sentence),
    });
  } finally {
    progress.end();
  }
}

/** @throws {AltLasError} `invalid_input` */
function ownFile(path: string): FetchedModel {
  const file = fileAt(path);
  if (file.state !== "there") throw new AltLasError("invalid_input", file.why);
  return { path, bytes: file.bytes, files: [], commit: null, licence: null };
}

function nextSteps({ name, source }: Wish, configured: boolean, { config, dataDir }: PullOptions): string[] {
  if (configured) return [`The configuration serves it as ${name}.`];
  const given = new Map(dataDirWords(dataDir) === "" ? [] : [["--data-dir", dataDir]]);
  const start = `To serve it alone: ${startCommand(given, { "--model": source })}`;
  if (!config.models_from_cache) return [`No server finds it by itself, as models_from_cache is false. ${start}`];
  const list = `${ALT_LAS} models${dataDirWords(dataDir)}`;
  return [
    `A server on this data directory loads it when a request asks for the model ${shellWord(name)}; ${list} shows it.`,
    start,
  ];
}

/** One line that is written over and over, on a terminal; else a line for each milestone. */
export function progressOn(stream: Writable, name: string): Progress {
  return "isTTY" in stream && stream.isTTY === true ? new LiveLine(stream, name) : new PlainLines(stream, name);
}

const TO_THE_START = "\r\u001b[K";

class LiveLine implements Progress {
  readonly #stream: Writable;
  readonly #name: string;

  constructor(stream: Writable, name: string) {
    this.#stream = stream;
    this.#name = name;
  }

  show(progress: FetchProgress): void {
    const { columns = 80 } = this.#stream as { columns?: number };
    // A line that is broken by the terminal could not be written over.
    this.#stream.write(`${TO_THE_START}${lineOf(this.#name, progress).slice(0, Math.max(20, columns - 1))}`);
  }

  note(sentence: string): void {
    this.#stream.write(`${TO_THE_START}${sentence}\n`);
  }

  end(): void {
    this.#stream.write(TO_THE_START);
  }
}

class PlainLines implements Progress {
  readonly #stream: Writable;
  readonly #name: string;
  readonly #milestones = new Milestones();

  constructor(stream: Writable, name: string) {
    this.#stream = stream;
    this.#name = name;
  }

  show(progress: FetchProgress): void {
    if (this.#milestones.isDue(progress)) this.note(lineOf(this.#name, progress));
  }

  note(sentence: string): void {
    this.#stream.write(`${sentence}\n`);
  }

  end(): void {}
}

function lineOf(name: string, progress: FetchProgress): string {
  const { bytes, total } = progress;
  const left = secondsLeft(progress);
  const parts = [
    `${name}: ${progressWords(progress)}`,
    ...(total === null ? [] : [`${sizeWords(bytes)} of ${sizeWords(total)}`]),
    ...(left === null ? [] : [`${durationWords(left)} left`]),
  ];
  return parts.join(", ");
}
