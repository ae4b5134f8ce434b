/** The language of a pattern: the texts in which it is found somewhere, unless it is tied to an end. */
import type { CharSet } from "./charset.ts";
import type { Language, Languages } from "./language.ts";
import { parsePattern, type Pattern, PatternError } from "./pattern.ts";

/** Stand before and after a text, so that `^` and `$` are characters like others. */
const START = 0x110000;
const END = 0x110001;
const ANYTHING: CharSet = [0, END];

/** Larger counts make too many states. */
const REPETITIONS = 5000;

/**
 * @throws PatternError for what cannot be said; a SyntaxError for what is no regular expression
 */
export function patternLanguage(languages: Languages, source: string): Language {
  return new Builder(languages).build(parsePattern(source, (name) => languages.property(name)));
}

class Builder {
  readonly #languages: Languages;
  readonly #rest: Language;

  constructor(languages: Languages) {
    this.#languages = languages;
    this.#rest = languages.repeat(languages.chars(ANYTHING), 0, Infinity);
  }

  build(pattern: Pattern): Language {
    const found = this.#before(pattern, this.#rest);
    const anywhere = this.#languages.sequence(this.#rest, found);
    // An anchor takes one START; two that follow each other, as in ^(^a), take two.
    const once = this.#languages.after(anywhere, START);
    const twice = this.#languages.after(once, START);
    return this.#languages.ended(this.#languages.union(once, twice), END);
  }

  /** `pattern`, and then `then`, which reaches to the end of the text: that is what looking ahead is about. */
  #before(pattern: Pattern, then: Language): Language {
    const languages = this.#languages;
    switch (pattern.kind) {
      case "sequence":
        return pattern.parts.reduceRight((rest, part) => this.#before(part, rest), then);
      case "choice":
        return languages.union(...pattern.options.map((option) => this.#before(option, then)));
      case "ahead": {
        const ahead = this.#before(pattern.of, this.#rest);
        return languages.both(pattern.negated ? languages.not(ahead) : ahead, then);
      }
      case "repeat":
        if (pattern.min === 0 && pattern.max === 1) return languages.union(this.#before(pattern.of, then), then);
        return languages.sequence(this.#alone(pattern), then);
      default:
        return languages.sequence(this.#alone(pattern), then);
    }
  }

  #alone(pattern: Pattern): Language {
    const languages = this.#languages;
    switch (pattern.kind) {
      case "chars":
        return languages.chars(pattern.set);
      case "start":
        return languages.chars([START, START]);
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
