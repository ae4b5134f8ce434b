/** A response as its client sees it, made of its task, its request and its note. */
import type { Caller } from "../../../auth/credentials.ts";
import {
  type AnswerFormat,
  type ChatRequest,
  type Request,
  TO_THE_END,
  type Tool,
  type Tools,
} from "../../../request.ts";
import type { TaskResult, TaskStatus } from "../../../task.ts";
import type { TaskSnapshot } from "../../../tasks/task-api.ts";
import type { ResponseStatus, ResponseUsage, ResponseView } from "../../schemas/response-answers.ts";
import { failureOf } from "../../task-failure.ts";
import { modelOf, secondsOf } from "../calls.ts";
import { openAiFailure } from "../envelope.ts";
import type { ResponseFacts } from "./events.ts";
import { responseIdOf } from "./ids.ts";
import { outputOf } from "./items.ts";
import type { ResponseNote } from "./note.ts";
import { inWordsOfResponses } from "./words.ts";

/** The fields that a response has from its beginning to its end. */
export type Frame = Omit<
  ResponseView,
  "status" | "completed_at" | "error" | "incomplete_details" | "model" | "output" | "usage"
>;

type Identity = Pick<TaskSnapshot, "id" | "createdAt">;

/** It refers to texts of the request, and copies none. */
export function frameOf({ id, createdAt }: Identity, request: Request, note: ResponseNote): Frame {
  const { sampling } = request;
  const chat: Partial<ChatRequest> = request.kind === "chat" ? request : {};
  const instructions = note.instructions ? (chat.messages?.[0]?.content ?? null) : null;
  return {
    id: responseIdOf(id),
    object: "response",
    created_at: secondsOf(createdAt),
    background: note.background,
    instructions,
    max_output_tokens: sampling.maxTokens >= TO_THE_END ? null : sampling.maxTokens,
    max_tool_calls: null,
    parallel_tool_calls: note.parallel_tool_calls,
    previous_response_id: note.previous_response_id,
    prompt_cache_key: null,
    reasoning: { effort: null, summary: null },
    safety_identifier: null,
    service_tier: "default",
    store: note.store,
    temperature: sampling.temperature,
    text: { format: viewOfFormat(chat.format), verbosity: "medium" },
    tool_choice: viewOfChoice(chat.tools, note),
    tools: viewOfTools(chat.tools, note),
    top_logprobs: note.top_logprobs,
    top_p: sampling.topP ?? 1,
    truncation: "disabled",
    user: note.user,
    metadata: note.metadata,
  };
}

/** The fields of a task that it is made of; `request` may be null where it is not at hand. */
type Made = Pick<
  TaskSnapshot,
  | "id"
  | "status"
  | "result"
  | "error"
  | "finishedAt"
  | "attempts"
  | "model"
  | "ranModel"
  | "endsWithClient"
  | "gpuId"
  | "boundTo"
  | "request"
  | "texts"
>;

/** @param caller whoever reads it: of a failure only some may know the inside */
export function viewOfResponse(task: Made, frame: Frame, caller: Caller): ResponseView {
  const { status, result, finishedAt } = task;
  const failure = status === "failed" ? failureOf(task, caller) : null;
  return {
    ...frame,
    status: statusOf(status, result),
    completed_at: finishedAt === null ? null : secondsOf(finishedAt),
    error: failure && { code: openAiFailure(failure).error.code, message: inWordsOfResponses(failure.message) },
    incomplete_details: isCut(status, result) ? { reason: "max_output_tokens" } : null,
    model: modelOf(task),
    output: [...outputOf(task)],
    usage: result && usageOf(result),
  };
}

/**
 * The response of a task, without HTTP.
 * @param request what the task was asked: `TaskApi.requestOf`
 * @param note as `readNote` reads it
 */
export function responseOf(task: TaskSnapshot, request: Request, note: ResponseNote, caller: Caller): ResponseView {
  return viewOfResponse(task, frameOf(task, request, note), caller);
}

/** The facts that the events of a response are made of. @param modelNow the model that runs it, else the one that it asks for */
export function factsOf(taskId: string, frame: Frame, caller: Caller, modelNow: () => string): ResponseFacts {
  return {
    taskId,
    background: frame.background,
    at: (status) => ({
      ...frame,
      status,
      completed_at: null,
      error: null,
      incomplete_details: null,
      model: modelNow(),
      output: [],
      usage: null,
    }),
    ended: (task) => viewOfResponse(task, frame, caller),
  };
}

const STATUSES = {
  queued: "queued",
  running: "in_progress",
  completed: "completed",
  failed: "failed",
  canceled: "cancelled",
} as const;

function statusOf(status: TaskStatus, result: TaskResult | null): ResponseStatus {
  return isCut(status, result) ? "incomplete" : STATUSES[status];
}

function isCut(status: TaskStatus, result: TaskResult | null): boolean {
  return status === "completed" && result?.finishReason === "length";
}

/** null: the server behind the GPU does not count. */
function usageOf({ promptTokens, completionTokens, cachedTokens }: TaskResult): ResponseUsage | null {
  if (promptTokens === null) return null;
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens ?? 0 },
    output_tokens: completionTokens,
    // They are among the others, and not counted apart.
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: promptTokens + completionTokens,
  };
}

function viewOfFormat(format: AnswerFormat | undefined): object {
  if (format === undefined) return { type: "text" };
  if (format.kind === "json") return { type: "json_object" };
  const { name, schema, strict } = format;
  return { type: "json_schema", name, schema, strict };
}

function viewOfTools(tools: Tools | undefined, note: ResponseNote): object[] {
  const list: readonly Partial<Tool>[] = tools?.list ?? note.tools ?? [];
  return list.map(({ name, description = null, parameters = null, strict = false }) => ({
    type: "function",
    name,
    description,
    parameters,
    strict,
  }));
}

function viewOfChoice(tools: Tools | undefined, note: ResponseNote): string | object {
  if (tools === undefined) return note.tools === undefined ? "auto" : "none";
  const { choice } = tools;
  return typeof choice === "string" ? choice : { type: "function", name: choice.name };
}
