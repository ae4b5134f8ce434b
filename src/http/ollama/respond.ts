/** Answers calls that generate text: as lines, or when all of it is there. */
import type { FastifyReply, FastifyRequest } from "fastify";
import type { TaskInput } from "../../task.ts";
import { usingBody } from "../bodies.ts";
import { AnswerStream } from "../openai/answer-stream.ts";
import { type Done, endOf, submitCall } from "../openai/calls.ts";
import type { Pings } from "../pings.ts";
import type { OllamaText } from "../schemas/ollama.ts";
import { type OllamaFrame, OllamaLines } from "../schemas/ollama-answers.ts";
import type { SharedFields } from "../schemas/openai.ts";
import type { ServerParts } from "../server-parts.ts";
import { viewOfToken } from "../views.ts";
import { warnOfNothing } from "./fields.ts";
import { emptyFrame, frameOf, lineStream, type Said, wholeOf } from "./lines.ts";
import { loadOrUnload } from "./residence.ts";
import { failureInItsWords, warnInItsWords } from "./words.ts";

type TextBody = OllamaText & Omit<SharedFields, "model"> & { readonly model: string };

/** The answers of such calls, by their types. */
export function textOrLines(schema: object) {
  return { content: { "application/json": { schema }, "application/x-ndjson": { schema: OllamaLines } } };
}

interface Asking {
  readonly parts: ServerParts;
  readonly pings: Pings;
  readonly request: FastifyRequest<{ Body: TextBody }>;
  readonly reply: FastifyReply;
}

/** The request and the answer of a kind of call. */
interface Asked<Fields extends object> {
  /** Whether it asks for no text. */
  readonly isEmpty: boolean;
  readonly input: () => TaskInput;
  /** The fields of an answer that say something. */
  readonly fields: (said: Said) => Fields;
}

/** @throws {AltLasError} the call has failed before its answer began */
export async function answer<Fields extends object>(asking: Asking, asked: Asked<Fields>) {
  try {
    return await answerTo(asking, asked);
  } catch (error) {
    throw failureInItsWords(error);
  }
}

async function answerTo<Fields extends object>(
  { parts, pings, request, reply }: Asking,
  { isEmpty, input, fields }: Asked<Fields>,
): Promise<(OllamaFrame & Fields) | FastifyReply | undefined> {
  const { model, stream, think } = request.body;
  if (isEmpty) {
    const reason = await loadOrUnload(parts, request, reply, request.body);
    return { ...emptyFrame(model, reason), ...fields({ content: "" }) };
  }
  const call = await usingBody(request, async () => {
    warnOfNothing(parts, reply, request.body);
    return submitCall(parts, request, reply, [input()]);
  });
  warnInItsWords(reply);
  const thinks = think !== false;
  if (stream) {
    await new AnswerStream(reply, call, lineStream({ model, thinks, fields })).start(parts, pings);
    return undefined;
  }
  const tasks = await endOf(parts, call, reply);
  if (tasks === null) return reply;
  const [task] = tasks as [Done];
  warnInItsWords(reply);
  return { ...frameOf(model, task), ...fields(wholeOf(task, thinks)), ...logprobsOf(task) };
}

function logprobsOf({ result: { logprobs } }: Done): Pick<OllamaFrame, "logprobs"> {
  return logprobs === undefined ? {} : { logprobs: logprobs.map(viewOfToken) };
}
