/** The task book: what HTTP asks for, answered from the scheduler (live tasks) and the store (ended ones). */
import { randomUUID, randomUUIDv7 } from "node:crypto";
import { type Logger } from "pino";
import { type Clock } from "../common/clock.ts";
import { AltLasError } from "../errors.ts";
import { type Output } from "../output.ts";
import { sentenceOf } from "../reasons.ts";
import { type Request } from "../request.ts";
import { type Delivery } from "../store/outbox.ts";
import { type Opened, type Store, type StoreRecord } from "../store/store.ts";
import { type BatchState, type Reading, type TaskFilter } from "../store/tasks.ts";
import {
  type Batch,
  isFinal,
  newTask,
  type RunSink,
  shownGpuId,
  type Task,
  TASK_EVENTS,
  type TaskInput,
  type Webhook,
} from "../task.ts";
import { Batches } from "./batches.ts";
import { Idempotency } from "./idempotency.ts";
import { Requests, type WaitingRequestsParts } from "./requests.ts";
import { Writer } from "./writer.ts";
import { type Grouping } from "../scheduler/planner.ts";
import { type SchedulerSettings } from "../scheduler/effects.ts";
import { Scheduler } from "../scheduler/scheduler.ts";
import { Subscribers } from "./subscribers.ts";
import {
  type BatchSnapshot,
  type BatchStatus,
  type CancelFilter,
  type Following,
  type Listener,
  type Submission,
  type SubmitOptions,
  type TaskApi,
  type TaskSnapshot,
} from "./task-api.ts";
import { UnsavedResults } from "./unsaved-results.ts";
import { Waiters } from "./waiters.ts";

/** What the task book needs of its surroundings. */
export interface TaskBookParts {
  readonly store: Store;
  readonly log: Logger;
  readonly settings: SchedulerSettings;
  readonly clock: Clock;
  /** Seconds for tasks that name no timeout; null: any time. */
  readonly timeout: number | null;
  /** Seconds that a worker is given to stop a task. */
  readonly cancelTimeout: number;
  /** Hands a task to a GPU's worker, which tells the sink; its request may still be on its way from the store. */
  readonly run: (gpuId: number, task: Task, request: Request | Promise<Request>, sink: RunSink) => Output;
  /** Bytes and milliseconds: see `WaitingRequestsParts`. */
  readonly requests?: Pick<WaitingRequestsParts, "budget" | "pause">;
  /** Bytes of results that are not on disk, above which nothing starts; see `UnsavedResultsParts`. */
  readonly unsaved?: number;
  /** Has a GPU's worker stop a task. */
  readonly cancel: (gpuId: number, task: Task) => void;
  readonly webhooks: {
    /** What is to be told of a task's present state. */
    readonly ofTask: (task: Task) => readonly Delivery[];
    readonly ofBatch: (state: BatchState) => readonly Delivery[];
    /** There is something new to be told. */
    readonly wake: () => void;
  };
}

/** Seconds that an end may take to reach the disk before a client that asks is told the state before it. */
const COMMIT_PATIENCE = 1;
/** Seconds that an end may take to reach the disk beyond what a worker is given to stop a task. */
const CANCEL_PATIENCE = 5;
/** Ends that reach the disk in a second, on a slow one. */
const ENDS_PER_SECOND = 1000;
/** Tasks whose requests are read ahead. */
const LEAST_NEAR = 16;
const MOST_NEAR = 256;
/** Milliseconds: the longest that a timer of the system can take. */
const LONGEST_TIMER = 2 ** 31 - 1;

export class TaskBook implements TaskApi {
  readonly scheduler: Scheduler;
  readonly #parts: TaskBookParts;
  readonly #store: Store;
  readonly #log: Logger;
  readonly #writer: Writer;
  readonly #batches: Batches;
  readonly #subscribers = new Subscribers();
  readonly #idempotency: Idempotency;
  readonly #requests: Requests;
  readonly #unsaved: UnsavedResults;
  /** Every task that has not ended, or whose end is not on disk yet. */
  readonly #live = new Map<string, Task>();
  readonly #waiters = new Waiters();
  /** Called when the last running task has left its GPU. */
  #onIdle: (() => void) | null = null;
  #alarm: NodeJS.Timeout | undefined;
  #lastSeq = 0;
  #stopped = false;

