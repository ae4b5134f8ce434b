/**
 * The best schedule of a few requests, by search: whoever decides may know all that comes, and may let a task wait though a slot is free.
 * Each event (an arrival, an end) is followed by every choice of starts; a branch is left when even the lower bounds of what remains make
 * it no better than the best so far.
 */
import { Bound } from "./bound.ts";
import type { LabGpu } from "./fleet.ts";
import { Machine } from "./machine.ts";
import { secondsAlone } from "./speed.ts";
import type { Trace, TraceRequest } from "./trace.ts";

/** Seconds. Each is the least that some schedule reaches; they may be two schedules. */
export interface Best {
  readonly makespan: number;
  /** Mean of all requests, from arrival to end. */
  readonly endToEnd: number;
}

/** More are not searched: the choices are too many. */
export const MOST_SEARCHED = 8;
/** Choices that are tried before the search is given up. */
const MOST_TRIED = 200_000;

type Goal = "makespan" | "endToEnd";

/** @returns null: there are too many requests, too many choices, or models that come and go, of which it knows nothing */
export async function bestOf(trace: Trace, gpus: readonly LabGpu[]): Promise<Best | null> {
  if (gpus.some(({ models }) => models !== undefined)) return null;
  const requests: TraceRequest[] = [];
  for await (const some of trace()) {
    requests.push(...some.slice(0, MOST_SEARCHED + 1));
    if (requests.length > MOST_SEARCHED) return null;
  }
  const makespan = new Search(requests, gpus, "makespan").run();
  const endToEnd = new Search(requests, gpus, "endToEnd").run();
  return makespan === null || endToEnd === null ? null : { makespan, endToEnd: endToEnd / requests.length };
}

/** The state at one moment of a branch. Tasks are the places of requests. */
interface State {
  readonly machines: readonly Machine<number>[];
  readonly waiting: readonly number[];
  /** Requests that have come. */
  readonly come: number;
  /** Milliseconds. */
  readonly now: number;
  /** Seconds of those that have ended: the sum, or the last end. */
  readonly done: number;
}

class Search {
  readonly #requests: readonly TraceRequest[];
  readonly #goal: Goal;
  readonly #bound: Bound;
  readonly #hasPrefixes: boolean;
  readonly #gpus: readonly LabGpu[];
  #best = Infinity;
  #tried = 0;

  constructor(requests: readonly TraceRequest[], gpus: readonly LabGpu[], goal: Goal) {
    this.#requests = requests;
    // A good schedule is tried first: worse ones are then left early.
    this.#gpus = gpus.toSorted(
      (one, other) => secondsAlone(one.speed, 1000, 1000) - secondsAlone(other.speed, 1000, 1000),
    );
    this.#goal = goal;
    this.#bound = new Bound(gpus);
    this.#hasPrefixes = requests.some(({ prefix }) => prefix.length > 0);
  }

  /** @returns seconds; null: it was given up */
  run(): number | null {
    // Of equal GPUs that are empty one is enough to try.
    const speeds = new Map(this.#gpus.map(({ speed }) => [JSON.stringify(speed), speed]));
    const machines = this.#gpus.map(
      ({ speed, slots }) => new Machine<number>(speeds.get(JSON.stringify(speed))!, slots),
    );
    this.#advance({ machines, waiting: [], come: 0, now: 0, done: 0 });
    return this.#tried > MOST_TRIED ? null : this.#best;
  }

  /** Goes to the next event, and decides there. */
  #advance(state: State): void {
    if (++this.#tried > MOST_TRIED || this.#leastOf(state) >= this.#best - 1e-9) return;
    const arrival = state.come < this.#requests.length ? this.#requests[state.come]!.at * 1000 : Infinity;
    const end = Math.min(...state.machines.map(({ nextAt }) => nextAt));
    if (arrival === Infinity && end === Infinity) {
      // Where some wait for ever, nothing was decided.
      if (state.waiting.length === 0) this.#best = Math.min(this.#best, state.done);
      return;
    }
    if (arrival <= end)
      return this.#decide({ ...state, now: arrival, come: state.come + 1, waiting: [...state.waiting, state.come] }, 0);
    const machines = state.machines.map((machine) => machine.copy());
    const { task } = machines.find(({ nextAt }) => nextAt === end)!.end();
    this.#decide({ ...state, machines, now: end, done: this.#added(state.done, task, end) }, 0);
  }

  /** Starts some of those that wait, or none. @param from the place of the first that may start; those before were passed over */
  #decide(state: State, from: number): void {
    if (this.#tried > MOST_TRIED) return;
    // The most promising first: what is worse than what it finds is then left.
    const starts = [...this.#startsOf(state, from)].toSorted((one, other) => one.least - other.least);
    for (const { after, least, next } of starts) if (least < this.#best - 1e-9) this.#decide(after, next);
    this.#advance(state);
  }

  *#startsOf(state: State, from: number): Generator<{ after: State; least: number; next: number }> {
    for (let place = from; place < state.waiting.length; place++) {
      const task = state.waiting[place]!;
      const tried: Machine<number>[] = [];
      for (const [gpu, machine] of state.machines.entries()) {
        if (machine.runs.length === machine.slots || tried.some((other) => machine.isLike(other))) continue;
        tried.push(machine);
        this.#tried++;
        const machines = state.machines.with(gpu, machine.copy());
        machines[gpu]!.give(task, this.#requests[task]!, state.now);
        const after = { ...state, machines, waiting: state.waiting.toSpliced(place, 1) };
        // Without prefixes it is the same in which order tasks start at one moment.
        yield { after, least: this.#leastOf(after), next: this.#hasPrefixes ? 0 : place };
      }
    }
  }

  #added(done: number, task: number, end: number): number {
    const seconds = end / 1000;
    return this.#goal === "makespan" ? Math.max(done, seconds) : done + seconds - this.#requests[task]!.at;
  }

  /** The lower bound of this branch. */
  #leastOf({ machines, waiting, come, now, done }: State): number {
    let least = done;
    const add = (task: number, end: number): void => void (least = this.#added(least, task, end));
    const startedAt = (task: number, at: number): void =>
      add(task, at + 1000 * this.#bound.secondsOf(this.#requests[task]!));
    for (const machine of machines) for (const { task, end } of machine.soonestEnds()) add(task, end);
    for (const task of waiting) startedAt(task, now);
    for (let task = come; task < this.#requests.length; task++) startedAt(task, this.#requests[task]!.at * 1000);
    return least;
  }
}
