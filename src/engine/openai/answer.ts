/** The answer of a server to one task so far. */
import { type FinishReason } from "../../task.ts";
import { type GenerateOutcome, type Generation } from "../engine.ts";
import { type Counted, plausibleTokens } from "../upstream/figures.ts";
import { UpstreamError } from "../upstream/upstream.ts";
import { WholeCharacters } from "../upstream/whole-characters.ts";

/** The most characters taken for one token. The longest that vocabularies have are a few hundred spaces. */
const BYTES_PER_TOKEN = 1024;

/** The request, and the listener for its answer. */
type Asked = Omit<Generation, "signal">;

/** Other known facts. */
export interface AnswerOptions {
  /** Tokens of prompt and answer together; null, or absent: not known. */
  readonly context?: number | null;
  /** Called whenever the answer has got on, before that is handed on. */
  readonly progress?: () => void;
  /** Called with a figure that cannot be true and was left out; part of a sentence. */
  readonly doubt?: (what: string) => void;
}

/**
 * Takes in what the server sends, in its order, and hands on whole characters. Tokens are counted by pieces, one for each, unless the
 * server counts itself, in figures that can be true; what it has counted more by the end is told with an empty piece.
 *
 * However the server counts, no more is handed on than was asked for: as many pieces as tokens, and no more bytes than these can have. It
 * is cut there, and complete.
 */
export class Answer {
  readonly #asked: Asked;
  readonly #options: AnswerOptions;
  readonly #text = new WholeCharacters();
  #told: Counted = { prompt: null, completion: null, cached: null };
  #emitted = 0;
  #pieces = 0;
  #bytes = 0;
  #begun = false;
  /** Whether the server has sent a text at all, were it empty. */
  #hasText = false;
  #isCut = false;
  #reason: Exclude<FinishReason, "canceled" | "timeout"> | null = null;

  constructor(asked: Asked, options: AnswerOptions = {}) {
    this.#asked = asked;
    this.#options = options;
  }

  /** Whether some of it has been handed on, so that it cannot be asked for again. */
  get hasBegun(): boolean {
    return this.#begun;
  }

  /** Whether the server has said that it is complete, and has sent a text, or it was cut here. */
  get isComplete(): boolean {
    return this.#reason !== null && this.#hasText;
  }

  /** Whether it was cut here, so that the server need not go on. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** The server's counts so far; a count that it does not tell is null or absent. */
  count(told: { readonly prompt: unknown; readonly completion: unknown; readonly cached: unknown }): void {
    const { request } = this.#asked;
    const counted = plausibleTokens(told, { request, context: this.#options.context ?? null });
    for (const key of ["prompt", "completion", "cached"] as const) {
      if (counted[key] === null && (told[key] ?? null) !== null)
        this.#options.doubt?.(`${JSON.stringify(told[key]).slice(0, 40)} ${key} tokens of a task`);
    }
    const { prompt, completion, cached } = this.#told;
    this.#told = {
      prompt: counted.prompt ?? prompt,
      completion: counted.completion ?? completion,
      cached: counted.cached ?? cached,
    };
  }

  /** The server is at work; nothing of the text has come. */
  workedOn(): void {
    this.#begin();
    this.#options.progress?.();
  }

  /** The next piece of text; "" is none yet. After the end there is no more. */
  add(text: string): void {
    if (this.#reason !== null) return;
    this.#hasText = true;
    this.workedOn();
    const room = this.#mostTokens * BYTES_PER_TOKEN - this.#bytes;
    const fits = Buffer.byteLength(text) <= room && (text === "" || this.#pieces < this.#mostTokens);
    if (!fits) return this.#cut(this.#pieces < this.#mostTokens ? text : "", room);
    this.#take(text);
  }

  /** The server says that this is all. The first reason counts. */
  finish(reason: Exclude<FinishReason, "canceled" | "timeout">): void {
    this.#reason ??= reason;
  }

  /** @throws {UpstreamError} the server never said that it was complete, or sent no text */
  outcome(): GenerateOutcome {
    if (this.#reason === null) throw new UpstreamError(null, "it ended its answer before that was complete");
    if (!this.#hasText) throw new UpstreamError(null, "it ended its answer without a text");
    // A server that counts fewer than it has sent has not counted.
    const missing = Math.max(0, Math.max(this.#told.completion ?? 0, this.#pieces) - this.#emitted);
    this.#options.progress?.();
    this.#emit(this.#text.end(this.#reason === "length"), missing);
    return this.#outcome(this.#reason);
  }

  canceled(): GenerateOutcome {
    return this.#outcome("canceled");
  }

  get #mostTokens(): number {
    return this.#asked.request.sampling.maxTokens;
  }

  #begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    this.#asked.begin?.(this.#told.prompt);
  }

  #take(text: string): void {
    const { completion } = this.#told;
    const whole = this.#text.add(text);
    this.#pieces += Number(whole !== "");
    this.#bytes += Buffer.byteLength(text);
    const tokens = completion === null ? Number(text !== "") : Math.max(0, completion - this.#emitted);
    this.#emit(whole, tokens);
  }

  /** @param text of which something may fit @param room bytes */
  #cut(text: string, room: number): void {
    const part = Buffer.from(text.slice(0, room)).subarray(0, room);
    if (part.length > 0) this.#take(new TextDecoder().decode(part, { stream: true }));
    this.#isCut = true;
    this.#reason = "length";
    this.#options.doubt?.(`more than the ${this.#mostTokens} tokens that were asked for`);
  }

  #outcome(finishReason: GenerateOutcome["finishReason"]): GenerateOutcome {
    const { prompt: promptTokens, cached: cachedTokens } = this.#told;
    return { finishReason, promptTokens, completionTokens: this.#emitted, cachedTokens };
  }

  #emit(text: string, tokens: number): void {
    if (text === "" && tokens === 0) return;
    const counted = Math.min(tokens, this.#mostTokens - this.#emitted);
    this.#emitted += counted;
    this.#asked.emit({ kind: "text", text }, counted);
  }
}
