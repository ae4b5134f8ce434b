/**
 * A llama.cpp server that this engine starts itself, as a child on a private socket, and that it speaks to in its native protocol. The
 * server decodes all its slots together, and keeps in each what it has had.
 *
 * Failures there:
 *  1. It has no room (429, 503): `gpu_full`. As nobody else can use it, it hardly ever says so: who comes too early waits for a slot.
 *  2. It answers with another error: the task fails, with the server's words.
 *  3. It breaks off, is too slow, or makes no sense: `gpu_lost`, and the task is tried elsewhere.
 *  4. Its process has ended, or does not answer any more, or has failed several times in a row and can do nothing at all any more
 *     (breaker.ts): `gone` resolves, and this engine is over.
 *  5. It computes nonsense (NaN): as 4, at once. Its cache may spoil every task then.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { limited, type Request, type TextRequest } from "../../request.ts";
import { EngineFailure } from "../failures.ts";
import { UserTokens } from "../llama/user-tokens.ts";
import { Breaker } from "../upstream/breaker.ts";
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
import { argumentsFor, type Command, environmentFor } from "./command.ts";
import { bodyFor, Completion, DEAD_END, NONSENSE, tokensIn } from "./completion.ts";
import { lastWordsIn } from "./complaints.ts";
import { cutting } from "./cut-texts.ts";
import { describe, NO_MEMORY, prepare, untilReady } from "./launch.ts";
import { embed, type EmbeddingsParts, NO_DIRECTION } from "./embeddings.ts";
import { PlainText } from "./plain-text.ts";
import { privateAddress, type ServerEnd, ServerProcess } from "./process.ts";
import { frameOf, type Tokenize, type Tokenizing } from "./frame.ts";
import { Prompts } from "./prompt.ts";
import { sentenceOf, Upstream, UpstreamError } from "../upstream/upstream.ts";

/** Seconds at most that it may take for what costs it nothing; it says that it lives between two steps. */
const SIGN_OF_LIFE = 10;

const VECTORS_ALONE = "This model makes embeddings; it generates no text.";
const NO_VECTORS = "This model generates text; llama-server makes no embeddings beside it.";

/** Of a task that was canceled before the server had counted its tokens. */
const NEVER_ASKED: GenerateOutcome = {
  finishReason: "canceled",
  promptTokens: null,
  completionTokens: 0,
  cachedTokens: null,
};

/** A server that has loaded its model. */
interface Running {
  readonly upstream: Upstream;
  readonly info: EngineInfo & { readonly context: number };
  readonly prompts: Prompts;
  readonly embeddings: EmbeddingsParts;
}

export class LlamaServerEngine implements Engine {
  readonly #options: EngineOptions;
  readonly #stopping = new AbortController();
  readonly #gone = Promise.withResolvers<EngineEnd>();
  readonly #runs = new Set<AbortController>();
  readonly #breaker = new Breaker(() => this.#prove());
  #process: ServerProcess | undefined;
  #loading: Promise<Running> | undefined;
  #running: Running | undefined;
  #over: EngineEnd | undefined;
  #look: Promise<void> | undefined;
  /** It lived, but did not answer any more. */
  #hangs = false;
  #progress = 0;

  constructor(options: EngineOptions) {
    this.#options = options;
  }

  get progress(): number {
    return this.#progress;
  }

  get gone(): Promise<EngineEnd> {
    return this.#gone.promise;
  }

  get serverPid(): number | null {
    return this.#process?.pid ?? null;
  }

  async load(): Promise<EngineInfo> {
    this.#loading ??= this.#start();
    const { info } = await this.#loading;
    return info;
  }

  async generate(generation: Generation): Promise<GenerateOutcome> {
    const running = this.#opened();
    const run = new AbortController();
    const cancel = (): void => run.abort();
    if (generation.signal.aborted) cancel();
    generation.signal.addEventListener("abort", cancel, { once: true });
    this.#runs.add(run);
    try {
      const outcome = await this.#run(running, generation, run.signal);
      if (outcome.finishReason !== "canceled") this.#breaker.succeeded();
      return outcome;
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      if (run.signal.aborted) return NEVER_ASKED;
      throw await this.#failed(error, generation.request);
    } finally {
      generation.signal.removeEventListener("abort", cancel);
      this.#runs.delete(run);
    }
  }

  async deviceMemory(): Promise<DeviceMemory | null> {
    return null;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const run of this.#runs) run.abort();
    this.#process?.kill();
    await this.#loading?.catch(() => undefined);
    await this.#running?.upstream.close();
    await this.#process?.ended;
  }

