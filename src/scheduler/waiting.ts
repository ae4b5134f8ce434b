/** Everything that waits for a slot, kept apart by which GPUs it may go to, so that a free slot is matched by looking at few fronts. */
import { type Task } from "../task.ts";
import { type Entry, EntryQueue, tasksOf, type WaitingBatch } from "./queue.ts";

export { type Entry, tasksOf } from "./queue.ts";

export class Waiting {
  /** For any GPU. */
  readonly #anywhere = new EntryQueue();
  /** For the GPUs of their mapped task_type. */
  readonly #byType = new Map<string, EntryQueue>();
  /** For one GPU and no other. */
  readonly #byGpu = new Map<number, EntryQueue>();
  /** Those that wait as one, by batch id. */
  readonly #batches = new Map<string | null, WaitingBatch>();
  readonly #loners = new Set<Entry>();
  readonly #mustRunAlone: (task: Task) => boolean;
  #tasks = 0;
  #bytes = 0;

  /** @param mappedTypes the task types that have GPUs of their own */
  constructor(mappedTypes: Iterable<string>, mustRunAlone: (task: Task) => boolean) {
    for (const type of mappedTypes) this.#byType.set(type, new EntryQueue());
    this.#mustRunAlone = mustRunAlone;
  }

  /** Tasks waiting. */
  get tasks(): number {
    return this.#tasks;
  }

  /** Bytes of their texts in UTF-8. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Entries whose first task must run alone. While there are any, GPUs empty for them, and younger tasks wait behind them. */
  get loners(): ReadonlySet<Entry> {
    return this.#loners;
  }

  add(entry: Entry): void {
    this.#queueOf(entry).insert(entry);
    this.#count(entry, 1);
    if ("tasks" in entry) this.#batches.set(entry.tasks[0]!.batchId, entry);
    if (this.#mustRunAlone(tasksOf(entry)[0]!)) this.#loners.add(entry);
  }

  /** Lets tasks of one batch wait as one, with those of it that do so already. */
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
    this.#loners.delete(entry);
  }

  /** Takes out one task, also from the middle of a batch that waits as one. */
  removeTask(task: Task): void {
    const batch = this.#batches.get(task.batchId);
    if (batch === undefined || !batch.tasks.includes(task)) return this.remove(task);
    this.remove(batch);
    const rest = batch.tasks.filter((other) => other !== task);
    if (rest.length > 0) this.add({ seq: rest[0]!.seq, tasks: rest });
  }

  /** The tasks that wait for this GPU and no other. */
  boundTo(gpuId: number): Task[] {
    return [...(this.#byGpu.get(gpuId) ?? [])].flatMap(tasksOf);
  }

  /**
   * The oldest entry that a GPU can serve.
   * @param fits whether the entry is for that GPU
   * @param servesType whether the GPU is among those that tasks of a mapped type wait for
   */
  oldest(gpuId: number, fits: (entry: Entry) => boolean, servesType: (type: string) => boolean): Entry | undefined {
    let oldest: Entry | undefined;
    const consider = (queue: EntryQueue | undefined): void => {
      const entry = queue?.find(fits);
      if (entry !== undefined && (oldest === undefined || entry.seq < oldest.seq)) oldest = entry;
    };
    consider(this.#byGpu.get(gpuId));
    consider(this.#anywhere);
    for (const [type, queue] of this.#byType) {
      if (queue.size > 0 && servesType(type)) consider(queue);
    }
    return oldest;
  }

  #queueOf(entry: Entry): EntryQueue {
    const task = tasksOf(entry)[0]!;
    if (task.gpuId !== null) return this.#queueOfGpu(task.gpuId);
    if (task.strategy !== "task_specific") return this.#anywhere;
    return this.#byType.get(task.taskType) ?? this.#anywhere;
  }

  #queueOfGpu(gpuId: number): EntryQueue {
    const known = this.#byGpu.get(gpuId);
    if (known !== undefined) return known;
    const queue = new EntryQueue();
    this.#byGpu.set(gpuId, queue);
    return queue;
  }

  #count(entry: Entry, sign: 1 | -1): void {
    const tasks = tasksOf(entry);
    this.#tasks += sign * tasks.length;
    for (const task of tasks) this.#bytes += sign * Buffer.byteLength(task.text);
  }
}
