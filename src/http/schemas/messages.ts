/** Conversations, as clients send them. */
import { Type, type Static } from "../../common/type.ts";
import { AltLasError } from "../../errors.ts";
import { type Message, MESSAGE_ROLES, type ToolCall } from "../../request.ts";
import { shown } from "../../common/validation.ts";
import { closed, oneOf } from "./common.ts";

const MAX_MESSAGES = 1000;
const MAX_PARTS = 1000;
const MAX_CALLS = 128;

/** A part that is no text has fields of its own, which are not looked at: the sentence is about its type. */
const Part = Type.Object({ type: Type.String(), text: Type.Optional(Type.String()) });
type Part = Static<typeof Part>;

/** The content of a message. */
export type GivenContent = string | readonly Part[];

const CONTENT = `a string, or a list of 1 to ${MAX_PARTS} text parts`;

export const Content = Type.Unsafe<GivenContent>({
  type: ["string", "array"],
  minItems: 1,
  maxItems: MAX_PARTS,
  items: Part,
  allowed: CONTENT,
  description:
    'A string, or a list of parts, `{"type": "text", "text": "…"}`, which are joined by line breaks. Of an assistant it may be null or left out.',
});

/** The fields about tools of a message. */
export const toolFields = {
  tool_calls: Type.Optional(
    Type.Array(
      Type.Object(
        {
          id: Type.String({ minLength: 1 }),
          type: Type.Optional(oneOf(["function"])),
          function: Type.Object(
            {
              name: Type.String({ minLength: 1 }),
              arguments: Type.String({ allowed: "a string, which is JSON", description: "JSON." }),
            },
            { allowed: "an object with name and arguments" },
          ),
        },
        { allowed: "an object with id, type and function" },
      ),
      {
        maxItems: MAX_CALLS,
        allowed: `a list of at most ${MAX_CALLS} calls`,
        description: "Of an assistant: the calls that it has made, as `tool_calls` of a result has them.",
      },
    ),
  ),
  tool_call_id: Type.Optional(
    Type.String({
      description:
        "Of a tool's message: the id of the call that it answers; without it, the first call that none has answered yet, of the tool that `name` says.",
    }),
  ),
  name: Type.Optional(
    Type.String({ description: "Of a tool's message: the tool's name; of others it means nothing." }),
  ),
};

const roles = MESSAGE_ROLES.map((role) => JSON.stringify(role)).join(", ");

const MessageFields = closed(
  {
    role: Type.Enum([...MESSAGE_ROLES], {
      type: "string",
      allowed: `one of ${roles} (what others call "developer" is "system" here)`,
    }),
    content: Type.Optional(Content),
    ...toolFields,
  },
  { allowed: "an object with role and content" },
);

/** @param bytes of all of them together at most */
export function messagesField(bytes: number) {
  return Type.Array(MessageFields, {
    minItems: 1,
    maxItems: MAX_MESSAGES,
    alsoCalled: ["message", "conversation", "chat", "history", "dialog", "turns"],
    allowed: `a list of 1 to ${MAX_MESSAGES} messages, each with role and content`,
    description: `In the place of text: a conversation, which the model's own chat template makes a prompt of. One message at least is the user's; at most ${bytes} bytes in UTF-8 in all.`,
  });
}

export type GivenMessage = Static<typeof MessageFields>;

/**
 * @param field how the client calls them, as in "batch[3].messages"
 * @param maxBytes of UTF-8, of all of them together
 * @throws {AltLasError} `invalid_input`: they are too long, or no user says anything; `unsupported`: a part is no text
 */
export function messagesOf(given: readonly GivenMessage[], field: string, maxBytes: number): readonly Message[] {
  const calls = new Calls();
  const messages = given.map((one, index) => messageOf(one, `${field}[${index}]`, calls));
  checkConversation(messages, field, maxBytes);
  return messages;
}

/**
 * @param field how the client calls it
 * @param maxBytes of UTF-8, of all of it together
 * @throws {AltLasError} `invalid_input`: it is too long, or no user says anything
 */
export function checkConversation(messages: readonly Message[], field: string, maxBytes: number): void {
  refuseLonger(textsIn(messages), field, maxBytes);
  if (messages.some(({ role }) => role === "user")) return;
  const got = [...new Set(messages.map(({ role }) => JSON.stringify(role)))].join(", ");
  const sentence = `${field} must have at least one message with the role "user"; got the roles ${got} only.`;
  throw new AltLasError("invalid_input", sentence, { param: field });
}

