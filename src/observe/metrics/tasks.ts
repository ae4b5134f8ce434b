/** Figures of tasks: how they start, are tried again and end. */
import { type Interruption, isFinal, type Task, TASK_STATUSES } from "../../task.ts";
import type { TaskUse } from "../../task-use.ts";
import { TASK_ENDED, TASK_REQUEUED, TASK_STARTED } from "../../topics.ts";
import type { Instruments } from "./instruments.ts";
import type { LabelValues } from "./label-values.ts";
import type { Users } from "./users.ts";

/** Seconds, up to half a day. */
const WAITS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400, 43_200];
const DURATIONS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400, 43_200];

const CUT_OFF = [
  "worker_crash",
  "gpu_lost",
  "out_of_memory",
  "gpu_full",
  "worker_stopped",
  "gpu_drained",
  "machine_lost",
] as const satisfies Interruption[];

interface Parts {
  readonly instruments: Instruments;
  readonly models: LabelValues;
  /** null: no user is named. */
  readonly users: Users | null;
}

/** @returns what ends it */
export function countTasks(parts: Parts): readonly (() => void)[] {
  return [...countStarts(parts), ...countRetries(parts), ...countEnds(parts)];
}

function countStarts({ instruments }: Parts) {
  const placements = instruments.counter("placements_total", "Attempts that were placed on a GPU.", [
    "strategy",
    "gpu",
  ]);
  const waits = instruments.histogram("queue_wait_seconds", "What an attempt waited for its slot.", WAITS);
  return [
    TASK_STARTED.subscribe(({ task: { placement }, instance: { gpuId }, waited }) => {
      if (placement !== null) placements(1, placement.strategy, String(gpuId));
      waits(waited);
    }),
  ];
}

function countRetries({ instruments }: Parts) {
  const help = "Attempts that were cut off and whose tasks went back to the queue.";
  const retries = instruments.counter("task_retries_total", help, ["reason"]);
  // A series that begins with 1 shows no increase.
  for (const reason of CUT_OFF) retries(0, reason);
  return [TASK_REQUEUED.subscribe(({ task: { attempts } }) => retries(1, attempts.at(-1)?.reason ?? "gpu_lost"))];
}

function countEnds({ instruments, models, users }: Parts) {
  const ended = instruments.counter("tasks_ended_total", "Tasks that have ended.", ["status", "model"]);
  const failures = instruments.counter("task_failures_total", "Tasks that failed, by the codes of docs/errors.md.", [
    "code",
  ]);
  const durations = instruments.histogram("task_duration_seconds", "From a task's submission to its end.", DURATIONS);
  const countUse = usesOf(instruments);
  return [
    TASK_ENDED.subscribe(({ task }) => {
      const { status, error, user, createdClock, finishedClock, use } = task;
      const model = models.of(modelOf(task));
      ended(1, status, model);
      if (status === "failed" && error !== null) failures(1, error.code);
      if (finishedClock !== null) durations((finishedClock - createdClock) / 1000);
      if (use !== null) countUse(use, model);
      users?.add(user, use);
    }),
  ];
}

function usesOf(instruments: Instruments): (use: Readonly<TaskUse>, model: string) => void {
  const all = "of tasks that ended, in all their attempts";
  const help = `Tokens ${all}. Prompt tokens that the KV cache had are counted as cached, too.`;
  const tokens = instruments.counter("tokens_total", help, ["kind", "model"]);
  const seconds = instruments.counter("task_gpu_seconds_total", `Shares of their GPUs' time ${all}.`, ["model"]);
  const energy = instruments.counter("task_energy_joules_total", `Shares of their cards' energy ${all}.`, ["model"]);
  const sumsOf = (model: string) => ({
    prompt: tokens.of("prompt", model),
    completion: tokens.of("completion", model),
    cached: tokens.of("cached", model),
    seconds: seconds.of(model),
  });
  const byModel = new Map<string, ReturnType<typeof sumsOf>>();
  return ({ promptTokens, completionTokens, cachedTokens, gpuSeconds, energyJoules }, model) => {
    let sums = byModel.get(model);
    if (sums === undefined) byModel.set(model, (sums = sumsOf(model)));
    sums.prompt.value += promptTokens ?? 0;
    sums.completion.value += completionTokens;
    sums.cached.value += cachedTokens ?? 0;
    sums.seconds.value += gpuSeconds;
    if (energyJoules !== null) energy(energyJoules, model);
  };
}

function modelOf({ ranModel, model }: Readonly<Task>): string | null {
  return ranModel ?? model;
}

/** The statuses that tasks in the store have for good. */
export const ENDED = TASK_STATUSES.filter(isFinal);
