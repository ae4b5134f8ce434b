/** Conversations as Anthropic's API has them: what tools have said stands in the user's messages there, and is a message of its own here. */
import { shown } from "../../common/validation.ts";
import { AltLasError } from "../../errors.ts";
import type { Message } from "../../request.ts";
import { refuseUnfitJson } from "../given-json.ts";
import type { GivenBlock, GivenTurn } from "../schemas/anthropic.ts";
import { type GivenMessage, messagesOf } from "../schemas/messages.ts";

type Turn = GivenMessage & { readonly content: string };
type GivenCall = NonNullable<GivenMessage["tool_calls"]>[number];

/** The fields that make up a conversation. */
export interface Conversation {
  readonly system?: string | readonly GivenBlock[];
  readonly messages: readonly GivenTurn[];
  readonly thread?: unknown;
}

/** Blocks that hold what a model has thought. No template is given it back, as most models are not to read it again. */
const THOUGHTS: ReadonlySet<string> = new Set(["thinking", "redacted_thinking"]);

/**
 * @param maxBytes of UTF-8, of all of them together
 * @throws {AltLasError} `invalid_input`; `unsupported`: a block that no model here can take
 */
export function conversationOf({ system, messages, thread }: Conversation, maxBytes: number): readonly Message[] {
  if (thread !== undefined) throw noThreads();
  const told = system === undefined ? "" : textOf(system, "system");
  const called = new Set<string>();
  const turns = joined(messages.flatMap((turn, index) => turnsOf(turn, `messages[${index}]`, called, maxBytes)));
  const all: readonly GivenMessage[] = told === "" ? turns : [{ role: "system", content: told }, ...turns];
  return messagesOf(all, "messages", maxBytes);
}

/** Anthropic's libraries begin with a thread where they run tools by themselves, and by this code send all messages each time. */
function noThreads(): AltLasError {
  const sentence = "thread must be left out, as conversations are not held here; send all of its messages.";
  return new AltLasError("unsupported", sentence, {
    param: "thread",
    details: { error_code: "thread_unsupported_request" },
  });
}

/** A template would close what is begun, and the model would begin anew. @throws {AltLasError} `unsupported` */
export function refuseBegunAnswer({ messages }: Conversation): void {
  if (messages.at(-1)?.role !== "assistant") return;
  const sentence =
    "messages must not end with a message of the assistant, as no model here can go on with an answer that was begun for it.";
  throw new AltLasError("unsupported", sentence, { param: "messages" });
}

/** Several messages of one side in a row are one turn, as with Anthropic: many templates want the sides to alternate. */
function joined(turns: readonly Turn[]): readonly Turn[] {
  const all: Turn[] = [];
  for (const turn of turns) {
    const last = all.at(-1);
    if (last?.role !== turn.role || (turn.role !== "user" && turn.role !== "assistant")) {
      all.push(turn);
      continue;
    }
    const content = [last.content, turn.content].filter((text) => text !== "").join("\n");
    const calls = [...(last.tool_calls ?? []), ...(turn.tool_calls ?? [])];
    all[all.length - 1] = { ...last, content, ...(calls.length > 0 && { tool_calls: calls }) };
  }
  return all;
}

/** @param called the ids of the calls before it */
function turnsOf({ role, content }: GivenTurn, field: string, called: Set<string>, maxBytes: number): readonly Turn[] {
  if (typeof content === "string" || role === "system") return [{ role, content: textOf(content, `${field}.content`) }];
  const blocks = content.map((block, index) => ({ block, at: `${field}.content[${index}]` }));
  return role === "user" ? userTurns(blocks, called) : [assistantTurn(blocks, called, maxBytes)];
}

interface Placed {
  readonly block: GivenBlock;
  /** How the client calls it. */
  readonly at: string;
}

