/**
 * A store that has the texts of tasks in memory which are never to be stored (`Task.texts`), over one that stores all else. So the rest of
 * the server reads them as it reads others. They are there until they are read (`TaskStore.removeTexts`), are too old
 * (`SweepLimits.unreadBefore`), or the server ends.
 *
 *  1. The memory of tasks that have not ended is bounded by a refusal of new ones (`refuseIfFull`).
 *  2. Ended tasks that were not read give way, the oldest of the user that has most. So nobody who never reads takes the memory of others.
 */
import { lastingHeap } from "../common/heap.ts";
import { AltLasError } from "../errors.ts";
import { heapBytesOf, type Request } from "../request.ts";
import { isFinal, type Task, type TaskResult, type TaskStatus } from "../task.ts";
import type { ForgetOptions, ForgetStep } from "./forget.ts";
import type { Opened, Store, StoreRecord, SweepLimits, When } from "./store.ts";
import type {
  BatchState,
  ListedPage,
  ListedTask,
  OwnLimit,
  PastTask,
  Reading,
  TaskFilter,
  TaskStore,
  StoredBytes,
} from "./tasks.ts";

interface Held {
  readonly id: string;
  readonly seq: number;
  readonly user: string;
  readonly request: Request;
  result: TaskResult | null;
  bytes: number;
  /** By the server's clock; null: it has not ended. */
  endedAt: number | null;
}

const RETRY_AFTER = 5;

export class TextsInMemory implements Store {
  readonly outbox: Store["outbox"];
  readonly idempotency: Store["idempotency"];
  readonly usage: Store["usage"];
  readonly batchFiles: Store["batchFiles"];
  readonly files: Store["files"];
  readonly audit: Store["audit"];
  readonly tasks: TaskStore;
  readonly lost: AbortSignal;
  readonly #store: Store;
  readonly #texts: HeldTexts;

