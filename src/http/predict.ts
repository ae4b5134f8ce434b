/** `POST /predict` and `POST /batch_predict`. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { AltLasError } from "../errors.ts";
import type { SubmitOptions, TaskApi } from "../tasks/task-api.ts";
import { isFinal, type TaskInput, type Webhook, type WebhookEvent } from "../task.ts";
import type { WebhookApi } from "../webhooks/webhook-api.ts";
import { submission } from "./access.ts";
import { completeItems } from "./batch-items.ts";
import { useBody, usingBody } from "./bodies.ts";
import { BEGINNING } from "./event-stream.ts";
import { streamTask } from "./events.ts";
import { cancelAbandoned, goneSignal } from "./disconnects.ts";
import { mayHaveSchemas, tellOfSchemas } from "./form-check.ts";
import { noteGiven } from "./given.ts";
import { idempotencyOf } from "./idempotency.ts";
import { inputOf, warningOf } from "./inputs.ts";
import { ON_SUBMITTING } from "./openapi.ts";
import { allHeldTo, heldTo } from "./model-limits.ts";
import type { ServerParts } from "./server-parts.ts";
import { maySeeInside } from "./public-words.ts";
import type { Pings } from "./pings.ts";
import { applyWait, preferredWait } from "./prefer.ts";
import { forReader } from "./reader-language.ts";
import { tellRead } from "./reads.ts";
import { NoQuery } from "./schemas/common.ts";
import {
  BatchAnswer,
  DryRunRef,
  PredictAnswer,
  PredictQuery,
  type BatchRequest,
  type PredictRequest,
  type RequestSchemas,
} from "./schemas/submissions.ts";
import { EventStreamText, type TaskSummary, type TaskView } from "./schemas/tasks.ts";
import { viewOfDryRun, viewOfSubmitted, viewOfTask } from "./views.ts";
import { mismatchesOf, warn } from "./warnings.ts";

const JSON_TYPE = "application/json; charset=utf-8";
/** One object, because the serializer of each is kept. */
const DRY_RUN = { ...DryRunRef };
const FINAL_EVENTS = ["task.completed", "task.failed", "task.canceled"] as const;

export function predictRoute(app: FastifyInstance, parts: ServerParts, schemas: RequestSchemas, pings: Pings): void {
  const { prefix } = app;
  app.route<{ Body: PredictRequest; Querystring: PredictQuery }>({
    method: "POST",
    url: "/predict",
    schema: {
      operationId: "predict",
      summary: "Submit one task",
      description:
        'Answers at once, when the task is on disk. `Prefer: wait=30` holds the answer, for 300 seconds at most, until the task ends; the body is then the whole task. With `"stream": true` the answer is the task\'s events, as from `GET /task/<task_id>/events`. With `?dry_run=true` no task is made, and the answer is the schema DryRun.',
      tags: ["tasks"],
      querystring: PredictQuery,
      body: schemas.predict,
      response: {
        200: {
          content: { "application/json": { schema: PredictAnswer }, "text/event-stream": { schema: EventStreamText } },
        },
      },
      refusals: ["conflict", "not_found", ...ON_SUBMITTING],
    },
    onRequest: submission(parts, isDryRun),
    preValidation: noteGiven,
    handler: async (request, reply) => {
      if (request.query.dry_run) return usingBody(request, () => tryOne(parts, request, reply));
      const { stream, cancel_on_disconnect } = request.body;
      const task = await submitOne(parts, request, reply);
      const onLeft = (): void => {
        if (cancel_on_disconnect) void cancelAbandoned(parts, task.task_id);
      };
      if (!stream) {
        const wait = preferredWait(request.headers.prefer);
        return wait === undefined ? task : held(parts, task, request, reply, { wait, onLeft });
      }
      reply.header("location", `${request.prefix}${prefix}/task/${task.task_id}`);
      return streamTask(parts, pings, reply, { id: task.task_id, position: BEGINNING, onLeft });
    },
  });
}

async function submitOne(
  parts: ServerParts,
  request: FastifyRequest<{ Body: PredictRequest }>,
  reply: FastifyReply,
): Promise<TaskSummary> {
  const { body } = request;
  const used = useBody(request);
  try {
    const webhook = namesWebhook(body) ? await webhookOf(parts.webhooks, request, reply, FINAL_EVENTS) : null;
    const wanted = wantedBy(parts, request, webhook);
    if (mayHaveSchemas(wanted.inputs)) await tellOfSchemas(parts, request, reply, wanted.inputs);
    const { tasks, replayed } = await submit(parts, request, wanted);
    if (replayed) tellReplay(reply);
    tellWarning(body, reply);
    reply.header("x-task-id", tasks[0]!.id);
    return viewOfSubmitted(tasks[0]!);
  } finally {
    used();
  }
}

/** Whether nothing is to be made; asked before the query has been checked, so that what counts for a limit is decided first. */
function isDryRun({ query }: FastifyRequest): boolean {
  return (query as Readonly<Record<string, unknown>>)["dry_run"] === "true";
}

/** The outcome that `submitOne` would have. */
async function tryOne(
  parts: ServerParts,
  request: FastifyRequest<{ Body: PredictRequest }>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { body, caller } = request;
  const { name: user, keyName, team } = caller;
  const webhook = namesWebhook(body) ? await webhookOf(parts.webhooks, request, reply, FINAL_EVENTS) : null;
  const { inputs, ...options } = wantedBy(parts, request, webhook);
  // A key that can be none is refused.
  idempotencyOf(request);
  if (mayHaveSchemas(inputs)) await tellOfSchemas(parts, request, reply, inputs);
  const input = heldTo(caller, inputs[0]!, parts.tasks);
  const dryRun = parts.tasks.dryRun(input, { ...options, user, keyName, team, idempotency: null });
  tellWarning(body, reply);
  const text = reply.compileSerializationSchema(DRY_RUN)(
    forReader(request, viewOfDryRun(dryRun, maySeeInside(caller))),
  );
  return reply.type(JSON_TYPE).send(text);
}

