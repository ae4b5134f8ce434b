/** The task book: what HTTP asks for, answered from the scheduler (live tasks) and the store (ended ones). */
import { randomUUID, randomUUIDv7 } from "node:crypto";
import { type Logger } from "pino";
import { type Store, type TaskFilter } from "../store/store.ts";
import { type Attempt, isFinal, newTask, type Outcome, type StrategyName, type Task, type TaskInput } from "../task.ts";
import { Saving } from "./saving.ts";
import { type Grouping, Scheduler, type SchedulerSettings } from "./scheduler.ts";
import { Waiters } from "./waiters.ts";

/** How a submission wants its tasks placed. */
export interface SubmitOptions {
  /** The user the tasks will belong to. */
  readonly user: string;
  readonly strategy: StrategyName;
  /** Set: the tasks run there or nowhere. */
  readonly pinnedGpuId: number | null;
  /** null: one task, not a batch. */
  readonly batch: { readonly split: boolean } | null;
}

export const BATCH_STATUSES = ["running", "queued", "mixed", "all_distributed", "all_queued"] as const;
export type BatchStatus = (typeof BATCH_STATUSES)[number];

/** What was true when the tasks were admitted. */
export interface Submission {
  readonly batchId: string | null;
  readonly batchStatus: BatchStatus;
  readonly tasks: readonly {
    readonly id: string;
    readonly gpuId: number | null;
    readonly status: "running" | "queued";
  }[];
}

/** A task as one moment saw it. */
export type TaskSnapshot = Readonly<Omit<Task, "attempts">> & { readonly attempts: readonly Readonly<Attempt>[] };

export interface TaskApi {
  /**
   * Admits all of the tasks or none; resolves when they are on disk.
   * @throws {AltLasError} `invalid_input` (no such GPU, strategy not configured, a prompt that can never fit), `queue_full`, `draining`,
   *   `no_usable_gpu`, `store_unavailable`; nothing exists then. A sentence about one item of a batch names `batch[i]`.
   */
  submit(inputs: readonly TaskInput[], options: SubmitOptions): Promise<Submission>;
  /** A task, whoever it belongs to. A final status is shown only once it is on disk. */
  get(id: string): Promise<TaskSnapshot | null>;
  /** As `get`, but held until the task has ended, `seconds` are over, the signal aborts or the server stops. */
  wait(id: string, seconds: number, signal: AbortSignal): Promise<TaskSnapshot | null>;
  /** Newest first, without their prompts. */
  list(filter: TaskFilter): Promise<{ readonly tasks: readonly Omit<TaskSnapshot, "text">[]; readonly total: number }>;
}

/** What the task book needs of the scheduler's surroundings. */
export interface TasksParts {
  readonly store: Store;
  readonly log: Logger;
  readonly settings: SchedulerSettings;
  /** Hands a task to a GPU's worker. */
  readonly run: (gpuId: number, task: Task) => void;
  /** Has a GPU's worker stop a task. */
  readonly cancel: (gpuId: number, task: Task) => void;
}

/** Seconds that an end may take to reach the disk before a client that asks is told the state before it. */
const COMMIT_PATIENCE = 1;

export class Tasks implements TaskApi {
  readonly scheduler: Scheduler;
  readonly #store: Store;
  readonly #log: Logger;
  readonly #saving: Saving;
  /** Every task that has not ended, or whose end is not on disk yet. */
  readonly #live = new Map<string, Task>();
  readonly #waiters = new Waiters();
  /** Called when the last running task has left its GPU. */
  #onIdle: (() => void) | null = null;
  #lastSeq = 0;
  #stopped = false;

