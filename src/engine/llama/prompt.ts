/** Turns a request to generate text into the tokens of a model's prompt, and into what to look for in its answer. */
import type { LlamaModel, Token } from "node-llama-cpp";
import type { ChatRequest, Request, TextRequest } from "../../request.ts";
import type { AnswerShape } from "../answer-text.ts";
import { EngineFailure } from "../failures.ts";
import { chatPromptFor } from "../chat-prompt.ts";
import { type Form, formOf } from "../forms/questions.ts";
import type { ChatTemplate } from "./chat-template.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface Prompt {
  /** At least one. */
  readonly tokens: Token[];
  readonly shape: AnswerShape;
  /** The form of the answer's text, behind the reasoning; null: any text. */
  readonly form: Form | null;
}

const NONE: readonly string[] = [];

export class Prompts {
  readonly #model: LlamaModel;
  readonly #tokenizer: Tokenizer;
  readonly #template: ChatTemplate | null;
  readonly #raw: boolean;

  /** @param raw whether a text is continued as it is where its request does not say */
  constructor(model: LlamaModel, tokenizer: Tokenizer, template: ChatTemplate | null, raw: boolean) {
    this.#model = model;
    this.#tokenizer = tokenizer;
    this.#template = template;
    this.#raw = raw;
  }

  /** @throws {EngineFailure} `unsupported`; `invalid_input`: the chat template refuses the messages; `model_error`: there is no token to begin with */
  of(request: Request): Prompt {
    if (request.kind === "embedding") throw new EngineFailure("unsupported", "This model generates text only.");
    if (request.kind === "chat") return this.#chat(request, request);
    if (this.#template !== null && !(request.raw ?? this.#raw))
      return this.#chat(request, { messages: [{ role: "user", content: request.text }] });
    // A special token in a caller's text is only text.
    const tokens = this.#begun(this.#tokenizer.tokensOf(request.text, false), true);
    return { tokens, shape: { stop: request.sampling.stop ?? NONE, marks: null }, form: formOf(request, null) };
  }

  #chat(request: TextRequest, conversation: Pick<ChatRequest, "messages" | "tools">): Prompt {
    const { pieces, shape, form } = chatPromptFor(this.#template, request, conversation);
    const tokens = pieces.flatMap(({ text, special }, index) => this.#tokenizer.tokensOf(text, special, index === 0));
    const { bos } = this.#model.tokens;
    // Most templates begin with it themselves, others leave that to the tokenizer.
    const isBegun = bos !== null && tokens[0] === bos;
    return {
      tokens: this.#begun(tokens, !isBegun),
      shape: { ...shape, isFormed: form !== null },
      form,
    };
  }

  #begun(tokens: Token[], lacksBos: boolean): Token[] {
    const { bos, eos, nl, shouldPrependBosToken } = this.#model.tokens;
    if (lacksBos && bos !== null && shouldPrependBosToken) tokens.unshift(bos);
    if (tokens.length > 0) return tokens;
    const start = bos ?? eos ?? nl;
    if (start === null) throw new EngineFailure("model_error", "The prompt has no token that this model knows.");
    return [start];
  }
}
