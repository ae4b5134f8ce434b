/**
 * Generates with llama.cpp, all slots in lock step.
 *
 * One step decodes one batch: one token for each task that is generating, and a piece of the prompt of each task that has just
 * come, small enough not to hold the others up (see prefill.ts). node-llama-cpp's own batching, left to itself, splits the batches and
 * lets a newcomer wait until the others have ended; it is not used (see decoder.ts). Between two steps tasks come and go: one that is
 * canceled during a step leaves at the end of it, and what it would have got in that step is not told.
 *
 * A batch asks for one result a task at most, and has the slots in order (see decoder.ts): so a prompt's last token waits for the
 * step after the rest of it. Otherwise llama.cpp would have to put results in order, which is not safe here. It also makes a text
 * depend less on what ran beside it.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Token } from "node-llama-cpp";
import { EngineFailure } from "../failures.ts";
import type { EmbeddingRequest, TextRequest } from "../../request.ts";
import {
  type DeviceMemory,
  type Engine,
  type EngineEnd,
  type EngineInfo,
  type EngineOptions,
  type GenerateOutcome,
  type Generation,
  proofFor,
  proofUntil,
} from "../engine.ts";
import type { Drawn, Part } from "./decoder.ts";
import { closeModel, openModel, type OpenModel } from "./model.ts";
import { NoVector } from "./embeddings.ts";
import { FreeSlots } from "./slots.ts";
import { type Pace, Prefill } from "./prefill.ts";
import { samplerFor } from "./sampler.ts";
import type { Constraint } from "./grammars.ts";
import { heldDraw } from "./held-draw.ts";
import { constraintNow, newRun, outcomeOf, type Run, settle } from "./run.ts";
import { roomBehind } from "../answer-length.ts";
import { answerForms } from "../forms/answer-forms.ts";
import type { Form } from "../forms/questions.ts";
import { type Move, planStep } from "./step-plan.ts";

const NAN = "its next token has no probability (NaN)";

const FAILED = "The model failed while generating";

const NO_ANSWER = "The model ended its answer before it began to write what has to have a form.";

/** Work done since the model was loaded. */
export interface LlamaStats {
  steps: number;
  /** Tokens generated. */
  tokens: number;
  /** Tokens of prompts decoded. */
  promptTokens: number;
  /** Tokens of prompts that a slot's KV cache held already. */
  cachedTokens: number;
  /** How full the batches were: at index n, the steps in which n tasks generated. */
  readonly batches: number[];
}

export class LlamaEngine implements Engine {
  readonly followsGrammars = true;
  #stats = noStats();
  readonly #options: EngineOptions;
  readonly #pace: Pace;
  readonly #stopping = new AbortController();
  #opening: Promise<OpenModel> | undefined;
  #open: OpenModel | undefined;
  #proof: Promise<void> | undefined;
  #free: FreeSlots | undefined;
  #waiting: Run[] = [];
  #active: Run[] = [];
  #driver: Promise<void> | undefined;
  #progress = 0;
  #closed: Promise<void> | undefined;
  readonly #gone = Promise.withResolvers<EngineEnd>();
  #isProving = false;
  /** Why it is over; undefined: it is not. */
  #over: EngineFailure | undefined;

  constructor(options: EngineOptions, pace: Pace = new Prefill(options.tuning.prefillChunk)) {
    this.#options = options;
    this.#pace = pace;
  }

  get stats(): LlamaStats {
    return this.#stats;
  }

  /** One for each task and step that it got on in, and for each vector. */
  get progress(): number {
    return this.#progress + (this.#open?.embeddings?.progress ?? 0);
  }

  /** Resolves when it has computed nonsense: what is in its KV cache then can spoil every task. */
  get gone(): Promise<EngineEnd> {
    return this.#gone.promise;
  }

  async deviceMemory(): Promise<DeviceMemory | null> {
    const llama = this.#open?.llama;
    if (llama === undefined || llama.gpu === false) return null;
    const { total, used, free } = await llama.getVramState();
    return total > 0 ? { total, used, free } : null;
  }

