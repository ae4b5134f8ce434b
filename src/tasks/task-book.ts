/** The task book answers the questions of HTTP from the scheduler (live tasks) and the store (ended ones). */
import type { InstanceRef } from "../gpu/facts.ts";
import { messageOf } from "../errors.ts";
import { forManyLines, type Logger } from "../log/log.ts";
import type { Request } from "../request.ts";
import type { Effects } from "../scheduler/effects.ts";
import { Scheduler } from "../scheduler/scheduler.ts";
import type { Wait } from "../scheduler/why-waiting.ts";
import type { Opened, Store, StoreRecord } from "../store/store.ts";
import type { Reading, TaskFilter } from "../store/tasks.ts";
import { isFinal, type Task, type TaskInput } from "../task.ts";
import { AlarmTimer } from "./alarm-timer.ts";
import { asEvent, BatchEnds } from "./batch-ends.ts";
import { Batches } from "./batches.ts";
import { Cancellation } from "./cancellation.ts";
import { Feeding } from "./feeding.ts";
import { Idempotency } from "./idempotency.ts";
import { Idle } from "./idle.ts";
import { Intake } from "./intake.ts";
import { LiveTasks, unknown } from "./live-tasks.ts";
import { newBatch, NewTasks, notesOf, submissionOf } from "./new-tasks.ts";
import { Requests } from "./requests.ts";
import { adoptRuns, type Hearers, outlivesServer, TaskSink } from "./run-sink.ts";
import { Subscribers } from "./subscribers.ts";
import type { TaskBookParts } from "./task-book-parts.ts";
import { TaskNews } from "./task-news.ts";
import type {
  BatchSnapshot,
  CancelFilter,
  Following,
  Listener,
  Submission,
  SubmitOptions,
  TaskApi,
  TaskSnapshot,
} from "./task-api.ts";
import { UnsavedResults } from "./unsaved-results.ts";
import { refuseUnstored, removeRead } from "./unstored.ts";
import { Writer } from "./writer.ts";

/** Tasks whose requests are read ahead. */
const LEAST_NEAR = 16;
const MOST_NEAR = 256;

export class TaskBook implements TaskApi {
  readonly scheduler: Scheduler;
  /** The batches of files. */
  readonly feeding: Feeding;
  readonly idempotency: Idempotency;
  readonly #parts: TaskBookParts;
  readonly #store: Store;
  readonly #live: LiveTasks;
  readonly #newTasks: NewTasks;
  readonly #cancellation: Cancellation;
  readonly #log: Logger;
  readonly #news: TaskNews;
  readonly #writer: Writer;
  readonly #intake: Intake;
  readonly #batches: Batches;
  readonly #batchEnds: BatchEnds;
  readonly #subscribers: Subscribers;
  readonly #requests: Requests;
  readonly #unsaved: UnsavedResults;
  readonly #idle: Idle;
  readonly #alarm: AlarmTimer;
  readonly #hearers: Hearers;

