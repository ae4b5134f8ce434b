/** Asks one server for texts and vectors, in its dialect. */
import { randomUUID } from "node:crypto";
import { type EmbeddingRequest, limited, type TextRequest, TO_THE_END } from "../../request.ts";
import { roomBehind } from "../answer-length.ts";
import { type GenerateOutcome, type Generation, PROOF_OF, proofUntil } from "../engine.ts";
import { EngineFailure } from "../failures.ts";
import { answerForms } from "../forms/answer-forms.ts";
import { formOf } from "../forms/questions.ts";
import { sentenceOf, type Upstream, UpstreamError } from "../upstream/upstream.ts";
import { Answer, type AnswerOptions } from "./answer.ts";
import type { About, Dialect, Order } from "./dialect.ts";
import { EmbeddingsRoute } from "./embeddings.ts";
import { questionFor } from "./questions.ts";
import { blameFor, isAboutLength } from "./refusals.ts";
import type { Route } from "./routes.ts";

/** The status with which a server says that it has no room now. */
const NO_ROOM = 503;

/** The marks that many models put around their reasoning, where the server leaves it in the text. */
const THINKING = { open: "<think>", close: "</think>" };
const NONE: readonly string[] = [];

export const CANCELED: GenerateOutcome = {
  finishReason: "canceled",
  promptTokens: null,
  completionTokens: 0,
  cachedTokens: null,
};

/** The server and the model that are asked, and how. */
export interface AskedServer {
  /** For sentences. */
  readonly name: string;
  readonly dialect: Dialect;
  readonly model: string;
  readonly about: About;
  /** Seconds until it has to begin an answer. */
  readonly firstByte: number;
}

export class Asker {
  readonly #upstream: Upstream;
  readonly #served: AskedServer;
  readonly #embeddings: EmbeddingsRoute;

  constructor(upstream: Upstream, served: AskedServer) {
    this.#upstream = upstream;
    this.#served = served;
    this.#embeddings = new EmbeddingsRoute(upstream);
  }

