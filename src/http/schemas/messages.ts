/** Conversations, as clients send them. */
import { Type, type Static } from "typebox";
import { AltLasError } from "../../errors.ts";
import { type Message, MESSAGE_ROLES } from "../../request.ts";
import { shown } from "../../common/validation.ts";
import { closed } from "./common.ts";
import { noTools } from "./not-yet.ts";

const MAX_MESSAGES = 1000;
const MAX_PARTS = 1000;

/** A part that is no text has fields of its own, which are not looked at: the sentence is about its type. */
const Part = Type.Object({ type: Type.String(), text: Type.Optional(Type.String()) });
type Part = Static<typeof Part>;

/** What a message says. */
export type GivenContent = string | readonly Part[];

export const Content = Type.Unsafe<GivenContent>({
  type: ["string", "array"],
  minItems: 1,
  maxItems: MAX_PARTS,
  items: Part,
  allowed: `a string, or a list of 1 to ${MAX_PARTS} text parts`,
  description: 'A string, or a list of parts, `{"type": "text", "text": "…"}`, which are joined by line breaks.',
});

const roles = MESSAGE_ROLES.map((role) => JSON.stringify(role)).join(", ");

const MessageFields = closed(
  {
    role: Type.Enum([...MESSAGE_ROLES], {
      type: "string",
      allowed: `one of ${roles} (what others call "developer" is "system" here)`,
    }),
    content: Content,
    ...noTools("message"),
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

export type GivenMessage = Pick<Static<typeof MessageFields>, "role" | "content">;

/**
 * @param field how the client calls them, as in "batch[3].messages"
 * @param maxBytes of UTF-8, of all of them together
 * @throws {AltLasError} `invalid_input`: they are too long, or no user says anything; `unsupported`: a part is no text
 */
export function messagesOf(given: readonly GivenMessage[], field: string, maxBytes: number): readonly Message[] {
  const messages = given.map(({ role, content }, index) => ({
    role,
    content: flattened(content, `${field}[${index}].content`),
  }));
  refuseLonger(
    messages.map(({ content }) => content),
    field,
    maxBytes,
  );
  if (messages.some(({ role }) => role === "user")) return messages;
  const got = [...new Set(messages.map(({ role }) => JSON.stringify(role)))].join(", ");
  const sentence = `${field} must have at least one message with the role "user"; got the roles ${got} only.`;
  throw new AltLasError("invalid_input", sentence, { param: field });
}

/** One text of a message's parts. @throws {AltLasError} `unsupported`: a part is no text; `invalid_input`: it has none */
export function flattened(content: GivenContent, field: string): string {
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
export function refuseLonger(texts: readonly string[], field: string, maxBytes: number): void {
  let bytes = 0;
  for (const text of texts) bytes += Buffer.byteLength(text);
  if (bytes <= maxBytes) return;
  const sentence = `${field} must be at most ${maxBytes} bytes in UTF-8 in all; got ${bytes} bytes.`;
  throw new AltLasError("invalid_input", sentence, { param: field });
}