  constructor(parts: TaskBookParts) {
    const { store, settings, clock, cancel } = parts;
    this.#parts = parts;
    this.#store = store;
    // All that is logged here is named field by field, and looking for secrets would cost nine times what the line does.
    this.#log = parts.log.child({}, { redact: [] });
    this.#idempotency = new Idempotency(store.idempotency, () => clock.now());
    this.#batches = new Batches(store.tasks, (batch) => this.#batchEnded(batch), clock);
    this.#writer = new Writer({
      store,
      log: this.#log,
      recordsOf: (task) => this.#eventsOf(task),
      admitted: (tasks) => tasks.forEach((task) => this.#requests.settle(task)),
      started: (task, attempt) => this.#subscribers.started(task, attempt),
      ended: (task) => this.#forget(task),
      caughtUp: () => this.#tellIfIdle(),
    });
    store.lost.addEventListener("abort", () => this.#onStoreLost());
    this.#requests = new Requests({
      store: store.tasks,
      lost: store.lost,
      log: this.#log,
      storeWorks: () => this.#writer.works,
      upcoming: () => this.scheduler.upcoming(this.#nearTurns()),
      ...parts.requests,
    });
    this.#unsaved = new UnsavedResults({
      budget: parts.unsaved,
      full: (bytes) => this.#holdStarts(bytes),
      room: () => {
        this.#log.warn("results are written again, and tasks start");
        this.scheduler.resume();
      },
    });
    const run = (gpuId: number, task: Task): void => this.#run(gpuId, task);
    const changed = (task: Task): void => this.#changed(task);
    const effects = { run, cancel, changed, alarm: (at: number) => this.#setAlarm(at) };
    this.scheduler = new Scheduler(settings, effects, clock, Math.random);
  }

  /** Takes over what an earlier server left unfinished; the GPUs must be known by now. */
  restore({ live, batches, lastSeq }: Opened): void {
    this.#lastSeq = lastSeq;
    for (const task of live) this.#live.set(task.id, task);
    this.#batches.restore(batches, live);
    this.scheduler.restore(live);
    for (const task of live) this.#requests.settle(task);
    this.#requests.start();
  }

  countRequest(user: string): void {
    this.scheduler.callers.countRequest(user);
  }

  submit(inputs: readonly TaskInput[], options: SubmitOptions, retryOf: string | null = null): Promise<Submission> {
    const { user, idempotency } = options;
    const make = (): Task[] => this.#makeTasks(inputs, options, retryOf);
    if (idempotency === null) return this.#admit(make(), options, () => []);
    return this.#idempotency.once(user, idempotency, (recordOf) =>
      this.#admit(make(), options, (submission) => [recordOf(submission)]),
    );
  }

  async retry(id: string, idempotency: SubmitOptions["idempotency"]): Promise<Submission> {
    const task = await this.#ended(id, "can be retried");
    const request = task.request ?? (await this.#store.tasks.request(task.seq));
    if (request === null) throw unknown(id);
    const { user, strategy, pinnedGpuId, webhook } = task;
    return this.submit(
      [{ ...task, request }],
      { user, strategy, pinnedGpuId, webhook, batch: null, idempotency },
      task.id,
    );
  }

  async get(id: string): Promise<TaskSnapshot | null> {
    const task = this.#live.get(id);
    if (task === undefined) return this.#store.tasks.get(id);
    if (isFinal(task.status) && !this.#stopped) await this.#waiters.until([id], COMMIT_PATIENCE);
    return this.#durable(task);
  }

  async wait(id: string, seconds: number, signal: AbortSignal): Promise<TaskSnapshot | null> {
    const task = this.#live.get(id);
    if (task === undefined) return this.#store.tasks.get(id);
    if (!this.#stopped && !signal.aborted) await this.#waiters.until([id], seconds, signal);
    return this.#durable(task);
  }

  list(filter: TaskFilter, reading: Reading): ReturnType<TaskApi["list"]> {
    return this.#store.tasks.list(filter, reading);
  }

  async cancel(id: string): Promise<TaskSnapshot> {
    const task = this.#live.get(id);
    if (task === undefined || isFinal(task.status)) throw await this.#tooLate(id);
    await this.#cancel([task]);
    if (task.status !== "canceled") throw hasEnded(task);
    return task;
  }

  /** Why a task that has ended, or is not there, is not canceled. An end that is not on disk may not be told as one. */
  async #tooLate(id: string): Promise<AltLasError> {
    const task = await this.get(id);
    if (task === null) return unknown(id);
    if (isFinal(task.status)) return hasEnded(task);
    const sentence = `Task ${id} has ended, but its end could not be written to disk yet; it is written as soon as that can be.`;
    return new AltLasError("store_unavailable", sentence);
  }

  async cancelMatching(filter: CancelFilter): Promise<number> {
    const ids = filter.ids && new Set(filter.ids);
    const tasks = [...this.#live.values()].filter((task) => !isFinal(task.status) && matches(task, filter, ids));
    if (tasks.length > 0) await this.#cancel(tasks);
    return tasks.filter(({ status }) => status === "canceled").length;
  }

  async remove(id: string): Promise<TaskSnapshot> {
    const task = await this.#ended(id, "can be removed");
    if (await this.#store.tasks.remove(id)) return task;
    throw unknown(id);
  }

  follow(id: string, listener: Listener): Following | null {
    this.#store.lost.throwIfAborted();
    const task = this.#live.get(id);
    return task === undefined || this.#stopped ? null : this.#subscribers.follow(task, listener);
  }

  batch(id: string): Promise<BatchSnapshot | null> {
    return this.#batches.get(id);
  }

  batchResults(id: string, follow: boolean, signal: AbortSignal): ReturnType<TaskApi["batchResults"]> {
    return this.#batches.results(id, follow && !this.#stopped, signal);
  }

  /** Whether tasks can be written to disk at present. */
  get canSave(): boolean {
    return this.#writer.works;
  }

  /**
   * Takes no more tasks and places none; resolves when nothing runs any more and what has ended is on disk, or after `seconds`.
   * @param hurry ends the wait at once
   */
  async drain(seconds: number, hurry: AbortSignal): Promise<void> {
    this.scheduler.drain();
    if (!this.#idle() && !hurry.aborted) await this.#untilIdle(seconds, hurry);
  }

  /** Puts what still runs back into the queue and writes everything. The workers must be gone by now. */
  async close(): Promise<void> {
    this.scheduler.drain();
    for (const gpu of this.scheduler.gpus) this.scheduler.interrupted(gpu.facts.id, "server_stop");
    this.#setAlarm(Infinity);
    this.#requests.close();
    await this.#writer.close();
    this.#stopped = true;
    this.#waiters.wakeAll();
    this.#subscribers.close();
    this.#batches.close();
  }

  /** Admits tasks of one caller. @param recordsOf what else is to be on disk before the answer */
  async #admit(
    tasks: readonly Task[],
    { batch: grouped, webhook }: SubmitOptions,
    recordsOf: (submission: Submission) => readonly StoreRecord[],
  ): Promise<Submission> {
    const grouping = grouped === null ? "single" : grouped.split ? "split" : "whole";
    this.scheduler.submit(tasks, grouping);
    for (const task of tasks) this.#live.set(task.id, task);
    const submission = submissionOf(tasks, grouping);
    const batch = grouped === null ? null : newBatch(tasks, webhook);
    if (batch !== null) this.#batches.add(batch);
    // Before the write, during which a task may start or end: its lines would come twice, or in the wrong order.
    if (this.#log.isLevelEnabled("debug")) for (const task of tasks) this.#logAccepted(task);
    try {
      const records = recordsOf(submission);
      await this.#writer.admit(tasks, batch === null ? records : [{ kind: "batch", batch }, ...records]);
    } catch (error) {
      this.#withdraw(tasks);
      if (batch !== null) this.#batches.withdraw(batch.id);
      throw error;
    }
    if (webhook !== null) this.#parts.webhooks.wake();
    return submission;
  }

  #makeTasks(
    inputs: readonly TaskInput[],
    { user, strategy, pinnedGpuId, batch, webhook }: SubmitOptions,
    retryOf: string | null,
  ): Task[] {
    const { clock } = this.#parts;
    const now = clock.now();
    const shared = {
      user,
      strategy,
      pinnedGpuId,
      batchId: batch === null ? null : randomUUID(),
      wholeBatch: batch !== null && !batch.split,
      webhook: webhookOfTasks(webhook),
      retryOf,
      createdAt: now + clock.ahead,
      createdClock: now,
    };
    return inputs.map(({ request, taskType, priority, timeoutSeconds }) =>
      newTask({
        ...shared,
        request,
        taskType,
        priority,
        timeoutSeconds: timeoutSeconds ?? this.#parts.timeout,
        // Ids that grow with time: each lands at the end of the database's index, where random ones would touch a page each.
        id: randomUUIDv7(),
        seq: ++this.#lastSeq,
      }),
    );
  }

  #logAccepted(task: Task): void {
    this.#log.debug(
      { task: task.id, user: task.user, batch: task.batchId, estimatedTokens: task.estimatedTokens },
      "task accepted",
    );
    if (task.attempts.length > 0) this.#log.debug(placedLine(task), "task running");
  }

  /** Nothing of a submission that could not be written may stay. */
  #withdraw(tasks: readonly Task[]): void {
    for (const task of tasks) {
      this.#unsaved.delete(task);
      this.#log.debug({ task: task.id }, "task withdrawn: it could not be written");
      this.#live.delete(task.id);
      // Who cancels what is being admitted waits for an end that is never written.
      this.#waiters.wake(task.id);
    }
    this.scheduler.cancel(tasks);
  }

  /** Cancels live tasks; resolves when all of them have ended and that is on disk. @throws {AltLasError} `store_unavailable` */
  async #cancel(tasks: readonly Task[]): Promise<void> {
    const ended = this.#waiters.until(
      tasks.map(({ id }) => id),
      // While the disk takes nothing, there is no use in waiting for it.
      this.canSave ? this.#parts.cancelTimeout + CANCEL_PATIENCE + tasks.length / ENDS_PER_SECOND : COMMIT_PATIENCE,
    );
    this.scheduler.cancel(tasks);
    await ended;
    if (!tasks.some(({ id }) => this.#live.has(id))) return;
    const sentence =
      "What was canceled has not ended yet, or its end could not be written to disk; it is written as soon as that can be.";
    throw new AltLasError("store_unavailable", sentence);
  }

  /** A task that has ended, when that is on disk. @param what only such tasks can do @throws {AltLasError} `conflict`, `not_found` */
  async #ended(id: string, what: string): Promise<TaskSnapshot> {
    const task = await this.get(id);
    if (task === null) throw unknown(id);
    if (isFinal(task.status)) return task;
    const sentence = `Task ${id} is ${task.status}; only a task that has ended ${what}.`;
    throw new AltLasError("conflict", sentence, { details: { status: task.status } });
  }

  #changed(task: Task): void {
    this.#tellIfIdle();
    if (!isFinal(task.status) && this.#log.isLevelEnabled("debug"))
      this.#log.debug(placedLine(task), `task ${task.status}`);
    // A request that is not on disk yet must stay in memory.
    if (!this.#writer.isAdmitting(task)) this.#requests.settle(task);
    this.#writer.changed(task);
    // Not of one that was withdrawn: its end is never written.
    if (isFinal(task.status) && this.#live.has(task.id)) this.#unsaved.add(task);
  }

  #run(gpuId: number, task: Task): void {
    const sink: RunSink = {
      delta: (delta, before) => this.#subscribers.delta(task, delta, before),
      ended: (outcome) => {
        this.#log.debug({ task: task.id, gpu: task.gpuId, status: outcome.status }, "task left its GPU");
        this.scheduler.finished(task, outcome);
      },
    };
    this.#subscribers.begun(task, this.#parts.run(gpuId, task, this.#requests.of(task), sink));
  }

  #holdStarts(bytes: number): void {
    this.scheduler.hold();
    this.#log.error({ bytes }, "too many results wait to be written; no task starts until they are on disk");
  }

  /** Tasks whose turn is near: as many as can start at once, twice. */
  #nearTurns(): number {
    const slots = this.scheduler.gpus.reduce((sum, { facts }) => sum + facts.slots, 0);
    return Math.min(MOST_NEAR, Math.max(LEAST_NEAR, 2 * slots));
  }

  /** A task as it would be found after a power cut: an end that is not on disk has not happened yet. */
  #durable(task: Task): TaskSnapshot {
    this.#store.lost.throwIfAborted();
    if (!this.#live.has(task.id) || !isFinal(task.status)) return task;
    const status = task.startedAt === null ? "queued" : "running";
    return { ...task, status, finishedAt: null, result: null, error: null };
  }

  /** What is in memory would be nowhere after a restart: everybody who waits for it learns that. */
  #onStoreLost(): void {
    this.#waiters.wakeAll();
    this.#subscribers.close();
    this.#batches.close();
    this.#tellIfIdle();
  }

  /** The end of a task is on disk: it lives in the store from now on. */
  #forget(task: Task): void {
    // Two writes may bring the same end to disk, when one was to make up for another that had failed.
    if (!this.#live.delete(task.id)) return;
    this.#unsaved.delete(task);
    this.#log.info(endLine(task), `task ${task.status}`);
    this.#waiters.wake(task.id);
    this.#subscribers.ended(task);
    this.#batches.ended(task);
    if (task.webhook !== null) this.#parts.webhooks.wake();
  }

  async #batchEnded(batch: Batch): Promise<void> {
    if (batch.webhook === null) return this.#writer.record([{ kind: "batch", batch }]);
    const state = await this.#store.tasks.batch(batch.id).catch(() => null);
    // Its end is not written then, so that the next start of the server tells it.
    if (state === null) return this.#log.error({ batch: batch.id }, "a batch has ended, which cannot be told now");
    const deliveries = this.#parts.webhooks.ofBatch({ ...state, batch });
    await this.#writer.record([{ kind: "batch", batch }, ...deliveries.map(asEvent)]);
    this.#parts.webhooks.wake();
  }

  #eventsOf(task: Task): readonly StoreRecord[] {
    return task.webhook === null ? NO_RECORDS : this.#parts.webhooks.ofTask(task).map(asEvent);
  }

  #setAlarm(at: number): void {
    clearTimeout(this.#alarm);
    if (at === Infinity) return;
    this.#alarm = setTimeout(
      () => this.scheduler.tick(),
      Math.min(LONGEST_TIMER, Math.max(0, at - this.#parts.clock.now())),
    );
  }

  #tellIfIdle(): void {
    if (this.#onIdle !== null && this.#idle()) this.#onIdle();
  }

  /** Whether a stop has nothing to wait for: with the store lost, no end of a task can be kept. */
  #idle(): boolean {
    if (this.#store.lost.aborted) return true;
    return this.#writer.unwritten === 0 && this.scheduler.gpus.every((gpu) => gpu.running.size === 0);
  }

  async #untilIdle(seconds: number, hurry: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, seconds * 1000);
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
      hurry.addEventListener("abort", this.#onIdle);
    });
    this.#onIdle = null;
  }
}

