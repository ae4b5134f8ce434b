/**
 * Decides which GPU runs which task, and when. It does nothing itself: events come in by method calls, and what is to
 * be done goes out through `Effects`. No I/O, no timers, no clock but the one it is given, so plain calls test it.
 *
 * What holds after every call:
 *  - a GPU's running set has at most `slots` tasks, and every task in it is `running` with that `gpuId`;
 *  - no waiting task could be placed: whenever something changes that could let one in, the queues are gone through.
 * The second has one exception. While an alarm is due that has not rung, nothing starts, because what waits may be too late: when more
 * than `ALARMS_AT_ONCE` are due together, or when one falls due within an event. `Effects.alarm` then asks for a `tick` at once. No
 * alarm is set for a time already past, except by `restore`, which rings before it places anything.
 */
import { type Clock } from "../common/clock.ts";
import { AltLasError } from "../errors.ts";
import { type GpuFacts, type GpuState, isServing } from "../gpu/status.ts";
import {
  type Interruption,
  isFinal,
  latestTime,
  type Outcome,
  type Placement,
  shownGpuId,
  type Task,
  type TaskError,
  type TaskResult,
  transition,
} from "../task.ts";
import { Admission } from "./admission.ts";
import { type Alarm, Alarms } from "./alarms.ts";
import {
  backoffSeconds,
  endAttempt,
  finalError,
  isSuspect,
  type Moment,
  queueError,
  queueTimeIsOver,
  waitedSince,
} from "./attempts.ts";
import { type CallerLimits, Callers, workOf } from "./callers.ts";
import { Eligibility, type Mappings } from "./eligibility.ts";
import { Fleet } from "./fleet.ts";
import { type Gpu, isHeld, obstacle, roomFor } from "./placement.ts";
import { type Grouping, Planner } from "./planner.ts";
import { Prefixes } from "./prefixes.ts";
import { type Entry, firstOf, tasksOf, Waiting, type Wanted } from "./waiting.ts";

/** What the scheduler has others do. None of these may call back into it before they return. */
export interface Effects {
  /** Give the task to that GPU's worker. */
  run(gpuId: number, task: Task): void;
  /** Have that GPU's worker stop the task; `finished` is called when it has, or `interrupted` when the worker had to go. */
  cancel(gpuId: number, task: Task): void;
  /** The task's state changed after its submission. */
  changed(task: Task): void;
  /** Call `tick` at this time of the server's clock, and not at the one named before; Infinity: never. */
  alarm(at: number): void;
}

export interface SchedulerSettings {
  /** Tasks that may wait. */
  readonly maxQueueSize: number;
  /** Bytes of text, in UTF-8, that may wait. */
  readonly maxQueueBytes: number;
  /** Bytes of the heap that tasks may take that wait, without their texts. */
  readonly maxQueueHeap: number;
  readonly minBatchSizePerGpu: number;
  readonly mappings: Mappings;
  /** How often a task is tried that is cut off again and again by what may be its own fault. */
  readonly maxAttempts: number;
  /** Seconds before the second try. */
  readonly retryBackoff: number;
  /** Seconds of waiting that lift a task by one priority. */
  readonly ageingSeconds: number;
  /** Seconds a task may wait; null: any time. */
  readonly queueTimeout: number | null;
  /** Whether GPUs that have the beginning of a prompt in their KV cache are preferred among those that are nearly least loaded. */
  readonly prefixAffinity: boolean;
  readonly limitsOf: (user: string) => CallerLimits;
  /** Whether more than one user is known; asked at each submission, since that changes. */
  readonly isShared: () => boolean;
}

