/**
 * A server that runs already: vLLM, SGLang, TGI, llama-server, Ollama, TensorRT-LLM, another ALT_LAS, or whatever else speaks OpenAI's
 * protocol for completions. Their differences are in openai/, one file for each.
 *
 * Failures there (openai/refusals.ts says who is to blame):
 *  1. It has no room (429, 503): `gpu_full`, for as long as its `Retry-After` says. That is no failure.
 *  2. It refuses the task itself (another 4xx): the task fails, with the server's words.
 *  3. It breaks off, is too slow, answers with nonsense or with a 5xx: `gpu_lost`, and the task is tried elsewhere.
 *  4. It is closed to all tasks (401, 403, 404), cannot be reached, or failed several times in a row and can do nothing at all any more
 *     (breaker.ts): the breaker opens. `gone` resolves, and this engine is over. Its instance is faulted and opens it anew
 *     after pauses that grow; it serves again only when it has generated a token, in `load` and in the instance's own check: that is the
 *     half-open probe.
 */
import { randomUUID } from "node:crypto";
import { EngineFailure } from "../failures.ts";
import { limited, type Request } from "../../request.ts";
import { Breaker } from "../upstream/breaker.ts";
import {
  type DeviceMemory,
  type Engine,
  type EngineEnd,
  type EngineInfo,
  type EngineOptions,
  type GenerateOutcome,
  type Generation,
  type UpstreamFigures,
  PROOF,
  proofUntil,
} from "../engine.ts";
import { plausibleLoad } from "../upstream/figures.ts";
import { plainUrl } from "./address.ts";
import { Answer } from "./answer.ts";
import { PLAIN } from "./completions.ts";
import { type About, type Dialect, type Figures, type Order, SAYS_NOTHING } from "./dialect.ts";
import { identify, unusable } from "./identify.ts";
import { LoadWatch } from "./load-watch.ts";
import { type Blame, blameFor, isAboutLength } from "./refusals.ts";
import { roomBehind } from "../answer-length.ts";
import { sentenceOf, Upstream, UpstreamError } from "../upstream/upstream.ts";

/** Seconds that its figures are behind, where its dialect says nothing else. */
const FIGURES_LAG = 2;

/** The status with which a server says that it has no room now. */
const NO_ROOM = 503;

/** Its figures, for sentences. */
const WORDS_FOR = {
  running: "running requests",
  waiting: "waiting requests",
  kvCacheUse: "KV cache",
  slots: "requests at once",
} as const;

export class OpenAiEngine implements Engine {
  readonly #options: EngineOptions;
  readonly #upstream: Upstream;
  /** The server, for sentences. */
  #name: string;
  readonly #where: string;
  #dialect: Dialect = PLAIN;
  #model = "";
  #about: About = SAYS_NOTHING;
  #watch: LoadWatch | null = null;
  readonly #runs = new Set<AbortController>();
  readonly #gone = Promise.withResolvers<EngineEnd>();
  readonly #breaker = new Breaker(() => this.#prove());
  #over = false;
  #stopped = false;
  #progress = 0;
  /** Kinds of figures that were doubted. */
  readonly #doubts = new Set<string>();

  /** @param options `upstream` is set, to an address in which `faultOfUrl` finds no fault */
  constructor(options: EngineOptions) {
    const { url, apiKey } = options.upstream!;
    this.#options = options;
    this.#where = plainUrl(url);
    this.#name = `The server at ${this.#where}`;
    const headers: Record<string, string> = apiKey === null ? {} : { authorization: `Bearer ${apiKey}` };
    this.#upstream = new Upstream({ url: this.#where, socketPath: null, headers }, options.patience);
  }

  get progress(): number {
    return this.#progress;
  }

  get upstream(): UpstreamFigures | null {
    return this.#watch?.figures ?? null;
  }

  get gone(): Promise<EngineEnd> {
    return this.#gone.promise;
  }

  async load(): Promise<EngineInfo> {
    const wanted = this.#wanted;
    const { dialect, model } = await identify(this.#upstream, wanted);
    this.#dialect = dialect;
    if (dialect.separatesStreams === true) this.#upstream.separateStreams();
    this.#model = model.id;
    this.#about = await dialect.about(this.#upstream, model);
    this.#name = `${dialect.name} at ${this.#where}`;
    await this.#prove();
    const { figures, figuresLag = FIGURES_LAG } = dialect;
    if (figures !== undefined)
      this.#watch = new LoadWatch(
        () => this.#readLoad(figures),
        figuresLag,
        () => void this.#lookForIt(),
      );
    this.#watch?.start();
    return this.#info();
  }