/** @throws {AltLasError} its fields do not go together */
function wantedBy(
  { live }: ServerParts,
  { body, headers }: FastifyRequest<{ Body: PredictRequest }>,
  webhook: Webhook | null,
): Wanted {
  const { strategy, specific_gpu_id } = body.gpu_options;
  return {
    inputs: [inputOf(body, live.config.limits.max_text_bytes, null)],
    strategy,
    // Adding 0 makes 0 of -0.
    pinnedGpuId: specific_gpu_id === undefined ? null : specific_gpu_id + 0,
    batch: null,
    webhook,
    // A client that is answered at once holds no connection to close.
    endsWithClient: body.cancel_on_disconnect && (body.stream || preferredWait(headers.prefer) !== undefined),
  };
}

function tellWarning(body: PredictRequest, reply: FastifyReply): void {
  const warning = warningOf(body);
  if (warning !== null) warn(reply, [warning]);
}

/** The answer when the task has ended, or the time of `Prefer: wait` is up. */
async function held(
  { tasks }: ServerParts,
  submitted: TaskSummary,
  request: FastifyRequest,
  reply: FastifyReply,
  { wait, onLeft }: { readonly wait: number; readonly onLeft: () => void },
): Promise<TaskSummary | TaskView> {
  const seconds = applyWait(wait, reply);
  const gone = goneSignal(reply);
  const task = await tasks.wait(submitted.task_id, seconds, gone);
  if (task === null) return submitted;
  warn(reply, mismatchesOf([task]));
  if (isFinal(task.status)) tellRead(tasks, reply, [task]);
  else {
    if (gone.aborted) onLeft();
    else tasks.keep(task.id);
  }
  return forReader(request, viewOfTask(task, maySeeInside(request.caller), tasks.waiting(task.id)));
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
      refusals: ["conflict", ...ON_SUBMITTING],
    },
    onRequest: submission(parts),
    preValidation: [completeItems, noteGiven],
    handler: (request, reply) => usingBody(request, () => submitBatch(parts, request, reply)),
  });
}

async function submitBatch(
  parts: ServerParts,
  request: FastifyRequest<{ Body: BatchRequest }>,
  reply: FastifyReply,
): Promise<BatchAnswer> {
  const { body } = request;
  const { strategy, batch_split } = body.gpu_options;
  const { max_text_bytes } = parts.live.config.limits;
  const inputs = body.batch.map((item, index) => inputOf(item, max_text_bytes, index));
  const webhook = namesWebhook(body) ? await webhookOf(parts.webhooks, request, reply, ["batch.completed"]) : null;
  if (mayHaveSchemas(inputs)) await tellOfSchemas(parts, request, reply, inputs, true);
  const { batchStatus, batchId, tasks, replayed } = await submit(parts, request, {
    inputs,
    strategy,
    pinnedGpuId: null,
    batch: { split: batch_split },
    webhook,
    endsWithClient: false,
  });
  if (replayed) tellReplay(reply);
  return { status: batchStatus, tasks: tasks.map(viewOfSubmitted), batch_id: batchId };
}

interface Wanted extends Omit<SubmitOptions, "user" | "keyName" | "team" | "idempotency" | "origin"> {
  readonly inputs: readonly TaskInput[];
}

/** Submits for whoever asks; the same only once for each `Idempotency-Key`. */
function submit({ tasks }: ServerParts, request: FastifyRequest, wanted: Wanted): ReturnType<TaskApi["submit"]> {
  const { strategy, pinnedGpuId, batch, webhook, endsWithClient } = wanted;
  const inputs = allHeldTo(request.caller, wanted.inputs, tasks, batch !== null);
  const idempotency = idempotencyOf(request);
  const { name: user, keyName, team } = request.caller;
  return tasks.submit(inputs, {
    user,
    keyName,
    team,
    strategy,
    pinnedGpuId,
    batch,
    webhook,
    endsWithClient,
    idempotency,
    origin: request.raw,
  });
}

function tellReplay(reply: FastifyReply): void {
  reply.header("idempotent-replayed", "true");
}

interface WebhookFields {
  readonly webhook_url?: string;
  readonly webhook_events?: readonly WebhookEvent[];
}

/** Asked first: most requests name none, and waiting for nothing has its price. */
function namesWebhook({ webhook_url, webhook_events }: WebhookFields): boolean {
  return webhook_url !== undefined || webhook_events !== undefined;
}

/** @throws {AltLasError} `invalid_input`: nothing may be sent to that address, or there is none */
async function webhookOf(
  webhooks: WebhookApi,
  {
    body: { webhook_url: url, webhook_events: events },
    caller,
  }: Pick<FastifyRequest<{ Body: WebhookFields }>, "body" | "caller">,
  reply: FastifyReply,
  whenUnnamed: readonly WebhookEvent[],
): Promise<Webhook> {
  if (url === undefined) {
    throw new AltLasError("invalid_input", "webhook_events needs webhook_url, which says where to send them.");
  }
  warn(reply, await webhooks.check(url, caller.name));
  return { url, events: events ?? whenUnnamed };
}
