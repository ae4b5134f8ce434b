/** The tokens that the vocabulary of a llama.cpp server wants around each prompt. Only the server knows them for certain. */
import type { ModelHeader } from "../llama/header.ts";
import { APART } from "../llama/tokenizer.ts";

/** How a text is turned into tokens. */
export interface Tokenizing {
  /** Whether it gets what the vocabulary wants around a prompt. */
  readonly isWhole: boolean;
  /** Whether what looks like a special token is one. */
  readonly special: boolean;
}

export type Tokenize = (text: string, how: Tokenizing) => Promise<readonly number[]>;

export interface Frame {
  readonly before: readonly number[];
  /** The text of `before`. */
  readonly beforeText: string;
  readonly after: readonly number[];
  /** Tokens of `APART`, where a text inside a prompt is not cut into the same tokens as one at its beginning; null: it is. */
  readonly apart: readonly number[] | null;
}

/** The frame, for which the server is asked when it is needed first, and again where it could not say. */
export function frameOf(header: ModelHeader, tokenize: Tokenize): () => Promise<Frame> {
  let asked: Promise<Frame> | undefined;
  return () =>
    (asked ??= ask(header, tokenize).catch((error: unknown) => {
      asked = undefined;
      throw error;
    }));
}

async function ask({ insights }: ModelHeader, tokenize: Tokenize): Promise<Frame> {
  const { tokens: texts = [], model } = insights.ggufFileInfo.metadata.tokenizer?.ggml ?? {};
  // A SentencePiece vocabulary puts a space before whatever it is given; others may leave that byte out.
  const putsSpace = model === "llama";
  const text = putsSpace ? APART : "a";
  const both = [true, false].map((isWhole) => tokenize(text, { isWhole, special: false }));
  const [whole = [], alone = []] = await Promise.all(both);
  const at = Math.max(0, whole.indexOf(alone[0]!));
  const before = whole.slice(0, at);
  return {
    before,
    beforeText: before.map((token) => texts[token] ?? "").join(""),
    after: whole.slice(at + alone.length),
    apart: putsSpace ? alone : null,
  };
}

/** Tokens with what the vocabulary wants before them, unless they begin so. */
export function begun(tokens: readonly number[], { before }: Frame): readonly number[] {
  return before.every((token, index) => tokens[index] === token) ? tokens : [...before, ...tokens];
}

/** As `begun`, with what it wants behind them, too. */
export function framed(tokens: readonly number[], frame: Frame): readonly number[] {
  const { after } = frame;
  const all = begun(tokens, frame);
  return after.every((token, index) => all.at(index - after.length) === token) ? all : [...all, ...after];
}
