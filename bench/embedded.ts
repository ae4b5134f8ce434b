/** The embedded engine alone, in this process: how full its batches are, and what tasks notice of each other. */
import { completionOf } from "../src/request.ts";
import { LlamaEngine } from "../src/engine/llama/llama.ts";
import { type Pace } from "../src/engine/llama/prefill.ts";
import { DEMO_MODEL } from "../src/gpu/inventory/devices.ts";
import { llamaOptions } from "./engine-options.ts";
import { randomModel } from "./random-model.ts";
import { type Extent, median, percentile, rounded, type Section } from "./report.ts";

const SLOTS = 8;
const NEIGHBOURS = SLOTS - 1;
const CONTEXT = 4096;
const SHAPE = { slots: SLOTS, context: CONTEXT };
/** Tokens of the prompt that comes in while the others generate. */
const LONG_PROMPT = 3000;
/** Tokens of the beginning that prompts share. */
const SHARED = 1000;
/** Milliseconds that a newcomer may wait for the others, beside its own prompt. */
const NEWCOMER_BAR = 20;

/** Prompts as fast as the batch allows, whatever the others wait: what this engine did before it measured its steps. */
const UNPACED: Pace = { allowance: () => Infinity, took: () => {} };

const DEMO = { name: "demo", path: () => DEMO_MODEL };
const RANDOM = { name: "random 100M", path: randomModel };
type Model = typeof DEMO;

export const EMBEDDED = [fullness, newcomer, longPrompt, sharedPrefix];

async function fullness({ quick }: Extent): Promise<Section> {
  const rows = [];
  for (const model of [DEMO, RANDOM]) {
    const engine = await open(model);
    await Promise.all(
      Array.from({ length: SLOTS }, (_, index) => first(engine, storyOf(index), quick ? 64 : 128).ended),
    );
    await engine.stop();
    const { steps, tokens, batches } = engine.stats;
    const full = rounded((batches[SLOTS] ?? 0) / steps, 3);
    rows.push({ model: model.name, steps, tokens, "tokens a step": rounded(tokens / steps, 2), "full steps": full });
  }
  return {
    name: "embedded: batches",
    about: `${SLOTS} tasks begun at once on ${SLOTS} slots, one thread. A step decodes one batch; a full one has a token of each task.`,
    rows,
    bars: rows.map((row) => ({ what: `tokens a step, ${row.model}`, measured: row["tokens a step"], atLeast: 7.5 })),
  };
}

async function newcomer({ quick }: Extent): Promise<Section> {
  const engine = await open(DEMO);
  const samples = quick ? 15 : 60;
  const rows = [];
  for (const tokens of [12, 100]) {
    const alone: number[] = [];
    const beside: number[] = [];
    for (let sample = 0; sample < samples; sample++) {
      alone.push(await first(engine, wordsOf(tokens), 1).token);
      const neighbours = await neighboursOn(engine);
      beside.push(await first(engine, wordsOf(tokens), 1).token);
      await neighbours.stop();
    }
    rows.push({
      "prompt tokens": tokens,
      "alone ms": rounded(median(alone), 1),
      "beside 7 ms": rounded(median(beside), 1),
      "beside 7 p95 ms": rounded(percentile(beside, 0.95), 1),
      "added ms": rounded(median(beside) - median(alone), 1),
    });
  }
  await engine.stop();
  return {
    name: "embedded: newcomer",
    about: `Time to the first token of a task, on an idle engine and while ${NEIGHBOURS} others generate; demo model, one thread, medians of ${samples}.`,
    rows,
    bars: rows.map((row) => ({
      what: `milliseconds that a newcomer of ${row["prompt tokens"]} tokens waits for the others`,
      measured: row["added ms"],
      atMost: NEWCOMER_BAR,
    })),
  };
}

/** Milliseconds between two tokens of the neighbours, and to the first one of the long prompt. */
interface Crowd {
  readonly plain: number[];
  readonly during: number[];
  readonly first: number[];
}

async function longPrompt({ quick }: Extent): Promise<Section> {
  const rows = [];
  for (const model of [DEMO, RANDOM]) {
    const tokens = quick && model === RANDOM ? LONG_PROMPT / 10 : LONG_PROMPT;
    const rounds = quick || model === RANDOM ? 1 : 5;
    // So many that each text of the demo model has ended and begun anew.
    const plainSteps = model === DEMO ? 400 : quick ? 40 : 150;
    const [paced, unpaced] = [await open(model), await open(model, UNPACED)];
    const [now, before]: Crowd[] = [1, 2].map(() => ({ plain: [], during: [], first: [] }));
    for (let round = 0; round < rounds; round++) {
      await crowd(unpaced, tokens, plainSteps, before!);
      await crowd(paced, tokens, plainSteps, now!);
    }
    await Promise.all([paced.stop(), unpaced.stop()]);
    rows.push(crowdRow(model, tokens, "no", before!), crowdRow(model, tokens, "yes", now!));
  }
  return {
    name: "embedded: long prompt",
    about:
      `Milliseconds between two tokens of ${NEIGHBOURS} tasks that generate, without and with a long prompt coming in; one thread. ` +
      "Measured: whether the prompt's pieces are sized by what steps take, or as large as the batch; in turns.",
    rows,
    bars: rows
      .filter(({ measured }) => measured === "yes")
      .map((row) => ({
        what: `median time between tokens, with a long prompt to without, ${row.model}`,
        measured: row["p50 ratio"],
        atMost: 2,
      })),
  };
}

