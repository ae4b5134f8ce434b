/** The language of a pattern: the texts in which it is found somewhere, unless it is tied to an end. */
import { ALL_CHARS } from "./charset.ts";
import type { Language, Languages } from "./language.ts";
import { parsePattern, type Pattern, PatternError } from "./pattern.ts";

/** Stands after a text, so that `$` within what is repeated is a character like others. */
const END = 0x110000;

/** As many as are told apart: a text ends with up to three of them, and a `$` that is not repeated looks for one. */
const MOST_ENDS = 2;

/** Larger counts make too many states. */
const REPETITIONS = 5000;

/**
 * @throws PatternError for what cannot be said; a SyntaxError for what is no regular expression
 */
export function patternLanguage(languages: Languages, source: string): Language {
  return new Builder(languages).build(parsePattern(source, (name) => languages.property(name)));
}

/** The texts from some place on to their end. They are the same language, and one object, unless a `^` is in what follows. */
interface Texts {
  /** The place is the beginning of the whole text. */
  readonly whole: Language;
  /** The place is behind a character. */
  readonly rest: Language;
}

class Builder {
  readonly #languages: Languages;
  readonly #atEnd: Language;

  constructor(languages: Languages) {
    this.#languages = languages;
    this.#atEnd = languages.sequence(languages.chars([END, END]), languages.everything);
  }

  build(pattern: Pattern): Language {
    const ends = repeatedEnds(pattern);
    if (ends > MOST_ENDS || (ends > 0 && has(pattern, isForbidden)))
      throw new PatternError("an end ($) within what is repeated, where it may be met several times");
    const languages = this.#languages;
    const { whole, rest } = this.#before(pattern, both(languages.everything));
    // Before the place where it is found, no text has ended yet.
    const before = languages.not(languages.sequence(languages.everything, this.#atEnd));
    const found =
      whole === rest
        ? languages.sequence(before, whole)
        : languages.union(whole, languages.sequence(languages.chars(ALL_CHARS), before, rest));
    return languages.ended(found, END);
  }

  /** `pattern`, and then `then`, which reaches to the end of the text: that is what looking ahead is about. */
  #before(pattern: Pattern, then: Texts): Texts {
    const languages = this.#languages;
    switch (pattern.kind) {
      case "start":
        return { whole: then.whole, rest: languages.nothing };
      case "end":
        return each(then, (texts) => languages.both(this.#atEnd, texts));
      case "sequence":
        return pattern.parts.reduceRight((rest, part) => this.#before(part, rest), then);
      case "choice": {
        const options = pattern.options.map((option) => this.#before(option, then));
        return { whole: languages.union(...wholes(options)), rest: languages.union(...rests(options)) };
      }
      case "ahead": {
        const ahead = this.#before(pattern.of, both(languages.everything));
        const allowed = pattern.negated ? each(ahead, (texts) => languages.not(texts)) : ahead;
        return {
          whole: languages.both(allowed.whole, then.whole),
          rest: languages.both(allowed.rest, then.rest),
        };
      }
      case "repeat":
        return this.#repeated(pattern, then);
      case "chars":
        return both(languages.sequence(languages.chars(pattern.set), then.rest));
    }
  }

  #repeated(pattern: Pattern & { readonly kind: "repeat" }, then: Texts): Texts {
    const { of, min, max } = pattern;
    const languages = this.#languages;
    if (max === 0) return then;
    if (max === 1) {
      const once = this.#before(of, then);
      return min === 1
        ? once
        : { whole: languages.union(once.whole, then.whole), rest: languages.union(once.rest, then.rest) };
    }
    const repeated = this.#alone(pattern);
    const rest = languages.sequence(repeated, then.rest);
    if (then.whole === then.rest && !has(of, isStart)) return both(rest);
    // At the beginning: the first time by itself, as only that one may have a `^`.
    const least = canBeEmpty(of) ? 0 : Math.max(0, min - 1);
    const others = languages.repeat(this.#alone(of), least, max - 1);
    const first = this.#before(of, { whole: then.whole, rest: languages.sequence(others, then.rest) });
    return { whole: min === 0 ? languages.union(first.whole, then.whole) : first.whole, rest };
  }

  /** Behind a character, where no `^` is. */
  #alone(pattern: Pattern): Language {
    const languages = this.#languages;
    switch (pattern.kind) {
      case "chars":
        return languages.chars(pattern.set);
      case "start":
        return languages.nothing;
      case "end":
        return languages.chars([END, END]);
      case "sequence":
        return languages.sequence(...pattern.parts.map((part) => this.#alone(part)));
      case "choice":
        return languages.union(...pattern.options.map((option) => this.#alone(option)));
      case "ahead":
        throw new PatternError("looking ahead within what is repeated");
      case "repeat": {
        const { min, max } = pattern;
        if (min > REPETITIONS || (max !== Infinity && max > REPETITIONS))
          throw new PatternError("too many repetitions");
        return languages.repeat(this.#alone(pattern.of), min, max);
      }
    }
  }
}

function both(texts: Language): Texts {
  return { whole: texts, rest: texts };
}

function each({ whole, rest }: Texts, of: (texts: Language) => Language): Texts {
  const first = of(whole);
  return { whole: first, rest: whole === rest ? first : of(rest) };
}

function wholes(options: readonly Texts[]): Language[] {
  return options.map(({ whole }) => whole);
}

function rests(options: readonly Texts[]): Language[] {
  return options.map(({ rest }) => rest);
}

/** How many characters a pattern may take for ends of a text: those within what is repeated; Infinity: no number. */
function repeatedEnds(pattern: Pattern, within = false): number {
  const all = (parts: readonly Pattern[]): number => parts.reduce((sum, part) => sum + repeatedEnds(part, within), 0);
  switch (pattern.kind) {
    case "end":
      return within ? 1 : 0;
    case "sequence":
      return all(pattern.parts);
    case "choice":
      return all(pattern.options);
    case "ahead":
      return repeatedEnds(pattern.of, within);
    case "repeat": {
      const ends = repeatedEnds(pattern.of, within || pattern.max > 1);
      // A time that has to take a character comes after no end, so only the last one has ends.
      return ends > 0 && pattern.min > 1 && canBeEmpty(pattern.of) ? Infinity : ends;
    }
    default:
      return 0;
  }
}

/** Whether a part of a pattern, or the pattern itself, is such. */
function has(pattern: Pattern, is: (part: Pattern) => boolean): boolean {
  if (is(pattern)) return true;
  if (pattern.kind === "sequence") return pattern.parts.some((part) => has(part, is));
  if (pattern.kind === "choice") return pattern.options.some((option) => has(option, is));
  return (pattern.kind === "repeat" || pattern.kind === "ahead") && has(pattern.of, is);
}

const isStart = ({ kind }: Pattern): boolean => kind === "start";
const isForbidden = (part: Pattern): boolean => part.kind === "ahead" && part.negated;

/** Whether it can be found without taking a character, at the beginning of a text. */
function canBeEmpty(pattern: Pattern): boolean {
  switch (pattern.kind) {
    case "chars":
      return false;
    case "sequence":
      return pattern.parts.every(canBeEmpty);
    case "choice":
      return pattern.options.some(canBeEmpty);
    case "repeat":
      return pattern.min === 0 || canBeEmpty(pattern.of);
    default:
      return true;
  }
}
