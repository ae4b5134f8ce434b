/**
 * Decides which GPU runs which task, and when. Events come in by method calls; what is to be done goes out through `Effects`. It has no
 * I/O, no timers, and no clock but the one it is given, so plain calls test it.
 *
 * After every call these hold:
 *  - an instance's running set has at most `slots` tasks, and every task in it is `running` with the `gpuId` of its GPU;
 *  - no waiting task could be placed: after each change that might let one in, the queues are tried again.
 * The second has one exception. If more than `ALARMS_AT_ONCE` alarms are due together, nothing starts until the rest was handled, as a
 * waiting task may be too late. `Effects.alarm` then asks for a `tick` at once. No alarm is set for a time already past, but by
 * `restore`, which handles its alarms before it places. An alarm that falls due within an event is handled after it.
 */
import type { Clock } from "../common/clock.ts";
import type { GpuFacts, InstanceRef } from "../gpu/facts.ts";
import { type CutOff, type Interruption, type Outcome, shownGpuId, type Task, type TaskError } from "../task.ts";
import { Admission, draining } from "./admission.ts";
import type { Alarm } from "./alarms.ts";
import { endAttempt, queueError, queueTimeIsOver, waitedSince } from "./attempts.ts";
import { Callers } from "./callers.ts";
import { HAS_WORKER, hasLeft, letsIn } from "./changes.ts";
import { Deadlines } from "./deadlines.ts";
import { Dispatcher } from "./dispatcher.ts";
import type { Effects, LiveSchedulerSettings, SchedulerSettings } from "./effects.ts";
import { Eligibility } from "./eligibility.ts";
import { Fleet } from "./fleet.ts";
import { deadlineError, Life, resultOf } from "./life.ts";
import { Impossible } from "./impossible.ts";
import { Loader } from "./loader.ts";
import { type Instance, roomFor } from "./placement.ts";
import { type Grouping, Planner } from "./planner.ts";
import { Prefixes } from "./prefixes.ts";
import { firstOf, tasksOf } from "./queue.ts";
import { Questions } from "./questions.ts";
import { Requeue } from "./requeue.ts";
import { Waiting } from "./waiting.ts";

export class Scheduler {
  /** The account of each caller. */
  readonly callers: Callers;
  readonly questions: Questions;
  readonly #settings: SchedulerSettings;
  readonly #effects: Effects;
  readonly #now: () => number;
  readonly #fleet: Fleet;
  readonly #eligibility: Eligibility;
  readonly #loader: Loader;
  readonly #prefixes: Prefixes<Instance> | null;
  readonly #waiting: Waiting;
  readonly #admission: Admission;
  readonly #impossible: Impossible;
  readonly #planner: Planner;
  readonly #deadlines: Deadlines;
  readonly #life: Life;
  readonly #requeue: Requeue;
  readonly #dispatcher: Dispatcher;
  /** When the present event began. */
  #eventAt = -Infinity;
  /** The time for which `Effects.alarm` was called last. */
  #alarmAt = Infinity;
  #draining = false;
  #held = false;
  /** The last task of an earlier run. */
  #lastRestored = -Infinity;

