/** Of a request's fields: those that are ignored, and those that become sampling, tools and the form of the answer. */
import { AltLasError } from "../../errors.ts";
import { shown } from "../../common/validation.ts";
import { type ChatRequest, type Sampling, TO_THE_END } from "../../request.ts";
import { formatOf, toolsOf } from "../forms.ts";
import { tellIgnored } from "../openai/fields.ts";
import type { CountBody, GivenTool as AnthropicTool, MessagesBody } from "../schemas/anthropic.ts";
import type { GivenForm, GivenTool } from "../schemas/forms.ts";
import { samplingOf } from "../schemas/sampling.ts";

/** Fields that change no answer here: nobody needs to hear that they did nothing. */
const HARMLESS: ReadonlySet<string> = new Set([
  "metadata",
  "service_tier",
  "cache_control",
  "inference_geo",
  "diagnostics",
  "user_profile_id",
  "workspace_id",
]);

/** Names the fields that do nothing in `X-Ignored-Fields`; `thinking` and `output_config.effort` are such, too. */
export function tellIdle(schema: Parameters<typeof tellIgnored>[0]) {
  return tellIgnored(schema, HARMLESS, ({ output_config: config }) =>
    Object.entries(Object(config) as object)
      .filter(([name, value]) => name !== "format" && value !== null)
      .map(([name]) => `output_config.${name}`),
  );
}

export function sampling(body: MessagesBody): Sampling {
  const { max_tokens, temperature, top_p, top_k, stop_sequences } = body;
  const max_length = Math.min(max_tokens, TO_THE_END);
  return samplingOf({
    max_length,
    temperature,
    top_p,
    top_k,
    min_p: 0,
    ...(stop_sequences && { stop: stop_sequences }),
  });
}

/** The demands on an answer beside a text. @throws {AltLasError} `invalid_input`, `unsupported` */
export function wantedOf(body: CountBody): Pick<ChatRequest, "format" | "tools"> {
  const given = body.output_config?.format ?? body.output_format;
  const format = given && formatOf({ type: "json_schema", json_schema: { schema: given.schema, strict: true } }, "");
  const tools = toolsOf(toolFields(body), "");
  return { ...(format && { format }), ...(tools && { tools }) };
}

function toolFields({ tools = [], tool_choice: choice }: CountBody): Pick<GivenForm, "tools" | "tool_choice"> {
  return {
    tools: tools.map(toolOf),
    ...(choice && { tool_choice: choiceOf(choice), parallel_tool_calls: !choice.disable_parallel_tool_use }),
  };
}

function toolOf({ type = "custom", name, description, input_schema, strict }: AnthropicTool, index: number): GivenTool {
  const field = `tools[${index}]`;
  if (type !== "custom") {
    const sentence = `${field} is a tool of the type ${shown(type)}, which no model here knows; allowed are tools with an input_schema, of the type "custom".`;
    throw new AltLasError("unsupported", sentence, { param: field });
  }
  if (input_schema === undefined) {
    const sentence = `${field}.input_schema is missing; it must be a JSON schema of an object.`;
    throw new AltLasError("invalid_input", sentence, { param: `${field}.input_schema` });
  }
  return {
    type: "function",
    function: {
      name,
      parameters: input_schema,
      ...(description !== undefined && { description }),
      ...(strict !== undefined && { strict }),
    },
  };
}

function choiceOf({ type, name }: NonNullable<CountBody["tool_choice"]>): NonNullable<GivenForm["tool_choice"]> {
  switch (type) {
    case "any":
      return "required";
    case "tool":
      if (name !== undefined) return { function: { name } };
      throw new AltLasError("invalid_input", 'tool_choice.name is missing; of the type "tool" it must be a string.', {
        param: "tool_choice.name",
      });
    default:
      return type;
  }
}
