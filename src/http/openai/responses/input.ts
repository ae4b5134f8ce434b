/** The messages that the items of an input are. */
import { shown } from "../../../common/validation.ts";
import { AltLasError } from "../../../errors.ts";
import type { Message, MessageRole, ToolCall } from "../../../request.ts";
import type { GivenItem } from "../../schemas/responses.ts";

const ROLES: Readonly<Record<string, MessageRole>> = {
  system: "system",
  developer: "system",
  user: "user",
  assistant: "assistant",
};

/** The form of an earlier response's item in a conversation; null: it has none there, as with reasoning. */
export type Referenced = { readonly text: string } | { readonly call: ToolCall } | null;

/**
 * @param referenced the items that an `item_reference` of the input may name, by their ids
 * @param earlier what was said before the input
 * @throws {AltLasError} `invalid_input`, `unsupported`, `not_found`
 */
export function messagesOfInput(
  input: string | readonly GivenItem[],
  referenced: ReadonlyMap<string, Referenced>,
  earlier: readonly Message[],
): readonly Message[] {
  if (typeof input === "string") return [{ role: "user", content: input.toWellFormed() }];
  const conversation = new Conversation(earlier);
  for (const [index, item] of input.entries()) addItem(conversation, item, `input[${index}]`, referenced);
  return conversation.messages;
}

/** The items that an input refers to by their ids. */
export function referencesIn(input: string | readonly GivenItem[]): readonly string[] {
  if (typeof input === "string") return [];
  return input.filter(({ type }) => type === "item_reference").map(({ id }) => String(id));
}

interface Growing {
  readonly role: MessageRole;
  readonly content: string;
  toolCalls?: ToolCall[];
  readonly toolCallId?: string;
  readonly name?: string;
}

/** Calls are items of their own here, and belong to the message before them in a conversation. */
class Conversation {
  readonly messages: Growing[] = [];
  /** The tools that were called, by the ids of the calls. */
  readonly #called = new Map<string, string>();

  constructor(earlier: readonly Message[]) {
    for (const { toolCalls = [] } of earlier) for (const { id, name } of toolCalls) this.#called.set(id, name);
  }

  say(role: MessageRole, content: string): void {
    this.messages.push({ role, content });
  }

  call(call: ToolCall): void {
    this.#called.set(call.id, call.name);
    let last = this.messages.at(-1);
    if (last?.role !== "assistant") this.messages.push((last = { role: "assistant", content: "" }));
    (last.toolCalls ??= []).push(call);
  }

  /** @throws {AltLasError} `invalid_input`: nobody has called it */
  answer(toolCallId: string, content: string, field: string): void {
    const name = this.#called.get(toolCallId);
    if (name === undefined) throw refused(`${field}.call_id`, `names no call before it; got ${shown(toolCallId)}`);
    this.messages.push({ role: "tool", content, toolCallId, name });
  }
}

function addItem(
  conversation: Conversation,
  item: GivenItem,
  field: string,
  referenced: ReadonlyMap<string, Referenced>,
): void {
  switch (item.type ?? "message") {
    case "message":
      return conversation.say(roleOf(item.role, `${field}.role`), textOf(item.content, `${field}.content`));
    case "function_call":
      return conversation.call({
        id: stringOf(item.call_id, `${field}.call_id`),
        name: stringOf(item.name, `${field}.name`),
        arguments: stringOf(item.arguments, `${field}.arguments`, true),
      });
    case "function_call_output": {
      const id = stringOf(item.call_id, `${field}.call_id`);
      return conversation.answer(id, textOf(item.output, `${field}.output`), field);
    }
    case "item_reference":
      return addReferenced(conversation, stringOf(item.id, `${field}.id`), `${field}.id`, referenced);
    case "reasoning":
      return;
    default: {
      const sentence = `${field} is an item of the type ${shown(item.type)}, which no model here can take; allowed are message, function_call, function_call_output, item_reference and reasoning.`;
      throw new AltLasError("unsupported", sentence, { param: field });
    }
  }
}

function addReferenced(
  conversation: Conversation,
  id: string,
  field: string,
  referenced: ReadonlyMap<string, Referenced>,
): void {
  const found = referenced.get(id);
  if (found === undefined) {
    const sentence = `${field} names no item of a response that is stored, or it belongs to somebody else; got ${shown(id)}.`;
    throw new AltLasError("not_found", sentence, { param: field });
  }
  if (found === null) return;
  if ("call" in found) conversation.call(found.call);
  else conversation.say("assistant", found.text);
}

function roleOf(role: unknown, field: string): MessageRole {
  const known = typeof role === "string" && Object.hasOwn(ROLES, role) ? ROLES[role] : undefined;
  if (known !== undefined) return known;
  const names = Object.keys(ROLES).map((name) => JSON.stringify(name));
  throw refused(field, `must be one of ${names.join(", ")}; got ${shown(role)}`);
}

function stringOf(given: unknown, field: string, mayBeEmpty = false): string {
  if (typeof given === "string" && (mayBeEmpty || given !== "")) return given.toWellFormed();
  throw refused(field, `must be a string${mayBeEmpty ? "" : " that is not empty"}; got ${shown(given)}`);
}

const TEXTS: ReadonlySet<unknown> = new Set(["input_text", "output_text", "text"]);

/** One text of a content's parts. */
function textOf(content: unknown, field: string): string {
  if (typeof content === "string") return content.toWellFormed();
  if (!Array.isArray(content)) throw refused(field, `must be a string or a list of text parts; got ${shown(content)}`);
  return content.map((part, index) => textOfPart(part, `${field}[${index}]`)).join("\n");
}

function textOfPart(given: unknown, field: string): string {
  const part = Object(given) as { readonly type?: unknown; readonly text?: unknown; readonly refusal?: unknown };
  if (TEXTS.has(part.type)) return stringOf(part.text, `${field}.text`, true);
  if (part.type === "refusal") return stringOf(part.refusal, `${field}.refusal`, true);
  if (typeof part.type !== "string")
    throw refused(field, `must be a part with a type, like "input_text"; got ${shown(given)}`);
  const sentence = `${field} is a part of the type ${shown(part.type)}, which no model here can take; allowed are parts of the types "input_text" and "output_text".`;
  throw new AltLasError("unsupported", sentence, { param: field });
}

/** @param why without its first word, which is the field, and without its full stop */
function refused(field: string, why: string): AltLasError {
  return new AltLasError("invalid_input", `${field} ${why}.`, { param: field });
}