  async #start(): Promise<Running> {
    const options = this.#options;
    const prepared = await prepare(options, this.#stopping.signal);
    const address = await privateAddress();
    const key = randomBytes(16).toString("hex");
    const command = { ...prepared, options, address };
    const server = new ServerProcess(prepared.program, argumentsFor(command), {
      environment: environmentFor(process.env, key),
      directory: address.directory,
    });
    this.#process = server;
    // A stop that came before this moment had nothing to kill.
    if (this.#stopping.signal.aborted) server.kill();
    void server.ended.then((end) => this.#onEnd(end));
    const upstream = new Upstream({ ...address, headers: { authorization: `Bearer ${key}` } }, options.patience);
    upstream.separateStreams(prepared.plan.slots);
    try {
      await untilReady(server, upstream, options);
      const running = await this.#ready(upstream, command);
      await this.#proveLoaded(running);
      this.#running = running;
      return running;
    } catch (error) {
      server.kill();
      await Promise.all([upstream.close(), server.ended]);
      throw error;
    }
  }

  async #ready(upstream: Upstream, command: Command): Promise<Running> {
    const { header, chat, options } = command;
    const info = await describe(upstream, command);
    const { context } = info;
    const asked: Tokenize = (text, how) => this.#tokenize(upstream, text, how);
    const gotOn = (): void => void this.#progress++;
    const vocabulary = header.insights.ggufFileInfo.metadata.tokenizer.ggml.tokens.length;
    const frame = frameOf(header, asked);
    const userTokens = new UserTokens(header);
    const tokenize = cutting(asked, { userTokens, frame, context });
    const embeddings = { upstream, tokenize, frame, context, vocabulary, gotOn };
    const { template } = chat;
    const plain = new PlainText(header, userTokens);
    const prompts = new Prompts({ plain, template, raw: options.raw, context, tokenize, frame });
    return { upstream, info, prompts, embeddings };
  }

  /** That it has loaded a model does not mean that it can compute with it. */
  async #proveLoaded(running: Running): Promise<void> {
    const { signal } = this.#stopping;
    try {
      await this.#run(running, proofUntil(signal, proofFor(running.info)), signal);
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      const code = isNonsense(error) ? "model_error" : "gpu_lost";
      const asked = running.info.capabilities.includes("completion") ? "one token" : "one vector";
      throw new EngineFailure(code, `llama-server failed when it was asked for ${asked}: ${sentenceOf(error.words)}`);
    }
  }

  #opened(): Running {
    if (this.#over !== undefined) throw new EngineFailure("gpu_lost", this.#over.sentence);
    if (this.#running === undefined) throw new EngineFailure("model_error", "The model is not loaded.");
    return this.#running;
  }

  async #run({ upstream, info, prompts, embeddings }: Running, generation: Generation, signal: AbortSignal) {
    const { request } = generation;
    const embeds = info.capabilities.includes("embedding");
    if (embeds !== (request.kind === "embedding"))
      throw new EngineFailure("unsupported", embeds ? VECTORS_ALONE : NO_VECTORS);
    if (request.kind === "embedding") return embed(request, generation, signal, embeddings);
    const order = await prompts.of(request, { ...generation, signal });
    const completion = new Completion(order, info.context, generation);
    // A stop sequence, or a call of a tool, ends the answer before the server knows; closing the connection frees the slot, after the step that is going on.
    const { stop, tools } = order.shape;
    const enough = stop.length > 0 || tools?.parallel === false ? new AbortController() : null;
    const onData = (data: string): void => {
      this.#progress++;
      completion.read(data);
      if (completion.isComplete) enough?.abort();
    };
    const options = {
      signal: enough === null ? signal : AbortSignal.any([signal, enough.signal]),
      onData,
      isComplete: () => completion.isComplete,
    };
    try {
      if (!signal.aborted) await upstream.stream("/completion", bodyFor(order), options);
    } catch (error) {
      // After its end, errors of the connection do not matter.
      if (!signal.aborted && !completion.isComplete) throw error;
    }
    return signal.aborted ? completion.canceled() : completion.outcome();
  }

  async countTokens(request: TextRequest): Promise<number> {
    return this.#opened().prompts.count(request);
  }

  async #tokenize(upstream: Upstream, text: string, { isWhole, special }: Tokenizing): Promise<readonly number[]> {
    const body = { content: text, add_special: isWhole, parse_special: special };
    const timeout = Math.min(SIGN_OF_LIFE, this.#options.patience.firstByte);
    return tokensIn(await upstream.ask("POST", "/tokenize", body, { timeout }), upstream);
  }

  // --- what goes wrong -------------------------------------------------------------------------------------------