  constructor({ store, log, settings, run, cancel }: TasksParts) {
    this.#store = store;
    // All that is logged here is named field by field, and looking for secrets would cost nine times what the line does.
    this.#log = log.child({}, { redact: [] });
    this.#saving = new Saving(store, this.#log, (task) => this.#forget(task));
    const effects = { run, cancel, changed: (task: Task) => this.#changed(task) };
    this.scheduler = new Scheduler(settings, effects, Date.now, Math.random);
  }

  /** Takes over what an earlier server left unfinished; the GPUs must be known by now. */
  restore({ live, lastSeq }: Awaited<ReturnType<Store["open"]>>): void {
    this.#lastSeq = lastSeq;
    for (const task of live) this.#live.set(task.id, task);
    this.scheduler.restore(live);
  }

  async submit(inputs: readonly TaskInput[], options: SubmitOptions): Promise<Submission> {
    const tasks = this.#makeTasks(inputs, options);
    const grouping = options.batch === null ? "single" : options.batch.split ? "split" : "whole";
    this.scheduler.submit(tasks, grouping);
    for (const task of tasks) this.#live.set(task.id, task);
    const submission = submissionOf(tasks, grouping);
    // Before the write, during which a task may start or end: its lines would come twice, or in the wrong order.
    if (this.#log.isLevelEnabled("debug")) for (const task of tasks) this.#logAccepted(task);
    try {
      await this.#saving.admit(tasks);
    } catch (error) {
      this.#withdraw(tasks);
      throw error;
    }
    return submission;
  }

  async get(id: string): Promise<TaskSnapshot | null> {
    const task = this.#live.get(id);
    if (task === undefined) return this.#store.get(id);
    if (isFinal(task.status) && !this.#stopped) await this.#waiters.until(id, COMMIT_PATIENCE);
    return this.#durable(task);
  }

  async wait(id: string, seconds: number, signal: AbortSignal): Promise<TaskSnapshot | null> {
    const task = this.#live.get(id);
    if (task === undefined) return this.#store.get(id);
    if (!this.#stopped && !signal.aborted) await this.#waiters.until(id, seconds, signal);
    return this.#durable(task);
  }

  /** Whether tasks can be written to disk at present. */
  get canSave(): boolean {
    return this.#saving.works;
  }

  list(filter: TaskFilter): ReturnType<TaskApi["list"]> {
    return this.#store.list(filter);
  }

  /** A run has ended: called by the worker's owner. */
  finished(task: Task, outcome: Outcome): void {
    this.#log.debug({ task: task.id, gpu: task.gpuId, status: outcome.status }, "task left its GPU");
    this.scheduler.finished(task, outcome);
  }

  /**
   * Takes no more tasks and places none; resolves when nothing runs any more, or after `seconds`.
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
    await this.#saving.close();
    this.#stopped = true;
    this.#waiters.wakeAll();
  }

  #makeTasks(inputs: readonly TaskInput[], { user, strategy, pinnedGpuId, batch }: SubmitOptions): Task[] {
    const batchId = batch === null ? null : randomUUID();
    const createdAt = Date.now();
    return inputs.map(({ text, maxLength, temperature, taskType }) =>
      newTask({
        text,
        maxLength,
        temperature,
        taskType,
        // Ids that grow with time: each lands at the end of the database's index, where random ones would touch a page each.
        id: randomUUIDv7(),
        seq: ++this.#lastSeq,
        user,
        strategy,
        pinnedGpuId,
        batchId,
        wholeBatch: batch !== null && !batch.split,
        createdAt,
      }),
    );
  }

  #logAccepted(task: Task): void {
    this.#log.debug(
      { task: task.id, user: task.user, batch: task.batchId, maxLength: task.maxLength },
      "task accepted",
    );
    if (task.attempts.length > 0) this.#log.debug(placedLine(task), "task running");
  }

  /** Nothing of a submission that could not be written may stay. */
  #withdraw(tasks: readonly Task[]): void {
    for (const task of tasks) {
      this.#log.debug({ task: task.id }, "task withdrawn: it could not be written");
      this.#live.delete(task.id);
      this.scheduler.cancel(task);
    }
  }

  #changed(task: Task): void {
    if (this.#onIdle !== null && this.#idle()) this.#onIdle();
    if (!isFinal(task.status)) this.#log.debug(placedLine(task), `task ${task.status}`);
    this.#saving.changed(task);
  }

  /** A task as it would be found after a power cut: an end that is not on disk has not happened yet. */
  #durable(task: Task): TaskSnapshot {
    if (!this.#live.has(task.id) || !isFinal(task.status)) return task;
    const status = task.startedAt === null ? "queued" : "running";
    return { ...task, status, finishedAt: null, result: null, error: null };
  }

  /** The end of a task is on disk: it lives in the store from now on. */
  #forget(task: Task): void {
    this.#live.delete(task.id);
    this.#log.info(endLine(task), `task ${task.status}`);
    this.#waiters.wake(task.id);
  }

  #idle(): boolean {
    return this.scheduler.gpus.every((gpu) => gpu.running.size === 0);
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

function submissionOf(tasks: readonly Task[], grouping: Grouping): Submission {
  const placed = tasks.map(({ id, gpuId, status }) => ({ id, gpuId, status: status as "running" | "queued" }));
  return { batchId: tasks[0]!.batchId, batchStatus: batchStatusOf(placed, grouping), tasks: placed };
}

/** The batch statuses of the contract's section 1.3. */
function batchStatusOf(tasks: Submission["tasks"], grouping: Grouping): BatchStatus {
  if (tasks.every((task) => task.status === "running")) return "running";
  if (tasks.every((task) => task.gpuId !== null)) return "all_distributed";
  if (tasks.some((task) => task.gpuId !== null)) return "mixed";
  return grouping === "whole" ? "queued" : "all_queued";
}

function placedLine(task: Task): object {
  return { task: task.id, gpu: task.gpuId, reason: task.placement?.reason };
}

function endLine(task: Task): object {
  const { result, error } = task;
  return {
    task: task.id,
    gpu: task.gpuId,
    ...(result && { tokens: result.completionTokens, seconds: result.executionTime }),
    ...(error && { code: error.code, reason: error.sentence }),
  };
}
