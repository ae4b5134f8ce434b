/**
 * A GPU of the lab: tasks in slots, each with work left, at speeds that depend on how many slots are in use. Between two starts or ends the
 * speeds do not change, so that the next end is known.
 */
import type { Chain } from "../request.ts";
import type { Task } from "../task.ts";
import { at, type GpuSpeed } from "./speed.ts";
import { PREFIX_TOKENS, type TraceRequest } from "./trace.ts";

/** A task that runs. Times are milliseconds of the lab's clock. @typeParam T what tasks are called */
export interface Run<T = Task> {
  readonly task: T;
  readonly request: TraceRequest;
  /** The place of its model among those of the GPU. */
  readonly model: number;
  readonly startedAt: number;
  readonly cachedTokens: number;
  /** Seconds before its first work, then tokens of its prompt, then of its answer. */
  delay: number;
  prompt: number;
  output: number;
  /** Tokens of its answer after which its first one was there. */
  readonly first: number;
  firstAt: number | null;
}

/** A model on a GPU, as far as its speed goes. */
export interface MachineModel {
  readonly speed: GpuSpeed;
  /** Each has a cache of its own. */
  readonly slots: number;
}

/** The speeds of a model by the slots of the GPU in use, whichever models use the others. */
interface Speeds extends MachineModel {
  readonly prompt: Float64Array | null;
  readonly generation: Float64Array;
}

export class Machine<T = Task> {
  readonly slots: number;
  /** Of its first model. */
  readonly speed: GpuSpeed;
  readonly runs: Run<T>[] = [];
  /** Tasks that were given to it while all its slots were in use, as a server takes them that has a queue of its own. */
  readonly #waiting: Given<T>[] = [];
  readonly #models: readonly Speeds[];
  /** By model, the prompts that free slots had last, the longest free first. */
  #kept: Chain[][];
  /** Until when the work left was counted, in milliseconds. */
  #at = 0;
  /** The run that ends next, and when. */
  #next: Run<T> | null = null;
  #nextAt = Infinity;
  /** Milliseconds of all slots in use together. */
  #used = 0;