  /** The meaning of a failure for the task; when the server is gone, that is told first. */
  async #failed(error: UpstreamError, request: Request): Promise<EngineFailure> {
    const { status, words, retryAfter } = error;
    const said = sentenceOf(words);
    if (words === DEAD_END && request.kind !== "embedding") return this.#deadEnd(said, request);
    if (status === 429 || status === 503) {
      const options = retryAfter === undefined ? {} : { retryAfter };
      return new EngineFailure("gpu_full", `llama-server has no room now: ${said}`, options);
    }
    if (isNonsense(error)) {
      this.#end({ sentence: `llama-server failed: ${said}`, crashed: false, nonsense: true });
      return new EngineFailure("gpu_lost", this.#over!.sentence);
    }
    const isRefusal = status !== null && status >= 400;
    if (!isRefusal || status >= 500) await this.#count(said);
    if (!isRefusal) return new EngineFailure("gpu_lost", this.#over?.sentence ?? `llama-server failed: ${said}`);
    const [field] = heldBy(request);
    if (field !== undefined && /grammar|schema/i.test(words))
      return new EngineFailure("unsupported", `llama-server cannot do what ${field} asks for: ${said}`);
    const code = NO_MEMORY.test(words) ? "out_of_memory" : "model_error";
    return new EngineFailure(code, `llama-server refused the task: ${said}`);
  }

  /** A grammar that leaves no token looks like NaN: without one, the same prompt shows which it was. */
  async #deadEnd(said: string, request: TextRequest): Promise<EngineFailure> {
    const { signal } = this.#stopping;
    const generation = proofUntil(signal, limited(withoutForm(request), 1));
    const error = await this.#run(this.#running!, generation, signal).catch((reason: unknown) => reason);
    if (error instanceof UpstreamError) return this.#failed(error, generation.request);
    return new EngineFailure("model_error", `llama-server failed: ${said}`);
  }

  /** All that fails at once counts as one failure. */
  async #count(said: string): Promise<void> {
    if (this.#look === undefined) {
      this.#look = this.#lookAfter().finally(() => (this.#look = undefined));
      void this.#countFailure(said);
    }
    await this.#look;
  }

  async #countFailure(said: string): Promise<void> {
    const broken = await this.#breaker.failed(said);
    if (broken !== null) this.#end({ sentence: `llama-server ${broken}`, crashed: false });
  }

  /** Has it generate a token, or make a vector. */
  #prove(): Promise<GenerateOutcome> {
    const { signal } = this.#stopping;
    return this.#run(this.#running!, proofUntil(signal, proofFor(this.#running!.info)), signal);
  }

  /** Resolves when its process has said that it lives, or is gone. */
  async #lookAfter(): Promise<void> {
    const { ended } = this.#process!;
    const milliseconds = Math.min(SIGN_OF_LIFE, this.#options.patience.token) * 1000;
    const tooLate = AbortSignal.timeout(milliseconds);
    // Of its pages this one is made where it computes.
    const alive = this.#running!.upstream.ask("GET", "/slots", undefined, { signal: tooLate }).then(
      () => true,
      () => false,
    );
    const dead = ended.then(() => false);
    if (await Promise.race([alive, dead])) return;
    // One that cannot be reached is ending, and says itself how.
    if (!tooLate.aborted) await Promise.race([ended, pause(milliseconds)]);
    this.#hangs = !this.#process!.hasEnded;
    this.#process!.kill();
    await ended;
  }

  #onEnd({ how, words }: ServerEnd): void {
    // An end before the model has loaded is told by `load`.
    if (this.#stopping.signal.aborted || this.#running === undefined) return;
    const what = this.#hangs ? "did not answer any more and was killed" : `ended (${how})`;
    const last = lastWordsIn(words);
    const said = last === "" ? "" : ` It last said: ${last}.`;
    this.#end({ sentence: `The llama-server process ${what}.${said}`, crashed: true });
  }

  #end(end: EngineEnd): void {
    this.#over ??= end;
    this.#gone.resolve(this.#over);
  }
}

function isNonsense({ words }: UpstreamError): boolean {
  return words === NONSENSE || words === NO_DIRECTION;
}

/** For which no grammar is sent. */
function withoutForm(request: TextRequest): TextRequest {
  const { format: _, ...rest } = request;
  if (rest.kind !== "chat") return rest;
  const { tools: __, ...chat } = rest;
  return chat;
}

/** The fields for which an answer is held to a grammar. */
function heldBy(request: Request): readonly string[] {
  if (request.kind === "embedding") return [];
  const hasTools = request.kind === "chat" && request.tools !== undefined;
  return [...(request.format === undefined ? [] : ["response_format"]), ...(hasTools ? ["tool_choice"] : [])];
}
