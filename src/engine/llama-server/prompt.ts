/**
 * The prompt that a llama.cpp server is sent for a request: a text, where that is safe, or tokens; and what to look for in its answer. The chat template
 * is rendered here, not there: the server's own chat route takes what looks like a special token in a caller's text for that token.
 */
import type { ChatRequest, TextRequest } from "../../request.ts";
import { roomBehind } from "../answer-length.ts";
import type { AnswerShape } from "../answer-text.ts";
import type { Generation } from "../engine.ts";
import { EngineFailure } from "../failures.ts";
import type { PromptPiece } from "../llama/caller-texts.ts";
import type { ChatTemplate } from "../llama/chat-template.ts";
import { APART } from "../llama/tokenizer.ts";
import { chatPromptFor } from "../chat-prompt.ts";
import { answerForms } from "../forms/answer-forms.ts";
import { type Form, formOf } from "../forms/questions.ts";
import { begun, type Frame, type Tokenize } from "./frame.ts";
import { isRoomFor, type PlainText } from "./plain-text.ts";

/** As the server takes it: what looks like a special token in a text is one there. */
export type SentPrompt = string | readonly (number | string)[];

export interface Order {
  readonly prompt: SentPrompt;
  /** Tokens of the prompt; null: the server will tell. */
  readonly tokens: number | null;
  readonly shape: AnswerShape;
  readonly request: TextRequest;
  /** Tokens of the answer, no more than there is room for. */
  readonly maxTokens: number;
  /** The grammar of the answer, with its reasoning, as llama.cpp reads it; null: any text will do. */
  readonly grammar: string | null;
}

export interface PromptsParts {
  readonly plain: PlainText;
  /** null: the model has none that can be used. */
  readonly template: ChatTemplate | null;
  /** Whether a text is continued as it is where its request does not say. */
  readonly raw: boolean;
  /** Tokens of prompt and answer together. */
  readonly context: number;
  readonly tokenize: Tokenize;
  readonly frame: () => Promise<Frame>;
}

/** The facts of an answer that are known before its prompt is. */
interface Answer extends Pick<Order, "request" | "shape"> {
  readonly form: Form | null;
}

/** Without its grammar. */
type Asked = Omit<Order, "grammar"> & Answer;

const NONE: readonly string[] = [];

export class Prompts {
  readonly #parts: PromptsParts;

  constructor(parts: PromptsParts) {
    this.#parts = parts;
  }

  /**
   * @returns one without a grammar, where the signal has aborted
   * @throws {EngineFailure} `prompt_too_long`; `invalid_input`: the chat template refuses the messages, or a schema cannot be compiled; `unsupported`;
   * `model_error`
   */
  async of(request: TextRequest, { signal, by }: Pick<Generation, "signal" | "by">): Promise<Order> {
    const { form, ...order } = await this.#asked(request);
    if (form === null) return { ...order, grammar: null };
    const { marks, isInside = false } = order.shape;
    return { ...order, grammar: await answerForms.gbnfOf({ ...form, reasoning: { marks, isInside } }, signal, by) };
  }

  /** Tokens of a prompt, whatever room there is. @throws {EngineFailure} as `of` */
  async count(request: TextRequest): Promise<number> {
    const { prompt, tokens } = await new Prompts({ ...this.#parts, context: Infinity }).#asked(request);
    if (tokens !== null) return tokens;
    const isWhole = typeof prompt === "string";
    const counts = [prompt].flat().map(async (part) => {
      if (typeof part === "number") return 1;
      return (await this.#parts.tokenize(part, { isWhole, special: true })).length;
    });
    return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
  }

  async #asked(request: TextRequest): Promise<Asked> {
    const { raw, template } = this.#parts;
    if (request.kind === "chat") return this.#chat(request, request);
    if (template === null || (request.raw ?? raw)) return this.#text(request, request.text.toWellFormed());
    return this.#chat(request, { messages: [{ role: "user", content: request.text }] });
  }

  async #text(request: TextRequest, text: string): Promise<Asked> {
    const { plain, context, tokenize } = this.#parts;
    const { maxTokens, stop = NONE } = request.sampling;
    const shape = { stop, marks: null };
    const answer = { request, shape, form: formOf(request, null) };
    if (plain.allows(text, maxTokens, context)) return this.#whole(text, answer);
    return this.#counted(await tokenize(text, { isWhole: true, special: false }), answer);
  }

  async #chat(request: TextRequest, conversation: Pick<ChatRequest, "messages" | "tools">): Promise<Asked> {
    const { template, context } = this.#parts;
    const { pieces, shape, form } = chatPromptFor(template, request, conversation);
    const frame = await this.#parts.frame();
    const [first] = pieces;
    const answer = { request, shape, form };
    if (pieces.length === 1 && first!.special && isRoomFor(first!.text, request.sampling.maxTokens, context))
      return this.#whole(sent(first!.text.toWellFormed(), frame), answer);
    const each = await Promise.all(pieces.map((piece, index) => this.#tokensOf(piece, index === 0 ? null : frame)));
    return this.#counted(begun(each.flat(), frame), answer);
  }

  /** For which there is room in any case. */
  #whole(prompt: SentPrompt, answer: Answer): Asked {
    return { prompt, tokens: null, maxTokens: answer.request.sampling.maxTokens, ...answer };
  }

  #counted(tokens: readonly number[], answer: Answer): Asked {
    if (tokens.length === 0) throw new EngineFailure("model_error", "The prompt has no token that this model knows.");
    const room = roomBehind(tokens.length, this.#parts.context);
    const maxTokens = Math.min(answer.request.sampling.maxTokens, room);
    return { prompt: tokens, tokens: tokens.length, maxTokens, ...answer };
  }

  /** @param frame null: this is the prompt's first piece */
  async #tokensOf({ text, special }: PromptPiece, frame: Frame | null): Promise<readonly number[]> {
    const { tokenize } = this.#parts;
    const apart = frame?.apart ?? null;
    const given = apart === null ? text : APART + text;
    const tokens = await tokenize(given.toWellFormed(), { isWhole: false, special });
    return apart === null ? tokens : tokens.slice(apart.length);
  }
}

/** Most templates begin as the vocabulary wants it themselves, others leave that to the tokenizer. */
function sent(text: string, { before, beforeText }: Frame): SentPrompt {
  if (before.length === 0) return text;
  const rest = text.startsWith(beforeText) ? text.slice(beforeText.length) : text;
  return rest === "" ? before : [...before, rest];
}
