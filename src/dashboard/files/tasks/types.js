/** Tasks as the API shows them, as far as these pages read them. */

/** @typedef {typeof import("./filters.js").STATUSES[number]} Status */

/** @typedef {import("../core/types.ts").Task} Task */

/** @typedef {{tasks: Record<string, Task>, total: number, next: string | null}} TaskPage */

/** @param {{status: Status}} task */
export function hasEnded({ status }) {
  return status === "completed" || status === "failed" || status === "canceled";
}
