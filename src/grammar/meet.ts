/** The intersection of two shapes. */
import { type Language, type Languages, textsOf } from "./language.ts";
import type { Work } from "./limits.ts";
import {
  type ArrayShape,
  type Demands,
  demandsKey,
  joinDemands,
  keyOf,
  type NumberShape,
  type ObjectShape,
  type Others,
  othersKey,
  type Property,
  type Shape,
  type StringShape,
  type Union,
} from "./shape.ts";

/** Shapes that a schema may come to; beyond it the product of its alternatives is too large. */
const SHAPES = 150;

export class Meeting {
  readonly #languages: Languages;
  readonly #work: Work;
  readonly #isEmpty: (demands: Demands) => boolean;

  /** @param isEmpty whether it is known that no value meets all demands */
  constructor(languages: Languages, work: Work, isEmpty: (demands: Demands) => boolean) {
    this.#languages = languages;
    this.#work = work;
    this.#isEmpty = isEmpty;
  }

  /** The intersection of two unions; null where that would be too many shapes. */
  unions(one: Union, other: Union): Union | null {
    const found: Shape[] = [];
    for (const a of one) {
      for (const b of other) {
        if (a.kind !== b.kind) continue;
        this.#work.step(4);
        const both = this.shapes(a, b);
        if (both !== null) found.push(both);
      }
      if (found.length > SHAPES * 4) return null;
    }
    const tidy = this.tidy(found);
    return tidy.length > SHAPES ? null : tidy;
  }

  /** Fewer shapes that say the same. */
  tidy(union: Union): Union {
    const found = new Map(union.map((shape) => [keyOf(shape), shape]));
    const { everything } = this.#languages;
    const strings = [...found.values()].filter((one) => one.kind === "string" && one.min === 0 && one.max === Infinity);
    if (strings.length > 1) {
      for (const one of strings) found.delete(keyOf(one));
      const language = this.#languages.union(...strings.map((one) => (one as StringShape).language));
      const joined: StringShape = { kind: "string", language, min: 0, max: Infinity };
      found.set(keyOf(joined), joined);
    }
    const booleans = [...found.values()].filter((one) => one.kind === "boolean");
    if (booleans.length > 1) {
      for (const one of booleans) found.delete(keyOf(one));
      const values = [...new Set(booleans.flatMap((one) => one.values))];
      found.set("boolean", { kind: "boolean", values });
    }
    const all = [...found.values()];
    const free = new Set(all.filter((one) => asksNothing(one, everything)));
    const kinds = new Set([...free].map(({ kind }) => kind));
    return all.filter((one) => free.has(one) || !kinds.has(one.kind));
  }

  /** @returns null where they have nothing in common */
  shapes(one: Shape, other: Shape): Shape | null {
    if (one.kind === "null") return one;
    if (one.kind === "boolean" && other.kind === "boolean") {
      const values = one.values.filter((value) => other.values.includes(value));
      return values.length === 0 ? null : { kind: "boolean", values };
    }
    if (one.kind === "number" && other.kind === "number") return this.#numbers(one, other);
    if (one.kind === "string" && other.kind === "string") return this.#strings(one, other);
    if (one.kind === "array" && other.kind === "array") return this.#arrays(one, other);
    if (one.kind === "object" && other.kind === "object") return this.#objects(one, other);
    return null;
  }

