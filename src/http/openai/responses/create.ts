/** `POST /v1/responses`. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { textsOf } from "../../../tasks/scheduler-settings.ts";
import type { Listener, TaskSnapshot } from "../../../tasks/task-api.ts";
import { submission } from "../../access.ts";
import { usingBody } from "../../bodies.ts";
import { ON_SUBMITTING } from "../../openapi.ts";
import type { Pings } from "../../pings.ts";
import { NoQuery } from "../../schemas/common.ts";
import type { OpenAiSchemas, ResponseBody } from "../../schemas/openai.ts";
import { ResponseEventsText, ResponseRef, type ResponseView } from "../../schemas/response-answers.ts";
import type { ServerParts } from "../../server-parts.ts";
import { goneTask } from "../../task-failure.ts";
import { type Call, endOf, submitCall } from "../calls.ts";
import { tellIgnored } from "../fields.ts";
import { earlierOf, requestOfStored } from "./earlier.ts";
import { readNote, type ResponseNote } from "./note.ts";
import { factsOf, type Frame, frameOf, responseOf, viewOfResponse } from "./response.ts";
import { ResponseStream } from "./stream.ts";
import { holdToTexts, type ResponseInput, responseInput } from "./task-input.ts";
import { failureInWords, inWordsOfResponses } from "./words.ts";

type CreateRequest = FastifyRequest<{ Body: ResponseBody }>;

export function createResponseRoute(
  app: FastifyInstance,
  parts: ServerParts,
  { response }: OpenAiSchemas,
  pings: Pings,
): void {
  app.route<{ Body: ResponseBody }>({
    method: "POST",
    url: "/responses",
    schema: {
      operationId: "createResponse",
      summary: "Make a response, as OpenAI's API does it",
      description:
        "A response is a task, with the same UUID. In the background it is answered at once and goes on whether anybody waits or not; else it is canceled when the client leaves, unless the call has an `Idempotency-Key`. Unknown fields are ignored, and named in `X-Ignored-Fields`.",
      tags: ["openai"],
      querystring: NoQuery,
      body: response,
      response: {
        200: {
          content: { "application/json": { schema: ResponseRef }, "text/event-stream": { schema: ResponseEventsText } },
        },
      },
      refusals: ["conflict", "not_found", "text_gone", ...ON_SUBMITTING],
    },
    config: { isPatient: true },
    onRequest: submission(parts),
    preValidation: [tellIgnored(response), tellUnheeded],
    handler: (request, reply) => answer(parts, pings, request, reply),
  });
}

/** Names the parts of a known field that do nothing: only the models of some others can be told how long to reason. */
function tellUnheeded({ body }: FastifyRequest, reply: FastifyReply, done: () => void): void {
  const { reasoning } = Object(body) as { readonly reasoning?: unknown };
  const fields = Object.entries(Object(reasoning) as object).filter(([, value]) => value !== null);
  const named = fields.map(([name]) => name).filter((name) => name === "effort" || name === "summary");
  const others = reply.getHeader("x-ignored-fields");
  const all = [...(others === undefined ? [] : [String(others)]), ...named.map((name) => `reasoning.${name}`)];
  if (named.length > 0) reply.header("x-ignored-fields", all.join(", "));
  done();
}

async function answer(
  parts: ServerParts,
  pings: Pings,
  request: CreateRequest,
  reply: FastifyReply,
): Promise<ResponseView | FastifyReply | undefined> {
  const { stream, background } = request.body;
  const { caller } = request;
  try {
    const made = await usingBody(request, async () => submitted(parts, request, reply, stream || background));
    const { call, note, begun } = made;
    if (begun === null) return await whole(parts, call, note, reply);
    const { task, frame } = begun;
    if (!stream) return begun.view;
    const leave = background ? () => {} : call.leave;
    await new ResponseStream(reply, parts, { task, frame, caller, atOnce: background, leave }).start(pings);
    return undefined;
  } catch (error) {
    throw failureInWords(error);
  }
}

interface Submitted {
  readonly call: Call;
  readonly note: ResponseNote;
  /** Of what is told before it has ended: of the rest nothing of the request is kept meanwhile. */
  readonly begun: Begun | null;
}

interface Begun {
  readonly task: Pick<TaskSnapshot, "id" | "model" | "attempts">;
  readonly frame: Frame;
  /** As it is now. */
  readonly view: ResponseView;
}

async function submitted(
  parts: ServerParts,
  request: CreateRequest,
  reply: FastifyReply,
  isToldBefore: boolean,
): Promise<Submitted> {
  const { tasks, config, live } = parts;
  const { body, caller } = request;
  holdToTexts(body, textsOf(live.config, { user: caller.name, team: caller.team }));
  const earlier = await earlierOf(tasks, caller, body);
  const input = responseInput(body, earlier, { api: config.api, limits: live.config.limits });
  const call = await submitCall(parts, request, reply, [input], body.background);
  const warning = reply.getHeader("x-warning");
  if (warning !== undefined) reply.header("x-warning", inWordsOfResponses(String(warning)));
  const note = readNote(input.note)!;
  return { call, note, begun: isToldBefore ? await begunWith(parts, call, input, note) : null };
}

const NOBODY: Listener = { placed() {}, delta() {}, ended() {}, closed() {} };

async function begunWith(
  { tasks }: ServerParts,
  { ids: [id = ""], caller }: Call,
  { request, model }: ResponseInput,
  note: ResponseNote,
): Promise<Begun> {
  const following = tasks.follow(id, NOBODY);
  if (following !== null) {
    following.stop();
    const { createdAt } = following;
    const where = following.where();
    const frame = frameOf({ id, createdAt }, request, note);
    const facts = factsOf(id, frame, caller, () => where?.model ?? model ?? "");
    return { task: { id, model, attempts: [] }, frame, view: facts.at(where === null ? "queued" : "in_progress") };
  }
  // It has ended already, as one that was submitted before may have.
  const task = await tasks.get(id);
  if (task === null) throw goneTask(id);
  const frame = frameOf(task, request, note);
  return { task, frame, view: viewOfResponse(task, frame, caller) };
}

async function whole(
  parts: ServerParts,
  call: Call,
  note: ResponseNote,
  reply: FastifyReply,
): Promise<ResponseView | FastifyReply> {
  const ended = await endOf(parts, call, reply);
  if (ended === null) return reply;
  const [task] = ended;
  return responseOf(task!, await requestOfStored(parts.tasks, task!), note, call.caller);
}
