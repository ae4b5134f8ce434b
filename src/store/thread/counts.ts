import { TASK_STATUSES, type TaskStatus } from "../../task.ts";

/** A change of the number of a user's tasks in a status. */
export type CountChange = readonly [user: string, status: TaskStatus, difference: number];

/** The number of tasks of each user in each status, so that a total costs the same however many rows there are. */
export class Counts {
  /** `undefined` stands for everybody. */
  readonly #byUser = new Map<string | undefined, Map<TaskStatus, number>>();

  add(user: string, status: TaskStatus, difference: number): void {
    for (const key of [user, undefined]) {
      let counts = this.#byUser.get(key);
      if (counts === undefined) {
        counts = new Map();
        this.#byUser.set(key, counts);
      }
      counts.set(status, (counts.get(status) ?? 0) + difference);
    }
  }

  apply(changes: readonly CountChange[]): void {
    for (const change of changes) this.add(...change);
  }

  /** Tasks of that user (undefined: everybody's) in that status (undefined: any). */
  total(user: string | undefined, status: TaskStatus | undefined): number {
    const counts = this.#byUser.get(user);
    const wanted: readonly TaskStatus[] = status === undefined ? TASK_STATUSES : [status];
    return wanted.reduce<number>((sum, one) => sum + (counts?.get(one) ?? 0), 0);
  }
}
