/**
 * The shapes that a schema comes to: values of one type each, with all that is asked of them in one place. A schema is a union of shapes.
 * The demands on the values within a value stay a list until they are needed, since schemas may go in circles.
 */
import type { Language, Languages } from "./language.ts";
import type { SchemaNode } from "./schema-node.ts";

/** A value is to match a schema, or not to. */
export interface Demand {
  readonly node: SchemaNode;
  readonly negated: boolean;
}

/** All of them are to hold. */
export type Demands = readonly Demand[];

export interface NullShape {
  readonly kind: "null";
}

export interface BooleanShape {
  readonly kind: "boolean";
  readonly values: readonly boolean[];
}

export interface NumberShape {
  readonly kind: "number";
  readonly integer: boolean;
  /** Both belong to the range. */
  readonly min: number;
  readonly max: number;
  /** Which of its texts are right, without exponents unless all are. */
  readonly texts: Language;
}

export interface StringShape {
  readonly kind: "string";
  readonly language: Language;
  /** Characters. */
  readonly min: number;
  readonly max: number;
}

export interface ArrayShape {
  readonly kind: "array";
  readonly prefix: readonly Demands[];
  readonly rest: Demands;
  readonly min: number;
  readonly max: number;
  /** At least one item matches each. */
  readonly some: readonly Demands[];
  /** Where the schema says that no two items are equal. */
  readonly unique: string | null;
}

export interface Property {
  readonly demands: Demands;
  readonly required: boolean;
  /** Whether it stands in `properties`, and not only among what is required. */
  readonly listed: boolean;
}

/** The demands on the values of keys without a name of their own. */
export interface Others {
  readonly keys: Language;
  readonly demands: Demands;
}

export interface ObjectShape {
  readonly kind: "object";
  /** In the order in which keys come. */
  readonly named: ReadonlyMap<string, Property>;
  readonly others: readonly Others[];
  /** For each there is a key, with or without a name of its own, whose value meets the demands. */
  readonly some: readonly Others[];
  readonly min: number;
  readonly max: number;
  /** Where the schema asks for a number of keys. */
  readonly counted: string | null;
}

export type Shape = NullShape | BooleanShape | NumberShape | StringShape | ArrayShape | ObjectShape;
export type Kind = Shape["kind"];

/** One of them matches. */
export type Union = readonly Shape[];

export const KINDS: readonly Kind[] = ["null", "boolean", "number", "string", "array", "object"];

export const FREE_ARRAY: ArrayShape = {
  kind: "array",
  prefix: [],
  rest: [],
  min: 0,
  max: Infinity,
  some: [],
  unique: null,
};

export const FREE_OBJECT: ObjectShape = {
  kind: "object",
  named: new Map(),
  others: [],
  some: [],
  min: 0,
  max: Infinity,
  counted: null,
};

/** Shapes of which nothing is asked. */
export class FreeShapes {
  readonly all: Union;
  readonly number: NumberShape;
  readonly string: StringShape;

  constructor(languages: Languages) {
    const everything = languages.everything;
    this.number = { kind: "number", integer: false, min: -Infinity, max: Infinity, texts: everything };
    this.string = { kind: "string", language: everything, min: 0, max: Infinity };
    const both: BooleanShape = { kind: "boolean", values: [true, false] };
    this.all = [{ kind: "null" }, both, this.number, this.string, FREE_ARRAY, FREE_OBJECT];
  }

  /** All but one kind. */
  without(kind: Kind): Shape[] {
    return this.all.filter((shape) => shape.kind !== kind);
  }

  /** Shapes of one kind, and all of the others. */
  with(...shapes: readonly Shape[]): Shape[] {
    return [...this.without(shapes[0]!.kind), ...shapes];
  }
}

/** Equal demands have equal keys, in whatever order they came. */
export function demandsKey(demands: Demands): string {
  return demands
    .map(({ node, negated }) => (negated ? -node.id - 1 : node.id))
    .toSorted((one, other) => one - other)
    .join();
}

/** Without what is always true, and nothing twice. */
export function joinDemands(...lists: readonly Demands[]): Demands {
  const all = lists.length === 1 ? lists[0]! : lists.flat();
  if (all.length === 0) return all;
  const found = new Map<number, Demand>();
  for (const demand of all) {
    const { node, negated } = demand;
    if (node.schema === !negated) continue;
    found.set(negated ? -node.id - 1 : node.id, demand);
  }
  return [...found.values()];
}

/** Whether no value matches, as far as can be seen at once. */
export function isImpossible(demands: Demands): boolean {
  return demands.some(({ node, negated }) => node.schema === negated);
}

/** Equal clauses have equal keys. */
export function othersKey({ keys, demands }: Others): string {
  return `${keys.id}:${demandsKey(demands)}`;
}

/** Equal shapes have equal keys. */
export function keyOf(shape: Shape): string {
  switch (shape.kind) {
    case "null":
      return "null";
    case "boolean":
      return `boolean ${shape.values.toSorted().join()}`;
    case "number":
      return `number ${shape.integer} ${shape.min} ${shape.max} ${shape.texts.id}`;
    case "string":
      return `string ${shape.language.id} ${shape.min} ${shape.max}`;
    case "array": {
      const { prefix, rest, min, max, some, unique } = shape;
      const parts = [prefix.map(demandsKey).join("/"), demandsKey(rest), min, max, some.map(demandsKey).join("/")];
      return `array ${parts.join(" ")} ${unique !== null}`;
    }
    case "object": {
      const named = [...shape.named].map(
        ([name, { demands, required }]) => `${JSON.stringify(name)}${required ? "!" : ""}${demandsKey(demands)}`,
      );
      const others = shape.others.map(othersKey);
      const some = shape.some.map(othersKey);
      return `object ${named.join("/")} ${others.join("/")} ${some.join("/")} ${shape.min} ${shape.max}`;
    }
  }
}
