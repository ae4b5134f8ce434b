/** Objects as expressions: named keys in their order, then the others. */
import { choice, type Expression, literal, NOTHING, repeat, rule, sequence } from "./expression.ts";
import { member, objectOf, SPACE, STRING } from "./json.ts";
import { type Language, type Languages } from "./language.ts";
import { type Demands, isImpossible, joinDemands, type ObjectShape, type Property } from "./shape.ts";
import { stringText } from "./texts.ts";

/** What is needed to write an object. */
export interface ObjectWriting {
  readonly languages: Languages;
  readonly valueOf: (demands: Demands) => Expression;
  readonly note: (pointer: string, why: string) => void;
}

/** Kinds of other keys; each pattern may double them. */
const KINDS_OF_KEYS = 32;

/** Named keys times counted keys: each is a rule. */
const COUNTED = 4000;

export function objectText(shape: ObjectShape, writing: ObjectWriting, pointer: string): Expression {
  return new ObjectWriter(shape, writing, pointer).write();
}

class ObjectWriter {
  readonly #shape: ObjectShape;
  readonly #writing: ObjectWriting;
  readonly #pointer: string;
  readonly #names: readonly [string, Property][];
  readonly #other: Expression;
  readonly #rules = new Map<string, Expression>();
  readonly #min: number;
  readonly #max: number;

  constructor(shape: ObjectShape, writing: ObjectWriting, pointer: string) {
    this.#shape = shape;
    this.#writing = writing;
    this.#pointer = pointer;
    this.#names = [...shape.named];
    this.#other = this.#otherMember();
    const required = this.#names.filter(([, property]) => property.required).length;
    // Where all required keys are there, no more need to be counted.
    this.#min = shape.min <= required ? 0 : shape.min;
    this.#max = shape.max >= this.#names.length && this.#other === NOTHING ? Infinity : shape.max;
  }

  write(): Expression {
    const mayBeEmpty = this.#shape.min === 0 && this.#names.every(([, { required }]) => !required);
    if (this.#max === 0) return mayBeEmpty ? literal("{}") : NOTHING;
    if (this.#min > 1 && this.#other !== NOTHING) {
      const why = "That several keys without names of their own differ cannot be said by a grammar.";
      this.#writing.note(this.#shape.counted ?? this.#pointer, why);
    }
    const most = this.#max === Infinity ? this.#min : Math.min(this.#max, this.#names.length);
    if (this.#names.length * Math.min(most, this.#names.length) > COUNTED) {
      this.#writing.note(this.#shape.counted ?? this.#pointer, "There are too many keys to count.");
    }
    return objectOf(this.#from(0, 0), mayBeEmpty);
  }

  /** The members from a name on, when there have been so many before. Without any member only the empty object is left, which stands apart. */
  #from(at: number, count: number): Expression {
    if (count > this.#max) return NOTHING;
    const counted = this.#max === Infinity ? Math.min(count, Math.max(this.#min, 1)) : count;
    const key = `${at}:${counted}`;
    const known = this.#rules.get(key);
    if (known !== undefined) return known;
    const found = at === this.#names.length ? this.#tail(counted) : this.#named(at, counted);
    const made = found.kind === "choice" && found.options.length > 0 ? rule("members", found) : found;
    this.#rules.set(key, made);
    return made;
  }

  #named(at: number, count: number): Expression {
    const [name, { demands, required }] = this.#names[at]!;
    const left = required ? NOTHING : this.#from(at + 1, count);
    if (isImpossible(demands)) return left;
    const value = this.#writing.valueOf(demands);
    const one = member(literal(JSON.stringify(name)), value);
    const taken = sequence(...(count > 0 ? [literal(","), SPACE] : []), one, this.#from(at + 1, count + 1));
    return choice(taken, left);
  }

  /** The keys without names of their own. */
  #tail(count: number): Expression {
    const [min, max] = [Math.max(0, this.#min - count), this.#max - count];
    const other = this.#other;
    if (count > 0) return repeat(sequence(",", SPACE, other), min, max);
    if (other === NOTHING || max < 1) return NOTHING;
    return sequence(other, repeat(sequence(",", SPACE, other), Math.max(0, min - 1), max - 1));
  }

  #otherMember(): Expression {
    const kinds = this.#kindsOfKeys().filter(({ demands }) => !isImpossible(demands));
    const members = kinds.map(({ keys, demands }) => {
      const key = this.#keyText(keys);
      return key === NOTHING ? NOTHING : member(key, this.#writing.valueOf(demands));
    });
    const all = choice(...members);
    return all.kind === "choice" && all.options.length > 0 ? rule("member", all) : all;
  }

  #keyText(keys: Language): Expression {
    if (keys === this.#writing.languages.everything) return STRING;
    const text = stringText(this.#writing.languages, { language: keys, min: 0, max: Infinity });
    if (text !== null) return text;
    this.#writing.note(this.#pointer, "The names of the other keys cannot be said by a grammar.");
    return STRING;
  }

  /** The other keys, by what is asked of their values. */
  #kindsOfKeys(): { readonly keys: Language; readonly demands: Demands }[] {
    const { languages } = this.#writing;
    const unnamed = languages.not(languages.words(this.#names.map(([name]) => name)));
    let kinds: { readonly keys: Language; readonly demands: Demands }[] = [{ keys: unnamed, demands: [] }];
    for (const { keys, demands } of this.#shape.others) {
      const next = kinds.flatMap((kind) => [
        { keys: languages.both(kind.keys, keys), demands: joinDemands(kind.demands, demands) },
        { keys: languages.both(kind.keys, languages.not(keys)), demands: kind.demands },
      ]);
      kinds = next.filter((kind) => kind.keys !== languages.nothing);
      if (kinds.length > KINDS_OF_KEYS) {
        this.#writing.note(this.#pointer, "There are too many patterns of keys.");
        return kinds;
      }
    }
    return kinds;
  }
}
