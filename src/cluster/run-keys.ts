/** The keys of runs: `task:attempt:epoch`. */
import { attemptNumber, type Task } from "../task.ts";

/** Names the last attempt of a task, as a server of this epoch gives it to an agent. */
export function keyOf(task: Task, epoch: number): string {
  return `${attemptOf(task)}:${epoch.toString(36)}`;
}

/** Whether a key is that of the last attempt of a task, whichever server gave it. */
export function isRunOf(key: string, task: Task): boolean {
  return key.startsWith(`${attemptOf(task)}:`);
}

/** The id of the task that a key names. */
export function taskIdOf(key: string): string {
  return key.split(":", 1)[0]!;
}

function attemptOf(task: Task): string {
  return `${task.id}:${attemptNumber(task)}`;
}
