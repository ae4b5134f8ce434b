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

/** A tagged union by `kind`. A new kind needs a case in each function here, and one where events and results are made of deltas. */
export type Delta = TextDelta;

/** A delta that others are appended to. */
export type GrowingDelta = { -readonly [Field in keyof Delta]: Delta[Field] };

export function lengthOf(delta: Delta): number {
  return delta.text.length;
}

/** Puts a delta behind another one, if both are of one kind. @returns whether they are */
export function append(earlier: GrowingDelta, delta: Delta): boolean {
  if (earlier.kind !== delta.kind) return false;
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
    if (last === undefined || !append(last, delta)) this.#deltas.push({ kind: delta.kind, text: delta.text });
  }
}

/** The part of an output that a result keeps. */
export interface Content {
  /** The generated text alone, without the prompt. */
  readonly text: string;
}

export function contentOf(deltas: readonly Delta[]): Content {
  let all = "";
  for (const { text } of deltas) all += text;
  return { text: all };
}

/** An output with that content. Positions in it are those of the output that it was made of. */
export function deltasOf({ text }: Content): readonly Delta[] {
  return text === "" ? [] : [{ kind: "text", text }];
}

/** The output behind a position. */
export function after(deltas: readonly Delta[], position: number): readonly Delta[] {
  if (position === 0) return deltas;
  const rest: Delta[] = [];
  let start = 0;
  for (const delta of deltas) {
    const end = start + lengthOf(delta);
    if (position <= start) rest.push(delta);
    else if (position < end) rest.push({ ...delta, text: delta.text.slice(position - start) });
    start = end;
  }
  return rest;
}

/** Whether an output may be cut at a position: the output reaches it, and the cut splits no character. */
export function canCut(deltas: readonly Delta[], position: number): boolean {
  let start = 0;
  for (const delta of deltas) {
    const end = start + lengthOf(delta);
    if (position <= end) return !endsInHalf(delta.text.slice(0, position - start));
    start = end;
  }
  return position <= start;
}

/** Deltas without half a surrogate pair at their end, whose other half has not come yet: each half alone is no character. */
export function wholeCharacters(deltas: readonly Delta[]): readonly Delta[] {
  const last = deltas.at(-1);
  if (last === undefined || !endsInHalf(last.text)) return deltas;
  const text = last.text.slice(0, -1);
  return text === "" ? deltas.slice(0, -1) : [...deltas.slice(0, -1), { ...last, text }];
}

function endsInHalf(text: string): boolean {
  return (text.charCodeAt(text.length - 1) & 0xfc_00) === 0xd8_00;
}
