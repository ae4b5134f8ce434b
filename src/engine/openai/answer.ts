/** The answer of a server to one task so far. */
import type { FinishReason } from "../../task.ts";
import { type AnswerShape, AnswerText, isShaped } from "../answer-text.ts";
import type { GenerateOutcome, Generation } from "../engine.ts";
import { EngineFailure } from "../failures.ts";
import { ToldTokens } from "../told-tokens.ts";
import { type Counted, plausibleTokens, type TokenBounds, tokenBounds } from "../upstream/figures.ts";
import { tokensIn } from "../upstream/logprobs.ts";
import { UpstreamError } from "../upstream/upstream.ts";
import { WholeCharacters } from "../upstream/whole-characters.ts";
import type { Delta, ToolCallDelta } from "../../output.ts";
import type { Tools } from "../../request.ts";
import { Calls } from "./calls.ts";

/** The most characters taken for one token. The longest that vocabularies have are a few hundred spaces. */
const BYTES_PER_TOKEN = 1024;

/** The request, and the listener for its answer. */
type Asked = Omit<Generation, "signal">;

/** Other known facts. */
export interface AnswerOptions {
  /** Tokens of prompt and answer together; null, or absent: not known. */
  readonly context?: number | null;
  /** The parts to look for in the text; absent: none. */
  readonly shape?: AnswerShape;
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
 * is cut there, and complete. So it is before a stop sequence, as some servers send that too, and behind the first call of a tool where
 * there may be only one. All reasoning comes before the text, and the text before the calls; what comes later is left out.
 */
export class Answer {
  readonly #asked: Asked;
  readonly #options: AnswerOptions;
  readonly #text = new WholeCharacters();
  /** Of the reasoning that the server tells apart; null: none has come, or it is over. */
  #reasoning: WholeCharacters | null = null;
  #hasBegunText = false;
  /** null: all of the text is handed on as it comes. */
  readonly #shaped: AnswerText | null;
  /** null: the model was told of no tools. */
  readonly #tools: Tools | null;
  readonly #calls = new Calls();
  readonly #bounds: TokenBounds;
  /** null: no probabilities were asked for. */
  readonly #tokens: ToldTokens | null;
  /** Where the deltas go. */
  readonly #hand: (delta: Delta, tokens: number) => void;
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
    const { shape } = options;
    const { request, emit } = asked;
    this.#bounds = tokenBounds({ request, context: options.context ?? null });
    this.#tools = (request.kind === "chat" && request.tools) || null;
    const isAsked = request.kind !== "embedding" && request.logprobs !== undefined;
    const tokens = isAsked ? new ToldTokens(emit, (what) => this.#doubt(what)) : null;
    this.#tokens = tokens;
    this.#hand = tokens === null ? emit : (delta, count) => tokens.emit(delta, count);
    this.#shaped = shape !== undefined && isShaped(shape) ? new AnswerText(shape, this.#hand) : null;
  }

  /** Whether some of it has been handed on, so that it cannot be asked for again. */
  get hasBegun(): boolean {
    return this.#begun;
  }

  /** Whether the server has said that it is complete, and has sent a text, or it was cut here. */
  get isComplete(): boolean {
    return this.#reason !== null && this.#hasText;
  }

  /** Whether it asks for a tool. */
  get hasCalls(): boolean {
    return this.#calls.count > 0;
  }

  /** Whether the model was told of tools. */
  get mayCall(): boolean {
    return this.#tools !== null;
  }

