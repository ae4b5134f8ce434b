/**
 * A server that runs already: vLLM, SGLang, TGI, llama-server, Ollama, TensorRT-LLM, another ALT_LAS, or whatever else speaks OpenAI's
 * protocol for completions. Their differences are in openai/, one file for each.
 *
 * Failures there (openai/refusals.ts says who is to blame):
 *  1. It has no room (429, 503): `gpu_full`, for as long as its `Retry-After` says. That is no failure.
 *  2. It refuses the task itself (another 4xx), or cannot do what it asks for (501, or 404 of a route that has never answered): the task
 *     fails, with the server's words.
 *  3. It breaks off, is too slow, answers with nonsense or with a 5xx: `gpu_lost`, and the task is tried elsewhere.
 *  4. It is closed to all tasks (401, 403, 404), cannot be reached, or failed several times in a row and can do nothing at all any more
 *     (breaker.ts): the breaker opens. `gone` resolves, and this engine is over. Its instance is faulted and opens it anew
 *     after pauses that grow; it serves again only when it has generated a token, in `load` and in the instance's own check: that is the
 *     half-open probe.
 */
import { EngineFailure } from "../failures.ts";
import type { Capability, CompletionRequest, Request } from "../../request.ts";
import { Breaker } from "../upstream/breaker.ts";
import type {
  DeviceMemory,
  Engine,
  EngineEnd,
  EngineInfo,
  EngineOptions,
  GenerateOutcome,
  Generation,
  UpstreamFigures,
} from "../engine.ts";
import { plausibleLoad } from "../upstream/figures.ts";
import { plainUrl } from "./address.ts";
import type { AnswerOptions } from "./answer.ts";
import { abilitiesBy } from "./answer-fields.ts";
import { Asker, CANCELED } from "./asker.ts";
import { type About, type Dialect, type Figures, SAYS_NOTHING } from "./dialect.ts";
import { identify, unusable } from "./identify.ts";
import { LoadWatch } from "./load-watch.ts";
import { PLAIN } from "./plain.ts";
import { type Blame, blameFor, fieldRefused } from "./refusals.ts";
import { cannot, MISSING, type Route, ROUTES, Routes } from "./routes.ts";
import { sentenceOf, Upstream, UpstreamError } from "../upstream/upstream.ts";