const NO_RECORDS: readonly StoreRecord[] = [];

function asEvent(delivery: Delivery): StoreRecord {
  return { kind: "event", delivery };
}

/** What the tasks of a submission tell by themselves; the end of a batch is its own affair. */
function webhookOfTasks(webhook: Webhook | null): Webhook | null {
  const events = webhook?.events.filter((event) => TASK_EVENTS.includes(event as (typeof TASK_EVENTS)[number])) ?? [];
  return webhook === null || events.length === 0 ? null : { url: webhook.url, events };
}

function newBatch(tasks: readonly Task[], webhook: Webhook | null): Batch {
  const { batchId, user, seq, wholeBatch, createdAt } = tasks[0]!;
  return {
    id: batchId!,
    user,
    firstSeq: seq,
    size: tasks.length,
    whole: wholeBatch,
    webhook,
    createdAt,
    finishedAt: null,
  };
}

function matches(task: Task, filter: CancelFilter, ids: ReadonlySet<string> | undefined): boolean {
  const { user, status, batchId, taskType, gpuId, since = -Infinity, until = Infinity } = filter;
  return (
    (ids === undefined || ids.has(task.id)) &&
    (user === undefined || task.user === user) &&
    (status === undefined || task.status === status) &&
    (batchId === undefined || task.batchId === batchId) &&
    (taskType === undefined || task.taskType === taskType) &&
    (gpuId === undefined || shownGpuId(task) === gpuId) &&
    task.createdAt >= since &&
    task.createdAt < until
  );
}

