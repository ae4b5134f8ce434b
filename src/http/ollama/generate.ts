/** `POST /api/generate`. */
import type { FastifyInstance } from "fastify";
import { AltLasError } from "../../errors.ts";
import type { TextRequest } from "../../request.ts";
import type { TaskInput } from "../../task.ts";
import { submission } from "../access.ts";
import { ON_SUBMITTING } from "../openapi.ts";
import type { Pings } from "../pings.ts";
import { NoQuery } from "../schemas/common.ts";
import type { OllamaGenerate, OllamaSchemas } from "../schemas/ollama.ts";
import { OllamaGenerateAnswer } from "../schemas/ollama-answers.ts";
import type { ServerParts } from "../server-parts.ts";
import { ollamaSampling, ollamaSettings, tellIgnored, wantedOf } from "./fields.ts";
import type { Said } from "./lines.ts";
import { answer, textOrLines } from "./respond.ts";

export function ollamaGenerateRoute(
  app: FastifyInstance,
  parts: ServerParts,
  { generate }: OllamaSchemas,
  pings: Pings,
): void {
  app.route<{ Body: OllamaGenerate }>({
    method: "POST",
    url: "/generate",
    schema: {
      operationId: "ollamaGenerate",
      summary: "Answer a prompt, as Ollama's API does it",
      description:
        "As `/api/chat`, for one prompt, which is a message of the user where the model has a chat template, unless it is `raw`.",
      tags: ["ollama"],
      querystring: NoQuery,
      body: generate,
      response: { 200: textOrLines(OllamaGenerateAnswer) },
      refusals: ["conflict", "not_found", "text_gone", ...ON_SUBMITTING],
    },
    config: { isPatient: true },
    onRequest: submission(parts),
    preValidation: tellIgnored(generate),
    handler: (request, reply) =>
      answer(
        { parts, pings, request, reply },
        {
          isEmpty: request.body.prompt === "",
          input: () => generateInput(request.body, parts),
          fields: generateFields,
        },
      ),
  });
}

function generateInput(body: OllamaGenerate, parts: ServerParts): TaskInput {
  const { default_max_tokens: most } = parts.config.api.openai;
  const sampling = ollamaSampling(body.options, most);
  return { ...ollamaSettings(parts, body), request: { ...promptOf(body), ...wantedOf(body), sampling } };
}

type Prompt =
  | Pick<Extract<TextRequest, { kind: "completion" }>, "kind" | "text" | "raw">
  | Pick<Extract<TextRequest, { kind: "chat" }>, "kind" | "messages">;

/** @throws {AltLasError} `invalid_input` */
function promptOf({ prompt, system = "", raw }: OllamaGenerate): Prompt {
  // JSON can name half of a surrogate pair, which no encoding of Unicode can store.
  const text = prompt.toWellFormed();
  if (system === "") return { kind: "completion", text, raw };
  if (raw) {
    const sentence = "system must be left out where raw is true: the prompt is continued as it is.";
    throw new AltLasError("invalid_input", sentence, { param: "system" });
  }
  const messages = [
    { role: "system", content: system.toWellFormed() },
    { role: "user", content: text },
  ] as const;
  return { kind: "chat", messages };
}

function generateFields({ content, thinking }: Said): Pick<OllamaGenerateAnswer, "response" | "thinking"> {
  return { response: content, ...(thinking !== undefined && { thinking }) };
}
