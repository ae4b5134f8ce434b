/** `POST /api/embed`, and `POST /api/embeddings` from before it: one task makes all vectors of a call. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { numbersOf } from "../../common/vectors.ts";
import { NO_SAMPLING } from "../../request.ts";
import { submission } from "../access.ts";
import { usingBody } from "../bodies.ts";
import { type Done, endOf, submitCall } from "../openai/calls.ts";
import { ON_SUBMITTING } from "../openapi.ts";
import { NoQuery } from "../schemas/common.ts";
import { refuseLonger } from "../schemas/messages.ts";
import type { OllamaEmbed, OllamaEmbeddings, OllamaSchemas } from "../schemas/ollama.ts";
import { OllamaEmbedAnswer, OllamaEmbeddingsAnswer } from "../schemas/ollama-answers.ts";
import type { SharedFields } from "../schemas/openai.ts";
import type { ServerParts } from "../server-parts.ts";
import { ollamaSettings, tellIgnored } from "./fields.ts";
import { durationsOf } from "./lines.ts";
import { loadOrUnload } from "./residence.ts";

const REFUSALS = ["conflict", "not_found", "text_gone", ...ON_SUBMITTING] as const;

export function ollamaEmbedRoute(app: FastifyInstance, parts: ServerParts, { embed }: OllamaSchemas): void {
  app.route<{ Body: OllamaEmbed }>({
    method: "POST",
    url: "/embed",
    schema: {
      operationId: "ollamaEmbed",
      summary: "Make vectors of texts, as Ollama's API does it",
      description: "The vectors have the length 1. A text that is too long is refused and not cut.",
      tags: ["ollama"],
      querystring: NoQuery,
      body: embed,
      response: { 200: OllamaEmbedAnswer },
      refusals: [...REFUSALS],
    },
    config: { isPatient: true },
    onRequest: submission(parts),
    preValidation: tellIgnored(embed),
    handler: async (request, reply) => {
      const { model, input } = request.body;
      const inputs = typeof input === "string" ? [input].filter((text) => text !== "") : input;
      if (inputs.length === 0) {
        await loadOrUnload(parts, request, reply, request.body);
        return { model, embeddings: [] };
      }
      const task = await embedded(parts, request, reply, inputs, "input");
      return task === null ? reply : embedAnswer(model, task);
    },
  });
}

export function ollamaEmbeddingsRoute(app: FastifyInstance, parts: ServerParts, { embeddings }: OllamaSchemas): void {
  app.route<{ Body: OllamaEmbeddings }>({
    method: "POST",
    url: "/embeddings",
    schema: {
      operationId: "ollamaEmbeddings",
      summary: "Make the vector of a text; what /api/embed has replaced",
      tags: ["ollama"],
      querystring: NoQuery,
      body: embeddings,
      response: { 200: OllamaEmbeddingsAnswer },
      refusals: [...REFUSALS],
    },
    config: { isPatient: true },
    onRequest: submission(parts),
    preValidation: tellIgnored(embeddings),
    handler: async (request, reply) => {
      const { prompt } = request.body;
      if (prompt === "") {
        await loadOrUnload(parts, request, reply, request.body);
        return { embedding: [] };
      }
      const task = await embedded(parts, request, reply, [prompt], "prompt");
      return task === null ? reply : { embedding: vectorsOf(task)[0] ?? [] };
    },
  });
}

type EmbedRequest = FastifyRequest<{ Body: Omit<SharedFields, "model"> & { readonly model: string } }>;

/** @returns null: its client has left */
async function embedded(
  parts: ServerParts,
  request: EmbedRequest,
  reply: FastifyReply,
  given: readonly string[],
  field: string,
): Promise<Done | null> {
  const call = await usingBody(request, async () => {
    const inputs = given.map((text) => text.toWellFormed());
    refuseLonger(inputs, field, parts.live.config.limits.max_text_bytes);
    const settings = ollamaSettings(parts, request.body);
    return submitCall(parts, request, reply, [
      { ...settings, request: { kind: "embedding", inputs, sampling: NO_SAMPLING } },
    ]);
  });
  const tasks = await endOf(parts, call, reply);
  return tasks === null ? null : tasks[0]!;
}

function vectorsOf({ result: { embeddings = [] } }: Done): number[][] {
  return embeddings.map((vector) => [...numbersOf(vector)]);
}

function embedAnswer(model: string, task: Done): OllamaEmbedAnswer {
  const { total_duration, load_duration } = durationsOf(task);
  const { promptTokens } = task.result;
  return {
    model,
    embeddings: vectorsOf(task),
    total_duration,
    load_duration,
    ...(promptTokens !== null && { prompt_eval_count: promptTokens }),
  };
}
