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

/** Names the instances of one GPU by their ids. */
export class Machine<T = Task> {
  readonly slots: number;
  readonly speed: GpuSpeed;
  readonly runs: Run<T>[] = [];
  /** Tasks that were given to it while all its slots were in use, as a server takes them that has a queue of its own. */
  readonly #waiting: Given<T>[] = [];
  readonly #prompt: Float64Array | null;
  readonly #generation: Float64Array;
  /** The prompts that free slots had last, the longest free first. */
  #kept: Chain[] = [];
  /** Until when the work left was counted, in milliseconds. */
  #at = 0;
  /** The run that ends next, and when. */
  #next: Run<T> | null = null;
  #nextAt = Infinity;
  /** Milliseconds of all slots in use together. */
  #used = 0;

  constructor(speed: GpuSpeed, slots: number) {
    this.slots = slots;
    this.speed = speed;
    this.#prompt = speed.prompt === null ? null : at(speed.prompt, slots);
    this.#generation = at(speed.generation, slots);
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

  /** Starts a task, or lets it wait for a slot. @param began is told of each start */
  give(task: T, request: TraceRequest, now: number): void {
    if (this.runs.length < this.slots) this.#start(task, request, now);
    else this.#waiting.push({ task, request });
  }

  /** Takes out the run that has ended. */
  end(): Run<T> {
    const run = this.#next!;
    const now = this.#nextAt;
    this.#advance(now);
    run.firstAt ??= now;
    this.runs.splice(this.runs.indexOf(run), 1);
    if (this.speed.keepsPrompts) this.#kept.push(run.request.prefix);
    const next = this.#waiting.shift();
    if (next === undefined) this.#plan();
    else this.#start(next.task, next.request, now);
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
    const copy = new Machine<T>(this.speed, this.slots);
    for (const run of this.runs) copy.runs.push({ ...run });
    copy.#waiting.push(...this.#waiting);
    copy.#kept = [...this.#kept];
    copy.#at = this.#at;
    copy.#used = this.#used;
    copy.#plan();
    return copy;
  }

  /** Whether whatever is given to either takes as long, as far as can be told by looking: both are equal, empty, and have kept nothing. */
  isLike(other: Machine<T>): boolean {
    const isNew = (one: Machine<T>): boolean => one.runs.length === 0 && one.#kept.every(({ length }) => length === 0);
    return this.speed === other.speed && this.slots === other.slots && isNew(this) && isNew(other);
  }

  /** When each run ends at the soonest, in milliseconds: as if nothing else started, where that could only slow it down. */
  soonestEnds(): { readonly task: T; readonly end: number }[] {
    if (this.runs.length === 0) return [];
    if (isFalling(this.#generation) && (this.#prompt === null || isFalling(this.#prompt))) {
      const alone = this.copy();
      return this.runs.map(() => ({ end: alone.nextAt, task: alone.end().task }));
    }
    return this.runs.map(({ task, delay, prompt, output }) => {
      const ofPrompt = this.#prompt === null ? 0 : prompt / Math.max(...this.#prompt);
      return { task, end: this.#at + 1000 * (delay + ofPrompt + output / Math.max(...this.#generation)) };
    });
  }

  /** Its model was unloaded: the caches are empty. */
  forget(): void {
    this.#kept = [];
  }

  /** Seconds of work for one slot that it has yet to do, as only somebody can know who knows the lengths. */
  secondsLeft(): number {
    let seconds = 0;
    for (const run of this.runs) seconds += this.#secondsOf(run.prompt, run.output);
    for (const { request } of this.#waiting) seconds += this.#secondsOf(request.promptTokens, request.outputTokens);
    return seconds;
  }

  #secondsOf(prompt: number, output: number): number {
    const ofPrompt = this.#prompt === null ? 0 : prompt / this.#prompt[this.slots]!;
    return ofPrompt + output / this.#generation[this.slots]!;
  }

  #start(task: T, request: TraceRequest, now: number): void {
    this.#advance(now);
    const cachedTokens = this.speed.keepsPrompts ? this.#reuse(request) : 0;
    const prompt = request.promptTokens - cachedTokens;
    const output = request.outputTokens;
    const first = Math.max(0, output - 1);
    const delay = this.speed.startSeconds;
    this.runs.push({ task, request, startedAt: now, cachedTokens, delay, prompt, output, first, firstAt: null });
    this.#plan();
  }

  /** Picks the free slot with most of a prompt, else the one that was free for longest. @returns the tokens that it has */
  #reuse({ prefix, promptTokens }: TraceRequest): number {
    let best = -1;
    let most = 0;
    for (const [place, kept] of this.#kept.entries()) {
      let common = most;
      while (common < prefix.length && kept[common] === prefix[common]) common++;
      if (common > most) [best, most] = [place, common];
    }
    if (best !== -1) this.#kept.splice(best, 1);
    else if (this.#kept.length + this.runs.length >= this.slots) this.#kept.shift();
    // The last token has to be computed to know what follows.
    return Math.min(most * PREFIX_TOKENS, Math.max(0, promptTokens - 1));
  }

  /** Does the work up to a time. */
  #advance(now: number): void {
    const seconds = (now - this.#at) / 1000;
    const inUse = this.runs.length;
    this.#used += (now - this.#at) * inUse;
    if (seconds > 0) {
      const prompt = this.#prompt === null ? Infinity : this.#prompt[inUse]!;
      const generation = this.#generation[inUse]!;
      for (const run of this.runs) this.#work(run, seconds, prompt, generation);
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
      const prompt = this.#prompt === null ? 0 : run.prompt / this.#prompt[inUse]!;
      const end = this.#at + (run.delay + prompt + run.output / this.#generation[inUse]!) * 1000;
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
}

/** Whether a slot is never faster with more in use. */
function isFalling(speeds: Float64Array): boolean {
  for (let inUse = 2; inUse < speeds.length; inUse++) if (speeds[inUse]! > speeds[inUse - 1]!) return false;
  return true;
}
