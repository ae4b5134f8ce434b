/**
 * Gives the text of an answer the tokens that a server tells it is made of. A server tells tokens beside a text that may lag behind them, that
 * lacks what was cut off or taken out of it, and of which it may have lost tokens; so each is found in the text by what it says.
 */
import type { Delta, LikelyToken, TokenLogprob } from "../output.ts";
import { EngineFailure } from "./failures.ts";

/** A token of an answer, whose place in the text is not known yet. */
export type ToldToken = Omit<TokenLogprob, "length">;

/** Natural logarithm of what is as good as impossible, as OpenAI's API has it; servers tell all that JSON can say. */
const IMPOSSIBLE = -9999;
/** A logarithm above this is that of no probability; up to it, of a sum that was rounded. */
const ROUNDED = 1e-3;
/** UTF-16 units; the longest that vocabularies have are a few hundred spaces. */
const LONGEST_TOKEN = 1024;
/** How OpenAI's API writes a token whose bytes are no text where it has no other place for them. */
const BYTES = /^bytes:((?:\\x[\da-f]{2})+)$/i;

/** @param bytes absent or null: those of the text @returns null: it is none */
export function likelyToken(token: unknown, logprob: unknown, bytes?: unknown): LikelyToken | null {
  if (typeof token !== "string" || token.length > LONGEST_TOKEN || typeof logprob !== "number" || logprob > ROUNDED)
    return null;
  const told = bytesIn(bytes) ?? bytesNamedBy(token) ?? [...Buffer.from(token)];
  return { token: Buffer.from(told).toString(), bytes: told, logprob: Math.min(0, Math.max(IMPOSSIBLE, logprob)) };
}

function bytesIn(value: unknown): readonly number[] | null {
  if (!Array.isArray(value) || value.length > 4 * LONGEST_TOKEN) return null;
  const areBytes = value.every((byte) => Number.isInteger(byte) && byte >= 0 && byte <= 255);
  return areBytes ? (value as number[]) : null;
}

function bytesNamedBy(token: string): readonly number[] | null {
  const hex = BYTES.exec(token)?.[1];
  return hex === undefined ? null : [...Buffer.from(hex.replaceAll("\\x", ""), "hex")];
}

/** UTF-16 units in which a token is looked for behind the place where it should be: what lost tokens may have been. */
const LOOKED_THROUGH = 256;
/** Tokens that are looked at for one that fits better. */
const LOOKED_AHEAD = 8;
/** Tokens that are kept until their text comes. */
const MOST_WAITING = 4096;
/** UTF-16 units that are waited for without a token, before the server is taken for one that tells none. */
const MOST_TEXT = 4096;

interface Waiting {
  readonly token: ToldToken;
  /** The characters that are complete with it; "": it begins one. */
  readonly said: string;
}

/** One answer. Its deltas go through here on their way out, behind everything that cuts text or takes it out. */
export class ToldTokens {
  readonly #emit: (delta: Delta, tokens: number) => void;
  readonly #doubt: (what: string) => void;
  readonly #decoder = new TextDecoder();
  #waiting: Waiting[] = [];
  /** Text that has no token yet. */
  #text = "";
  /** Tokens that begin a character, for the delta that completes it. */
  #begun: TokenLogprob[] = [];
  #hasAny = false;
  #isOver = false;

  /** @param emit hears the deltas with their tokens @param doubt hears what was left out; part of a sentence */
  constructor(emit: (delta: Delta, tokens: number) => void, doubt: (what: string) => void) {
    this.#emit = emit;
    this.#doubt = doubt;
  }