  /**
   * @throws {UpstreamError} it went wrong
   * @throws {EngineFailure} it did so for a reason that is the task's own; `invalid_input`: a schema cannot be compiled
   */
  async generate(request: TextRequest, generation: Generation, options: AnswerOptions): Promise<GenerateOutcome> {
    const { signal } = generation;
    const marks = request.kind === "chat" ? THINKING : null;
    const shape = { stop: request.sampling.stop ?? NONE, marks };
    const answer = new Answer({ ...generation, request }, { ...options, shape });
    let order = this.#order(request);
    try {
      const { harmless } = this.#served.dialect;
      if (harmless !== undefined) order = { ...order, request: await harmless(this.#upstream, order.request) };
      const form = this.#formFor(order);
      const grammar = form === null ? null : await answerForms.gbnfOf(form, signal, generation.by);
      if (signal.aborted) return answer.canceled();
      await this.#askWithinContext(grammar === null ? order : { ...order, grammar }, answer, signal);
      return answer.outcome();
    } catch (error) {
      if (!signal.aborted && !this.#upstream.isClosed) throw error;
      this.#abort(order);
      return answer.canceled();
    }
  }

  /** The form of which a grammar is sent; null: none is. */
  #formFor({ request }: Order): ReturnType<typeof formOf> {
    const { grammars = NONE } = this.#served.dialect.extras.can;
    return grammars.includes(request.kind) ? formOf(request, null) : null;
  }

  /** @throws as `generate` */
  async embed(request: EmbeddingRequest, generation: Generation, options: AnswerOptions): Promise<GenerateOutcome> {
    try {
      const asked = { ...generation, request, model: this.#served.model };
      return await this.#embeddings.embed(asked, options);
    } catch (error) {
      if (generation.signal.aborted || this.#upstream.isClosed) return CANCELED;
      throw error instanceof UpstreamError && this.#isTooLong(error) ? tooLong(error.words) : error;
    }
  }

  /** Has it answer the smallest request by a route. @throws {UpstreamError} it does not */
  async prove(route: Route): Promise<void> {
    const generation = proofUntil(new AbortController().signal, PROOF_OF[route]);
    const { request, signal } = generation;
    if (request.kind === "embedding") {
      await this.#embeddings.embed({ ...generation, request, model: this.#served.model }, {});
      return;
    }
    const answer = new Answer(generation);
    await this.#ask(this.#order(request), answer, signal);
    answer.outcome();
  }

  #order(request: TextRequest): Order {
    const { context } = this.#served.about;
    const most = context === null ? Infinity : Math.max(1, context - 1);
    const isEndless = this.#isEndless(request);
    return {
      id: randomUUID(),
      model: this.#served.model,
      request: isEndless ? request : limited(request, most),
      about: this.#served.about,
    };
  }

  /** Whether an answer may go on to the end of the context, and the server can be told so. */
  #isEndless({ kind, sampling }: TextRequest): boolean {
    return sampling.maxTokens === TO_THE_END && this.#served.dialect.extras.endless[kind] !== undefined;
  }

  /**
   * Many servers refuse a task whose answer might not fit, where we want one that ends where the context does.
   * @param mayShorten whether it may be asked for again, with as many tokens as there is room for
   */
  async #askWithinContext(order: Order, answer: Answer, signal: AbortSignal, mayShorten = true): Promise<void> {
    try {
      await this.#ask(order, answer, signal);
    } catch (error) {
      if (!(error instanceof UpstreamError) || signal.aborted || !this.#isTooLong(error)) throw error;
      const shorter = mayShorten ? await this.#shortened(order) : null;
      if (shorter === null) throw this.#tooLong(order, error);
      await this.#askWithinContext(shorter, answer, signal, false);
    }
  }

  #isTooLong(error: UpstreamError): boolean {
    return blameFor(error, this.#served.dialect) === "task" && isAboutLength(error.words);
  }

  /** For as many tokens as there is room for, which are fewer than were asked for; null: it would be the same. */
  async #shortened(order: Order): Promise<Order | null> {
    const { request } = order;
    const room = await this.#roomFor(order);
    if (room !== null) return room < request.sampling.maxTokens ? { ...order, request: limited(request, room) } : null;
    const endless = { ...request, sampling: { ...request.sampling, maxTokens: TO_THE_END } };
    const helps = request.kind === "chat" && !this.#isEndless(request) && this.#isEndless(endless);
    return helps ? { ...order, request: endless } : null;
  }

  #tooLong({ request }: Order, { words }: UpstreamError): EngineFailure {
    if (request.sampling.maxTokens !== TO_THE_END || this.#isEndless(request)) return tooLong(words);
    const what = `has to be told how long an answer may be (max_length, max_tokens)`;
    return new EngineFailure("unsupported", `${this.#served.name} ${what}: ${sentenceOf(words)}`);
  }

  /** Tokens that an answer can have; null: not known. @throws {EngineFailure} `prompt_too_long` when there are none */
  async #roomFor(order: Order): Promise<number | null> {
    const { context } = this.#served.about;
    const tokens =
      context === null ? null : ((await this.#served.dialect.countTokens?.(this.#upstream, order)) ?? null);
    return context === null || tokens === null ? null : roomBehind(tokens, context);
  }

  /** Resolves when the answer is complete, whatever the connection does then. */
  async #ask(order: Order, answer: Answer, signal: AbortSignal): Promise<void> {
    const { ask, extras } = this.#served.dialect;
    const { path, body, read, waits } = ask?.(order) ?? questionFor(order, extras);
    let hasEnded = false;
    try {
      await this.#upstream.stream(path, body, {
        signal,
        onData: (data, event) => {
          const isWork = read(answer, data, event);
          hasEnded = isEnd(data, event);
          return isWork;
        },
        isComplete: () => answer.isComplete,
        enough: () => (answer.isCut ? "cut" : hasEnded ? "ended" : null),
      });
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      if (answer.isComplete) return;
      if (!(error.isLate && waits?.() === true)) throw error;
      throw new UpstreamError(NO_ROOM, `the task still waits there after ${this.#served.firstByte} s`);
    }
    if (answer.isCut) this.#abort(order);
  }

  /** Whether it hears that is its own affair: its connection is closed. */
  #abort(order: Order): void {
    void this.#served.dialect.abort?.(this.#upstream, order).catch(() => {});
  }
}

function isEnd(data: string, event: string | undefined): boolean {
  return data.trim() === "[DONE]" || event === "completed";
}

function tooLong(words: string): EngineFailure {
  return new EngineFailure("prompt_too_long", sentenceOf(words[0]!.toUpperCase() + words.slice(1)));
}