export class Scheduler {
  /** What each caller has and may have. */
  readonly callers: Callers;
  readonly #settings: SchedulerSettings;
  readonly #effects: Effects;
  readonly #clock: Clock;
  readonly #now: () => number;
  readonly #fleet = new Fleet();
  readonly #prefixes: Prefixes | null;
  readonly #waiting: Waiting;
  readonly #eligibility: Eligibility;
  readonly #admission: Admission;
  readonly #planner: Planner;
  readonly #alarms = new Alarms();
  /** The time for which `Effects.alarm` was called last. */
  #alarmAt = Infinity;
  /** Alarms above which those of ended tasks are looked for. */
  #manyAlarms = MANY_ALARMS;
  /** Running tasks that are to be stopped, and why: should their worker die first, they do not wait for another one. */
  readonly #stopping = new WeakMap<Task, "canceled" | "timeout">();
  #draining = false;
  #held = false;

  /** @param random uniform in [0, 1) */
  constructor(settings: SchedulerSettings, effects: Effects, clock: Clock, random: () => number) {
    const now = (): number => clock.now();
    this.#settings = settings;
    this.#effects = effects;
    this.#clock = clock;
    this.#now = now;
    const { mappings, ageingSeconds, limitsOf, maxQueueSize, maxQueueBytes, maxQueueHeap } = settings;
    this.callers = new Callers(limitsOf, now);
    this.#waiting = new Waiting(this.callers, mappings.keys(), ageingSeconds * 1000);
    this.#prefixes = settings.prefixAffinity ? new Prefixes() : null;
    this.#eligibility = new Eligibility(this.#fleet, mappings);
    this.#planner = new Planner({
      fleet: this.#fleet,
      eligibility: this.#eligibility,
      callers: this.callers,
      prefixes: this.#prefixes,
      minBatchSizePerGpu: settings.minBatchSizePerGpu,
      isHeld: () => this.#held,
      random,
    });
    this.#admission = new Admission({
      fleet: this.#fleet,
      waiting: this.#waiting,
      eligibility: this.#eligibility,
      callers: this.callers,
      queue: { maxQueueSize, maxQueueBytes, maxQueueHeap },
      isShared: settings.isShared,
    });
  }

  /** In `gpu_id` order. */
  get gpus(): readonly Gpu[] {
    return this.#fleet.all;
  }

  /** Tasks waiting. */
  get queueSize(): number {
    return this.#waiting.tasks;
  }

  /** Some tasks that probably get slots next, of each caller that has tasks waiting. */
  upcoming(count: number): readonly Task[] {
    return this.#waiting.upcoming(count);
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Places nothing from now on; what runs goes on, and what waits keeps waiting. */
  drain(): void {
    this.#draining = true;
  }

  /** Starts nothing until `resume`; what is submitted meanwhile waits. Effects may call this. */
  hold(): void {
    this.#held = true;
  }

  /** Ends `hold`. */
  resume(): void {
    this.#held = false;
    this.#event(() => this.#fillAll());
  }

  /** Does what has become due: see `Effects.alarm`. */
  tick(): void {
    // A timer may ring a little too early; then it has to be set again.
    this.#alarmAt = Infinity;
    this.#event(() => {});
  }

  /** Learns of a GPU, or of a change to one, and places what that lets in. Tasks that run there go on until `interrupted` is called. */
  setGpu(facts: GpuFacts): void {
    this.#event(() => {
      const before = this.#fleet.find(facts.id)?.facts;
      this.#fleet.tell(facts);
      this.#waiting.limit(roomFor(facts));
      if (!HAS_WORKER.has(facts.state)) this.#prefixes?.clear(facts.id);
      // What it was kept for may go elsewhere meanwhile.
      if (before !== undefined && (facts.state !== "ready" || facts.crowded !== null)) this.#release(facts.id);
      if (before !== undefined && isServing(before.state) && !isServing(facts.state)) this.#releaseBatches(facts.id);
      if (before === undefined || isOtherwise(before, facts)) this.#fillAll();
    });
  }

  /**
   * Admits new tasks of one caller, all or none, and places what can be placed.
   *  1. Refuse what no GPU could ever run, and what the caller may not have, before anything is touched.
   *  2. Reserve slots, by the grouping's rule.
   *  3. What found no slot must fit into the queue; if it does not, give the slots back and refuse.
   *  4. Only now start the reserved and queue the rest.
   * @throws {AltLasError} `draining`, `no_usable_gpu`, `invalid_input`, `prompt_too_long`, `rate_limited`, `queue_full`
   */
  submit(tasks: readonly Task[], grouping: Grouping): void {
    this.#event(() => {
      if (this.#draining)
        throw new AltLasError("draining", "The server is stopping and takes no new tasks.", { retryAfter: 5 });
      this.#admission.refuseImpossible(tasks); // 1
      this.callers.admit(tasks, this.#fleet.largestContext);
      const plan = this.#planner.plan(tasks, grouping); // 2
      const problem = this.#admission.overflow(plan.entries.flatMap(tasksOf));
      if (problem !== null) {
        plan.undo();
        this.callers.refuse(tasks);
        throw problem; // 3
      }
      for (const [task, placement] of plan.placed) this.#start(task, placement); // 4
      for (const entry of plan.entries) this.#waiting.add(entry);
      for (const task of tasks) this.#watch(task);
    });
  }

  /** Takes over tasks of an earlier life of the server; queued ones keep their order, interrupted ones go back into the queue. */
  restore(tasks: readonly Task[]): void {
    this.#event(() => {
      const before = tasks.map((task) => ({ status: task.status, shown: shownGpuId(task) }));
      for (const task of tasks) task.waitsSince = waitedSince(task, this.#now());
      const waiting = tasks.filter((task) => {
        if (task.status === "running") {
          endAttempt(task, "server_restart", this.#moment(task));
          return this.#again(task);
        }
        this.#unbindIfGone(task);
        return true;
      });
      this.#waitAgain(waiting);
      for (const task of waiting) this.#watch(task);
      for (const [index, task] of tasks.entries()) {
        const { status, shown } = before[index]!;
        if (task.status !== status || shownGpuId(task) !== shown) this.#effects.changed(task);
      }
      // Some may have become too late while there was no server.
      this.#ring();
      this.#fillAll();
    });
  }

  /** A run has ended and its slot is free; the slot is filled before anything else happens. */
  finished(task: Task, outcome: Outcome): void {
    this.#event(() => {
      const gpuId = task.gpuId!;
      const wasCapped = this.callers.of(task).isCapped;
      const cutOff = cutOffBy(outcome);
      if (cutOff !== null) this.#tryElsewhere(gpuId, task, cutOff);
      else this.#finish(gpuId, task, outcome);
      // Its caller may have more running now, on any GPU.
      if (wasCapped || task.status === "queued") this.#fillAll();
      else this.#fill(this.#fleet.get(gpuId));
      this.#effects.changed(task);
    });
  }

  /**
   * A GPU's worker is gone: what ran there waits again, at the place its age gives it. `setGpu` may tell what has become of the GPU
   * before this or after it.
   * @param sentence what has happened; null: the reason says it all
   */
  interrupted(
    gpuId: number,
    reason: Exclude<Interruption, "server_restart" | "out_of_memory">,
    sentence: string | null = null,
  ): void {
    this.#event(() => {
      const { facts, running } = this.#fleet.get(gpuId);
      const cutOff = [...running];
      // Without its worker it can start nothing, whatever was said of it last: it is as good as starting until it is heard of again.
      if (facts.state === "ready") this.#fleet.tell({ ...facts, state: "starting" });
      this.#release(gpuId);
      for (const task of cutOff) {
        this.#planner.vacate(gpuId, task, 0, false);
        endAttempt(task, reason, this.#moment(task), { alone: cutOff.length === 1, error: sentence });
      }
      this.#prefixes?.clear(gpuId);
      this.#waitAfterPause(cutOff.filter((task) => this.#again(task)));
      for (const task of cutOff) this.#effects.changed(task);
      this.#fillAll();
    });
  }

  /** Cancels tasks: at once those that wait, when their workers have stopped them those that run. Those that have ended stay as they are. */
  cancel(tasks: readonly Task[]): void {
    this.#event(() => {
      const waiting = tasks.filter(({ status }) => status === "queued");
      this.#waiting.removeTasks(waiting);
      for (const task of tasks) {
        if (task.status === "queued") this.#endWaiting(task, "canceled", null);
        else if (task.status === "running") this.#stop(task, "canceled");
      }
      // They may have been what kept others of their batch from a GPU, or a GPU from others.
      if (waiting.length > 0) this.#fillAll();
    });
  }

  // --- time ----------------------------------------------------------------------------------------------------

  /** Every event: first what has become due, so that nothing starts that is late; last the alarm for what comes next. */
  #event(happens: () => void): void {
    try {
      this.#ring();
      happens();
      this.#releaseStale();
    } finally {
      if (this.#alarms.next !== this.#alarmAt) {
        this.#alarmAt = this.#alarms.next;
        this.#effects.alarm(this.#alarmAt);
      }
    }
  }

  /** Sets the alarms of a task that begins its life with this server. */
  #watch(task: Task): void {
    if (isFinal(task.status)) return;
    const { timeoutSeconds, createdClock } = task;
    if (timeoutSeconds !== null) this.#setAlarm({ at: createdClock + timeoutSeconds * 1000, kind: "deadline", task });
    if (task.status === "queued") this.#watchQueue(task);
  }

  /** This moment. What a task shows never goes backwards, whatever the wall clock does. */
  #moment(task: Task): Moment {
    const now = this.#now();
    return { at: Math.max(now + this.#clock.ahead, latestTime(task)), now };
  }

  #watchQueue(task: Task): void {
    const { queueTimeout } = this.#settings;
    if (queueTimeout !== null) this.#setAlarm({ at: task.waitsSince + queueTimeout * 1000, kind: "queue", task });
  }

  #setAlarm(alarm: Alarm): void {
    this.#alarms.add(alarm);
    if (this.#alarms.size <= this.#manyAlarms) return;
    this.#alarms.keepOnly(
      ({ kind, task }) => !isFinal(task.status) && (kind === "deadline" || task.status === "queued"),
    );
    this.#manyAlarms = Math.max(MANY_ALARMS, 2 * this.#alarms.size);
  }

  #ring(): void {
    const now = this.#now();
    let alarm = this.#alarms.takeDue(now);
    if (alarm === undefined) return;
    const late = new Map<Task, TaskError>();
    // Not all at once: if a hundred thousand are late together, the rest follows with the next event, before which nothing is placed.
    for (let left = ALARMS_AT_ONCE; alarm !== undefined; alarm = --left > 0 ? this.#alarms.takeDue(now) : undefined)
      this.#onAlarm(alarm, late);
    // Together: to take one task out of a batch that waits as one costs as much as the batch.
    this.#waiting.removeTasks([...late.keys()]);
    for (const [task, error] of late) this.#endWaiting(task, "failed", error);
    this.#fillAll();
  }

  /** @param late gets those that wait and must not any longer */
  #onAlarm({ kind, task, at }: Alarm, late: Map<Task, TaskError>): void {
    switch (kind) {
      case "deadline":
        if (task.status === "queued") late.set(task, deadlineError(task));
        else if (task.status === "running") this.#stop(task, "timeout");
        return;
      case "queue": {
        const { queueTimeout } = this.#settings;
        // It may have run since, and wait again.
        if (task.status === "queued" && queueTimeIsOver(task, queueTimeout, at))
          late.set(task, queueError(task, queueTimeout));
        return;
      }
      case "retry":
        if (!this.#waiting.wake(task)) return;
        this.#unbindIfGone(task);
        this.#waitAgain([task]);
    }
  }

  /** Has a running task stopped; the first reason counts. */
  #stop(task: Task, why: "canceled" | "timeout"): void {
    if (this.#stopping.has(task)) return;
    this.#stopping.set(task, why);
    this.#effects.cancel(task.gpuId!, task);
  }

  // --- running -------------------------------------------------------------------------------------------------

  /** Starts a task whose slot is reserved. */
  #start(task: Task, placement: Placement): void {
    transition(task, "running");
    task.gpuId = placement.gpuId;
    // What else there is of its batch may run there alone, and so may it when it has to wait again.
    if (task.wholeBatch) task.boundTo = placement.gpuId;
    task.startedAt = this.#moment(task).at;
    task.placement = placement;
    task.attempts.push({ gpuId: placement.gpuId, startedAt: task.startedAt, endedAt: null, reason: null });
    this.#effects.run(placement.gpuId, task);
  }

  /** A run has ended, and with it the task. */
  #finish(gpuId: number, task: Task, outcome: Outcome): void {
    const late = outcome.status === "canceled" && this.#stopping.get(task) === "timeout";
    const result = outcome.status === "failed" ? null : (outcome.result ?? null);
    this.#planner.vacate(gpuId, task, result === null ? null : workOf(result), result !== null);
    endAttempt(task, late ? "timeout" : outcome.status, this.#moment(task));
    if (late) this.#end(task, "failed", deadlineError(task), result && { ...result, finishReason: "timeout" });
    else this.#end(task, outcome.status, outcome.status === "failed" ? outcome.error : null, result);
  }

  /** The GPU could not do a task: another one may, or this one later. */
  #tryElsewhere(gpuId: number, task: Task, { reason, sentence, retryAfter }: CutOff): void {
    this.#planner.vacate(gpuId, task, 0, false);
    endAttempt(task, reason, this.#moment(task), { error: sentence });
    if (this.#again(task)) this.#waitAfterPause([task], retryAfter);
  }

  /**
   * Puts a task that was cut off back into the queue's state; false: it was to be stopped, was cut off too often or has waited too long,
   * and has ended.
   */
  #again(task: Task): boolean {
    const { maxAttempts, queueTimeout } = this.#settings;
    const stopping = this.#stopping.get(task);
    const error = stopping === "timeout" ? deadlineError(task) : finalError(task, maxAttempts);
    if (stopping === "canceled") this.#end(task, "canceled", null, null);
    else if (error !== null) this.#end(task, "failed", error, null);
    // Were it to wait again, its alarm would be for a time already past, and nothing could start before that has rung.
    else if (queueTimeIsOver(task, queueTimeout, this.#now()))
      this.#endUnserved(task, "failed", queueError(task, queueTimeout));
    if (isFinal(task.status)) return false;
    transition(task, "queued");
    task.startedAt = null;
    task.gpuId = null;
    this.#unbindIfGone(task);
    return true;
  }

  #end(
    task: Task,
    status: "completed" | "failed" | "canceled",
    error: TaskError | null,
    result: TaskResult | null,
  ): void {
    transition(task, status);
    const { at, now } = this.#moment(task);
    task.finishedAt = Math.max(at, result?.timestamp ?? 0);
    task.finishedClock = now;
    task.error = error;
    task.result = result;
    this.callers.ended(task, result === null ? (status === "canceled" ? 0 : null) : workOf(result));
  }

  /** Ends a task that waits no more. */
  #endWaiting(task: Task, status: "failed" | "canceled", error: TaskError | null): void {
    this.#endUnserved(task, status, error);
    this.#effects.changed(task);
  }

  /** Ends a task that took nothing of its caller's tokens, however it ends. */
  #endUnserved(task: Task, status: "failed" | "canceled", error: TaskError | null): void {
    this.callers.ended(task, 0);
    this.#end(task, status, error, null);
  }

  // --- filling slots -------------------------------------------------------------------------------------------

  #fillAll(): void {
    if (this.#waiting.tasks === 0) return;
    for (const gpu of this.#fleet.all) this.#fill(gpu);
  }

  /** Gives a GPU the entries whose turn it is there, until it has no slot or there are none. */
  #fill(gpu: Gpu): void {
    while (takesSomething(gpu) && this.#waiting.tasks > 0 && !this.#draining && !this.#held && !this.#isBehind()) {
      const entry = this.#keptEntry(gpu) ?? this.#waiting.next(this.#wantedOn(gpu), this.#now());
      if (entry === undefined) return;
      if (gpu.running.size > 0 && isSuspect(firstOf(entry))) {
        // It is this one's turn, but not before the GPU is empty.
        this.#fleet.keep(gpu.facts.id, firstOf(entry));
        return;
      }
      this.#place(entry);
    }
  }

  /** Whether some of what waits may be too late to start, which is not known yet. */
  #isBehind(): boolean {
    return this.#alarms.next <= this.#now();
  }

  /** What a GPU is kept for, as long as that waits and may go there. */
  #keptEntry(gpu: Gpu): Entry | undefined {
    const task = gpu.keptFor;
    if (task === null) return undefined;
    const entry = task.status === "queued" ? this.#waiting.entryOf(task) : undefined;
    const isFor =
      entry !== undefined &&
      !this.callers.of(task).isCapped &&
      this.#eligibility.isAllowed(gpu, task) &&
      this.#eligibility.misfit(gpu, tasksOf(entry)) === null;
    if (isFor) return entry;
    this.#release(gpu.facts.id);
    return undefined;
  }

  #release(gpuId: number): void {
    if (this.#fleet.find(gpuId)?.keptFor != null) this.#fleet.keep(gpuId, null);
  }

  /** Lets GPUs go on that have become empty, or are about to, for what has ended meanwhile or has to go elsewhere. */
  #releaseStale(): void {
    for (const gpu of this.#fleet.kept) if (this.#keptEntry(gpu) === undefined) this.#fill(gpu);
  }

  #wantedOn(gpu: Gpu): Wanted {
    return {
      gpuId: gpu.facts.id,
      fits: (entry) => this.#eligibility.misfit(gpu, tasksOf(entry)) === null && !this.#hasItsGpu(entry, gpu),
      servesType: (type) => this.#eligibility.servesType(gpu.facts.id, type),
      isTooSmall: (bytes, type) => this.#eligibility.isTooSmall(gpu, type === null ? ANYWHERE : ofType(type), bytes),
    };
  }

  /** Whether another GPU is becoming empty for an entry, and this one is not empty yet. */
  #hasItsGpu(entry: Entry, gpu: Gpu): boolean {
    const task = firstOf(entry);
    return gpu.running.size > 0 && isSuspect(task) && this.#keptForIt(task) !== undefined;
  }

  /** The GPU that is kept for a task. */
  #keptForIt(task: Task): Gpu | undefined {
    for (const gpu of this.#fleet.kept) if (gpu.keptFor === task) return gpu;
    return undefined;
  }

  /** Starts an entry for which some GPU is eligible; what a batch has beyond its GPU's slots waits for that GPU. */
  #place(entry: Entry): void {
    const kept = this.#keptForIt(firstOf(entry));
    this.#waiting.remove(entry);
    const grouping = "tasks" in entry ? "whole" : "single";
    const { placed, entries } = this.#planner.plan(tasksOf(entry), grouping);
    if (kept !== undefined) this.#release(kept.facts.id);
    for (const [task, placement] of placed) {
      this.callers.served(task);
      this.#start(task, placement);
      this.#effects.changed(task);
    }
    for (const rest of entries) {
      this.#waiting.add(rest);
      for (const task of tasksOf(rest)) this.#effects.changed(task);
    }
    // It was becoming empty for nothing.
    if (kept !== undefined) this.#fill(kept);
  }

  /** What waits of batches bound to a GPU that serves no more looks for another one. */
  #releaseBatches(gpuId: number): void {
    const bound = this.#waiting.boundTo(gpuId).filter(({ pinnedGpuId }) => pinnedGpuId === null);
    for (const task of bound) {
      this.#waiting.remove(task);
      task.boundTo = null;
    }
    this.#waitAgain(bound);
    for (const task of bound) this.#effects.changed(task);
  }

  /**
   * As `#waitAgain`, but those that something is held against rest a while first.
   * @param retryAfter seconds for which a full server is left alone
   */
  #waitAfterPause(tasks: readonly Task[], retryAfter?: number): void {
    const now = this.#now();
    const ready = tasks.filter((task) => {
      const pause = backoffSeconds(task, this.#settings.retryBackoff, retryAfter);
      if (pause === 0) return true;
      this.#waiting.rest(task);
      this.#setAlarm({ at: now + pause * 1000, kind: "retry", task });
      return false;
    });
    this.#waitAgain(ready);
    for (const task of tasks) this.#watchQueue(task);
  }

  /**
   * Lets tasks that have waited or run before wait at the place in the queue that their age gives them. Those of a batch that is not to
   * be split, and has lost its GPU, follow the part of it that has found another, or wait as one.
   */
  #waitAgain(tasks: readonly Task[]): void {
    const unbound = tasks.filter(({ wholeBatch, boundTo }) => wholeBatch && boundTo === null);
    for (const task of tasks) if (!task.wholeBatch || task.boundTo !== null) this.#waiting.add(task);
    if (unbound.length === 0) return;
    const homes = this.#homes();
    for (const [batchId, batch] of Map.groupBy(unbound, (task) => task.batchId)) {
      const home = homes.get(batchId);
      if (home === undefined) this.#waiting.addTogether(batch);
      else for (const task of batch) this.#waiting.add(Object.assign(task, { boundTo: home }));
    }
  }

  /** The serving GPUs that batches are bound to, by batch id. */
  #homes(): ReadonlyMap<string | null, number> {
    const homes = new Map<string | null, number>();
    for (const { facts, running } of this.#fleet.all) {
      if (!isServing(facts.state)) continue;
      const here = [...running, ...this.#waiting.boundTo(facts.id)];
      for (const task of here) if (task.wholeBatch) homes.set(task.batchId, facts.id);
    }
    return homes;
  }

  /** What was bound to a GPU with its batch may go elsewhere when that serves no more. */
  #unbindIfGone(task: Task): void {
    if (task.pinnedGpuId === null && !this.#fleet.isServing(task.boundTo)) task.boundTo = null;
  }
}

