/**
 * Turns texts into vectors, in a context of its own beside that of the tasks that generate.
 *
 * A model looks at an input as a whole, so each is one decode. Requests take turns, input by input: one with thousands of inputs holds
 * nobody up for longer than one of them takes. On a CPU the binding shares the threads out between the two contexts, decode by decode.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { LlamaEmbeddingContext, LlamaModel, Token } from "node-llama-cpp";
import { unitVector } from "../../common/vectors.ts";
import type { EmbeddingRequest } from "../../request.ts";
import { checkRoom, checkTokens, checkVector } from "../embedding-inputs.ts";
import type { GenerateOutcome, Generation } from "../engine.ts";
import { EngineFailure } from "../failures.ts";
import { inTurn } from "./decoder.ts";
import type { ErrorLog } from "./error-log.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Room for one input. */
export interface EmbeddingRoom {
  /** Tokens that an input has at most, its beginning and its end included. */
  readonly context: number;
  /** Tokens that are decoded at once. */
  readonly batchSize: number;
}

export interface EmbeddingsParts {
  readonly model: LlamaModel;
  readonly tokenizer: Tokenizer;
  readonly room: EmbeddingRoom;
  readonly threads: number;
  readonly log: ErrorLog;
  /** Ends all that is going on. */
  readonly stopping: AbortSignal;
}

/** Thrown where a vector has no direction: what was computed is no number. */
export class NoVector extends Error {}

/** UTF-16 units, or tokens, that are looked at in one turn of the event loop: the tasks that generate need their turns too. */
const AT_ONCE = 65_536;

/** One call of `embed`. */
interface Job {
  readonly generation: Generation;
  readonly inputs: readonly Token[][];
  readonly promptTokens: number;
  readonly settled: PromiseWithResolvers<GenerateOutcome>;
  /** Inputs whose vectors have been emitted. */
  done: number;
}

export class Embeddings {
  readonly #parts: EmbeddingsParts;
  #context: Promise<LlamaEmbeddingContext> | undefined;
  /** The one whose turn is next first. */
  #jobs: Job[] = [];
  #driver: Promise<void> | undefined;
  #progress = 0;

  constructor(parts: EmbeddingsParts) {
    this.#parts = parts;
  }

  /** Inputs that have become vectors. */
  get progress(): number {
    return this.#progress;
  }

  /**
   * Emits the vectors of a request's inputs, in their order.
   * @throws {EngineFailure} `prompt_too_long`, `invalid_input`, `model_error` or `out_of_memory`
   * @throws {NoVector} the model or its device computes nonsense
   */
  async embed(request: EmbeddingRequest, generation: Generation): Promise<GenerateOutcome> {
    const { room } = this.#parts;
    const context = await (this.#context ??= this.#open());
    const inputs: Token[][] = [];
    let promptTokens = 0;
    let looked = 0;
    for (const input of request.inputs) {
      if (this.#isCanceled({ generation })) return outcomeOf({ promptTokens }, "canceled");
      const tokens = this.#tokensOf(input, inputs.length);
      const length = context.calculateInputLength(tokens);
      checkRoom(length, inputs.length, request, room.context);
      promptTokens += length;
      inputs.push(tokens);
      looked += input.length;
      if (looked < AT_ONCE) continue;
      looked = 0;
      await nextTurn();
    }
    generation.begin?.(promptTokens);
    const settled = Promise.withResolvers<GenerateOutcome>();
    this.#jobs.push({ generation, inputs, promptTokens, settled, done: 0 });
    this.#driver ??= this.#drive(context);
    return settled.promise;
  }

  async dispose(): Promise<void> {
    await this.#driver;
    const context = await this.#context?.catch(() => undefined);
    await context?.dispose();
  }

  async #open(): Promise<LlamaEmbeddingContext> {
    const { model, room, threads, log, stopping } = this.#parts;
    try {
      return await model.createEmbeddingContext({
        // The binding wants room for one token more than there are.
        contextSize: room.context + 1,
        batchSize: room.batchSize,
        threads,
        // The plan has decided, and the allocation is the judge.
        ignoreMemorySafetyChecks: true,
        createSignal: stopping,
      });
    } catch (error) {
      // Memory that is short now may be free later.
      this.#context = undefined;
      throw await log.failure(`Room for embeddings of ${room.context} tokens could not be made`, error);
    }
  }

  #tokensOf(input: string | readonly number[], index: number): Token[] {
    const { model, tokenizer } = this.#parts;
    const { tokens: all } = model.fileInfo.metadata.tokenizer.ggml;
    if (typeof input !== "string") return [...checkTokens(input, index, all.length)] as Token[];
    // A special token in a user's text is only text.
    const tokens = tokenizer.tokensOf(input, false);
    if (tokens.length > 0) return tokens;
    const { bos, eos, nl } = model.tokens;
    const start = bos ?? eos ?? nl;
    if (start === null) throw new EngineFailure("model_error", `input[${index}] has no token that this model knows.`);
    return [start];
  }

  /** There is one driver at a time, and none while there is nothing to do. */
  async #drive(context: LlamaEmbeddingContext): Promise<void> {
    for (;;) {
      this.#settleCanceled();
      const job = this.#jobs.shift();
      if (job === undefined) break;
      await this.#advance(job, context);
    }
    this.#driver = undefined;
  }

  #settleCanceled(): void {
    const canceled = this.#jobs.filter((job) => this.#isCanceled(job));
    if (canceled.length === 0) return;
    this.#jobs = this.#jobs.filter((job) => !canceled.includes(job));
    for (const job of canceled) job.settled.resolve(outcomeOf(job, "canceled"));
  }

  #isCanceled({ generation }: Pick<Job, "generation">): boolean {
    return generation.signal.aborted || this.#parts.stopping.aborted;
  }

  async #advance(job: Job, context: LlamaEmbeddingContext): Promise<void> {
    try {
      const vector = await this.#vectorOf(job.inputs[job.done]!, context);
      this.#progress++;
      job.done++;
      // A vector that came out while it was being canceled is not told.
      if (!this.#isCanceled(job)) job.generation.emit({ kind: "embedding", vector }, 0);
    } catch (error) {
      return job.settled.reject(error);
    }
    if (job.done < job.inputs.length || this.#isCanceled(job)) this.#jobs.push(job);
    else job.settled.resolve(outcomeOf(job, "stop"));
  }

  async #vectorOf(tokens: Token[], context: LlamaEmbeddingContext): Promise<string> {
    const { model, log } = this.#parts;
    const decoded = inTurn(model.llama, () => context.getEmbeddingFor(tokens));
    const { vector } = await decoded.catch(async (error: unknown) => {
      throw await log.failure("The model failed while it made a vector", error);
    });
    checkVector(vector);
    try {
      return unitVector(vector);
    } catch (error) {
      throw new NoVector("its vector has no direction", { cause: error });
    }
  }
}

function outcomeOf(
  { promptTokens }: Pick<Job, "promptTokens">,
  finishReason: GenerateOutcome["finishReason"],
): GenerateOutcome {
  return { finishReason, promptTokens, completionTokens: 0, cachedTokens: 0 };
}
