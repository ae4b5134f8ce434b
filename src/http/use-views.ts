/** Costs of tasks, and times of their parts, as clients see them. */
import { wallTime } from "../common/clock.ts";
import { queuedSeconds, type TaskUse } from "../task-use.ts";
import type { ListedSnapshot } from "../tasks/task-api.ts";
import type { TimingView, UsageView } from "./schemas/task-use.ts";

export function timingOf(task: ListedSnapshot): TimingView {
  const queued = queuedSeconds(task, wallTime());
  const { firstOutput = null, lastOutput = null } = (task.startedAt === null ? null : task.use) ?? {};
  if (firstOutput === null) return { queued, prompt: null, first_token: null, generation: null };
  return {
    queued,
    prompt: rounded(firstOutput),
    first_token: rounded(queued + firstOutput),
    generation: rounded(lastOutput! - firstOutput),
  };
}

/** null: it has not run. */
export function usageOf({ use, result }: Pick<ListedSnapshot, "use" | "result">): UsageView | null {
  if (use !== null) return viewOfUse(use);
  if (result === null) return null;
  // An earlier version ran it.
  return {
    prompt_tokens: result.promptTokens,
    completion_tokens: result.completionTokens,
    cached_tokens: result.cachedTokens,
    gpu_seconds: null,
    energy_joules: null,
  };
}

function viewOfUse(use: TaskUse): UsageView {
  return {
    prompt_tokens: use.promptTokens,
    completion_tokens: use.completionTokens,
    cached_tokens: use.cachedTokens,
    gpu_seconds: rounded(use.gpuSeconds),
    energy_joules: use.energyJoules === null ? null : rounded(use.energyJoules),
  };
}

/** To millionths, beyond which all is noise. */
export function rounded(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}
