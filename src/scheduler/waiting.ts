/**
 * All waiting tasks. There is a queue, in the order of submission, for each caller, demand, set of GPUs, priority and class of sizes. So
 * finding the task for a free slot takes a look at the fronts of few queues.
 */
import { PRIORITIES, type Task, type TaskError } from "../task.ts";
import { hasFailed } from "./attempts.ts";
import type { Callers } from "./callers.ts";
import { type Demand, demandOf, Demands, isPlain } from "./demand.ts";
import { heapCostOf } from "./heap-cost.ts";
import { type Lane, Lanes } from "./lanes.ts";
import { type Entry, firstOf, type SizedQueue, Sizes, tasksOf, type WaitingBatch } from "./queue.ts";

export { type Entry, firstOf, tasksOf } from "./queue.ts";

/** The conditions for an entry that may take a free slot. */
export interface Wanted {
  readonly gpuId: number;
  /** Whether the entry may go there. */
  readonly fits: (entry: Entry) => boolean;
  /** Whether its model can do what tasks ask. */
  readonly suits: (demand: Demand) => boolean;
  /** Whether the GPU is among those that tasks of a mapped type wait for. */
  readonly servesType: (type: string, demand: Demand) => boolean;
  /** Whether texts of this length are too long for the GPU. @param type the mapped type of their tasks; null: tasks that may go anywhere */
  readonly isTooSmall: (bytes: number, type: string | null, demand: Demand) => boolean;
}

/** A queue that is not empty. */
export interface Line {
  readonly front: Entry;
  /** Entries in it. */
  readonly count: number;
  readonly demand: Demand;
  /** Names the GPUs that its entries wait for, and their class of sizes. */
  readonly place: string;
}

/** Those of one caller: by the team for which they count, then by what they ask. */
type Own = Map<string | null, Map<Demand, Lanes>>;

/** By what tasks ask that may go anywhere: the sizes that fit into a GPU; null: it does not suit them. */
type Fitting = Map<Demand, readonly boolean[] | null>;

export class Waiting {
  readonly #callers: Callers;
  #mappedTypes: ReadonlySet<string>;
  /** Milliseconds of waiting that lift a task by one priority. */
  readonly #ageing: number;
  readonly #sizes = new Sizes();
  /** By caller. */
  readonly #queues = new Map<string, Own>();
  readonly #demands = new Demands();
  /** Those that wait as one, by batch id. */
  readonly #batches = new Map<string | null, WaitingBatch>();
  /** Tasks that were cut off and must not run again yet. */
  readonly #resting = new Set<Task>();
  /** Whether a batch has become larger that waits as one. */
  #regrouped = false;
  #turns = 0;
  #tasks = 0;
  #bytes = 0;
  #heap = 0;

  /** @param mappedTypes the task types that have GPUs of their own @param ageing milliseconds */
  constructor(callers: Callers, mappedTypes: Iterable<string>, ageing: number) {
    this.#callers = callers;
    this.#mappedTypes = new Set(mappedTypes);
    this.#ageing = ageing;
  }

  /** Tasks waiting. */
  get tasks(): number {
    return this.#tasks;
  }

  /** Grows when something else waits than before, and not only more or less of the same. */
  get turns(): number {
    return this.#turns;
  }

  /** Bytes of their texts in UTF-8. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes of the heap that they take, without their texts. */
  get heap(): number {
    return this.#heap;
  }