async function crowd(engine: LlamaEngine, tokens: number, plainSteps: number, into: Crowd): Promise<void> {
  const neighbours = await neighboursOn(engine);
  neighbours.takeGaps();
  // As many before as after: the others' texts grow meanwhile, and their steps take longer by themselves.
  await neighbours.tokens(plainSteps);
  into.plain.push(...neighbours.takeGaps());
  into.first.push(await first(engine, wordsOf(tokens), 1).token);
  into.during.push(...neighbours.takeGaps());
  await neighbours.tokens(plainSteps);
  into.plain.push(...neighbours.takeGaps());
  await neighbours.stop();
}

function crowdRow({ name }: Model, tokens: number, measured: string, { plain, during, first: firsts }: Crowd) {
  const ratio = (share: number) => rounded(percentile(during, share) / percentile(plain, share), 2);
  return {
    model: name,
    "prompt tokens": tokens,
    measured,
    "p50 without": rounded(percentile(plain, 0.5), 1),
    "p50 with": rounded(percentile(during, 0.5), 1),
    "p50 ratio": ratio(0.5),
    "p95 without": rounded(percentile(plain, 0.95), 1),
    "p95 with": rounded(percentile(during, 0.95), 1),
    "p95 ratio": ratio(0.95),
    "prompt's first token s": rounded(median(firsts) / 1000, 2),
  };
}

async function sharedPrefix({ quick }: Extent): Promise<Section> {
  const rows = [];
  for (const model of [DEMO, RANDOM]) {
    const engine = await open(model);
    const anew: number[] = [];
    const again: number[] = [];
    for (let round = 0; round < (quick ? 1 : 5); round++) {
      const shared = wordsOf(SHARED);
      anew.push(await first(engine, `${shared} ${wordsOf(20)}`, 1).token);
      for (let later = 0; later < 4; later++) again.push(await first(engine, `${shared} ${wordsOf(20)}`, 1).token);
    }
    const { cachedTokens, promptTokens } = engine.stats;
    await engine.stop();
    rows.push({
      model: model.name,
      "first ms": rounded(median(anew), 1),
      "later ms": rounded(median(again), 1),
      ratio: rounded(median(again) / median(anew), 3),
      "cached tokens": rounded(cachedTokens / (cachedTokens + promptTokens), 2),
    });
  }
  return {
    name: "embedded: shared prefix",
    about: `Time to the first token of prompts that begin with the same ${SHARED} tokens and end with 20 of their own: of the first one, and of those after it; one thread.`,
    rows,
    bars: rows.map(({ model, ratio }) => ({
      what: `time to first token, later to first, ${model}`,
      measured: ratio,
      atMost: 0.2,
    })),
  };
}

/** Tasks that generate all the time: each begins anew when it has ended. */
class Neighbours {
  readonly #over = new AbortController();
  readonly #all: Promise<void>[];
  #gaps: number[] = [];
  #wanted = { left: 0, done: (): void => {} };

  constructor(engine: LlamaEngine) {
    this.#all = Array.from({ length: NEIGHBOURS }, (_, index) => this.#run(engine, storyOf(index)));
  }

  /** Resolves when they have got so many more tokens each, on the average. */
  tokens(each: number): Promise<void> {
    return new Promise((done) => (this.#wanted = { left: each * NEIGHBOURS, done }));
  }

  /** Milliseconds between two tokens of a task, since this was asked last. */
  takeGaps(): number[] {
    const taken = this.#gaps;
    this.#gaps = [];
    return taken;
  }

  async stop(): Promise<void> {
    this.#over.abort();
    await Promise.all(this.#all);
  }

  async #run(engine: LlamaEngine, text: string): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      let last: number | undefined;
      const emit = () => {
        const now = performance.now();
        if (last !== undefined) this.#gaps.push(now - last);
        last = now;
        if (--this.#wanted.left === 0) this.#wanted.done();
      };
      await engine.generate({ request: completionOf(text, { maxTokens: CONTEXT }), signal, emit });
    }
  }
}

async function neighboursOn(engine: LlamaEngine): Promise<Neighbours> {
  const neighbours = new Neighbours(engine);
  await neighbours.tokens(10);
  return neighbours;
}

/** Starts a task. `token`: milliseconds to its first token. */
function first(engine: LlamaEngine, text: string, maxTokens: number) {
  const { promise: token, resolve } = Promise.withResolvers<number>();
  const { signal } = new AbortController();
  const begun = performance.now();
  const emit = () => resolve(performance.now() - begun);
  const ended = engine.generate({ request: completionOf(text, { maxTokens }), signal, emit });
  // A text may end before it has begun.
  void ended.then(emit);
  return { token, ended };
}

async function open(model: Model, pace?: Pace): Promise<LlamaEngine> {
  const engine = new LlamaEngine(llamaOptions(model.path(), SHAPE), pace);
  await engine.load();
  return engine;
}

function storyOf(index: number): string {
  return `Once upon a time there was a little ${["dog", "cat", "girl", "boy", "king", "bird", "baker", "fox"][index]}`;
}

const WORDS = "the dog cat girl boy king bird and saw big red ran to park was happy with ball in house".split(" ");

/** A text of about so many tokens, another one each time: each of the words is one. */
function wordsOf(tokens: number): string {
  return Array.from({ length: tokens }, () => WORDS[Math.floor(Math.random() * WORDS.length)]).join(" ");
}