  /** @param random uniform in [0, 1) */
  constructor(given: SchedulerSettings, effects: Effects, clock: Clock, random: () => number) {
    const now = (): number => clock.now();
    const settings = { ...given };
    const { mappings, queueTimeout, retryBackoff, isShared } = settings;
    const fleet = new Fleet(now);
    const callers = new Callers(settings, clock);
    const waiting = new Waiting(callers, mappings.keys(), settings.ageingSeconds * 1000);
    const eligibility = new Eligibility(fleet, mappings);
    const prefixes = settings.prefixAffinity ? new Prefixes<Instance>() : null;
    const deadlines = new Deadlines(queueTimeout);
    const isHeld = (): boolean => this.#held;
    const mayStart = (): boolean => !this.#draining && !this.#held && deadlines.next > this.#eventAt;
    const parts = { fleet, waiting, eligibility, callers, effects, now };
    const planner = new Planner({ ...parts, prefixes, settings, isHeld, random });
    const impossible = new Impossible(fleet, eligibility);
    const life = new Life({ settings, effects, clock, callers, inVain: (task) => impossible.inVain(task) });
    this.callers = callers;
    this.#fleet = fleet;
    this.#eligibility = eligibility;
    this.#loader = new Loader({ ...parts, isDraining: () => this.#draining });
    this.#settings = settings;
    this.#effects = effects;
    this.#now = now;
    this.#prefixes = prefixes;
    this.#waiting = waiting;
    this.#planner = planner;
    this.#deadlines = deadlines;
    this.#life = life;
    this.#impossible = impossible;
    this.#admission = new Admission({ ...parts, impossible, queue: settings, isShared });
    const asked = { ...parts, isHeld, planner, admission: this.#admission };
    this.questions = new Questions({ ...asked, isDraining: () => this.#draining });
    this.#requeue = new Requeue({ ...parts, deadlines, retryBackoff });
    this.#dispatcher = new Dispatcher({ ...parts, planner, life, mayStart });
  }

  /** In `gpu_id` order. */
  get instances(): readonly Instance[] {
    return this.#fleet.all;
  }

  /** Tasks waiting. */
  get queueSize(): number {
    return this.#waiting.tasks;
  }

  /** Tasks that may wait. */
  get maxQueueSize(): number {
    return this.#settings.maxQueueSize;
  }

  /** When the oldest waiting task was submitted, by the server's clock; null: none waits, but for a pause after it was cut off. */
  get oldestWaiting(): number | null {
    let oldest = Infinity;
    this.#waiting.eachLine(({ front }) => (oldest = Math.min(oldest, firstOf(front).createdClock)));
    return oldest === Infinity ? null : oldest;
  }

  /** Some tasks that will probably get slots next, of each caller that has tasks waiting. */
  upcoming(count: number): readonly Task[] {
    return this.#waiting.upcoming(count);
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Places nothing from now on. Running tasks go on, and waiting tasks keep waiting. */
  drain(): void {
    this.#draining = true;
  }

  /** Starts nothing until `resume`; tasks submitted meanwhile wait. Effects may call this. */
  hold(): void {
    this.#held = true;
  }

  /** Ends `hold`. */
  resume(): void {
    this.#held = false;
    this.#event(() => this.#dispatcher.fillAll());
  }

  /** Takes over other settings. Running tasks go on, and waiting tasks go on to wait, also where a new limit would refuse them. */
  configure(settings: LiveSchedulerSettings): void {
    this.#event(() => {
      Object.assign(this.#settings, settings);
      this.#eligibility.map(settings.mappings);
      this.#waiting.map(settings.mappings.keys());
      this.callers.renew(settings);
      this.#loader.lookAgain();
      this.#dispatcher.fillAll();
    });
  }

  /** Does what has become due: see `Effects.alarm`. */
  tick(): void {
    // A timer may fire a little too early; then it has to be set again.
    this.#alarmAt = Infinity;
    this.#event(() => {});
  }

  /** Takes over the facts of a GPU, and places tasks that can start now. Tasks that run there go on until `interrupted` is called. */
  setGpu(facts: GpuFacts): void {
    this.#event(() => {
      const wasServing = this.#fleet.isServing(facts.id);
      const { revision } = this.#fleet;
      const changes = this.#fleet.tell(facts);
      for (const { instance } of changes) this.#onChanged(instance);
      const isForOthers = this.#fleet.revision !== revision;
      if (isForOthers || changes.some(hasLeft) || (wasServing && !this.#fleet.isServing(facts.id)))
        for (const task of this.#requeue.releaseBatches(facts.id)) this.#effects.changed(task);
      if (isForOthers) this.#endInVain();
      if (changes.some(letsIn)) this.#dispatcher.fillAll();
    });
  }

  /**
   * Has the model of these instances loaded, or unloaded as soon as nothing runs there. Whatever waits for it goes first where the operator
   * wants it loaded; it is loaded again where tasks still wait for it.
   */
  ask(instances: readonly InstanceRef[], to: "load" | "unload"): void {
    this.#event(() => this.#loader.ask(this.#those(instances), to));
  }

  /** See `Impossible.tooLargeFor`. */
  tooLargeFor(instances: readonly InstanceRef[], gpuId: number | null): string | null {
    return this.#impossible.tooLargeFor(this.#those(instances), gpuId);
  }

  /** Without those that are not there any more. */
  #those(refs: readonly InstanceRef[]): readonly Instance[] {
    return refs.flatMap(({ gpuId, id }) => this.#fleet.on(gpuId).filter((one) => one.id === id));
  }

  #onChanged(instance: Instance): void {
    const { state, crowded } = instance.facts;
    this.#waiting.limit(roomFor(instance.facts));
    if (!HAS_WORKER.has(state)) this.#prefixes?.clear(instance);
    // The task that it was reserved for may go elsewhere then.
    if (state !== "ready" || crowded !== null) this.#dispatcher.release(instance);
  }

  /**
   * Admits new tasks of one caller, all or none, and places those that can start now.
   *  1. Refuse tasks that no GPU could ever run, and those over the caller's limits, before any state changes.
   *  2. Reserve slots, by the grouping's rule.
   *  3. The tasks without a slot must fit into the queue; if they do not, give the slots back and refuse.
   *  4. Only now start the reserved and queue the rest.
   * @throws {AltLasError} `draining`, `rate_limited`, `queue_full`, and those of `Admission.refuseImpossible`
   */
  submit(tasks: readonly Task[], grouping: Grouping): void {
    this.#event(() => {
      if (this.#draining) throw draining();
      this.#admission.refuseImpossible(tasks); // 1
      this.callers.admit(tasks, this.#fleet.largestContext);
      const plan = this.#planner.plan(tasks, grouping); // 2
      const problem = this.#admission.overflow(plan.entries.flatMap(tasksOf));
      if (problem !== null) {
        plan.undo();
        this.callers.refuse(tasks);
        throw problem; // 3
      }
      for (const { task, instance, placement } of plan.placed) this.#life.start(task, instance, placement); // 4
      for (const entry of plan.entries) this.#waiting.add(entry);
      for (const task of tasks) this.#deadlines.watch(task);
    });
  }

  /**
   * Takes over tasks of an earlier server. Queued ones keep their order; running ones queue again, or go on where they are `adopted`.
   * Those whose clients have left with that server, or whose texts were in its memory, end.
   */
  restore(tasks: readonly Task[], adopted: ReadonlyMap<Task, InstanceRef> = new Map()): void {
    this.#event(() => {
      this.#lastRestored = tasks.reduce((last, { seq }) => Math.max(last, seq), this.#lastRestored);
      const before = tasks.map((task) => ({ status: task.status, shown: shownGpuId(task) }));
      for (const task of tasks) task.waitsSince = waitedSince(task, this.#now());
      for (const [task, at] of adopted) this.#planner.adopt(this.#fleet.get(at), task);
      const waiting = tasks.filter((task) => {
        if (adopted.has(task)) return false;
        const wasRunning = task.status === "running";
        if (wasRunning) endAttempt(task, "server_restart", this.#life.moment(task));
        if (task.endsWithClient || task.texts === "never") this.#life.abandon(task);
        else if (!wasRunning || this.#life.again(task)) return true;
        return false;
      });
      this.#requeue.add(waiting);
      for (const task of [...waiting, ...adopted.keys()]) this.#deadlines.watch(task);
      for (const [index, task] of tasks.entries()) {
        const { status, shown } = before[index]!;
        if (task.status !== status || shownGpuId(task) !== shown) this.#effects.changed(task);
      }
      // While there was no server, the GPUs may have changed, and some tasks may have become too late.
      this.#endInVain();
      this.#ring();
      this.#dispatcher.fillAll();
    });
  }

  /** A run has ended and its slot is free; the slot is filled before anything else happens. */
  finished(task: Task, outcome: Outcome): void {
    this.#event(() => {
      const instance = this.#fleet.of(task);
      const wasCapped = this.callers.isCapped(task);
      if (outcome.status === "interrupted") this.#tryElsewhere(instance, task, outcome);
      else {
        const result = resultOf(outcome);
        this.#planner.ended(instance, task, result);
        this.#life.finish(task, outcome);
      }
      // Its caller or its team may run more now, on any GPU.
      if (wasCapped) this.#loader.lookAgain();
      if (wasCapped || task.status === "queued") this.#dispatcher.fillAll();
      else for (const one of this.#fleet.on(instance.gpuId)) this.#dispatcher.fill(one);
      this.#effects.changed(task);
    });
  }

  /**
   * An instance has lost its worker. Its tasks wait again, each in the place of its age. `setGpu` may come before or after.
   * @param reason `nonsense`: a GPU that is lost because of what it computed for one of them
   * @param sentence the cause; null: the reason says it all
   */
  interrupted(
    ref: InstanceRef,
    reason: Exclude<Interruption, "server_restart" | "out_of_memory"> | "nonsense",
    sentence: string | null = null,
  ): void {
    this.#event(() => {
      const instance = this.#fleet.get(ref);
      const cutOff = [...instance.running];
      const nonsense = reason === "nonsense";
      const circumstances = { alone: cutOff.length === 1, error: sentence, nonsense };
      this.#fleet.losesWorker(instance);
      this.#dispatcher.release(instance);
      for (const task of cutOff) {
        this.#planner.vacate(instance, task, 0, false);
        endAttempt(task, nonsense ? "gpu_lost" : reason, this.#life.moment(task), circumstances);
      }
      this.#prefixes?.clear(instance);
      this.#requeue.addAfterPause(cutOff.filter((task) => this.#life.again(task)));
      for (const task of cutOff) this.#effects.changed(task);
      this.#dispatcher.fillAll();
    });
  }

  /** Cancels tasks. A waiting one ends at once, a running one when its worker has stopped it. One that has ended stays as it is. */
  cancel(tasks: readonly Task[]): void {
    this.#event(() => {
      const waiting = tasks.filter(({ status }) => status === "queued");
      this.#waiting.removeTasks(waiting);
      for (const task of tasks) {
        if (task.status === "queued") this.#life.endWaiting(task, "canceled", null);
        else if (task.status === "running") this.#life.stop(task, "canceled");
      }
      // They may have kept the rest of their batch from a GPU, or an instance reserved.
      if (waiting.length > 0) this.#dispatcher.fillAll();
    });
  }

