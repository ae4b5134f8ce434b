/**
 * Generates with llama.cpp, all slots in lock step.
 *
 * One step decodes one batch: one token for each task that is generating, and a piece of the prompt of each task that has just
 * come, small enough not to hold the others up (see prefill.ts). Every sequence's `next()` is called in the same tick and all are
 * awaited together, because node-llama-cpp's own batching, left to itself, splits the batches and lets a newcomer wait until the others
 * have ended. Between two steps tasks come and go: one that is canceled during a step leaves at the end of it, and what it would have
 * got in that step is not told.
 *
 * A batch asks for one result a task at most, and has the slots in order (see `inSlotOrder`): so a prompt's last token waits for the
 * step after the rest of it. Otherwise llama.cpp would have to put results in order, which is not safe here. It also makes a text
 * depend less on what ran beside it.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { type EvaluationPriority, type Token } from "node-llama-cpp";
import { EngineFailure } from "../failures.ts";
import { type EmbeddingRequest, type TextRequest } from "../../request.ts";
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
import { closeModel, openModel, type OpenModel } from "./model.ts";
import { NoVector } from "./embeddings.ts";
import { FreeSlots } from "./slots.ts";
import { type Pace, Prefill } from "./prefill.ts";
import { samplerFor } from "./sampler.ts";
import { type Constraint } from "./grammars.ts";
import { heldDraw } from "./held-draw.ts";
import { type Place } from "./logits.ts";
import { constraintNow, newRun, outcomeOf, type Run, settle } from "./run.ts";
import { roomBehind } from "../answer-length.ts";
import { answerForms } from "../forms/answer-forms.ts";
import { type Form } from "../forms/questions.ts";
import { type Move, planStep } from "./step-plan.ts";

const NAN = "its next token has no probability (NaN)";

/** Says with each token how likely it was. */
const WITH_CONFIDENCE = { confidence: true } as const;

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
    await this.#free?.clear();
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
    if (open.context !== null) this.#free = new FreeSlots(open.context, open.info.slots);
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
      await this.#admit();
      if (this.#active.length > 0) {
        await this.#step();
        await this.#retire();
        // A task that came while the others were admitted has seen this driver at work.
      } else if (this.#waiting.length === 0) break;
    }
    this.#driver = undefined;
  }

  async #admit(): Promise<void> {
    for (const run of this.#waiting) if (this.#isCanceled(run)) run.settled.resolve(outcomeOf(run, "canceled"));
    this.#waiting = this.#waiting.filter((run) => !this.#isCanceled(run));
    const free = this.#free!;
    while (this.#waiting.length > 0 && free.count > 0) {
      const run = this.#waiting.shift()!;
      const { slot, cached } = await free.take(run.prompt);
      run.slot = slot;
      run.cached = cached;
      run.remaining -= cached;
      this.#stats.cachedTokens += cached;
      this.#active.push(run);
    }
  }

  async #step(): Promise<void> {
    const { batchSize } = this.#open!.context!;
    const moves = planStep(this.#active, batchSize, (load) => this.#pace.allowance(load));
    const generating = moves.filter(({ generates }) => generates).length;
    const promptTokens = moves.reduce((sum, move) => sum + (move.generates ? 0 : move.promptTokens), 0);
    const begun = performance.now();
    const tokens = await Promise.all(moves.map((move) => this.#advance(move, moves)));
    this.#pace.took(generating, promptTokens, performance.now() - begun);
    this.#stats.steps++;
    this.#stats.batches[generating] = (this.#stats.batches[generating] ?? 0) + 1;
    for (const [index, { task }] of moves.entries()) this.#accept(task, tokens[index]);
  }

  /**
   * Decodes what the move says. Resolves with the token that came out, if the run is far enough for one.
   * @param moves all of the step
   */
  async #advance(move: Move<Run>, moves: readonly Move<Run>[]): Promise<Token | undefined> {
    const { task: run, promptTokens, generates } = move;
    const { index, sequence } = run.slot!;
    // Not a priority: what `inSlotOrder` sorts by.
    const options = { evaluationPriority: index as EvaluationPriority };
    try {
      if (promptTokens > 0) {
        const at = run.prompt.length - run.remaining;
        const piece = run.prompt.slice(at, at + promptTokens);
        run.remaining -= promptTokens;
        this.#stats.promptTokens += promptTokens;
        if (generates)
          run.tokens = sequence.evaluateWithMetadata(piece, WITH_CONFIDENCE, {
            ...options,
            ...run.sampler.options,
            yieldEogToken: true,
          });
        else await sequence.evaluateWithoutGeneratingNewTokens(piece, options);
      }
      const next = generates ? await run.tokens!.next(run.replacement) : undefined;
      this.#progress++;
      const sampled = next?.value ?? undefined;
      if (sampled === undefined) return undefined;
      if (Number.isNaN(sampled.confidence)) run.end = { error: this.#computedNonsense(NAN) };
      else if (run.constraint === null && run.likely === null) return this.#tokenOf(run, sampled.token);
      else return this.#tokenOf(run, await this.#drawn(run, sampled.token, placeOf(move, moves)));
      return undefined;
    } catch (error) {
      run.end = { error: await this.#open!.log.failure("The model failed while generating", error) };
      return undefined;
    }
  }

  /** Holds a token to the form of its answer, and finds out how likely it is, where either is asked for. */
  async #drawn(run: Run, token: Token, place: Place): Promise<Token> {
    const { logits, model } = this.#open!;
    const { likely, generated, sampler } = run;
    const constraint = constraintNow(run);
    let drawn = token;
    if (constraint !== null) {
      drawn = await heldDraw(logits!, { constraint, options: sampler.options, token, generated, place });
      if (!model.isEogToken(drawn)) constraint.take(drawn);
      run.replacement = drawn === token ? undefined : drawn;
    }
    if (likely !== null) likely.last = await logits!.likelihoods(place, drawn, likely.top);
    return drawn;
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
    run.sampler.drawn?.push(token);
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
      for (const run of ended) await this.#freeSlot(run);
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

  async #freeSlot({ slot, tokens, end }: Run): Promise<void> {
    await tokens?.return();
    await this.#free!.giveBack(slot!, typeof end === "object");
  }

  #isCanceled(run: Run): boolean {
    return run.generation.signal.aborted || this.#stopping.signal.aborted;
  }
}

function noStats(): LlamaStats {
  return { steps: 0, tokens: 0, promptTokens: 0, cachedTokens: 0, batches: [] };
}

/** Where a move's result is: those of a step have the slots in order. */
function placeOf({ task }: Move<Run>, moves: readonly Move<Run>[]): Place {
  const slot = task.slot!;
  const behind = moves.filter(({ task: other, generates }) => generates && other.slot!.index > slot.index).length;
  return { slot, row: -1 - behind };
}
