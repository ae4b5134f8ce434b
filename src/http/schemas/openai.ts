/** OpenAI's API: what clients of it send. Unknown fields are allowed everywhere, as there. */
import { Type, type Static } from "../../common/type.ts";
import { oneOf } from "./common.ts";
import { formFields, MOST_LOGPROBS } from "./forms.ts";
import { Content, toolFields } from "./messages.ts";
import { noList, nothing, only, type Settings, sharedFields } from "./openai-shared.ts";
import { responseSchema } from "./responses.ts";
import { samplingFields } from "./sampling.ts";
import { storeField } from "./submissions.ts";

/** Choices of one request; each is a task. */
export const MOST_CHOICES = 128;
export const MOST_INPUTS = 2048;

/** The bodies of requests, with the limits and defaults of this configuration. */
export function openAiSchemas(settings: Settings) {
  return {
    chat: chatSchema(settings),
    completion: completionSchema(settings),
    embedding: embeddingSchema(settings),
    response: responseSchema(settings),
  };
}

export type OpenAiSchemas = ReturnType<typeof openAiSchemas>;
export type ChatBody = Static<OpenAiSchemas["chat"]>;
export type CompletionBody = Static<OpenAiSchemas["completion"]>;
export type EmbeddingBody = Static<OpenAiSchemas["embedding"]>;
export type ResponseBody = Static<OpenAiSchemas["response"]>;
export type OpenAiMessage = Static<typeof Message>;
export type SharedFields = Pick<ChatBody, "model" | "gpu_options" | "priority" | "task_type">;
export type GenerationBody = Pick<ChatBody, "n" | "stream" | "stream_options">;
export type SamplingRequest = Pick<
  CompletionBody,
  Exclude<keyof typeof generationFields, "stream" | "stream_options">
> &
  Pick<ChatBody, "max_completion_tokens">;

const { presence_penalty, frequency_penalty, logit_bias, stop } = samplingFields;

/** Of every call that makes tasks and keeps no response. */
function callFields(settings: Settings) {
  return { ...sharedFields(settings), store: storeField };
}

/** OpenAI's defaults, which cut nothing off. */
const generationFields = {
  max_tokens: Type.Optional(
    Type.Integer({
      minimum: 1,
      description:
        "Tokens to generate at most; without it, api.openai.default_max_tokens, else to the end of the context.",
    }),
  ),
  temperature: Type.Number({ minimum: 0, maximum: 2, default: 1, description: "0 is greedy." }),
  top_p: Type.Number({
    minimum: 0,
    maximum: 1,
    default: 1,
    description: "Only the likeliest tokens that have this much of the probability together; 1: all.",
  }),
  top_k: Type.Integer({ minimum: 0, default: 0, description: "Only so many of the likeliest tokens; 0: all." }),
  min_p: Type.Number({
    minimum: 0,
    maximum: 1,
    default: 0,
    description: "Only tokens with at least this share of the likeliest one's probability; 0: all.",
  }),
  seed: Type.Optional(Type.Integer({ description: "Choice k has seed + k, of which 32 bits count." })),
  presence_penalty,
  frequency_penalty,
  logit_bias,
  stop,
  n: Type.Integer({
    minimum: 1,
    maximum: MOST_CHOICES,
    default: 1,
    description: "Choices; each is a task of its own, queued like others.",
  }),
  stream: Type.Boolean({ default: false, description: "Answer with chunks as they come about." }),
  stream_options: Type.Optional(
    Type.Object({
      include_usage: Type.Boolean({ default: false, description: "One more chunk at the end, with the usage." }),
    }),
  ),
};

const Message = Type.Object(
  {
    role: oneOf(["system", "developer", "user", "assistant", "tool", "function"]),
    content: Type.Optional(Content),
    ...toolFields,
  },
  { allowed: "an object with role and content" },
);

function chatSchema(settings: Settings) {
  return Type.Object(
    {
      messages: Type.Array(Message, {
        minItems: 1,
        maxItems: 1000,
        allowed: "a list of 1 to 1000 messages, each with role and content",
        description: "The conversation; one message at least is the user's. Parts of a content must be texts.",
      }),
      max_completion_tokens: Type.Optional(Type.Integer({ minimum: 1, description: "As max_tokens." })),
      ...generationFields,
      ...callFields(settings),
      ...FORM,
      ...formsOfOthers,
      ...chatOnly,
    },
    { title: "ChatCompletionRequest", examples: [{ model: "demo", messages: [{ role: "user", content: "Hello" }] }] },
  );
}

const FORM = formFields(false);

