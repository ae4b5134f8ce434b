/** Cancels tasks, and answers when their ends are on disk. */
import { AltLasError } from "../errors.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";
import { isFinal, shownGpuId, type Task } from "../task.ts";
import { COMMIT_PATIENCE, type LiveTasks, unknown } from "./live-tasks.ts";
import type { CancelFilter, TaskSnapshot } from "./task-api.ts";

/** Seconds that an end may take to reach the disk, after the time that a worker has to stop a task. */
const CANCEL_PATIENCE = 5;
/** Ends that a slow disk writes in a second. */
const ENDS_PER_SECOND = 1000;

export interface CancellationParts {
  readonly scheduler: Pick<Scheduler, "cancel">;
  readonly live: LiveTasks;
  /** Whether tasks can be written to disk at present. */
  readonly canSave: () => boolean;
  /** Seconds that a worker is given to stop a task. */
  readonly cancelTimeout: number;
}

export class Cancellation {
  readonly #parts: CancellationParts;

  constructor(parts: CancellationParts) {
    this.#parts = parts;
  }

  /** Cancels a task; see `TaskApi`. */
  async one(id: string): Promise<TaskSnapshot> {
    const task = this.#parts.live.find(id);
    if (task === undefined || isFinal(task.status)) throw await this.#tooLate(id);
    await this.#cancel([task]);
    if (task.status !== "canceled") throw hasEnded(task);
    return task;
  }

  /** The refusal to cancel a task that has ended or does not exist. A client is not told of an end that is not on disk. */
  async #tooLate(id: string): Promise<AltLasError> {
    const task = await this.#parts.live.get(id);
    if (task === null) return unknown(id);
    if (isFinal(task.status)) return hasEnded(task);
    const sentence = `Task ${id} has ended, but its end could not be written to disk yet; it is written as soon as that can be.`;
    return new AltLasError("store_unavailable", sentence);
  }

  /** Cancels all that match and have not ended; see `TaskApi`. */
  async matching(filter: CancelFilter): Promise<number> {
    const ids = filter.ids && new Set(filter.ids);
    const tasks = [...this.#parts.live.all].filter((task) => !isFinal(task.status) && matches(task, filter, ids));
    if (tasks.length > 0) await this.#cancel(tasks);
    return tasks.filter(({ status }) => status === "canceled").length;
  }

  /** Cancels live tasks; resolves when all of them have ended and that is on disk. @throws {AltLasError} `store_unavailable`, `draining` */
  async #cancel(tasks: readonly Task[]): Promise<void> {
    const { live, scheduler, canSave, cancelTimeout } = this.#parts;
    if (live.closed)
      throw new AltLasError("draining", "The server is stopping, and cancels nothing now.", { retryAfter: 5 });
    const ended = live.until(
      tasks,
      // While the disk takes no writes, a long wait is of no use.
      canSave() ? cancelTimeout + CANCEL_PATIENCE + tasks.length / ENDS_PER_SECOND : COMMIT_PATIENCE,
    );
    scheduler.cancel(tasks);
    await ended;
    if (!tasks.some(({ id }) => live.has(id))) return;
    const sentence =
      "The canceled tasks have not ended yet, or their ends could not be written to disk; they are written as soon as that can be.";
    throw new AltLasError("store_unavailable", sentence);
  }
}

function matches(task: Task, filter: CancelFilter, ids: ReadonlySet<string> | undefined): boolean {
  const { user, team, status, batchId, taskType, gpuId, model, since = -Infinity, until = Infinity } = filter;
  return (
    (ids === undefined || ids.has(task.id)) &&
    (user === undefined || task.user === user) &&
    (team === undefined || task.team === team) &&
    (status === undefined || task.status === status) &&
    (batchId === undefined || task.batchId === batchId) &&
    (taskType === undefined || task.taskType === taskType) &&
    (gpuId === undefined || shownGpuId(task) === gpuId) &&
    (model === undefined || (task.ranModel ?? task.model) === model) &&
    task.createdAt >= since &&
    task.createdAt < until
  );
}

function hasEnded({ id, status }: TaskSnapshot): AltLasError {
  const sentence = `Task ${id} cannot be canceled: it has ended already, with the status ${status}.`;
  return new AltLasError("conflict", sentence, { details: { status } });
}
