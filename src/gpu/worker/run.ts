/** One run of a task, or of a health check, as its worker has reported it so far. */
import { outcomeOfFailure } from "../../engine/failures.ts";
import { contentOf, Output } from "../../output.ts";
import { type Outcome, type RunSink, type Task, type TaskResult } from "../../task.ts";
import { type StepEnd } from "./messages.ts";

export interface Run {
  /** The number of the run in the worker's messages. */
  readonly number: number;
  /** A task's run ends by telling the owner; a health check's, by settling its promise. */
  readonly end: (outcome: Outcome) => void;
  readonly task: Task | null;
  /** null: a health check's, whose output nobody wants. */
  readonly sink: RunSink | null;
  /** Milliseconds on the monotonic clock; `lastTextAt` of the last step that brought text, at first the start. */
  startedAt: number;
  lastTextAt: number;
  readonly output: Output;
  /** Whether the engine has told that it has the run; then also the tokens of its prompt, if it knew them. */
  begun: boolean;
  promptTokens: number | null;
  /** Tokens generated. */
  tokens: number;
  /** Whether the process was given it; before, its request is still being read. */
  sent: boolean;
  /** Ticks since it was asked to stop; null: it was not. */
  canceling: number | null;
}

export function newRun(number: number, end: Run["end"], task: Task | null = null, sink: RunSink | null = null): Run {
  const now = performance.now();
  return {
    number,
    end,
    task,
    sink,
    startedAt: now,
    lastTextAt: now,
    output: new Output(),
    begun: false,
    promptTokens: null,
    tokens: 0,
    sent: false,
    canceling: null,
  };
}

export function outcomeOf(end: StepEnd, run: Run): Outcome {
  if (end.type === "error") return outcomeOfFailure(end);
  const { finishReason, promptTokens, completionTokens, cachedTokens } = end;
  const result = {
    ...contentOf(run.output.deltas),
    executionTime: inMicroseconds(end.executionTime),
    timestamp: shownAt(run, performance.now()),
    finishReason,
    promptTokens,
    completionTokens,
    cachedTokens,
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
