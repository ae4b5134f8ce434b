/**
 * Turns English sentences of ours into another language. A sentence is written once, in English, where it happens, and goes through
 * workers, the database and logs as that text; so the table has English phrases for its keys, as gettext's have, and the values are taken
 * out of the sentence when it is shown. A value may be a phrase itself, and several sentences may follow each other.
 *
 * Text that is not in the table stays as it is: the words of drivers, models and servers elsewhere are nobody's to translate.
 */
import { Kept } from "../common/kept.ts";
import { filled, hasEndsOf, type Phrase, phraseOf, seamsIn, valuesIn } from "./phrase.ts";

/** Longer texts are lists of names, or somebody else's. */
const LONGEST = 4000;

/** Characters that are read for a text, again for each phrase it is held against; hostile ones could be taken apart in many ways. */
const MOST_READ = 300_000;

/** Texts whose other language is kept: lists have the same few again and again. */
const MOST_KEPT = 1000;

/** Of the phrases that fit a text, those with most text of their own are looked into. */
const MOST_READINGS = 4;

/** Words of others, which a phrase that says little must not take apart. No name or number is one of these words. */
const PROSE = /\p{L} \p{L}{2}|^(?:an?|are|is|must|of|the|was)$/u;

/** A value like this is a name or a code, unless its place is one for words of ours. */
const ONE_WORD = /^[\p{L}\d_-]+$/u;

/** How deep phrases stand in places of others. */
const DEEPEST = 5;

/** Sentences that are taken apart at most, where several follow each other. */
const MOST_SENTENCES = 8;

/** A text in the other language. */
interface Found {
  readonly text: string;
  /** How much of it was found in the table. */
  readonly weight: number;
  /** How much of that is one phrase: of two readings the one with larger phrases is meant. */
  readonly own: number;
  /** Words of others are in it. */
  readonly hasProse: boolean;
}

export class PhraseBook {
  /** By a word that every text has which is that phrase; null: there is none. */
  readonly #byWord = new Map<string | null, Phrase[]>();
  readonly #exact = new Map<string, string>();
  readonly #kept = new Kept<string>(MOST_KEPT);
  /** Translations of values in the text that is translated now: several readings have the same values. */
  readonly #seen = new Map<string, Found | null>();
  #characters = 0;

  /** @param table English phrases and those of the other language */
  constructor(table: Iterable<readonly [english: string, other: string]>) {
    for (const [english, other] of table) this.#add(english, other);
  }