  async generate(generation: Generation): Promise<GenerateOutcome> {
    const answer = this.#answerTo(generation);
    if (generation.signal.aborted || this.#stopped) return answer.canceled();
    if (this.#over) throw this.#lost(new UpstreamError(null, "it is not asked any more"));
    const run = new AbortController();
    const cancel = (): void => run.abort();
    generation.signal.addEventListener("abort", cancel, { once: true });
    this.#runs.add(run);
    this.#watch?.count(this.#runs.size);
    try {
      return await this.#run(generation.request, answer, run.signal);
    } finally {
      generation.signal.removeEventListener("abort", cancel);
      this.#runs.delete(run);
      this.#watch?.count(this.#runs.size);
    }
  }

  async deviceMemory(): Promise<DeviceMemory | null> {
    return null;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#watch?.stop();
    for (const run of this.#runs) run.abort();
    await this.#upstream.close();
  }

  /** Has it generate a token: a list of models says nothing about whether they can be used. */
  async #prove(): Promise<void> {
    const { signal } = new AbortController();
    const answer = new Answer(proofUntil(signal));
    try {
      await this.#ask(this.#order(PROOF), answer, signal);
      answer.outcome();
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      const blame = blameFor(error, this.#dialect);
      // One that has no room works.
      if (blame === "full") return;
      throw blame === "task" ? this.#refusal("a task of one token", error) : unusable(error, this.#wanted);
    }
  }

  #answerTo(generation: Generation): Answer {
    return new Answer(generation, {
      context: this.#about.context,
      progress: () => this.#progress++,
      doubt: (what) => this.#doubt(what),
    });
  }

  async #readLoad(figures: NonNullable<Dialect["figures"]>): Promise<Figures | null> {
    const told = await figures(this.#upstream);
    if (told === null) return null;
    const plausible = plausibleLoad(told);
    for (const key of ["running", "waiting", "kvCacheUse", "slots"] as const)
      if (plausible[key] !== told[key]) this.#doubt(`${told[key]} for its ${WORDS_FOR[key]}`);
    return plausible;
  }

  /** Says once of each kind what the server tells and cannot be true; it goes into the log with what the worker writes. */
  #doubt(what: string): void {
    const kind = what.replace(/^\S+ /, "");
    if (this.#doubts.has(kind)) return;
    this.#doubts.add(kind);
    console.error(`${this.#name} tells what cannot be true, and is not counted: ${what}.`);
  }

  get #wanted(): { where: string; model: string; hasKey: boolean } {
    return { where: this.#where, model: this.#options.model, hasKey: this.#options.upstream!.apiKey !== null };
  }

  #info(): EngineInfo {
    const { version, context, slots } = this.#about;
    const fewer = slots !== null && slots < this.#options.slots;
    return {
      model: this.#model,
      modelName: this.#model,
      capabilities: ["completion"],
      honours: [],
      hasChatTemplate: null,
      context,
      slots: fewer ? slots : this.#options.slots,
      memoryNote: null,
      memory: null,
      kvBytesPerToken: 0,
      maxTokenBytes: Number.MAX_SAFE_INTEGER,
      devices: [],
      device: `${this.#dialect.name}${version === null ? "" : ` ${version}`} at ${this.#where}`,
      backend: "openai",
      settings: fewer ? [{ name: "slots", value: slots, reason: "the server has no more" }] : [],
    };
  }

  async #run(request: Request, answer: Answer, signal: AbortSignal): Promise<GenerateOutcome> {
    const order = this.#order(request);
    try {
      await this.#askWithinContext(order, answer, signal);
      const outcome = answer.outcome();
      this.#breaker.succeeded();
      return outcome;
    } catch (error) {
      if (!signal.aborted) throw error instanceof UpstreamError ? this.#failed(error) : error;
      this.#abort(order);
      return answer.canceled();
    }
  }

  #order(request: Request): Order {
    const { context } = this.#about;
    const most = context === null ? Infinity : Math.max(1, context - 1);
    return { id: randomUUID(), model: this.#model, request: limited(request, most) };
  }

