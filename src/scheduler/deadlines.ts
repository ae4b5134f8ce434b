/** The alarms of tasks: when one must be done, when it has waited for too long, and when it may be tried again. */
import { isFinal, type Task } from "../task.ts";
import { type Alarm, Alarms } from "./alarms.ts";

/** Alarms that are kept without asking whether their tasks still live. Each may keep a task that has ended, with its result, in memory. */
const MANY_ALARMS = 128;

export class Deadlines {
  readonly #alarms = new Alarms();
  /** Seconds a task may wait; null: any time. */
  readonly #queueTimeout: number | null;
  /** Above this number of alarms, those of ended tasks are dropped. */
  #many = MANY_ALARMS;

  constructor(queueTimeout: number | null) {
    this.#queueTimeout = queueTimeout;
  }

  /** Time of the next alarm, by the server's clock; Infinity: there is none. */
  get next(): number {
    return this.#alarms.next;
  }

  /** Takes out the next alarm if it is due; undefined: none is. @param now the server's clock */
  takeDue(now: number): Alarm | undefined {
    return this.#alarms.takeDue(now);
  }

  /** Sets the alarms of a task that begins its life with this server. */
  watch(task: Task): void {
    if (isFinal(task.status)) return;
    const { timeoutSeconds, createdClock } = task;
    if (timeoutSeconds !== null) this.#set({ at: createdClock + timeoutSeconds * 1000, kind: "deadline", task });
    if (task.status === "queued") this.watchQueue(task);
  }

  /** Sets the alarm of a task that has begun to wait. */
  watchQueue(task: Task): void {
    const timeout = this.#queueTimeout;
    if (timeout !== null) this.#set({ at: task.waitsSince + timeout * 1000, kind: "queue", task });
  }

  /** Sets the alarm of a task that rests. @param at by the server's clock */
  retry(task: Task, at: number): void {
    this.#set({ at, kind: "retry", task });
  }

  #set(alarm: Alarm): void {
    this.#alarms.add(alarm);
    if (this.#alarms.size <= this.#many) return;
    this.#alarms.keepOnly(
      ({ kind, task }) => !isFinal(task.status) && (kind === "deadline" || task.status === "queued"),
    );
    this.#many = Math.max(MANY_ALARMS, 2 * this.#alarms.size);
  }
}
