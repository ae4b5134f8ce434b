/** `POST /predict` and `POST /batch_predict`. */
import { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { type Caller } from "../auth/credentials.ts";
import { type TaskApi } from "../scheduler/tasks.ts";
import { type TaskInput } from "../task.ts";
import { submission } from "./access.ts";
import { goneSignal } from "./gone.ts";
import { type ServerParts } from "./parts.ts";
import { preferredWait } from "./prefer.ts";
import {
  BatchAnswer,
  NoQuery,
  PredictAnswer,
  type BatchRequest,
  type InputFields,
  type PredictRequest,
  type RequestSchemas,
  type TaskSummary,
  type TaskView,
} from "./schemas.ts";
import { viewOfSubmitted, viewOfTask } from "./views.ts";

export function predictRoute(app: FastifyInstance, parts: ServerParts, schemas: RequestSchemas): void {
  app.route<{ Body: PredictRequest }>({
    method: "POST",
    url: "/predict",
    schema: {
      operationId: "predict",
      summary: "Submit one task",
      description:
        "Answers at once, when the task is on disk. `Prefer: wait=30` holds the answer, for 300 seconds at most, until the task ends; the body is then the whole task.",
      tags: ["tasks"],
      querystring: NoQuery,
      body: schemas.predict,
      response: { 200: PredictAnswer },
    },
    onRequest: submission(parts),
    handler: (request, reply) => predict(parts.tasks, request, reply),
  });
}

async function predict(
  tasks: TaskApi,
  request: FastifyRequest<{ Body: PredictRequest }>,
  reply: FastifyReply,
): Promise<TaskSummary | TaskView> {
  const { strategy, specific_gpu_id } = request.body.gpu_options;
  const submitted = await tasks.submit([inputOf(request.body)], {
    user: request.caller.name,
    strategy,
    // Adding 0 makes 0 of -0.
    pinnedGpuId: specific_gpu_id === undefined ? null : specific_gpu_id + 0,
    batch: null,
  });
  const task = submitted.tasks[0]!;
  const wait = preferredWait(request.headers.prefer);
  if (wait === undefined) return viewOfSubmitted(task);
  reply.header("preference-applied", `wait=${wait}`);
  const ended = await tasks.wait(task.id, wait, goneSignal(reply));
  return ended === null ? viewOfSubmitted(task) : viewOfTask(ended);
}

export function batchRoute(app: FastifyInstance, parts: ServerParts, schemas: RequestSchemas): void {
  app.route<{ Body: BatchRequest }>({
    method: "POST",
    url: "/batch_predict",
    schema: {
      operationId: "batchPredict",
      summary: "Submit several tasks, all or none",
      tags: ["tasks"],
      querystring: NoQuery,
      body: schemas.batch,
      response: { 200: BatchAnswer },
    },
    onRequest: submission(parts),
    handler: ({ caller, body }) => submitBatch(parts.tasks, caller, body),
  });
}

async function submitBatch(tasks: TaskApi, caller: Caller, body: BatchRequest): Promise<BatchAnswer> {
  const { strategy, batch_split } = body.gpu_options;
  const submitted = await tasks.submit(body.batch.map(inputOf), {
    user: caller.name,
    strategy,
    pinnedGpuId: null,
    batch: { split: batch_split },
  });
  const { batchStatus, batchId } = submitted;
  return { status: batchStatus, tasks: submitted.tasks.map(viewOfSubmitted), batch_id: batchId };
}

function inputOf({ text, max_length, temperature, task_type }: InputFields): TaskInput {
  return {
    // JSON can name half of a surrogate pair, which no encoding of Unicode can store.
    text: text.toWellFormed(),
    // No context is longer, and integers beyond it are not exact, nor can SQLite give them back.
    maxLength: Math.min(max_length, Number.MAX_SAFE_INTEGER),
    temperature: temperature + 0,
    taskType: task_type.toWellFormed(),
  };
}
