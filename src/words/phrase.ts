/** A phrase of the table: texts with places between them, `{}` in English and `{1}`, `{2}` in the other language. */
export interface Phrase {
  /** The texts around the places: one more than there are places. */
  readonly pieces: readonly string[];
  readonly other: string;
  /** How many characters are not in places. */
  readonly weight: number;
  /** It says so little that nearly any text has it in it, like "{} of {}". */
  readonly isWeak: boolean;
}

/** Letters that a phrase of its own has at least. */
const STRONG = 9;

export function phraseOf(english: string, other: string): Phrase {
  const pieces = english.split("{}");
  const all = pieces.join("");
  return { pieces, other, weight: all.length, isWeak: all.replaceAll(/\P{L}/gu, "").length < STRONG };
}

/**
 * Values in the places of a phrase, if a text is one. Each place takes as little as it can, so this takes one pass over the text,
 * whatever is in it.
 * @returns null: the text is not that phrase
 */
export function valuesIn(text: string, { pieces, weight }: Phrase): string[] | null {
  const first = pieces[0]!;
  const last = pieces.at(-1)!;
  if (text.length < weight || !text.startsWith(first) || !text.endsWith(last)) return null;
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

export function filled(other: string, values: readonly string[]): string {
  return other.replaceAll(/\{(\d+)\}/g, (_all, place: string) => values[Number(place) - 1] ?? "");
}