function hasEnded({ id, status }: TaskSnapshot): AltLasError {
  const sentence = `Task ${id} cannot be canceled: it has ended already, with the status ${status}.`;
  return new AltLasError("conflict", sentence, { details: { status } });
}

function unknown(id: string): AltLasError {
  return new AltLasError("not_found", `There is no task ${id}.`);
}

function submissionOf(tasks: readonly Task[], grouping: Grouping): Submission {
  const placed = tasks.map((task) => ({
    id: task.id,
    gpuId: shownGpuId(task),
    status: task.status as "running" | "queued",
  }));
  return { batchId: tasks[0]!.batchId, batchStatus: batchStatusOf(placed, grouping), tasks: placed, replayed: false };
}

/** The batch statuses of the contract's section 1.3. */
function batchStatusOf(tasks: Submission["tasks"], grouping: Grouping): BatchStatus {
  if (tasks.every((task) => task.status === "running")) return "running";
  if (tasks.every((task) => task.gpuId !== null)) return "all_distributed";
  if (tasks.some((task) => task.gpuId !== null)) return "mixed";
  return grouping === "whole" ? "queued" : "all_queued";
}

function placedLine(task: Task): object {
  const { id, gpuId, placement } = task;
  return { task: id, gpu: gpuId, reason: placement && sentenceOf(placement.reason, placement.gpuId) };
}

function endLine(task: Task): object {
  const { result, error } = task;
  return {
    task: task.id,
    gpu: shownGpuId(task),
    ...(result && { tokens: result.completionTokens, seconds: result.executionTime }),
    ...(error && { code: error.code, reason: error.sentence }),
  };
}