function userTurns(blocks: readonly Placed[], called: ReadonlySet<string>): readonly Turn[] {
  const turns: Turn[] = [];
  let texts: string[] = [];
  const say = (): void => {
    if (texts.length > 0) turns.push({ role: "user", content: texts.join("\n") });
    texts = [];
  };
  for (const { block, at } of blocks) {
    if (block.type === "tool_result") {
      say();
      turns.push(resultOf(block, at, called));
    } else texts.push(textOfBlock(block, at, "text and tool_result"));
  }
  if (turns.length === 0 && texts.length === 0) texts.push("");
  say();
  return turns;
}

function resultOf(block: GivenBlock, at: string, called: ReadonlySet<string>): Turn {
  const id = stringOf(block, "tool_use_id", at);
  if (!called.has(id)) {
    const sentence = `${at}.tool_use_id must be the id of a tool_use block before it; got ${shown(id)}.`;
    throw new AltLasError("invalid_input", sentence, { param: `${at}.tool_use_id` });
  }
  const { content = "", is_error: failed } = block;
  if (typeof content !== "string" && !Array.isArray(content))
    throw refused(`${at}.content`, `must be a string or a list of blocks; got ${shown(content)}`);
  const text = textOf(content as string | readonly unknown[], `${at}.content`);
  // Templates have no place for it, and a model that is not told would take the failure for what it has asked for.
  return { role: "tool", tool_call_id: id, content: failed === true ? `Error: ${text}` : text };
}

function assistantTurn(blocks: readonly Placed[], called: Set<string>, maxBytes: number): Turn {
  const texts: string[] = [];
  const calls: GivenCall[] = [];
  for (const { block, at } of blocks) {
    if (THOUGHTS.has(block.type)) continue;
    if (block.type === "tool_use") {
      const call = callOf(block, at, maxBytes);
      called.add(call.id);
      calls.push(call);
    } else texts.push(textOfBlock(block, at, "text, thinking and tool_use"));
  }
  return { role: "assistant", content: texts.join("\n"), ...(calls.length > 0 && { tool_calls: calls }) };
}

function callOf(block: GivenBlock, at: string, maxBytes: number): GivenCall {
  const { input = {} } = block;
  if (input === null || typeof input !== "object" || Array.isArray(input))
    throw refused(`${at}.input`, `must be an object; got ${shown(input)}`);
  refuseUnfitJson(input, `${at}.input`, maxBytes);
  return {
    id: stringOf(block, "id", at),
    function: { name: stringOf(block, "name", at), arguments: JSON.stringify(input) },
  };
}

/** @param content its blocks were not looked at yet */
function textOf(content: string | readonly unknown[], field: string): string {
  if (typeof content === "string") return content;
  return content.map((block, index) => textOfBlock(block, `${field}[${index}]`, "text")).join("\n");
}

/** @param allowed the types that a block may have there */
function textOfBlock(block: unknown, at: string, allowed: string): string {
  const { type, text } = Object(block) as Partial<GivenBlock>;
  if (type === "text" && typeof text === "string") return text;
  if (type === "text") throw refused(`${at}.text`, `must be a string; got ${shown(text)}`);
  if (typeof type !== "string") throw refused(at, `must be an object with type; got ${shown(block)}`);
  const sentence = `${at} is a block of the type ${shown(type)}, which no model here can take there; allowed are ${allowed}.`;
  throw new AltLasError("unsupported", sentence, { param: at });
}

function stringOf(block: GivenBlock, name: "id" | "name" | "tool_use_id", at: string): string {
  const value = block[name];
  if (typeof value === "string" && value !== "") return value;
  throw refused(
    `${at}.${name}`,
    value === undefined ? "is missing; it must be a string" : `must be a string that is not empty; got ${shown(value)}`,
  );
}

/** @param why without its first word, which is the field, and without its full stop */
function refused(field: string, why: string): AltLasError {
  return new AltLasError("invalid_input", `${field} ${why}.`, { param: field });
}
