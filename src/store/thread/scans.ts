/* Lists by filters that no index covers: they are found by scanning one window of tasks after another. */
import type { TaskFilter } from "../tasks.ts";

/** Fields of a filter that no index over all tasks covers. */
export const UNINDEXED = ["taskType", "gpuId", "model", "since", "until"] as const satisfies (keyof TaskFilter)[];

/** Part of an answer to a filter that needs a scan. */
export interface Window {
  /** The number of its tasks that match. */
  readonly matched: number;
  /** How many of them `offset` has skipped. */
  readonly passed: number;
  /** Where the next window ends; null: there is none. */
  readonly next: number | null;
}

/** Whether a filter can only be answered by `scan`, window by window. */
export function needsScan(filter: TaskFilter): boolean {
  const isIndexed = UNINDEXED.every((name) => filter[name] === undefined) && !isOfBoth(filter);
  return filter.batchId === undefined && !isIndexed;
}

/** Whether it is about a user and a team: each has an index, and the two together have none. */
export function isOfBoth({ user, team }: Pick<TaskFilter, "user" | "team">): boolean {
  return user !== undefined && team !== undefined;
}
