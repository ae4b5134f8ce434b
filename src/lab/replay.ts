/** Replays a trace through the scheduler that serves, in virtual time: its events are arrivals, ends of runs, and its own alarms. */
import { unset } from "../common/clock.ts";
import type { ModelSettings } from "../config/config.ts";
import { seededRandom } from "../common/seeded.ts";
import { AltLasError } from "../errors.ts";
import { completionOf, TO_THE_END } from "../request.ts";
import { ModelNames } from "../gpu/models.ts";
import type { Effects, SchedulerSettings } from "../scheduler/effects.ts";
import type { Strategy } from "../scheduler/placement.ts";
import { Scheduler } from "../scheduler/scheduler.ts";
import { isFinal, newTask, type Outcome, type StrategyName, type Task } from "../task.ts";
import { Bound } from "./bound.ts";
import { Card } from "./card.ts";
import { ANY_NUMBER, BYTES_PER_TOKEN, factsOf, type LabGpu, modelsOn } from "./fleet.ts";
import { Machine, type Run } from "./machine.ts";
import type { Drawing, Recorder } from "./recorder.ts";
import { type GpuSpeed, secondsAlone } from "./speed.ts";
import { type Result, Tally } from "./tally.ts";
import type { Trace, TraceRequest } from "./trace.ts";

export interface ReplayOptions {
  readonly gpus: readonly LabGpu[];
  readonly settings: Omit<SchedulerSettings, "isShared">;
  /** Those of the configuration; none, absent: whatever a trace names counts as one. */
  readonly models?: readonly ModelSettings[];
  readonly policy: Policy;
  readonly seed: number;
  readonly firstTokenWithin: number;
  /** Is told of each run when it has ended. @param now milliseconds since the beginning of the trace */
  readonly ended?: (run: Run, gpuId: number, now: number) => void;
  /** Notes what a report draws. */
  readonly recorder?: Recorder | undefined;
}

/** A way to place tasks: a strategy of the server, or something to compare it with. */
export interface Policy {
  readonly name: string;
  /** The strategy that tasks name. */
  readonly strategy: StrategyName;
  /** The strategy that stands in its place; absent: the server's own. @param machines in the order of the GPUs */
  readonly instead?: (machines: readonly Machine[]) => Strategy;
  /** Whether tasks go to a GPU when they come, and wait there: as routers do it that have no queue. */
  readonly pushes?: boolean;
}

export interface Replay {
  readonly result: Result;
  /** null: nothing was noted. */
  readonly drawing: Drawing | null;
}

export async function replay(trace: Trace, options: ReplayOptions): Promise<Replay> {
  const lab = new Lab(options);
  for await (const requests of trace()) for (const request of requests) lab.arrive(request);
  return lab.finish();
}

class Lab {
  readonly #options: ReplayOptions;
  readonly #machines: readonly Machine[];
  /** By GPU; none: no models come and go. */
  readonly #cards: readonly Card[];
  /** null: all models count as one. */
  readonly #names: ModelNames | null;
  readonly #scheduler: Scheduler;
  readonly #tally: Tally;
  readonly #bound: Bound;
  readonly #requests = new Map<Task, TraceRequest>();
  readonly #callers = new Set<string>();
  readonly #waiting = new Set<Task>();
  /** Milliseconds since the beginning of the trace. */
  #now = 0;
  #alarmAt = Infinity;
  #seq = 0;

