/**
 * The attributes of a run, as the present conventions for generative AI name them; nothing of what was asked or answered.
 * @see https://github.com/open-telemetry/semantic-conventions-genai
 */
import { TO_THE_END } from "../../request.ts";
import type { Task, TaskResult } from "../../task.ts";
import { Common } from "./common-attributes.ts";
import { keyOf, type SpanBatch } from "./span-batch.ts";

const OPERATIONS = { chat: "chat", completion: "text_completion", embedding: "embeddings" } as const;

const OPERATION = keyOf("gen_ai.operation.name");
const PROVIDER = keyOf("gen_ai.provider.name");
const MODEL = keyOf("gen_ai.request.model");
const MAX_TOKENS = keyOf("gen_ai.request.max_tokens");
const TEMPERATURE = keyOf("gen_ai.request.temperature");
const TOP_P = keyOf("gen_ai.request.top_p");
const TOP_K = keyOf("gen_ai.request.top_k");
const SEED = keyOf("gen_ai.request.seed");
const PRESENCE = keyOf("gen_ai.request.presence_penalty");
const FREQUENCY = keyOf("gen_ai.request.frequency_penalty");
const RESPONSE = keyOf("gen_ai.response.id");
const RAN_MODEL = keyOf("gen_ai.response.model");
const FINISH = keyOf("gen_ai.response.finish_reasons");
const INPUT = keyOf("gen_ai.usage.input_tokens");
const OUTPUT = keyOf("gen_ai.usage.output_tokens");

/** The kind of what a task asks for. */
export function operationOf({ needs }: Pick<Task, "needs">): string {
  for (const need of needs) if (Object.hasOwn(OPERATIONS, need)) return OPERATIONS[need as keyof typeof OPERATIONS];
  return OPERATIONS.completion;
}

const ASKED = new Common((span, operation: string, model: string | null) => {
  span.text(OPERATION, operation);
  span.text(PROVIDER, "alt_las");
  span.text(MODEL, model);
});

type Given = number | undefined;

const SAMPLING = new Common((span, maxTokens: number, temperature: number, topP: Given, topK: Given) => {
  if (maxTokens !== TO_THE_END) span.whole(MAX_TOKENS, maxTokens);
  span.number(TEMPERATURE, temperature);
  span.number(TOP_P, topP);
  span.whole(TOP_K, topK);
});

/** Known when a run begins. @param operation see `operationOf` @param model what it is asked of; null: not known */
export function writeRequest(
  span: SpanBatch,
  task: Readonly<Task>,
  { operation, model }: { readonly operation: string; readonly model: string | null },
): void {
  ASKED.write(span, operation, model);
  if (operation === OPERATIONS.embedding) return;
  const { maxTokens, temperature, topP, topK, seed, presencePenalty, frequencyPenalty } = task.sampling;
  SAMPLING.write(span, maxTokens, temperature, topP, topK);
  // Most tasks have one of their own.
  span.whole(SEED, seed);
  span.number(PRESENCE, presencePenalty);
  span.number(FREQUENCY, frequencyPenalty);
}

/** Known when a run has ended. */
export function writeResponse(span: SpanBatch, task: Readonly<Task>, result: TaskResult): void {
  span.text(RESPONSE, task.id);
  span.text(RAN_MODEL, task.ranModel);
  span.listed(FINISH, result.finishReason);
  span.whole(INPUT, result.promptTokens);
  span.whole(OUTPUT, result.completionTokens);
}
