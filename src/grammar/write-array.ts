/** Arrays as expressions. */
import { choice, EMPTY, type Expression, NOTHING, repeat, type Rule, rule, sequence } from "./expression.ts";
import { arrayOf, SPACE } from "./json.ts";
import type { Work } from "./limits.ts";
import { type ArrayShape, type Demands, isImpossible, joinDemands } from "./shape.ts";

export interface ArrayWriting {
  readonly work: Work;
  readonly valueOf: (demands: Demands) => Expression;
  /** The texts of the values that meet all demands, where these are few; else null. */
  readonly textsOf: (demands: Demands) => readonly string[] | null;
  readonly note: (pointer: string, why: string) => void;
}

/** Items that are counted one by one where some of them are looked for. */
const COUNTED = 200;

/** Different things that are looked for among the items: every set of them is a state. */
const SOUGHT = 4;

/** Different values of items that all differ: every set of them is a state. */
const DIFFERENT = 8;

export function arrayText(shape: ArrayShape, writing: ArrayWriting, pointer: string): Expression {
  if (shape.max === 0) return shape.min === 0 ? arrayOf(NOTHING, true) : NOTHING;
  if (shape.unique !== null && shape.max > 1) {
    const texts = shape.prefix.length === 0 && shape.some.length === 0 ? writing.textsOf(shape.rest) : null;
    if (texts !== null && texts.length <= DIFFERENT) return arrayOf(differing(shape, texts), shape.min === 0);
    writing.note(shape.unique, "that items differ cannot be said by a grammar.");
  }
  return arrayOf(new ArrayWriter(shape, writing, pointer).items(), shape.min === 0);
}

/** Items that are all different: what is left after each is a state. */
function differing({ min, max }: ArrayShape, texts: readonly string[]): Expression {
  const rules = new Map<string, Expression>();
  const after = (left: readonly string[]): Expression => {
    const used = texts.length - left.length;
    const key = left.join(",");
    const known = rules.get(key);
    if (known !== undefined) return known;
    const next = (text: string): Expression =>
      sequence(used === 0 ? EMPTY : sequence(",", SPACE), text, after(left.filter((other) => other !== text)));
    const more = used < max ? left.map(next) : [];
    const found = choice(...more, ...(used > 0 && used >= min ? [EMPTY] : []));
    const made = found.kind === "choice" && found.options.length > 0 ? rule("items", found) : found;
    rules.set(key, made);
    return made;
  };
  return after(texts);
}

class ArrayWriter {
  readonly #shape: ArrayShape;
  readonly #writing: ArrayWriting;
  readonly #some: readonly Demands[];
  readonly #searching = new Map<string, Rule>();

  constructor(shape: ArrayShape, writing: ArrayWriting, pointer: string) {
    this.#shape = shape;
    this.#writing = writing;
    const counted = Math.max(shape.prefix.length, shape.min, shape.max === Infinity ? 0 : shape.max);
    const said = shape.some.length === 0 || (shape.some.length <= SOUGHT && counted <= COUNTED);
    if (!said) writing.note(pointer, "which of the items match cannot be said by a grammar.");
    this.#some = said ? shape.some : [];
  }

  /** At least one item. */
  items(): Expression {
    return this.#from(0, this.#some);
  }

  /** The items from a place on. @param sought what is still to be found among them */
  #from(at: number, sought: readonly Demands[]): Expression {
    const { prefix, min, max } = this.#shape;
    if (sought.length > 0) return at >= max ? NOTHING : this.#search(at, sought);
    if (at >= max) return at >= min ? EMPTY : NOTHING;
    const item = this.#item(at, []);
    if (at < prefix.length) {
      const next = sequence(at === 0 ? EMPTY : sequence(",", SPACE), item, this.#from(at + 1, []));
      return at === 0 || at < min ? next : choice(next, EMPTY);
    }
    const later = sequence(",", SPACE, item);
    if (at > 0) return repeat(later, Math.max(0, min - at), max - at);
    return sequence(item, repeat(later, Math.max(0, min - 1), max - 1));
  }

  /** The next item is some of what is sought, or none of it. */
  #search(at: number, sought: readonly Demands[]): Expression {
    const { prefix, min, max } = this.#shape;
    const place = max === Infinity ? Math.min(at, Math.max(prefix.length, min, 1)) : at;
    const key = `${place}:${sought.map((demands) => this.#some.indexOf(demands)).join()}`;
    const known = this.#searching.get(key);
    if (known !== undefined) return known;
    this.#writing.work.rule();
    const made = rule("items", NOTHING);
    this.#searching.set(key, made);
    const comma = at === 0 ? EMPTY : sequence(",", SPACE);
    const options = subsetsOf(sought).map((found) => {
      const left = sought.filter((demands) => !found.includes(demands));
      const item = this.#item(at, found.flat());
      return item === NOTHING ? NOTHING : sequence(comma, item, this.#from(at + 1, left));
    });
    made.body = choice(...options);
    return made;
  }

  #item(at: number, also: Demands): Expression {
    const demands = joinDemands(this.#shape.prefix[at] ?? this.#shape.rest, also);
    return isImpossible(demands) ? NOTHING : this.#writing.valueOf(demands);
  }
}

/** All sets of some items, the empty one first. */
export function subsetsOf<Item>(items: readonly Item[]): Item[][] {
  const sets: Item[][] = [[]];
  for (const item of items) sets.push(...sets.map((set) => [...set, item]));
  return sets;
}
