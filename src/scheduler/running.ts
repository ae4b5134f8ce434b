import type { Task } from "../task.ts";

/** The tasks that run on one instance, in the order of their starts. */
export interface RunningTasks extends Iterable<Task> {
  readonly size: number;
  /** Tokens of work that they were expected to be when they started, together. */
  readonly work: number;
  has(task: Task): boolean;
}

/**
 * They are few, and change with every task: a Set would keep them in memory for long (common/in-flight.ts). Each is followed by its work, in
 * the same list: of a thousand instances each further object is one that the processor has to fetch.
 */
export class Running implements RunningTasks {
  readonly #list: (Task | number)[] = [];
  /** The sum of integers, so that it cannot drift. */
  #work = 0;

  get size(): number {
    return this.#list.length / 2;
  }

  get work(): number {
    return this.#work;
  }

  has(task: Task): boolean {
    return this.#list.includes(task);
  }

  /** @param task one that is not there @param work an integer */
  add(task: Task, work: number): void {
    this.#work += work;
    this.#list.push(task, work);
  }

  /** @returns whether it was there */
  delete(task: Task): boolean {
    const list = this.#list;
    const place = list.indexOf(task);
    if (place === -1) return false;
    this.#work -= list[place + 1] as number;
    for (let next = place + 2; next < list.length; next++) list[next - 2] = list[next]!;
    list.pop();
    list.pop();
    return true;
  }

  *[Symbol.iterator](): Iterator<Task> {
    for (let place = 0; place < this.#list.length; place += 2) yield this.#list[place] as Task;
  }
}
