/**
 * Pretends to generate text: no model, no GPU, exact counts. Made for tests and for measuring everything around an engine.
 *
 * A prompt, or an input to turn into a vector, has one token for every 4 bytes, begun ones included. A task gets exactly `min(max_length, context - prompt tokens)` tokens,
 * each a word that depends on the prompt and its position only, and ends with `length`; or it ends at a stop sequence. How its tokens are to
 * be drawn is taken and changes nothing. Slots don't slow each other down.
 *
 * The failure script (`SimulatedFailure`): `load_error` makes `load` fail. The others happen to a task on the named GPU whose prompt
 * contains the given text, once it has generated `after_tokens` tokens; a task that ends before that is spared. After a `stall` no task
 * of this engine gets on or ends any more, not even by being canceled, and `stop` waits in vain: only the end of the process helps.
 * So too after a `crash` or a `hang`, where the worker that these befall is not this process (`SimulatedFaults`).
 * A task that is to `ignore_cancel` may have another failure too.
 */
import { unitVector } from "../../common/vectors.ts";
import { setTimeout as sleep } from "node:timers/promises";
import { EngineFailure } from "../failures.ts";
import { answerForms } from "../forms/answer-forms.ts";
import type { Said, Sayable } from "../forms/questions.ts";
import { type EmbeddingRequest, SAMPLING_NAMES, type TextRequest } from "../../request.ts";
import {
  type DeviceMemory,
  type Engine,
  type EngineInfo,
  type EngineOptions,
  type GenerateOutcome,
  type Generation,
  SIMULATED_CAPABILITIES,
  type SimulatedFailure,
  type SimulatedFaults,
} from "../engine.ts";
import { type MemoryPlan, planMemory } from "../memory-plan.ts";
import { Answer } from "./answer.ts";
import { errorOf, OF_THIS_PROCESS } from "./faults.ts";
import { outcomeOf, type Plan, planOf, promptTokensOf } from "./plan.ts";
import { BYTES_PER_TOKEN } from "./source.ts";
import { sayableOf, seedOf } from "./speech.ts";

/** Numbers of an embedding. */
const DIMENSIONS = 16;

/** Milliseconds between two ticks at least: what is due within them is told together, as the sequences of one step of a GPU are. */
const TICK_MS = 4;
/** Steps in which a load tells how far it is. */
const LOAD_PARTS = 10;

/** One task that is generating at a limited speed. */
interface Run {
  readonly generation: Generation;
  readonly plan: Plan;
  /** Time of the first look, in milliseconds of `performance.now()`. */
  readonly startedAt: number;
  readonly settled: PromiseWithResolvers<GenerateOutcome>;
  readonly answer: Answer;
  generated: number;
}

export class SimulatedEngine implements Engine {
  readonly followsGrammars = true;
  readonly #options: EngineOptions;
  readonly #gpuId: number;
  readonly #faults: SimulatedFaults;
  /** The failures that may happen to a task here. */
  readonly #script: readonly SimulatedFailure[];
  readonly #stopping = new AbortController();
  readonly #runs = new Set<Run>();
  #timer: NodeJS.Timeout | undefined;
  #progress = 0;
  #stalled = false;

  constructor(options: EngineOptions, gpuId: number, faults: SimulatedFaults = OF_THIS_PROCESS) {
    this.#options = options;
    this.#gpuId = gpuId;
    this.#script = options.simulated.failures.filter((one) => one.kind !== "load_error" && this.#isHere(one));
    this.#faults = faults;
  }

