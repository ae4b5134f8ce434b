/** Demands on an answer beside a text: its form, the tools that it may ask for, the probabilities of its tokens. */
import { Type, type Static, type TObject } from "../../common/type.ts";
import type { JsonSchema } from "../../request.ts";

/** Tools of one request. */
export const MOST_TOOLS = 128;
/** As OpenAI's API bounds it. */
export const NAME = "^[a-zA-Z0-9_-]{1,64}$";
export const NAME_ALLOWED = "1 to 64 of the characters a-z, A-Z, 0-9, _ and -";
export const MOST_LOGPROBS = 20;

/** The name of a form of which nobody says how it is called. */
export const UNNAMED = "answer";

export const FORMATS = ["text", "json_object", "json_schema"] as const;

const strict = Type.Optional(Type.Boolean({ description: "Whether what cannot be made sure of is refused." }));
const description = Type.Optional(Type.String({ description: "What it is for; the model reads it." }));
const parameters = Type.Unsafe<Readonly<Record<string, unknown>>>({
  type: "object",
  allowed: "a JSON schema of an object",
  description: "A JSON schema of the arguments; without it, there are none.",
});

type Options = { readonly additionalProperties?: false };

function formatField(options: Options) {
  const named = Type.Object(
    {
      name: Type.Optional(Type.String({ pattern: NAME, allowed: NAME_ALLOWED })),
      description,
      schema: Type.Unsafe<JsonSchema>({
        type: ["object", "boolean"],
        allowed: "a JSON schema",
        description: "What the text has to be, as JSON Schema says it.",
      }),
      strict,
    },
    { ...options, allowed: "an object with schema" },
  );
  const type = Type.Enum([...FORMATS], { type: "string" });
  return Type.Object(
    { type, json_schema: Type.Optional(named) },
    {
      ...options,
      alsoCalled: ["format", "json_schema", "guided_json", "grammar"],
      allowed: "an object with type",
      description:
        'The form of the text, unless it is cut off: `{"type": "text"}`; `{"type": "json_object"}`: an object in JSON; `{"type": "json_schema", "json_schema": {"schema": …, "strict": …}}`: JSON that matches the schema. Under `strict: true` what cannot be made sure of is refused; else the answer is checked, and `result.mismatch` says what does not match.',
    },
  );
}

function toolField(options: Options) {
  const named = Type.Object(
    {
      name: Type.String({ pattern: NAME, allowed: NAME_ALLOWED }),
      description,
      parameters: Type.Optional(parameters),
      strict,
    },
    { ...options, allowed: "an object with name" },
  );
  return Type.Object(
    { type: Type.Optional(Type.String({ description: "function." })), function: Type.Optional(named) },
    { ...options, allowed: "an object with type and function" },
  );
}

/** A field to choose a tool by. */
type GivenChoice = "none" | "auto" | "required" | { readonly function: { readonly name: string } };

const toolChoice = Type.Unsafe<GivenChoice>({
  anyOf: [
    { type: "string", enum: ["none", "auto", "required"] },
    {
      type: "object",
      properties: {
        type: { type: "string", enum: ["function"] },
        function: { type: "object", properties: { name: { type: "string" } }, required: ["name"] },
      },
      required: ["function"],
    },
  ],
  allowed: '"none", "auto", "required" or {"type": "function", "function": {"name": …}}',
  description:
    "auto: the model decides whether it calls tools; none: it calls none, and is told of none; required: it calls one at least; or the one that it calls. Without it, auto.",
});

/** @param isClosed whether fields of theirs that are not known are refused */
export function formFields(isClosed: boolean) {
  const options = isClosed ? ({ additionalProperties: false } as const) : {};
  return {
    response_format: Type.Optional(formatField(options)),
    tools: Type.Optional(
      Type.Array(toolField(options), {
        maxItems: MOST_TOOLS,
        alsoCalled: ["functions"],
        allowed: `a list of at most ${MOST_TOOLS} tools`,
        description: `Functions of the caller's that the model may ask for, at most ${MOST_TOOLS}, each with a name of its own; the result has \`tool_calls\` then.`,
      }),
    ),
    tool_choice: Type.Optional(toolChoice),
    parallel_tool_calls: Type.Optional(
      Type.Boolean({ description: "Whether an answer may have several calls. Without it, true." }),
    ),
  };
}

export type GivenForm = Static<TObject<ReturnType<typeof formFields>>>;
export type GivenFormat = NonNullable<GivenForm["response_format"]>;
export type GivenTool = NonNullable<GivenForm["tools"]>[number];

/** Beside those that ask for a form, as `predict` has it. */
export const logprobsField = Type.Optional(
  Type.Integer({
    minimum: 0,
    maximum: MOST_LOGPROBS,
    alsoCalled: ["top_logprobs", "n_probs"],
    description: `The result has the tokens of the text with their probabilities, and so many of the likeliest in the place of each: 0 to ${MOST_LOGPROBS}.`,
  }),
);
