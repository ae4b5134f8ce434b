/**
 * Decides which GPU runs which task, and when. It does nothing itself: events come in by method calls, and what is to
 * be done goes out through `Effects`. No I/O, no timers, no clock but the one it is given, so plain calls test it.
 *
 * What holds after every call:
 *  - a GPU's running set has at most `slots` tasks, and every task in it is `running` with that `gpuId`;
 *  - no waiting task could be placed: whenever something changes that could let one in, the queues are gone through.
 */
import { AltLasError } from "../errors.ts";
import { type GpuFacts, isServing, mayServeAgain } from "../gpu/status.ts";
import { type Attempt, type Interruption, type Outcome, type Placement, type Task, transition } from "../task.ts";
import { crashesOf, endAttempt, mustRunAlone } from "./attempts.ts";
import { DrainRate } from "./drain-rate.ts";
import { Eligibility } from "./eligibility.ts";
import { type Mappings } from "./mappings.ts";
import { certainlyTooLong, type Gpu, leastTokens, obstacle, record } from "./placement.ts";
import { type Entry, tasksOf, Waiting } from "./waiting.ts";
import { strategies } from "./strategies/index.ts";

/** What the scheduler has others do. None of these may call back into it before they return. */
export interface Effects {
  /** Give the task to that GPU's worker. */
  run(gpuId: number, task: Task): void;
  /** Have that GPU's worker stop the task; `finished` is called when it has. */
  cancel(gpuId: number, task: Task): void;
  /** The task's state changed after its submission. */
  changed(task: Task): void;
}

export interface SchedulerSettings {
  /** Tasks that may wait. */
  readonly maxQueueSize: number;
  /** Bytes of text, in UTF-8, that may wait. */
  readonly maxQueueBytes: number;
  readonly minBatchSizePerGpu: number;
  readonly mappings: Mappings;
  /** Attempts that may end in a worker's death before the task fails. */
  readonly maxCrashes: number;
}

/** How a submission is to be placed: each task by itself, spread over chosen GPUs, or all on one. */
export type Grouping = "single" | "split" | "whole";

export class Scheduler {
  readonly #settings: SchedulerSettings;
  readonly #effects: Effects;
  /** Unix milliseconds. */
  readonly #now: () => number;
  /** Uniform in [0, 1). */
  readonly #random: () => number;
  readonly #drainRate: DrainRate;
  /** In `gpu_id` order. */
  readonly #gpus: Gpu[] = [];
  readonly #byId = new Map<number, Gpu>();
  readonly #waiting: Waiting;
  readonly #eligibility: Eligibility;
  /** Running tasks that are to be canceled: should their worker die first, they do not wait for another one. */
  readonly #canceling = new WeakSet<Task>();
  #lastRoundRobin: number | null = null;
  #draining = false;

  constructor(settings: SchedulerSettings, effects: Effects, now: () => number, random: () => number) {
    this.#settings = settings;
    this.#effects = effects;
    this.#now = now;
    this.#random = random;
    this.#drainRate = new DrainRate(now);
    const { mappings, maxCrashes } = settings;
    this.#waiting = new Waiting(mappings.keys(), (task) => mustRunAlone(task, maxCrashes));
    this.#eligibility = new Eligibility({ gpus: this.#gpus, waiting: this.#waiting, mappings, maxCrashes });
  }

  get gpus(): readonly Gpu[] {
    return this.#gpus;
  }

