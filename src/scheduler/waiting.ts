/**
 * All waiting tasks. There is a queue, in the order of submission, for each caller, set of GPUs, priority and class of sizes. So finding
 * the task for a free slot takes a look at the fronts of few queues.
 */
import { PRIORITIES, type Task } from "../task.ts";
import { type Callers } from "./callers.ts";
import { heapCostOf } from "./heap-cost.ts";
import { type Entry, firstOf, SizedQueue, Sizes, tasksOf, type WaitingBatch } from "./queue.ts";

export { type Entry, firstOf, tasksOf } from "./queue.ts";

/** One queue for each priority, the highest first. */
type Lane = readonly SizedQueue[];

/** The waiting tasks of one caller. */
interface Queues {
  /** For any GPU. */
  readonly anywhere: Lane;
  /** For the GPUs of their mapped task_type. */
  readonly byType: Map<string, Lane>;
  /** For one GPU and no other. */
  readonly byGpu: Map<number, Lane>;
}

/** The conditions for an entry that may take a free slot. */
export interface Wanted {
  readonly gpuId: number;
  /** Whether the entry may go there. */
  readonly fits: (entry: Entry) => boolean;
  /** Whether the GPU is among those that tasks of a mapped type wait for. */
  readonly servesType: (type: string) => boolean;
  /** Whether texts of this length are too long for the GPU. @param type the mapped type of their tasks; null: tasks that may go anywhere */
  readonly isTooSmall: (bytes: number, type: string | null) => boolean;
}

export class Waiting {
  readonly #callers: Callers;
  readonly #mappedTypes: ReadonlySet<string>;
  /** Milliseconds of waiting that lift a task by one priority. */
  readonly #ageing: number;
  readonly #sizes = new Sizes();
  readonly #queues = new Map<string, Queues>();
  /** Those that wait as one, by batch id. */
  readonly #batches = new Map<string | null, WaitingBatch>();
  /** Tasks that were cut off and must not run again yet. */
  readonly #resting = new Set<Task>();
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
    for (const { anywhere, byType, byGpu } of this.#queues.values())
      for (const lane of [anywhere, ...byType.values(), ...byGpu.values()])
        for (const queue of lane) queue.split(index);
  }

  add(entry: Entry): void {
    this.#queueOf(entry).insert(entry);
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
    if (known !== undefined) this.remove(known);
    const all = [...(known?.tasks ?? []), ...tasks].toSorted((a, b) => a.seq - b.seq);
    this.add({ seq: all[0]!.seq, tasks: all });
  }

