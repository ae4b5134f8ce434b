/** A call of OpenAI's API as tasks: one for each choice. Its client waits for them, and cancels them by leaving. */
import { hexOf } from "../../common/uuid.ts";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Caller } from "../../auth/credentials.ts";
import type { TaskInput, TaskResult } from "../../task.ts";
import { AltLasError } from "../../errors.ts";
import type { SubmitOptions, TaskSnapshot } from "../../tasks/task-api.ts";
import { cancelAbandoned, goneSignal } from "../disconnects.ts";
import { mayHaveSchemas, tellOfSchemas } from "../form-check.ts";
import { idempotencyOf } from "../idempotency.ts";
import type { Usage } from "../schemas/openai-answers.ts";
import type { SharedFields } from "../schemas/openai.ts";
import { allHeldTo } from "../model-limits.ts";
import type { ServerParts } from "../server-parts.ts";
import { tellRead } from "../reads.ts";
import { failureOf, goneTask } from "../task-failure.ts";
import { mismatchesOf, warn } from "../warnings.ts";

/** Seconds to wait for a task: longer than any deadline, and no more than a timer can be set for. */
const ANY_TIME = 2_000_000;

/** Tasks that a header names: clients refuse answers whose headers take more than 16 KiB. */
const MOST_NAMED = 128;

export interface Call {
  /** Of its tasks, in the order of the choices. */
  readonly ids: readonly string[];
  readonly caller: Caller;
  /** Cancels what has not ended, unless its client has named the call in order to ask for it again: nobody waits for it any more. */
  readonly leave: () => void;
}

/** The fields of a task that an answer is made of. */
export type Answered = Pick<TaskSnapshot, "id" | "createdAt" | "ranModel" | "model"> & { readonly result: TaskResult };

/** A task that has a result. */
export type Done = TaskSnapshot & { readonly result: TaskResult };

/**
 * Makes the tasks of a call, and names them in the headers of its answer.
 * @param lasts whether they go on when its client leaves; else only an `Idempotency-Key` has them go on
 * @throws {AltLasError} as `TaskApi.submit`
 */
export async function submitCall(
  parts: ServerParts,
  request: FastifyRequest<{ Body: SharedFields & { readonly n?: number } }>,
  reply: FastifyReply,
  given: readonly TaskInput[],
  lasts = false,
): Promise<Call> {
  const { caller, body } = request;
  const inputs = allHeldTo(caller, given, parts.tasks);
  const { strategy, specific_gpu_id: pinned } = body.gpu_options;
  const idempotency = idempotencyOf(request);
  const endsWithClient = idempotency === null && !lasts;
  const options: SubmitOptions = {
    user: caller.name,
    keyName: caller.keyName,
    team: caller.team,
    strategy,
    // Adding 0 makes 0 of -0.
    pinnedGpuId: pinned === undefined ? null : pinned + 0,
    batch: null,
    webhook: null,
    idempotency,
    endsWithClient,
    origin: request.raw,
  };
  if (mayHaveSchemas(inputs)) await tellOfSchemas(parts, request, reply, inputs);
  const { tasks, replayed } = await parts.tasks.submit(inputs, options).catch((error: unknown): never => {
    throw error instanceof AltLasError ? inWordsOfCall(error, inputs.length === body.n) : error;
  });
  const ids = tasks.map(({ id }) => id);
  reply.header("x-task-id", ids[0]).header("x-task-ids", ids.slice(0, MOST_NAMED).join(", "));
  if (replayed) reply.header("idempotent-replayed", "true");
  const leave = (): void => {
    if (endsWithClient) for (const id of ids) void cancelAbandoned(parts, id);
  };
  return { ids, caller, leave };
}

