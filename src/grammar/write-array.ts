/** Arrays as expressions. */
import { choice, EMPTY, type Expression, NOTHING, repeat, type Rule, rule, sequence } from "./expression.ts";
import { arrayOf, SPACE } from "./json.ts";
import { type ArrayShape, type Demands, isImpossible, joinDemands } from "./shape.ts";

export interface ArrayWriting {
  readonly valueOf: (demands: Demands) => Expression;
  readonly note: (pointer: string, why: string) => void;
}

/** Items that are counted one by one where one of them is looked for. */
const COUNTED = 200;

export function arrayText(shape: ArrayShape, writing: ArrayWriting, pointer: string): Expression {
  if (shape.unique !== null && shape.max > 1) {
    writing.note(shape.unique, "That items differ cannot be said by a grammar.");
  }
  if (shape.max === 0) return shape.min === 0 ? arrayOf(NOTHING, true) : NOTHING;
  return arrayOf(new ArrayWriter(shape, writing, pointer).items(), shape.min === 0);
}

class ArrayWriter {
  readonly #shape: ArrayShape;
  readonly #writing: ArrayWriting;
  readonly #some: Demands | null;
  readonly #searching = new Map<number, Rule>();

  constructor(shape: ArrayShape, writing: ArrayWriting, pointer: string) {
    this.#shape = shape;
    this.#writing = writing;
    const counted = Math.max(shape.prefix.length, shape.min, shape.max === Infinity ? 0 : shape.max);
    const said = shape.some.length === 0 || (shape.some.length === 1 && counted <= COUNTED);
    if (!said) writing.note(pointer, "Which of the items match cannot be said by a grammar.");
    this.#some = said ? (shape.some[0] ?? null) : null;
  }

  /** At least one item. */
  items(): Expression {
    return this.#some === null ? this.#from(0) : this.#search(0);
  }

  /** The items from a place on. */
  #from(at: number): Expression {
    const { prefix, min, max } = this.#shape;
    if (at >= max) return EMPTY;
    const comma = at === 0 ? EMPTY : sequence(",", SPACE);
    const item = this.#item(at, []);
    if (at < prefix.length) {
      const next = sequence(comma, item, this.#from(at + 1));
      return at === 0 || at < min ? next : choice(next, EMPTY);
    }
    const later = sequence(",", SPACE, item);
    if (at > 0) return repeat(later, Math.max(0, min - at), max - at);
    return sequence(item, repeat(later, Math.max(0, min - 1), max - 1));
  }

  /** The items from a place on, one of which is looked for: it is here, or later. */
  #search(at: number): Expression {
    const { prefix, min, max } = this.#shape;
    if (at >= max) return NOTHING;
    const place = max === Infinity ? Math.min(at, Math.max(prefix.length, min, 1)) : at;
    const known = this.#searching.get(place);
    if (known !== undefined) return known;
    const made = rule("items", NOTHING);
    this.#searching.set(place, made);
    const comma = at === 0 ? EMPTY : sequence(",", SPACE);
    const here = sequence(comma, this.#item(at, this.#some!), this.#from(at + 1));
    made.body = choice(here, sequence(comma, this.#item(at, []), this.#search(at + 1)));
    return made;
  }

  #item(at: number, also: Demands): Expression {
    const demands = joinDemands(this.#shape.prefix[at] ?? this.#shape.rest, also);
    return isImpossible(demands) ? NOTHING : this.#writing.valueOf(demands);
  }
}
