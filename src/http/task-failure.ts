/** The end of a task as the answer to a client that has waited for it. */
import type { Caller } from "../auth/credentials.ts";
import { AltLasError } from "../errors.ts";
import { whyGone } from "../gone-texts.ts";
import { shownGpuId, type TaskError } from "../task.ts";
import type { TaskSnapshot } from "../tasks/task-api.ts";
import { maySeeInside, publicFailure, publicRefusal } from "./public-words.ts";

/** Not a refusal: the server has tried, as often as it does, and the sentence is fit for whoever asks. */
export class TaskFailure extends AltLasError {}

/** Where a request has what a model could not do, in OpenAI's API: the other one names no field beside its sentences. */
const FIELDS = { completion: "prompt", chat: "messages", embedding: "input" } as const;

/** Other fields, where a sentence names one. */
const NAMED = /\b(response_format|tools|tool_choice|logprobs)\b/;

/** The fields of a task that tell its failure; `request` may be null where it is not at hand. */
type Ended = Pick<
  TaskSnapshot,
  "id" | "status" | "error" | "endsWithClient" | "gpuId" | "boundTo" | "request" | "texts" | "result"
>;

/** Why a task has no result to answer with; null: it has one. */
export function failureOf(task: Ended, caller: Caller): AltLasError | null {
  const { id, status, error, endsWithClient } = task;
  if (status === "completed") return goneOf(task);
  if (status === "canceled") {
    return new TaskFailure("conflict", `Task ${id} was canceled.`, { details: { status } });
  }
  if (error !== null) {
    const sentence = maySeeInside(caller) ? error.sentence : publicFailure(error, shownGpuId(task));
    const param = fieldOf(error, task);
    return new TaskFailure(error.code, sentence, param === null ? {} : { param });
  }
  const fate = endsWithClient ? "is canceled" : "goes on when it is started again";
  return new AltLasError("draining", `The server is stopping; task ${id} ${fate}.`, { retryAfter: 5 });
}

/** The text of a task is not stored, or not any more; null: it is there. */
export function goneOf(task: Pick<TaskSnapshot, "id" | "texts" | "status" | "result">): AltLasError | null {
  const why = whyGone(task);
  return why === null ? null : new TaskFailure("text_gone", why);
}

/** null: no field is at fault */
function fieldOf({ code, sentence }: TaskError, { request }: Ended): string | null {
  if (code === "model_not_found") return "model";
  if (code !== "unsupported" && code !== "invalid_input") return null;
  const [, named] = NAMED.exec(sentence) ?? [];
  if (named !== undefined) return named;
  return code === "unsupported" && request !== null ? FIELDS[request.kind] : null;
}

export function goneTask(id: string): AltLasError {
  return new AltLasError("not_found", `There is no task ${id} any more.`);
}

/** The words of a failure for whoever asks. @param caller undefined: not known yet, or none of the caller's business */
export function sentenceFor(error: AltLasError, caller: Caller | undefined): string {
  const isClear = error instanceof TaskFailure || (caller !== undefined && maySeeInside(caller));
  return isClear ? error.message : publicRefusal(error);
}