  /** @param slots tasks of all models together */
  constructor(speed: GpuSpeed, slots: number, models: readonly MachineModel[] = [{ speed, slots }]) {
    this.slots = slots;
    this.speed = models[0]!.speed;
    this.#models = models.map((one) => ({
      speed: one.speed,
      slots: one.slots,
      prompt: one.speed.prompt === null ? null : at(one.speed.prompt, slots),
      generation: at(one.speed.generation, slots),
    }));
    this.#kept = models.map(() => []);
  }

  /** When the next run ends, unless another one starts before; Infinity: nothing runs. */
  get nextAt(): number {
    return this.#nextAt;
  }

  /** Milliseconds in which slots were in use, of all together. */
  get used(): number {
    return this.#used;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Starts a task, or lets it wait for a slot. @param model its place among those of the GPU */
  give(task: T, request: TraceRequest, now: number, model = 0): void {
    const given = { task, request, model };
    if (this.runs.length < this.slots) this.#start(given, now);
    else this.#waiting.push(given);
  }

  /** Takes out the run that has ended. */
  end(): Run<T> {
    const run = this.#next!;
    const now = this.#nextAt;
    this.#advance(now);
    run.firstAt ??= now;
    this.runs.splice(this.runs.indexOf(run), 1);
    if (this.#models[run.model]!.speed.keepsPrompts) this.#kept[run.model]!.push(run.request.prefix);
    const next = this.#waiting.shift();
    if (next === undefined) this.#plan();
    else this.#start(next, now);
    return run;
  }

  /** Takes out a run before its end. @returns undefined: it does not run */
  stop(task: T, now: number): Run<T> | undefined {
    this.#advance(now);
    const place = this.runs.findIndex((run) => run.task === task);
    const [run] = place === -1 ? [] : this.runs.splice(place, 1);
    this.#plan();
    return run;
  }

  /** Another one that goes on from here. */
  copy(): Machine<T> {
    const copy = new Machine<T>(this.speed, this.slots, this.#models);
    for (const run of this.runs) copy.runs.push({ ...run });
    copy.#waiting.push(...this.#waiting);
    copy.#kept = this.#kept.map((chains) => [...chains]);
    copy.#at = this.#at;
    copy.#used = this.#used;
    copy.#plan();
    return copy;
  }

  /** Whether whatever is given to either takes as long, as far as can be told by looking: both are equal, empty, and have kept nothing. */
  isLike(other: Machine<T>): boolean {
    const hasKept = (one: Machine<T>): boolean => one.#kept.flat().some(({ length }) => length > 0);
    const isNew = (one: Machine<T>): boolean => one.runs.length === 0 && !hasKept(one);
    return this.speed === other.speed && this.slots === other.slots && isNew(this) && isNew(other);
  }

  /** When each run ends at the soonest, in milliseconds: as if nothing else started, where that could only slow it down. */
  soonestEnds(): { readonly task: T; readonly end: number }[] {
    if (this.runs.length === 0) return [];
    if (
      this.#models.every(({ prompt, generation }) => isFalling(generation) && (prompt === null || isFalling(prompt)))
    ) {
      const alone = this.copy();
      return this.runs.map(() => ({ end: alone.nextAt, task: alone.end().task }));
    }
    return this.runs.map(({ task, model, delay, prompt, output }) => {
      const speeds = this.#models[model]!;
      const ofPrompt = speeds.prompt === null ? 0 : prompt / Math.max(...speeds.prompt);
      return { task, end: this.#at + 1000 * (delay + ofPrompt + output / Math.max(...speeds.generation)) };
    });
  }

  /** A model was unloaded: its caches are empty. */
  forget(model: number): void {
    this.#kept[model] = [];
  }

  /** Seconds of work for one slot that it has yet to do, as only somebody can know who knows the lengths. */
  secondsLeft(): number {
    let seconds = 0;
    for (const run of this.runs) seconds += this.#secondsOf(run.model, run.prompt, run.output);
    for (const { request, model } of this.#waiting)
      seconds += this.#secondsOf(model, request.promptTokens, request.outputTokens);
    return seconds;
  }

  #secondsOf(model: number, prompt: number, output: number): number {
    const speeds = this.#models[model]!;
    const ofPrompt = speeds.prompt === null ? 0 : prompt / speeds.prompt[this.slots]!;
    return ofPrompt + output / speeds.generation[this.slots]!;
  }

  #start({ task, request, model }: Given<T>, now: number): void {
    this.#advance(now);
    const { keepsPrompts, startSeconds: delay } = this.#models[model]!.speed;
    const cachedTokens = keepsPrompts ? this.#reuse(request, model) : 0;
    const prompt = request.promptTokens - cachedTokens;
    const output = request.outputTokens;
    const first = Math.max(0, output - 1);
    this.runs.push({ task, request, model, startedAt: now, cachedTokens, delay, prompt, output, first, firstAt: null });
    this.#plan();
  }

  /** Picks the free slot with most of a prompt, else the one that was free for longest. @returns the tokens that it has */
  #reuse({ prefix, promptTokens }: TraceRequest, model: number): number {
    let best = -1;
    let most = 0;
    const chains = this.#kept[model]!;
    for (const [place, kept] of chains.entries()) {
      let common = most;
      while (common < prefix.length && kept[common] === prefix[common]) common++;
      if (common > most) [best, most] = [place, common];
    }
    if (best !== -1) chains.splice(best, 1);
    else if (chains.length + this.#running(model) >= this.#models[model]!.slots) chains.shift();
    // The last token has to be computed to know what follows.
    return Math.min(most * PREFIX_TOKENS, Math.max(0, promptTokens - 1));
  }

  #running(model: number): number {
    if (this.#models.length === 1) return this.runs.length;
    return this.runs.reduce((sum, run) => (run.model === model ? sum + 1 : sum), 0);
  }

  /** Does the work up to a time. */
  #advance(now: number): void {
    const seconds = (now - this.#at) / 1000;
    const inUse = this.runs.length;
    this.#used += (now - this.#at) * inUse;
    if (seconds > 0)
      for (const run of this.runs) {
        const { prompt, generation } = this.#models[run.model]!;
        this.#work(run, seconds, prompt === null ? Infinity : prompt[inUse]!, generation[inUse]!);
      }
    this.#at = now;
  }

  #work(run: Run<T>, seconds: number, prompt: number, generation: number): void {
    const delay = Math.min(run.delay, seconds);
    run.delay -= delay;
    const onPrompt = Math.min(run.prompt / prompt, seconds - delay);
    run.prompt = prompt === Infinity ? 0 : Math.max(0, run.prompt - onPrompt * prompt);
    const rest = seconds - delay - onPrompt;
    if (rest <= 0) return;
    const output = run.output - rest * generation;
    if (run.firstAt === null && output <= run.first)
      run.firstAt = this.#at + (delay + onPrompt + (run.output - run.first) / generation) * 1000;
    run.output = Math.max(0, output);
  }

  #plan(): void {
    this.#next = null;
    this.#nextAt = Infinity;
    const inUse = this.runs.length;
    for (const run of this.runs) {
      const speeds = this.#models[run.model]!;
      const prompt = speeds.prompt === null ? 0 : run.prompt / speeds.prompt[inUse]!;
      const end = this.#at + (run.delay + prompt + run.output / speeds.generation[inUse]!) * 1000;
      if (end < this.#nextAt) {
        this.#next = run;
        this.#nextAt = end;
      }
    }
  }
}

interface Given<T> {
  readonly task: T;
  readonly request: TraceRequest;
  readonly model: number;
}

/** Whether a slot is never faster with more in use. */
function isFalling(speeds: Float64Array): boolean {
  for (let inUse = 2; inUse < speeds.length; inUse++) if (speeds[inUse]! > speeds[inUse - 1]!) return false;
  return true;
}
