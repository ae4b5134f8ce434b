/** Tells the tokens of one answer: as they are, or up to a stop sequence, with their probabilities where they are asked for. */
import { type TokenLogprob } from "../../output.ts";
import { AnswerText } from "../answer-text.ts";
import { type Generation } from "../engine.ts";
import { oddsOf } from "./odds.ts";
import { type Source } from "./source.ts";

export class Answer {
  readonly #source: Source;
  readonly #emit: Generation["emit"];
  /** null: no stop sequence is looked for. */
  readonly #text: AnswerText | null;
  /** null: nobody asks for probabilities. */
  readonly #beside: TokensBeside | null;
  readonly #top: number;
  /** Whether it has to be told token by token. */
  readonly isSlow: boolean;

  constructor({ request, emit }: Pick<Generation, "request" | "emit">, source: Source) {
    const { stop = [] } = request.sampling;
    const top = request.kind === "embedding" ? undefined : request.logprobs;
    this.#source = source;
    this.#top = top ?? 0;
    this.#beside = top === undefined ? null : new TokensBeside(emit);
    this.#emit = this.#beside === null ? emit : (delta, tokens) => this.#beside!.emit(delta, tokens);
    this.#text = stop.length === 0 ? null : new AnswerText({ stop, marks: null }, this.#emit);
    this.isSlow = this.#text !== null || this.#beside !== null || !source.isOneText;
  }

  /** Tells the tokens `from` to `to` (not included), one at a time if it `isSlow`. @returns whether a stop sequence has ended it */
  tell(from: number, to: number): boolean {
    const delta = this.#source.deltaOf(from, to);
    if (delta.kind === "text") {
      this.#beside?.push(oddsOf(delta.text, from, this.#top));
      if (this.#text !== null) return this.#text.push(delta.text, to - from);
    }
    this.#emit(delta, to - from);
    return false;
  }

  /** Tells what was held back, when nothing comes any more. */
  end(): void {
    this.#text?.end();
    this.#beside?.end();
  }
}

/** Puts tokens beside the pieces of text that they bring, wherever the text was cut: a token goes with the piece that completes it. */
class TokensBeside {
  readonly #tell: Generation["emit"];
  readonly #waiting: TokenLogprob[] = [];
  #held = "";

  constructor(tell: Generation["emit"]) {
    this.#tell = tell;
  }

  push(token: TokenLogprob): void {
    this.#waiting.push(token);
  }

  readonly emit: Generation["emit"] = (delta, tokens) => {
    if (delta.kind !== "text") return this.#tell(delta, tokens);
    this.#held += delta.text;
    const complete: TokenLogprob[] = [];
    let length = 0;
    while (this.#waiting.length > 0 && length + this.#waiting[0]!.length <= this.#held.length) {
      const token = this.#waiting.shift()!;
      complete.push(token);
      length += token.length;
    }
    this.#give(length, complete, tokens);
  };

  /** The last token may be cut by a stop sequence. */
  end(): void {
    const [token] = this.#waiting;
    const length = this.#held.length;
    if (length > 0 && token !== undefined) this.#give(length, [{ ...token, length }], 0);
  }

  #give(length: number, logprobs: readonly TokenLogprob[], tokens: number): void {
    const text = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    this.#tell({ kind: "text", text, ...(logprobs.length > 0 && { logprobs }) }, tokens);
  }
}
