/** OpenAI's API: what its clients are answered. */
import { hexOf } from "../../common/uuid.ts";
import { Type, type Static } from "../../common/type.ts";
import { ID_EXAMPLE, oneOf, orNull, shared } from "./common.ts";
import { TokenLogprobView, ToolCallView } from "./tasks.ts";
import { writtenAsItIs } from "./long-lists.ts";

const Usage = Type.Object(
  {
    prompt_tokens: Type.Integer(),
    completion_tokens: Type.Optional(Type.Integer()),
    total_tokens: Type.Integer(),
    prompt_tokens_details: Type.Optional(Type.Object({ cached_tokens: Type.Integer() })),
  },
  { description: "Left out where the server behind the GPU does not count." },
);
export type Usage = Static<typeof Usage>;

const NOT_ASKED = "null: they were not asked for.";

export interface ChatLogprobs {
  readonly content: readonly TokenLogprobView[];
  readonly refusal: null;
}

const ChatLogprobs = Type.Unsafe<ChatLogprobs | null>({
  type: ["object", "null"],
  properties: { content: writtenAsItIs(Type.Array(TokenLogprobView)), refusal: Type.Null() },
  required: ["content", "refusal"],
  description: `Of the tokens of the content; ${NOT_ASKED}`,
});

/** Lists of one length, with a place for each token. */
export interface CompletionLogprobs {
  readonly tokens: readonly string[];
  readonly token_logprobs: readonly number[];
  readonly top_logprobs: readonly Readonly<Record<string, number>>[];
  readonly text_offset: readonly number[];
}

const CompletionLogprobs = Type.Unsafe<CompletionLogprobs | null>({
  type: ["object", "null"],
  properties: {
    tokens: writtenAsItIs(Type.Array(Type.String())),
    token_logprobs: writtenAsItIs(Type.Array(Type.Number())),
    top_logprobs: writtenAsItIs(Type.Array(Type.Record(Type.String(), Type.Number()))),
    text_offset: Type.Array(Type.Integer({ description: "Where it begins in the text, in UTF-16 units." })),
  },
  required: ["tokens", "token_logprobs", "top_logprobs", "text_offset"],
  description: `Of the tokens of the text; ${NOT_ASKED}`,
});

const created = Type.Integer({ description: "Unix seconds." });
const model = Type.String({ description: "The model that ran." });
const HEX = hexOf(ID_EXAMPLE);

export const ChatAnswer = Type.Object(
  {
    id: Type.String(),
    object: oneOf(["chat.completion"]),
    created,
    model,
    choices: Type.Array(
      Type.Object({
        index: Type.Integer(),
        message: Type.Object({
          role: oneOf(["assistant"]),
          content: orNull<string>("string", { description: "null: the answer is calls of tools alone." }),
          tool_calls: Type.Optional(Type.Array(ToolCallView, { description: "The tools that the model asks for." })),
          reasoning_content: Type.Optional(Type.String({ description: "What the model wrote for itself before." })),
          refusal: Type.Null({ description: "Always null." }),
        }),
        logprobs: ChatLogprobs,
        finish_reason: oneOf(["stop", "length", "tool_calls"]),
      }),
    ),
    usage: Type.Optional(Usage),
  },
  {
    $id: "ChatCompletion",
    examples: [
      {
        id: `chatcmpl-${HEX}`,
        object: "chat.completion",
        created: 1_754_829_296,
        model: "demo",
        choices: [
          {
            index: 0,
            message: { role: "assistant", content: "Hello!", refusal: null },
            logprobs: null,
            finish_reason: "stop",
          },
        ],
        usage: {
          prompt_tokens: 9,
          completion_tokens: 2,
          total_tokens: 11,
          prompt_tokens_details: { cached_tokens: 0 },
        },
      },
    ],
  },
);
export type ChatAnswer = Static<typeof ChatAnswer>;