  /** @param budget bytes of the heap; default an eighth of it */
  constructor(store: Store, budget = lastingHeap() / 8) {
    this.#store = store;
    this.#texts = new HeldTexts(budget);
    this.tasks = new TasksWithTexts(store.tasks, this.#texts);
    ({
      outbox: this.outbox,
      idempotency: this.idempotency,
      usage: this.usage,
      batchFiles: this.batchFiles,
      files: this.files,
      audit: this.audit,
      lost: this.lost,
    } = store);
  }

  get away(): boolean {
    return this.#store.away === true;
  }

  /** @throws {AltLasError} `queue_full`: the memory has no room for the texts of these new tasks now */
  refuseIfFull(tasks: readonly Task[]): void {
    this.#texts.refuseIfFull(tasks.filter(isUnstored));
  }

  forget(options: ForgetOptions): Promise<ForgetStep> {
    this.#texts.dropWhere(({ user, endedAt }) => user === options.user && endedAt !== null);
    return this.#store.forget(options);
  }

  open(): Promise<Opened> {
    return this.#store.open();
  }

  save(tasks: readonly Task[], records?: readonly StoreRecord[], when?: When): Promise<void> {
    // Nearly all: another promise for each would be more than all else here.
    if (!tasks.some(isUnstored)) return this.#store.save(tasks, records, when);
    return this.#saveWithout(tasks, records, when);
  }

  async #saveWithout(tasks: readonly Task[], records?: readonly StoreRecord[], when?: When): Promise<void> {
    const added = tasks.filter((task) => isUnstored(task) && this.#texts.note(task));
    try {
      await this.#store.save(tasks, records, when);
    } catch (error) {
      for (const { seq } of added) this.#texts.drop(seq);
      throw error;
    }
  }

  statusOnDisk(task: Task): TaskStatus | null {
    return this.#store.statusOnDisk(task);
  }

  sweep(limits: SweepLimits): Promise<boolean> {
    const { unreadBefore } = limits;
    if (unreadBefore !== undefined) this.#texts.dropWhere(({ endedAt }) => endedAt !== null && endedAt < unreadBefore);
    return this.#store.sweep(limits);
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}

function isUnstored({ texts }: Task): boolean {
  return texts === "never";
}

/** The texts, by the `seq`s of their tasks; those that have ended in the order of their ends. */
class HeldTexts {
  readonly #budget: number;
  readonly #live = new Map<number, Held>();
  readonly #ended = new Map<number, Held>();
  readonly #endedBytes = new Map<string, number>();
  #bytes = 0;
  /** Of those that have not ended. */
  #liveBytes = 0;

  constructor(budget: number) {
    this.#budget = budget;
  }

  refuseIfFull(tasks: readonly Task[]): void {
    if (tasks.length === 0) return;
    let bytes = this.#liveBytes;
    for (const { request, size } of tasks) if (request !== null) bytes += heapBytesOf(request, size);
    if (bytes <= this.#budget) return;
    const sentence =
      "The texts that are not to be stored (store.texts, or store: false) take all the memory there is for them. Try again when some of their tasks have ended.";
    throw new AltLasError("queue_full", sentence, { retryAfter: RETRY_AFTER });
  }

  /** Takes over what a task has now. @returns whether it is new here */
  note(task: Task): boolean {
    const { id, seq, user, request, size, result, finishedClock } = task;
    const known = this.#live.get(seq) ?? this.#ended.get(seq);
    if (known === undefined) {
      // One of an earlier run of the server.
      if (request === null) return false;
      this.#add({ id, seq, user, request, result: null, bytes: heapBytesOf(request, size), endedAt: null });
      if (!isFinal(task.status)) return true;
    }
    if (isFinal(task.status)) this.#end(this.#live.get(seq), result, finishedClock);
    return known === undefined;
  }

  of(seq: number): Held | undefined {
    return this.#live.get(seq) ?? this.#ended.get(seq);
  }

  drop(seq: number): void {
    const live = this.#live.get(seq);
    const ended = this.#ended.get(seq);
    this.#live.delete(seq);
    this.#ended.delete(seq);
    if (live !== undefined) this.#liveBytes -= live.bytes;
    if (ended !== undefined) this.#countEnded(ended.user, -ended.bytes);
    this.#bytes -= (live ?? ended)?.bytes ?? 0;
  }

  /** Those that have ended. */
  dropRead(seqs: readonly number[]): boolean {
    const read = seqs.filter((seq) => this.#ended.has(seq));
    for (const seq of read) this.drop(seq);
    return read.length > 0;
  }

  dropWhere(matches: (held: Held) => boolean): void {
    for (const held of [...this.#ended.values(), ...this.#live.values()]) if (matches(held)) this.drop(held.seq);
  }

  #add(held: Held): void {
    this.#live.set(held.seq, held);
    this.#bytes += held.bytes;
    this.#liveBytes += held.bytes;
    this.#makeRoom();
  }

  #end(held: Held | undefined, result: TaskResult | null, endedAt: number | null): void {
    if (held === undefined) return;
    this.#live.delete(held.seq);
    this.#liveBytes -= held.bytes;
    const bytes = result === null ? 0 : bytesOf(result);
    held.result = result;
    held.bytes += bytes;
    held.endedAt = endedAt;
    this.#bytes += bytes;
    this.#ended.set(held.seq, held);
    this.#countEnded(held.user, held.bytes);
    this.#makeRoom(held.seq);
  }

  #countEnded(user: string, change: number): void {
    const bytes = (this.#endedBytes.get(user) ?? 0) + change;
    if (bytes > 0) this.#endedBytes.set(user, bytes);
    else this.#endedBytes.delete(user);
  }

  /** @param newest stays, however large it is: somebody may wait for it */
  #makeRoom(newest?: number): void {
    while (this.#bytes > this.#budget) {
      const [user] = [...this.#endedBytes].toSorted(([, a], [, b]) => b - a)[0] ?? [];
      const oldest = [...this.#ended.values()].find((held) => held.user === user);
      if (oldest === undefined || oldest.seq === newest) return;
      this.drop(oldest.seq);
    }
  }
}

/** Bytes of the heap that the parts of a result take, about. */
function bytesOf({ text, reasoning = "", embeddings = [], toolCalls = [], logprobs = [] }: TaskResult): number {
  const LOGPROB = 300;
  let characters = text.length + reasoning.length;
  for (const vector of embeddings) characters += vector.length;
  for (const call of toolCalls) characters += call.arguments.length + call.name.length;
  return 2 * characters + LOGPROB * logprobs.length;
}

class TasksWithTexts implements TaskStore {
  readonly #tasks: TaskStore;
  readonly #texts: HeldTexts;

  constructor(tasks: TaskStore, texts: HeldTexts) {
    this.#tasks = tasks;
    this.#texts = texts;
  }

  async get(id: string): Promise<Task | null> {
    const task = await this.#tasks.get(id);
    if (task !== null) this.#complete([task]);
    return task;
  }

  async request(seq: number): Promise<Request | null> {
    return this.#texts.of(seq)?.request ?? this.#tasks.request(seq);
  }

  notes(seqs: readonly number[]): Promise<ReadonlyMap<number, string>> {
    return this.#tasks.notes(seqs);
  }

  list(filter: TaskFilter, reading?: Reading): Promise<ListedPage> {
    return this.#tasks.list(filter, reading);
  }

  batch(id: string): Promise<BatchState | null> {
    return this.#tasks.batch(id);
  }

  async endsOf(...given: Parameters<TaskStore["endsOf"]>): Promise<ListedTask[]> {
    return this.#complete(await this.#tasks.endsOf(...given));
  }

  async endsIn(...given: Parameters<TaskStore["endsIn"]>): Promise<ListedTask[]> {
    return this.#complete(await this.#tasks.endsIn(...given));
  }

  history(after: number, limit: number): Promise<PastTask[]> {
    return this.#tasks.history(after, limit);
  }

  async remove(id: string): Promise<boolean> {
    const task = await this.#tasks.get(id);
    const removed = await this.#tasks.remove(id);
    if (removed && task !== null) this.#texts.drop(task.seq);
    return removed;
  }

  async removeTexts(seqs: readonly number[]): Promise<boolean> {
    const wasHere = this.#texts.dropRead(seqs);
    return (await this.#tasks.removeTexts(seqs)) || wasHere;
  }

  /** Without those in memory, which are not stored. */
  storedBytes(): Promise<readonly StoredBytes[]> {
    return this.#tasks.storedBytes();
  }

  countEnded(before: number, ofUsers?: readonly OwnLimit[]): Promise<number> {
    return this.#tasks.countEnded(before, ofUsers);
  }

  /** In place: a store knows the tasks that it has given. */
  #complete<T extends ListedTask>(tasks: T[]): T[] {
    for (const task of tasks) if (task.texts === "never") task.result = this.#texts.of(task.seq)?.result ?? null;
    return tasks;
  }
}
