/** What the core tells of a large server, for those who look at what comes of it. */
import { Metrics } from "../../src/observe/metrics/metrics.ts";
import { type MetricSources } from "../../src/observe/metrics/sources.ts";
import { type GpuStatus } from "../../src/gpu/status.ts";
import { type Task } from "../../src/task.ts";
import { newUse } from "../../src/task-use.ts";
import { TASK_ENDED, TASK_LEFT, TASK_OUTPUT, TASK_STARTED } from "../../src/topics.ts";
import { aCompletedTask, GPU } from "./http.ts";

/** Metrics of a server that only does what is published. */
export function metricsOf(sources: Partial<MetricSources> = {}): Metrics {
  return new Metrics({
    gpus: () => [],
    queue: () => ({ depth: 0, oldest: null }),
    isReady: () => true,
    ended: async () => 0,
    pendingWebhooks: async () => 0,
    pausedEndpoints: () => 0,
    now: () => 0,
    namesUsers: true,
    ...sources,
  });
}

/** A user's task that has ended. */
export function taskOf(user: string, tokens = 3, fields: Partial<Task> = {}): Task {
  const { result, attempts, ...task } = aCompletedTask();
  const use = {
    ...newUse(),
    promptTokens: 4,
    completionTokens: tokens,
    cachedTokens: 1,
    gpuSeconds: 0.5,
    energyJoules: 20,
  };
  return { ...task, attempts: [...attempts], user, result: { ...result!, completionTokens: tokens }, use, ...fields };
}

/** A task runs on a GPU. */
export function happens(task: Task, gpuId = 0): void {
  const instance = { gpuId, id: 0 };
  TASK_STARTED.publish({ task, instance, waited: 1 });
  TASK_OUTPUT.publish({ task, isFirst: true, pause: null });
  TASK_OUTPUT.publish({ task, isFirst: false, pause: 0.02 });
  TASK_LEFT.publish({ task, outcome: { status: "completed", result: task.result! } });
  TASK_ENDED.publish({ task });
}

/** GPUs that tell everything that GPUs can tell. */
export function gpusOf(count: number, models: number): readonly GpuStatus[] {
  const [instance] = GPU.instances;
  return Array.from({ length: count }, (_, id) => ({
    ...GPU,
    id,
    uuids: [`GPU-00000000-0000-0000-0000-${String(id).padStart(12, "0")}`],
    instances: [{ ...instance!, gpuId: id, model: `model-${id % models}` }],
  }));
}
