/**
 * The output of a request: an engine emits deltas, and a result is their sum.
 *
 * A position in an output is the sum of the lengths of the deltas before it. On their way, deltas of one kind that follow each other are
 * put together (in a worker's message, for a slow reader, in the database) and cut (for a reader that has some of them). Neither changes
 * the sum of their lengths. So a position means the same live, in a replay and after a restart, and every attempt counts from 0.
 *
 * All reasoning comes before the text, and the text before the calls of tools.
 */
import type { ToolCall } from "./request.ts";

/** Text of the answer. Its length is in UTF-16 units. */
export interface TextDelta {
  readonly kind: "text";
  /** "" where a token has brought no whole character. */
  readonly text: string;
  /** Of its tokens, whose lengths add up to its own; absent: they were not asked for. */
  readonly logprobs?: readonly TokenLogprob[];
}

/** A token that a model could write, with the logarithm of its probability. */
export interface LikelyToken {
  /** The text that it stands for; bytes that are no whole character are shown as U+FFFD. */
  readonly token: string;
  /** Of that text. */
  readonly bytes: readonly number[];
  /** Natural logarithm of the probability that the model gives it, before anything is cut off or changed by how it is drawn. */
  readonly logprob: number;
}

/** A token of the answer. */
export interface TokenLogprob extends LikelyToken {
  /** The likeliest tokens in its place, likeliest first; as many as were asked for. */
  readonly top: readonly LikelyToken[];
  /** UTF-16 units of the text that are complete with it and were not before; 0: it begins a character, which the next tokens complete. */
  readonly length: number;
}

/** Reasoning of a model before its answer, between marks that its chat template names. Its length is in UTF-16 units. */
export interface ReasoningDelta {
  readonly kind: "reasoning";
  readonly text: string;
}

/** One of the vectors that were asked for, in their order. Its length is 1. */
export interface EmbeddingDelta {
  readonly kind: "embedding";
  /** A unit vector: its 32-bit floats, little-endian, in base64, as OpenAI's API writes them. */
  readonly vector: string;
}

/**
 * A piece of a call of a tool. Calls come one behind the other, all of them behind the text. Its length is that of the piece, and 1 more where
 * a call begins.
 */
export interface ToolCallDelta {
  readonly kind: "tool_call";
  /** The call's place among those of the answer, from 0. */
  readonly index: number;
  /** Of the first piece of a call, and of no other: the call's id, and the tool's name. */
  readonly call?: { readonly id: string; readonly name: string };
  /** Of JSON. */
  readonly arguments: string;
}

/** A tagged union by `kind`. A new kind needs a case in each function here, and one where events and results are made of deltas. */
export type Delta = TextDelta | ReasoningDelta | ToolCallDelta | EmbeddingDelta;

type Writable<T> = { -readonly [Field in keyof T]: T[Field] };

interface GrowingText extends Writable<Omit<TextDelta, "logprobs">> {
  logprobs?: TokenLogprob[];
}

/** A delta that others are appended to. */
export type GrowingDelta = GrowingText | Writable<ReasoningDelta> | Writable<ToolCallDelta> | Writable<EmbeddingDelta>;

export function lengthOf(delta: Delta): number {
  switch (delta.kind) {
    case "text":
    case "reasoning":
      return delta.text.length;
    case "tool_call":
      return delta.arguments.length + (delta.call === undefined ? 0 : 1);
    case "embedding":
      return 1;
  }
}

/** The text of the answer that a delta brings; "": it brings something else. */
export function textOf(delta: Delta): string {
  return delta.kind === "text" ? delta.text : "";
}

