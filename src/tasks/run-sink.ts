/** Sinks that hear of runs, from their workers. */
import type { Delta } from "../output.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";
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
export function sinkOf(task: Task, { news, subscribers, scheduler }: Hearers): RunSink {
  const sink = {
    // Of an object: as a variable, each of its values would be garbage.
    lastOutput: 0,
    delta: (delta: Delta, before: number) => {
      sink.lastOutput = news.output(task, before, sink.lastOutput);
      subscribers.delta(task, delta, before);
    },
    ended: (outcome: Outcome) => {
      news.left(task, outcome);
      scheduler.finished(task, outcome);
    },
  };
  return sink;
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
    const run = adopt(task, sinkOf(task, hearers));
    if (run === null) continue;
    adopted.set(task, run.instance);
    hearers.subscribers.started(task, attemptNumber(task));
    hearers.subscribers.begun(task, run.output);
  }
  return adopted;
}
