/**
 * Generates with llama.cpp, all slots in lock step.
 *
 * One step decodes one batch: one token for each task that is generating, and a piece of the prompt of each task that has just
 * come. Every sequence's `next()` is called in the same tick and all are awaited together, because node-llama-cpp's own batching,
 * left to itself, splits the batches and lets a newcomer wait until the others have ended. Between two steps tasks come and go: one
 * that is canceled during a step leaves at the end of it, and what it would have got in that step is not told.
 *
 * A batch asks for one result a task at most, and has the slots in order (see `inSlotOrder`): so a prompt's last token waits for the
 * step after the rest of it. Otherwise llama.cpp would have to put results in order, which is not safe here. It also makes a text
 * depend less on what ran beside it.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { TextDecoder } from "node:util";
import { type EvaluationPriority, type LlamaContextSequence, type Token } from "node-llama-cpp";
import { AltLasError } from "../errors.ts";
import {
  type DeviceMemory,
  type Engine,
  type EngineInfo,
  type EngineOptions,
  type GenerateOutcome,
  type GenerateRequest,
} from "./engine.ts";
import { closeModel, openModel, type OpenModel } from "./llama-model.ts";

/** llama.cpp's defaults. */
const SAMPLING = { topK: 40, topP: 0.95, minP: 0.05 };

/** Room for one run: the context's sequence of the same number. */
interface Slot {
  readonly index: number;
  sequence: LlamaContextSequence;
}

/** One call of `generate`, from its arrival until its slot is free again. */
interface Run {
  readonly request: GenerateRequest;
  readonly prompt: Token[];
  /** Tokens to generate at most: what was asked for, or what the context has room for. */
  readonly limit: number;
  readonly settled: PromiseWithResolvers<GenerateOutcome>;
  readonly text: TextDecoder;
  /** Set while the run holds a slot. */
  slot: Slot | undefined;
  /** Set once the whole prompt has been given to the model. */
  tokens: AsyncGenerator<Token, void> | undefined;
  /** Prompt tokens given to the model so far. */
  fed: number;
  generated: number;
  end: GenerateOutcome["finishReason"] | { readonly error: unknown } | undefined;
}

/** What one run does in one step. */
interface Move {
  readonly run: Run;
  /** Prompt tokens to decode; 0 once there are none left. */
  readonly promptTokens: number;
}

export class LlamaEngine implements Engine {
  /** Steps so far, and the tokens they generated: their ratio is how full the batches were. */
  readonly stats = { steps: 0, tokens: 0 };
  readonly #options: EngineOptions;
  readonly #stopping = new AbortController();
  #opening: Promise<OpenModel> | undefined;
  #open: OpenModel | undefined;
  /** The slots without a run. */
  #free: Slot[] = [];
  #waiting: Run[] = [];
  #active: Run[] = [];
  #driver: Promise<void> | undefined;
  #progress = 0;
  #closed: Promise<void> | undefined;

  constructor(options: EngineOptions) {
    this.#options = options;
  }

  /** One for each task and step that it got on in. */
  get progress(): number {
    return this.#progress;
  }

  async deviceMemory(): Promise<DeviceMemory | null> {
    const llama = this.#open?.llama;
    if (llama === undefined || llama.gpu === false) return null;
    const { total, used, free } = await llama.getVramState();
    return total > 0 ? { total, used, free } : null;
  }

  async load(): Promise<EngineInfo> {
    this.#opening ??= openModel(this.#options, this.#stopping.signal);
    this.#open ??= this.#ready(await this.#opening);
    return this.#open.info;
  }

  async generate(request: GenerateRequest): Promise<GenerateOutcome> {
    const { context } = this.#opened().info;
    const prompt = this.#tokenize(request.text);
    const room = context - prompt.length;
    if (room < 1) {
      const sentence = `The prompt has ${prompt.length} tokens, which leaves no room in a context of ${context} tokens.`;
      throw new AltLasError("prompt_too_long", sentence);
    }
    request.begin?.(prompt.length);
    const run: Run = {
      request,
      prompt,
      limit: Math.min(request.maxLength, room),
      settled: Promise.withResolvers(),
      text: new TextDecoder("utf-8", { ignoreBOM: true }),
      slot: undefined,
      tokens: undefined,
      fed: 0,
      generated: 0,
      end: undefined,
    };
    this.#waiting.push(run);
    // A failure of the driver itself means that a slot is lost: it is left unhandled, so that the process ends.
    this.#driver ??= this.#drive();
    return run.settled.promise;
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
    // Taken once and kept, the context's sequences have the slots' numbers.
    for (let index = 0; index < open.info.slots; index++) this.#free.push({ index, sequence: newSequence(open) });
    return open;
  }

  #opened(): OpenModel {
    if (this.#open === undefined) throw new AltLasError("model_error", "The model is not loaded.");
    return this.#open;
  }

