/**
 * Puts the tokens of an answer beside its text, with their probabilities. Text from `AnswerText` is cut where it may be told, which can be
 * within a token; here it waits until its token is whole, so that the lengths of a delta's tokens add up to its text.
 */
import type { Delta, TokenLogprob } from "../output.ts";

type Emit = (delta: Delta, tokens: number) => void;

/** UTF-16 units: a reasoning may have ended so long ago, and not longer, when that shows. */
const LONGEST_MARK = 64;

/** A token that has been generated. Places are UTF-16 units of all that was generated. */
interface Taken {
  readonly start: number;
  readonly end: number;
  readonly logprob: Omit<TokenLogprob, "length">;
}

export class AnswerLogprobs {
  readonly #emit: Emit;
  /** Those that no delta has told yet. */
  #taken: Taken[] = [];
  #length = 0;
  /** Where the text that waits in `#text` begins; undefined: no text has come yet. */
  #from: number | undefined;
  #text = "";

  constructor(emit: Emit) {
    this.#emit = emit;
  }

  /** @param length of what is complete with the token and was not before */
  take(length: number, logprob: Omit<TokenLogprob, "length">): void {
    this.#taken.push({ start: this.#length, end: (this.#length += length), logprob });
  }

  /** @param textAt where the answer's text begins in all that was generated */
  told(delta: Delta, tokens: number, textAt: number): void {
    if (delta.kind !== "text") {
      // No text comes behind a call.
      if (delta.kind === "tool_call") this.end();
      const behind = this.#length - LONGEST_MARK;
      this.#taken = this.#taken.filter(({ end }) => end > behind);
      return this.#emit(delta, tokens);
    }
    if (delta.text !== "" && this.#from === undefined) this.#beginAt(textAt);
    this.#text += delta.text;
    const reached = (this.#from ?? 0) + this.#text.length;
    // A token behind the last one with text begins a character, and is told with those that complete it.
    const whole = this.#taken.findLastIndex(({ start, end }) => end <= reached && end > start) + 1;
    if (this.#text === "" || whole === 0) return this.#emit({ kind: "text", text: "" }, tokens);
    this.#tell(this.#taken.splice(0, whole), tokens);
  }

  /** Emits the text that waits, when none comes any more: of its last token only this part belongs to the answer. */
  end(): void {
    if (this.#text === "") return;
    const reached = this.#from! + this.#text.length;
    const whole = this.#taken.findIndex(({ end }) => end >= reached) + 1;
    this.#tell(this.#taken.splice(0, whole), 0);
  }

  /** Text generated before that place is told by no token. */
  #beginAt(textAt: number): void {
    this.#from = textAt;
    this.#taken = this.#taken.filter(({ start, end }) => end > textAt || start === textAt);
  }

  #tell(taken: readonly Taken[], tokens: number): void {
    const from = this.#from!;
    const reached = Math.min(from + this.#text.length, taken.at(-1)!.end);
    const text = this.#text.slice(0, reached - from);
    this.#text = this.#text.slice(reached - from);
    this.#from = reached;
    const logprobs = taken.map(({ start, end, logprob }) => ({
      ...logprob,
      length: Math.min(end, reached) - Math.max(start, from),
    }));
    this.#emit({ kind: "text", text, logprobs }, tokens);
  }
}
