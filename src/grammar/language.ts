/**
 * Sets of texts (regular languages) that can be cut with each other and turned round: a string's pattern, its format and its length, or a number's
 * range and its divisor, come together here.
 *
 * A language is an expression whose derivative by a character is the language of what may follow that character (Brzozowski 1964; Owens, Reppy and
 * Turon 2009). Equal expressions are one object, so the derivatives are the states of an automaton.
 */
import { ALL_CHARS, type CharSet, charsKey, charsOf, hasChar, LAST, unionOf } from "./charset.ts";
import { classOf, type Division, dividedAt, divisionOf, Divisions, singled, UNDIVIDED } from "./division.ts";
import type { Work } from "./limits.ts";

/** A machine of its own that reads a text character by character: what is easier to count than to describe. */
export interface Machine {
  /** Equal machines have equal keys. */
  readonly key: string;
  readonly accepts: boolean;
  /** Where characters of different effect meet: the first character of each range that may differ from the one before. */
  readonly cuts: readonly number[];
  /** `null`: no text goes on like this. */
  after(char: number): Machine | null;
}

type Shape =
  | { readonly kind: "chars"; readonly set: CharSet }
  | { readonly kind: "sequence"; readonly first: Language; readonly rest: Language }
  | { readonly kind: "union" | "both"; readonly parts: readonly Language[] }
  | { readonly kind: "not"; readonly of: Language }
  | { readonly kind: "repeat"; readonly of: Language; readonly min: number; readonly max: number }
  /** Sorted; each without its first `at` characters. */
  | { readonly kind: "words"; readonly words: readonly (readonly number[])[]; readonly at: number }
  | { readonly kind: "machine"; readonly machine: Machine }
  /** Texts to which any number of `end`s can be added so that they are of `of`. */
  | { readonly kind: "ended"; readonly of: Language; readonly end: number }
  | { readonly kind: "empty" };

export interface Language {
  readonly id: number;
  readonly shape: Shape;
  /** Whether the empty text belongs to it. */
  readonly nullable: boolean;
  /** By the classes of its division. */
  readonly derivatives: Map<number, Language>;
  /** Characters of one class have the same derivative. */
  division?: Division;
}

/** How often an end may be named in a row, as by `(a$)$`. */
const ENDS = 3;

/** Derivatives that are looked at to see which languages overlap. */
const LOOKED_AT = 4000;

/** Steps to find the characters with a property of Unicode, which are not listed anywhere. */
const PROPERTY = 10_000;

/** Makes languages, and holds those of one schema. Every step is counted against `work`. */
export class Languages {
  readonly #known = new Map<string, Language>();
  readonly #work: Work;
  /** The formats that languages are of. */
  readonly formats = new Map<Language, string>();
  readonly #properties = new Set<string>();
  readonly #divisions: Divisions;
  /** No text. */
  readonly nothing: Language;
  /** The empty text. */
  readonly empty: Language;
  /** Every text. */
  readonly everything: Language;

  constructor(work: Work) {
    this.#work = work;
    this.#divisions = new Divisions(work);
    this.nothing = this.#make("", { kind: "chars", set: [] }, false);
    this.empty = this.#make("e", { kind: "empty" }, true);
    this.everything = this.not(this.nothing);
  }

  chars(set: CharSet): Language {
    return set.length === 0 ? this.nothing : this.#make(`c${charsKey(set)}`, { kind: "chars", set }, false);
  }

