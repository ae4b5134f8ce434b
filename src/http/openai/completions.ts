/** `POST /v1/completions`: texts are continued as they are, whatever chat template the model has. */
import type { FastifyInstance } from "fastify";
import { AltLasError } from "../../errors.ts";
import type { TaskInput } from "../../task.ts";
import { submission } from "../access.ts";
import { usingBody } from "../bodies.ts";
import { ON_SUBMITTING } from "../openapi.ts";
import type { Pings } from "../pings.ts";
import { NoQuery, shared } from "../schemas/common.ts";
import { ChunksText, CompletionAnswer } from "../schemas/openai-answers.ts";
import type { CompletionBody, OpenAiSchemas } from "../schemas/openai.ts";
import type { ServerParts } from "../server-parts.ts";
import { type Answered, finishReasonOf, frameOf, submitCall } from "./calls.ts";
import { formatOf } from "../forms.ts";
import { COMPLETION_CHUNKS } from "./chunks.ts";
import { samplingsOf, settingsOf, tellIgnored } from "./fields.ts";
import { checkLogprobs, completionLogprobs } from "./logprobs.ts";
import { respond, wishesOf } from "./respond.ts";

export function completionsRoute(
  app: FastifyInstance,
  parts: ServerParts,
  { completion }: OpenAiSchemas,
  pings: Pings,
): void {
  app.route<{ Body: CompletionBody }>({
    method: "POST",
    url: "/completions",
    schema: {
      operationId: "createCompletion",
      summary: "Continue texts, as OpenAI's API does it",
      description: "As `/v1/chat/completions`, for texts that are continued as they are, without a chat template.",
      tags: ["openai"],
      querystring: NoQuery,
      body: completion,
      response: {
        200: {
          content: {
            "application/json": { schema: shared(CompletionAnswer) },
            "text/event-stream": { schema: ChunksText },
          },
        },
      },
      refusals: ["conflict", "not_found", "text_gone", ...ON_SUBMITTING],
    },
    config: { isPatient: true },
    onRequest: submission(parts),
    preValidation: tellIgnored(completion),
    handler: async (request, reply) => {
      const wishes = wishesOf(request.body);
      const call = await usingBody(request, async () =>
        submitCall(parts, request, reply, completionInputs(request.body, parts)),
      );
      return respond({ parts, pings, reply }, call, wishes, { kind: COMPLETION_CHUNKS, whole: completionAnswer });
    },
  });
}

/** The tasks of a call, one for each choice of each prompt. @throws {AltLasError} `invalid_input`, `unsupported` */
export function completionInputs(
  body: CompletionBody,
  { config, live }: Pick<ServerParts, "config" | "live">,
): readonly TaskInput[] {
  const prompts = typeof body.prompt === "string" ? [body.prompt] : body.prompt;
  const most = Math.max(live.config.limits.max_batch_size, body.n);
  if (prompts.length * body.n > most) {
    const sentence = `prompt and n ask for ${prompts.length} × ${body.n} choices; limits.max_batch_size allows ${most}.`;
    throw new AltLasError("invalid_input", sentence, { param: "n" });
  }
  const settings = settingsOf(body);
  const samplings = samplingsOf(body, config.api.openai);
  const format = formatOf(body.response_format, "");
  const logprobs = typeof body.logprobs === "number" ? body.logprobs + 0 : undefined;
  checkLogprobs(logprobs, samplings.length * prompts.length, "logprobs");
  const wanted = {
    ...(format && { format }),
    ...(logprobs !== undefined && { logprobs }),
  };
  return prompts.flatMap((prompt) => {
    // JSON can name half of a surrogate pair, which no encoding of Unicode can store.
    const text = prompt.toWellFormed();
    return samplings.map((sampling): TaskInput => ({
      ...settings,
      request: { kind: "completion", text, raw: true, ...wanted, sampling },
    }));
  });
}

export function completionAnswer(tasks: readonly Answered[], perPrompt: number): CompletionAnswer {
  return {
    ...frameOf("cmpl", tasks, perPrompt),
    object: "text_completion",
    choices: tasks.map(({ result }, index) => ({
      index,
      // There is no field for what a model wrote for itself: here all of it continues the text.
      text: (result.reasoning ?? "") + result.text,
      logprobs: completionLogprobs(result.logprobs, result.reasoning?.length ?? 0),
      finish_reason: finishReasonOf(result),
    })),
  };
}