  async load(told?: (share: number) => void): Promise<EngineInfo> {
    this.#opening ??= openModel(this.#options, { signal: this.#stopping.signal, told });
    this.#open ??= this.#ready(await this.#opening);
    await (this.#proof ??= this.#prove());
    return this.#open.info;
  }

  /**
   * Generates a token, or makes a vector, before any task depends on it: a model that fits may still fail to compute. A driver that has to compile kernels does
   * it here, too.
   */
  async #prove(): Promise<void> {
    this.#isProving = true;
    await this.generate(proofUntil(this.#stopping.signal, proofFor(this.#open!.info)));
    this.#free?.clear();
    this.#stats = noStats();
    this.#isProving = false;
  }

  async generate(generation: Generation): Promise<GenerateOutcome> {
    const { model, prompts, info } = this.#opened();
    const { request } = generation;
    if (request.kind === "embedding") return this.#embed(request, generation);
    if (this.#free === undefined)
      throw new EngineFailure("unsupported", "This model makes embeddings; it generates no text.");
    const prompt = prompts.of(request);
    const { length } = prompt.tokens;
    const limit = Math.min(request.sampling.maxTokens, roomBehind(length, info.context));
    // It waits for its grammar here, where it holds no slot.
    const held = prompt.form === null ? null : await this.#heldTo(prompt.form, generation);
    if (held === "canceled") return { finishReason: held, promptTokens: length, completionTokens: 0, cachedTokens: 0 };
    generation.begin?.(length);
    const run = newRun({ generation, prompt, limit, sampler: samplerFor(request, model, limit), constraint: held });
    this.#waiting.push(run);
    // A failure of the driver itself means that a slot is lost: it is left unhandled, so that the process ends.
    this.#driver ??= this.#drive();
    return run.settled.promise;
  }

  async countTokens(request: TextRequest): Promise<number> {
    return this.#opened().prompts.of(request).tokens.length;
  }

  /** @throws {EngineFailure} `invalid_input`; `unsupported`: llama.cpp does not take the grammar */
  async #heldTo(form: Form, { signal, by }: Generation): Promise<Constraint | "canceled"> {
    const grammar = await answerForms.gbnfOf(form, AbortSignal.any([signal, this.#stopping.signal]), by);
    if (grammar === null) return "canceled";
    const { grammars, log } = this.#opened();
    try {
      return grammars.begin(grammar);
    } catch (error) {
      throw await log.failure("llama.cpp cannot hold an answer to this form", error, "unsupported");
    }
  }

  async #embed(request: EmbeddingRequest, generation: Generation): Promise<GenerateOutcome> {
    const { embeddings } = this.#opened();
    if (embeddings === null) throw new EngineFailure("unsupported", "No memory is left for embeddings.");
    return embeddings.embed(request, generation).catch((error: unknown) => {
      throw error instanceof NoVector ? this.#computedNonsense(error.message) : error;
    });
  }

  stop(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    this.#stopping.abort();
    await this.#driver;
    const open = await this.#opening?.catch(() => undefined);
    this.#open = undefined;
    if (open !== undefined) await closeModel(open);
  }

  #ready(open: OpenModel): OpenModel {
    if (open.decoder !== null) this.#free = new FreeSlots(open.decoder, open.info.slots);
    return open;
  }

  #opened(): OpenModel {
    if (this.#over !== undefined) throw this.#over;
    if (this.#open === undefined) throw new EngineFailure("model_error", "The model is not loaded.");
    return this.#open;
  }

  /** Runs steps until no task is left. There is one driver at a time, and none while nothing runs. */
  async #drive(): Promise<void> {
    // Lets all the calls of this tick arrive, so that the first batch has all of them.
    await Promise.resolve();
    for (;;) {
      this.#admit();
      if (this.#active.length > 0) {
        await this.#step();
        await this.#retire();
      } else if (this.#waiting.length === 0) break;
    }
    this.#open!.decoder!.rest();
    this.#driver = undefined;
  }

  #admit(): void {
    for (const run of this.#waiting) if (this.#isCanceled(run)) run.settled.resolve(outcomeOf(run, "canceled"));
    this.#waiting = this.#waiting.filter((run) => !this.#isCanceled(run));
    const free = this.#free!;
    while (this.#waiting.length > 0 && free.count > 0) {
      const run = this.#waiting.shift()!;
      const { slot, cached } = free.take(run.prompt);
      run.slot = slot;
      run.cached = cached;
      run.remaining -= cached;
      run.toRead = run.remaining;
      run.came = this.#comingNow();
      this.#stats.cachedTokens += cached;
      this.#active.push(run);
    }
  }

  /** Those that run have come together as long as none of them has generated. */
  #comingNow(): number {
    const [first] = this.#active;
    const isOpen = first !== undefined && this.#active.every(({ generated }) => generated === 0);
    return isOpen ? first.came : performance.now();
  }

  async #step(): Promise<void> {
    const { batchSize } = this.#open!.context!;
    const { moves, isPaced } = planStep(this.#active, batchSize, (load) => this.#pace.allowance(load));
    const generating = moves.filter(({ generates }) => generates).length;
    const promptTokens = moves.reduce((sum, move) => sum + (move.generates ? 0 : move.promptTokens), 0);
    const begun = performance.now();
    const tokens = await this.#decode(moves);
    if (isPaced) this.#pace.took(generating, promptTokens, performance.now() - begun);
    this.#stats.steps++;
    this.#stats.batches[generating] = (this.#stats.batches[generating] ?? 0) + 1;
    for (const [index, { task }] of moves.entries()) this.#accept(task, tokens[index]);
  }

  /** Resolves with what came out of each move, where its run was far enough for a token. */
  async #decode(moves: readonly Move<Run>[]): Promise<(Token | undefined)[]> {
    const { decoder, log } = this.#open!;
    try {
      const drawn = await decoder!.step(moves.map((move) => this.#partOf(move)));
      return await Promise.all(drawn.map((one, at) => this.#tokenFrom(moves[at]!.task, one)));
    } catch (error) {
      const failure = await log.failure(FAILED, error);
      for (const { task } of moves) task.end = { error: failure };
      return [];
    }
  }

  #partOf({ task: run, promptTokens, generates }: Move<Run>): Part {
    const at = run.prompt.length - run.remaining;
    const tokens = promptTokens > 0 ? run.prompt.slice(at, at + promptTokens) : [run.last!];
    run.remaining -= promptTokens;
    this.#stats.promptTokens += promptTokens;
    const sampler = generates ? run.sampler.ready(this.#open!.model) : undefined;
    return { slot: run.slot!, tokens, sampler };
  }

  /** undefined: none came out, or it ends the run. */
  async #tokenFrom(run: Run, drawn: Drawn | Error | undefined): Promise<Token | undefined> {
    try {
      if (drawn instanceof Error) throw drawn;
      this.#progress++;
      if (drawn === undefined) return undefined;
      if (Number.isNaN(drawn.probability)) throw this.#computedNonsense(NAN);
      const isPlain = run.constraint === null && run.likely === null;
      run.last = isPlain ? drawn.token : await this.#held(run, drawn);
      return this.#tokenOf(run, run.last);
    } catch (error) {
      run.end = { error: await this.#open!.log.failure(FAILED, error) };
      return undefined;
    }
  }

  /** Holds a token to the form of its answer, and finds out how likely it is, where either is asked for. */
  async #held(run: Run, { token, place }: Drawn): Promise<Token> {
    const { logits, model } = this.#open!;
    const { likely, generated, sampler } = run;
    const constraint = constraintNow(run);
    let held = token;
    if (constraint !== null) {
      held = await heldDraw(logits!, { constraint, config: sampler.config, token, generated, place });
      if (!model.isEogToken(held)) constraint.take(held);
    }
    if (likely !== null) likely.last = await logits!.likelihoods(place, held, likely.top);
    return held;
  }

  /** undefined: the run has ended. */
  #tokenOf(run: Run, token: Token): Token | undefined {
    if (!this.#open!.model.isEogToken(token)) return token;
    const isComplete = run.constraint === null || constraintNow(run) !== null;
    run.end = isComplete ? "stop" : { error: new EngineFailure("model_error", NO_ANSWER) };
    return undefined;
  }

  /** While it loads, the model or the device is at fault; later this engine is over. */
  #computedNonsense(sign: string): EngineFailure {
    const what = `The model ${this.#options.model} computed nonsense: ${sign}`;
    if (this.#isProving)
      return new EngineFailure("model_error", `${what}. The file is damaged, or the device computes wrongly.`);
    this.#over ??= new EngineFailure("gpu_lost", `${what}.`);
    this.#gone.resolve({ sentence: this.#over.message, crashed: false, nonsense: true });
    return this.#over;
  }

  #accept(run: Run, token: Token | undefined): void {
    if (this.#isCanceled(run)) return;
    try {
      if (token !== undefined) this.#emit(run, token);
      if (typeof run.end !== "string") return;
      // The text that was held back may be a stop sequence, or the end.
      if (run.answer?.end() === true) run.end = "stop";
      run.likely?.beside.end();
    } catch (error) {
      // The listener's failure is its own task's, not its neighbours'.
      run.end = { error };
    }
  }

  #emit(run: Run, token: Token): void {
    run.generated++;
    this.#stats.tokens++;
    run.sampler.took(token);
    if (run.generated === run.limit) run.end = "length";
    // The decoder keeps back the bytes of a character that is not whole yet: where the text ends there, they are left out.
    const { vocabulary } = this.#open!;
    const text = run.text.decode(vocabulary.bytesOf(token, run.tellsCalls), { stream: true });
    if (run.likely !== null) run.likely.beside.take(text.length, vocabulary.told(run.likely.last!));
    if (run.answer === null) run.generation.emit({ kind: "text", text }, 1);
    else if (run.answer.push(text, 1)) run.end = "stop";
  }

  /** Frees the slots of the runs that have ended, then settles them: whoever hears of an end may use the slot, in the next step already. */
  async #retire(): Promise<void> {
    for (let ended = this.#takeEnded(); ended.length > 0; ended = this.#takeEnded()) {
      for (const run of ended) this.#freeSlot(run);
      for (const run of ended) settle(run);
      await nextTurn();
    }
  }

  #takeEnded(): Run[] {
    for (const run of this.#active) if (this.#isCanceled(run) && typeof run.end !== "object") run.end = "canceled";
    const ended = this.#active.filter((run) => run.end !== undefined);
    this.#active = this.#active.filter((run) => run.end === undefined);
    return ended;
  }

  #freeSlot({ slot, sampler, end }: Run): void {
    sampler.dispose();
    this.#free!.giveBack(slot!, typeof end === "object");
  }

  #isCanceled(run: Run): boolean {
    return run.generation.signal.aborted || this.#stopping.signal.aborted;
  }
}

function noStats(): LlamaStats {
  return { steps: 0, tokens: 0, promptTokens: 0, cachedTokens: 0, batches: [] };
}
