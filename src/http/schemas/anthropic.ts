/** Anthropic's API: what clients of it send. Unknown fields are allowed everywhere, as there. */
import { Type, type Static } from "../../common/type.ts";
import type { Config } from "../../config/config.ts";
import type { JsonSchema } from "../../request.ts";
import { oneOf } from "./common.ts";
import { MOST_TOOLS } from "./forms.ts";
import { noList, nothing, sharedFields } from "./openai-shared.ts";
import { samplingFields } from "./sampling.ts";

const MAX_MESSAGES = 10_000;
const MAX_BLOCKS = 1000;

type Settings = Pick<Config, "limits" | "gpu" | "tasks">;

/** The bodies of requests, with the limits and defaults of this configuration. */
export function anthropicSchemas(settings: Settings) {
  return { messages: messagesSchema(settings), count: countSchema(settings) };
}

export type AnthropicSchemas = ReturnType<typeof anthropicSchemas>;
export type MessagesBody = Static<AnthropicSchemas["messages"]>;
export type CountBody = Static<AnthropicSchemas["count"]>;
export type GivenTool = Static<typeof GivenTool>;
export type GivenToolChoice = Static<typeof ToolChoice>;

/** A block has fields of its type; which these are is looked at where it is read, as a sentence about its type is better. */
const Block = Type.Object(
  {
    type: Type.String(),
    text: Type.Optional(Type.Unknown()),
    id: Type.Optional(Type.Unknown()),
    name: Type.Optional(Type.Unknown()),
    input: Type.Optional(Type.Unknown()),
    tool_use_id: Type.Optional(Type.Unknown()),
    content: Type.Optional(Type.Unknown()),
    is_error: Type.Optional(Type.Unknown()),
  },
  { allowed: "an object with type" },
);
export type GivenBlock = Static<typeof Block>;

const contentOf = (allowed: string, description: string) =>
  Type.Unsafe<string | readonly GivenBlock[]>({
    type: ["string", "array"],
    maxItems: MAX_BLOCKS,
    items: Block,
    allowed,
    description,
  });

const GivenMessage = Type.Object(
  {
    role: oneOf(["user", "assistant", "system"]),
    content: contentOf(
      `a string, or a list of at most ${MAX_BLOCKS} blocks`,
      "A string, or a list of blocks: `text`; of a user `tool_result` (a string or text blocks, `is_error`); of an assistant `tool_use`, and `thinking`, which is passed over. Others are refused.",
    ),
  },
  { allowed: "an object with role and content" },
);
export type GivenTurn = Static<typeof GivenMessage>;

const GivenTool = Type.Object(
  {
    type: Type.Optional(Type.String({ description: "custom: others are refused." })),
    name: Type.String({
      pattern: "^[a-zA-Z0-9_-]{1,128}$",
      allowed: "1 to 128 of the characters a-z, A-Z, 0-9, _ and -",
    }),
    description: Type.Optional(Type.String({ description: "What it is for; the model reads it." })),
    input_schema: Type.Optional(
      Type.Unsafe<Readonly<Record<string, unknown>>>({
        type: "object",
        allowed: "a JSON schema of an object",
        description: "A JSON schema of the input.",
      }),
    ),
    strict: Type.Optional(Type.Boolean({ description: "Whether a schema that cannot be made sure of is refused." })),
  },
  { allowed: "an object with name and input_schema" },
);

const ToolChoice = Type.Object(
  {
    type: oneOf(["auto", "any", "tool", "none"]),
    name: Type.Optional(Type.String({ description: "Of the type tool: the one that the model calls." })),
    disable_parallel_tool_use: Type.Boolean({
      default: false,
      description: "Whether an answer has one call at most.",
    }),
  },
  {
    allowed: "an object with type",
    description:
      "auto: the model decides whether it calls tools; any: it calls one at least; tool: the one that `name` says; none: it calls none, and is told of none. Without it, auto.",
  },
);