/** A refusal with the fields that its client knows. @param ofOne whether all choices are of one prompt */
export function inWordsOfCall(error: AltLasError, ofOne: boolean): AltLasError {
  const { code, message, param } = error;
  if (param === "text") return new AltLasError(code, message.replace(/^text/, "prompt"), { param: "prompt" });
  if (param !== "batch") return error;
  const asks = ofOne ? "n asks for" : "prompt and n ask for";
  return new AltLasError(
    code,
    message.replace(/^batch has (\d+) items/, (_all, count: string) => `${asks} ${count} choices`),
    {
      param: ofOne ? "n" : "prompt",
    },
  );
}

/**
 * Waits until all tasks of a call have ended.
 * @returns null: its client has left
 * @throws {AltLasError} one of them has no result; the others are canceled then
 */
export async function endOf({ tasks }: ServerParts, call: Call, reply: FastifyReply): Promise<readonly Done[] | null> {
  const gone = goneSignal(reply);
  const end = async (id: string): Promise<Done | null> => {
    const task = await tasks.wait(id, ANY_TIME, gone);
    if (task === null) throw goneTask(id);
    if (isDone(task)) return task;
    if (gone.aborted) return null;
    throw failureOf(task, call.caller) ?? new Error(`task ${id} is completed and has no result`);
  };
  try {
    const ended = await Promise.all(call.ids.map(end));
    if (ended.every((task) => task !== null)) {
      reply.header("x-gpu-id", String(ended[0]!.gpuId));
      tellRead(tasks, reply, ended);
      warn(reply, mismatchesOf(ended));
      return ended;
    }
  } catch (error) {
    call.leave();
    throw error;
  }
  call.leave();
  reply.hijack();
  return null;
}

function isDone(task: TaskSnapshot): task is Done {
  return task.status === "completed" && task.result !== null;
}

/** The fields that every whole answer of generated text has. @param perPrompt choices of each prompt */
export function frameOf(prefix: "chatcmpl" | "cmpl", tasks: readonly Answered[], perPrompt: number) {
  const [first] = tasks as [Answered];
  const usage = usageOf(
    tasks.map(({ result }) => result),
    perPrompt,
  );
  return {
    id: idOf(prefix, first.id),
    created: secondsOf(first.createdAt),
    model: modelOf(first),
    ...(usage !== undefined && { usage }),
  };
}

/** An id of OpenAI's kind. */
export function idOf(prefix: "chatcmpl" | "cmpl", taskId: string): string {
  return `${prefix}-${hexOf(taskId)}`;
}

/** The model that ran a task, else the one that it asks for. */
export function modelOf({ ranModel, model }: Pick<TaskSnapshot, "ranModel" | "model">): string {
  return ranModel ?? model ?? "";
}

/** @param milliseconds Unix time */
export function secondsOf(milliseconds: number): number {
  return Math.floor(milliseconds / 1000);
}

export function finishReasonOf({ finishReason }: TaskResult): "stop" | "length" {
  return finishReason === "length" ? "length" : "stop";
}

/** As `finishReasonOf`, of an answer that may have calls of tools. An answer that was cut off may lack a part of them. */
export function chatFinishReasonOf(result: TaskResult): ReturnType<typeof finishReasonOf> | "tool_calls" {
  const reason = finishReasonOf(result);
  return reason === "stop" && result.toolCalls !== undefined ? "tool_calls" : reason;
}

/**
 * The tokens of several choices.
 * @param perPrompt choices of each prompt, whose tokens count once
 * @returns undefined: a server did not count those of a prompt
 */
export function usageOf(results: readonly TaskResult[], perPrompt: number): Usage | undefined {
  let prompts = 0;
  let cached = 0;
  let answers = 0;
  for (const [index, { promptTokens, completionTokens, cachedTokens }] of results.entries()) {
    answers += completionTokens;
    if (index % perPrompt !== 0) continue;
    if (promptTokens === null) return undefined;
    prompts += promptTokens;
    cached += cachedTokens ?? 0;
  }
  return {
    prompt_tokens: prompts,
    completion_tokens: answers,
    total_tokens: prompts + answers,
    prompt_tokens_details: { cached_tokens: cached },
  };
}
