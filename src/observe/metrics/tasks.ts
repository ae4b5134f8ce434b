/** What becomes of tasks. */
import { type Interruption, isFinal, type Task, type TaskResult, TASK_STATUSES } from "../../task.ts";
import { TASK_ENDED, TASK_LEFT, TASK_REQUEUED, TASK_STARTED } from "../../topics.ts";
import { type Instruments } from "./instruments.ts";
import { type LabelValues } from "./label-values.ts";
import { type Users } from "./users.ts";

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
] as const satisfies Interruption[];

interface Parts {
  readonly instruments: Instruments;
  readonly models: LabelValues;
  /** null: no user is named. */
  readonly users: Users | null;
}

/** @returns what ends it */
export function countTasks(parts: Parts): readonly (() => void)[] {
  return [...countStarts(parts), ...countRetries(parts), ...countEnds(parts), ...countTokens(parts)];
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
  return [
    TASK_ENDED.subscribe(({ task }) => {
      const { status, error, user, createdClock, finishedClock } = task;
      ended(1, status, models.of(modelOf(task)));
      if (status === "failed" && error !== null) failures(1, error.code);
      if (finishedClock !== null) durations((finishedClock - createdClock) / 1000);
      users?.tasks(user, 1);
    }),
  ];
}

function countTokens({ instruments, models, users }: Parts) {
  const help =
    "Tokens of runs that ended: of prompts (those found in the KV cache are counted as cached, too) and completions.";
  const tokens = instruments.counter("tokens_total", help, ["kind", "model"]);
  return [
    TASK_LEFT.subscribe(({ task, outcome }) => {
      const result = "result" in outcome ? outcome.result : undefined;
      if (result === undefined) return;
      const model = models.of(modelOf(task));
      for (const [kind, count] of countsOf(result)) {
        tokens(count, kind, model);
        if (kind !== "cached") users?.tokens(task.user, kind, count);
      }
    }),
  ];
}

function countsOf({ promptTokens, completionTokens, cachedTokens }: TaskResult) {
  return [
    ["prompt", promptTokens ?? 0],
    ["completion", completionTokens],
    ["cached", cachedTokens ?? 0],
  ] as const;
}

function modelOf({ ranModel, model }: Readonly<Task>): string | null {
  return ranModel ?? model;
}

/** The statuses that tasks in the store have for good. */
export const ENDED = TASK_STATUSES.filter(isFinal);
