/** Languages as expressions: of strings with their quotes and escapes, of numbers as they are. */
import { type Automaton, automatonOf, type Edge, lengthsOf, type State } from "./automaton.ts";
import { type CharSet, charsKey, charsOf, hasChar, intersectionOf, TEXT_CHARS, without } from "./charset.ts";
import {
  chars,
  choice,
  EMPTY,
  type Expression,
  literal,
  NOTHING,
  repeat,
  type Rule,
  rule,
  sequence,
} from "./expression.ts";
import { CHARACTER, PLAIN_CHARS, stringOf } from "./json.ts";
import type { Language, Languages } from "./language.ts";
import type { Work } from "./limits.ts";

/** States that a text may have; each becomes a rule. */
const STATES = 4000;

/** JSON's short escapes; other control characters have their number. */
const SHORT: Readonly<Record<number, string>> = {
  8: "b",
  9: "t",
  10: "n",
  12: "f",
  13: "r",
  0x22: '"',
  0x5c: "\\",
};

/** @returns null where it would be too large */
export function plainText(languages: Languages, work: Work, language: Language): Expression | null {
  const automaton = automatonOf(languages, language, STATES);
  if (automaton === null) return null;
  work.rule(automaton.length);
  return new Writer(automaton, chars, EMPTY, "text").write();
}

export interface StringLanguage {
  readonly language: Language;
  /** Characters. */
  readonly min: number;
  readonly max: number;
}

/** A string with its quotes; null where it would be too large. */
export function stringText(
  languages: Languages,
  work: Work,
  { language, min, max }: StringLanguage,
): Expression | null {
  if (max < min) return NOTHING;
  if (language === languages.everything) return stringOf(min, max);
  const automaton = automatonOf(languages, language, STATES);
  if (automaton === null) return null;
  if (automaton.length === 0) return NOTHING;
  if (isEverything(automaton)) return stringOf(min, max);
  work.rule(automaton.length);
  const own = lengthsOf(automaton);
  if (own.min > max || own.max < min) return NOTHING;
  if (own.min >= min && own.max <= max) {
    return sequence('"', new Writer(automaton, jsonChars, literal('"'), "string").write());
  }
  const counted = new CountedWriter(automaton, work, min, own.max <= max ? Infinity : max).write();
  return counted === null ? null : sequence('"', counted);
}

function isEverything(automaton: Automaton): boolean {
  return automaton.length === 1 && isFree(automaton[0]!, 0);
}

/** Whether anything may follow. */
function isFree({ accepts, edges }: State, own: number): boolean {
  return accepts && edges.length === 1 && edges[0]!.to === own && charsKey(edges[0]!.set) === charsKey(TEXT_CHARS);
}

/** The characters that JSON escapes. */
const ESCAPED_CHARS = without(TEXT_CHARS, PLAIN_CHARS);
const ESCAPED = rule("escaped", choice(...escapes(ESCAPED_CHARS)));
const REST_OF_STRING = rule("rest", sequence(repeat(CHARACTER, 0, Infinity), '"'));

/** Numbers of a set that are not written again and again: it is a rule of its own. */
const LARGE = 32;

const written = new WeakMap<CharSet, Expression>();

/** A character of a set as JSON writes it. */
export function jsonChars(set: CharSet): Expression {
  const made = written.get(set) ?? jsonCharsOf(set);
  written.set(set, made);
  return made;
}

function jsonCharsOf(set: CharSet): Expression {
  const plain = chars(intersectionOf(set, PLAIN_CHARS));
  const rest = intersectionOf(set, ESCAPED_CHARS);
  const isAll = charsKey(rest) === charsKey(ESCAPED_CHARS);
  const made = isAll ? choice(plain, ESCAPED) : choice(plain, ...escapes(rest));
  return set.length > LARGE ? rule("char", made) : made;
}

function escapes(set: CharSet): Expression[] {
  const options: Expression[] = [];
  const short = Object.entries(SHORT).filter(([char]) => hasChar(set, Number(char)));
  const letters = short.map(([, letter]) => letter).join("");
  if (letters !== "") options.push(sequence("\\", letters.length === 1 ? literal(letters) : chars(charsOf(letters))));
  for (const start of [0, 1]) {
    const digits = Array.from({ length: 16 }, (_, digit) => digit).filter((digit) => {
      const char = start * 16 + digit;
      return hasChar(set, char) && SHORT[char] === undefined;
    });
    const hex = digits.map((digit) => digit.toString(16)).join("");
    if (hex !== "")
      options.push(sequence(`\\u00${start}`, chars(charsOf(hex + hex.replaceAll(/\d/g, "").toUpperCase()))));
  }
  return options;
}

