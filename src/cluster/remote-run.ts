/** A run on a machine as the leader knows it: how much of its output is here, and what it has cost. */
import type { InstanceRef } from "../gpu/facts.ts";
import { after, type Delta, lengthOf, type Output } from "../output.ts";
import type { RunSink, Task } from "../task.ts";
import { newUse, type TaskUse } from "../task-use.ts";
import type { Machine } from "./machine.ts";
import { WATCHES } from "./messages.ts";

export interface RemoteRun {
  readonly key: string;
  readonly machine: Machine;
  readonly instance: InstanceRef;
  readonly task: Task;
  readonly sink: RunSink;
  /** Not whole while nobody reads it, and until its machine has told what there is. */
  readonly output: Output;
  /** The costs of the attempts before it. */
  readonly useBefore: Readonly<TaskUse>;
  /** Whether the agent was given it; before, its request is still being read. */
  sent: boolean;
  /** An earlier server gave it. */
  readonly adopted: boolean;
  canceling: boolean;
  /** Whether somebody reads its output. */
  watched: boolean;
  /** Whether its first output was told. */
  begun: boolean;
}

/** Somebody reads the output of a run, or nobody does any more. */
export function watch(run: RemoteRun, isRead: boolean): void {
  const { machine, key, output, sent } = run;
  if (run.watched === isRead) return;
  run.watched = isRead;
  if (machine.version < WATCHES) return;
  // One that is yet to be given is given with it.
  output.isWhole = isRead && !sent;
  if (sent) machine.give(isRead ? { type: "watch", key, from: output.length } : { type: "unwatch", key });
}

/** Makes what its agent tells of its output, and what is wanted of it, the same. @param there whether it tells it; absent: it tells all */
export function reconcileWatch(run: RemoteRun, there = true): void {
  const { machine, key, output, watched } = run;
  const isOnItsWay = machine.isOnItsWay(
    (command) => (command.type === "watch" || command.type === "unwatch") && command.key === key,
  );
  if (isOnItsWay) return;
  const wasWhole = output.isWhole;
  output.isWhole = there && (watched || machine.version < WATCHES);
  if (output.isWhole && !wasWhole) caughtUp(run);
  if (machine.version < WATCHES || watched === there) return;
  machine.give(watched ? { type: "watch", key, from: output.length } : { type: "unwatch", key });
}

/**
 * Its agent has told what there was behind a position, and goes on with deltas.
 * @returns false: something before it is missing
 */
export function beWatched(run: RemoteRun, from: number, output: readonly Delta[]): boolean {
  if (from > run.output.length) return false;
  for (const delta of after(output, run.output.length - from)) grow(run, delta);
  if (!run.watched) return true;
  run.output.isWhole = true;
  caughtUp(run);
  return true;
}

/** @returns false: something before it is missing */
export function takeDelta(run: RemoteRun, { delta, before }: { delta: Delta; before: number }): boolean {
  const { length } = run.output;
  if (before === length) addTo(run, delta);
  return before <= length;
}

function caughtUp(run: RemoteRun): void {
  if (run.output.length > 0) begin(run);
  run.sink.caughtUp?.();
}

/** It has its first output, which nobody reads. */
function begin(run: RemoteRun): void {
  if (run.begun) return;
  run.begun = true;
  run.sink.begun?.();
}

/** Takes over what of a run's output is not known yet, and tells it where that before is known. */
export function catchUp(run: RemoteRun, output: readonly Delta[]): void {
  const take = run.output.isWhole ? addTo : grow;
  for (const delta of after(output, run.output.length)) take(run, delta);
}

function addTo(run: RemoteRun, delta: Delta): void {
  const before = run.output.length;
  grow(run, delta);
  if (lengthOf(delta) === 0) return;
  run.begun = true;
  run.sink.delta(delta, before);
}

function grow({ output }: RemoteRun, delta: Delta): void {
  if (delta.kind === "tool_call" && delta.call === undefined && output.deltas.at(-1)?.kind !== "tool_call")
    throw new Error("its output has a piece of a call of a tool that has not begun");
  output.add(delta);
}

/** Takes over what an attempt has cost so far, or in all, as its machine has measured it. */
export function setUse(run: RemoteRun, attempt: TaskUse): void {
  const { task, useBefore: before } = run;
  const use = (task.use ??= newUse());
  use.firstOutput = attempt.firstOutput;
  use.lastOutput = attempt.lastOutput;
  use.promptTokens = sum(before.promptTokens, attempt.promptTokens);
  use.completionTokens = before.completionTokens + attempt.completionTokens;
  use.cachedTokens = sum(before.cachedTokens, attempt.cachedTokens);
  use.gpuSeconds = before.gpuSeconds + attempt.gpuSeconds;
  use.energyJoules = sum(before.energyJoules, attempt.energyJoules);
  if (attempt.firstOutput !== null && !run.output.isWhole) begin(run);
}

function sum(one: number | null, other: number | null): number | null {
  return one === null || other === null ? (one ?? other) : one + other;
}