/** Puts a delta behind another one, if both are parts of one text or of one call. @returns whether they are */
export function append(earlier: GrowingDelta, delta: Delta): boolean {
  switch (delta.kind) {
    case "text":
    case "reasoning":
      if (earlier.kind !== delta.kind) return false;
      earlier.text += delta.text;
      if (earlier.kind === "text" && delta.kind === "text" && delta.logprobs !== undefined)
        earlier.logprobs = appended(earlier.logprobs, delta.logprobs);
      return true;
    case "tool_call":
      if (earlier.kind !== "tool_call" || earlier.index !== delta.index || delta.call !== undefined) return false;
      earlier.arguments += delta.arguments;
      return true;
    case "embedding":
      return false;
  }
}

/** To the list itself: an answer may have a hundred thousand tokens. */
function appended(earlier: TokenLogprob[] = [], logprobs: readonly TokenLogprob[]): TokenLogprob[] {
  for (const token of logprobs) earlier.push(token);
  return earlier;
}

/** All that one run has emitted. */
export class Output {
  readonly #deltas: GrowingDelta[] = [];
  /** The position at its end. */
  length = 0;
  /** Whether it is all that the run has emitted; not so of a run on another machine whose output nobody reads. */
  isWhole = true;

  /** As few deltas as possible. They are live: a caller that keeps one sees it grow. */
  get deltas(): readonly Delta[] {
    return this.#deltas;
  }

  add(delta: Delta): void {
    const length = lengthOf(delta);
    if (length === 0) return;
    this.length += length;
    const last = this.#deltas.at(-1);
    if (last === undefined || !append(last, delta)) this.#deltas.push(growing(delta));
  }
}

/** A delta's content, without what else travels with it in a worker's message, for others to be appended to. */
export function growing(delta: Delta): GrowingDelta {
  const { kind } = delta;
  switch (kind) {
    case "text":
      return { kind, text: delta.text, ...(delta.logprobs && { logprobs: [...delta.logprobs] }) };
    case "reasoning":
      return { kind, text: delta.text };
    case "tool_call": {
      const { index, call, arguments: piece } = delta;
      return { kind, index, ...(call && { call }), arguments: piece };
    }
    case "embedding":
      return { kind, vector: delta.vector };
  }
}

/** The part of an output that a result keeps. */
export interface Content {
  /** The generated text alone, without the prompt. */
  readonly text: string;
  /** The reasoning of the model before it; absent: none. */
  readonly reasoning?: string;
  /** The calls that the model has made; absent: none. */
  readonly toolCalls?: readonly ToolCall[];
  /** Of the text's tokens; absent: they were not asked for. */
  readonly logprobs?: readonly TokenLogprob[];
  /** The vectors, as in `EmbeddingDelta`; absent: none were asked for. */
  readonly embeddings?: readonly string[];
}

export function contentOf(deltas: readonly Delta[]): Content {
  const { text, reasoning, logprobs, calls, embeddings } = sumOf(deltas);
  return {
    text,
    ...(reasoning !== "" && { reasoning }),
    ...(calls.length > 0 && { toolCalls: calls }),
    ...(logprobs && { logprobs }),
    ...(embeddings.length > 0 && { embeddings }),
  };
}

function sumOf(deltas: readonly Delta[]) {
  let [text, reasoning] = ["", ""];
  let logprobs: TokenLogprob[] | undefined;
  const calls: Writable<ToolCall>[] = [];
  const embeddings: string[] = [];
  for (const delta of deltas) {
    if (delta.kind === "text") {
      text += delta.text;
      if (delta.logprobs !== undefined) logprobs = appended(logprobs, delta.logprobs);
    } else if (delta.kind === "reasoning") reasoning += delta.text;
    else if (delta.kind === "embedding") embeddings.push(delta.vector);
    else if (delta.call !== undefined) calls.push({ ...delta.call, arguments: delta.arguments });
    else calls.at(-1)!.arguments += delta.arguments;
  }
  return { text, reasoning, logprobs, calls, embeddings };
}