  #tokenize(text: string): Token[] {
    const { model } = this.#opened();
    // What looks like a special token in a user's text is only text.
    const tokens = model.tokenize(text, false);
    const { bos, eos, nl, shouldPrependBosToken } = model.tokens;
    if (bos !== null && shouldPrependBosToken) tokens.unshift(bos);
    if (tokens.length > 0) return tokens;
    const start = bos ?? eos ?? nl;
    if (start === null) throw new AltLasError("model_error", "The prompt has no token that this model knows.");
    return [start];
  }

  /** Runs steps until no task is left. There is one driver at a time, and none while nothing runs. */
  async #drive(): Promise<void> {
    // Lets all the calls of this tick arrive, so that the first batch has all of them.
    await Promise.resolve();
    for (;;) {
      this.#admit();
      if (this.#active.length === 0) break;
      await this.#step();
      await this.#retire();
    }
    this.#driver = undefined;
  }

  #admit(): void {
    for (const run of this.#waiting) if (this.#isCanceled(run)) run.settled.resolve(outcomeOf(run, "canceled"));
    this.#waiting = this.#waiting.filter((run) => !this.#isCanceled(run));
    // The lowest first: sequences whose numbers follow each other are decoded together.
    this.#free.sort((a, b) => a.index - b.index);
    while (this.#waiting.length > 0 && this.#free.length > 0) {
      const run = this.#waiting.shift()!;
      run.slot = this.#free.shift();
      this.#active.push(run);
    }
  }

  async #step(): Promise<void> {
    const moves = planStep(this.#active, this.#opened().context.batchSize);
    const tokens = await Promise.all(moves.map((move) => this.#advance(move)));
    this.stats.steps++;
    for (const [index, { run }] of moves.entries()) this.#accept(run, tokens[index]);
  }

  /** Decodes what the move says. Resolves with the token that came out, if the run is far enough for one. */
  async #advance({ run, promptTokens }: Move): Promise<Token | undefined> {
    const { index, sequence } = run.slot!;
    // Not a priority: what `inSlotOrder` sorts by.
    const options = { evaluationPriority: index as EvaluationPriority };
    try {
      if (promptTokens > 0) {
        const piece = run.prompt.slice(run.fed, run.fed + promptTokens);
        run.fed += promptTokens;
        if (remaining(run) > 0) {
          await sequence.evaluateWithoutGeneratingNewTokens(piece, options);
          this.#progress++;
          return undefined;
        }
        run.tokens = sequence.evaluate(piece, { ...options, ...samplingOf(run.request.temperature) });
      }
      const { value, done } = await run.tokens!.next();
      this.#progress++;
      if (done === true) run.end = "stop";
      return value ?? undefined;
    } catch (error) {
      run.end = { error: await this.#opened().log.failure("The model failed while generating", error) };
      return undefined;
    }
  }

  #accept(run: Run, token: Token | undefined): void {
    if (this.#isCanceled(run)) return;
    try {
      if (token !== undefined) this.#emit(run, token);
      if (run.end === "stop" || run.end === "length") flush(run);
    } catch (error) {
      // The listener's failure is its own task's, not its neighbours'.
      run.end = { error };
    }
  }

  #emit(run: Run, token: Token): void {
    run.generated++;
    this.stats.tokens++;
    if (run.generated === run.limit) run.end = "length";
    // The decoder keeps back the bytes of a character that is not whole yet.
    run.request.emit(run.text.decode(this.#opened().vocabulary.bytesOf(token), { stream: true }), 1);
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
    if (typeof end === "object") {
      // After a failed decode the sequence may think it is empty while llama.cpp still holds some of its tokens. All the other
      // sequences are taken, so the new one has the same number.
      await slot!.sequence.dispose();
      slot!.sequence = newSequence(this.#opened());
    } else {
      await slot!.sequence.clearHistory();
    }
    this.#free.push(slot!);
  }

  #isCanceled(run: Run): boolean {
    return run.request.signal.aborted || this.#stopping.signal.aborted;
  }
}

/**
 * Who decodes how much in the next step. Whoever has its whole prompt, or all but its last token, decodes one token. What is left of
 * the batch is dealt evenly to the other prompts, the shortest remainder first: so a newcomer with a short prompt never waits for a
 * long one, and a long one always moves.
 */
function planStep(runs: readonly Run[], batchSize: number): Move[] {
  const moves = runs.filter((run) => remaining(run) <= 1).map((run) => ({ run, promptTokens: remaining(run) }));
  const prompts = runs.filter((run) => remaining(run) > 1).toSorted((a, b) => remaining(a) - remaining(b));
  let left = batchSize - moves.length;
  for (const [index, run] of prompts.entries()) {
    const promptTokens = Math.min(remaining(run) - 1, Math.floor(left / (prompts.length - index)));
    left -= promptTokens;
    moves.push({ run, promptTokens });
  }
  return moves;
}

/** Prompt tokens that the model has not been given yet. */
function remaining(run: Run): number {
  return run.prompt.length - run.fed;
}

function samplingOf(temperature: number) {
  if (temperature === 0) return { temperature };
  return { ...SAMPLING, temperature, seed: Math.floor(Math.random() * 2 ** 32) };
}

/** Emits the bytes of a last character that never became whole. */
function flush(run: Run): void {
  const rest = run.text.decode();
  if (rest !== "") run.request.emit(rest, 0);
}

function newSequence({ context }: OpenModel): LlamaContextSequence {
  // Nothing is ever rewound, so the models that would need copies of their state for that need none.
  return context.getSequence({ checkpoints: { interval: false } });
}

function settle(run: Run): void {
  if (typeof run.end === "object") run.settled.reject(run.end.error);
  else run.settled.resolve(outcomeOf(run, run.end!));
}

function outcomeOf(run: Run, finishReason: GenerateOutcome["finishReason"]): GenerateOutcome {
  return { finishReason, promptTokens: run.prompt.length, completionTokens: run.generated, cachedTokens: 0 };
}
