/** The scheduler's settings, as the configuration has them. */
import { isDeepStrictEqual } from "node:util";
import { heapForWaiting } from "../common/heap.ts";
import { type CallerLimit, callerLimit } from "../config/caller-limits.ts";
import type { Config } from "../config/config.ts";
import type { Device } from "../gpu/inventory/devices.ts";
import type { Logger } from "../log/log.ts";
import type { CallerLimits } from "../scheduler/callers.ts";
import type { TeamRules } from "../scheduler/teams.ts";
import { budgetRules } from "./budget-rules.ts";
import type { Mappings } from "../scheduler/eligibility.ts";
import type { SchedulerSettings } from "../scheduler/effects.ts";
import type { Task } from "../task.ts";
import { strictest, type Texts } from "../texts.ts";

export function schedulerSettings({
  gpu: { multi_gpu },
  scheduling,
  tasks,
  callers,
}: Config): Omit<SchedulerSettings, "isShared"> {
  return {
    maxQueueSize: multi_gpu.max_queue_size,
    maxQueueBytes: multi_gpu.max_queue_bytes,
    maxQueueHeap: heapForWaiting(),
    minBatchSizePerGpu: multi_gpu.min_batch_size_per_gpu,
    mappings: readMappings(multi_gpu.task_specific_mappings),
    maxAttempts: tasks.max_attempts,
    retryBackoff: tasks.retry_backoff,
    ageingSeconds: tasks.ageing_seconds,
    queueTimeout: multi_gpu.queue_timeout ?? null,
    prefixAffinity: scheduling.prefix_affinity,
    limitsOf: (user) => limitsOf(callers, user),
    budgets: budgetRules(callers),
    teams: teamRules(callers),
  };
}

function limitsOf(callers: Config["callers"], user: string): CallerLimits {
  const { defaults, users } = callers;
  const own = Object.hasOwn(users, user) ? users[user] : undefined;
  const limits = { ...defaults, ...own };
  return {
    weight: limits.weight,
    maxQueued: limits.max_queued ?? null,
    maxQueuedKey: `callers.${own?.max_queued === undefined ? "defaults" : `users.${user}`}.max_queued`,
    maxRunning: limits.max_running ?? null,
    requestsPerMinute: limits.requests_per_minute ?? null,
    tokensPerMinute: limits.tokens_per_minute ?? null,
    maxStored: bytesOf(callerLimit(callers, user, "max_stored_bytes")),
  };
}

/** @returns null: no team has limits */
function teamRules({ teams }: Config["callers"]): TeamRules | null {
  const named = Object.keys(teams);
  if (named.length === 0) return null;
  return {
    named,
    limitsOf: (team) => {
      if (!Object.hasOwn(teams, team)) return null;
      const limits = teams[team]!;
      return {
        maxQueued: limits.max_queued ?? null,
        maxRunning: limits.max_running ?? null,
        requestsPerMinute: limits.requests_per_minute ?? null,
        tokensPerMinute: limits.tokens_per_minute ?? null,
      };
    },
  };
}

/** How long the texts of a user's tasks may be stored: the strictest of what is said for all, for the user and for its team. */
export function textsOf({ store, callers: { users, teams } }: Pick<Config, "store" | "callers">, of: Owner): Texts {
  const { user, team } = of;
  const own = Object.hasOwn(users, user) ? users[user]?.texts : undefined;
  const ofTeam = team !== null && Object.hasOwn(teams, team) ? teams[team]?.texts : undefined;
  return own === undefined && ofTeam === undefined
    ? store.texts
    : strictest(store.texts, own ?? "keep", ofTeam ?? "keep");
}

type Owner = Pick<Task, "user" | "team">;

function bytesOf(limit: CallerLimit | null): CallerLimits["maxStored"] {
  return limit && { bytes: limit.most, setIn: limit.setIn };
}

/** A mapping may name a GPU that does not exist, so that a lost card does not prevent a start. @param before which was told already */
export function warnOfMissing(
  config: Config,
  devices: readonly Pick<Device, "id">[],
  log: Pick<Logger, "warn">,
  before?: Config,
): void {
  const { task_specific_mappings: mappings } = config.gpu.multi_gpu;
  if (isDeepStrictEqual(mappings, before?.gpu.multi_gpu.task_specific_mappings)) return;
  for (const [taskType, ids] of readMappings(mappings)) {
    for (const id of ids) {
      if (devices.some((device) => device.id === id)) continue;
      log.warn(
        `gpu.multi_gpu.task_specific_mappings.${taskType} names gpu_${id}, which is not there; ${devices.length === 1 ? "there is 1 GPU" : `there are ${devices.length} GPUs`}.`,
      );
    }
  }
}

/** Reads `task_specific_mappings`: `"gpu_0"`, `0`, or a list of these. */
function readMappings(raw: Config["gpu"]["multi_gpu"]["task_specific_mappings"]): Mappings {
  return new Map(
    Object.entries(raw).map(([type, names]) => [type, new Set((Array.isArray(names) ? names : [names]).map(idOf))]),
  );
}

function idOf(name: string | number): number {
  return typeof name === "number" ? name : Number(name.slice("gpu_".length));
}
