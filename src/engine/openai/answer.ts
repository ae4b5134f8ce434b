/** What a server has answered to one task so far. */
import { type FinishReason } from "../../task.ts";
import { type GenerateOutcome, type GenerateRequest } from "../engine.ts";
import { UpstreamError } from "../upstream.ts";

/** A high surrogate, or what stands for a part of a character, at the end of a piece. */
const HALF_A_CHARACTER = /[\uD800-\uDBFF\uFFFD]+$/;

/**
 * Takes in what the server sends, in its order, and hands on whole characters. Tokens are counted by pieces, one for each, unless the
 * server counts itself; what it has counted more by the end is told with an empty piece.
 */
export class Answer {
  readonly #request: Pick<GenerateRequest, "begin" | "emit">;
  readonly #progress: () => void;
  #promptTokens: number | null = null;
  #cachedTokens: number | null = null;
  /** As the server counts them; null: it has not told. */
  #counted: number | null = null;
  #emitted = 0;
  #held = "";
  #begun = false;
  #reason: Exclude<FinishReason, "canceled" | "timeout"> | null = null;

  /** @param progress called whenever the answer has got on, before that is handed on */
  constructor(request: Pick<GenerateRequest, "begin" | "emit">, progress: () => void) {
    this.#request = request;
    this.#progress = progress;
  }

  /** Whether some of it has been handed on, so that it cannot be asked for again. */
  get hasBegun(): boolean {
    return this.#begun;
  }

  /** Whether the server has said that it is complete. */
  get isComplete(): boolean {
    return this.#reason !== null;
  }

  /** What the server counts, as far as it has got. @param cached null: not told */
  count(prompt: number, completion: number, cached: number | null): void {
    this.#promptTokens = prompt;
    this.#counted = completion;
    this.#cachedTokens = cached ?? this.#cachedTokens;
  }

  /** The next piece of text; "" says only that the server is at work. */
  add(text: string): void {
    if (!this.#begun) {
      this.#begun = true;
      this.#request.begin?.(this.#promptTokens);
    }
    this.#progress();
    const tokens = this.#counted === null ? Number(text !== "") : Math.max(0, this.#counted - this.#emitted);
    const whole = this.#held + text;
    this.#held = HALF_A_CHARACTER.exec(whole)?.[0] ?? "";
    this.#emit(whole.slice(0, whole.length - this.#held.length), tokens);
  }

  /** @param reason in the server's own words; what is not known to be a limit was its own decision */
  finish(reason: string): void {
    this.#reason = reason === "length" ? "length" : "stop";
  }

  /** @throws {UpstreamError} the server never said that it was complete */
  outcome(): GenerateOutcome {
    if (this.#reason === null) throw new UpstreamError(null, "it ended its answer before that was complete");
    if (!this.#begun) this.add("");
    const missing = Math.max(0, (this.#counted ?? 0) - this.#emitted);
    this.#progress();
    this.#emit(this.#held, missing);
    return this.#outcome(this.#reason);
  }

  canceled(): GenerateOutcome {
    return this.#outcome("canceled");
  }

  #outcome(finishReason: GenerateOutcome["finishReason"]): GenerateOutcome {
    return {
      finishReason,
      promptTokens: this.#promptTokens,
      completionTokens: this.#emitted,
      cachedTokens: this.#cachedTokens,
    };
  }

  #emit(text: string, tokens: number): void {
    if (text === "" && tokens === 0) return;
    this.#emitted += tokens;
    this.#request.emit(text.toWellFormed(), tokens);
  }
}
