/** Objects as expressions: named keys in their order, then the others. */
import { choice, EMPTY, type Expression, literal, NOTHING, repeat, rule, sequence } from "./expression.ts";
import { member, objectOf, SPACE, STRING } from "./json.ts";
import type { Language, Languages } from "./language.ts";
import { SchemaError, type Work } from "./limits.ts";
import { type Demands, isImpossible, joinDemands, type ObjectShape, type Others, type Property } from "./shape.ts";
import { subsetsOf } from "./write-array.ts";

/** The helpers that writing an object needs. */
export interface ObjectWriting {
  readonly languages: Languages;
  readonly work: Work;
  readonly valueOf: (demands: Demands) => Expression;
  /** A string with its quotes; null where it would be too large. */
  readonly stringOf: (language: Language) => Expression | null;
  readonly note: (pointer: string, why: string) => void;
}

/** Different things that are looked for among the keys: every set of them is a state. */
const SOUGHT = 4;

/** Named keys times counted keys: each is a rule. */
const COUNTED = 4000;

export function objectText(shape: ObjectShape, writing: ObjectWriting, pointer: string): Expression {
  return new ObjectWriter(shape, writing, pointer).write();
}

interface KindOfKeys {
  readonly keys: Language;
  readonly demands: Demands;
}

class ObjectWriter {
  readonly #shape: ObjectShape;
  readonly #writing: ObjectWriting;
  readonly #pointer: string;
  readonly #names: readonly [string, Property][];
  readonly #kinds: readonly KindOfKeys[];
  /** A key without a name of its own, and its value. */
  readonly #other: Expression;
  readonly #some: readonly Others[];
  readonly #rules = new Map<string, Expression>();
  readonly #min: number;
  readonly #max: number;

