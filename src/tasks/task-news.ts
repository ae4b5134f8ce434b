/** Tells the log, and those who observe the core, what becomes of tasks. */
import { errorWithoutText } from "../gone-texts.ts";
import type { Clock } from "../common/clock.ts";
import type { InstanceRef } from "../gpu/facts.ts";
import type { Logger } from "../log/log.ts";
import { sentenceOf } from "../reasons.ts";
import { attemptNumber, isFinal, type Outcome, shownGpuId, type Task } from "../task.ts";
import { queuedSeconds } from "../task-use.ts";
import {
  TASK_ACCEPTED,
  TASK_ENDED,
  TASK_LEFT,
  TASK_OUTPUT,
  TASK_REQUEUED,
  TASK_STARTED,
  TASK_WITHDRAWN,
} from "../topics.ts";

export class TaskNews {
  readonly #log: Logger;
  readonly #clock: Clock;

  constructor({ log, clock }: { readonly log: Logger; readonly clock: Clock }) {
    this.#log = log;
    this.#clock = clock;
  }

  /** They are admitted, and some may run already. */
  accepted(tasks: readonly Task[], origin?: object): void {
    if (TASK_ACCEPTED.isHeard) for (const task of tasks) TASK_ACCEPTED.publish({ task, origin });
    if (!this.#log.isLevelEnabled("debug")) return;
    for (const task of tasks) {
      this.#log.debug(acceptedLine(task), "task accepted");
      if (task.attempts.length > 0) this.#log.debug(placedLine(task), "task running");
    }
  }

  /** It was accepted, and could not be written. */
  withdrawn(task: Task): void {
    this.#log.debug({ task: task.id }, "task withdrawn: it could not be written");
    if (TASK_WITHDRAWN.isHeard) TASK_WITHDRAWN.publish({ task });
  }

  /** An attempt begins. */
  started(task: Task, instance: InstanceRef): void {
    if (!TASK_STARTED.isHeard) return;
    TASK_STARTED.publish({ task, instance, waited: (this.#clock.now() - task.waitsSince) / 1000 });
  }

  /**
   * There is output of a running task.
   * @param before the position where it begins in the attempt's output @param last what this has returned for the output before it; 0: nothing
   * @returns milliseconds on the monotonic clock; 0: nobody listens
   */
  output(task: Task, before: number, last: number): number {
    if (!TASK_OUTPUT.isHeard) return 0;
    const now = performance.now();
    TASK_OUTPUT.publish({ task, isFirst: before === 0, pause: last === 0 ? null : (now - last) / 1000 });
    return now;
  }

  left(task: Task, outcome: Outcome): void {
    this.#log.debug({ task: task.id, gpu: task.gpuId, status: outcome.status }, "task left its GPU");
    if (TASK_LEFT.isHeard) TASK_LEFT.publish({ task, outcome });
  }

  /** Its state has changed after its submission. */
  changed(task: Task): void {
    if (isFinal(task.status)) return;
    if (this.#log.isLevelEnabled("debug")) this.#log.debug(placedLine(task), `task ${task.status}`);
    if (task.status === "queued" && TASK_REQUEUED.isHeard) TASK_REQUEUED.publish({ task });
  }

  /** Its final status is on disk. */
  ended(task: Task): void {
    this.#log.info(endLine(task), `task ${task.status}`);
    if (TASK_ENDED.isHeard) TASK_ENDED.publish({ task });
  }
}

function acceptedLine({ id, user, batchId, estimatedTokens }: Task): object {
  return { task: id, user, batch: batchId, estimatedTokens };
}

function placedLine({ id, gpuId, placement }: Task): object {
  return { task: id, gpu: gpuId, reason: placement && sentenceOf(placement.reason, placement.gpuId) };
}

/** User, model, GPU, times and reason: all that an operator is told of an ordinary task. */
function endLine(task: Task): object {
  const { id, user, model, ranModel, result, error, finishedAt } = task;
  const attempts = attemptNumber(task);
  return {
    task: id,
    user,
    model: ranModel ?? model,
    gpu: shownGpuId(task),
    wait: queuedSeconds(task, finishedAt ?? 0),
    // Undefined fields are not written.
    attempts: attempts > 1 ? attempts : undefined,
    tokens: result?.completionTokens,
    seconds: result?.executionTime,
    code: error?.code,
    // The words of engines may repeat a text that is not to be stored.
    reason: error === null ? undefined : (task.texts === "keep" ? error : errorWithoutText(error)).sentence,
  };
}