  /** Whether it was cut here, so that the server need not go on. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** The server's counts so far; a count that it does not tell is null or absent. */
  count(told: { readonly prompt: unknown; readonly completion: unknown; readonly cached: unknown }): void {
    const counted = plausibleTokens(told, this.#bounds);
    for (const key of ["prompt", "completion", "cached"] as const) {
      if (counted[key] === null && (told[key] ?? null) !== null)
        this.#doubt(`${JSON.stringify(told[key]).slice(0, 40)} ${key} tokens of a task`);
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

  /** The next piece of text, and of the reasoning before it; "" is none yet. After the end there is no more. */
  add(text: string, reasoning = ""): void {
    if (this.#reason !== null) return;
    this.#hasText = true;
    this.workedOn();
    if (this.hasCalls) return this.#leaveOut(text + reasoning);
    const room = this.#mostTokens * BYTES_PER_TOKEN - this.#bytes;
    const bytes = Buffer.byteLength(text) + (reasoning === "" ? 0 : Buffer.byteLength(reasoning));
    const hasPiece = this.#pieces < this.#mostTokens;
    if (bytes <= room && (bytes === 0 || hasPiece)) this.#take(text, reasoning);
    else this.#cut(hasPiece ? text : "", hasPiece ? reasoning : "", room);
  }

  /** The tokens of what is added next, or was added already, as the server tells them; of no interest where none were asked for. */
  tell(logprobs: unknown): void {
    const { request } = this.#asked;
    if (this.#tokens === null || request.kind === "embedding" || this.#reason !== null) return;
    this.#tokens.tell(tokensIn(logprobs, request.logprobs ?? 0, (what) => this.#doubt(what)));
  }

  /** The next pieces of calls, as the server tells them. @throws {UpstreamError} they make no sense */
  call(told: readonly unknown[]): void {
    if (this.#reason !== null) return;
    this.#hasText = true;
    this.workedOn();
    const isFirst = !this.hasCalls;
    const pieces = this.#calls.take(told);
    if (isFirst && pieces.length > 0) this.#endText(0);
    for (const piece of pieces) this.#takeCall(piece);
  }

  /** The server says that this is all. The first reason counts. */
  finish(reason: Exclude<FinishReason, "canceled" | "timeout">): void {
    this.#reason ??= reason;
  }

  /**
   * @throws {UpstreamError} the server never said that it was complete, or sent no text
   * @throws {EngineFailure} it did not do what was asked of it
   */
  outcome(): GenerateOutcome {
    if (this.#reason === null) throw new UpstreamError(null, "it ended its answer before that was complete");
    if (!this.#hasText) throw new UpstreamError(null, "it ended its answer without a text");
    // A server that counts fewer than it has sent has not counted.
    const missing = Math.max(0, Math.max(this.#told.completion ?? 0, this.#pieces) - this.#emitted);
    this.#options.progress?.();
    if (!this.hasCalls) this.#endText(missing);
    else {
      for (const piece of this.#calls.end(this.#reason === "length")) this.#handCall(piece, 0);
      this.#emit("text", "", missing);
    }
    this.#checkChoice();
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

  #take(text: string, reasoning: string): void {
    const tokens = this.#tokensOf(text !== "" || reasoning !== "");
    this.#bytes += Buffer.byteLength(text);
    if (reasoning !== "") this.#takeReasoning(reasoning, text === "" ? tokens : 0);
    if (text === "" && reasoning !== "") return;
    if (text !== "") this.#endReasoning();
    const whole = this.#text.add(text);
    this.#pieces += Number(whole !== "");
    this.#emit("text", whole, tokens);
  }

  #takeReasoning(text: string, tokens: number): void {
    this.#bytes += Buffer.byteLength(text);
    if (this.#hasBegunText) {
      this.#doubt("reasoning behind the text that it is for");
      return this.#emit("text", "", tokens);
    }
    const whole = (this.#reasoning ??= new WholeCharacters()).add(text);
    // A piece that brings both is one.
    this.#pieces += Number(whole !== "" && tokens > 0);
    this.#emit("reasoning", whole, tokens);
  }

  #endReasoning(): void {
    const rest = this.#reasoning?.end(false) ?? "";
    this.#reasoning = null;
    this.#emit("reasoning", rest, 0);
  }

  /** @param text of which something may fit, as of the reasoning @param room bytes */
  #cut(text: string, reasoning: string, room: number): void {
    const thought = firstBytes(reasoning, room);
    const rest = firstBytes(text, room - Buffer.byteLength(thought));
    if (thought !== "" || rest !== "") this.#take(rest, thought);
    this.#end("length");
    this.#doubt(`more than the ${this.#mostTokens} tokens that were asked for`);
  }

  /** Tokens of what has just come. @param isPiece whether that says anything */
  #tokensOf(isPiece: boolean): number {
    const { completion } = this.#told;
    return completion === null ? Number(isPiece) : Math.max(0, completion - this.#emitted);
  }

  /** @param missing tokens that no piece has told */
  #endText(missing: number): void {
    this.#endReasoning();
    this.#emit("text", this.#text.end(this.#reason === "length"), missing);
    if (this.#shaped?.end() === true) this.#reason = "stop";
    this.#tokens?.end();
  }

  /** Text behind a call. */
  #leaveOut(text: string): void {
    this.#emit("text", "", this.#tokensOf(text !== ""));
    if (text.trim() !== "") this.#doubt("text behind a call of a tool");
  }

  #takeCall(piece: ToolCallDelta): void {
    if (this.#reason !== null) return;
    if (piece.index > 0 && this.#tools?.parallel === false) return this.#end("stop");
    const bytes = Buffer.byteLength(piece.arguments);
    if (this.#bytes + bytes > this.#mostTokens * BYTES_PER_TOKEN || this.#pieces >= this.#mostTokens)
      return this.#cut("", "", 0);
    this.#bytes += bytes;
    this.#pieces++;
    this.#handCall(piece, this.#tokensOf(true));
  }

  #handCall(piece: ToolCallDelta, tokens: number): void {
    const counted = Math.min(tokens, this.#mostTokens - this.#emitted);
    this.#emitted += counted;
    this.#hand(piece, counted);
  }

  /** @throws {EngineFailure} `model_error`: a call was asked for, and none has come, or another one */
  #checkChoice(): void {
    const { choice = "auto" } = this.#tools ?? {};
    if (choice === "auto" || this.#reason !== "stop") return;
    const called = this.#calls.firstName;
    if (called !== null && (choice === "required" || choice.name === called)) return;
    const wanted = choice === "required" ? "a call of a tool" : `a call of ${choice.name}`;
    const got = called === null ? "there is none" : `it calls ${called}`;
    throw new EngineFailure("model_error", `tool_choice asks for ${wanted}, but in the server's answer ${got}.`);
  }

  #doubt(what: string): void {
    this.#options.doubt?.(what);
  }

  /** It is cut here. A stop sequence in what fits has ended it before. */
  #end(reason: "stop" | "length"): void {
    this.#isCut = true;
    this.#reason ??= reason;
  }

  #outcome(finishReason: GenerateOutcome["finishReason"]): GenerateOutcome {
    const { prompt: promptTokens, cached: cachedTokens } = this.#told;
    return { finishReason, promptTokens, completionTokens: this.#emitted, cachedTokens };
  }

  #emit(kind: "text" | "reasoning", text: string, tokens: number): void {
    if (text === "" && tokens === 0) return;
    const counted = Math.min(tokens, this.#mostTokens - this.#emitted);
    this.#emitted += counted;
    if (kind === "text" && text !== "") this.#hasBegunText = true;
    if (kind === "reasoning" || this.#shaped === null || this.hasCalls) this.#hand({ kind, text }, counted);
    else if (this.#shaped.push(text, counted)) this.#end("stop");
  }
}

/** As many whole characters as fit. */
function firstBytes(text: string, room: number): string {
  const part = Buffer.from(text.slice(0, Math.max(0, room))).subarray(0, Math.max(0, room));
  return part.length === 0 ? "" : new TextDecoder().decode(part, { stream: true });
}