  /** Tasks waiting. */
  get queueSize(): number {
    return this.#waiting.tasks;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Places nothing from now on; what runs goes on, and what waits keeps waiting. */
  drain(): void {
    this.#draining = true;
  }

  /** Learns of a GPU, or of a change to one, and places what that lets in. Tasks that run there go on until `interrupted` is called. */
  setGpu(facts: GpuFacts): void {
    const known = this.#byId.get(facts.id);
    const served = this.#isServing(facts.id);
    if (known !== undefined) known.facts = facts;
    else this.#addGpu({ facts, running: new Set() });
    if (served && !isServing(facts.state)) this.#releaseBatches(facts.id);
    this.#fillAll();
  }

  /**
   * Admits new tasks, all or none, and places what can be placed.
   *  1. Refuse what no GPU could ever run, before anything is touched.
   *  2. Reserve slots, by the grouping's rule.
   *  3. What found no slot must fit into the queue; if it does not, give the slots back and refuse.
   *  4. Only now start the reserved and queue the rest.
   * @throws {AltLasError} `draining`, `no_usable_gpu`, `invalid_input`, `prompt_too_long`, `queue_full`
   */
  submit(tasks: readonly Task[], grouping: Grouping): void {
    if (this.#draining)
      throw new AltLasError("draining", "The server is stopping and takes no new tasks.", { retryAfter: 5 });
    this.#refuseImpossible(tasks); // 1
    this.#refuseOversized(tasks);
    const turn = this.#lastRoundRobin;
    const plan = this.#plan(tasks, grouping); // 2
    const waiting = plan.entries.flatMap(tasksOf);
    const problem = this.#overflow(waiting);
    if (problem !== null) {
      for (const [task, placement] of plan.placed) this.#gpu(placement.gpuId).running.delete(task);
      this.#lastRoundRobin = turn;
      throw problem; // 3
    }
    for (const [task, placement] of plan.placed) this.#start(task, placement); // 4
    for (const entry of plan.entries) this.#waiting.add(entry);
  }

  /** Takes over tasks of an earlier life of the server; queued ones keep their order, interrupted ones go back into the queue. */
  restore(tasks: readonly Task[]): void {
    const before = tasks.map(({ status, gpuId }) => ({ status, gpuId }));
    const waiting = tasks.filter(({ status }) => status === "queued");
    for (const task of waiting) if (task.pinnedGpuId === null && !this.#isServing(task.gpuId)) task.gpuId = null;
    for (const task of tasks) {
      if (task.status === "running" && this.#backToQueued(task, "server_restart")) waiting.push(task);
    }
    this.#waitAgain(waiting);
    for (const [index, task] of tasks.entries()) {
      const { status, gpuId } = before[index]!;
      if (task.status !== status || task.gpuId !== gpuId) this.#effects.changed(task);
    }
    this.#fillAll();
  }

  /** A run has ended and its slot is free; the slot is filled before anything else happens. */
  finished(task: Task, outcome: Outcome): void {
    const gpu = this.#gpu(task.gpuId!);
    this.#leave(gpu, task, outcome.status);
    transition(task, outcome.status);
    task.finishedAt = this.#now();
    if (outcome.status === "completed") task.result = outcome.result;
    if (outcome.status === "failed") task.error = outcome.error;
    this.#drainRate.count();
    this.#fill(gpu);
    this.#effects.changed(task);
  }

  /**
   * A GPU's worker is gone: what ran there waits again, at the place its age gives it. `setGpu` may tell what has become of the GPU
   * before this or after it.
   */
  interrupted(gpuId: number, reason: Exclude<Interruption, "server_restart">): void {
    const gpu = this.#gpu(gpuId);
    const cutOff = [...gpu.running];
    // Without its worker it can start nothing, whatever was said of it last: it is as good as starting until it is heard of again.
    if (gpu.facts.state === "ready") gpu.facts = { ...gpu.facts, state: "starting" };
    this.#waitAgain(cutOff.filter((task) => this.#backToQueued(task, reason)));
    for (const task of cutOff) this.#effects.changed(task);
    this.#fillAll();
  }

  /** Cancels a task: at once when it waits, when its worker has stopped it when it runs. */
  cancel(task: Task): void {
    if (task.status === "running") {
      this.#canceling.add(task);
      return this.#effects.cancel(task.gpuId!, task);
    }
    if (task.status !== "queued") return;
    this.#waiting.removeTask(task);
    transition(task, "canceled");
    task.finishedAt = this.#now();
    this.#effects.changed(task);
    // It may have been what kept the rest of its batch from a GPU.
    this.#fillAll();
  }

  // --- admission -----------------------------------------------------------------------------------------------

  #refuseImpossible(tasks: readonly Task[]): void {
    for (const [index, task] of tasks.entries()) {
      const gpus = this.#eligibility.everPossible(task);
      if (gpus.length === 0) throw this.#noGpu(task);
      if (!gpus.every(({ facts }) => certainlyTooLong(task.text, facts))) continue;
      const { facts } = gpus.reduce((a, b) => ((a.facts.context ?? 0) >= (b.facts.context ?? 0) ? a : b));
      const name = task.batchId === null ? "text" : `batch[${index}].text`;
      throw new AltLasError(
        "prompt_too_long",
        `${name} has at least ${leastTokens(task.text, facts)} tokens, which leaves no room for one more in the context of ${facts.context} tokens.`,
      );
    }
  }

  /** A batch for which even an idle server has no room would be sent again for ever if it were told to come back later. */
  #refuseOversized(tasks: readonly Task[]): void {
    const slots = this.#gpus.reduce((sum, { facts }) => sum + (mayServeAgain(facts.state) ? facts.slots : 0), 0);
    const room = this.#settings.maxQueueSize + slots;
    if (tasks.length <= Math.max(1, room)) return;
    const why = `${slots} slots and a queue of ${this.#settings.maxQueueSize} (gpu.multi_gpu.max_queue_size)`;
    throw new AltLasError(
      "invalid_input",
      `batch has ${tasks.length} items; this server has room for ${room}: ${why}.`,
    );
  }

  #noGpu(task: Task): AltLasError {
    const { pinnedGpuId } = task;
    if (pinnedGpuId !== null && !this.#byId.has(pinnedGpuId)) {
      const ids = this.#gpus.map(({ facts }) => facts.id).join(", ");
      return new AltLasError(
        "invalid_input",
        `gpu_options.specific_gpu_id must be the id of a GPU (${ids}); got ${pinnedGpuId}.`,
      );
    }
    const wanted = this.#gpus.filter(({ facts }) => pinnedGpuId === null || facts.id === pinnedGpuId);
    const reasons = wanted.map(({ facts }) => `GPU ${facts.id}: ${facts.reason ?? `It is ${facts.state}.`}`);
    const what = pinnedGpuId === null ? "No GPU can run tasks" : `GPU ${pinnedGpuId} cannot run tasks`;
    return new AltLasError("no_usable_gpu", `${what}. ${reasons.join(" ")}`, { retryAfter: NO_GPU_RETRY_SECONDS });
  }

  #overflow(waiting: readonly Task[]): AltLasError | null {
    if (waiting.length === 0) return null;
    const { maxQueueSize, maxQueueBytes } = this.#settings;
    const bytes = waiting.reduce((sum, task) => sum + Buffer.byteLength(task.text), 0);
    const full =
      this.#waiting.tasks + waiting.length > maxQueueSize
        ? `${this.#waiting.tasks} of at most ${maxQueueSize} tasks wait (gpu.multi_gpu.max_queue_size)`
        : this.#waiting.bytes + bytes > maxQueueBytes
          ? `${this.#waiting.bytes} of at most ${maxQueueBytes} bytes of text wait (gpu.multi_gpu.max_queue_bytes)`
          : null;
    if (full === null) return null;
    const retryAfter = this.#drainRate.secondsFor(waiting.length);
    return new AltLasError(
      "queue_full",
      `The queue has no room for ${waiting.length} more: ${full}. Try again in ${retryAfter} s.`,
      {
        retryAfter,
      },
    );
  }

