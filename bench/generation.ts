/** The same work for an engine called directly and for servers, so that their figures can be compared. */
import { fork } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type EngineOptions } from "../src/engine/engine.ts";
import { threadPoolFor } from "../src/gpu/worker.ts";
import { type DirectOrder } from "./direct.ts";
import { median } from "./report.ts";

const PROMPT = "Once upon a time there was a little dog";
/** Not 0, so that sampling is measured too. */
const TEMPERATURE = 0.7;
/** Tokens for a newcomer: its first ones may be parts of one character, whose text comes with the last of them. */
const NEWCOMER_LENGTH = 4;
/** Gaps between texts of a neighbour from which the length of a step is known. */
const GAPS = 3;

/** Words of which the demo model's tokenizer makes one token each. */
const WORDS = "the dog cat girl boy king bird and saw big red ran to park was happy with ball in house".split(" ");
const PROMPT_WORDS = 12;

export interface Request {
  readonly text: string;
  readonly maxLength: number;
  readonly temperature: number;
}

/** Generates one text of at most `maxLength` tokens; resolves with the tokens it got. @param onText called when some text has come */
export type Generate = (request: Request, onText?: () => void) => Promise<number>;

export interface Work {
  readonly tasks: number;
  readonly concurrent: number;
  readonly maxLength: number;
}

export interface Done {
  readonly tokens: number;
  /** From the first call to the last end. */
  readonly seconds: number;
}

/** Generates `tasks` texts, of which `concurrent` are under way at any time. */
export async function throughput(generate: Generate, work: Work): Promise<Done> {
  let tokens = 0;
  let begun = 0;
  const one = async (): Promise<void> => {
    while (begun++ < work.tasks) {
      const generated = await generate({ text: PROMPT, maxLength: work.maxLength, temperature: TEMPERATURE });
      tokens += generated;
    }
  };
  const started = performance.now();
  await Promise.all(Array.from({ length: work.concurrent }, one));
  return { tokens, seconds: (performance.now() - started) / 1000 };
}

export interface Newcomer {
  /** Tasks that generate already, and the tokens of each: enough to go on until the newcomer has its first text. */
  readonly neighbours: number;
  readonly neighbourLength: number;
  readonly text: string;
  /** When it comes, as a share of a step since a neighbour got text: 0 to 1. */
  readonly phase: number;
}

/**
 * The moments at which newcomers come: evenly over a step, in any order, because what a newcomer waits for is above all the end of the
 * step that is going on. Taken at random, that would need ten times as many of them.
 * @param count odd, so that the stride through the step misses none
 */
export function newcomers(count: number, neighbours: number, neighbourLength: number): Newcomer[] {
  return Array.from({ length: count }, (_, index) => ({
    neighbours,
    neighbourLength,
    text: Array.from({ length: PROMPT_WORDS }, () => WORDS[Math.floor(Math.random() * WORDS.length)]).join(" "),
    phase: (((index * 8) % count) + 0.5) / count,
  }));
}

/** Milliseconds to a newcomer's first text; null: it got none, because of what it generated. */
export async function firstText(
  generate: Generate,
  { neighbours, neighbourLength, text, phase }: Newcomer,
): Promise<number | null> {
  const around = Array.from({ length: neighbours }, () => neighbour(generate, neighbourLength));
  const steps = await Promise.all(around.map(({ step }) => step));
  if (steps.length > 0) await sleep(phase * median(steps));
  let took: number | null = null;
  const started = performance.now();
  await generate({ text, maxLength: NEWCOMER_LENGTH, temperature: TEMPERATURE }, () => {
    took ??= performance.now() - started;
  });
  await Promise.all(around.map(({ ended }) => ended));
  return took;
}

/** A task that generates. `step`: milliseconds between two of its texts, told when it gets one. */
function neighbour(generate: Generate, maxLength: number) {
  const { promise: step, resolve } = Promise.withResolvers<number>();
  const gaps: number[] = [];
  let last = 0;
  const ended = generate({ text: PROMPT, maxLength, temperature: TEMPERATURE }, () => {
    const now = performance.now();
    if (last > 0) gaps.push(now - last);
    last = now;
    if (gaps.length === GAPS) resolve(median(gaps));
  });
  // A text that ends before that leaves nobody waiting.
  void ended.then(() => resolve(0));
  return { step, ended };
}

/** An engine in a process of its own, without a server around it. */
export interface DirectEngine {
  readonly pid: number;
  throughput(work: Work): Promise<Done>;
  firstText(newcomer: Newcomer): Promise<number | null>;
  stop(): Promise<void>;
}

export async function startDirect(engine: EngineOptions): Promise<DirectEngine> {
  const child = fork(join(import.meta.dirname, "direct.ts"), { env: { ...threadPoolFor(engine), ...process.env } });
  // Not "close", which never comes when it is the parent who hangs up.
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const ask = <Answer>(message: EngineOptions | DirectOrder): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const onEnd = (): void => reject(new Error("the engine's process ended"));
      child.once("exit", onEnd);
      child.once("message", (answer) => {
        child.off("exit", onEnd);
        resolve(answer as Answer);
      });
      child.send(message);
    });
  await ask(engine);
  return {
    pid: child.pid!,
    throughput: (work) => ask({ what: "throughput", ...work }),
    firstText: (newcomer) => ask({ what: "first text", ...newcomer }),
    async stop(): Promise<void> {
      child.disconnect();
      await gone;
    },
  };
}
