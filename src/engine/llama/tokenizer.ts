/** Turns texts into the tokens of a model: those of callers, in which nothing is a special token, and those of its chat template. */
import type { LlamaModel, Token } from "node-llama-cpp";
import { roomBehind } from "../answer-length.ts";
import type { UserTokens } from "./user-tokens.ts";

/** A byte that no SentencePiece vocabulary joins with what follows it. */
export const APART = "\u0001";

export class Tokenizer {
  readonly #model: LlamaModel;
  readonly #userTokens: UserTokens;
  readonly #context: number;

  /** @param context tokens of a prompt and its answer together */
  constructor(model: LlamaModel, userTokens: UserTokens, context: number) {
    this.#context = context;
    this.#model = model;
    this.#userTokens = userTokens;
  }

  /**
   * @param special whether what looks like a special token is one @param isFirst whether nothing stands before it
   * @throws {EngineFailure} `prompt_too_long`, where that shows before all of it has been looked at
   */
  tokensOf(text: string, special: boolean, isFirst = true): Token[] {
    const parts = special ? [text] : this.#userTokens.parts(text);
    if (parts.length === 1) return this.#whole(text, special, isFirst);
    // Each has a token at least, and so many calls would hold up all that runs here.
    roomBehind(parts.length, this.#context);
    return parts.flatMap((part, index) => this.#whole(part, special, isFirst && index === 0));
  }

  #whole(text: string, special: boolean, isFirst: boolean): Token[] {
    // A SentencePiece vocabulary puts a space before whatever it is given.
    if (isFirst || this.#model.vocabularyType !== "spm") return this.#model.tokenize(text, special);
    // The option of node-llama-cpp for this puts a space behind special tokens, too.
    const apart = this.#model.tokenize(APART, false).length;
    return this.#model.tokenize(APART + text, special).slice(apart);
  }
}