  /** Adds a limit: texts of up to so many bytes fit into some GPU. */
  limit(bytes: number): void {
    const index = this.#sizes.split(bytes);
    if (index === null) return;
    for (const queues of this.#all())
      for (const lane of [...queues.unbound, ...queues.byGpu.values()]) for (const queue of lane) queue.split(index);
  }

  /** Other task types have GPUs of their own from now on. */
  map(types: Iterable<string>): void {
    const before = this.#mappedTypes;
    this.#mappedTypes = new Set(types);
    for (const lanes of this.#all()) lanes.remap(before, this.#mappedTypes);
    this.#turns++;
  }

  add(entry: Entry): void {
    const queues = this.#queuesOf(entry);
    queues.entries++;
    const isNew = this.#queueIn(queues, entry).insert(entry);
    // Where one may run that was cut off depends on where that was.
    if (isNew || ("tasks" in entry ? entry.tasks.some(hasFailed) : hasFailed(entry))) this.#turns++;
    this.#count(entry, 1);
    if ("tasks" in entry) this.#batches.set(entry.tasks[0]!.batchId, entry);
  }

  /** Lets a task wait outside the queues, until `wake`. */
  rest(task: Task): void {
    this.#resting.add(task);
    this.#count(task, 1);
  }

  /** Ends the rest of a task, which then waits nowhere. @returns false: it did not rest */
  wake(task: Task): boolean {
    if (!this.#resting.delete(task)) return false;
    this.#count(task, -1);
    return true;
  }

  /** Adds tasks of one batch to those of it that wait as one already. */
  addTogether(tasks: readonly Task[]): void {
    const known = this.#batches.get(tasks[0]!.batchId);
    this.#regrouped = true;
    if (known !== undefined) this.remove(known);
    const all = [...(known?.tasks ?? []), ...tasks].toSorted((a, b) => a.seq - b.seq);
    this.add({ seq: all[0]!.seq, tasks: all });
  }

  remove(entry: Entry): void {
    const { user, team } = firstOf(entry);
    const queues = this.#queuesOf(entry);
    if (this.#queueIn(queues, entry).remove(entry)) this.#turns++;
    // There are hundreds of ways to ask, and a caller that has tried them all must not keep queues for each.
    if (--queues.entries === 0 && !isPlain(queues.demand)) this.#queues.get(user)!.get(team)!.delete(queues.demand);
    this.#count(entry, -1);
    if ("tasks" in entry) this.#batches.delete(entry.tasks[0]!.batchId);
  }

  /** Takes out some tasks, also from the middle of batches that wait as one. */
  removeTasks(tasks: readonly Task[]): void {
    const fromBatches = new Map<WaitingBatch, Set<Task>>();
    for (const task of tasks) {
      if (this.wake(task)) continue;
      const batch = this.batchOf(task);
      if (batch === undefined) this.remove(task);
      else fromBatches.set(batch, (fromBatches.get(batch) ?? new Set<Task>()).add(task));
    }
    for (const [batch, gone] of fromBatches) {
      this.remove(batch);
      const rest = batch.tasks.filter((task) => !gone.has(task));
      if (rest.length > 0) this.add({ seq: rest[0]!.seq, tasks: rest });
    }
  }

  isResting(task: Task): boolean {
    return this.#resting.has(task);
  }

  /** The batch as a part of which a task waits; undefined: it waits by itself. */
  batchOf(task: Task): WaitingBatch | undefined {
    return task.boundTo === null && task.wholeBatch ? this.#batches.get(task.batchId) : undefined;
  }

  /** The entries of the same caller that ask the same and come before a task, leaving aside that age lifts some. It need not wait yet. */
  ahead(task: Task): number {
    if (this.#resting.has(task)) return 0;
    const entry = this.batchOf(task) ?? task;
    const lane = this.#laneOf(entry);
    if (lane === undefined) return 0;
    const priority = PRIORITIES.indexOf(firstOf(entry).priority);
    return lane
      .slice(0, priority + 1)
      .reduce((sum, queue, index) => sum + queue.before(index === priority ? entry.seq : Infinity), 0);
  }

  /** The entry whose first task this is; undefined: there is none. */
  entryOf(task: Task): Entry | undefined {
    const batch = this.batchOf(task);
    if (batch !== undefined) return batch.tasks[0] === task ? batch : undefined;
    return this.#laneOf(task)?.[PRIORITIES.indexOf(task.priority)]!.has(task) ? task : undefined;
  }

  /**
   * Tasks that will probably get slots next, those of each caller in their order, without tasks that rest.
   * @param count at most, but at least one of each caller that has some waiting
   */
  upcoming(count: number): Task[] {
    const callers = [...this.#callers.ranking].filter(({ caller }) => caller.queued > 0).slice(0, count);
    const each = Math.ceil(count / Math.max(1, callers.length));
    return callers.flatMap(({ caller }) => {
      const own = this.#queues.get(caller.name);
      if (own === undefined) return [];
      const all = [...own.values()].flatMap((ofTeam) => [...ofTeam.values()]);
      const lanes = all.flatMap((queues) => [...queues.byGpu.values(), ...queues.unbound]);
      const entries = inTurn(lanes.map((lane) => lane.flatMap((queue) => queue.front(each)).slice(0, each)));
      return entries.flatMap((entry) => tasksOf(entry).slice(0, each)).slice(0, Math.max(each, lanes.length));
    });
  }

  /** Looks at the queues that are not empty. */
  eachLine(look: (line: Line) => void): void {
    const lookIn = (lane: Lane, demand: Demand, place: string): void => {
      for (const queue of lane)
        queue.eachClass((size, front, count) =>
          look({ front, count, demand, place: size === 0 ? place : `${place}${size}` }),
        );
    };
    for (const { demand, entries, anywhere, byType, byGpu } of this.#all()) {
      if (entries === 0) continue;
      lookIn(anywhere, demand, "");
      for (const [type, lane] of byType) lookIn(lane, demand, `type ${type} `);
      for (const [gpuId, lane] of byGpu) lookIn(lane, demand, `gpu ${gpuId} `);
    }
  }

  /** The tasks that wait for this GPU and no other. */
  boundTo(gpuId: number): Task[] {
    const lanes = [...this.#all()].flatMap(({ byGpu }) => byGpu.get(gpuId) ?? []);
    return lanes.flatMap((queue) => [...queue].flatMap(tasksOf));
  }

  /** Whether tasks have begun to wait as one since the last call: together they may ask more than one instance can do. */
  takeRegrouped(): boolean {
    const regrouped = this.#regrouped;
    this.#regrouped = false;
    return regrouped;
  }

  /**
   * The tasks that wait in vain, and why.
   * @param why tasks do that ask this; null: they do not. `gpuId`: of the GPU that alone may run them, null: any may
   */
  inVain(why: (demand: Demand, gpuId: number | null) => TaskError | null): Map<Task, TaskError> {
    const found = new Map<Task, TaskError>();
    const look = (lanes: readonly Lane[], error: TaskError | null): void => {
      if (error === null) return;
      for (const queue of lanes.flat())
        for (const entry of queue) for (const task of tasksOf(entry)) found.set(task, error);
    };
    for (const { demand, unbound, byGpu } of this.#all()) {
      look(unbound, why(demand, null));
      for (const [gpuId, lane] of byGpu) look([lane], why(demand, gpuId));
    }
    for (const task of this.#resting) {
      const error = why(task, task.pinnedGpuId);
      if (error !== null) found.set(task, error);
    }
    return found;
  }

  /**
   * The next entry for a GPU: of the caller that has had the least, the one with the highest priority, and of these the oldest. Callers
   * and teams that may run no more tasks are passed over. @param now Unix milliseconds
   */
  next(wanted: Wanted, now: number): Entry | undefined {
    let best: Entry | undefined;
    let lowest = Infinity;
    const fitting: Fitting = new Map();
    for (const { caller, tag, oldest } of this.#callers.ranking) {
      // The next callers have had more; or they have had as much, and have no task as old.
      if (best !== undefined && (tag > lowest || oldest > best.seq)) break;
      const own = caller.queued === 0 || caller.isCapped ? undefined : this.#queues.get(caller.name);
      const entry = own && this.#nextOf(own, wanted, fitting, now);
      if (entry === undefined || (best !== undefined && best.seq < entry.seq)) continue;
      best = entry;
      lowest = tag;
    }
    return best;
  }

  #nextOf(own: Own, wanted: Wanted, fitting: Fitting, now: number): Entry | undefined {
    let best: Entry | undefined;
    let bestLevel = Infinity;
    const consider = (lane: Lane, among: readonly boolean[] | null): void => {
      for (let priority = 0; priority < lane.length; priority++) {
        const entry = lane[priority]!.find(among, wanted.fits);
        if (entry === undefined) continue;
        const level = this.#levelOf(entry, priority, now);
        if (level > bestLevel || (level === bestLevel && best!.seq < entry.seq)) continue;
        best = entry;
        bestLevel = level;
      }
    };
    for (const { demand, anywhere, byType, byGpu } of this.#lanesOf(own)) {
      const classes = this.#fittingOf(demand, wanted, fitting);
      if (classes === null) continue;
      const bound = byGpu.get(wanted.gpuId);
      if (bound !== undefined) consider(bound, null);
      consider(anywhere, classes);
      for (const [type, lane] of byType)
        if (wanted.servesType(type, demand)) consider(lane, this.#classesFor(wanted, type, demand));
    }
    return best;
  }

  /** Without those of teams that may run no more. */
  *#lanesOf(own: Own): Iterable<Lanes> {
    for (const [team, ofTeam] of own) if (this.#callers.teams.of({ team })?.isCapped !== true) yield* ofTeam.values();
  }

  /** The sizes that fit into the GPU; the callers of one search share them. */
  #fittingOf(demand: Demand, wanted: Wanted, fitting: Fitting): readonly boolean[] | null {
    const known = fitting.get(demand);
    if (known !== undefined) return known;
    const classes = wanted.suits(demand) ? this.#classesFor(wanted, null, demand) : null;
    fitting.set(demand, classes);
    return classes;
  }

  /** The sizes that a GPU may take: all but those of which every text is too long for it. */
  #classesFor({ isTooSmall }: Wanted, type: string | null, demand: Demand): readonly boolean[] {
    const fit: boolean[] = [];
    for (let index = 0; index < this.#sizes.count; index++) {
      const [least, most] = this.#sizes.rangeOf(index);
      fit.push(!isTooSmall(least, type, demand) || !isTooSmall(most, type, demand));
    }
    return fit;
  }

  /** Its priority, raised by its age. Within one queue the oldest is raised most, so only the front of each queue matters. */
  #levelOf(entry: Entry, priority: number, now: number): number {
    const lifted = Math.floor(Math.max(0, now - firstOf(entry).createdClock) / this.#ageing);
    return Math.max(0, priority - lifted);
  }

  /** Where it waits, or would. To ask makes nothing. @returns undefined: nothing has waited there yet */
  #laneOf(entry: Entry): Lane | undefined {
    const { user, team } = firstOf(entry);
    return this.#queues.get(user)?.get(team)?.get(this.#demandOf(entry))?.laneOf(entry, this.#mappedTypes);
  }

  #queueIn(lanes: Lanes, entry: Entry): SizedQueue {
    return lanes.queueOf(entry, this.#mappedTypes);
  }

  #queuesOf(entry: Entry): Lanes {
    const { user, team } = firstOf(entry);
    const demand = this.#demandOf(entry);
    let own = this.#queues.get(user);
    if (own === undefined) this.#queues.set(user, (own = new Map()));
    let ofTeam = own.get(team);
    if (ofTeam === undefined) own.set(team, (ofTeam = new Map()));
    let lanes = ofTeam.get(demand);
    if (lanes === undefined) ofTeam.set(demand, (lanes = new Lanes(demand, this.#sizes)));
    return lanes;
  }

  #demandOf(entry: Entry): Demand {
    return this.#demands.get("tasks" in entry ? demandOf(entry.tasks) : entry);
  }

  *#all(): Iterable<Lanes> {
    for (const own of this.#queues.values()) for (const ofTeam of own.values()) yield* ofTeam.values();
  }

  #count(entry: Entry, sign: 1 | -1): void {
    for (const task of tasksOf(entry)) {
      const { size: bytes } = task;
      const heap = heapCostOf(task);
      this.#tasks += sign;
      this.#bytes += sign * bytes;
      this.#heap += sign * heap;
      if (sign === 1) this.#callers.waits(task, bytes, heap);
      else this.#callers.leavesQueue(task, bytes, heap);
    }
  }
}

/** The first entry of each lane, then the second of each, and so on; those of one place by their age. */
function inTurn(lanes: readonly (readonly Entry[])[]): Entry[] {
  const placed = lanes.flatMap((entries) => entries.map((entry, place) => ({ entry, place })));
  return placed.toSorted((a, b) => a.place - b.place || a.entry.seq - b.entry.seq).map(({ entry }) => entry);
}
