/**
 * Grammars as data. An expression says which texts are right; a grammar is the expression of a whole text. Expressions are shared and may
 * refer to each other in circles through rules, so they are composed without names: `gbnf.ts` gives names when a grammar is written.
 */
import type { CharSet } from "./charset.ts";

export type Expression =
  | { readonly kind: "literal"; readonly text: string }
  /** One character out of a set. */
  | { readonly kind: "chars"; readonly set: CharSet }
  | { readonly kind: "sequence"; readonly parts: readonly Expression[] }
  /** Nothing can match where there are no options. */
  | { readonly kind: "choice"; readonly options: readonly Expression[] }
  /** `max` may be Infinity. */
  | { readonly kind: "repeat"; readonly of: Expression; readonly min: number; readonly max: number }
  | Rule;

/** An expression that may refer to itself. Its body is set once, after the rule is known to those that refer to it. */
export interface Rule {
  readonly kind: "rule";
  /** A hint for the reader of the GBNF; not unique. */
  readonly name: string;
  body: Expression;
}

/** The expression of a whole text. */
export type Grammar = Expression;

export const NOTHING: Expression = { kind: "choice", options: [] };
export const EMPTY: Expression = { kind: "literal", text: "" };

export function literal(text: string): Expression {
  return text === "" ? EMPTY : { kind: "literal", text };
}

export function chars(set: CharSet): Expression {
  return set.length === 0 ? NOTHING : { kind: "chars", set };
}

/** Strings stand for themselves: `sequence("<call>", arguments, "</call>")`. */
export function sequence(...parts: readonly (Expression | string)[]): Expression {
  const flat = parts
    .map((part) => (typeof part === "string" ? literal(part) : part))
    .flatMap((part) => (part.kind === "sequence" ? part.parts : [part]))
    .filter((part) => part !== EMPTY);
  if (flat.includes(NOTHING)) return NOTHING;
  if (flat.length === 0) return EMPTY;
  return flat.length === 1 ? flat[0]! : { kind: "sequence", parts: flat };
}

export function choice(...options: readonly (Expression | string)[]): Expression {
  const flat = options
    .map((option) => (typeof option === "string" ? literal(option) : option))
    .flatMap((option) => (option.kind === "choice" ? option.options : [option]));
  const unique = [...new Set(flat)];
  if (unique.length === 0) return NOTHING;
  return unique.length === 1 ? unique[0]! : { kind: "choice", options: unique };
}

export function optional(of: Expression): Expression {
  return choice(of, EMPTY);
}

/** A rule with a body that is known already. */
export function rule(name: string, body: Expression): Rule {
  return { kind: "rule", name, body };
}

/** llama.cpp writes out every repetition, and refuses more than 2,000 of them. */
const BLOCK = 50;

/** So that equal blocks are one rule. */
const blocks = new WeakMap<Expression, Rule>();

function blockOf(of: Expression): Rule {
  const known = blocks.get(of);
  if (known !== undefined) return known;
  const block = rule("block", { kind: "repeat", of, min: BLOCK, max: BLOCK });
  blocks.set(of, block);
  return block;
}

/**
 * `of` from `min` to `max` times. Large counts are put together from blocks of blocks, each written once, so that ten million repetitions need
 * a few hundred rules, and at most one more way to read a text for each level.
 */
export function repeat(of: Expression, min: number, max: number): Expression {
  if (of === NOTHING) return min === 0 ? EMPTY : NOTHING;
  if (max < min) return NOTHING;
  if (max === 0 || of === EMPTY) return EMPTY;
  if (min === 1 && max === 1) return of;
  if (max === Infinity) return sequence(exactly(of, min), { kind: "repeat", of, min: 0, max });
  if (max <= BLOCK) return { kind: "repeat", of, min, max };
  return sequence(exactly(of, min), atMost(of, max - min));
}

function exactly(of: Expression, count: number): Expression {
  if (count <= 0) return EMPTY;
  if (count === 1) return of;
  if (count <= BLOCK) return { kind: "repeat", of, min: count, max: count };
  const block = blockOf(of);
  return sequence(exactly(block, Math.floor(count / BLOCK)), exactly(of, count % BLOCK));
}

/** As many whole blocks as there are, then fewer than a block; and for the last whole block what is left of `count`. */
function atMost(of: Expression, count: number): Expression {
  if (count <= 0) return EMPTY;
  if (count <= BLOCK) return { kind: "repeat", of, min: 0, max: count };
  const block = blockOf(of);
  const whole = Math.floor(count / BLOCK);
  const less: Expression = { kind: "repeat", of, min: 0, max: BLOCK - 1 };
  return choice(sequence(atMost(block, whole - 1), less), sequence(exactly(block, whole), atMost(of, count % BLOCK)));
}

/** Every rule that can be reached from `from`, in the order of its first mention. */
export function rulesOf(from: Expression): Rule[] {
  const found = new Set<Rule>();
  const waiting: Expression[] = [from];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (next.kind === "rule") {
      if (found.has(next)) continue;
      found.add(next);
    }
    waiting.push(...childrenOf(next).toReversed());
  }
  return [...found];
}

export function childrenOf(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case "sequence":
      return expression.parts;
    case "choice":
      return expression.options;
    case "repeat":
      return [expression.of];
    case "rule":
      return [expression.body];
    default:
      return [];
  }
}
