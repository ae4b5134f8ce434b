/** The endpoints that a line of a batch may name: what its body asks for, and what came of it, as a call of its own would have had it. */
import type { EndedLine, LineAnswer, LineEndpoint, LineEndpoints, LineInput } from "../../batch-files/endpoints.ts";
import type { BatchFile } from "../../store/batch-files.ts";
import { AltLasError, type ErrorCode } from "../../errors.ts";
import type { Priority, TaskInput } from "../../task.ts";
import { textsOf } from "../../tasks/scheduler-settings.ts";
import { checkSchemas, mayHaveSchemas } from "../form-check.ts";
import { noted } from "../given.ts";
import { jsonLine } from "../json-line.ts";
import { liveSchemas } from "../live-schemas.ts";
import { publicRefusal } from "../public-words.ts";
import {
  type ChatBody,
  type CompletionBody,
  type EmbeddingBody,
  type OpenAiSchemas,
  openAiSchemas,
  type ResponseBody,
  type SharedFields,
} from "../schemas/openai.ts";
import { UNBOUND } from "../../auth/credentials.ts";
import { heldTo, type ModelLimits } from "../model-limits.ts";
import type { ServerParts } from "../server-parts.ts";
import { failureOf, goneTask, sentenceFor } from "../task-failure.ts";
import { checkedBody } from "../validate.ts";
import { type Answered, inWordsOfCall } from "./calls.ts";
import { chatAnswer, chatInputs } from "./chat.ts";
import { completionAnswer, completionInputs } from "./completions.ts";
import { embeddingAnswer, embeddingInput } from "./embeddings.ts";
import { earlierOf } from "./responses/earlier.ts";
import { readNote, type ResponseNote } from "./responses/note.ts";
import { frameOf, viewOfResponse } from "./responses/response.ts";
import { holdToTexts, responseInput } from "./responses/task-input.ts";
import { OPENAI_PATH, openAiFailure, statusFor } from "./envelope.ts";

type Parts = Pick<ServerParts, "config" | "live" | "tasks">;

/** The reader of a file's lines, whose role is not known yet: it may be anybody. */
const ANYBODY = { ...UNBOUND, name: "", role: "user" } as const;

const NOT_STREAMED = "must be false in a line of a batch: nobody reads along";

/** One endpoint. */
interface Means<Body> {
  readonly schema: (schemas: OpenAiSchemas) => object;
  /** @throws {AltLasError} one line cannot have that */
  readonly refuse?: (body: Body) => void;
  readonly inputs: (body: Body, parts: Parts, of: LineOwner) => readonly TaskInput[] | Promise<readonly TaskInput[]>;
  /** See `LineInput`. */
  readonly kept?: (body: Body, input: TaskInput) => unknown;
  readonly answer: (line: EndedLine & { readonly task: Answered }) => object | Promise<object>;
}

const CHAT: Means<ChatBody> = {
  schema: ({ chat }) => chat,
  refuse: refuseSeveral,
  inputs: chatInputs,
  answer: ({ task }) => chatAnswer([task]),
};

const COMPLETION: Means<CompletionBody> = {
  schema: ({ completion }) => completion,
  refuse: (body) => {
    refuseSeveral(body);
    if (typeof body.prompt === "string" || body.prompt.length === 1) return;
    throw notInBatch("prompt", `must be one text in a line of a batch; got ${body.prompt.length}`);
  },
  inputs: completionInputs,
  answer: ({ task }) => completionAnswer([task], 1),
};

const EMBEDDING: Means<EmbeddingBody> = {
  schema: ({ embedding }) => embedding,
  inputs: (body, parts) => [embeddingInput(body, parts)],
  kept: ({ encoding_format }) => encoding_format,
  answer: ({ task, kept }) => embeddingAnswer(task, kept as EmbeddingBody["encoding_format"]),
};

