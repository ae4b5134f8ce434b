/** Tells the tokens of one answer: as they are, or up to a stop sequence, with their probabilities where they are asked for. */
import { AnswerLogprobs } from "../answer-logprobs.ts";
import { AnswerText } from "../answer-text.ts";
import type { Generation } from "../engine.ts";
import { oddsOf } from "./odds.ts";
import type { Source } from "./source.ts";

export class Answer {
  readonly #source: Source;
  readonly #emit: Generation["emit"];
  /** null: no stop sequence is looked for. */
  readonly #text: AnswerText | null;
  /** null: nobody asks for probabilities. */
  readonly #beside: AnswerLogprobs | null;
  readonly #top: number;
  /** Whether it has to be told token by token. */
  readonly isSlow: boolean;

  constructor({ request, emit }: Pick<Generation, "request" | "emit">, source: Source) {
    const { stop = [] } = request.sampling;
    const top = request.kind === "embedding" ? undefined : request.logprobs;
    this.#source = source;
    this.#top = top ?? 0;
    this.#beside = top === undefined ? null : new AnswerLogprobs(emit);
    this.#emit = this.#beside === null ? emit : (delta, tokens) => this.#beside!.told(delta, tokens, 0);
    this.#text = stop.length === 0 ? null : new AnswerText({ stop, marks: null }, this.#emit);
    this.isSlow = this.#text !== null || this.#beside !== null || !source.isOneText;
  }

  /** Tells the tokens `from` to `to` (not included), one at a time if it `isSlow`. @returns whether a stop sequence has ended it */
  tell(from: number, to: number): boolean {
    const delta = this.#source.deltaOf(from, to);
    if (delta.kind === "text") {
      this.#beside?.take(delta.text.length, oddsOf(delta.text, from, this.#top));
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