/** Alarms that ring within one event. */
const ALARMS_AT_ONCE = 2000;

/** Alarms that are kept without asking whether their tasks still live. */
const MANY_ALARMS = 1024;

/** States in which a GPU has its worker and with it what is in its KV cache. */
const HAS_WORKER: ReadonlySet<GpuState> = new Set(["ready", "hot", "draining"]);

/** Tasks for any GPU, and those of a mapped type. */
const ANYWHERE = { boundTo: null, strategy: "random", taskType: "" } as const;
const ofType = (taskType: string) => ({ boundTo: null, strategy: "task_specific", taskType }) as const;

/** Whether a change may let something in: more than how free the GPU is. */
function isOtherwise(before: GpuFacts, now: GpuFacts): boolean {
  return (["state", "crowded", "slots", "context", "maxTokenBytes"] as const).some((key) => before[key] !== now[key]);
}

/** Whether a GPU takes what waits, if only what it is kept for. */
function takesSomething(gpu: Gpu): boolean {
  return gpu.keptFor === null ? gpu.shut === null : obstacle(gpu) === null && !isHeld(gpu);
}

/** What ends a run without ending its task. */
interface CutOff {
  readonly reason: Extract<Interruption, "out_of_memory" | "gpu_lost" | "gpu_full">;
  /** What the engine says of it. */
  readonly sentence: string;
  /** Seconds for which a full server is left alone; undefined: it is not that. */
  readonly retryAfter: number | undefined;
}

/** Why a run has ended whose task is not to end with it; null: the task has ended. */
function cutOffBy(outcome: Outcome): CutOff | null {
  if (outcome.status !== "failed") return null;
  const { code, sentence } = outcome.error;
  const isCutOff = code === "out_of_memory" || code === "gpu_lost" || code === "gpu_full";
  return isCutOff ? { reason: code, sentence, retryAfter: outcome.retryAfter } : null;
}

function deadlineError({ timeoutSeconds }: Task): TaskError {
  return { code: "timeout", sentence: `The task was not done ${timeoutSeconds} s after its submission.` };
}