const RESPONSE: Means<ResponseBody> = {
  schema: ({ response }) => response,
  refuse: ({ stream, background }) => {
    if (stream) throw notInBatch("stream", NOT_STREAMED);
    if (background) throw notInBatch("background", "must be false in a line of a batch, which is in the background");
  },
  inputs: async (body, { tasks, config, live }, of) => {
    holdToTexts(body, textsOf(live.config, of));
    const earlier = await earlierOf(tasks, { name: of.user }, body);
    return [responseInput(body, earlier, { api: config.api, limits: live.config.limits })];
  },
  // The note that a response needs beside its task.
  kept: (_body, { note }) => readNote(note),
  answer: async ({ task, kept, request }) => {
    const asked = await request();
    if (asked === null) throw goneTask(task.id);
    return viewOfResponse({ ...task, request: null }, frameOf(task, asked, kept as ResponseNote), ANYBODY);
  },
};

export function lineEndpoints(parts: Parts): LineEndpoints {
  // Made for the first line that there is: a server that gets no batches does not wait for it.
  let made: OpenAiSchemas | null = null;
  const schemas = (): OpenAiSchemas => (made ??= liveSchemas(parts.live, openAiSchemas));
  return {
    byPath: new Map([
      [`${OPENAI_PATH}/chat/completions`, endpointOf(parts, schemas, CHAT)],
      [`${OPENAI_PATH}/completions`, endpointOf(parts, schemas, COMPLETION)],
      [`${OPENAI_PATH}/embeddings`, endpointOf(parts, schemas, EMBEDDING)],
      [`${OPENAI_PATH}/responses`, endpointOf(parts, schemas, RESPONSE)],
    ]),
    refused: ({ code, sentence, param }) => {
      const given = new AltLasError(code as ErrorCode, sentence, param === null ? {} : { param });
      const error = inWordsOfCall(given, true);
      return failed(error, publicRefusal(error));
    },
    asLine: jsonLine,
  };
}

function endpointOf<Body extends SharedFields>(
  parts: Parts,
  schemas: () => OpenAiSchemas,
  means: Means<Body>,
): LineEndpoint {
  return {
    inputOf: (body, { user, team, priority, keyName, models = null }) =>
      inputOf(parts, means, { schema: means.schema(schemas()), body, user, team, priority, keyName, models }),
    answerOf: async (line) => answerOf(line, means),
  };
}

type LineOwner = Pick<BatchFile, "user" | "team">;

interface GivenLine extends ModelLimits, LineOwner {
  readonly schema: object;
  readonly body: object;
  readonly priority: Priority;
}

async function inputOf<Body extends SharedFields>(
  parts: Parts,
  { refuse, inputs, kept }: Means<Body>,
  { schema, body: given, user, team, priority, ...limits }: GivenLine,
): Promise<LineInput> {
  const fields = given as Record<string, unknown>;
  fields["priority"] ??= priority;
  const body = checkedBody<Body>(schema, noted(given));
  refuse?.(body);
  const [asked] = (await inputs(body, parts, { user, team })) as [TaskInput];
  const input = heldTo(limits, asked, parts.tasks);
  const maxBytes = parts.config.limits.max_body_bytes;
  if (mayHaveSchemas([input])) await checkSchemas([input], { user, inBatch: false, maxBytes });
  const { strategy, specific_gpu_id: pinned } = body.gpu_options;
  return {
    input,
    strategy,
    // Adding 0 makes 0 of -0.
    pinnedGpuId: pinned === undefined ? null : pinned + 0,
    ...(kept && { kept: kept(body, input) }),
  };
}

async function answerOf<Body>(line: EndedLine, { answer }: Means<Body>): Promise<LineAnswer> {
  const { task } = line;
  const { result } = task;
  const failure = failureOf({ ...task, request: null }, ANYBODY);
  if (failure !== null) return failed(failure, sentenceFor(failure, ANYBODY));
  if (result === null) throw new Error(`task ${task.id} is completed and has no result`);
  return { status: 200, body: await answer({ ...line, task: { ...task, result } }) };
}

function failed(error: AltLasError, sentence: string): LineAnswer {
  return { status: statusFor(OPENAI_PATH, error.code), body: openAiFailure(error, sentence) };
}

/** @throws {AltLasError} `unsupported` */
function refuseSeveral({ stream, n }: { readonly stream: boolean; readonly n: number }): void {
  if (stream) throw notInBatch("stream", NOT_STREAMED);
  if (n > 1) throw notInBatch("n", `must be 1 in a line of a batch, as a line is one task; got ${n}`);
}

function notInBatch(field: string, why: string): AltLasError {
  return new AltLasError("unsupported", `${field} ${why}.`, { param: field });
}
