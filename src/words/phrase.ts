/**
 * A phrase of the table: texts with places between them, `{}` in English and `{1}`, `{2}` in the other language. A value that is one word is
 * a name or a code, and stays as it is; `{1:word}` is a place whose word is ours, like a unit or a state, and is looked up in the table.
 */
export interface Phrase {
  /** The texts around the gaps: one more than there are gaps. None between two of them is empty. */
  readonly pieces: readonly string[];
  /** The places of each gap, more than one where they stand side by side: whether a word there is ours. */
  readonly gaps: readonly (readonly boolean[])[];
  readonly other: string;
  /** How many characters are not in places. */
  readonly weight: number;
  /** It says so little that nearly any text has it in it, like "{} of {}". */
  readonly isWeak: boolean;
  /** It has no letters, and knows nothing of a text. */
  readonly isSilent: boolean;
}

/** Letters that a phrase of its own has at least. */
const STRONG = 9;

export function phraseOf(english: string, other: string): Phrase {
  const pieces = english.split(/(?:\{\})+/);
  let place = 0;
  const gaps = Array.from(english.matchAll(/(?:\{\})+/g), ([places]) =>
    Array.from({ length: places.length / 2 }, () => other.includes(`{${++place}:word}`)),
  );
  const all = pieces.join("");
  const letters = all.replaceAll(/\P{L}/gu, "").length;
  return { pieces, gaps, other, weight: all.length, isWeak: letters < STRONG, isSilent: letters === 0 };
}

/** Whether a text begins and ends as a phrase does: a cheap look before `valuesIn`. */
export function hasEndsOf(text: string, { pieces, weight }: Phrase): boolean {
  return text.length >= weight && text.startsWith(pieces[0]!) && text.endsWith(pieces.at(-1)!);
}

/**
 * Values in the gaps of a phrase, if a text is one. Each gap takes as little as it can, so this takes one pass over the text,
 * whatever is in it.
 * @returns null: the text is not that phrase
 */
export function valuesIn(text: string, phrase: Phrase): string[] | null {
  const { pieces } = phrase;
  const first = pieces[0]!;
  const last = pieces.at(-1)!;
  if (!hasEndsOf(text, phrase)) return null;
  if (pieces.length === 1) return text === first ? [] : null;
  const values: string[] = [];
  const end = text.length - last.length;
  let at = first.length;
  for (const piece of pieces.slice(1, -1)) {
    const found = text.indexOf(piece, at);
    if (found === -1 || found + piece.length > end) return null;
    values.push(text.slice(at, found));
    at = found + piece.length;
  }
  values.push(text.slice(at, end));
  return values;
}

/** Where a value of two places may be parted: at words and punctuation, and at both ends. */
const SEAM = /^|(?=[ ,;:(\n])|(?<=[ .:\n])|$/g;

/** Seams that are tried in one value. */
const MOST_SEAMS = 40;

/** @returns positions, the first of them 0 */
export function seamsIn(value: string): number[] {
  return Array.from(value.matchAll(SEAM).take(MOST_SEAMS), ({ index }) => index);
}

export function filled(other: string, values: readonly string[]): string {
  return other.replaceAll(/\{(\d+)(?::word)?\}/g, (_all, place: string) => values[Number(place) - 1] ?? "");
}