  /**
   * Many servers refuse a task whose answer might not fit, where we want one that ends where the context does.
   * @param mayShorten whether it may be asked for again, with as many tokens as there is room for
   */
  async #askWithinContext(order: Order, answer: Answer, signal: AbortSignal, mayShorten = true): Promise<void> {
    try {
      await this.#ask(order, answer, signal);
    } catch (error) {
      if (!(error instanceof UpstreamError) || signal.aborted) throw error;
      if (blameFor(error, this.#dialect) !== "task" || !isAboutLength(error.words)) throw error;
      const room = mayShorten ? await this.#roomFor(order) : null;
      const { request } = order;
      if (room === null || room >= request.sampling.maxTokens) throw tooLong(error.words);
      await this.#askWithinContext({ ...order, request: limited(request, room) }, answer, signal, false);
    }
  }

  /** Tokens that an answer can have; null: not known. @throws {EngineFailure} `prompt_too_long` when there are none */
  async #roomFor(order: Order): Promise<number | null> {
    const { context } = this.#about;
    const tokens = context === null ? null : ((await this.#dialect.countTokens?.(this.#upstream, order)) ?? null);
    return context === null || tokens === null ? null : roomBehind(tokens, context);
  }

  /** Resolves when the answer is complete, whatever the connection does then. */
  async #ask(order: Order, answer: Answer, signal: AbortSignal): Promise<void> {
    const { path, body, read, waits } = this.#dialect.ask(order);
    const complete = Promise.withResolvers<void>();
    const enough = new AbortController();
    let ended = false;
    const onData = (data: string, event: string | undefined): boolean | void => {
      if (ended) return false;
      const isWork = read(answer, data, event);
      ended = answer.isCut || isEnd(data, event);
      if (ended) complete.resolve();
      if (answer.isCut) enough.abort();
      return isWork;
    };
    const options = {
      signal: AbortSignal.any([signal, enough.signal]),
      onData,
      isComplete: () => answer.isComplete,
    };
    try {
      await Promise.race([this.#upstream.stream(path, body, options), complete.promise]);
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      if (answer.isComplete) return;
      if (!(error.isLate && waits?.() === true)) throw error;
      throw new UpstreamError(NO_ROOM, `the task still waits there after ${this.#options.patience.firstByte} s`);
    }
    if (answer.isCut) this.#abort(order);
  }

  /** Whether it hears that is its own affair: its connection is closed. */
  #abort(order: Order): void {
    void this.#dialect.abort?.(this.#upstream, order).catch(() => {});
  }

  /** The meaning of a failure for the task, and for this engine. */
  #failed(error: UpstreamError): EngineFailure {
    const blame = blameFor(error, this.#dialect);
    this.#count(blame, error);
    switch (blame) {
      case "full":
        return new EngineFailure("gpu_full", `${this.#name} has no room now: ${sentenceOf(error.message)}`, {
          ...(error.retryAfter !== undefined && { retryAfter: error.retryAfter }),
        });
      case "task":
        return this.#refusal("the task", error);
      default:
        return this.#lost(error);
    }
  }

  #refusal(what: string, error: UpstreamError): EngineFailure {
    return new EngineFailure("model_error", `${this.#name} refused ${what}: ${sentenceOf(error.message)}`);
  }

  #lost(error: UpstreamError): EngineFailure {
    return new EngineFailure("gpu_lost", `${this.#name} failed: ${sentenceOf(error.message)}`);
  }

  #count(blame: Blame, error: UpstreamError): void {
    if (blame === "task") this.#breaker.succeeded();
    const said = sentenceOf(error.message);
    // A cut connection may be the only sign of a server that has died.
    if (blame === "server" && error.status === null) void this.#lookForIt();
    if (blame === "closed") this.#open(`${this.#name} takes no tasks any more: ${said}`);
    else if (error.unreached) this.#open(`${this.#name} cannot be reached: ${said}`);
    else if (blame === "server") void this.#countFailure(said);
  }

  async #countFailure(said: string): Promise<void> {
    const broken = await this.#breaker.failed(said);
    if (broken !== null && !this.#stopped) this.#open(`${this.#name} ${broken}`);
  }

  /** A server that is gone is found out before the next task tries in vain. */
  async #lookForIt(): Promise<void> {
    const error = await this.#upstream.ask("GET", "/v1/models").catch((reason: unknown) => reason);
    if (error instanceof UpstreamError && error.unreached && !this.#stopped)
      this.#open(`${this.#name} cannot be reached: ${sentenceOf(error.message)}`);
  }

  /** Opens the breaker. */
  #open(sentence: string): void {
    this.#over = true;
    this.#gone.resolve({ sentence, crashed: false });
  }
}

function isEnd(data: string, event: string | undefined): boolean {
  return data.trim() === "[DONE]" || event === "completed";
}

function tooLong(words: string): EngineFailure {
  return new EngineFailure("prompt_too_long", sentenceOf(words[0]!.toUpperCase() + words.slice(1)));
}
