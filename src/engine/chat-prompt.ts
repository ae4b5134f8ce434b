/** A conversation as the model's own chat template writes it, with what its answer has to be; for all engines that render templates here. */
import type { ChatRequest, TextRequest } from "../request.ts";
import type { AnswerShape } from "./answer-text.ts";
import { EngineFailure } from "./failures.ts";
import { renderedWithForm } from "./format-prompt.ts";
import { type Form, formOf } from "./forms/questions.ts";
import type { PromptPiece } from "./llama/caller-texts.ts";
import type { ChatTemplate } from "./llama/chat-template.ts";
import { mustCall } from "./tools/tool-choice.ts";

export interface ChatPrompt {
  readonly pieces: readonly PromptPiece[];
  readonly shape: AnswerShape;
  /** Of the answer's text, behind the reasoning; null: any text will do. */
  readonly form: Form | null;
}

const NONE: readonly string[] = [];

/**
 * @param template null: the model has none that can be used @param conversation of the request, or its text as a message
 * @throws {EngineFailure} `invalid_input`: the chat template refuses the messages; `unsupported`
 */
export function chatPromptFor(
  template: ChatTemplate | null,
  request: TextRequest,
  { messages, tools }: Pick<ChatRequest, "messages" | "tools">,
): ChatPrompt {
  if (template === null) {
    const sentence = "The model has no chat template, so that it takes a text, but no messages.";
    throw new EngineFailure("unsupported", sentence);
  }
  // A call has no form.
  const format = tools !== undefined && mustCall(tools) ? undefined : request.format;
  const form = formOf(request, template.tools);
  // An answer in a form is short and for a program: without thinking, which may take all of its tokens, where the template has a switch.
  const asked = { thinks: form === null, tools };
  const { pieces, ...shape } = renderedWithForm(messages, format, (all) => template.render(all, asked));
  return { pieces, shape: { stop: request.sampling.stop ?? NONE, marks: template.marks, ...shape }, form };
}
