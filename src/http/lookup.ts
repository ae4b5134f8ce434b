/** From an id in a path to what it names. A stranger's task or batch looks like none, so that nobody learns which ids exist. */
import type { Caller } from "../auth/credentials.ts";
import { AltLasError } from "../errors.ts";
import type { BatchSnapshot, TaskApi, TaskSnapshot } from "../tasks/task-api.ts";
import { shown } from "../common/validation.ts";
import { maySee } from "./access.ts";

/** Of a path: as text, because what is no UUID names nothing, which is a 404. */
export interface TaskPath {
  task_id: string;
}
export interface BatchPath {
  batch_id: string;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** @throws {AltLasError} `not_found` */
export async function taskNamed(tasks: TaskApi, caller: Caller, { task_id }: TaskPath): Promise<TaskSnapshot> {
  const id = idOf("task", task_id);
  return visibleTask(await tasks.get(id), caller, id);
}

/** @throws {AltLasError} `not_found` */
export function visibleTask(task: TaskSnapshot | null, caller: Caller, id: string): TaskSnapshot {
  if (task !== null && maySee(caller, task)) return task;
  throw unknownTask(id);
}

export function unknownTask(id: string): AltLasError {
  return new AltLasError("not_found", `There is no task ${id}, or it belongs to somebody else.`);
}

/** @throws {AltLasError} `not_found` */
export async function batchNamed(tasks: TaskApi, caller: Caller, { batch_id }: BatchPath): Promise<BatchSnapshot> {
  const id = idOf("batch", batch_id);
  const found = await tasks.batch(id);
  if (found !== null && maySee(caller, found.batch)) return found;
  throw new AltLasError("not_found", `There is no batch ${id}, or it belongs to somebody else.`);
}

function idOf(kind: "task" | "batch", given: string): string {
  const id = given.toLowerCase();
  if (UUID.test(id)) return id;
  const sentence =
    kind === "task"
      ? `There is no task ${shown(given)}; a task_id is a UUID.`
      : `There is no batch ${shown(given)}; a batch_id is a UUID.`;
  throw new AltLasError("not_found", sentence);
}