  constructor(shape: ObjectShape, writing: ObjectWriting, pointer: string) {
    this.#shape = shape;
    this.#writing = writing;
    this.#pointer = pointer;
    this.#names = [...shape.named];
    this.#kinds = this.#kindsOfKeys();
    this.#other = this.#memberOf(this.#kinds);
    const required = this.#names.filter(([, property]) => property.required).length;
    // Where all required keys are there, no more need to be counted; what is sought needs a key of its own.
    this.#min = shape.min <= Math.max(required, shape.some.length > 0 ? 1 : 0) ? 0 : shape.min;
    this.#max = shape.max >= this.#names.length && this.#other === NOTHING ? Infinity : shape.max;
    const said = shape.some.length === 0 || (shape.some.length <= SOUGHT && this.#min <= 1 && this.#max === Infinity);
    if (!said) writing.note(pointer, "which of the keys match cannot be said by a grammar.");
    this.#some = said ? shape.some : [];
  }

  write(): Expression {
    const mayBeEmpty =
      this.#shape.min === 0 && this.#some.length === 0 && this.#names.every(([, { required }]) => !required);
    if (this.#max === 0) return mayBeEmpty ? literal("{}") : NOTHING;
    if (this.#min > 1 && this.#other !== NOTHING) {
      const why = "that several keys without names of their own differ cannot be said by a grammar.";
      this.#writing.note(this.#shape.counted ?? this.#pointer, why);
    }
    const most = this.#max === Infinity ? this.#min : Math.min(this.#max, this.#names.length);
    if (this.#names.length * Math.min(most, this.#names.length) > COUNTED) {
      throw new SchemaError(this.#shape.counted ?? this.#pointer, "there are too many keys to count.");
    }
    return objectOf(this.#from(0, 0, this.#some), mayBeEmpty);
  }

  /**
   * The members from a name on, when there have been so many before. Without any member only the empty object is left, which stands apart.
   * @param sought what is still to be found among them
   */
  #from(at: number, count: number, sought: readonly Others[]): Expression {
    if (count > this.#max) return NOTHING;
    const counted = this.#max === Infinity ? Math.min(count, Math.max(this.#min, 1)) : count;
    const key = `${at}:${counted}:${sought.map((one) => this.#some.indexOf(one)).join()}`;
    const known = this.#rules.get(key);
    if (known !== undefined) return known;
    if (at === this.#names.length && sought.length > 0) return this.#search(key, counted, sought);
    this.#writing.work.rule();
    const found = at === this.#names.length ? this.#tail(counted) : this.#named(at, counted, sought);
    const made = found.kind === "choice" && found.options.length > 0 ? rule("members", found) : found;
    this.#rules.set(key, made);
    return made;
  }

  #named(at: number, count: number, sought: readonly Others[]): Expression {
    const [name, { demands, required }] = this.#names[at]!;
    const left = required ? NOTHING : this.#from(at + 1, count, sought);
    if (isImpossible(demands)) return left;
    const matching = sought.filter(({ keys }) => this.#writing.languages.has(keys, name));
    const options = subsetsOf(matching).map((found) => {
      const all = joinDemands(demands, ...found.map((one) => one.demands));
      if (isImpossible(all)) return NOTHING;
      const one = member(literal(JSON.stringify(name)), this.#writing.valueOf(all));
      const rest = sought.filter((other) => !found.includes(other));
      return sequence(this.#comma(count), one, this.#from(at + 1, count + 1, rest));
    });
    return choice(...options, left);
  }

  #comma(count: number): Expression {
    return count > 0 ? sequence(",", SPACE) : EMPTY;
  }

  /** The keys without names of their own. */
  #tail(count: number): Expression {
    const [min, max] = [Math.max(0, this.#min - count), this.#max - count];
    const other = this.#other;
    if (count > 0) return repeat(sequence(",", SPACE, other), min, max);
    if (other === NOTHING || max < 1) return NOTHING;
    return sequence(other, repeat(sequence(",", SPACE, other), Math.max(0, min - 1), max - 1));
  }

  /** The next key without a name of its own is some of what is sought, or none of it. */
  #search(key: string, count: number, sought: readonly Others[]): Expression {
    const made = rule("members", NOTHING);
    this.#rules.set(key, made);
    const { languages } = this.#writing;
    const options = subsetsOf(sought).map((found) => {
      const kinds = this.#kinds.map((kind) => ({
        keys: languages.both(kind.keys, ...found.map(({ keys }) => keys)),
        demands: joinDemands(kind.demands, ...found.map(({ demands }) => demands)),
      }));
      const other = found.length === 0 ? this.#other : this.#memberOf(kinds);
      const rest = sought.filter((one) => !found.includes(one));
      return sequence(this.#comma(count), other, this.#from(this.#names.length, count + 1, rest));
    });
    made.body = choice(...options);
    return made;
  }

  #memberOf(kinds: readonly KindOfKeys[]): Expression {
    const members = kinds.map(({ keys, demands }) => {
      if (isImpossible(demands)) return NOTHING;
      const key = this.#keyText(keys);
      return key === NOTHING ? NOTHING : member(key, this.#writing.valueOf(demands));
    });
    const all = choice(...members);
    return all.kind === "choice" && all.options.length > 0 ? rule("member", all) : all;
  }

  #keyText(keys: Language): Expression {
    const text = this.#writing.stringOf(keys);
    if (text !== null) return text;
    this.#writing.note(this.#pointer, "the names of the other keys cannot be said by a grammar.");
    return STRING;
  }

  /** The other keys, by what is asked of their values. */
  #kindsOfKeys(): readonly KindOfKeys[] {
    const { languages } = this.#writing;
    const unnamed = languages.not(languages.words(this.#names.map(([name]) => name)));
    const { others } = this.#shape;
    if (others.every(({ keys }) => keys === languages.everything)) {
      return [{ keys: unnamed, demands: joinDemands(...others.map(({ demands }) => demands)) }];
    }
    const overlaps = languages.overlaps([unnamed, ...others.map(({ keys }) => keys)]);
    if (overlaps === null) {
      this.#writing.note(this.#pointer, "there are too many patterns of keys.");
      return [{ keys: unnamed, demands: [] }];
    }
    return overlaps.flatMap((places): KindOfKeys[] => {
      if (!places.includes(0)) return [];
      const matching = others.filter((_, at) => places.includes(at + 1));
      const demands = joinDemands(...matching.map((one) => one.demands));
      if (isImpossible(demands)) return [];
      // Only what overlaps with these has to be kept out.
      const rivals = new Set(overlaps.filter((one) => places.every((place) => one.includes(place))).flat());
      const without = others.filter((_, at) => rivals.has(at + 1) && !places.includes(at + 1));
      const inside = languages.both(...matching.map(({ keys }) => keys));
      const named = this.#names.map(([name]) => name).filter((name) => languages.has(inside, name));
      const outside = languages.union(languages.words(named), ...without.map(({ keys }) => keys));
      return [{ keys: languages.both(inside, languages.not(outside)), demands }];
    });
  }
}