  /** The server tells tokens, of a text that comes with them or later. */
  tell(tokens: readonly ToldToken[]): void {
    if (this.#isOver) return;
    for (const token of tokens) {
      const said = this.#decoder.decode(Uint8Array.from(token.bytes), { stream: true });
      this.#waiting.push({ token, said });
      this.#hasAny = true;
    }
    if (this.#waiting.length <= MOST_WAITING) return;
    this.#waiting = this.#waiting.slice(-MOST_WAITING);
    this.#doubt("tokens without a text");
  }

  /** A delta of the answer. @throws {EngineFailure} `unsupported`: the server tells no tokens */
  emit(delta: Delta, tokens: number): void {
    if (delta.kind !== "text" || this.#isOver) {
      if (delta.kind === "reasoning") this.#pass(delta.text);
      else this.end();
      return this.#emit(delta, tokens);
    }
    this.#text += delta.text;
    const found = this.#find();
    const text = this.#text.slice(0, lengthOf(found));
    if (text === "") {
      if (!this.#hasAny && this.#text.length > MOST_TEXT) throw none();
      // It is told that they have been generated.
      return this.#emit({ kind: "text", text: "" }, tokens);
    }
    this.#text = this.#text.slice(text.length);
    this.#emit({ kind: "text", text, logprobs: found }, tokens);
  }

  /** No text comes any more. @throws as `emit` */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const text = this.#text;
    if (text === "") return;
    if (!this.#hasAny) throw none();
    const cut = this.#waiting.find(({ said }) => said.startsWith(text));
    const last = cut === undefined ? this.#begun.pop() : { ...cut.token, length: 0 };
    // Nothing is known of it, and it is the end.
    if (last === undefined) this.#doubt("a text without the tokens of its end");
    const logprobs = [...this.#begun, ...(last === undefined ? [] : [{ ...last, length: text.length }])];
    this.#emit({ kind: "text", text, logprobs }, 0);
  }

  /** The tokens that the text begins with, which are taken off those that wait. */
  #find(): TokenLogprob[] {
    const found: TokenLogprob[] = [];
    let text = this.#text;
    for (;;) {
      const place = placeIn(text, this.#waiting);
      if (place === "later") return found;
      const { token } = this.#waiting.shift()!;
      if (place === "begins") this.#begun.push({ ...token, length: 0 });
      if (typeof place === "string") continue;
      found.push(...this.#withBegun(token, place));
      text = text.slice(place.at + place.length);
    }
  }

  /** Text before the token's place belongs to the token that has begun a character, or to tokens that were lost. */
  #withBegun(token: ToldToken, { at, length }: Place): TokenLogprob[] {
    const begun = this.#begun;
    this.#begun = [];
    const last = begun.pop();
    if (last === undefined) return [{ ...token, length: at + length }];
    return [...begun, { ...last, length: at }, { ...token, length }];
  }

  /** Reasoning, whose tokens are not told. */
  #pass(reasoning: string): void {
    let text = reasoning;
    while (text !== "") {
      const place = placeIn(text, this.#waiting);
      if (place === "later") return;
      this.#waiting.shift();
      if (typeof place !== "string") text = text.slice(place.at + place.length);
    }
  }
}

/** UTF-16 units of a text that are a token's. */
interface Place {
  readonly at: number;
  readonly length: number;
}

/** Where a text has the first of the tokens that wait; `later`: there is not enough of it; `begins`: the token only begins a character. */
function placeIn(text: string, waiting: readonly Waiting[]): Place | "later" | "begins" | "nowhere" {
  const [first] = waiting;
  if (first === undefined || (text !== "" && first.said.startsWith(text) && first.said !== text)) return "later";
  const said = text.startsWith(first.said) ? first.said : wordsIn(first.said);
  if (said === "") return "begins";
  if (text.startsWith(said)) return { at: 0, length: said.length };
  if (said.startsWith(text)) return "later";
  const next = waiting.slice(1, 1 + LOOKED_AHEAD);
  const isAhead = next.some((other) => other.said !== "" && text.startsWith(other.said));
  const at = isAhead ? -1 : text.slice(0, LOOKED_THROUGH + said.length).indexOf(said);
  return at === -1 ? "nowhere" : { at, length: said.length };
}

/** Without what stands for bytes that are no whole character. */
function wordsIn(said: string): string {
  return said.replaceAll("\ufffd", "");
}

function lengthOf(tokens: readonly TokenLogprob[]): number {
  return tokens.reduce((all, { length }) => all + length, 0);
}

function none(): EngineFailure {
  return new EngineFailure("unsupported", "The server behind this GPU told no logprobs, for which it was asked.");
}
