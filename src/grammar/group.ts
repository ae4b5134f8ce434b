/** The meaning of a keyword, and how its values are read. */
import type { Languages } from "./language.ts";
import { SchemaError } from "./limits.ts";
import type { Meeting } from "./meet.ts";
import { escaped, isObject, type JsonObject, nameOf, type SchemaNode, type SchemaNodes } from "./schema-node.ts";
import type { Demand, Demands, FreeShapes, Union } from "./shape.ts";

/** The helpers that keywords need to say what they mean. */
export interface Meanings {
  readonly nodes: SchemaNodes;
  readonly languages: Languages;
  readonly free: FreeShapes;
  readonly meeting: Meeting;
  /** Notes that the grammar is looser than the schema. */
  note(pointer: string, why: string): void;
  /** The shapes of the values that meet all demands. */
  shapesOf(demands: Demands): Union;
  /** The shapes that any of them allows. */
  anyOf(unions: readonly Union[]): Union;
  /** Whether it is known that no value meets all demands. */
  isEmpty(demands: Demands): boolean;
}

export interface Group {
  /** For sentences. */
  readonly name: string;
  readonly keywords: readonly string[];
  /** The values that are right by these keywords. */
  asked(meanings: Meanings, node: SchemaNode, schema: JsonObject): Union;
  /** The values that are wrong by these keywords. */
  negated(meanings: Meanings, node: SchemaNode, schema: JsonObject): Union;
}

/** The schema below a keyword. */
export function below(meanings: Meanings, node: SchemaNode, value: unknown, ...keys: readonly string[]): SchemaNode {
  return meanings.nodes.at(value, node.pointer + keys.map((key) => `/${escaped(key)}`).join(""));
}

export function must(node: SchemaNode): Demand {
  return { node, negated: false };
}

export function mustNot(node: SchemaNode): Demand {
  return { node, negated: true };
}

/** More than that no answer has. */
const LARGEST_MINIMUM = 100_000;

/** A number that counts something. */
export function countOf(node: SchemaNode, schema: JsonObject, keyword: string, otherwise: number): number {
  const value = schema[keyword];
  if (value === undefined) return otherwise;
  if (typeof value === "number" && value >= 0 && Number.isInteger(value)) {
    if (!keyword.startsWith("min") || value <= LARGEST_MINIMUM) return value;
    throw new SchemaError(`${node.pointer}/${keyword}`, `${keyword} must be at most ${LARGEST_MINIMUM}; got ${value}.`);
  }
  throw wrong(node, keyword, "a whole number from 0 on", value);
}

export function listOf(node: SchemaNode, schema: JsonObject, keyword: string): readonly unknown[] {
  const value = schema[keyword];
  if (Array.isArray(value)) return value;
  throw wrong(node, keyword, "a list", value);
}

/** Every object of JavaScript has it, as Ajv sees them, which checks answers. */
export const EVERYWHERE = "__proto__";
/** Here Ajv passes over it. */
const PASSING_OVER = new Set(["properties", "patternProperties", "dependencies"]);

export function mapOf(node: SchemaNode, schema: JsonObject, keyword: string): JsonObject {
  const { [keyword]: value = {} } = schema;
  if (!isObject(value)) throw wrong(node, keyword, "an object", value);
  if (!Object.hasOwn(value, EVERYWHERE) || !PASSING_OVER.has(keyword)) return value;
  return Object.fromEntries(Object.entries(value).filter(([name]) => name !== EVERYWHERE));
}

export function namesOf(pointer: string, value: unknown): readonly string[] {
  if (Array.isArray(value) && value.every((name) => typeof name === "string"))
    return value.filter((name) => name !== EVERYWHERE);
  throw new SchemaError(pointer, `this must be a list of names; got ${nameOf(value)}.`);
}

export function wrong(node: SchemaNode, keyword: string, what: string, value: unknown): SchemaError {
  return new SchemaError(`${node.pointer}/${escaped(keyword)}`, `${keyword} must be ${what}; got ${nameOf(value)}.`);
}