  /** Reserves slots for new tasks; what found none comes back as entries for the queue. */
  #plan(tasks: readonly Task[], grouping: Grouping): { placed: [Task, Placement][]; entries: Entry[] } {
    if (grouping === "whole") return this.#planWhole(tasks);
    const dealt = grouping === "split" && this.#settings.minBatchSizePerGpu > 1 ? this.#chooseDistinct(tasks) : null;
    const placed: [Task, Placement][] = [];
    const entries: Entry[] = [];
    for (const [index, task] of tasks.entries()) {
      const placement = this.#reserveOn(dealt?.[index % dealt.length], task) ?? this.#choose([task]);
      if (placement === null) entries.push(task);
      else placed.push([task, placement]);
    }
    return { placed, entries };
  }

  /** One GPU for all, chosen once; those beyond its free slots wait for it. No GPU: the batch waits as one. */
  #planWhole(tasks: readonly Task[]): { placed: [Task, Placement][]; entries: Entry[] } {
    const first = this.#choose(tasks);
    if (first === null) return { placed: [], entries: [{ seq: tasks[0]!.seq, tasks }] };
    const placed: [Task, Placement][] = [[tasks[0]!, first]];
    const entries: Entry[] = [];
    for (const task of tasks.slice(1)) {
      task.gpuId = first.gpuId;
      const placement = this.#reserveOn(first, task);
      if (placement !== null) placed.push([task, placement]);
      else entries.push(task);
    }
    return { placed, entries };
  }

  /**
   * The GPUs that a split batch of n is dealt to: max(1, ⌊n/m⌋) distinct ones that the strategy picks, fewer if fewer are eligible.
   * Each choice is made as if for the first task.
   */
  #chooseDistinct(tasks: readonly Task[]): Placement[] {
    const wanted = Math.max(1, Math.floor(tasks.length / this.#settings.minBatchSizePerGpu));
    const chosen: Placement[] = [];
    const taken = new Set<number>();
    while (chosen.length < wanted) {
      const placement = this.#decide([tasks[0]!], taken);
      if (placement === null) break;
      taken.add(placement.gpuId);
      chosen.push(placement);
    }
    return chosen;
  }

  // --- choosing ------------------------------------------------------------------------------------------------

  /** Chooses a GPU for tasks that are placed together, and reserves the first one's slot; null: none is eligible. */
  #choose(tasks: readonly Task[]): Placement | null {
    const placement = this.#decide(tasks, NONE);
    if (placement !== null) this.#gpu(placement.gpuId).running.add(tasks[0]!);
    return placement;
  }

  /** Chooses without reserving. */
  #decide(tasks: readonly Task[], without: ReadonlySet<number>): Placement | null {
    if (this.#draining) return null;
    const eligible: Gpu[] = [];
    const others: Record<string, number> = {};
    for (const gpu of this.#gpus) {
      const why = without.has(gpu.facts.id) ? "chosen already" : this.#eligibility.whyNot(gpu, tasks);
      if (why === null) eligible.push(gpu);
      else others[why] = (others[why] ?? 0) + 1;
    }
    if (eligible.length === 0) return null;
    const task = tasks[0]!;
    if (task.gpuId !== null) return this.#withoutStrategy(task, eligible[0]!, others);
    const strategy = strategies[task.strategy];
    const choice = strategy.choose(eligible, { lastRoundRobin: this.#lastRoundRobin, draw: this.#random() });
    if (task.strategy === "round_robin") this.#lastRoundRobin = choice.gpu.facts.id;
    return record(task.strategy, strategy, choice, eligible, others);
  }

  #withoutStrategy(task: Task, gpu: Gpu, others: Record<string, number>): Placement {
    const name = task.pinnedGpuId === null ? "batch" : "pinned";
    const why = name === "batch" ? "its batch was not to be split" : "the request named it";
    const reason = `GPU ${gpu.facts.id} alone may run this task: ${why}.`;
    return record(name, strategies.random, { gpu, reason }, [gpu], others);
  }

  /** Reserves a slot on the GPU of a decision already made; null: that GPU has no room. */
  #reserveOn(decision: Placement | undefined, task: Task): Placement | null {
    if (decision === undefined) return null;
    const gpu = this.#gpu(decision.gpuId);
    if (this.#eligibility.whyNot(gpu, [task]) !== null) return null;
    gpu.running.add(task);
    return decision;
  }

  // --- running -------------------------------------------------------------------------------------------------

  /** Starts a task whose slot is reserved. */
  #start(task: Task, placement: Placement): void {
    transition(task, "running");
    task.gpuId = placement.gpuId;
    task.startedAt = this.#now();
    task.placement = placement;
    task.attempts.push({ gpuId: placement.gpuId, startedAt: task.startedAt, endedAt: null, reason: null });
    this.#effects.run(placement.gpuId, task);
  }

  #leave(gpu: Gpu, task: Task, reason: Attempt["reason"]): void {
    if (!gpu.running.delete(task)) throw new Error(`task ${task.id} does not run on GPU ${gpu.facts.id}`);
    endAttempt(task, reason, this.#now());
  }

  /** Takes a running task from its GPU; false: it was to be canceled, or has been cut off too often, and has ended. */
  #backToQueued(task: Task, reason: Interruption): boolean {
    if (task.gpuId !== null) this.#byId.get(task.gpuId)?.running.delete(task);
    endAttempt(task, reason, this.#now());
    if (this.#canceling.has(task)) {
      transition(task, "canceled");
      task.finishedAt = this.#now();
      return false;
    }
    const crashes = crashesOf(task);
    if (crashes >= this.#settings.maxCrashes) {
      transition(task, "failed");
      task.finishedAt = this.#now();
      task.error = {
        code: "worker_crash",
        sentence: `The worker died ${crashes} times while this task ran; it is not tried again.`,
      };
      return false;
    }
    transition(task, "queued");
    task.startedAt = null;
    const staysBound = task.pinnedGpuId !== null || (task.wholeBatch && this.#isServing(task.gpuId));
    if (!staysBound) task.gpuId = null;
    return true;
  }

  // --- filling slots -------------------------------------------------------------------------------------------

  #fillAll(): void {
    if (this.#waiting.tasks === 0) return;
    for (const gpu of this.#gpus) this.#fill(gpu);
  }

  /** Gives a GPU the oldest entries it can serve, until it has no slot or there are none. */
  #fill(gpu: Gpu): void {
    while (this.#waiting.tasks > 0 && !this.#draining && obstacle(gpu) === null) {
      if (this.#eligibility.isHeld(gpu)) return;
      const entry = this.#oldestFor(gpu);
      if (entry === undefined) return;
      const alone = this.#waiting.loners.has(entry);
      // It is this one's turn, but not before the GPU is empty.
      if (alone && gpu.running.size > 0) return;
      this.#place(entry);
      // Others that were emptying for it may go on.
      if (alone) return this.#fillAll();
    }
  }

  #oldestFor(gpu: Gpu): Entry | undefined {
    const fits = (entry: Entry): boolean => this.#eligibility.misfit(gpu, tasksOf(entry)) === null;
    return this.#waiting.oldest(gpu.facts.id, fits, (type) => this.#eligibility.servesType(gpu, type));
  }

  /** Starts an entry for which some GPU is eligible; what a batch has beyond its GPU's slots waits for that GPU. */
  #place(entry: Entry): void {
    this.#waiting.remove(entry);
    const grouping = "tasks" in entry ? "whole" : "single";
    const { placed, entries } = this.#plan(tasksOf(entry), grouping);
    for (const [task, placement] of placed) {
      this.#start(task, placement);
      this.#effects.changed(task);
    }
    for (const rest of entries) {
      this.#waiting.add(rest);
      for (const task of tasksOf(rest)) this.#effects.changed(task);
    }
  }

  /** What waits of batches bound to a GPU that serves no more looks for another one. */
  #releaseBatches(gpuId: number): void {
    const bound = this.#waiting.boundTo(gpuId).filter(({ pinnedGpuId }) => pinnedGpuId === null);
    for (const task of bound) {
      this.#waiting.remove(task);
      task.gpuId = null;
    }
    this.#waitAgain(bound);
    for (const task of bound) this.#effects.changed(task);
  }

  /**
   * Lets tasks that have waited or run before wait at the place in the queue that their age gives them. Those of a batch that is not to
   * be split, and has lost its GPU, follow the part of it that has found another, or wait as one.
   */
  #waitAgain(tasks: readonly Task[]): void {
    const unbound = tasks.filter(({ wholeBatch, gpuId }) => wholeBatch && gpuId === null);
    for (const task of tasks) if (!task.wholeBatch || task.gpuId !== null) this.#waiting.add(task);
    if (unbound.length === 0) return;
    const homes = this.#homes();
    for (const [batchId, batch] of Map.groupBy(unbound, (task) => task.batchId)) {
      const home = homes.get(batchId);
      if (home === undefined) this.#waiting.addTogether(batch);
      else for (const task of batch) this.#waiting.add(Object.assign(task, { gpuId: home }));
    }
  }

  /** The serving GPUs that batches are bound to, by batch id. */
  #homes(): ReadonlyMap<string | null, number> {
    const homes = new Map<string | null, number>();
    for (const { facts, running } of this.#gpus) {
      if (!isServing(facts.state)) continue;
      const here = [...running, ...this.#waiting.boundTo(facts.id)];
      for (const task of here) if (task.wholeBatch) homes.set(task.batchId, facts.id);
    }
    return homes;
  }

  #isServing(gpuId: number | null): boolean {
    const gpu = gpuId === null ? undefined : this.#byId.get(gpuId);
    return gpu !== undefined && isServing(gpu.facts.state);
  }

  #addGpu(gpu: Gpu): void {
    this.#byId.set(gpu.facts.id, gpu);
    this.#gpus.push(gpu);
    this.#gpus.sort((a, b) => a.facts.id - b.facts.id);
  }

  #gpu(id: number): Gpu {
    const gpu = this.#byId.get(id);
    if (gpu === undefined) throw new Error(`there is no GPU ${id}`);
    return gpu;
  }
}

const NONE: ReadonlySet<number> = new Set();

/** When no GPU is usable, only an operator can mend it; a client may look again in this many seconds. */
const NO_GPU_RETRY_SECONDS = 60;