  #add(english: string, other: string): void {
    if (!english.includes("{}")) return void this.#exact.set(english, other);
    const phrase = phraseOf(english, other);
    const word = longestWordOf(phrase);
    const same = this.#byWord.get(word);
    if (same === undefined) this.#byWord.set(word, [phrase]);
    else same.push(phrase);
  }

  /** Characters that were read for the text that was translated last. */
  get characters(): number {
    return this.#characters;
  }

  /** The text in the other language, as far as the table has it. */
  translated(text: string): string {
    this.#characters = 0;
    if (text.length > LONGEST) return text;
    const found = this.#kept.get(text, () => this.#found(text, 0)?.text ?? text);
    this.#seen.clear();
    return found;
  }

  /** The reading of a text that the table knows most of; null: it knows nothing of it. */
  #found(text: string, depth: number): Found | null {
    const key = `${depth} ${text}`;
    const known = this.#seen.get(key);
    if (known !== undefined) return known;
    const found = this.#read(text, depth);
    this.#seen.set(key, found);
    return found;
  }

  #read(text: string, depth: number): Found | null {
    const exact = this.#exact.get(text);
    if (exact !== undefined) return { text: exact, weight: text.length, own: text.length, hasProse: false };
    this.#characters += text.length;
    if (depth === DEEPEST || this.#characters > MOST_READ || !/\p{L}{2}/u.test(text)) return null;
    const readings = [...this.#asPhrases(text, depth), this.#asSentences(text, depth)];
    return readings.reduce((best, one) => (one !== null && isBetter(one, best) ? one : best), null);
  }

  #asPhrases(whole: string, depth: number): Found[] {
    const words = new Set([null, ...whole.split(" ")]);
    const known = [...words].flatMap((word) => this.#byWord.get(word) ?? []);
    const candidates = known.filter((phrase) => hasEndsOf(whole, phrase));
    this.#characters += whole.length * candidates.length;
    const matches = candidates.flatMap((phrase) => {
      const values = valuesIn(whole, phrase);
      return values === null || spansLines(values, phrase) ? [] : [{ phrase, values }];
    });
    const largest = matches.toSorted((a, b) => b.phrase.weight - a.phrase.weight).slice(0, MOST_READINGS);
    return largest.flatMap(({ phrase, values }) => {
      const inner = values.flatMap((value, at) => this.#inPlaces(value, phrase.gaps[at]!, depth + 1));
      if (phrase.isWeak && inner.some((found) => found.weight === 0 && found.hasProse)) return [];
      const hasProse = inner.some((found) => found.hasProse);
      // Its few letters may be found in the words of others.
      const weight = (phrase.isSilent || (phrase.isWeak && hasProse) ? 0 : phrase.weight) + weightOf(inner);
      const text = filled(
        phrase.other,
        inner.map((found) => found.text),
      );
      const own = phrase.isSilent ? Math.max(...inner.map((found) => found.own)) : phrase.weight;
      return [{ text, weight, own: own - inner.length / 100, hasProse }];
    });
  }

  /** The values of places that stand side by side: of all ways to part them, the one of which the table knows most. */
  #inPlaces(value: string, [isForWords, ...others]: readonly boolean[], depth: number): Found[] {
    if (others.length === 0) return [this.#value(value, depth, isForWords)];
    const ways = seamsIn(value).map((seam) => [
      this.#value(value.slice(0, seam), depth, isForWords),
      ...this.#inPlaces(value.slice(seam), others, depth),
    ]);
    return ways.reduce((best, way) => (weightOf(way) > weightOf(best) ? way : best));
  }

  /** Sentences one behind the other, each as a whole. */
  #asSentences(text: string, depth: number): Found | null {
    const parts = text.split(/(?<=[.!?]) (?=\S)/).slice(0, MOST_SENTENCES + 1);
    if (parts.length < 2 || parts.length > MOST_SENTENCES) return null;
    const found = parts.map((part, at) => (at > 0 && this.#behindOthers(part, depth)) || this.#value(part, depth + 1));
    const weight = weightOf(found);
    return weight === 0
      ? null
      : { text: found.map((one) => one.text).join(" "), weight, own: 0, hasProse: found.some((one) => one.hasProse) };
  }

  #value(text: string, depth: number, isForWords = false): Found {
    if (!isForWords && ONE_WORD.test(text)) return asItIs(text);
    return this.#found(text, depth) ?? asItIs(text);
  }

  /** Some sentences only come behind others, and have the space between them. */
  #behindOthers(part: string, depth: number): Found | null {
    const found = this.#found(` ${part}`, depth + 1);
    return found !== null && found.text.startsWith(" ") ? { ...found, text: found.text.slice(1) } : null;
  }
}

/** A page is more than one phrase, unless the phrase has lines itself. */
function spansLines(values: readonly string[], { pieces }: Phrase): boolean {
  return values.some((value) => value.includes("\n")) && !pieces.some((piece) => piece.includes("\n"));
}

/** Quoted texts are what was given, whatever is in them. */
function isProse(text: string): boolean {
  return PROSE.test(text.replaceAll(/"[^"]*(?:"|$)/g, ""));
}

function isBetter(one: Found, other: Found | null): boolean {
  if (other === null) return one.weight > 0;
  return one.weight > other.weight || (one.weight === other.weight && one.own > other.own);
}

function weightOf(parts: readonly Found[]): number {
  return parts.reduce((sum, { weight }) => sum + weight, 0);
}

function asItIs(text: string): Found {
  return { text, weight: 0, own: 0, hasProse: isProse(text) };
}

/** Of the words between spaces, or at an end of the text: what stands in places cannot be a part of them. */
function longestWordOf({ pieces }: Phrase): string | null {
  const words = pieces.flatMap((piece, at) => {
    const all = piece.split(" ");
    return all.slice(at === 0 ? 0 : 1, at === pieces.length - 1 ? all.length : -1);
  });
  return words.filter((word) => word !== "").toSorted((one, other) => other.length - one.length)[0] ?? null;
}