function* textsIn(messages: readonly Message[]): Iterable<string> {
  for (const { content, toolCalls = [], toolCallId = "", name = "" } of messages) {
    yield content;
    yield toolCallId;
    yield name;
    for (const call of toolCalls) yield call.id + call.name + call.arguments;
  }
}

/** The calls of a conversation, as the messages of its tools answer them. */
class Calls {
  /** The tools that were called, by the ids of the calls. */
  readonly #named = new Map<string, string>();
  /** Those that no tool has answered yet, in their order. */
  readonly #open: Pick<ToolCall, "id" | "name">[] = [];

  made(call: ToolCall): void {
    this.#named.set(call.id, call.name);
    this.#open.push(call);
  }

  /**
   * The call that a tool's message answers. Clients of APIs in which calls have no ids send none: the first call that is open is meant
   * then.
   * @throws {AltLasError} `invalid_input`: it names a call that was not made
   */
  answeredBy({ tool_call_id: given = "", name: tool }: GivenMessage, field: string): Partial<Message> {
    const wanted = given.toWellFormed();
    if (wanted !== "" && !this.#named.has(wanted)) {
      const sentence = `${field}.tool_call_id must be the id of a call in a message before it; got ${shown(wanted)}.`;
      throw new AltLasError("invalid_input", sentence, { param: `${field}.tool_call_id` });
    }
    const named = tool?.toWellFormed();
    const at = this.#open.findIndex((one) =>
      wanted === "" ? named === undefined || one.name === named : one.id === wanted,
    );
    const [call] = at === -1 ? [] : this.#open.splice(at, 1);
    const toolCallId = wanted === "" ? call?.id : wanted;
    const name = named ?? call?.name ?? this.#named.get(wanted);
    return { ...(toolCallId !== undefined && { toolCallId }), ...(name !== undefined && { name }) };
  }
}

/** @param all the calls of the messages before it */
function messageOf(given: GivenMessage, field: string, all: Calls): Message {
  const { role, content: said, tool_calls: calls = [] } = given;
  // Clients send null of an assistant that has called tools, and without such calls it has said nothing.
  if (said === undefined && role !== "assistant") {
    const sentence = `${field}.content is missing or null; it must be ${CONTENT}.`;
    throw new AltLasError("invalid_input", sentence, { param: `${field}.content` });
  }
  const content = flattened(said ?? "", `${field}.content`);
  if (calls.length > 0) {
    if (role !== "assistant") {
      const sentence = `${field}.tool_calls must be left out of a message with the role ${shown(role)}; an assistant calls tools.`;
      throw new AltLasError("invalid_input", sentence, { param: `${field}.tool_calls` });
    }
    const toolCalls = calls.map(callOf);
    for (const call of toolCalls) all.made(call);
    return { role, content, toolCalls };
  }
  return role === "tool" ? { role, content, ...all.answeredBy(given, field) } : { role, content };
}

function callOf({
  id,
  function: { name, arguments: given },
}: NonNullable<GivenMessage["tool_calls"]>[number]): ToolCall {
  return { id: id.toWellFormed(), name: name.toWellFormed(), arguments: given.toWellFormed() };
}

/** One text of a message's parts. @throws {AltLasError} `unsupported`: a part is no text; `invalid_input`: it has none */
function flattened(content: GivenContent, field: string): string {
  if (typeof content === "string") return content.toWellFormed();
  return content.map((part, index) => textOfPart(part, `${field}[${index}]`)).join("\n");
}

function textOfPart({ type, text, ...others }: Part, field: string): string {
  if (type !== "text") {
    const sentence = `${field} is a part of the type ${shown(type)}, which no model here can take; allowed are parts of the type "text".`;
    throw new AltLasError("unsupported", sentence, { param: field });
  }
  const [other] = Object.keys(others);
  if (other !== undefined) {
    const sentence = `${field}.${other} is not a known field; known are type, text.`;
    throw new AltLasError("invalid_input", sentence, { param: `${field}.${other}` });
  }
  if (text === undefined) {
    const sentence = `${field}.text is missing; it must be a string.`;
    throw new AltLasError("invalid_input", sentence, { param: `${field}.text` });
  }
  return text.toWellFormed();
}

/** @throws {AltLasError} `invalid_input`: the texts have more bytes together */
export function refuseLonger(texts: Iterable<string>, field: string, maxBytes: number): void {
  let bytes = 0;
  for (const text of texts) bytes += Buffer.byteLength(text);
  if (bytes <= maxBytes) return;
  const sentence = `${field} must be at most ${maxBytes} bytes in UTF-8 in all; got ${bytes} bytes.`;
  throw new AltLasError("invalid_input", sentence, { param: field });
}
