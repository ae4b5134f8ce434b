/* The port of usage: what tasks have cost, in hourly rows that outlive them. */

/** The columns by which rows of usage can be told apart. */
export const USAGE_COLUMNS = ["hour", "user", "team", "key", "model", "gpu"] as const;
export type UsageColumn = (typeof USAGE_COLUMNS)[number];

/** Which usage it is; null: there was none, or it is not asked. */
export interface UsageKey {
  /** Of Unix time, in UTC. A task belongs to that of its end. */
  readonly hour: number | null;
  readonly user: string | null;
  /** The team that the user was in when it submitted the tasks. */
  readonly team: string | null;
  /** Name of the API key. */
  readonly key: string | null;
  /** The model that ran the tasks, or that those asked for which never ran. */
  readonly model: string | null;
  /** The GPU of their last attempts. */
  readonly gpu: number | null;
}

/** Sums over tasks. Those that may be null leave out the tasks of which it is not known; null: it is known of none. */
export interface UsageSums {
  /** Tasks with that final status. */
  completed: number;
  failed: number;
  canceled: number;
  promptTokens: number | null;
  completionTokens: number;
  /** Of `promptTokens`, those that were in the KV cache already. */
  cachedTokens: number | null;
  gpuSeconds: number;
  energyJoules: number | null;
  /** Seconds that they waited before their last attempts. */
  queuedSeconds: number;
}

export interface UsageRow extends UsageKey, UsageSums {}

/** Which usage to read. Hours are of Unix time. */
export interface UsageFilter {
  readonly from: number;
  /** The first hour that is not wanted any more. */
  readonly to: number;
  /** Only this user's; undefined: everybody's. */
  readonly user: string | undefined;
  /** Only this team's. */
  readonly team?: string | undefined;
  /** The columns by which the sums are told apart. */
  readonly by: readonly UsageColumn[];
}

/**
 * Promises of every implementation, beside those of the whole store (test/kits/usage.ts):
 *  1. A task is counted once, by the write that makes its first final status durable, and with it: so however often its end is written, and
 *     wherever the server dies, it is counted exactly once.
 *  2. Its usage stays when the task is removed, until `SweepLimits.usageBefore`.
 *  3. Reading keeps no write waiting for long, however many rows there are.
 */
export interface UsageStore {
  /**
   * Sums, in parts of some hours: usage that is told apart by no hour may come in several parts, to be added up.
   * @param atOnce rows that are read at once, about; for tests
   */
  sums(filter: UsageFilter, atOnce?: number): AsyncIterable<readonly UsageRow[]>;
}

/** Adds sums to others, in place. */
export function addUsage(sums: UsageSums, more: UsageSums): void {
  sums.completed += more.completed;
  sums.failed += more.failed;
  sums.canceled += more.canceled;
  sums.promptTokens = sumOfKnown(sums.promptTokens, more.promptTokens);
  sums.completionTokens += more.completionTokens;
  sums.cachedTokens = sumOfKnown(sums.cachedTokens, more.cachedTokens);
  sums.gpuSeconds += more.gpuSeconds;
  sums.energyJoules = sumOfKnown(sums.energyJoules, more.energyJoules);
  sums.queuedSeconds += more.queuedSeconds;
}

export function noUsage(): UsageSums {
  return {
    completed: 0,
    failed: 0,
    canceled: 0,
    promptTokens: null,
    completionTokens: 0,
    cachedTokens: null,
    gpuSeconds: 0,
    energyJoules: null,
    queuedSeconds: 0,
  };
}

function sumOfKnown(one: number | null, other: number | null): number | null {
  return one === null ? other : other === null ? one : one + other;
}
