/** Brings what was used before a start, or before anybody had a budget, to the budgets. */
import { startOf } from "../common/calendar-period.ts";
import { messageOf } from "../errors.ts";
import type { Logger } from "../log/log.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";
import type { Store } from "../store/store.ts";
import type { Timekeeper } from "../store/timekeeper.ts";

export interface PastUseParts {
  readonly tasks: { readonly scheduler: Pick<Scheduler, "callers"> };
  readonly store: Pick<Store, "usage">;
  readonly time: Pick<Timekeeper, "times" | "held">;
  readonly log: Pick<Logger, "error">;
}

/** Milliseconds. */
const HOUR = 3_600_000;

/** At a start, before anything runs: so no end of a task is counted twice. */
export async function countPast(parts: PastUseParts): Promise<void> {
  if (parts.tasks.scheduler.callers.budgets.isOn) await count(parts);
}

/**
 * Counts what was used where a change brings the first budget. Submissions do not wait for that, and what ends in these milliseconds may be
 * counted twice.
 */
export function countAfter(parts: PastUseParts, change: () => void): void {
  const { budgets } = parts.tasks.scheduler.callers;
  const wasOn = budgets.isOn;
  change();
  if (wasOn || !budgets.isOn) return;
  const sentence = "what was used before could not be read; budgets count from now on";
  count(parts).catch((error: unknown) => parts.log.error({ reason: messageOf(error) }, sentence));
}

async function count({ tasks, store, time }: PastUseParts): Promise<void> {
  const { budgets } = tasks.scheduler.callers;
  const wall = believable(time);
  budgets.begin(wall);
  const [month, day] = [startOf("month", wall) / HOUR, startOf("day", wall) / HOUR];
  const spans = [
    { period: "month", from: month, to: day },
    { period: "day", from: day, to: Math.floor(wall / HOUR) + 1 },
  ] as const;
  for (const { period, from, to } of spans) {
    if (from >= to) continue;
    for await (const rows of store.usage.sums({ from, to, user: undefined, by: ["user", "team", "key"] }))
      for (const { user, team, key, promptTokens, completionTokens, gpuSeconds } of rows) {
        const tokens = (promptTokens ?? 0) + completionTokens;
        budgets.count({ user: user!, team, keyName: key, tokens, gpuSeconds }, period);
      }
  }
}

/** The time that the wall clock shows; where it cannot be believed, the time that it would show. Unix milliseconds. */
function believable({ times: { now, wall }, held }: PastUseParts["time"]): number {
  return held === null ? wall : held.wall + now - held.now;
}