const OutputFormat = Type.Object(
  {
    type: oneOf(["json_schema"]),
    schema: Type.Unsafe<JsonSchema>({
      type: "object",
      allowed: "a JSON schema",
      description: "What the text has to be. What cannot be made sure of is refused.",
    }),
  },
  { allowed: "an object with type and schema" },
);

/** The fields that make up the prompt, and those that would change the answer and cannot be honoured. */
function promptFields(settings: Settings) {
  return {
    messages: Type.Array(GivenMessage, {
      minItems: 1,
      maxItems: MAX_MESSAGES,
      allowed: `a list of 1 to ${MAX_MESSAGES} messages, each with role and content`,
      description: "The conversation. It may not end with an assistant's message.",
    }),
    system: Type.Optional(
      contentOf(
        `a string, or a list of at most ${MAX_BLOCKS} text blocks`,
        "What the model is told before the conversation: a string, or text blocks.",
      ),
    ),
    tools: Type.Optional(
      Type.Array(GivenTool, {
        maxItems: MOST_TOOLS,
        allowed: `a list of at most ${MOST_TOOLS} tools`,
        description: `Tools of the client's own, at most ${MOST_TOOLS}, each with a name of its own.`,
      }),
    ),
    tool_choice: Type.Optional(ToolChoice),
    output_config: Type.Optional(
      Type.Object({ format: Type.Optional(OutputFormat) }, { description: "`format`: the form of the text." }),
    ),
    output_format: Type.Optional(OutputFormat),
    container: Type.Optional(nothing("left out, as no code is run here")),
    thread: Type.Optional(Type.Unknown({ description: "Refused, so that clients send the whole conversation." })),
    mcp_servers: Type.Optional(noList("an empty list: this server calls no others")),
    ...sharedFields(settings),
  };
}

const MESSAGES = [{ role: "user", content: "Hello" }];

function messagesSchema(settings: Settings) {
  return Type.Object(
    {
      ...promptFields(settings),
      max_tokens: Type.Integer({ minimum: 1, description: "Tokens to generate at most." }),
      temperature: Type.Number({ minimum: 0, maximum: 1, default: 1, description: "0 is greedy." }),
      top_p: Type.Number({
        minimum: 0,
        maximum: 1,
        default: 1,
        description: "Only the likeliest tokens that have this much of the probability together; 1: all.",
      }),
      top_k: Type.Integer({ minimum: 0, default: 0, description: "Only so many of the likeliest tokens; 0: all." }),
      stop_sequences: Type.Optional(stopSequences),
      stream: Type.Boolean({ default: false, description: "Answer with events as they come about." }),
    },
    { title: "MessagesRequest", examples: [{ model: "demo", max_tokens: 1024, messages: MESSAGES }] },
  );
}

const { maxItems, items } = samplingFields.stop as unknown as { readonly maxItems: number; readonly items: object };

const stopSequences = Type.Unsafe<readonly string[]>({
  type: "array",
  maxItems,
  items,
  allowed: `a list of at most ${maxItems} strings that are not empty`,
  description: `The answer ends before the first of these, at most ${maxItems}, which is not part of it.`,
});

function countSchema(settings: Settings) {
  return Type.Object(promptFields(settings), {
    title: "CountTokensRequest",
    examples: [{ model: "demo", messages: MESSAGES }],
  });
}

/** Of the list of models; what else there is says nothing here. */
export const ModelsQuery = Type.Object({
  limit: Type.Integer({
    minimum: 1,
    maximum: 1000,
    default: 20,
    description: "With anthropic-version: models of a page.",
  }),
  after_id: Type.Optional(Type.String({ description: "With anthropic-version: only models behind this one." })),
  before_id: Type.Optional(Type.String({ description: "With anthropic-version: only models before this one." })),
});
export type ModelsQuery = Static<typeof ModelsQuery>;

/** Clients add `?beta=true`, and what else there is says nothing here. */
export const AnyQuery = Type.Object({});
