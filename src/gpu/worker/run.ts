/** One run of a task, or of a health check, as its worker has reported it so far. */
import { outcomeOfFailure } from "../../engine/failures.ts";
import { contentOf, Output } from "../../output.ts";
import { newUse, type TaskUse } from "../../task-use.ts";
import type { Outcome, RunSink, Task, TaskResult } from "../../task.ts";
import type { StepEnd } from "./messages.ts";

export interface Run {
  /** The number of the run in the worker's messages. */
  readonly number: number;
  /** A task's run ends by telling the owner; a health check's, by settling its promise. */
  readonly end: (outcome: Outcome) => void;
  readonly task: Task | null;
  /** null: a health check's, whose output nobody wants. */
  readonly sink: RunSink | null;
  /** The cost of its task; null: a health check's, which nobody pays. */
  readonly use: TaskUse | null;
  /** Milliseconds on the monotonic clock when it took its slot. */
  readonly takenAt: number;
  /** Milliseconds on the monotonic clock; `lastTextAt` of the last step that brought text, at first the start. */
  startedAt: number;
  lastTextAt: number;
  readonly output: Output;
  /** Whether the engine has told that it has the run; then also the tokens of its prompt, if it knew them. */
  begun: boolean;
  promptTokens: number | null;
  /** Tokens generated. */
  tokens: number;
  /** Tokens that the present step has brought it, with those of its prompt if it begins. */
  stepTokens: number;
  /**
   * These have not been added to `use` yet. They change with each step, and only a field that is always a number does so without garbage.
   * `outputAt` is as `lastTextAt`, for what a reader sees.
   */
  outputAt: number;
  gpuSeconds: number;
  joules: number;
  isMeasured: boolean;
  /** Whether the process was given it; before, its request is still being read. */
  sent: boolean;
  /** Ticks since it was asked to stop; null: it was not. */
  canceling: number | null;
}

/** @param now milliseconds on the monotonic clock */
export function newRun(
  now: number,
  number: number,
  end: Run["end"],
  task: Task | null = null,
  sink: RunSink | null = null,
): Run {
  return {
    number,
    end,
    task,
    sink,
    use: task && (task.use ??= newUse()),
    takenAt: now,
    startedAt: now,
    lastTextAt: now,
    output: new Output(),
    begun: false,
    promptTokens: null,
    tokens: 0,
    stepTokens: 0,
    outputAt: now,
    gpuSeconds: 0,
    joules: 0,
    isMeasured: false,
    sent: false,
    canceling: null,
  };
}

/** Bytes of text that a token stands for where an engine does not tell the tokens of a prompt before the end. */
const BYTES_PER_TOKEN = 4;

/** The engine has taken the run. */
export function begin(run: Run, promptTokens: number | null): void {
  const { use, task } = run;
  run.begun = true;
  run.promptTokens = promptTokens;
  if (use === null || task === null) return;
  run.stepTokens += promptTokens ?? Math.ceil(task.size / BYTES_PER_TOKEN);
  if (promptTokens !== null) use.promptTokens = (use.promptTokens ?? 0) + promptTokens;
}

/** A step has brought the run something. @param now milliseconds on the monotonic clock @param hasOutput for its reader */
export function advance(run: Run, tokens: number, hasOutput: boolean, now: number): void {
  const { use } = run;
  run.tokens += tokens;
  run.stepTokens += tokens;
  run.lastTextAt = now;
  if (use === null) return;
  use.completionTokens += tokens;
  if (!hasOutput) return;
  run.outputAt = now;
  if (use.firstOutput === null) use.firstOutput = use.lastOutput = secondsTo(run, now);
}

/** Adds to the use of its task what has come since the last time. */
export function addUp(run: Run): void {
  const { use } = run;
  if (use === null) return;
  use.gpuSeconds += run.gpuSeconds;
  run.gpuSeconds = 0;
  if (run.isMeasured) use.energyJoules = (use.energyJoules ?? 0) + run.joules;
  run.joules = 0;
  if (use.firstOutput !== null) use.lastOutput = secondsTo(run, run.outputAt);
}

/** From the moment that a run was taken. More than six decimals would tell nothing, and take more room in each row. */
function secondsTo({ takenAt }: Run, now: number): number {
  return Math.round((now - takenAt) * 1000) / 1e6;
}

/** Takes over into the use of a run's task what an engine tells only at its end, or counts otherwise than the steps did. */
function settleTokens({ use, promptTokens, tokens }: Run, end: Extract<StepEnd, { type: "finished" }>): void {
  if (use === null) return;
  if (end.promptTokens !== null) use.promptTokens = (use.promptTokens ?? 0) - (promptTokens ?? 0) + end.promptTokens;
  if (end.cachedTokens !== null) use.cachedTokens = (use.cachedTokens ?? 0) + end.cachedTokens;
  use.completionTokens += end.completionTokens - tokens;
}

export function outcomeOf(end: StepEnd, run: Run): Outcome {
  if (end.type === "error") return outcomeOfFailure(end);
  settleTokens(run, end);
  const { finishReason, promptTokens, completionTokens, cachedTokens, mismatch } = end;
  const result = {
    ...contentOf(run.output.deltas),
    executionTime: inMicroseconds(end.executionTime),
    timestamp: shownAt(run, performance.now()),
    finishReason,
    promptTokens,
    completionTokens,
    cachedTokens,
    ...(mismatch !== undefined && { mismatch }),
  };
  return { status: finishReason === "canceled" ? "canceled" : "completed", result };
}

/** How a run ends whose worker is gone, as far as it had told. */
export function cutShort(run: Run): Outcome {
  const { output, startedAt, lastTextAt, begun, promptTokens, tokens } = run;
  // It may never have got there.
  if (!begun) return { status: "canceled" };
  const result: TaskResult = {
    ...contentOf(output.deltas),
    executionTime: inMicroseconds((lastTextAt - startedAt) / 1000),
    timestamp: shownAt(run, lastTextAt),
    finishReason: "canceled",
    promptTokens,
    completionTokens: tokens,
    cachedTokens: null,
  };
  return { status: "canceled", result };
}

/** A moment of the monotonic clock as its task shows it: counted from the start, so that no step of the wall clock comes between. */
function shownAt({ task, startedAt }: Run, moment: number): number {
  return Math.floor((task?.startedAt ?? 0) + moment - startedAt);
}

/** Seconds, of which what is beyond microseconds is noise. */
function inMicroseconds(seconds: number): number {
  return Math.round(seconds * 1e6) / 1e6;
}
