/** New tasks on their way in: the scheduler takes them, and nobody is told of them before they are on disk. */
import type { Grouping } from "../scheduler/planner.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";
import type { StoreRecord } from "../store/store.ts";
import type { TaskStore } from "../store/tasks.ts";
import type { Task } from "../task.ts";
import type { LiveTasks } from "./live-tasks.ts";
import { StoredRoom } from "./stored-room.ts";
import type { Subscribers } from "./subscribers.ts";
import type { TaskNews } from "./task-news.ts";
import type { UnsavedResults } from "./unsaved-results.ts";
import type { Writer } from "./writer.ts";

export interface IntakeParts {
  readonly scheduler: Pick<Scheduler, "submit" | "cancel" | "callers">;
  readonly live: LiveTasks;
  readonly news: TaskNews;
  readonly subscribers: Subscribers;
  readonly unsaved: UnsavedResults;
  readonly writer: Writer;
  /** As of `TaskBookParts`. */
  readonly refuseTexts: ((tasks: readonly Task[]) => void) | undefined;
  readonly store: Pick<TaskStore, "storedBytes">;
}

export class Intake {
  readonly #parts: IntakeParts;
  readonly #room: StoredRoom;

  constructor(parts: IntakeParts) {
    this.#parts = parts;
    const { callers } = parts.scheduler;
    this.#room = new StoredRoom(parts.store, (user) => callers.of({ user }).limits.maxStored ?? null);
  }

  /**
   * Admits tasks of one caller, all or none. Throws at once what the scheduler refuses.
   * @param recordsOf records that must be on disk with them; asked once the scheduler has taken the tasks
   * @param origin as of `SubmitOptions`
   * @throws {AltLasError} as `Scheduler.submit`; `store_unavailable`. Nothing of them exists then
   */
  take(
    tasks: readonly Task[],
    grouping: Grouping,
    recordsOf: () => readonly StoreRecord[],
    origin?: object,
  ): Promise<void> {
    const { scheduler, live, news, writer, refuseTexts } = this.#parts;
    refuseTexts?.(tasks);
    this.#room.refuseOver(tasks);
    scheduler.submit(tasks, grouping);
    this.#room.take(tasks);
    for (const task of tasks) live.add(task);
    const records = recordsOf();
    // Logged before the write: a task may start or end meanwhile, and its lines would come in the wrong order.
    news.accepted(tasks, origin);
    return writer.admit(tasks, records, () => this.#withdraw(tasks));
  }

  /** A task for which there is room in the store. @throws {AltLasError} `rate_limited`: there is none for its user */
  withRoom(task: Task): Task {
    this.#room.refuseOver([task]);
    return task;
  }

  /** Undoes a submission that could not be written. */
  #withdraw(tasks: readonly Task[]): void {
    const { scheduler, live, news, subscribers, unsaved } = this.#parts;
    for (const task of tasks) {
      unsaved.delete(task);
      subscribers.forget(task);
      news.withdrawn(task);
      // A client that cancels one of these tasks waits for an end that is never written.
      live.remove(task);
    }
    scheduler.cancel(tasks);
  }
}
