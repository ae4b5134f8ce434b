/** Which tasks a client means, from what it sent. */
import type { Caller } from "../auth/credentials.ts";
import { AltLasError } from "../errors.ts";
import { A_TIME, timeIn } from "../common/given-time.ts";
import { shown } from "../common/validation.ts";
import { ownersFor } from "./access.ts";
import type { CancelRequest, TasksQuery } from "./schemas/tasks.ts";

type Selection = Pick<
  TasksQuery & CancelRequest,
  "user" | "batch_id" | "task_type" | "gpu_id" | "model" | "since" | "until"
>;

/**
 * Shared by lists and cancellations. A `user` means its own tasks, and a viewer that has a team the team's, whatever it selects.
 * @throws {AltLasError} `invalid_input`: a time is none; `forbidden`: a `user` names another one
 */
export function selectionOf(caller: Caller, { user, batch_id, task_type, gpu_id, model, since, until }: Selection) {
  const seen = ownersFor(caller);
  if (user !== undefined && seen.user !== undefined && user !== seen.user) throw forbidsOthers(caller);
  return {
    user: seen.user ?? user,
    team: seen.team,
    batchId: batch_id?.toLowerCase(),
    taskType: task_type?.toWellFormed(),
    // Adding 0 makes 0 of -0.
    gpuId: gpu_id === undefined ? undefined : gpu_id + 0,
    model: model?.toWellFormed(),
    since: timeOf("since", since),
    until: timeOf("until", until),
  };
}

function forbidsOthers({ name }: Caller): AltLasError {
  return new AltLasError("forbidden", `user must be ${name}: the tasks of other users need the role admin or viewer.`);
}

/**
 * A time that a client sent, in Unix milliseconds; undefined: it sent none.
 * @throws {AltLasError} `invalid_input`: it is none, or has no zone
 */
export function timeOf(field: string, given: string | undefined): number | undefined {
  if (given === undefined) return undefined;
  const time = timeIn(given);
  if (time !== undefined) return time;
  throw new AltLasError("invalid_input", `${field} must be ${A_TIME}; got ${shown(given)}.`);
}

/** Names a place in the list of tasks: behind the one with this `seq`. Its form is opaque to clients. */
export function cursorOf(seq: number): string {
  return Buffer.from(String(seq)).toString("base64url");
}

/** @throws {AltLasError} `invalid_input`: it is none of ours */
export function seqOfCursor(given: string | undefined): number | undefined {
  if (given === undefined) return undefined;
  const seq = Number(Buffer.from(given, "base64url").toString());
  if (Number.isSafeInteger(seq) && seq >= 0 && cursorOf(seq) === given) return seq;
  const allowed = "the next of an answer to GET /tasks";
  throw new AltLasError("invalid_input", `after must be ${allowed}; got ${shown(given)}.`);
}
