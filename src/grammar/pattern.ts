/** Reads regular expressions as ECMA-262 has them, which is what `pattern` holds. */
import { ALL_CHARS, type CharSet, charSet, complementOf, unionOf } from "./charset.ts";

export type Pattern =
  | { readonly kind: "chars"; readonly set: CharSet }
  | { readonly kind: "start" | "end" }
  | { readonly kind: "sequence"; readonly parts: readonly Pattern[] }
  | { readonly kind: "choice"; readonly options: readonly Pattern[] }
  | { readonly kind: "repeat"; readonly of: Pattern; readonly min: number; readonly max: number }
  | { readonly kind: "ahead"; readonly of: Pattern; readonly negated: boolean };

/** Thrown for parts of a pattern that no grammar can say: references back, looking behind, borders of words. */
export class PatternError extends Error {}

const DIGITS = charSet([[0x30, 0x39]]);
const WORD = charSet([
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
]);
const SPACE = charSet(
  [9, 10, 11, 12, 13, 32, 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000, 0xfeff]
    .map((char): [number, number] => [char, char])
    .concat([[0x2000, 0x200a]]),
);
const LINE_ENDS = charSet([
  [10, 10],
  [13, 13],
  [0x2028, 0x2029],
]);
const ESCAPES: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13, "0": 0 };
const CLASSES: Readonly<Record<string, CharSet>> = {
  d: DIGITS,
  D: complementOf(DIGITS),
  w: WORD,
  W: complementOf(WORD),
  s: SPACE,
  S: complementOf(SPACE),
};

/**
 * @param property is told of each property of Unicode before its characters are looked for, which takes long; what it throws ends the parsing
 * @throws PatternError for what cannot be said; a SyntaxError, as RegExp does, for what is no regular expression
 */
export function parsePattern(source: string, property: (name: string) => void): Pattern {
  checkSyntax(source);
  return new Parser(source, property).parse();
}

/** Ajv takes a pattern by Unicode's rules where it can; old schemas have escapes that those rules refuse. */
function checkSyntax(source: string): void {
  try {
    RegExp(source, "u");
  } catch {
    RegExp(source);
  }
}

class Parser {
  readonly #source: readonly string[];
  readonly #told: (name: string) => void;
  #at = 0;

  constructor(source: string, property: (name: string) => void) {
    this.#source = [...source];
    this.#told = property;
  }

  parse(): Pattern {
    const found = this.#choice();
    if (this.#at < this.#source.length) throw new PatternError(`${this.#source[this.#at]} has no beginning`);
    return found;
  }

  #peek(ahead = 0): string {
    return this.#source[this.#at + ahead] ?? "";
  }