export const CompletionAnswer = Type.Object(
  {
    id: Type.String(),
    object: oneOf(["text_completion"]),
    created,
    model,
    choices: Type.Array(
      Type.Object({
        index: Type.Integer(),
        text: Type.String(),
        logprobs: CompletionLogprobs,
        finish_reason: oneOf(["stop", "length"]),
      }),
    ),
    usage: Type.Optional(Usage),
  },
  {
    $id: "Completion",
    examples: [
      {
        id: `cmpl-${HEX}`,
        object: "text_completion",
        created: 1_754_829_296,
        model: "demo",
        choices: [{ index: 0, text: " there was", logprobs: null, finish_reason: "length" }],
        usage: { prompt_tokens: 4, completion_tokens: 2, total_tokens: 6, prompt_tokens_details: { cached_tokens: 0 } },
      },
    ],
  },
);
export type CompletionAnswer = Static<typeof CompletionAnswer>;

export const EmbeddingAnswer = Type.Object(
  {
    object: oneOf(["list"]),
    data: Type.Array(
      Type.Object({
        object: oneOf(["embedding"]),
        index: Type.Integer(),
        embedding: Type.Unsafe<string | readonly number[]>({
          type: ["array", "string"],
          items: { type: "number" },
          description: "A unit vector, as encoding_format says.",
        }),
      }),
    ),
    model,
    usage: Type.Optional(Usage),
  },
  {
    $id: "Embeddings",
    examples: [
      {
        object: "list",
        data: [{ object: "embedding", index: 0, embedding: [0.6, 0.8] }],
        model: "minilm",
        usage: { prompt_tokens: 3, total_tokens: 3 },
      },
    ],
  },
);
export type EmbeddingAnswer = Static<typeof EmbeddingAnswer>;

export const ChunksText = Type.String({
  description:
    "Server-sent events, each a chunk; the last one is [DONE]. An error after the first is an event with `error`.",
  examples: [
    `data: {"id":"chatcmpl-${HEX}","object":"chat.completion.chunk","created":1754829296,"model":"demo","choices":[{"index":0,"delta":{"content":"Hello"},"logprobs":null,"finish_reason":null}]}\n\ndata: [DONE]\n\n`,
  ],
});

export const OpenAiModel = Type.Object(
  {
    id: Type.String(),
    object: oneOf(["model"]),
    created,
    owned_by: Type.String(),
    context_length: Type.Unsafe<number | null>({ type: ["integer", "null"], description: "Tokens; null: not known." }),
    capabilities: Type.Array(Type.String(), { description: "What it can do, as in GET /api/v1/gpus." }),
  },
  {
    $id: "Model",
    examples: [
      {
        id: "demo",
        object: "model",
        created: 1_754_829_296,
        owned_by: "alt-las",
        context_length: 8192,
        capabilities: ["chat", "completion", "embedding"],
      },
    ],
  },
);
export type OpenAiModel = Static<typeof OpenAiModel>;
/** As the router calls what follows `models/`; the document calls it `model`. */
export const ModelParams = Type.Object({ "*": Type.String({ description: "A model's name; it may have slashes." }) });
/** Where something follows the name. */
export const NameParams = Type.Object({ model: Type.String({ description: "A model's name; it may have slashes." }) });

export const ModelRef = shared(OpenAiModel);
export const ModelsAnswer = Type.Object({ object: oneOf(["list"]), data: Type.Array(ModelRef) });

export const OpenAiFailure = Type.Object(
  {
    error: Type.Object({
      message: Type.String({ description: "A sentence a person can act on." }),
      type: Type.String({ description: "The kind of failure, by its status." }),
      param: Type.Unsafe<string | null>({ type: ["string", "null"], description: "The field at fault." }),
      code: Type.String({ description: "A stable name for this kind of failure." }),
    }),
  },
  {
    $id: "OpenAIError",
    examples: [
      {
        error: {
          message: "messages is missing; it must be a list.",
          type: "invalid_request_error",
          param: "messages",
          code: "invalid_input",
        },
      },
    ],
  },
);
export type OpenAiFailure = Static<typeof OpenAiFailure>;
export const OpenAiFailureRef = shared(OpenAiFailure);
