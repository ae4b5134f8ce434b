/**
 * The demands on an answer beside how it is drawn, in OpenAI's fields: its form, the tools it may call, and whether its tokens are told
 * with their probabilities (https://platform.openai.com/docs/api-reference/chat/create).
 */
import type {
  AnswerFormat,
  Capability,
  JsonSchema,
  Message,
  TextRequest,
  Tool,
  ToolChoice,
  Tools,
} from "../../request.ts";
import { EngineFailure } from "../failures.ts";

type Fields = Readonly<Record<string, unknown>>;

/** The words of `tool_choice`; `named` is an object there. */
type ChoiceWord = "auto" | "required" | "named";

/** How far a server's routes for texts take these fields. */
export interface Abilities {
  /** The routes that take `response_format`; none: it holds no answer to a form. */
  readonly json_schema: readonly TextRequest["kind"][];
  /** The routes that take `logprobs`. */
  readonly logprobs: readonly TextRequest["kind"][];
  /** The values that `tool_choice` may have; none: it takes no tools. Only chats have any. */
  readonly tools: readonly ChoiceWord[];
  /** Whether it refuses or ignores `parallel_tool_calls`: an answer is then cut here behind its first call. */
  readonly alwaysParallel?: boolean;
  /** The routes that take a `grammar` of llama.cpp in the place of `response_format`. */
  readonly grammars?: readonly TextRequest["kind"][];
  /** How it is told a form; absent: as OpenAI's API has it. */
  readonly formFields?: (format: AnswerFormat) => Fields;
}

const BOTH = ["chat", "completion"] as const;

/** Of a server that takes them all, by both routes. */
export const ALL_ABILITIES: Abilities = { json_schema: BOTH, logprobs: BOTH, tools: ["auto", "required", "named"] };

/** The fields of a request that are no sampling, by the capability that they need. */
export const FIELD_OF = { json_schema: "response_format", logprobs: "logprobs", tools: "tools" } as const;

/** The capabilities of a server with these abilities, by the routes that it has. */
export function abilitiesBy(abilities: Abilities, has: (route: TextRequest["kind"]) => boolean): Capability[] {
  const can: Capability[] = [];
  if (abilities.json_schema.some(has)) can.push("json_schema");
  if (abilities.tools.length > 0 && has("chat")) can.push("tools");
  if (abilities.logprobs.some(has)) can.push("logprobs");
  return can;
}

/**
 * @param grammar of the form, where the route takes one
 * @throws {EngineFailure} `unsupported`: this route, or this server, has no such field
 */
export function answerFields(request: TextRequest, abilities: Abilities, grammar?: string): Fields {
  return {
    ...(grammar === undefined ? formatFields(request, abilities) : { grammar }),
    ...(request.kind === "chat" && request.tools && toolFields(request.tools, abilities)),
    ...logprobFields(request, abilities),
  };
}

function formatFields({ kind, format }: TextRequest, { json_schema, formFields = openAiForm }: Abilities): Fields {
  if (format === undefined) return {};
  if (!json_schema.includes(kind)) throw notThere("response_format", kind, json_schema);
  return formFields(format);
}

/** As OpenAI's API has it. */
export function openAiForm(format: AnswerFormat): Fields {
  if (format.kind === "json") return { response_format: { type: "json_object" } };
  const { name, schema, strict } = format;
  return { response_format: { type: "json_schema", json_schema: { name, schema: schemaObject(schema), strict } } };
}

/** Servers take an object, where the standard has `true` and `false` too. */
export function schemaObject(schema: JsonSchema): Fields {
  return typeof schema === "object" ? schema : schema ? {} : { not: {} };
}

function toolFields({ list, choice, parallel }: Tools, { tools, alwaysParallel = false }: Abilities): Fields {
  const word = typeof choice === "string" ? choice : "named";
  if (!tools.includes(word)) {
    const others = tools.length === 0 ? "no tools" : `no tool_choice but ${tools.join(" and ")}`;
    throw new EngineFailure("unsupported", `The server behind this GPU takes ${others}.`);
  }
  return {
    tools: list.map(toolOf),
    tool_choice: choiceOf(choice),
    ...(!alwaysParallel && { parallel_tool_calls: parallel }),
  };
}

const NO_PARAMETERS = { type: "object", properties: {}, additionalProperties: false };

/** As OpenAI's API has it. */
function toolOf({ name, description, parameters, strict }: Tool): Fields {
  return {
    type: "function",
    function: {
      name,
      ...(description !== undefined && { description: description.toWellFormed() }),
      parameters: parameters === undefined ? NO_PARAMETERS : schemaObject(parameters),
      ...(strict !== undefined && { strict }),
    },
  };
}

function choiceOf(choice: ToolChoice): unknown {
  return typeof choice === "string" ? choice : { type: "function", function: { name: choice.name } };
}

/** At least one other token is always asked for: some servers take 0 for none at all. */
function logprobFields({ kind, logprobs }: TextRequest, abilities: Abilities): Fields {
  if (logprobs === undefined) return {};
  if (!abilities.logprobs.includes(kind)) throw notThere("logprobs", kind, abilities.logprobs);
  const most = Math.max(1, logprobs);
  return kind === "chat" ? { logprobs: true, top_logprobs: most } : { logprobs: most };
}

function notThere(field: string, kind: TextRequest["kind"], routes: readonly TextRequest["kind"][]): EngineFailure {
  const [what, instead] =
    kind === "chat" ? ["chats", "a text with raw: true"] : ["texts to continue", "messages, or raw: false"];
  const way = routes.length === 0 ? "" : ` It does with ${instead}.`;
  return new EngineFailure("unsupported", `The server behind this GPU takes no ${field} for ${what}.${way}`);
}

/** A message as OpenAI's API has it, in JSON that is whole. Some servers lose the calls of one whose content is an empty text. */
export function messageOf({ role, content, toolCalls, toolCallId, name }: Message): Fields {
  return {
    role,
    content: toolCalls !== undefined && content === "" ? null : content.toWellFormed(),
    ...(toolCalls && {
      tool_calls: toolCalls.map(({ id, name: tool, arguments: args }) => ({
        id,
        type: "function",
        function: { name: tool, arguments: args.toWellFormed() },
      })),
    }),
    ...(toolCallId !== undefined && { tool_call_id: toolCallId }),
    ...(name !== undefined && { name }),
  };
}
