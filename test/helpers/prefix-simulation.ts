/** GPUs that keep prompts in the KV cache of their slots, and the scheduler that places tasks there, on a clock of their own. */
import { type Outcome, type Task } from "../../src/task.ts";
import { COMPLETED, facts, World } from "./scheduling.ts";
import { seeded } from "./seeded.ts";
import { type TaskChanges, textOf } from "./requests.ts";

/** What arrives, and how fast it is done. */
export interface Scenario {
  readonly gpus: number;
  readonly slots: number;
  /** Beginnings that prompts have in common, each of `PREFIX` characters. */
  readonly groups: number;
  readonly tasks: number;
  /** Share of all slots that would be taken on average if nothing were in any cache. */
  readonly load: number;
  readonly seed: number;
}

export interface Figures {
  /** Share of the prompts' tokens that were in the cache. */
  readonly hitRate: number;
  /** Seconds until a task started that 99 % of them did not exceed. */
  readonly p99Wait: number;
}

/** One slot: what its cache has, and since when it is free; null: it is taken. */
interface Slot {
  text: string;
  freeSince: number | null;
}

const CHARACTERS_PER_TOKEN = 4;
/** 1,000 tokens. */
export const PREFIX = 1000 * CHARACTERS_PER_TOKEN;
/** Seconds for each token: of a prompt, and of an answer. */
const PREFILL = 1 / 2000;
const DECODE = 1 / 50;

/** Runs one scenario; the same arrivals whether there is affinity or not. */
export function simulate(scenario: Scenario, prefixAffinity: boolean): Figures {
  return new Simulation(scenario, prefixAffinity).run();
}

class Simulation {
  readonly #scenario: Scenario;
  readonly #world: World;
  readonly #random: () => number;
  readonly #slots: readonly Slot[][];
  /** What is to come, the next one last. */
  #events: { readonly at: number; readonly happens: () => void }[] = [];
  readonly #arrived = new Map<Task, number>();
  #promptTokens = 0;
  #cachedTokens = 0;
  readonly #waits: number[] = [];

  constructor(scenario: Scenario, prefixAffinity: boolean) {
    const { gpus, slots, seed } = scenario;
    this.#scenario = scenario;
    this.#random = seeded(seed);
    this.#slots = Array.from({ length: gpus }, () => Array.from({ length: slots }, () => ({ text: "", freeSince: 0 })));
    const all = Array.from({ length: gpus }, (_, id) => facts(id, { slots, context: 8192 }));
    this.#world = new World(all, { maxQueueSize: Infinity, maxQueueBytes: Infinity, prefixAffinity }, seed);
    this.#world.now = 0;
    this.#world.onRun = (gpuId, task) => this.#start(this.#slots[gpuId]!, task);
  }

  run(): Figures {
    this.#planArrivals();
    for (let event = this.#events.pop(); event !== undefined; event = this.#events.pop()) {
      this.#world.now = event.at;
      event.happens();
    }
    return {
      hitRate: this.#cachedTokens / this.#promptTokens,
      p99Wait: percentile(this.#waits, 0.99),
    };
  }

  #planArrivals(): void {
    const { gpus, slots, groups, tasks, load } = this.#scenario;
    const prefixes = Array.from({ length: groups }, () => this.#text(PREFIX));
    const plans = Array.from({ length: tasks }, () => {
      const text = prefixes[Math.floor(this.#random() * groups)]! + this.#text(40 + Math.floor(this.#random() * 800));
      return { text, maxTokens: 20 + Math.floor(this.#random() * 100) };
    });
    const work = plans.reduce((sum, plan) => sum + secondsOf(tokensOf(plan.text), plan.maxTokens), 0);
    const pause = work / (tasks * gpus * slots * load);
    let at = 0;
    for (const plan of plans) {
      at += -Math.log(1 - this.#random()) * pause * 1000;
      this.#plan(at, () => this.#arrive(plan));
    }
  }

  #arrive(plan: Required<Pick<TaskChanges, "text" | "maxTokens">>): void {
    const task = this.#world.task(plan);
    this.#arrived.set(task, this.#world.now);
    this.#world.scheduler.submit([task], "single");
  }

  /** The slot with the longest common prefix takes it; among equals the one that has been free for longest. */
  #start(slots: readonly Slot[], task: Task): void {
    const free = slots.filter(({ freeSince }) => freeSince !== null);
    const had = free.map(({ text }) => tokensOf(text.slice(0, commonPrefix(text, textOf(task)))));
    const most = Math.max(...had);
    const equals = free.filter((_, index) => had[index] === most);
    const slot = equals.reduce((a, b) => (a.freeSince! <= b.freeSince! ? a : b));
    Object.assign(slot, { text: textOf(task), freeSince: null });
    const prompt = tokensOf(textOf(task));
    this.#promptTokens += prompt;
    this.#cachedTokens += most;
    this.#waits.push((this.#world.now - this.#arrived.get(task)!) / 1000);
    const end = this.#world.now + secondsOf(prompt - most, task.sampling.maxTokens) * 1000;
    this.#plan(end, () => {
      slot.freeSince = end;
      this.#world.scheduler.finished(task, outcomeOf(prompt, task.sampling.maxTokens));
    });
  }

  #plan(at: number, happens: () => void): void {
    let place = this.#events.length;
    while (place > 0 && this.#events[place - 1]!.at < at) place--;
    this.#events.splice(place, 0, { at, happens });
  }

  #text(length: number): string {
    return Array.from({ length }, () => String.fromCharCode(97 + Math.floor(this.#random() * 26))).join("");
  }
}

function secondsOf(promptTokens: number, completionTokens: number): number {
  return promptTokens * PREFILL + completionTokens * DECODE;
}

function tokensOf(text: string): number {
  return Math.ceil(text.length / CHARACTERS_PER_TOKEN);
}

function commonPrefix(a: string, b: string): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}

function outcomeOf(promptTokens: number, completionTokens: number): Outcome {
  if (COMPLETED.status !== "completed") throw new Error("it is not completed");
  return { status: "completed", result: { ...COMPLETED.result, promptTokens, completionTokens } };
}

function percentile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.ceil(values.length * share) - 1]!;
}
