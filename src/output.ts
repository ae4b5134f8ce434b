/**
 * The output of a request: an engine emits deltas, and a result is their sum.
 *
 * A position in an output is the sum of the lengths of the deltas before it. On their way, deltas of one kind that follow each other are
 * put together (in a worker's message, for a slow reader, in the database) and cut (for a reader that has some of them). Neither changes
 * the sum of their lengths. So a position means the same live, in a replay and after a restart, and every attempt counts from 0.
 */

/** Text of the answer. Its length is in UTF-16 units. */
export interface TextDelta {
  readonly kind: "text";
  /** "" where a token has brought no whole character. */
  readonly text: string;
}

/** What a model has written for itself before its answer, between marks that its chat template names. Its length is in UTF-16 units. */
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

/** A tagged union by `kind`. A new kind needs a case in each function here, and one where events and results are made of deltas. */
export type Delta = TextDelta | ReasoningDelta | EmbeddingDelta;

type Writable<T> = { -readonly [Field in keyof T]: T[Field] };

/** A delta that others are appended to. */
export type GrowingDelta = Writable<TextDelta> | Writable<ReasoningDelta> | Writable<EmbeddingDelta>;

export function lengthOf(delta: Delta): number {
  return delta.kind === "embedding" ? 1 : delta.text.length;
}

/** The text of the answer that a delta brings; "": it brings something else. */
export function textOf(delta: Delta): string {
  return delta.kind === "text" ? delta.text : "";
}

/** Puts a delta behind another one, if both are text of one kind. @returns whether they are */
export function append(earlier: GrowingDelta, delta: Delta): boolean {
  if (earlier.kind !== delta.kind || earlier.kind === "embedding" || delta.kind === "embedding") return false;
  earlier.text += delta.text;
  return true;
}

/** All that one run has emitted. */
export class Output {
  readonly #deltas: GrowingDelta[] = [];
  /** The position at its end. */
  length = 0;

  /** As few deltas as possible. They are live: a caller that keeps one sees it grow. */
  get deltas(): readonly Delta[] {
    return this.#deltas;
  }

  add(delta: Delta): void {
    const length = lengthOf(delta);
    if (length === 0) return;
    this.length += length;
    const last = this.#deltas.at(-1);
    if (last === undefined || !append(last, delta)) this.#deltas.push(contentAlone(delta));
  }
}

/** Without what else travels with a delta in a worker's message. */
function contentAlone(delta: Delta): GrowingDelta {
  return delta.kind === "embedding"
    ? { kind: delta.kind, vector: delta.vector }
    : { kind: delta.kind, text: delta.text };
}

/** The part of an output that a result keeps. */
export interface Content {
  /** The generated text alone, without the prompt. */
  readonly text: string;
  /** What the model wrote for itself before it; absent: nothing. */
  readonly reasoning?: string;
  /** The vectors, as in `EmbeddingDelta`; absent: none were asked for. */
  readonly embeddings?: readonly string[];
}

export function contentOf(deltas: readonly Delta[]): Content {
  let text = "";
  let reasoning = "";
  const embeddings: string[] = [];
  for (const delta of deltas) {
    if (delta.kind === "text") text += delta.text;
    else if (delta.kind === "reasoning") reasoning += delta.text;
    else embeddings.push(delta.vector);
  }
  return { text, ...(reasoning !== "" && { reasoning }), ...(embeddings.length > 0 && { embeddings }) };
}

/** An output with that content. Positions in it are those of the output that it was made of, as all reasoning comes before the text. */
export function deltasOf({ text, reasoning = "", embeddings = [] }: Content): readonly Delta[] {
  return [
    ...(reasoning === "" ? [] : [{ kind: "reasoning", text: reasoning } as const]),
    ...(text === "" ? [] : [{ kind: "text", text } as const]),
    ...embeddings.map((vector) => ({ kind: "embedding", vector }) as const),
  ];
}

/** The output behind a position. */
export function after(deltas: readonly Delta[], position: number): readonly Delta[] {
  if (position === 0) return deltas;
  const rest: Delta[] = [];
  let start = 0;
  for (const delta of deltas) {
    const end = start + lengthOf(delta);
    if (position <= start) rest.push(delta);
    else if (position < end && delta.kind !== "embedding") {
      rest.push({ ...delta, text: delta.text.slice(position - start) });
    }
    start = end;
  }
  return rest;
}

/** Whether an output may be cut at a position: the output reaches it, and the cut splits no character. */
export function canCut(deltas: readonly Delta[], position: number): boolean {
  let start = 0;
  for (const delta of deltas) {
    const end = start + lengthOf(delta);
    if (position <= end) return delta.kind === "embedding" || !endsInHalf(delta.text.slice(0, position - start));
    start = end;
  }
  return position <= start;
}

/** Deltas without half a surrogate pair at their end, whose other half has not come yet: each half alone is no character. */
export function wholeCharacters(deltas: readonly Delta[]): readonly Delta[] {
  const last = deltas.at(-1);
  if (last === undefined || last.kind === "embedding" || !endsInHalf(last.text)) return deltas;
  const text = last.text.slice(0, -1);
  return text === "" ? deltas.slice(0, -1) : [...deltas.slice(0, -1), { ...last, text }];
}

function endsInHalf(text: string): boolean {
  return (text.charCodeAt(text.length - 1) & 0xfc_00) === 0xd8_00;
}