  /**
   * Counts the work for the characters with a property of Unicode, also where another schema had it before: a schema must fare the same
   * wherever it is compiled.
   */
  property(name: string): void {
    if (this.#properties.has(name)) return;
    this.#properties.add(name);
    this.#work.step(PROPERTY);
  }

  text(text: string): Language {
    return this.sequence(...[...text].map((char) => this.chars(charsOf(char))));
  }

  words(texts: readonly string[]): Language {
    const words = [...new Set(texts)].map((text) => [...text].map((char) => char.codePointAt(0)!));
    return this.#words(words.toSorted(compareWords), 0);
  }

  sequence(...parts: readonly Language[]): Language {
    return parts.reduceRight((rest, first) => this.#pair(first, rest), this.empty);
  }

  #pair(first: Language, rest: Language): Language {
    if (first === this.nothing || rest === this.nothing) return this.nothing;
    if (first === this.empty) return rest;
    if (rest === this.empty) return first;
    if (first.shape.kind === "sequence") return this.#pair(first.shape.first, this.#pair(first.shape.rest, rest));
    if (first === this.everything && rest === this.everything) return first;
    const shape = { kind: "sequence", first, rest } as const;
    return this.#make(`s${first.id},${rest.id}`, shape, first.nullable && rest.nullable);
  }

  union(...parts: readonly Language[]): Language {
    const flat = new Set(parts.flatMap((part) => (part.shape.kind === "union" ? part.shape.parts : [part])));
    flat.delete(this.nothing);
    if (flat.has(this.everything)) return this.everything;
    const sets = [...flat].flatMap(({ shape }) => (shape.kind === "chars" ? [shape.set] : []));
    if (sets.length > 1) {
      for (const part of flat) if (part.shape.kind === "chars") flat.delete(part);
      flat.add(this.chars(unionOf(...sets)));
    }
    return this.#many("union", flat, this.nothing, (all) => all.some(({ nullable }) => nullable));
  }

  /** The intersection of all of them. */
  both(...parts: readonly Language[]): Language {
    const flat = new Set(parts.flatMap((part) => (part.shape.kind === "both" ? part.shape.parts : [part])));
    flat.delete(this.everything);
    if (flat.has(this.nothing)) return this.nothing;
    for (const part of flat) {
      if (part.shape.kind !== "words" || flat.size === 1) continue;
      const others = [...flat].filter((other) => other !== part);
      const { words, at } = part.shape;
      const left = words.filter((word) => others.every((other) => this.#has(other, word.slice(at))));
      return this.#words(left, at);
    }
    const excluded = [...flat].flatMap(({ shape }) => (shape.kind === "not" ? [shape.of] : []));
    if (excluded.some((part) => flat.has(part))) return this.nothing;
    if (excluded.length > 1) {
      for (const part of flat) if (part.shape.kind === "not") flat.delete(part);
      flat.add(this.not(this.union(...excluded)));
    }
    return this.#many("both", flat, this.everything, (all) => all.every(({ nullable }) => nullable));
  }

  not(of: Language): Language {
    return of.shape.kind === "not" ? of.shape.of : this.#make(`n${of.id}`, { kind: "not", of }, !of.nullable);
  }

  repeat(of: Language, min: number, max: number): Language {
    if (of === this.nothing) return min === 0 ? this.empty : of;
    if (max === 0 || of === this.empty) return this.empty;
    if (max === 1) return min === 1 ? of : this.union(of, this.empty);
    if (of.shape.kind === "chars" && min === 0 && max === Infinity && of.shape.set.join() === ALL_CHARS.join()) {
      return this.everything;
    }
    const least = of.nullable ? 0 : min;
    return this.#make(`r${of.id},${least},${max}`, { kind: "repeat", of, min: least, max }, least === 0);
  }

  machine(machine: Machine): Language {
    return this.#make(`m${machine.key}`, { kind: "machine", machine }, machine.accepts);
  }

  ended(of: Language, end: number): Language {
    let nullable = false;
    let rest = of;
    for (let times = 0; times < ENDS; times++) {
      rest = this.after(rest, end);
      nullable ||= rest.nullable;
    }
    return of === this.nothing ? of : this.#make(`f${of.id},${end}`, { kind: "ended", of, end }, nullable);
  }

  /**
   * Which of some languages have texts in common that no other of them has: each list has the places of those that do.
   * @returns null where they are too many to tell
   */
  overlaps(all: readonly Language[]): number[][] | null {
    const waiting = new Map([[all.map(({ id }) => id).join(), all]]);
    const found = new Map<string, number[]>();
    for (const state of waiting.values()) {
      if (waiting.size > LOOKED_AT) return null;
      const places = [...state.keys()].filter((at) => state[at]!.nullable);
      found.set(places.join(), places);
      for (const char of this.#divisions.product(state.map((one) => this.divisionOf(one))).first) {
        if (char > LAST) continue;
        const next = state.map((language) => this.after(language, char));
        const key = next.map(({ id }) => id).join();
        this.#work.step(1 + (all.length >> 3));
        if (!waiting.has(key) && next.some((language) => language !== this.nothing)) waiting.set(key, next);
      }
    }
    return [...found.values()];
  }

  has(language: Language, text: string): boolean {
    return this.#has(
      language,
      [...text].map((char) => char.codePointAt(0)!),
    );
  }

  #has(language: Language, word: readonly number[]): boolean {
    let rest = language;
    for (const char of word) {
      if (rest === this.nothing) return false;
      rest = this.after(rest, char);
    }
    return rest.nullable;
  }

  /** The texts that may follow `char`: its derivative. */
  after(language: Language, char: number): Language {
    const number = classOf(this.divisionOf(language), char);
    const known = language.derivatives.get(number);
    if (known !== undefined) return known;
    this.#work.step();
    const found = this.#derive(language.shape, char);
    language.derivatives.set(number, found);
    return found;
  }

  /** The characters in classes, each of which has one derivative. */
  divisionOf(language: Language): Division {
    language.division ??= this.#divide(language.shape);
    return language.division;
  }

  #divide(shape: Shape): Division {
    switch (shape.kind) {
      case "empty":
        return UNDIVIDED;
      case "chars":
        return divisionOf(shape.set);
      case "sequence": {
        const first = this.divisionOf(shape.first);
        return shape.first.nullable ? this.#divisions.product([first, this.divisionOf(shape.rest)]) : first;
      }
      case "union":
      case "both":
        return this.#divisions.product(shape.parts.map((part) => this.divisionOf(part)));
      case "not":
      case "repeat":
      case "ended":
        return this.divisionOf(shape.of);
      case "words":
        return singled(shape.words.flatMap((word) => (word.length > shape.at ? [word[shape.at]!] : [])));
      case "machine":
        return dividedAt(shape.machine.cuts);
    }
  }

