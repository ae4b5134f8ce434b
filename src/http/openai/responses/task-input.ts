/** The task that a body of `POST /v1/responses` asks for. */
import type { Config } from "../../../config/config.ts";
import { AltLasError } from "../../../errors.ts";
import type { ChatRequest, Message } from "../../../request.ts";
import type { TaskInput } from "../../../task.ts";
import { formatOf, toolsOf } from "../../forms.ts";
import type { GivenFormat, GivenTool } from "../../schemas/forms.ts";
import { checkConversation } from "../../schemas/messages.ts";
import type { ResponseBody } from "../../schemas/openai.ts";
import type { GivenFlatChoice, GivenFlatFormat, GivenFlatTool } from "../../schemas/responses.ts";
import { shown } from "../../../common/validation.ts";
import { samplingsOf, settingsOf } from "../fields.ts";
import { checkLogprobs } from "../logprobs.ts";
import type { Earlier } from "./earlier.ts";
import type { Texts } from "../../../texts.ts";
import { messagesOfInput } from "./input.ts";
import type { ResponseNote } from "./note.ts";
import { failureInWords } from "./words.ts";

const LOGPROBS = "message.output_text.logprobs";

/** A task of a response: its request is always a conversation. */
export type ResponseInput = TaskInput & { readonly request: ChatRequest };

/**
 * @param body one that fits the schema
 * @param earlier what it goes on with: `earlierOf`
 * @throws {AltLasError} `invalid_input`, `unsupported`, `not_found`, in words of the body
 */
export function responseInput(
  body: ResponseBody,
  earlier: Earlier,
  config: Pick<Config, "api" | "limits">,
): ResponseInput {
  try {
    refuseUnstored(body);
    return madeInput(body, earlier, config);
  } catch (error) {
    throw failureInWords(error);
  }
}

function madeInput(
  body: ResponseBody,
  earlier: Earlier,
  { api, limits }: Pick<Config, "api" | "limits">,
): ResponseInput {
  const { instructions, temperature, top_p, max_output_tokens: max_tokens } = body;
  const first: readonly Message[] =
    instructions === undefined ? [] : [{ role: "system", content: instructions.toWellFormed() }];
  const before = [...first, ...earlier.messages];
  const messages = [...before, ...messagesOfInput(body.input, earlier.referenced, earlier.messages)];
  checkConversation(messages, "input", limits.max_text_bytes);
  const sampled = { temperature, top_p, top_k: 0, min_p: 0, n: 1, ...(max_tokens !== undefined && { max_tokens }) };
  const [sampling] = samplingsOf(sampled, api.openai);
  return {
    ...settingsOf(body),
    request: { kind: "chat", messages, ...wantedOf(body), sampling: sampling! },
    note: JSON.stringify(noteOf(body, before.length)),
  };
}

/**
 * Has a response be stored only where its user's texts are.
 * @param body is changed
 * @throws {AltLasError} `unsupported`: it is to be asked for later, and cannot be
 */
export function holdToTexts(body: ResponseBody, texts: Texts): void {
  if (texts !== "never") return;
  body.store = false;
  if (!body.background) return;
  const sentence =
    "background must be false: no texts of this user are stored (store.texts of the configuration, or callers.users), and a response in the background is asked for later.";
  throw new AltLasError("unsupported", sentence, { param: "background" });
}

/** @throws {AltLasError} `invalid_input`: nobody could ever have it */
function refuseUnstored({ background, store }: ResponseBody): void {
  if (!background || store) return;
  const sentence = "store must be true where background is: a response in the background is asked for later.";
  throw new AltLasError("invalid_input", sentence, { param: "store" });
}

function noteOf(body: ResponseBody, own: number): ResponseNote {
  const { background, store, metadata = {}, tools, tool_choice } = body;
  return {
    api: "response",
    background,
    store,
    metadata,
    previous_response_id: body.previous_response_id ?? null,
    instructions: body.instructions !== undefined,
    own,
    user: body.user ?? null,
    top_logprobs: body.top_logprobs,
    parallel_tool_calls: body.parallel_tool_calls,
    ...(tool_choice === "none" && tools !== undefined && { tools }),
  };
}

function wantedOf(body: ResponseBody): Pick<ChatRequest, "format" | "tools" | "logprobs"> {
  const format = formatOf(deepFormat(body.text?.format), "");
  const { tools: flat, tool_choice: choice, parallel_tool_calls } = body;
  const tools = toolsOf(
    {
      parallel_tool_calls,
      ...(flat !== undefined && { tools: flat.map(deepTool) }),
      ...(choice !== undefined && { tool_choice: deepChoice(choice) }),
    },
    "",
  );
  const logprobs = body.include?.includes(LOGPROBS) === true ? body.top_logprobs + 0 : undefined;
  checkLogprobs(logprobs, 1, "top_logprobs");
  return { ...(format && { format }), ...(tools && { tools }), ...(logprobs !== undefined && { logprobs }) };
}

/** As the chat API has it. */
function deepFormat(format: GivenFlatFormat | undefined): GivenFormat | undefined {
  if (format === undefined) return undefined;
  const { type, schema, ...named } = format;
  if (type !== "json_schema") return { type };
  if (schema !== undefined) return { type, json_schema: { ...named, schema } };
  const sentence = "text.format.schema is missing; it must be a JSON schema.";
  throw new AltLasError("invalid_input", sentence, { param: "text.format.schema" });
}

function deepTool({ type, name, ...rest }: GivenFlatTool, index: number): GivenTool {
  if (type !== "function") return { type };
  if (name !== undefined) return { type, function: { ...rest, name } };
  const field = `tools[${index}].name`;
  throw new AltLasError("invalid_input", `${field} is missing; it must be a string.`, { param: field });
}

function deepChoice(choice: GivenFlatChoice) {
  if (typeof choice === "string") return choice;
  const { type, name } = choice;
  if (type === "function" && name !== undefined) return { function: { name } };
  const what =
    type === "function" ? "names no function" : `is of the type ${shown(type)}, which no model here can be told`;
  const sentence = `tool_choice ${what}; allowed are "none", "auto", "required" and {"type": "function", "name": …}.`;
  throw new AltLasError(type === "function" ? "invalid_input" : "unsupported", sentence, { param: "tool_choice" });
}
