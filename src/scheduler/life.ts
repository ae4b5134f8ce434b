/** Changes the states of tasks for this whole folder: nothing else starts a task, queues it again or ends it. */
import type { Clock } from "../common/clock.ts";
import { beginUse } from "../task-use.ts";
import {
  isFinal,
  latestTime,
  type Ending,
  type Placement,
  type Task,
  type TaskError,
  type TaskResult,
  transition,
} from "../task.ts";
import { endAttempt, finalError, type Moment, queueError, queueTimeIsOver } from "./attempts.ts";
import { type Callers, workOf } from "./callers.ts";
import type { Effects, SchedulerSettings } from "./effects.ts";
import type { Instance } from "./placement.ts";

export interface LifeParts {
  readonly settings: Pick<SchedulerSettings, "maxAttempts" | "queueTimeout">;
  readonly effects: Effects;
  readonly clock: Clock;
  readonly callers: Callers;
  /** Why a task would wait in vain; null: it would not. */
  readonly inVain: (task: Task) => TaskError | null;
}

export class Life {
  readonly #parts: LifeParts;
  /** Running tasks that are to be stopped, and why. They end even if their worker dies first; they do not go back into the queue. */
  readonly #stopping = new WeakMap<Task, "canceled" | "timeout">();

  constructor(parts: LifeParts) {
    this.#parts = parts;
  }

  /** This moment. The shown times of a task never go backwards, whatever the wall clock does. */
  moment(task: Task): Moment {
    const { clock } = this.#parts;
    const now = clock.now();
    return { at: Math.max(now + clock.ahead, latestTime(task)), now };
  }

  /** Starts a task whose slot is reserved. */
  start(task: Task, instance: Instance, placement: Placement): void {
    const { gpuId, facts } = instance;
    transition(task, "running");
    task.gpuId = gpuId;
    task.ranModel = facts.modelName;
    // The rest of its batch may run on that GPU only, and so may this task if it has to wait again.
    if (task.wholeBatch) task.boundTo = gpuId;
    const { at, now } = this.moment(task);
    task.startedAt = at;
    beginUse(task, now);
    task.placement = placement;
    task.attempts.push({ gpuId, startedAt: task.startedAt, endedAt: null, reason: null });
    this.#parts.effects.run(instance, task);
  }

  /** Asks for the stop of a running task. The first reason counts. */
  stop(task: Task, why: "canceled" | "timeout"): void {
    if (this.#stopping.has(task)) return;
    this.#stopping.set(task, why);
    this.#parts.effects.cancel(task.gpuId!, task);
  }

  /** Ends a task whose run has ended. */
  finish(task: Task, outcome: Ending): void {
    const late = outcome.status === "canceled" && this.#stopping.get(task) === "timeout";
    const result = resultOf(outcome);
    const moment = this.moment(task);
    endAttempt(task, late ? "timeout" : outcome.status, moment);
    if (late) this.#end(task, "failed", deadlineError(task), result && { ...result, finishReason: "timeout" }, moment);
    else this.#end(task, outcome.status, outcome.status === "failed" ? outcome.error : null, result, moment);
  }

  /**
   * Makes a task `queued` again after its run was cut off.
   * @returns false when it has ended instead: it was to be stopped, was cut off too often, has waited too long, or no GPU can do it
   *   any more
   */
  again(task: Task): boolean {
    const { maxAttempts, queueTimeout } = this.#parts.settings;
    const stopping = this.#stopping.get(task);
    const error =
      stopping === "timeout" ? deadlineError(task) : (finalError(task, maxAttempts) ?? this.#parts.inVain(task));
    if (stopping === "canceled") this.#end(task, "canceled", null, null);
    else if (error !== null) this.#end(task, "failed", error, null);
    // If it waited again, its alarm would be for a time already past, and nothing could start before that alarm.
    else if (queueTimeIsOver(task, queueTimeout, this.#parts.clock.now()))
      this.#endUnserved(task, "failed", queueError(task, queueTimeout));
    if (isFinal(task.status)) return false;
    transition(task, "queued");
    task.startedAt = null;
    task.gpuId = null;
    return true;
  }

  /** Ends a task of an earlier server, which has no worker and is in no queue: its client has left with that, or its text is lost with it. */
  abandon(task: Task): void {
    if (task.endsWithClient) this.#end(task, "canceled", null, null);
    else this.#end(task, "failed", LOST_WITH_SERVER, null);
  }

  /** Ends a task that was waiting, and is not in a queue any more. */
  endWaiting(task: Task, status: "failed" | "canceled", error: TaskError | null): void {
    this.#endUnserved(task, status, error);
    this.#parts.effects.changed(task);
  }

  /** Ends a task that counts for none of its caller's tokens. */
  #endUnserved(task: Task, status: "failed" | "canceled", error: TaskError | null): void {
    this.#parts.callers.ended(task, 0);
    this.#end(task, status, error, null);
  }

  #end(
    task: Task,
    status: "completed" | "failed" | "canceled",
    error: TaskError | null,
    result: TaskResult | null,
    { at, now } = this.moment(task),
  ): void {
    transition(task, status);
    task.finishedAt = Math.max(at, result?.timestamp ?? 0);
    task.finishedClock = now;
    task.error = error;
    task.result = result;
    this.#parts.callers.budgets.ended(task);
    this.#parts.callers.ended(task, result === null ? (status === "canceled" ? 0 : null) : workOf(result));
  }
}

/** The remaining time of a run; null: none. */
export function resultOf(outcome: Ending): TaskResult | null {
  return outcome.status === "failed" ? null : (outcome.result ?? null);
}

/** Of a task of an earlier run of the server, whose text was in its memory alone. */
const LOST_WITH_SERVER: TaskError = {
  code: "text_gone",
  sentence:
    "The text of this task was in memory only, as it was not to be stored, and the server stopped or died before the task had ended. Submit it again.",
};

/** The error of a task that has missed its deadline. */
export function deadlineError({ timeoutSeconds }: Task): TaskError {
  return { code: "timeout", sentence: `The task was not done ${timeoutSeconds} s after its submission.` };
}
