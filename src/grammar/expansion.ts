/** From schemas to shapes: what a list of demands comes to, keyword by keyword. */
import { below, type Meanings } from "./group.ts";
import { groupsOf } from "./keywords.ts";
import type { Languages } from "./language.ts";
import { SchemaError, type Work } from "./limits.ts";
import { Meeting } from "./meet.ts";
import { isObject, type JsonObject, type SchemaNode, type SchemaNodes } from "./schema-node.ts";
import { type Demand, type Demands, demandsKey, FreeShapes, isImpossible, joinDemands, type Union } from "./shape.ts";
import { checkForms } from "./well-formed.ts";

/** A part of a schema that the grammar leaves looser than the schema has it. */
export interface Inexact {
  /** A JSON pointer. */
  readonly pointer: string;
  /** A sentence, as it stands behind a colon. */
  readonly why: string;
}

/** Values within values that are looked into, to see whether there can be any. */
const LEVELS = 30;

/** Thrown inward while it is asked whether demands can be met that are just being looked at further out. */
class Unknown extends Error {}

export class Expansion implements Meanings {
  readonly nodes: SchemaNodes;
  readonly languages: Languages;
  readonly free: FreeShapes;
  readonly meeting: Meeting;
  readonly #work: Work;
  readonly #notes = new Map<string, Inexact>();
  readonly #unions = new Map<number, Union>();
  readonly #combined = new Map<string, Union>();
  readonly #empty = new Map<string, boolean>();
  /** The demands of which it is being asked whether they can be met. */
  readonly #asked = new Set<string>();
  /** The schemas that are being looked at: a set for each value within a value. */
  readonly #levels: Set<number>[] = [new Set()];

  constructor(nodes: SchemaNodes, languages: Languages, work: Work) {
    this.nodes = nodes;
    this.languages = languages;
    this.free = new FreeShapes(languages);
    this.#work = work;
    this.meeting = new Meeting(languages, work, (demands) => this.isEmpty(demands));
  }

  get inexact(): readonly Inexact[] {
    return [...this.#notes.values()];
  }

  /** Notes that the grammar is looser than the schema. */
  note(pointer: string, why: string): void {
    this.#notes.set(`${pointer}\n${why}`, { pointer, why });
  }

  /** The shapes of the values that meet all demands. */
  shapesOf(demands: Demands): Union {
    const key = demandsKey(demands);
    const known = this.#combined.get(key);
    if (known !== undefined) return known;
    const [first, ...others] = joinDemands(demands);
    let found: Union = first === undefined ? this.free.all : this.#unionOf(first);
    for (const demand of others) {
      const both = this.meeting.unions(found, this.#unionOf(demand));
      if (both === null)
        this.note(demand.node.pointer, "it has too many alternatives together with what else holds here.");
      else found = both;
    }
    this.#combined.set(key, found);
    return found;
  }

  /**
   * The keyword of a schema that leaves nothing of what those before it allow; null where that is not so simple.
   * @returns a JSON pointer @throws SchemaError as `shapesOf`
   */
  conflictIn(node: SchemaNode): string | null {
    const { schema } = node;
    if (typeof schema === "boolean") return null;
    let left: Union = this.free.all;
    // People read a type first, wherever it stands.
    const groups = groupsOf(schema).toSorted(
      (one, other) => Number(other.name === "type") - Number(one.name === "type"),
    );
    for (const group of groups) {
      const both = this.meeting.unions(left, group.asked(this, node, schema));
      const keyword = group.keywords.findLast((name) => schema[name] !== undefined)!;
      if (both?.length === 0) return this.#conflictBelow(node, schema) ?? `${node.pointer}/${keyword}`;
      left = both ?? left;
    }
    return null;
  }

  /** Where a required property is impossible by itself. */
  #conflictBelow(node: SchemaNode, { required, properties }: JsonObject): string | null {
    if (!Array.isArray(required) || !isObject(properties)) return null;
    for (const name of required.filter((one: unknown) => typeof one === "string")) {
      const value = Object.hasOwn(properties, name) ? properties[name] : undefined;
      if (!isObject(value)) continue;
      const child = below(this, node, value, "properties", name);
      if (this.isEmpty([{ node: child, negated: false }])) return this.conflictIn(child) ?? child.pointer;
    }
    return null;
  }

  /** The shapes that any of them allows. */
  anyOf(unions: readonly Union[]): Union {
    return this.meeting.tidy(unions.flat());
  }

  /** Whether it is known that no value meets all demands. */
  isEmpty(demands: Demands): boolean {
    if (demands.length === 0) return false;
    if (isImpossible(demands)) return true;
    const key = demandsKey(demands);
    const known = this.#empty.get(key);
    if (known !== undefined) return known;
    // Demands that are being asked further out, or are very deep, are not known; what nothing can match is taken out at last.
    if (this.#asked.has(key) || this.#levels.length > LEVELS) return false;
    this.#work.step(2);
    this.#levels.push(new Set());
    this.#asked.add(key);
    try {
      const empty = this.shapesOf(demands).length === 0;
      this.#empty.set(key, empty);
      return empty;
    } catch (error) {
      if (error instanceof Unknown) return false;
      throw error;
    } finally {
      this.#levels.pop();
      this.#asked.delete(key);
    }
  }

  #unionOf({ node, negated }: Demand): Union {
    const key = negated ? -node.id - 1 : node.id;
    const known = this.#unions.get(key);
    if (known !== undefined) return known;
    const level = this.#levels.at(-1)!;
    if (level.has(key)) throw new SchemaError(node.pointer, "the schema refers to itself without anything between.");
    if (this.#levels.some((other) => other.has(key))) throw new Unknown();
    level.add(key);
    if (typeof node.schema !== "boolean") checkForms(node.schema, node.pointer);
    try {
      const found = negated ? this.#negated(node) : this.#wanted(node);
      this.#unions.set(key, found);
      return found;
    } finally {
      level.delete(key);
    }
  }

  #wanted(node: SchemaNode): Union {
    if (typeof node.schema === "boolean") return node.schema ? this.free.all : [];
    let found: Union = this.free.all;
    for (const group of groupsOf(node.schema)) {
      this.#work.step(4);
      const both = this.meeting.unions(found, group.asked(this, node, node.schema));
      if (both === null)
        this.note(node.pointer, `${group.name} has too many alternatives together with what else is asked here.`);
      else found = both;
    }
    return found;
  }

  #negated(node: SchemaNode): Union {
    if (typeof node.schema === "boolean") return node.schema ? [] : this.free.all;
    const found: Union[] = [];
    for (const group of groupsOf(node.schema)) {
      this.#work.step(4);
      found.push(group.negated(this, node, node.schema));
    }
    return this.anyOf(found);
  }
}
