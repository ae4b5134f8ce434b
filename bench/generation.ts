/** The same work for an engine called directly and for servers, so that their figures can be compared. */
import { setTimeout as sleep } from "node:timers/promises";
import { type EngineOptions } from "../src/engine/engine.ts";
import { threadPoolFor } from "../src/gpu/worker/fork-channel.ts";
import { startChild } from "./child.ts";
import { median } from "./report.ts";

const PROMPT = "Once upon a time there was a little dog";
/** Not 0, so that sampling is measured too. */
const TEMPERATURE = 0.7;
/** Tokens for a newcomer: its first one may be a part of a character, whose text comes with the rest of it. */
const NEWCOMER_LENGTH = 2;
/** Gaps between two texts from which the length of a step is known. */
const GAPS = 5;
/** Steps between two newcomers: of prompts that come in a row, the engine takes in a piece at a time for the sake of the others. */
const STEPS_BETWEEN = 10;
/** Milliseconds between two newcomers that are alone. */
const PAUSE = 20;

/** Words of which the demo model's tokenizer makes one token each. */
const WORDS = "the dog cat girl boy king bird and saw big red ran to park was happy with ball in house".split(" ");
const PROMPT_WORDS = 6;

export interface Request {
  readonly text: string;
  readonly maxLength: number;
  readonly temperature: number;
}

/** Generates one text of at most `maxLength` tokens; resolves with the tokens it got. @param onText called when some text has come; absent: nobody reads along */
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
  readonly text: string;
  /** When it comes, as a share of a step since a neighbour got text: 0 to 1. */
  readonly phase: number;
}

export interface Arrivals {
  /** Tasks that generate meanwhile, one after the other, and the tokens of each. */
  readonly neighbours: number;
  readonly neighbourLength: number;
  /** They come one after the other. */
  readonly newcomers: readonly Newcomer[];
}

/** Prompts that come at the same moment, while nothing is generated. */
export interface Together {
  readonly prompts: number;
  /** Of each; no two begin alike. */
  readonly words: number;
}

/** What an engine alone in a process is told to measure; what that returns comes back. */
export type DirectOrder = (
  | ({ readonly what: "throughput" } & Work)
  | ({ readonly what: "first texts" } & Arrivals)
  | ({ readonly what: "together" } & Together)
) & {
  /** Whether each text is a conversation's only message; else it is continued as it is. */
  readonly isChat: boolean;
};

/**
 * The moments at which newcomers come: evenly over a step, in any order, because what a newcomer waits for is above all the end of the
 * step that is going on. Taken at random, that would need ten times as many of them.
 * @param count odd, so that the stride through the step misses none
 */
export function newcomers(count: number): Newcomer[] {
  return Array.from({ length: count }, (_, index) => ({
    text: wordsOf(PROMPT_WORDS),
    phase: (((index * 8) % count) + 0.5) / count,
  }));
}

function wordsOf(count: number): string {
  return Array.from({ length: count }, () => WORDS[Math.floor(Math.random() * WORDS.length)]).join(" ");
}

/** Milliseconds to the first text of each newcomer; null: it got none, because of what it has generated. */
export type FirstTexts = readonly (number | null)[];

export async function firstTexts(generate: Generate, arrivals: Arrivals): Promise<FirstTexts> {
  const crowd = new Crowd(generate, arrivals);
  const times: (number | null)[] = [];
  for (const { text, phase } of arrivals.newcomers) {
    await crowd.moment(phase);
    let took: number | null = null;
    const started = performance.now();
    await generate({ text, maxLength: NEWCOMER_LENGTH, temperature: TEMPERATURE }, () => {
      took ??= performance.now() - started;
    });
    times.push(took);
  }
  await crowd.leave();
  return times;
}

/** Of each prompt, until its first text. */
export interface FirstsTogether {
  /** Milliseconds. */
  readonly times: FirstTexts;
  /** Milliseconds of processor time that the engine's process took: what `times` are on one thread, when nobody else wants the processor. */
  readonly cpu: FirstTexts;
}

/** @param cpu milliseconds of processor time of the engine's process so far */
export async function together(
  generate: Generate,
  { prompts, words }: Together,
  cpu: () => number,
): Promise<FirstsTogether> {
  const clocks = [() => performance.now(), cpu];
  const begun = clocks.map((clock) => clock());
  const one = async (): Promise<readonly number[] | null> => {
    let took: readonly number[] | null = null;
    const request = { text: wordsOf(words), maxLength: NEWCOMER_LENGTH, temperature: TEMPERATURE };
    await generate(request, () => {
      took ??= clocks.map((clock, at) => clock() - begun[at]!);
    });
    return took;
  };
  const all = await Promise.all(Array.from({ length: prompts }, one));
  return { times: all.map((took) => took?.[0] ?? null), cpu: all.map((took) => took?.[1] ?? null) };
}

/** The tasks beside which newcomers come. One of them is read along, as they keep step with each other. */
class Crowd {
  readonly #over = new AbortController();
  readonly #tasks: Promise<void>[];
  /** Milliseconds between the last texts of the one that is read, the newest last. */
  #gaps: number[] = [];
  #text = Promise.withResolvers<void>();

  constructor(generate: Generate, { neighbours, neighbourLength }: Arrivals) {
    this.#tasks = Array.from({ length: neighbours }, (_, index) => this.#run(generate, neighbourLength, index === 0));
  }

  /** Resolves at that share of a step, once all is under way; soon, when there is nobody. */
  async moment(phase: number): Promise<void> {
    if (this.#tasks.length === 0) return sleep(PAUSE);
    while (this.#gaps.length < GAPS) await this.#text.promise;
    for (let step = 0; step < STEPS_BETWEEN; step++) await this.#text.promise;
    await sleep(phase * median(this.#gaps));
  }

  async leave(): Promise<void> {
    this.#over.abort();
    await Promise.all(this.#tasks);
  }

  async #run(generate: Generate, maxLength: number, isRead: boolean): Promise<void> {
    const request = { text: PROMPT, maxLength, temperature: TEMPERATURE };
    while (!this.#over.signal.aborted) await generate(request, isRead ? this.#reader() : undefined);
  }

  #reader(): () => void {
    let last = 0;
    return () => {
      const now = performance.now();
      if (last > 0) this.#gaps = [...this.#gaps, now - last].slice(-GAPS);
      last = now;
      this.#text.resolve();
      this.#text = Promise.withResolvers();
    };
  }
}

/** An engine in a process of its own, without a server around it. */
export interface DirectEngine {
  readonly pid: number;
  throughput(work: Work): Promise<Done>;
  firstTexts(arrivals: Arrivals): Promise<FirstTexts>;
  together(crowd: Together): Promise<FirstsTogether>;
  stop(): Promise<void>;
}

/** @param isChat whether each text is a conversation's only message */
export async function startDirect(engine: EngineOptions, isChat = false): Promise<DirectEngine> {
  const child = startChild<EngineOptions | DirectOrder>("direct.ts", { ...threadPoolFor(engine), ...process.env });
  await child.ask(engine);
  return {
    pid: child.pid,
    throughput: (work) => child.ask({ what: "throughput", isChat, ...work }),
    firstTexts: (arrivals) => child.ask({ what: "first texts", isChat, ...arrivals }),
    together: (crowd) => child.ask({ what: "together", isChat, ...crowd }),
    stop: () => child.stop(),
  };
}