  /** Ends waiting tasks that no GPU can do any more, and new ones whose GPUs all failed to come up; an earlier run's wait for an operator. */
  #endInVain(): void {
    if (this.#waiting.tasks === 0) return;
    const inVain = this.#waiting.inVain(({ model, needs }, pinnedGpuId) =>
      this.#impossible.inVain({ model, needs, pinnedGpuId }),
    );
    for (const [task, error] of this.#waiting.inVain((_demand, gpuId) => this.#impossible.unserved(gpuId)))
      if (task.seq > this.#lastRestored && !inVain.has(task)) inVain.set(task, error);
    this.#waiting.removeTasks([...inVain.keys()]);
    for (const [task, error] of inVain) this.#life.endWaiting(task, "failed", error);
  }

  // --- time ----------------------------------------------------------------------------------------------------

  /** Handles one event: first the alarms that are due, so that no task starts too late; last it sets the next alarm. */
  #event(happens: () => void): void {
    this.#eventAt = this.#now();
    try {
      this.#ring();
      happens();
      if (this.#waiting.takeRegrouped()) this.#endInVain();
      this.#dispatcher.releaseStale();
      for (const instance of this.#loader.settle()) this.#dispatcher.fill(instance);
    } finally {
      const next = Math.min(this.#deadlines.next, this.#loader.next);
      if (next !== this.#alarmAt) {
        this.#alarmAt = next;
        this.#effects.alarm(next);
      }
    }
  }

  #ring(): void {
    const now = this.#eventAt;
    let alarm = this.#deadlines.takeDue(now);
    if (alarm === undefined) return;
    const late = new Map<Task, TaskError>();
    // If a hundred thousand are late together, the rest follows with the next event; nothing is placed before that.
    for (let left = ALARMS_AT_ONCE; alarm !== undefined; alarm = --left > 0 ? this.#deadlines.takeDue(now) : undefined)
      this.#onAlarm(alarm, late);
    // All in one call: taking one task out of a batch that waits as one costs as much as the whole batch.
    this.#waiting.removeTasks([...late.keys()]);
    for (const [task, error] of late) this.#life.endWaiting(task, "failed", error);
    this.#dispatcher.fillAll();
  }

  /** @param late gets the waiting tasks that are too late */
  #onAlarm({ kind, task, at }: Alarm, late: Map<Task, TaskError>): void {
    switch (kind) {
      case "deadline":
        if (task.status === "queued") late.set(task, deadlineError(task));
        else if (task.status === "running") this.#life.stop(task, "timeout");
        return;
      case "queue": {
        const { queueTimeout } = this.#settings;
        // It may have run since, and wait again.
        if (task.status === "queued" && queueTimeIsOver(task, queueTimeout, at))
          late.set(task, queueError(task, queueTimeout));
        return;
      }
      case "retry":
        if (this.#waiting.wake(task)) this.#requeue.add([task]);
    }
  }

  /** The GPU could not do a task. Another one may, or this one later. */
  #tryElsewhere(instance: Instance, task: Task, { reason, sentence, retryAfter }: CutOff): void {
    this.#planner.vacate(instance, task, 0, false);
    endAttempt(task, reason, this.#life.moment(task), { error: sentence });
    if (this.#life.again(task)) this.#requeue.addAfterPause([task], retryAfter);
  }
}

/** The most alarms handled within one event. */
const ALARMS_AT_ONCE = 2000;