/** Seconds that its figures are behind, where its dialect says nothing else. */
const FIGURES_LAG = 2;

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
  readonly #routes = new Routes();
  #asker: Asker;
  #watch: LoadWatch | null = null;
  /** Tasks that it works on. */
  #running = 0;
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
    this.#asker = this.#newAsker();
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
    this.#name = `${dialect.name} at ${this.#where}`;
    const learn = async (): Promise<void> => {
      this.#about = await dialect.about(this.#upstream, model);
      this.#asker = this.#newAsker();
    };
    await learn();
    await this.#findRoutes(learn);
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

  #newAsker(): Asker {
    const [name, dialect, model, about] = [this.#name, this.#dialect, this.#model, this.#about];
    return new Asker(this.#upstream, { name, dialect, model, about, firstByte: this.#options.patience.firstByte });
  }

  async generate(generation: Generation): Promise<GenerateOutcome> {
    if (generation.signal.aborted || this.#stopped) return CANCELED;
    if (this.#over) throw this.#lost(new UpstreamError(null, "it is not asked any more"));
    this.#watch?.count(++this.#running);
    try {
      return await this.#run(this.#asked(generation));
    } finally {
      this.#watch?.count(--this.#running);
    }
  }

  async deviceMemory(): Promise<DeviceMemory | null> {
    return null;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#watch?.stop();
    // The tasks that it works on are canceled with that.
    await this.#upstream.close();
  }

  /**
   * A list of models says nothing about what they can be used for: each route is tried, unless the server tells them.
   * @param learn asks it about its model again
   */
  async #findRoutes(learn: () => Promise<void>): Promise<void> {
    let failure: UpstreamError | null = null;
    const refusals: string[] = [];
    for (const route of ROUTES) {
      const { capabilities: told, isUnloaded = false } = this.#about;
      if (told?.includes(route) === false) continue;
      // One that answers proves the server. A model that takes longer to load than an answer may would do so at each route.
      const isTold = (told !== undefined || isUnloaded) && !this.#routes.isEmpty;
      const error = isTold ? null : await this.#try(route);
      if (isTold) this.#routes.add(route, false);
      else if (isUnloaded) await learn();
      if (error === null) continue;
      // A server that cannot be reached, or hangs, would do so again.
      if (error.unreached || (error.status === null && this.#routes.isEmpty)) throw this.#unproved(error);
      failure ??= error;
      // Most servers make no embeddings, and say so in many ways.
      if (route !== "embedding" && !MISSING.has(error.status))
        refusals.push(`${cannot(route)}: ${sentenceOf(error.message)}`);
    }
    if (this.#routes.isEmpty) throw this.#unproved(failure!);
    for (const refusal of refusals) console.error(`${this.#name} ${refusal}`);
  }

  /** @returns why it cannot be asked by this route; null: it can */
  async #try(route: Route): Promise<UpstreamError | null> {
    try {
      await this.#asker.prove(route);
      this.#routes.add(route, true);
    } catch (error) {
      // A model that is loaded for a task may turn out not to be for that.
      if (error instanceof EngineFailure && error.code === "unsupported") return new UpstreamError(501, error.message);
      if (!(error instanceof UpstreamError)) throw error;
      // One that has no room works.
      if (blameFor(error, this.#dialect) !== "full") return error;
      this.#routes.add(route, false);
    }
    return null;
  }

  /** Has it answer the smallest request. */
  async #prove(): Promise<void> {
    const error = await this.#try(this.#routes.first);
    if (error !== null) throw this.#unproved(error);
  }

  #unproved(error: UpstreamError): EngineFailure {
    const isRefusal = blameFor(error, this.#dialect) === "task";
    return isRefusal ? this.#refusal("refused a task of one token", error) : unusable(error, this.#wanted);
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
      capabilities: this.#capabilities(),
      honours: this.#about.honours ?? this.#dialect.extras.honours,
      hasChatTemplate: this.#about.hasChatTemplate ?? null,
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

  #capabilities(): readonly Capability[] {
    const { capabilities: told, lacks = [] } = this.#about;
    const abilities = abilitiesBy(this.#dialect.extras.can, (route) => this.#routes.has(route));
    const known = abilities.filter((ability) => told?.includes(ability) !== false && !lacks.includes(ability));
    return [...this.#routes.capabilities(this.#options.raw), ...known];
  }

  /** A text that is to be a user's message becomes a chat, if the model has a template for it. */
  #asked(generation: Generation): Generation {
    const { request } = generation;
    if (request.kind !== "completion" || !this.#isMessage(request)) return generation;
    const { kind: _, text, raw: __, ...rest } = request;
    return { ...generation, request: { ...rest, kind: "chat", messages: [{ role: "user", content: text }] } };
  }

  #isMessage({ raw }: CompletionRequest): boolean {
    if (this.#about.hasChatTemplate === false) return false;
    // Only who has asked for it is told that there is no such route.
    return raw === undefined ? !this.#options.raw && this.#routes.has("chat") : !raw;
  }

  async #run(generation: Generation): Promise<GenerateOutcome> {
    const { request } = generation;
    const route = request.kind;
    if (!this.#routes.has(route)) throw this.#unsupported(cannot(route));
    try {
      const outcome =
        request.kind === "embedding"
          ? await this.#asker.embed(request, generation, this.#answerOptions)
          : await this.#asker.generate(request, generation, this.#answerOptions);
      if (outcome.finishReason !== "canceled") this.#succeeded(route);
      return outcome;
    } catch (error) {
      throw error instanceof UpstreamError ? this.#failed(request, error) : error;
    }
  }

  #succeeded(route: Route): void {
    this.#breaker.succeeded();
    this.#routes.add(route, true);
  }

  get #answerOptions(): AnswerOptions {
    return {
      context: this.#about.context,
      progress: () => this.#progress++,
      doubt: (what) => this.#doubt(what),
    };
  }

  /** The meaning of a failure for the task, and for this engine. */
  #failed(request: Request, error: UpstreamError): EngineFailure {
    const route = request.kind;
    if (this.#routes.lacks(route, error.status))
      return this.#unsupported(`${cannot(route)}: ${sentenceOf(error.message)}`);
    const blame = blameFor(error, this.#dialect);
    this.#count(blame, error);
    switch (blame) {
      case "full":
        return new EngineFailure("gpu_full", `${this.#name} has no room now: ${sentenceOf(error.message)}`, {
          ...(error.retryAfter !== undefined && { retryAfter: error.retryAfter }),
        });
      case "task": {
        const field = fieldRefused(request, error.words);
        if (field === null) return this.#refusal("refused the task", error);
        return this.#unsupported(`cannot do what ${field} asks for: ${sentenceOf(error.message)}`);
      }
      case "unsupported":
        return this.#unsupported(`cannot do what the task asks for: ${sentenceOf(error.message)}`);
      default:
        return this.#lost(error);
    }
  }

  #refusal(what: string, error: UpstreamError): EngineFailure {
    return new EngineFailure("model_error", `${this.#name} ${what}: ${sentenceOf(error.message)}`);
  }

  /** @param what behind its name */
  #unsupported(what: string): EngineFailure {
    return new EngineFailure("unsupported", sentenceOf(`${this.#name} ${what}`));
  }

  #lost(error: UpstreamError): EngineFailure {
    return new EngineFailure("gpu_lost", `${this.#name} failed: ${sentenceOf(error.message)}`);
  }

  #count(blame: Blame, error: UpstreamError): void {
    if (blame === "task" || blame === "unsupported") this.#breaker.succeeded();
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
