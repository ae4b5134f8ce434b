/** OpenAI's Responses API: what clients send of it. Unknown fields are allowed everywhere, as there. */
import { Type, type Static } from "../../common/type.ts";
import type { JsonSchema } from "../../request.ts";
import { oneOf } from "./common.ts";
import { FORMATS, MOST_LOGPROBS, MOST_TOOLS, NAME, NAME_ALLOWED } from "./forms.ts";
import { nothing, only, type Settings, sharedFields } from "./openai-shared.ts";

const MAX_ITEMS = 4000;
const MAX_PAIRS = 16;
const MAX_KEY = 64;
const MAX_VALUE = 512;

/**
 * An item of an input. Its type says how its fields must be, and of types that are not known here they may be anything: the
 * sentence is about the type then.
 */
const InputItem = Type.Object(
  {
    type: Type.Optional(Type.String({ description: "Without it, message." })),
    role: Type.Optional(Type.Unknown({ description: "Of a message: system, developer, user or assistant." })),
    content: Type.Optional(
      Type.Unknown({
        description:
          'Of a message: a string, or a list of parts, {"type": "input_text", "text": …}, of an assistant output_text, which are joined by line breaks.',
      }),
    ),
    call_id: Type.Optional(Type.Unknown({ description: "Of a function_call and its function_call_output." })),
    name: Type.Optional(Type.Unknown({ description: "Of a function_call: the tool's name." })),
    arguments: Type.Optional(Type.Unknown({ description: "Of a function_call: JSON." })),
    output: Type.Optional(
      Type.Unknown({ description: "Of a function_call_output: a string, or a list of text parts." }),
    ),
    id: Type.Optional(Type.Unknown({ description: "Of an item_reference: the id of an item of an earlier response." })),
  },
  { allowed: "an object, such as a message with role and content" },
);
export type GivenItem = Static<typeof InputItem>;

const INPUT = `a string that is not empty, or a list of 1 to ${MAX_ITEMS} items`;

const description = Type.Optional(Type.String({ description: "What it is for; the model reads it." }));
const strict = Type.Optional(Type.Boolean({ description: "Whether what cannot be made sure of is refused." }));

const Tool = Type.Object(
  {
    type: Type.String({ description: "function." }),
    name: Type.Optional(Type.String({ pattern: NAME, allowed: NAME_ALLOWED })),
    description,
    parameters: Type.Optional(
      Type.Unsafe<Readonly<Record<string, unknown>>>({
        type: "object",
        allowed: "a JSON schema of an object",
        description: "A JSON schema of the arguments; without it, there are none.",
      }),
    ),
    strict,
  },
  { allowed: "an object with type and name" },
);
export type GivenFlatTool = Static<typeof Tool>;

export type GivenFlatChoice = "none" | "auto" | "required" | { readonly type: string; readonly name?: string };

const toolChoice = Type.Unsafe<GivenFlatChoice>({
  anyOf: [
    { type: "string", enum: ["none", "auto", "required"] },
    { type: "object", properties: { type: { type: "string" }, name: { type: "string" } }, required: ["type"] },
  ],
  allowed: '"none", "auto", "required" or {"type": "function", "name": …}',
  description:
    "auto: the model decides whether it calls tools; none: it calls none, and is told of none; required: it calls one at least; or the one that it calls. Without it, auto.",
});

const Format = Type.Object(
  {
    type: oneOf(FORMATS),
    name: Type.Optional(Type.String({ pattern: NAME, allowed: NAME_ALLOWED })),
    description,
    schema: Type.Optional(
      Type.Unsafe<JsonSchema>({
        type: ["object", "boolean"],
        allowed: "a JSON schema",
        description: "Of json_schema: what the text has to be.",
      }),
    ),
    strict,
  },
  { allowed: "an object with type", description: "As response_format of /v1/chat/completions, without a level." },
);
export type GivenFlatFormat = Static<typeof Format>;