  #take(text: string): boolean {
    if ([...text].some((char, at) => this.#peek(at) !== char)) return false;
    this.#at += [...text].length;
    return true;
  }

  #choice(): Pattern {
    const options = [this.#sequence()];
    while (this.#take("|")) options.push(this.#sequence());
    return options.length === 1 ? options[0]! : { kind: "choice", options };
  }

  #sequence(): Pattern {
    const parts: Pattern[] = [];
    while (this.#at < this.#source.length && this.#peek() !== "|" && this.#peek() !== ")") {
      parts.push(this.#quantified(this.#atom()));
    }
    return parts.length === 1 ? parts[0]! : { kind: "sequence", parts };
  }

  #quantified(of: Pattern): Pattern {
    const times = this.#times();
    if (times === null) return of;
    // Whether as much or as little as possible is taken makes no difference to what matches.
    this.#take("?");
    return { kind: "repeat", of, min: times[0], max: times[1] };
  }

  #times(): [number, number] | null {
    if (this.#take("*")) return [0, Infinity];
    if (this.#take("+")) return [1, Infinity];
    if (this.#take("?")) return [0, 1];
    const counted = /^\{(\d+)(,(\d*))?\}/.exec(this.#source.slice(this.#at, this.#at + 24).join(""));
    if (counted === null) return null;
    this.#at += counted[0].length;
    const min = Number(counted[1]);
    if (counted[2] === undefined) return [min, min];
    return [min, counted[3] === "" ? Infinity : Number(counted[3])];
  }

  #atom(): Pattern {
    if (this.#take("^")) return { kind: "start" };
    if (this.#take("$")) return { kind: "end" };
    if (this.#take(".")) return { kind: "chars", set: complementOf(LINE_ENDS) };
    if (this.#take("[")) return { kind: "chars", set: this.#class() };
    if (this.#take("(")) return this.#group();
    if (this.#take("\\")) return { kind: "chars", set: this.#escape(false) };
    return { kind: "chars", set: single(this.#next()) };
  }

  #group(): Pattern {
    const ahead = this.#take("?=") ? "=" : this.#take("?!") ? "!" : null;
    if (ahead === null && !this.#take("?:") && this.#take("?")) {
      if (!this.#take("<") || this.#peek() === "=" || this.#peek() === "!") {
        throw new PatternError("a group that looks behind, or has flags");
      }
      while (!this.#take(">")) this.#at++;
    }
    const of = this.#choice();
    if (!this.#take(")")) throw new PatternError("a group without an end");
    return ahead === null ? of : { kind: "ahead", of, negated: ahead === "!" };
  }

  #class(): CharSet {
    const negated = this.#take("^");
    const sets: CharSet[] = [];
    while (!this.#take("]")) {
      if (this.#at >= this.#source.length) throw new PatternError("a class without an end");
      const from = this.#classAtom();
      if (this.#peek() === "-" && this.#peek(1) !== "]" && from.length === 2 && from[0] === from[1]) {
        this.#at++;
        const to = this.#classAtom();
        const range =
          to.length === 2 && to[0] === to[1] ? charSet([[from[0]!, to[0]!]]) : unionOf(from, single("-"), to);
        sets.push(range);
      } else sets.push(from);
    }
    const set = unionOf(...sets);
    return negated ? complementOf(set) : set;
  }

  #classAtom(): CharSet {
    return this.#take("\\") ? this.#escape(true) : single(this.#next());
  }

  #escape(inClass: boolean): CharSet {
    const char = this.#next();
    const known = CLASSES[char];
    if (known !== undefined) return known;
    if (inClass && char === "b") return charSet([[8, 8]]);
    if ((char === "b" || char === "B") && !inClass) throw new PatternError("a border of words (\\b)");
    if (char === "p" || char === "P") return this.#property(char === "P");
    if (char === "k" || /[1-9]/.test(char)) throw new PatternError("a reference back");
    if (char === "x" || char === "u") return this.#numbered(char);
    if (char === "c" && /[a-z]/i.test(this.#peek())) {
      const control = this.#next().codePointAt(0)! % 32;
      return charSet([[control, control]]);
    }
    const escaped = Object.hasOwn(ESCAPES, char) ? ESCAPES[char]! : char.codePointAt(0)!;
    return charSet([[escaped, escaped]]);
  }

  /** `\x41`, `\u0041`, `\u{1F600}`, or two halves of a pair. */
  #numbered(char: string): CharSet {
    const rest = this.#source.slice(this.#at, this.#at + 10).join("");
    const pattern =
      char === "x"
        ? /^([0-9a-f]{2})/i
        : /^(?:\{([0-9a-f]{1,6})\}|(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})|([0-9a-f]{4}))/i;
    const found = pattern.exec(rest);
    if (found === null) return single(char);
    this.#at += found[0].length;
    const [, first, high, low, plain] = found;
    const code =
      high === undefined
        ? parseInt(first ?? plain!, 16)
        : 0x10000 + ((parseInt(high, 16) - 0xd800) << 10) + (parseInt(low!, 16) - 0xdc00);
    return charSet([[code, code]]);
  }

  #property(negated: boolean): CharSet {
    if (!this.#take("{")) return single(negated ? "P" : "p");
    let name = "";
    while (!this.#take("}")) name += this.#next();
    this.#told(name);
    const set = propertySet(name);
    return negated ? complementOf(set) : set;
  }

  #next(): string {
    const char = this.#source[this.#at++];
    if (char === undefined) throw new PatternError("a pattern that ends too early");
    return char;
  }
}

function single(char: string): CharSet {
  const code = char.codePointAt(0)!;
  return charSet([[code, code]]);
}

const properties = new Map<string, CharSet>();

/** The characters with a property of Unicode: JavaScript knows them, but does not list them. */
function propertySet(name: string): CharSet {
  const known = properties.get(name);
  if (known !== undefined) return known;
  const matches = RegExp(`^\\p{${name}}$`, "u");
  const ranges: [number, number][] = [];
  for (let char = 0; char <= ALL_CHARS[1]!; char++) {
    if (!matches.test(String.fromCodePoint(char))) continue;
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === char - 1) last[1] = char;
    else ranges.push([char, char]);
  }
  const set = charSet(ranges);
  properties.set(name, set);
  return set;
}