  constructor(options: ReplayOptions) {
    const { gpus, settings, policy, seed, models = [] } = options;
    const fastest = fastestOf(gpus);
    this.#options = options;
    this.#bound = new Bound(gpus);
    this.#machines = gpus.map((gpu) => new Machine(gpu.speed, gpu.slots, modelsOn(gpu)));
    this.#cards = models.length === 0 ? [] : gpus.map((gpu, id) => this.#cardOf(gpu, id));
    this.#names = models.length === 0 ? null : new ModelNames();
    this.#names?.serve(models.map((model) => ({ settings: model, file: null })));
    this.#tally = new Tally({
      firstTokenWithin: options.firstTokenWithin,
      gpus: gpus.length,
      bound: this.#bound,
      secondsAlone: ({ request, model }, gpuId) =>
        secondsAlone(fastest[gpuId]![model]!, request.promptTokens, request.outputTokens),
      weightOf: (caller) => settings.limitsOf(caller).weight,
    });
    const instead = policy.instead?.(this.#machines);
    const all = { ...settings, isShared: () => this.#callers.size > 1, ...(instead && { instead }) };
    this.#scheduler = new Scheduler(
      all,
      this.#effects(),
      unset(() => this.#now),
      seededRandom(seed),
    );
    for (const [id, gpu] of gpus.entries())
      this.#scheduler.setGpu(
        this.#cards[id]?.facts() ?? factsOf(id, gpu, policy.pushes === true ? ANY_NUMBER : gpu.slots),
      );
  }

  #cardOf(gpu: LabGpu, id: number): Card {
    return new Card(id, gpu, this.#machines[id]!, this.#options.policy.pushes === true ? null : gpu.slots);
  }

  #effects(): Effects {
    return {
      run: ({ gpuId, id }, task) => this.#run(gpuId, id, task),
      cancel: () => {},
      load: ({ gpuId, id }) => this.#cards[gpuId]!.load(id, this.#now),
      unload: ({ gpuId, id }) => this.#cards[gpuId]!.unload(id, this.#now),
      changed: (task) => this.#changed(task),
      alarm: (at) => void (this.#alarmAt = at),
    };
  }

  arrive(request: TraceRequest): void {
    const at = request.at * 1000;
    this.#until(at);
    this.#now = at;
    this.#tally.requests++;
    this.#callers.add(request.caller);
    const task = this.#taskOf(request);
    this.#requests.set(task, request);
    try {
      this.#scheduler.submit([task], "single");
    } catch (error) {
      if (!(error instanceof AltLasError)) throw error;
      this.#requests.delete(task);
      return this.#tally.refuse(error.code);
    }
    this.#bound.add(request);
    if (task.status === "queued") {
      this.#waiting.add(task);
      this.#tally.fairness.waits(request.caller);
    }
    this.#observe();
  }

  finish(): Replay {
    this.#until(Infinity);
    const used = this.#machines.reduce((sum, machine) => sum + machine.used, 0) / 1000;
    const slots = this.#machines.reduce((sum, machine) => sum + machine.slots, 0);
    const { policy, recorder } = this.#options;
    const loads = this.#cards.reduce((sum, card) => sum + card.loads, 0);
    const reloads = this.#cards.reduce((sum, card) => sum + card.reloads, 0);
    const result = this.#tally.result(policy.name, used, slots, { loads, reloads });
    return { result, drawing: recorder?.drawing(this.#tally) ?? null };
  }

  /** Lets everything happen that happens up to a time. */
  #until(time: number): void {
    for (;;) {
      let first = -1;
      let at = Math.min(time, this.#alarmAt);
      for (let gpuId = 0; gpuId < this.#machines.length; gpuId++) {
        const { nextAt } = this.#machines[gpuId]!;
        if (nextAt > at || (nextAt === at && first !== -1) || nextAt === Infinity) continue;
        at = nextAt;
        first = gpuId;
      }
      const card = this.#dueCard(at);
      if (card !== -1) this.#step(card);
      else if (first !== -1) this.#end(first, at);
      else if (this.#alarmAt <= time && this.#alarmAt !== Infinity) this.#ring();
      else return;
    }
  }

  /** The GPU with a model that comes or goes before; -1: there is none. */
  #dueCard(before: number): number {
    let due = -1;
    let at = before;
    for (let gpuId = 0; gpuId < this.#cards.length; gpuId++) {
      const { nextAt } = this.#cards[gpuId]!;
      if (nextAt >= at) continue;
      at = nextAt;
      due = gpuId;
    }
    return due;
  }

  #step(gpuId: number): void {
    const card = this.#cards[gpuId]!;
    this.#now = Math.max(this.#now, card.nextAt);
    card.step();
    this.#scheduler.setGpu(card.facts());
    this.#observe();
  }

  #ring(): void {
    this.#now = Math.max(this.#now, this.#alarmAt);
    this.#alarmAt = Infinity;
    this.#scheduler.tick();
  }

  #end(gpuId: number, at: number): void {
    this.#now = at;
    const run = this.#machines[gpuId]!.end();
    this.#requests.delete(run.task);
    this.#tally.ended(run, gpuId, at);
    this.#options.ended?.(run, gpuId, at);
    this.#options.recorder?.ended(run, gpuId, at);
    this.#cards[gpuId]?.ends(run.model, at);
    this.#scheduler.finished(run.task, completedAt(run, at));
    this.#observe();
  }

  #observe(): void {
    if (this.#options.recorder === undefined) return;
    const sum = (of: (machine: Machine) => number): number => this.#machines.reduce((all, one) => all + of(one), 0);
    const waiting = this.#waiting.size + sum((machine) => machine.waiting);
    this.#options.recorder.observe(
      this.#now,
      waiting,
      sum(({ runs }) => runs.length),
    );
  }

  #run(gpuId: number, model: number, task: Task): void {
    const request = this.#requests.get(task)!;
    if (this.#waiting.delete(task))
      this.#tally.fairness.starts(request.caller, request.promptTokens + request.outputTokens);
    this.#cards[gpuId]?.starts(model);
    this.#machines[gpuId]!.give(task, request, this.#now, model);
  }

  /** One that waited too long has ended. */
  #changed(task: Task): void {
    if (!isFinal(task.status) || !this.#waiting.delete(task)) return;
    this.#tally.fairness.leaves(task.user);
    this.#requests.delete(task);
  }

  /** As the server finds out which model a request means. */
  #modelOf({ model, taskType }: TraceRequest): string | null {
    if (this.#names === null) return null;
    return model === null ? this.#names.ofTaskType(taskType) : this.#names.meantBy(model);
  }

  #taskOf(request: TraceRequest): Task {
    const { caller, promptTokens, maxTokens, prefix, taskType, priority } = request;
    const task = newTask({
      id: String(++this.#seq),
      seq: this.#seq,
      user: caller,
      strategy: this.#options.policy.strategy,
      pinnedGpuId: null,
      batchId: null,
      wholeBatch: false,
      webhook: null,
      retryOf: null,
      createdAt: this.#now,
      taskType,
      priority,
      timeoutSeconds: null,
      model: this.#modelOf(request),
      request: maxTokens === null ? ANY_LENGTH : completionOf("", { maxTokens }),
    });
    const size = promptTokens * BYTES_PER_TOKEN;
    // The server derives these from the text, which a trace does not have.
    return Object.assign(task, { size, prefix, estimatedTokens: task.estimatedTokens + promptTokens });
  }
}

const ANY_LENGTH = completionOf("", { maxTokens: TO_THE_END });

/** By GPU and place of a model there, the speed of the same model where that is fastest. */
function fastestOf(gpus: readonly LabGpu[]): readonly (readonly GpuSpeed[])[] {
  const best = new Map<string | null, GpuSpeed>();
  const each = gpus.map((gpu) => gpu.models ?? [{ name: null, speed: gpu.speed }]);
  for (const { name, speed } of each.flat()) {
    const known = best.get(name);
    if (known === undefined || alone(speed) < alone(known)) best.set(name, speed);
  }
  return each.map((models) => models.map(({ name }) => best.get(name)!));
}

function alone(speed: GpuSpeed): number {
  return secondsAlone(speed, 1000, 1000);
}

function completedAt({ request, startedAt, cachedTokens }: Run, now: number): Outcome {
  const { promptTokens, outputTokens, maxTokens } = request;
  return {
    status: "completed",
    result: {
      text: "",
      executionTime: (now - startedAt) / 1000,
      timestamp: now,
      finishReason: outputTokens === maxTokens ? "length" : "stop",
      promptTokens,
      completionTokens: outputTokens,
      cachedTokens,
    },
  };
}
