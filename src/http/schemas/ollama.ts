/** Ollama's API: what clients of it send. Unknown fields are allowed everywhere, as there. */
import { Type, type Static } from "../../common/type.ts";
import type { Config } from "../../config/config.ts";
import { oneOf } from "./common.ts";
import { formFields, MOST_LOGPROBS } from "./forms.ts";
import { MOST_INPUTS } from "./openai.ts";
import { noList, nothing, only, sharedFields } from "./openai-shared.ts";
import { samplingFields } from "./sampling.ts";

type Settings = Pick<Config, "limits" | "gpu" | "tasks">;

/** The bodies of requests, with the limits and defaults of this configuration. */
export function ollamaSchemas(settings: Settings) {
  return {
    chat: chatSchema(settings),
    generate: generateSchema(settings),
    embed: embedSchema(settings),
    embeddings: embeddingsSchema(settings),
  };
}

export type OllamaSchemas = ReturnType<typeof ollamaSchemas>;
export type OllamaChat = Static<OllamaSchemas["chat"]>;
export type OllamaGenerate = Static<OllamaSchemas["generate"]>;
export type OllamaEmbed = Static<OllamaSchemas["embed"]>;
export type OllamaEmbeddings = Static<OllamaSchemas["embeddings"]>;
export type OllamaMessage = Static<typeof Message>;
export type OllamaOptions = Static<typeof Options>;
/** The fields that calls for text share. */
export type OllamaText = Pick<OllamaChat, keyof typeof textFields>;

const { presence_penalty, frequency_penalty, stop } = samplingFields;

/** The defaults are Ollama's, as far as it has them. */
const Options = Type.Object(
  {
    num_predict: Type.Optional(
      Type.Integer({
        minimum: -2,
        description:
          "Tokens to generate at most; 0 and less: to the end of the context. Without it, api.openai.default_max_tokens, else the same.",
      }),
    ),
    temperature: Type.Number({ minimum: 0, maximum: 2, default: 0.8, description: "0 is greedy." }),
    top_k: Type.Optional(
      Type.Integer({ minimum: 0, description: "Only so many of the likeliest tokens; 0: all. Without it, 40." }),
    ),
    top_p: Type.Number({
      minimum: 0,
      maximum: 1,
      default: 0.9,
      description: "Only the likeliest tokens that have this much of the probability together; 1: all.",
    }),
    min_p: Type.Number({
      minimum: 0,
      maximum: 1,
      default: 0,
      description: "Only tokens with at least this share of the likeliest one's probability; 0: all.",
    }),
    seed: Type.Optional(
      Type.Integer({ description: "32 bits of it count. Less than 0, or without it: one is drawn." }),
    ),
    presence_penalty,
    frequency_penalty,
    stop,
    num_ctx: Type.Optional(
      Type.Integer({ description: "Reloads nothing: a model has the context that it is served with." }),
    ),
  },
  { default: {}, description: "Those that are not known are ignored, and named in `X-Ignored-Fields`." },
);

const Name = Type.String({
  minLength: 1,
  maxBytes: 512,
  description: "The name of the model; `:latest` behind it means nothing where the model's own name has no such end.",
});

const keepAlive = Type.Optional(
  Type.Unsafe<string | number>({
    type: ["string", "number"],
    allowed: 'seconds, or a text like "5m"',
    description: "Means nothing beside a prompt. Without one, 0 has the model unloaded, and all else has it loaded.",
  }),
);

const textFields = {
  stream: Type.Boolean({ default: true, description: "Answer with lines of JSON as they come about." }),
  format: Type.Optional(
    Type.Unsafe<string | Readonly<Record<string, unknown>>>({
      anyOf: [{ type: "string", enum: ["json", ""] }, { type: "object" }],
      allowed: '"json" or a JSON schema, which is an object',
      description:
        'The form of the text, unless it is cut off: "json": an object in JSON; a schema: JSON that matches.',
    }),
  ),
  options: Options,
  keep_alive: keepAlive,
  think: Type.Optional(
    Type.Unsafe<boolean | string>({
      anyOf: [{ type: "boolean" }, { type: "string", enum: ["low", "medium", "high"] }],
      allowed: 'true, false, "low", "medium" or "high"',
      description:
        "false: what the model writes for itself before its answer is left out of it; else it is there as `thinking`. Models cannot be told how long to reason.",
    }),
  ),
  logprobs: Type.Optional(
    Type.Boolean({ description: "Whether the tokens of the answer are told with their probabilities." }),
  ),
  top_logprobs: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: MOST_LOGPROBS,
      description: `0 to ${MOST_LOGPROBS}: so many of the likeliest tokens in the place of each; it needs logprobs.`,
    }),
  ),
};