/** An output with that content. Positions in it are those of the output that it was made of, as its kinds always come in this order. */
export function deltasOf({
  text,
  reasoning = "",
  toolCalls = [],
  logprobs,
  embeddings = [],
}: Content): readonly Delta[] {
  return [
    ...(reasoning === "" ? [] : [{ kind: "reasoning", text: reasoning } as const]),
    ...(text === "" ? [] : [{ kind: "text", text, ...(logprobs && { logprobs }) } as const]),
    ...toolCalls.map(({ id, name, arguments: all }, index) => callDelta(index, all, { id, name })),
    ...embeddings.map((vector) => ({ kind: "embedding", vector }) as const),
  ];
}

function callDelta(index: number, piece: string, call?: ToolCallDelta["call"]): ToolCallDelta {
  return { kind: "tool_call", index, ...(call && { call }), arguments: piece };
}

/** The output behind a position. */
export function after(deltas: readonly Delta[], position: number): readonly Delta[] {
  if (position === 0) return deltas;
  const rest: Delta[] = [];
  let start = 0;
  for (const delta of deltas) {
    const end = start + lengthOf(delta);
    if (position <= start) rest.push(delta);
    else if (position < end) rest.push(behind(delta, position - start));
    start = end;
  }
  return rest;
}

/** @param length of the part that is left out: more than 0, less than that of the delta, which therefore is no vector */
function behind(delta: Delta, length: number): Delta {
  switch (delta.kind) {
    case "text": {
      const { kind, text, logprobs } = delta;
      return { kind, text: text.slice(length), ...(logprobs && { logprobs: between(logprobs, length, text.length) }) };
    }
    case "reasoning":
      return { ...delta, text: delta.text.slice(length) };
    case "tool_call":
      return callDelta(delta.index, delta.arguments.slice(length - (delta.call === undefined ? 0 : 1)));
    case "embedding":
      return delta;
  }
}

/** The tokens that are complete behind one place of a text and up to another; each with those before it that its first character needs. */
function between(logprobs: readonly TokenLogprob[], from: number, to: number): readonly TokenLogprob[] {
  let end = 0;
  return logprobs.filter(({ length }) => {
    end += length;
    return length === 0 ? end >= from && end < to : end > from && end <= to;
  });
}

/** Whether an output may be cut at a position: the output reaches it, and the cut splits no character. */
export function canCut(deltas: readonly Delta[], position: number): boolean {
  let start = 0;
  for (const delta of deltas) {
    const end = start + lengthOf(delta);
    if (position <= end)
      return !endsInHalf(wordsOf(delta).slice(0, Math.max(0, position - end + wordsOf(delta).length)));
    start = end;
  }
  return position <= start;
}

/** Deltas without half a surrogate pair at their end, whose other half has not come yet: each half alone is no character. */
export function wholeCharacters(deltas: readonly Delta[]): readonly Delta[] {
  const last = deltas.at(-1);
  if (last === undefined || !endsInHalf(wordsOf(last))) return deltas;
  const whole = withoutLast(last);
  return lengthOf(whole) === 0 ? deltas.slice(0, -1) : [...deltas.slice(0, -1), whole];
}

function withoutLast(delta: Delta): Delta {
  switch (delta.kind) {
    case "text": {
      const { kind, text, logprobs } = delta;
      const rest = text.slice(0, -1);
      return { kind, text: rest, ...(logprobs && { logprobs: between(logprobs, 0, rest.length) }) };
    }
    case "reasoning":
      return { ...delta, text: delta.text.slice(0, -1) };
    case "tool_call":
      return callDelta(delta.index, delta.arguments.slice(0, -1), delta.call);
    case "embedding":
      return delta;
  }
}

/** The part of a delta that is characters, at its end. */
function wordsOf(delta: Delta): string {
  return delta.kind === "embedding" ? "" : delta.kind === "tool_call" ? delta.arguments : delta.text;
}

function endsInHalf(text: string): boolean {
  return (text.charCodeAt(text.length - 1) & 0xfc_00) === 0xd8_00;
}
