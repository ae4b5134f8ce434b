/**
 * The attributes of a run, as the present conventions for generative AI name them; nothing of what was asked or answered.
 * @see https://github.com/open-telemetry/semantic-conventions-genai
 */
import { type Attributes } from "@opentelemetry/api";
import { TO_THE_END } from "../../request.ts";
import { type Task, type TaskResult } from "../../task.ts";

const OPERATIONS = { chat: "chat", completion: "text_completion", embedding: "embeddings" } as const;

/** The kind of what a task asks for. */
export function operationOf({ needs }: Pick<Task, "needs">): string {
  const need = needs.find((one) => one in OPERATIONS) as keyof typeof OPERATIONS | undefined;
  return OPERATIONS[need ?? "completion"];
}

/** Known when a run begins. */
export function requestAttributes(task: Readonly<Task>): Attributes {
  const { maxTokens, temperature, topP, topK, seed, presencePenalty, frequencyPenalty } = task.sampling;
  const isText = operationOf(task) !== "embeddings";
  return {
    "gen_ai.operation.name": operationOf(task),
    "gen_ai.provider.name": "alt_las",
    "gen_ai.request.model": task.model ?? task.ranModel ?? undefined,
    ...(isText && {
      "gen_ai.request.max_tokens": maxTokens === TO_THE_END ? undefined : maxTokens,
      "gen_ai.request.temperature": temperature,
      "gen_ai.request.top_p": topP,
      "gen_ai.request.top_k": topK,
      "gen_ai.request.seed": seed,
      "gen_ai.request.presence_penalty": presencePenalty,
      "gen_ai.request.frequency_penalty": frequencyPenalty,
    }),
  };
}

/** Known when a run has ended. */
export function responseAttributes(task: Readonly<Task>, result: TaskResult): Attributes {
  return {
    "gen_ai.response.id": task.id,
    "gen_ai.response.model": task.ranModel ?? undefined,
    "gen_ai.response.finish_reasons": [result.finishReason],
    "gen_ai.usage.input_tokens": result.promptTokens ?? undefined,
    "gen_ai.usage.output_tokens": result.completionTokens,
  };
}
