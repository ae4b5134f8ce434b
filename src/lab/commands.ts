/** What `alt-las lab` does. */
import type { Readable, Writable } from "node:stream";
import { once } from "node:events";
import { loadConfig } from "../config/config.ts";
import { AltLasError } from "../errors.ts";
import { schedulerSettings } from "../tasks/scheduler-settings.ts";
import { HEAD, lineOf } from "./formats/own.ts";
import { type GpuOptions, gpusOf } from "./gpus.ts";
import { KINDS, made, type Kind, RATE } from "./make.ts";
import { BASELINES, OWN, RULES } from "./policies.ts";
import { traceOf, traceOfStream } from "./read.ts";
import { type Policy, replay } from "./replay.ts";
import { readSpeeds } from "./speed-file.ts";
import { FIRST_TOKEN_WITHIN, type Result } from "./tally.ts";
import { resultTable } from "./words.ts";

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
}

/** @returns what is to be printed @throws {AltLasError} what is wrong with the trace, the configuration or the options */
export async function labRun(options: RunOptions, stdin: () => Readable): Promise<string> {
  const policies = policiesOf(options.strategy ?? "all");
  const config = loadConfig(options.config);
  const measured = options.speed === undefined ? null : { file: options.speed, gpus: readSpeeds(options.speed) };
  const { gpus, words } = gpusOf(options, config, measured);
  const trace = options.trace === "-" ? await traceOfStream(stdin()) : traceOf(options.trace);
  const results: Result[] = [];
  const shared = { gpus, settings: schedulerSettings(config), seed: options.seed ?? 1 };
  const firstTokenWithin = options.firstToken ?? FIRST_TOKEN_WITHIN;
  for (const policy of policies) results.push(await replay(trace, { ...shared, policy, firstTokenWithin }));
  if (options.json === true) return JSON.stringify(documentOf(words, firstTokenWithin, results), null, 2);
  return `${words}\n\n${resultTable(results)}`;
}

function documentOf(words: string, firstTokenWithin: number, results: readonly Result[]) {
  return { about: words, first_token_within: firstTokenWithin, results: results.map(shownResult) };
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

/** Writes a trace, as CSV. @throws {AltLasError} `bad_config` */
export async function labMake({ kind = "steady", seed = 1, tasks = 1000, rate = RATE }: MakeFlags, out: Writable) {
  if (!isKind(kind))
    throw new AltLasError("bad_config", `--kind must be one of ${KINDS.join(", ")}; got ${JSON.stringify(kind)}.`);
  // A reader that has seen enough (`| head`) ends this, and is no failure.
  out.on("error", () => {});
  out.write(`${HEAD}\n`);
  for await (const requests of made({ kind, seed, tasks, rate })()) {
    if (out.destroyed) return;
    const hasRoom = out.write(requests.map((request) => `${lineOf(request)}\n`).join(""));
    if (!hasRoom) await Promise.race([once(out, "drain"), once(out, "close")]).catch(() => {});
  }
}

function isKind(text: string): text is Kind {
  return (KINDS as readonly string[]).includes(text);
}