  constructor(parts: TaskBookParts) {
    const { store, settings, clock, cancelTimeout } = parts;
    this.#parts = parts;
    this.#store = store;
    this.#live = new LiveTasks(store);
    this.#subscribers = new Subscribers(parts.machines);
    this.#newTasks = new NewTasks(parts);
    this.#idle = new Idle(() => this.#isIdle());
    this.#alarm = new AlarmTimer(clock, () => this.scheduler.tick());
    this.#log = forManyLines(parts.log);
    this.#news = new TaskNews({ log: this.#log, clock });
    this.idempotency = new Idempotency(store.idempotency, () => clock.now());
    this.#batches = new Batches(store.tasks, (batch) => this.#batchEnds.tell(batch), clock);
    this.#writer = this.#newWriter();
    const { webhooks } = parts;
    this.#batchEnds = new BatchEnds({ store, webhooks, writer: this.#writer, log: this.#log });
    store.lost.addEventListener("abort", () => this.#onStoreLost());
    this.#requests = new Requests({
      store: store.tasks,
      lost: store.lost,
      log: this.#log,
      storeWorks: () => this.#writer.works,
      upcoming: () => this.scheduler.upcoming(this.#nearTurns()),
      ...parts.requests,
    });
    this.#unsaved = this.#newUnsaved();
    this.scheduler = new Scheduler(settings, this.#effects(), clock, Math.random);
    const [scheduler, live, writer] = [this.scheduler, this.#live, this.#writer];
    this.#hearers = { news: this.#news, subscribers: this.#subscribers, scheduler };
    const held = { unsaved: this.#unsaved, subscribers: this.#subscribers, refuseTexts: parts.refuseTexts };
    this.#intake = new Intake({ scheduler, store: store.tasks, live, writer, news: this.#news, ...held });
    const [intake, batches, newTasks] = [this.#intake, this.#batches, this.#newTasks];
    this.feeding = new Feeding({ scheduler, writer, clock, intake, batches, newTasks });
    this.#cancellation = new Cancellation({ scheduler, live, cancelTimeout, canSave: () => this.canSave });
  }

  /** Takes over the unfinished tasks of an earlier run; the GPUs must be known by now. */
  restore({ live, batches, lastSeq }: Opened): void {
    this.#newTasks.lastSeq = lastSeq;
    for (const task of live) this.#live.add(task);
    this.#batches.restore(batches, live);
    this.scheduler.callers.budgets.reserve(live, null);
    this.scheduler.restore(live, adoptRuns(live, this.#parts.adopt, this.#hearers));
    for (const task of live) this.#requests.settle(task);
    this.#requests.start();
  }

  countRequest(user: string, team: string | null): void {
    this.scheduler.callers.countRequest(user, team);
  }

  refuseOverRequests(user: string, team: string | null): void {
    this.scheduler.callers.refuseOverRequests(user, team);
  }

  callers(user: string | null): ReturnType<TaskApi["callers"]> {
    return this.scheduler.questions.callers(user);
  }

  budgets(of: Parameters<TaskApi["budgets"]>[0]): ReturnType<TaskApi["budgets"]> {
    return this.scheduler.callers.budgets.facts(of);
  }

  ratesOf(user: string, team: string | null): ReturnType<TaskApi["ratesOf"]> {
    return this.scheduler.callers.ratesOf(user, team);
  }

  modelOf(input: Parameters<TaskApi["modelOf"]>[0]): string | null {
    return this.#newTasks.modelOf(input);
  }

  submit(inputs: readonly TaskInput[], options: SubmitOptions, retryOf: string | null = null): Promise<Submission> {
    const { user, idempotency } = options;
    const admit = (recordsOf: (submission: Submission) => readonly StoreRecord[]): Promise<Submission> => {
      const tasks = this.#newTasks.make(inputs, options, retryOf);
      return this.#admit(tasks, options, (submission) => [...notesOf(inputs, tasks), ...recordsOf(submission)]);
    };
    if (idempotency === null) return admit(() => NO_RECORDS);
    return this.idempotency.once(user, idempotency, (recordOf) => admit((submission) => [recordOf(submission)]));
  }

  async retry(id: string, idempotency: SubmitOptions["idempotency"]): Promise<Submission> {
    const task = await this.#live.ended(id, "can be retried");
    const texts = refuseUnstored(task);
    const request = await this.requestOf(task);
    if (request === null) throw unknown(id);
    const { user, keyName, team, strategy, pinnedGpuId, webhook } = task;
    return this.submit(
      // Where its type meant a model, it has that.
      [{ ...task, request, texts, anyModel: true }],
      { user, keyName, team, strategy, pinnedGpuId, webhook, batch: null, idempotency },
      task.id,
    );
  }

  get(id: string): Promise<TaskSnapshot | null> {
    return this.#live.get(id);
  }

  wait(id: string, seconds: number, signal: AbortSignal): Promise<TaskSnapshot | null> {
    return this.#live.wait(id, seconds, signal);
  }

  waiting(id: string): Wait | null {
    const task = this.#live.find(id);
    return task === undefined ? null : this.#shown(this.scheduler.questions.whyWaiting(task));
  }

  dryRun(input: TaskInput, options: SubmitOptions): ReturnType<TaskApi["dryRun"]> {
    const task = this.#intake.withRoom(this.#newTasks.imagine(input, options));
    const { wait, ...dryRun } = this.scheduler.questions.dryRun(task);
    this.#store.lost.throwIfAborted();
    return { ...dryRun, wait: this.#shown(wait) };
  }

  #shown(wait: Wait | null): Wait | null {
    return wait && { ...wait, since: wait.since + this.#parts.clock.ahead };
  }

  async requestOf({ seq, request }: Pick<TaskSnapshot, "seq" | "request">): Promise<Request | null> {
    return request ?? (await this.#store.tasks.request(seq));
  }

  read(tasks: Parameters<TaskApi["read"]>[0]): void {
    removeRead(tasks, this.#store.tasks, this.#log);
  }

  notes(seqs: readonly number[]): ReturnType<TaskApi["notes"]> {
    return this.#store.tasks.notes(seqs);
  }

  keep(id: string): void {
    const task = this.#live.find(id);
    if (task === undefined || !task.endsWithClient || isFinal(task.status) || this.#live.closed) return;
    task.endsWithClient = false;
    this.#writer.changed(task);
  }

  list(filter: TaskFilter, reading: Reading): ReturnType<TaskApi["list"]> {
    return this.#store.tasks.list(filter, reading);
  }

  cancel(id: string): Promise<TaskSnapshot> {
    return this.#cancellation.one(id);
  }

  async cancelMatching(filter: CancelFilter): Promise<number> {
    const lines = await this.feeding.cancel(filter);
    return lines + (await this.#cancellation.matching(filter));
  }

  async remove(id: string): Promise<TaskSnapshot> {
    const task = await this.#live.ended(id, "can be removed");
    if (await this.#store.tasks.remove(id)) return task;
    throw unknown(id);
  }

  follow(id: string, listener: Listener): Following | null {
    this.#store.lost.throwIfAborted();
    const task = this.#live.find(id);
    return task === undefined || this.#live.closed ? null : this.#subscribers.follow(task, listener);
  }

  batch(id: string): Promise<BatchSnapshot | null> {
    return this.#batches.get(id);
  }

  batchResults(id: string, follow: boolean, signal: AbortSignal): ReturnType<TaskApi["batchResults"]> {
    return this.#batches.results(id, follow && !this.#live.closed, signal);
  }

  /** Whether tasks can be written to disk at present. */
  get canSave(): boolean {
    return this.#writer.works;
  }

  /**
   * Takes no more tasks and places none; resolves when no task runs and all ends are on disk, or after `seconds`.
   * @param hurry ends the wait at once
   */
  async drain(seconds: number, hurry: AbortSignal): Promise<void> {
    this.scheduler.drain();
    await this.#idle.until(seconds, hurry);
  }

  /** Puts tasks that still run back into the queue and writes everything. The workers must have ended by now. */
  async close(): Promise<void> {
    this.scheduler.drain();
    // Tasks that run on other machines go on; the next server adopts them.
    if (this.#parts.adopt === undefined)
      for (const instance of this.scheduler.instances) this.scheduler.interrupted(instance, "server_stop");
    this.#alarm.set(Infinity);
    this.#requests.close();
    this.#batchEnds.close();
    await this.#writer.close();
    this.#live.close();
    this.#subscribers.close();
    this.#batches.close();
  }

  /** Admits tasks of one caller. @param recordsOf records that must be on disk before the answer, too */
  async #admit(
    tasks: readonly Task[],
    { batch: grouped, webhook, origin }: SubmitOptions,
    recordsOf: (submission: Submission) => readonly StoreRecord[],
  ): Promise<Submission> {
    const grouping = grouped === null ? "single" : grouped.split ? "split" : "whole";
    const batch = grouped === null ? null : newBatch(tasks, webhook);
    let submission: Submission | null = null;
    const records = (): readonly StoreRecord[] => {
      submission = submissionOf(tasks, grouping);
      if (batch === null) return recordsOf(submission);
      this.#batches.add(batch);
      return [{ kind: "batch", batch }, ...recordsOf(submission)];
    };
    try {
      await this.#intake.take(tasks, grouping, records, origin);
    } catch (error) {
      if (batch !== null) this.#batches.withdraw(batch.id);
      throw error;
    }
    if (webhook !== null) this.#parts.webhooks.wake();
    return submission!;
  }

  #changed(task: Task): void {
    this.#idle.tell();
    this.#news.changed(task);
    // A request that is not on disk yet must stay in memory.
    if (!this.#writer.isAdmitting(task)) this.#requests.settle(task);
    this.#writer.changed(task);
    // A withdrawn task has none: its end is never written.
    if (isFinal(task.status) && this.#live.has(task.id)) this.#unsaved.add(task);
  }

  #newWriter(): Writer {
    return new Writer({
      store: this.#store,
      log: this.#log,
      recordsOf: (task) => this.#eventsOf(task),
      isAwaited: (task) => this.#live.isAwaited(task) || this.#subscribers.has(task),
      admitted: (tasks) => tasks.forEach((task) => this.#requests.settle(task)),
      started: (task, attempt) => this.#subscribers.started(task, attempt),
      ended: (task) => this.#forget(task),
      caughtUp: () => this.#idle.tell(),
    });
  }

  #newUnsaved(): UnsavedResults {
    return new UnsavedResults({
      budget: this.#parts.unsaved,
      full: (bytes) => this.#holdStarts(bytes),
      room: () => {
        this.#log.warn("results are written again, and tasks start");
        this.scheduler.resume();
      },
    });
  }

  #effects(): Effects {
    return {
      run: (instance, task) => this.#run(instance, task),
      cancel: (gpuId, task) => this.#parts.cancel(gpuId, task),
      load: (instance) => queueMicrotask(() => this.#parts.load(instance)),
      unload: (instance, why) => queueMicrotask(() => this.#parts.unload(instance, why)),
      changed: (task) => this.#changed(task),
      alarm: (at) => this.#alarm.set(at),
    };
  }

  #run(instance: InstanceRef, task: Task): void {
    this.#news.started(task, instance);
    const sink = new TaskSink(task, this.#hearers);
    try {
      this.#subscribers.begun(task, this.#parts.run(instance, task, this.#requests.of(task), sink));
    } catch (error) {
      this.#log.error({ err: error, task: task.id, ...instance }, `a task could not be started: ${messageOf(error)}`);
      sink.notStarted();
    }
  }

  #holdStarts(bytes: number): void {
    this.scheduler.hold();
    this.#log.error({ bytes }, "too many results wait to be written; no task starts until they are on disk");
  }

  /** The tasks that will start next: twice as many as can start at once. */
  #nearTurns(): number {
    const slots = this.scheduler.instances.reduce((sum, { facts }) => sum + facts.slots, 0);
    return Math.min(MOST_NEAR, Math.max(LEAST_NEAR, 2 * slots));
  }

  /** The store is lost: no state that is only in memory would survive a restart, so every wait ends. */
  #onStoreLost(): void {
    this.#live.wakeAll();
    this.#subscribers.close();
    this.#batches.close();
    this.#idle.tell();
  }

  /** The end of a task is on disk: only the store has it from now on. */
  #forget(task: Task): void {
    // Two writes may bring the same end to disk, when one repeats another that had failed.
    if (!this.#live.remove(task)) return;
    this.#unsaved.delete(task);
    this.#news.ended(task);
    this.#subscribers.ended(task);
    this.#batches.ended(task);
    if (task.webhook !== null) this.#parts.webhooks.wake();
  }

  #eventsOf(task: Task): readonly StoreRecord[] {
    return task.webhook === null ? NO_RECORDS : this.#parts.webhooks.ofTask(task).map(asEvent);
  }

  /** Whether a stop has nothing to wait for: with the store lost, no end of a task can be kept. */
  #isIdle(): boolean {
    if (this.#store.lost.aborted) return true;
    const mayLeave = (task: Task): boolean => this.#parts.adopt !== undefined && outlivesServer(task);
    return (
      this.#writer.unwritten === 0 && this.scheduler.instances.every(({ running }) => [...running].every(mayLeave))
    );
  }
}

const NO_RECORDS: readonly StoreRecord[] = [];