  async load(told?: (share: number) => void): Promise<EngineInfo> {
    const { load_seconds: seconds, failures, models = [] } = this.#options.simulated;
    const parts = seconds > 0 ? LOAD_PARTS : 0;
    for (let part = 0; part < parts; part++) {
      told?.(part / parts);
      await this.#wait(seconds / parts);
    }
    if (failures.some((failure) => failure.kind === "load_error" && this.#isHere(failure))) {
      throw new EngineFailure(
        "model_error",
        `The simulated model of GPU ${this.#gpuId} is set to fail when it is loaded.`,
      );
    }
    const { context, slots, memory, note } = await this.#planMemory();
    const { name = "simulated", capabilities = SIMULATED_CAPABILITIES } =
      models.find((model) => this.#isHere(model)) ?? {};
    return {
      model: "simulated",
      modelName: name,
      capabilities,
      honours: Object.values(SAMPLING_NAMES),
      hasChatTemplate: capabilities.includes("chat"),
      context,
      slots,
      memory,
      memoryNote: note,
      kvBytesPerToken: 0,
      maxTokenBytes: BYTES_PER_TOKEN,
      devices: [],
      device: `simulated GPU ${this.#gpuId}`,
      backend: "simulated",
      settings: [],
    };
  }

  async generate(generation: Generation): Promise<GenerateOutcome> {
    const { request, signal } = generation;
    const sayable = sayableOf(request);
    const said = sayable === null ? null : await this.#said(sayable, generation);
    const plan = planOf(request, this.#context, this.#script, said);
    generation.begin?.(plan.promptTokens);
    if (this.#stalled) return forever();
    if (this.#isCanceled(generation, plan)) return outcomeOf(plan, 0, "canceled");
    if (request.kind === "embedding") return this.#embed(request, generation, plan);
    if (this.#options.simulated.tokens_per_second === 0) return this.#finishAtOnce(generation, plan);
    const settled = Promise.withResolvers<GenerateOutcome>();
    const answer = new Answer(generation, plan.source);
    const run: Run = { generation, plan, startedAt: performance.now(), settled, answer, generated: 0 };
    const stopOnAbort = () => {
      if (run.generated < plan.deafAfter) this.#end(run, "canceled");
    };
    signal.addEventListener("abort", stopOnAbort, { once: true });
    this.#runs.add(run);
    this.#schedule();
    return run.settled.promise.finally(() => signal.removeEventListener("abort", stopOnAbort));
  }

  async countTokens(request: TextRequest): Promise<number> {
    return promptTokensOf(request);
  }

  /** null: it is canceled. @throws {EngineFailure} `invalid_input`: the form asked for cannot be had */
  #said(what: Sayable, { request, signal, by }: Generation): Promise<Said | null> {
    const room = request.kind === "embedding" ? 0 : Math.min(request.sampling.maxTokens, this.#context);
    const stopped = AbortSignal.any([signal, this.#stopping.signal]);
    return answerForms.said({ what, seed: seedOf(request), most: room * BYTES_PER_TOKEN }, stopped, by);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    if (this.#stalled) return forever();
    for (const run of this.#runs) this.#end(run, "canceled");
    clearTimeout(this.#timer);
  }

  get progress(): number {
    return this.#progress;
  }

  async deviceMemory(): Promise<DeviceMemory | null> {
    return null;
  }

  get #context(): number {
    return this.#options.context ?? this.#options.simulated.context;
  }

  /** Only its weights take memory, so fewer tokens or slots gain nothing: it fits or it does not. */
  #planMemory(): Promise<MemoryPlan> {
    const { memoryBudget: budget, measuredOverhead, minContext, slots, simulated } = this.#options;
    return planMemory({
      what: "The simulated model",
      weights: simulated.memory_bytes,
      rest: () => ({ kvCache: 0, overhead: measuredOverhead ?? 0 }),
      budget,
      context: this.#context,
      minContext,
      slots,
      kvCacheTypes: ["f16"],
    });
  }

  async #wait(seconds: number): Promise<void> {
    await sleep(seconds * 1000, undefined, { signal: this.#stopping.signal }).catch((error: unknown) => {
      throw new EngineFailure("model_error", "The simulated model was stopped while it was loaded.", { cause: error });
    });
  }

  #isCanceled({ signal }: Generation, { deafAfter }: Plan): boolean {
    return (signal.aborted && deafAfter > 0) || this.#stopping.signal.aborted;
  }

  #isHere({ gpu_id: gpuId = this.#gpuId }: { readonly gpu_id?: number }): boolean {
    return gpuId === this.#gpuId;
  }

  /** One timer for all slots: a timer for each would cost more than the work it announces. */
  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#stalled || this.#runs.size === 0) return;
    const next = Math.min(...[...this.#runs].map((run) => this.#nextAt(run)));
    this.#timer = setTimeout(() => this.#tick(), Math.max(TICK_MS, Math.ceil(next - performance.now())));
  }

  /** When the run's next token is due, in milliseconds of `performance.now()`. */
  #nextAt({ startedAt, generated, plan }: Run): number {
    const due = Math.min(generated + 1, plan.tokens);
    return startedAt + (due * 1000) / this.#options.simulated.tokens_per_second;
  }

  /** Emits what is due by the clock, so that a late timer slows nothing down. */
  #tick(): void {
    const now = performance.now();
    for (const run of this.#runs) {
      if (this.#stalled) return;
      const earned = Math.floor(((now - run.startedAt) / 1000) * this.#options.simulated.tokens_per_second);
      const due = Math.min(earned, run.plan.tokens);
      const isStopped = due > run.generated && this.#emit(run, due);
      if (isStopped) this.#end(run, "stop");
      else if (due === run.plan.tokens) this.#endAsPlanned(run);
    }
    this.#schedule();
  }

  /** @returns whether a stop sequence has ended it */
  #emit(run: Run, due: number): boolean {
    try {
      return this.#tell(run, due);
    } catch (error) {
      // The listener's failure is its own task's, not its neighbours'.
      this.#runs.delete(run);
      run.settled.reject(error);
      return false;
    }
  }

  /** Emits the tokens up to `due`, one by one where a stop sequence may end them. @returns whether one has */
  #tell(run: Pick<Run, "plan" | "answer" | "generated">, due: number): boolean {
    while (run.generated < due) {
      const from = run.generated;
      run.generated = run.answer.isSlow ? from + 1 : due;
      this.#progress += run.generated - from;
      if (run.answer.tell(from, run.generated)) return true;
    }
    return false;
  }

  #endAsPlanned(run: Run): void {
    const { plan, generated } = run;
    if (plan.failure === undefined) return this.#end(run, plan.ending);
    if (this.#stalled || !this.#runs.delete(run)) return;
    if (!this.#stops(plan.failure)) run.settled.reject(errorOf(plan.failure, generated));
  }

  #end(run: Run, reason: GenerateOutcome["finishReason"]): void {
    if (this.#stalled || !this.#runs.delete(run)) return;
    const { plan, generated, answer } = run;
    answer.end();
    run.settled.resolve(outcomeOf(plan, generated, reason));
  }

  /** Whether a failure leaves nothing that gets on: only the end of the worker helps then. */
  #stops({ kind }: SimulatedFailure): boolean {
    if (kind !== "stall" && kind !== "crash" && kind !== "hang") return false;
    this.#stalled = true;
    if (kind !== "stall") this.#faults[kind]();
    return true;
  }

  #embed({ inputs }: EmbeddingRequest, { emit }: Generation, plan: Plan): GenerateOutcome {
    if (plan.failure !== undefined) throw errorOf(plan.failure, 0);
    for (const input of inputs) emit({ kind: "embedding", vector: vectorOf(input) }, 0);
    this.#progress++;
    return outcomeOf(plan, 0, "stop");
  }

  async #finishAtOnce(generation: Generation, plan: Plan): Promise<GenerateOutcome> {
    const run = { plan, answer: new Answer(generation, plan.source), generated: 0 };
    const isStopped = this.#tell(run, plan.tokens);
    if (isStopped || plan.failure === undefined) {
      run.answer.end();
      return outcomeOf(plan, run.generated, isStopped ? "stop" : plan.ending);
    }
    if (this.#stops(plan.failure)) return forever();
    throw errorOf(plan.failure, plan.tokens);
  }
}

function forever(): Promise<never> {
  return new Promise(() => {});
}

/** Alike for inputs that are made of the same characters, or tokens. */
function vectorOf(input: string | readonly number[]): string {
  const values = Array.from({ length: DIMENSIONS }, () => 1);
  const numbers = typeof input === "string" ? Buffer.from(input) : input;
  for (const number of numbers) values[number % DIMENSIONS]! += 1;
  return unitVector(values);
}
