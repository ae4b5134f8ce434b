import { takeOut } from "../common/in-flight.ts";
import type { Task } from "../task.ts";

/** The tasks that run on one instance, in the order of their starts. */
export interface RunningTasks extends Iterable<Task> {
  readonly size: number;
  has(task: Task): boolean;
}

/** They are few, and change with every task: a Set would keep them in memory for long (common/in-flight.ts). */
export class Running implements RunningTasks {
  readonly #tasks: Task[] = [];

  get size(): number {
    return this.#tasks.length;
  }

  has(task: Task): boolean {
    return this.#tasks.includes(task);
  }

  /** @param task one that is not there */
  add(task: Task): void {
    this.#tasks.push(task);
  }

  /** @returns whether it was there */
  delete(task: Task): boolean {
    return takeOut(this.#tasks, task);
  }

  [Symbol.iterator](): Iterator<Task> {
    return this.#tasks.values();
  }
}
