/**
 * How fast text comes: the time to a task's first output, and between two of it. This hears of every token, which takes
 * a tenth of a microsecond. Looking at the end of a run alone would cost less, but would only know the mean of its pauses, in which the long
 * one that a reader notices is lost.
 */
import { TASK_OUTPUT } from "../../topics.ts";
import type { Instruments } from "./instruments.ts";

const FIRST = [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200];
const BETWEEN = [0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 5];

/** @returns what ends it */
export function countPace(instruments: Instruments, now: () => number): readonly (() => void)[] {
  const first = instruments.histogram(
    "time_to_first_token_seconds",
    "From the submission of a task to the first output of its first attempt.",
    FIRST,
  );
  const between = instruments.histogram(
    "inter_token_seconds",
    "Between two outputs of a running task: one for each token, or for some that came together.",
    BETWEEN,
  );
  return [
    TASK_OUTPUT.subscribe(({ task, isFirst, pause }) => {
      if (pause !== null) between(pause);
      else if (isFirst && task.attempts.length === 1) first((now() - task.createdClock) / 1000);
    }),
  ];
}
