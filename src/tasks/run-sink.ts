/** Sinks that hear of runs, from their workers. */
import { type Delta, Output } from "../output.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";
import { NOT_STARTED } from "../gpu/any-pool.ts";
import type { InstanceRef } from "../gpu/facts.ts";
import { attemptNumber, type Outcome, type RunSink, type Task } from "../task.ts";
import type { Subscribers } from "./subscribers.ts";
import type { TaskBookParts } from "./task-book-parts.ts";
import type { TaskNews } from "./task-news.ts";

export interface Hearers {
  readonly news: TaskNews;
  readonly subscribers: Subscribers;
  readonly scheduler: Scheduler;
}

/** Tells what becomes of a run to those who read along, to the log, and to the scheduler. */
export class TaskSink implements RunSink {
  readonly #task: Task;
  readonly #hearers: Hearers;
  /** As `TaskNews.output` returns it. */
  #lastOutput = 0;

  constructor(task: Task, hearers: Hearers) {
    this.#task = task;
    this.#hearers = hearers;
  }

  delta(delta: Delta, before: number): void {
    const { news, subscribers } = this.#hearers;
    this.#lastOutput = news.output(this.#task, before, this.#lastOutput);
    subscribers.delta(this.#task, delta, before);
  }

  begun(): void {
    this.#hearers.news.output(this.#task, 0, 0);
  }

  caughtUp(): void {
    this.#lastOutput = 0;
    this.#hearers.subscribers.caughtUp(this.#task);
  }

  ended(outcome: Outcome): void {
    this.#hearers.news.left(this.#task, outcome);
    this.#hearers.scheduler.finished(this.#task, outcome);
  }

  /** Its start has thrown. It ends when the scheduler is done with the present event: else its slot would be taken for ever. */
  notStarted(): void {
    const task = this.#task;
    this.#hearers.subscribers.begun(task, new Output());
    const attempt = attemptNumber(task);
    setImmediate(() => {
      if (task.status === "running" && attemptNumber(task) === attempt) this.ended(NOT_STARTED);
    });
  }
}

/** Whether a task may go on without its server. Others end with it: their clients leave, or their texts are in its memory. */
export function outlivesServer({ endsWithClient, texts }: Task): boolean {
  return !endsWithClient && texts !== "never";
}

/** @returns the running tasks of an earlier server that go on, as their machines outlive it, and where */
export function adoptRuns(
  tasks: readonly Task[],
  adopt: TaskBookParts["adopt"],
  hearers: Hearers,
): ReadonlyMap<Task, InstanceRef> {
  const adopted = new Map<Task, InstanceRef>();
  if (adopt === undefined) return adopted;
  for (const task of tasks) {
    if (task.status !== "running" || !outlivesServer(task)) continue;
    const run = adopt(task, new TaskSink(task, hearers));
    if (run === null) continue;
    adopted.set(task, run.instance);
    hearers.subscribers.started(task, attemptNumber(task));
    hearers.subscribers.begun(task, run.output);
  }
  return adopted;
}