  remove(entry: Entry): void {
    if (!this.#queueOf(entry).remove(entry)) throw new Error(`entry ${entry.seq} does not wait`);
    this.#count(entry, -1);
    if ("tasks" in entry) this.#batches.delete(entry.tasks[0]!.batchId);
  }

  /** Takes out some tasks, also from the middle of batches that wait as one. */
  removeTasks(tasks: readonly Task[]): void {
    const fromBatches = new Map<WaitingBatch, Set<Task>>();
    for (const task of tasks) {
      if (this.wake(task)) continue;
      const batch = task.boundTo === null && task.wholeBatch ? this.#batches.get(task.batchId) : undefined;
      if (batch === undefined) this.remove(task);
      else fromBatches.set(batch, (fromBatches.get(batch) ?? new Set<Task>()).add(task));
    }
    for (const [batch, gone] of fromBatches) {
      this.remove(batch);
      const rest = batch.tasks.filter((task) => !gone.has(task));
      if (rest.length > 0) this.add({ seq: rest[0]!.seq, tasks: rest });
    }
  }

  /** The entry whose first task this is; undefined: there is none. */
  entryOf(task: Task): Entry | undefined {
    const batch = task.wholeBatch && task.boundTo === null ? this.#batches.get(task.batchId) : undefined;
    if (batch !== undefined) return batch.tasks[0] === task ? batch : undefined;
    return this.#queueOf(task).has(task) ? task : undefined;
  }

  /**
   * Tasks that will probably get slots next, those of each caller in their order, without tasks that rest.
   * @param count at most, but at least one of each caller that has some waiting
   */
  upcoming(count: number): Task[] {
    const callers = [...this.#callers.ranking].filter(({ caller }) => caller.queued > 0).slice(0, count);
    const each = Math.ceil(count / Math.max(1, callers.length));
    return callers.flatMap(({ caller }) => {
      const queues = this.#queues.get(caller.name);
      if (queues === undefined) return [];
      const lanes = [...queues.byGpu.values(), queues.anywhere, ...queues.byType.values()];
      const entries = lanes.flatMap((lane) => lane.flatMap((queue) => queue.front(each)));
      return entries.flatMap((entry) => tasksOf(entry).slice(0, each)).slice(0, Math.max(each, lanes.length));
    });
  }

  /** The tasks that wait for this GPU and no other. */
  boundTo(gpuId: number): Task[] {
    const lanes = [...this.#queues.values()].flatMap(({ byGpu }) => byGpu.get(gpuId) ?? []);
    return lanes.flatMap((queue) => [...queue].flatMap(tasksOf));
  }

  /**
   * The next entry for a GPU: of the caller that has had the least, the one with the highest priority, and of these the oldest. Callers
   * that may run no more tasks are passed over. @param now Unix milliseconds
   */
  next(wanted: Wanted, now: number): Entry | undefined {
    let best: Entry | undefined;
    let lowest = Infinity;
    const classes = this.#classesFor(wanted, null);
    for (const { caller, tag, oldest } of this.#callers.ranking) {
      // The next callers have had more; or they have had as much, and have no task as old.
      if (best !== undefined && (tag > lowest || oldest > best.seq)) break;
      const queues = caller.queued === 0 || caller.isCapped ? undefined : this.#queues.get(caller.name);
      const entry = queues && this.#nextOf(queues, wanted, classes, now);
      if (entry === undefined || (best !== undefined && best.seq < entry.seq)) continue;
      best = entry;
      lowest = tag;
    }
    return best;
  }

  /** @param classes the sizes that fit into the GPU, of tasks that may go anywhere */
  #nextOf(
    { anywhere, byType, byGpu }: Queues,
    wanted: Wanted,
    classes: readonly boolean[],
    now: number,
  ): Entry | undefined {
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
    const bound = byGpu.get(wanted.gpuId);
    if (bound !== undefined) consider(bound, null);
    consider(anywhere, classes);
    for (const [type, lane] of byType) if (wanted.servesType(type)) consider(lane, this.#classesFor(wanted, type));
    return best;
  }

  /** The sizes that a GPU may take: all but those of which every text is too long for it. */
  #classesFor({ isTooSmall }: Wanted, type: string | null): readonly boolean[] {
    const fit: boolean[] = [];
    for (let index = 0; index < this.#sizes.count; index++) {
      const [least, most] = this.#sizes.rangeOf(index);
      fit.push(!isTooSmall(least, type) || !isTooSmall(most, type));
    }
    return fit;
  }

  /** Its priority, raised by its age. Within one queue the oldest is raised most, so only the front of each queue matters. */
  #levelOf(entry: Entry, priority: number, now: number): number {
    const lifted = Math.floor(Math.max(0, now - firstOf(entry).createdClock) / this.#ageing);
    return Math.max(0, priority - lifted);
  }

  #queueOf(entry: Entry): SizedQueue {
    const task = firstOf(entry);
    return this.#laneOf(task)[PRIORITIES.indexOf(task.priority)]!;
  }

  #laneOf(task: Task): Lane {
    const queues = this.#queuesOf(task);
    if (task.boundTo !== null) return this.#getOrMake(queues.byGpu, task.boundTo);
    const isMapped = task.strategy === "task_specific" && this.#mappedTypes.has(task.taskType);
    return isMapped ? this.#getOrMake(queues.byType, task.taskType) : queues.anywhere;
  }

  #queuesOf(task: Task): Queues {
    const known = this.#queues.get(task.user);
    if (known !== undefined) return known;
    const queues = { anywhere: this.#newLane(), byType: new Map(), byGpu: new Map() };
    this.#queues.set(task.user, queues);
    return queues;
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

  #getOrMake<Key>(lanes: Map<Key, Lane>, key: Key): Lane {
    const known = lanes.get(key);
    if (known !== undefined) return known;
    const lane = this.#newLane();
    lanes.set(key, lane);
    return lane;
  }

  #newLane(): Lane {
    return PRIORITIES.map(() => new SizedQueue(this.#sizes));
  }
}
