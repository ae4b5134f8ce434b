/**
 * Tells a model the form that its answer must have. A grammar keeps the answer to the form, but it does not say what belongs in it: a small
 * model that knows nothing of the schema fills it with white space and nonsense. Chat templates say nothing of it, so a message does. The
 * added text is like any other of the caller's: nothing in it is a special token.
 */
import type { AnswerFormat, Message } from "../request.ts";
import { EngineFailure } from "./failures.ts";

/**
 * Renders a conversation that asks for the form: in its system message, or in one that is put before it. Where the template refuses a system
 * message, the first message of the user asks for it.
 * @param format undefined: any text will do, and nothing is added
 * @param render throws `invalid_input` where the model's template refuses the messages
 */
export function renderedWithForm<Rendered>(
  messages: readonly Message[],
  format: AnswerFormat | undefined,
  render: (messages: readonly Message[]) => Rendered,
): Rendered {
  if (format === undefined) return render(messages);
  const instruction = instructionFor(format);
  if (messages[0]?.role === "system") return render(appended(messages, 0, instruction));
  try {
    return render([{ role: "system", content: instruction }, ...messages]);
  } catch (error) {
    const isRefused = error instanceof EngineFailure && error.code === "invalid_input";
    const first = messages.findIndex(({ role }) => role === "user");
    if (!isRefused || first === -1) throw error;
    return render(appended(messages, first, instruction));
  }
}

function instructionFor(format: AnswerFormat): string {
  const what = "Answer in JSON only, with nothing before or behind it";
  return format.kind === "json"
    ? `${what}: one object.`
    : `${what}. The answer must match this JSON schema:\n${JSON.stringify(format.schema)}`;
}

function appended(messages: readonly Message[], at: number, instruction: string): readonly Message[] {
  const { content, ...rest } = messages[at]!;
  const longer = { ...rest, content: content === "" ? instruction : `${content}\n\n${instruction}` };
  return messages.with(at, longer);
}