const IN_ITS_PLACE = "left out: response_format says here what the answer has to be";
/** By which other servers are told what an answer has to be. Ignored, they would let through what the client cannot read. */
const formsOfOthers = {
  guided_json: Type.Optional(nothing(IN_ITS_PLACE)),
  guided_regex: Type.Optional(nothing(IN_ITS_PLACE)),
  guided_choice: Type.Optional(nothing(IN_ITS_PLACE)),
  guided_grammar: Type.Optional(nothing(IN_ITS_PLACE)),
  structured_outputs: Type.Optional(nothing(IN_ITS_PLACE)),
  json_schema: Type.Optional(nothing(IN_ITS_PLACE)),
  grammar: Type.Optional(only("string", [""], IN_ITS_PLACE)),
  regex: Type.Optional(nothing(IN_ITS_PLACE)),
  ebnf: Type.Optional(nothing(IN_ITS_PLACE)),
};

const LIKELIEST = `0 to ${MOST_LOGPROBS}: so many of the likeliest tokens in the place of each`;

/** Fields that would change the answer and cannot be honoured; the values that change nothing pass. */
const chatOnly = {
  logprobs: Type.Optional(
    Type.Boolean({ description: "Whether the tokens of the content are told with their probabilities." }),
  ),
  top_logprobs: Type.Optional(
    Type.Integer({ minimum: 0, maximum: MOST_LOGPROBS, description: `${LIKELIEST}; it needs logprobs.` }),
  ),
  functions: Type.Optional(noList("an empty list: tools has taken its place")),
  function_call: Type.Optional(only("string", ["none", "auto"], '"none" or "auto": tool_choice has taken its place')),
  modalities: Type.Optional(
    Type.Array(only("string", ["text"], '"text", as models here give nothing else'), {
      maxItems: 1,
      unsupported: true,
      allowed: '["text"], as models here give nothing else',
    }),
  ),
  audio: Type.Optional(nothing("left out, as models here give text alone")),
  web_search_options: Type.Optional(nothing("left out, as nothing is searched here")),
  reasoning_effort: Type.Optional(nothing("left out, as models here cannot be told how long to reason")),
  verbosity: Type.Optional(only("string", ["medium"], '"medium", as models here cannot be told how much to say')),
};

function completionSchema(settings: Settings) {
  const { max_text_bytes, max_batch_size } = settings.limits;
  const allowed = `a string that is not empty, or a list of 1 to ${max_batch_size} of these`;
  return Type.Object(
    {
      prompt: Type.Unsafe<string | readonly string[]>({
        type: ["string", "array"],
        minLength: 1,
        maxBytes: max_text_bytes,
        minItems: 1,
        maxItems: max_batch_size,
        items: Type.String({
          minLength: 1,
          maxBytes: max_text_bytes,
          allowed: "a string that is not empty; lists of tokens are taken by /v1/embeddings alone",
        }),
        allowed,
        description: "The text to continue, as it is; or several, of which each has choices of its own.",
      }),
      ...generationFields,
      ...callFields(settings),
      suffix: Type.Optional(only("string", [""], "left out, as models here only continue a text")),
      best_of: Type.Optional(only("integer", [1], "1, as answers are not compared here")),
      echo: Type.Optional(only("boolean", [false], "false, as the prompt is not repeated here")),
      response_format: FORM.response_format,
      ...formsOfOthers,
      logprobs: Type.Optional(
        Type.Unsafe<number | false>({
          type: ["integer", "boolean"],
          minimum: 0,
          maximum: MOST_LOGPROBS,
          not: { const: true },
          allowed: `an integer from 0 to ${MOST_LOGPROBS}`,
          description: `The tokens are told with their probabilities. ${LIKELIEST}.`,
        }),
      ),
    },
    { title: "CompletionRequest", examples: [{ model: "demo", prompt: "Once upon a time" }] },
  );
}

/** A text, or the numbers of its tokens. */
type Input = string | readonly number[];

function embeddingSchema(settings: Settings) {
  const text = { minLength: 1, maxBytes: settings.limits.max_text_bytes };
  const token = { minimum: 0, maximum: 2 ** 31 - 1 };
  const allowed = `a text, a list of tokens, or a list of 1 to ${MOST_INPUTS} of these, none empty`;
  return Type.Object(
    {
      input: Type.Unsafe<string | readonly number[] | readonly Input[]>({
        type: ["string", "array"],
        ...text,
        minItems: 1,
        items: {
          type: ["string", "integer", "array"],
          ...text,
          ...token,
          minItems: 1,
          items: { type: "integer", ...token, allowed: "the number of a token" },
          allowed: "a text or a list of tokens, not empty, or the number of a token",
        },
        allowed,
        description: `What to make vectors of: ${allowed}.`,
      }),
      encoding_format: oneOf(["float", "base64"], {
        default: "float",
        description: "base64: little-endian 32-bit floats.",
      }),
      ...callFields(settings),
      dimensions: Type.Optional(nothing("left out, as vectors are not cut short here")),
    },
    { title: "EmbeddingRequest", examples: [{ model: "minilm", input: ["a text", "another"] }] },
  );
}
