/** `POST /v1/embeddings`: one task makes all vectors of a call. */
import type { FastifyInstance } from "fastify";
import { numbersOf } from "../../common/vectors.ts";
import { AltLasError } from "../../errors.ts";
import { type EmbeddingRequest, NO_SAMPLING } from "../../request.ts";
import type { TaskInput } from "../../task.ts";
import { submission } from "../access.ts";
import { usingBody } from "../bodies.ts";
import { noteGiven, wasGiven } from "../given.ts";
import { ON_SUBMITTING } from "../openapi.ts";
import { NoQuery, shared } from "../schemas/common.ts";
import { refuseLonger } from "../schemas/messages.ts";
import { EmbeddingAnswer } from "../schemas/openai-answers.ts";
import { type EmbeddingBody, MOST_INPUTS, type OpenAiSchemas } from "../schemas/openai.ts";
import type { ServerParts } from "../server-parts.ts";
import { type Answered, endOf, modelOf, submitCall, usageOf } from "./calls.ts";
import { settingsOf, tellIgnored } from "./fields.ts";

/** Of all lists of tokens of one call; a batch of a thousand pages has about so many. */
const MOST_TOKENS = 2 ** 20;

export function embeddingsRoute(app: FastifyInstance, parts: ServerParts, { embedding }: OpenAiSchemas): void {
  app.route<{ Body: EmbeddingBody }>({
    method: "POST",
    url: "/embeddings",
    schema: {
      operationId: "createEmbedding",
      summary: "Make vectors of texts, as OpenAI's API does it",
      description: "The vectors have the length 1. Lists of tokens are numbers of the model's own vocabulary.",
      tags: ["openai"],
      querystring: NoQuery,
      body: embedding,
      response: { 200: shared(EmbeddingAnswer) },
      refusals: ["conflict", "not_found", "text_gone", ...ON_SUBMITTING],
    },
    config: { moreParts: MOST_TOKENS, isPatient: true },
    onRequest: submission(parts),
    preValidation: [tellIgnored(embedding), noteGiven],
    handler: async (request, reply) => {
      const { encoding_format } = request.body;
      const call = await usingBody(request, async () => {
        return submitCall(parts, request, reply, [embeddingInput(request.body, parts)]);
      });
      const tasks = await endOf(parts, call, reply);
      return tasks === null ? reply : embeddingAnswer(tasks[0]!, encoding_format);
    },
  });
}

/** The one task of a call. @param body one that `noteGiven` has seen @throws {AltLasError} `invalid_input` */
export function embeddingInput(body: EmbeddingBody, { live }: Pick<ServerParts, "live">): TaskInput {
  const request: EmbeddingRequest = {
    kind: "embedding",
    inputs: inputsOf(body.input, live.config.limits.max_text_bytes),
    sampling: NO_SAMPLING,
  };
  return { ...settingsOf(body), ...(!wasGiven(body, "task_type") && { anyModel: true }), request };
}

/** @throws {AltLasError} `invalid_input`: there are too many, or of several kinds in one list */
function inputsOf(input: EmbeddingBody["input"], maxBytes: number): EmbeddingRequest["inputs"] {
  const inputs = typeof input === "string" ? [input] : isTokens(input) ? [input] : [...listOf(input)];
  if (inputs.length > MOST_INPUTS) {
    const sentence = `input must be a list of at most ${MOST_INPUTS}; got ${inputs.length}.`;
    throw new AltLasError("invalid_input", sentence, { param: "input" });
  }
  const texts = inputs.filter((one) => typeof one === "string");
  refuseLonger(texts, "input", maxBytes);
  return inputs.map((one) => (typeof one === "string" ? one.toWellFormed() : one));
}

function isTokens(input: readonly unknown[]): input is readonly number[] {
  return input.every((one) => typeof one === "number");
}

function* listOf(input: readonly (number | string | readonly number[])[]): Iterable<string | readonly number[]> {
  for (const [index, one] of input.entries()) {
    if (typeof one !== "number") {
      yield one;
      continue;
    }
    const sentence = `input[${index}] is a number among texts or lists; one list of tokens has numbers alone.`;
    throw new AltLasError("invalid_input", sentence, { param: `input[${index}]` });
  }
}

export function embeddingAnswer(task: Answered, format: EmbeddingBody["encoding_format"]): EmbeddingAnswer {
  const { result } = task;
  const usage = usageOf([result], 1);
  return {
    object: "list",
    data: (result.embeddings ?? []).map((vector, index) => ({
      object: "embedding",
      index,
      embedding: format === "base64" ? vector : numbersOf(vector),
    })),
    model: modelOf(task),
    ...(usage !== undefined && {
      usage: { prompt_tokens: usage.prompt_tokens, total_tokens: usage.prompt_tokens },
    }),
  };
}