const formFields = {
  text: Type.Optional(
    Type.Object({
      format: Type.Optional(Format),
      verbosity: Type.Optional(only("string", ["medium"], '"medium", as models here cannot be told how much to say')),
    }),
  ),
  tools: Type.Optional(
    Type.Array(Tool, {
      maxItems: MOST_TOOLS,
      allowed: `a list of at most ${MOST_TOOLS} tools`,
      description: `Functions of the caller's that the model may ask for, at most ${MOST_TOOLS}, each with a name of its own.`,
    }),
  ),
  tool_choice: Type.Optional(toolChoice),
  parallel_tool_calls: Type.Boolean({ default: true, description: "Whether an answer may have several calls." }),
  top_logprobs: Type.Integer({
    minimum: 0,
    maximum: MOST_LOGPROBS,
    default: 0,
    description: `0 to ${MOST_LOGPROBS}: so many of the likeliest tokens in the place of each; where include asks for logprobs.`,
  }),
  include: Type.Optional(
    Type.Array(Type.String(), {
      maxItems: 100,
      description:
        "message.output_text.logprobs: tokens with their probabilities. Others ask for what no answer here has.",
    }),
  ),
};

const storedFields = {
  instructions: Type.Optional(
    Type.String({ description: "A system message before all others; of earlier responses, none is taken over." }),
  ),
  previous_response_id: Type.Optional(
    Type.String({ description: "A response of the caller's that is stored and has ended: the conversation goes on." }),
  ),
  store: Type.Boolean({ default: true, description: "false: it can neither be asked for later nor be gone on with." }),
  background: Type.Boolean({
    default: false,
    description: "Answer at once; the response goes on whether anybody waits for it or not.",
  }),
  stream: Type.Boolean({ default: false, description: "Answer with events as they come about." }),
  metadata: Type.Optional(
    Type.Unsafe<Readonly<Record<string, string>>>({
      type: "object",
      maxProperties: MAX_PAIRS,
      propertyNames: { maxLength: MAX_KEY },
      additionalProperties: { type: "string", maxLength: MAX_VALUE },
      allowed: `an object of at most ${MAX_PAIRS} strings, with names of at most ${MAX_KEY} characters`,
      description: `The caller's own: at most ${MAX_PAIRS} strings of at most ${MAX_VALUE} characters, with names of at most ${MAX_KEY}.`,
    }),
  ),
  user: Type.Optional(Type.String({ maxLength: MAX_VALUE, description: "Shown again, and nothing else." })),
};

/** Fields that would change the answer and cannot be honoured; the values that change nothing pass. */
const refusedFields = {
  prompt: Type.Optional(nothing("left out, as no prompt templates are kept here")),
  conversation: Type.Optional(nothing("left out; previous_response_id goes on with a response")),
  truncation: Type.Optional(only("string", ["disabled"], '"disabled", as nothing is left out of a conversation here')),
  context_management: Type.Optional(nothing("left out, as nothing is left out of a conversation here")),
};

const samplingFields = {
  max_output_tokens: Type.Optional(
    Type.Integer({
      minimum: 1,
      description:
        "Tokens to generate at most; without it, api.openai.default_max_tokens, else to the end of the context.",
    }),
  ),
  max_tool_calls: Type.Optional(Type.Integer({ description: "Of tools that a server calls: there are none." })),
  temperature: Type.Number({ minimum: 0, maximum: 2, default: 1, description: "0 is greedy." }),
  top_p: Type.Number({
    minimum: 0,
    maximum: 1,
    default: 1,
    description: "Only the likeliest tokens that have this much of the probability together; 1: all.",
  }),
  reasoning: Type.Optional(
    Type.Object(
      { effort: Type.Optional(Type.Unknown()), summary: Type.Optional(Type.Unknown()) },
      { description: "Taken and not heeded: models here cannot be told how long to reason. X-Ignored-Fields says so." },
    ),
  ),
};

/** The body of `POST /v1/responses`. */
export function responseSchema(settings: Settings) {
  return Type.Object(
    {
      input: Type.Unsafe<string | readonly GivenItem[]>({
        type: ["string", "array"],
        minLength: 1,
        maxBytes: settings.limits.max_text_bytes,
        minItems: 1,
        maxItems: MAX_ITEMS,
        items: InputItem,
        allowed: INPUT,
        description:
          "A user's text, or items: messages, function_call, function_call_output, item_reference. Items of an earlier output may be given back; reasoning is passed over.",
      }),
      ...storedFields,
      ...formFields,
      ...samplingFields,
      ...refusedFields,
      ...sharedFields(settings),
    },
    { title: "ResponseRequest", examples: [{ model: "demo", input: "Hello" }] },
  );
}