  #numbers(one: NumberShape, other: NumberShape): NumberShape | null {
    const integer = one.integer || other.integer;
    const [low, high] = [Math.max(one.min, other.min), Math.min(one.max, other.max)];
    const [min, max] = integer ? [Math.ceil(low), Math.floor(high)] : [low, high];
    const texts = this.#listed(this.#languages.both(one.texts, other.texts), (text) => {
      const value = Number(text);
      return value >= min && value <= max && (!integer || Number.isInteger(value));
    });
    return min > max || texts === this.#languages.nothing ? null : { kind: "number", integer, min, max, texts };
  }

  #strings(one: StringShape, other: StringShape): StringShape | null {
    const language = this.#languages.both(one.language, other.language);
    const [min, max] = [Math.max(one.min, other.min), Math.min(one.max, other.max)];
    if (min > max || language === this.#languages.nothing) return null;
    if (language.shape.kind !== "words" || (min === 0 && max === Infinity)) {
      return { kind: "string", language, min, max };
    }
    const left = this.#listed(language, (text) => [...text].length >= min && [...text].length <= max);
    return left === this.#languages.nothing ? null : { kind: "string", language: left, min: 0, max: Infinity };
  }

  /** The texts of a language that lists them, without the wrong ones; other languages as they are. */
  #listed(language: Language, isRight: (text: string) => boolean): Language {
    const texts = textsOf(language);
    return texts === null ? language : this.#languages.words(texts.filter(isRight));
  }

  #arrays(one: ArrayShape, other: ArrayShape): ArrayShape | null {
    const min = Math.max(one.min, other.min);
    let max = Math.min(one.max, other.max);
    const length = Math.max(one.prefix.length, other.prefix.length);
    const prefix = Array.from({ length }, (_, at) =>
      joinDemands(one.prefix[at] ?? one.rest, other.prefix[at] ?? other.rest),
    );
    const rest = joinDemands(one.rest, other.rest);
    const closed = prefix.findIndex((demands) => this.#isEmpty(demands));
    if (closed >= 0) max = Math.min(max, closed);
    else if (this.#isEmpty(rest)) max = Math.min(max, length);
    if (min > max) return null;
    const some = unique([...one.some, ...other.some], demandsKey);
    if (some.some((demands) => max === 0 || this.#isEmpty(demands))) return null;
    return { kind: "array", prefix, rest, min, max, some, unique: one.unique ?? other.unique };
  }

  #objects(one: ObjectShape, other: ObjectShape): ObjectShape | null {
    const named = new Map<string, Property>();
    for (const name of [...listedIn(one), ...listedIn(other), ...one.named.keys(), ...other.named.keys()]) {
      if (!named.has(name)) named.set(name, this.#property(one, other, name));
    }
    const required = [...named.values()].filter((property) => property.required);
    const min = Math.max(one.min, other.min, required.length);
    const max = Math.min(one.max, other.max);
    if (min > max || required.some(({ demands }) => this.#isEmpty(demands))) return null;
    const others = unique([...one.others, ...other.others], othersKey);
    const some = unique([...one.some, ...other.some], othersKey);
    return { kind: "object", named, others, some, min, max, counted: one.counted ?? other.counted };
  }

  #property(one: ObjectShape, other: ObjectShape, name: string): Property {
    const [a, b] = [one.named.get(name), other.named.get(name)];
    return {
      demands: joinDemands(
        a?.demands ?? this.#implied(one.others, name),
        b?.demands ?? this.#implied(other.others, name),
      ),
      required: (a?.required ?? false) || (b?.required ?? false),
      listed: (a?.listed ?? false) || (b?.listed ?? false),
    };
  }

  #implied(others: readonly Others[], name: string): Demands {
    return joinDemands(...others.filter(({ keys }) => this.#languages.has(keys, name)).map(({ demands }) => demands));
  }
}

function unique<Item>(items: readonly Item[], key: (item: Item) => string): Item[] {
  return [...new Map(items.map((item) => [key(item), item])).values()];
}

function listedIn({ named }: ObjectShape): string[] {
  return [...named].filter(([, { listed }]) => listed).map(([name]) => name);
}

/** Whether a shape is all values of its kind. */
export function asksNothing(shape: Shape, everything: StringShape["language"]): boolean {
  switch (shape.kind) {
    case "null":
      return true;
    case "boolean":
      return shape.values.length === 2;
    case "number":
      return !shape.integer && shape.min === -Infinity && shape.max === Infinity && shape.texts === everything;
    case "string":
      return shape.language === everything && shape.min === 0 && shape.max === Infinity;
    case "array":
      return (
        shape.prefix.every(({ length }) => length === 0) &&
        shape.rest.length === 0 &&
        shape.min === 0 &&
        shape.max === Infinity &&
        shape.some.length === 0 &&
        shape.unique === null
      );
    case "object":
      return (
        shape.min === 0 &&
        shape.max === Infinity &&
        shape.others.length === 0 &&
        shape.some.length === 0 &&
        [...shape.named.values()].every(({ demands, required }) => !required && demands.length === 0)
      );
  }
}