  #derive(shape: Shape, char: number): Language {
    switch (shape.kind) {
      case "empty":
        return this.nothing;
      case "chars":
        return hasChar(shape.set, char) ? this.empty : this.nothing;
      case "sequence": {
        const inFirst = this.#pair(this.after(shape.first, char), shape.rest);
        return shape.first.nullable ? this.union(inFirst, this.after(shape.rest, char)) : inFirst;
      }
      case "union":
        return this.union(...shape.parts.map((part) => this.after(part, char)));
      case "both":
        return this.both(...shape.parts.map((part) => this.after(part, char)));
      case "not":
        return this.not(this.after(shape.of, char));
      case "repeat":
        return this.#pair(this.after(shape.of, char), this.repeat(shape.of, Math.max(0, shape.min - 1), shape.max - 1));
      case "words":
        return this.#words(
          shape.words.filter((word) => word[shape.at] === char),
          shape.at + 1,
        );
      case "machine": {
        const next = shape.machine.after(char);
        return next === null ? this.nothing : this.machine(next);
      }
      case "ended":
        return this.ended(this.after(shape.of, char), shape.end);
    }
  }

  #words(words: readonly (readonly number[])[], at: number): Language {
    if (words.length === 0) return this.nothing;
    if (words.length === 1 && words[0]!.length === at) return this.empty;
    const key = `w${words.map((word) => word.slice(at).join()).join(";")}`;
    return this.#make(key, { kind: "words", words, at }, words[0]!.length === at);
  }

  #many(
    kind: "union" | "both",
    parts: ReadonlySet<Language>,
    none: Language,
    nullable: (parts: readonly Language[]) => boolean,
  ): Language {
    if (parts.size === 0) return none;
    this.#work.step(parts.size >> 2);
    const sorted = [...parts].toSorted((one, other) => one.id - other.id);
    if (sorted.length === 1) return sorted[0]!;
    return this.#make(`${kind}${sorted.map(({ id }) => id).join()}`, { kind, parts: sorted }, nullable(sorted));
  }

  #make(key: string, shape: Shape, nullable: boolean): Language {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    this.#work.step(1 + (key.length >> 6));
    const made: Language = { id: this.#known.size, shape, nullable, derivatives: new Map() };
    this.#known.set(key, made);
    return made;
  }
}

/** The texts of a language that lists them; null where it does not. */
export function textsOf({ shape }: Language): string[] | null {
  if (shape.kind !== "words") return null;
  return shape.words.map((word) =>
    word
      .slice(shape.at)
      .map((char) => String.fromCodePoint(char))
      .join(""),
  );
}

function compareWords(one: readonly number[], other: readonly number[]): number {
  const shared = Math.min(one.length, other.length);
  for (let at = 0; at < shared; at++) if (one[at] !== other[at]) return one[at]! - other[at]!;
  return one.length - other.length;
}