const images = Type.Optional(noList("an empty list, as models here see no images"));

const Message = Type.Object(
  {
    role: oneOf(["system", "user", "assistant", "tool"]),
    content: Type.Optional(Type.String()),
    thinking: Type.Optional(Type.String({ description: "Is not shown to the model." })),
    images,
    tool_calls: Type.Optional(
      Type.Array(
        Type.Object(
          {
            id: Type.Optional(Type.String({ minLength: 1 })),
            function: Type.Object(
              {
                name: Type.String({ minLength: 1 }),
                arguments: Type.Optional(
                  Type.Unsafe<string | Readonly<Record<string, unknown>>>({
                    type: ["object", "string"],
                    allowed: "an object",
                    description: "An object; a text that is JSON is taken, too.",
                  }),
                ),
              },
              { allowed: "an object with name and arguments" },
            ),
          },
          { allowed: "an object with function" },
        ),
        { maxItems: 128, description: "Of an assistant: the calls that it has made." },
      ),
    ),
    tool_name: Type.Optional(Type.String({ description: "Of a tool's message: the tool's name." })),
    tool_call_id: Type.Optional(Type.String({ description: "Of a tool's message: the call that it answers." })),
  },
  { allowed: "an object with role and content" },
);

function chatSchema(settings: Settings) {
  return Type.Object(
    {
      ...callerFields(settings),
      model: Name,
      messages: Type.Array(Message, {
        default: [],
        maxItems: 1000,
        allowed: "a list of at most 1000 messages, each with role and content",
        description: "The conversation, with at least one message of the user. Empty: the model is loaded.",
      }),
      tools: formFields(false).tools,
      ...textFields,
    },
    { title: "OllamaChatRequest", examples: [{ model: "demo", messages: [{ role: "user", content: "Hello" }] }] },
  );
}

function generateSchema(settings: Settings) {
  const { max_text_bytes: maxBytes } = settings.limits;
  return Type.Object(
    {
      ...callerFields(settings),
      model: Name,
      prompt: Type.String({ maxBytes, default: "", description: "What to answer. Empty: the model is loaded." }),
      system: Type.Optional(Type.String({ maxBytes, description: "A message of the system before it." })),
      raw: Type.Boolean({ default: false, description: "Whether the prompt is continued as it is." }),
      suffix: Type.Optional(only("string", [""], "left out, as models here only continue a text")),
      template: Type.Optional(only("string", [""], "left out, as models here have their own chat templates")),
      context: Type.Optional(noList("an empty list: /api/chat takes a conversation")),
      images,
      ...textFields,
    },
    { title: "OllamaGenerateRequest", examples: [{ model: "demo", prompt: "Why is the sky blue?" }] },
  );
}

function embedSchema(settings: Settings) {
  const text = { minLength: 1, maxBytes: settings.limits.max_text_bytes };
  const allowed = `a text, or a list of at most ${MOST_INPUTS} texts, none empty`;
  return Type.Object(
    {
      ...callerFields(settings),
      model: Name,
      input: Type.Unsafe<string | readonly string[]>({
        type: ["string", "array"],
        maxBytes: text.maxBytes,
        maxItems: MOST_INPUTS,
        items: Type.String({ ...text, allowed: "a text that is not empty" }),
        default: [],
        allowed,
        description: `What to make vectors of: ${allowed}.`,
      }),
      options: Type.Optional(Type.Object({})),
      keep_alive: keepAlive,
      dimensions: Type.Optional(nothing("left out, as vectors are not cut short here")),
    },
    { title: "OllamaEmbedRequest", examples: [{ model: "minilm", input: ["a text", "another"] }] },
  );
}

function embeddingsSchema(settings: Settings) {
  return Type.Object(
    {
      ...callerFields(settings),
      model: Name,
      prompt: Type.String({ maxBytes: settings.limits.max_text_bytes, default: "" }),
      options: Type.Optional(Type.Object({})),
      keep_alive: keepAlive,
    },
    { title: "OllamaEmbeddingsRequest", examples: [{ model: "minilm", prompt: "a text" }] },
  );
}

/** The fields that all calls have beside Ollama's own. */
function callerFields(settings: Settings) {
  const { gpu_options, priority, task_type } = sharedFields(settings);
  return { gpu_options, priority, task_type };
}

/** Clients name it in two ways. */
export const ModelRequest = Type.Object(
  { model: Type.Optional(Name), name: Type.Optional(Name) },
  { title: "OllamaModelRequest", examples: [{ model: "demo" }] },
);
export type ModelRequest = Static<typeof ModelRequest>;
