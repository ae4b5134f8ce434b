/**
 * Lower bounds: no schedule of these requests on these GPUs ends sooner, whoever decides and whatever is known beforehand.
 *
 *  1. Work: a GPU whose k slots are in use gives each slot one of the two speeds of its curves at k. So in a second it does at most
 *     `answers` tokens of answers, or `prompts` tokens of prompts, or shares of both that add up to one. Counting a token of a prompt as
 *     `worth` tokens of an answer, all GPUs together do at most the sum of the larger of answers and worth × prompts, whatever `worth` is.
 *     A request cannot be done before it comes.
 *  2. One request: it ends no sooner than alone on the GPU that is fastest for it. A part of its prompt may be in a cache.
 */
import { type LabGpu, modelsOn } from "./fleet.ts";
import { at, type Curve, type GpuSpeed } from "./speed.ts";
import { PREFIX_TOKENS, type TraceRequest } from "./trace.ts";

interface Most {
  readonly start: number;
  /** Tokens a second of one slot at most. */
  readonly prompt: number;
  readonly answer: number;
  /** Of all slots together. */
  readonly prompts: number;
  readonly answers: number;
  readonly keepsPrompts: boolean;
}

export class Bound {
  readonly #gpus: readonly Most[];
  readonly #keeps: boolean;
  readonly #worth: number;
  readonly #speed: number;
  /** Seconds: when all work so far can be done. */
  #work = 0;
  #longest = 0;

  constructor(gpus: readonly LabGpu[]) {
    this.#gpus = gpus.map(mostOf);
    this.#keeps = this.#gpus.some(({ keepsPrompts }) => keepsPrompts);
    const sum = (of: (one: Most) => number): number => this.#gpus.reduce((all, one) => all + of(one), 0);
    this.#worth = sum(({ answers }) => answers) / sum(({ prompts }) => prompts);
    this.#speed = sum(({ answers, prompts }) =>
      prompts === Infinity ? answers : Math.max(answers, this.#worth * prompts),
    );
  }

  /** In the order in which they come. */
  add(request: TraceRequest): void {
    const prompt = this.#leastPrompt(request);
    this.#work = Math.max(this.#work, request.at) + (request.outputTokens + this.#worth * prompt) / this.#speed;
    this.#longest = Math.max(this.#longest, request.at + this.secondsOf(request));
  }

  /** Seconds from the beginning of the trace to its last end, at least. */
  get makespan(): number {
    return Math.max(this.#work, this.#longest);
  }

  /** Seconds that a request takes at least, once it has begun. */
  secondsOf(request: TraceRequest): number {
    const prompt = this.#leastPrompt(request);
    let least = Infinity;
    for (const one of this.#gpus)
      least = Math.min(least, one.start + prompt / one.prompt + request.outputTokens / one.answer);
    return least;
  }

  #leastPrompt({ promptTokens, prefix }: TraceRequest): number {
    return this.#keeps
      ? Math.max(Math.min(1, promptTokens), promptTokens - prefix.length * PREFIX_TOKENS)
      : promptTokens;
  }
}

/** Of a GPU with several models what is most of any: loads are left out, as if all were there. */
function mostOf(gpu: LabGpu): Most {
  const each = modelsOn(gpu).map(({ speed }) => mostAt(gpu.slots, speed));
  return each.reduce((most, one) => ({
    start: Math.min(most.start, one.start),
    prompt: Math.max(most.prompt, one.prompt),
    answer: Math.max(most.answer, one.answer),
    prompts: Math.max(most.prompts, one.prompts),
    answers: Math.max(most.answers, one.answers),
    keepsPrompts: most.keepsPrompts || one.keepsPrompts,
  }));
}

function mostAt(slots: number, speed: GpuSpeed): Most {
  const slot = (curve: Curve | null): number => (curve === null ? Infinity : Math.max(...at(curve, slots)));
  const all = (curve: Curve | null): number =>
    curve === null ? Infinity : at(curve, slots).reduce((most, tokens, inUse) => Math.max(most, inUse * tokens), 0);
  const { prompt, generation, startSeconds: start, keepsPrompts } = speed;
  return {
    start,
    prompt: slot(prompt),
    answer: slot(generation),
    prompts: all(prompt),
    answers: all(generation),
    keepsPrompts,
  };
}
