/** OpenAI's Responses API: what its clients are answered. */
import { hexOf } from "../../common/uuid.ts";
import { Type, type Static } from "../../common/type.ts";
import { ID_EXAMPLE, oneOf, orNull, shared } from "./common.ts";
import { pageSchema } from "./openai-shared.ts";

export const RESPONSE_STATUSES = ["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"] as const;
export type ResponseStatus = (typeof RESPONSE_STATUSES)[number];

const HEX = hexOf(ID_EXAMPLE);

/** An object of which clients know more than a schema has to say. */
function something<T = object>(description: string) {
  return Type.Unsafe<T>({ type: "object", additionalProperties: true, description });
}

function somethingOrNull<T = object>(description: string) {
  return Type.Unsafe<T | null>({ type: ["object", "null"], additionalProperties: true, description });
}

export interface ResponseUsage {
  readonly input_tokens: number;
  readonly input_tokens_details: { readonly cached_tokens: number };
  readonly output_tokens: number;
  readonly output_tokens_details: { readonly reasoning_tokens: number };
  readonly total_tokens: number;
}

export const ResponseAnswer = Type.Object(
  {
    id: Type.String(),
    object: oneOf(["response"]),
    created_at: Type.Integer({ description: "Unix seconds." }),
    completed_at: orNull<number>("integer", { description: "Unix seconds; null: it has not ended." }),
    status: oneOf(RESPONSE_STATUSES),
    background: Type.Boolean(),
    error: somethingOrNull<{ readonly code: string; readonly message: string }>(
      "Of a failed one: `code`, as errors of this API have it, and `message`.",
    ),
    incomplete_details: somethingOrNull<{ readonly reason: string }>(
      "Of an incomplete one: `reason`, which is max_output_tokens: the maximum, or the end of the context.",
    ),
    instructions: orNull<string>("string"),
    max_output_tokens: orNull<number>("integer"),
    max_tool_calls: Type.Null(),
    model: Type.String({ description: "The model that runs it or ran it, else the one that was asked for." }),
    output: Type.Array(something("An item: reasoning, message or function_call."), {
      description: "Empty until it has ended.",
    }),
    parallel_tool_calls: Type.Boolean(),
    previous_response_id: orNull<string>("string"),
    prompt_cache_key: Type.Null(),
    reasoning: something("Always without an effort."),
    safety_identifier: Type.Null(),
    service_tier: oneOf(["default"]),
    store: Type.Boolean(),
    temperature: Type.Number(),
    text: something("`format`, and `verbosity`, which is medium."),
    tool_choice: Type.Unsafe<string | object>({ type: ["string", "object"], additionalProperties: true }),
    tools: Type.Array(something("A function.")),
    top_logprobs: Type.Integer(),
    top_p: Type.Number(),
    truncation: oneOf(["disabled"]),
    usage: somethingOrNull<ResponseUsage>("null: it has not ended, or the server behind the GPU does not count."),
    user: orNull<string>("string"),
    metadata: something<Readonly<Record<string, string>>>("As it was given."),
  },
  {
    $id: "Response",
    examples: [
      {
        id: `resp_${HEX}`,
        object: "response",
        created_at: 1_754_829_296,
        completed_at: 1_754_829_297,
        status: "completed",
        background: false,
        error: null,
        incomplete_details: null,
        instructions: null,
        max_output_tokens: null,
        max_tool_calls: null,
        model: "demo",
        output: [
          {
            id: `msg_${HEX}_1`,
            type: "message",
            status: "completed",
            role: "assistant",
            content: [{ type: "output_text", text: "Hello!", annotations: [], logprobs: [] }],
          },
        ],
        parallel_tool_calls: true,
        previous_response_id: null,
        prompt_cache_key: null,
        reasoning: { effort: null, summary: null },
        safety_identifier: null,
        service_tier: "default",
        store: true,
        temperature: 1,
        text: { format: { type: "text" }, verbosity: "medium" },
        tool_choice: "auto",
        tools: [],
        top_logprobs: 0,
        top_p: 1,
        truncation: "disabled",
        usage: {
          input_tokens: 9,
          input_tokens_details: { cached_tokens: 0 },
          output_tokens: 2,
          output_tokens_details: { reasoning_tokens: 0 },
          total_tokens: 11,
        },
        user: null,
        metadata: {},
      },
    ],
  },
);
export type ResponseView = Static<typeof ResponseAnswer>;
export const ResponseRef = shared(ResponseAnswer);

export const ResponseEventsText = Type.String({
  description:
    "Server-sent events, in OpenAI's order and of its types; each has a sequence_number, which grows. Comments keep quiet connections open.",
  examples: [
    `event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":524293,"item_id":"msg_${HEX}_1","output_index":0,"content_index":0,"delta":"H","logprobs":[]}\n\n`,
  ],
});

export const ResponseParams = Type.Object({ response_id: Type.String() });

/** Clients send more than is listed here, which means nothing. */
export const ResponseQuery = Type.Object({
  stream: Type.Boolean({ default: false, description: "Answer with its events, from the first one on." }),
  starting_after: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      description: "With stream: only the events behind this sequence_number, also after a restart of the server.",
    }),
  ),
});
export type ResponseQuery = Static<typeof ResponseQuery>;

export const InputItemsQuery = Type.Object({
  limit: Type.Integer({ minimum: 1, maximum: 100, default: 20 }),
  order: oneOf(["asc", "desc"], { default: "desc", description: "desc: the last one first." }),
  after: Type.Optional(Type.String({ description: "The id of an item: those behind it in this order." })),
});
export type InputItemsQuery = Static<typeof InputItemsQuery>;

export const InputItemsAnswer = pageSchema(
  something("An item of the input: message, function_call or function_call_output."),
);
export type InputItemsAnswer = Static<typeof InputItemsAnswer>;

export const ResponseDeleted = Type.Object({
  id: Type.String(),
  object: oneOf(["response"]),
  deleted: Type.Boolean(),
});