/** Every state is a rule, unless only one other leads to it and it leads to one other. */
class Writer {
  readonly #automaton: Automaton;
  readonly #write: (set: CharSet) => Expression;
  readonly #end: Expression;
  readonly #name: string;
  readonly #rules = new Map<number, Rule>();
  readonly #sources: readonly number[];

  /** @param end what a text is followed by */
  constructor(automaton: Automaton, write: (set: CharSet) => Expression, end: Expression, name: string) {
    this.#automaton = automaton;
    this.#write = write;
    this.#end = end;
    this.#name = name;
    const sources = automaton.map(() => 0);
    for (const { edges } of automaton) for (const { to } of edges) sources[to]!++;
    this.#sources = sources;
  }

  write(): Expression {
    if (this.#automaton.length === 0) return NOTHING;
    const start = this.#ruleOf(0);
    for (const [at, made] of this.#rules) made.body = this.#bodyOf(at);
    return start;
  }

  #ruleOf(at: number): Expression {
    const { accepts, edges } = this.#automaton[at]!;
    if (accepts && edges.length === 0) return this.#end;
    if (this.#write === jsonChars && isFree(this.#automaton[at]!, at)) return REST_OF_STRING;
    const known = this.#rules.get(at) ?? rule(this.#name, NOTHING);
    this.#rules.set(at, known);
    return known;
  }

  #bodyOf(at: number): Expression {
    const state = this.#automaton[at]!;
    const options = state.edges.map((edge) => this.#along(edge));
    return state.accepts ? choice(...options, this.#end) : choice(...options);
  }

  /** The character of an edge, those that have to follow, and the rule of what comes then. */
  #along(edge: Edge): Expression {
    const parts: Expression[] = [];
    let next = edge;
    for (;;) {
      parts.push(this.#write(next.set));
      const { accepts, edges } = this.#automaton[next.to]!;
      if (accepts || edges.length !== 1 || this.#sources[next.to] !== 1 || next.to === 0) break;
      next = edges[0]!;
    }
    return sequence(...parts, this.#ruleOf(next.to));
  }
}

/** States with the number of characters so far; what only repeats one set is counted by the grammar. */
class CountedWriter {
  readonly #automaton: Automaton;
  readonly #work: Work;
  readonly #min: number;
  readonly #max: number;
  readonly #rules = new Map<string, { readonly made: Rule; readonly at: number; readonly read: number }>();
  readonly #units = new Map<string, Expression>();
  readonly #alive: readonly number[];

  constructor(automaton: Automaton, work: Work, min: number, max: number) {
    this.#automaton = automaton;
    this.#work = work;
    this.#min = min;
    this.#max = max;
    this.#alive = distancesOf(automaton);
  }

  write(): Expression | null {
    const start = this.#ruleOf(0, 0);
    for (const { made, at, read } of this.#rules.values()) {
      if (this.#rules.size > STATES) return null;
      made.body = this.#bodyOf(at, read);
    }
    return start;
  }

  #ruleOf(at: number, read: number): Expression {
    if (read + this.#alive[at]! > this.#max) return NOTHING;
    const { accepts, edges } = this.#automaton[at]!;
    if (accepts && edges.length === 1 && edges[0]!.to === at) {
      const unit = this.#unit(edges[0]!.set);
      return sequence(repeat(unit, Math.max(0, this.#min - read), this.#max - read), '"');
    }
    // Beyond the smallest length only the distance to the largest one counts, and there may be none.
    const counted = this.#max === Infinity ? Math.min(read, this.#min) : read;
    const key = `${at}:${counted}`;
    const known = this.#rules.get(key);
    if (known !== undefined) return known.made;
    const made = rule("string", NOTHING);
    this.#work.rule();
    this.#rules.set(key, { made, at, read: counted });
    return made;
  }

  #bodyOf(at: number, read: number): Expression {
    const { accepts, edges } = this.#automaton[at]!;
    const options = edges.map(({ set, to }) => sequence(this.#unit(set), this.#ruleOf(to, read + 1)));
    return choice(...options, ...(accepts && read >= this.#min ? ['"'] : []));
  }

  #unit(set: CharSet): Expression {
    const key = charsKey(set);
    const known = this.#units.get(key);
    if (known !== undefined) return known;
    const unit = key === charsKey(TEXT_CHARS) ? CHARACTER : jsonChars(set);
    const made = unit.kind === "choice" ? rule("char", unit) : unit;
    this.#units.set(key, made);
    return made;
  }
}

/** Characters of the shortest way from each state to an end. */
function distancesOf(automaton: Automaton): number[] {
  const distances = automaton.map(({ accepts }) => (accepts ? 0 : Infinity));
  for (let changed = true; changed;) {
    changed = false;
    automaton.forEach(({ edges }, at) => {
      const best = Math.min(distances[at]!, ...edges.map(({ to }) => distances[to]! + 1));
      if (best < distances[at]!) changed = true;
      distances[at] = best;
    });
  }
  return distances;
}
