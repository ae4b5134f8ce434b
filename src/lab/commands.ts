/** The subcommands of `alt-las lab`. */
import type { Readable, Writable } from "node:stream";
import { once } from "node:events";
import { basename } from "node:path";
import { loadConfig } from "../config/config.ts";
import { AltLasError } from "../errors.ts";
import { schedulerSettings } from "../tasks/scheduler-settings.ts";
import { HEAD, lineOf } from "./formats/own.ts";
import { type Best, bestOf } from "./best.ts";
import { Exported } from "./export.ts";
import { historyOf, type HistoryContext } from "./history.ts";
import { type GpuOptions, gpusOf } from "./gpus.ts";
import { KINDS, made, type Kind, RATE } from "./make.ts";
import { BASELINES, OWN, RULES } from "./policies.ts";
import { traceOf, traceOfStream } from "./read.ts";
import { Recorder } from "./recorder.ts";
import { type Policy, type Replay, replay } from "./replay.ts";
import { writeReport } from "./report/report.ts";
import { readSpeeds } from "./speed-file.ts";
import { FIRST_TOKEN_WITHIN, type Result } from "./tally.ts";
import type { TraceRequest } from "./trace.ts";
import { bestWords, counted, resultTable } from "./words.ts";

export interface RunOptions extends GpuOptions {
  readonly trace: string;
  readonly config?: string | undefined;
  /** The file of speeds. */
  readonly speed?: string | undefined;
  /** Names with commas between, `all`, `baselines` or `rules`. */
  readonly strategy?: string | undefined;
  readonly seed?: number;
  readonly firstToken?: number;
  readonly json?: boolean;
  /** The file for a report. */
  readonly html?: string | undefined;
}

/** @returns what is to be printed @throws {AltLasError} what is wrong with the trace, the configuration or the options */
export async function labRun(options: RunOptions, stdin: () => Readable): Promise<string> {
  const policies = policiesOf(options.strategy ?? "all");
  const config = loadConfig(options.config);
  const measured = options.speed === undefined ? null : { file: options.speed, gpus: readSpeeds(options.speed) };
  const { gpus, words } = gpusOf(options, config, measured);
  const trace = options.trace === "-" ? await traceOfStream(stdin()) : traceOf(options.trace);
  const best = await bestOf(trace, gpus);
  const replayed: Replay[] = [];
  const shared = { gpus, settings: schedulerSettings(config), models: config.models, seed: options.seed ?? 1 };
  const firstTokenWithin = options.firstToken ?? FIRST_TOKEN_WITHIN;
  for (const policy of policies) {
    const recorder = options.html === undefined ? undefined : new Recorder();
    replayed.push(await replay(trace, { ...shared, policy, firstTokenWithin, recorder }));
  }
  if (options.html !== undefined) {
    const name = options.trace === "-" ? "standard input" : basename(options.trace);
    writeReport(options.html, { trace: name, about: words, gpus, replayed, best });
  }
  const results = replayed.map(({ result }) => result);
  if (options.json === true) return JSON.stringify(documentOf({ words, firstTokenWithin, best, results }), null, 2);
  return `${words}\n\n${resultTable(results, best)}\n\n${bestWords(best)}`;
}

interface Found {
  readonly words: string;
  readonly firstTokenWithin: number;
  readonly best: Best | null;
  readonly results: readonly Result[];
}

function documentOf({ words, firstTokenWithin, best, results }: Found) {
  const shownBest = best && { makespan: best.makespan, end_to_end: best.endToEnd };
  return { about: words, first_token_within: firstTokenWithin, best: shownBest, results: results.map(shownResult) };
}

/** With the names that an API would have. */
function shownResult(result: Result): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(result).map(([key, value]) => [snake(key), value as unknown]));
}

function snake(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** @throws {AltLasError} `bad_config`: there is no such strategy */
function policiesOf(text: string): readonly Policy[] {
  const all = [...OWN, ...BASELINES, ...RULES];
  return text.split(",").flatMap((part) => {
    const name = part.trim();
    if (name === "all") return OWN;
    if (name === "baselines") return BASELINES;
    if (name === "rules") return RULES;
    const policy = all.find((one) => one.name === name);
    if (policy !== undefined) return policy;
    const known = ["all", "baselines", "rules", ...all.map((one) => one.name)].join(", ");
    throw new AltLasError("bad_config", `--strategy must be one or more of ${known}; got ${JSON.stringify(name)}.`);
  });
}

export interface MakeFlags {
  readonly kind?: string;
  readonly seed?: number;
  readonly tasks?: number;
  readonly rate?: number;
}

/**
 * Writes one's own history as a trace.
 * @returns what became of it, in a sentence
 * @throws {AltLasError} what is wrong with the configuration or the store; `bad_config`: there is nothing to write
 */
export async function labExport(context: HistoryContext, out: Writable): Promise<string> {
  const { task_specific_mappings: mappings } = loadConfig(context.config).gpu.multi_gpu;
  const exported = new Exported(Object.keys(mappings));
  await written(out, HEAD, requestsOf(context, exported));
  const { tasks, leftOut } = exported;
  if (tasks === 0) throw new AltLasError("bad_config", `There is no task with an answer in ${context.dataDir}.`);
  const rest =
    leftOut === 0 ? "" : ` ${counted(leftOut, "task")} without an answer ${leftOut === 1 ? "was" : "were"} left out.`;
  return `${counted(tasks, "task")} written: lengths, times and what began alike. No text, no name of a caller and no date is in it.${rest}`;
}

async function* requestsOf(context: HistoryContext, exported: Exported): AsyncGenerator<readonly TraceRequest[]> {
  for await (const tasks of historyOf(context)) yield tasks.flatMap((task) => exported.requestOf(task) ?? []);
}

/** Writes requests behind a line that names the columns. A reader that has seen enough (`| head`) ends this, and is no failure. */
async function written(out: Writable, head: string, chunks: AsyncIterable<readonly TraceRequest[]>): Promise<void> {
  out.on("error", () => {});
  let begins = `${head}\n`;
  for await (const requests of chunks) {
    if (out.destroyed) return;
    if (requests.length === 0) continue;
    const hasRoom = out.write(begins + requests.map((request) => `${lineOf(request)}\n`).join(""));
    begins = "";
    if (!hasRoom) await Promise.race([once(out, "drain"), once(out, "close")]).catch(() => {});
  }
}

/** Writes a trace, as CSV. @throws {AltLasError} `bad_config` */
export async function labMake({ kind = "steady", seed = 1, tasks = 1000, rate = RATE }: MakeFlags, out: Writable) {
  if (!isKind(kind))
    throw new AltLasError("bad_config", `--kind must be one of ${KINDS.join(", ")}; got ${JSON.stringify(kind)}.`);
  await written(out, HEAD, made({ kind, seed, tasks, rate })());
}

function isKind(text: string): text is Kind {
  return (KINDS as readonly string[]).includes(text);
}
