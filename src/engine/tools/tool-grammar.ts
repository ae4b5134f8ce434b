/** The grammar of an answer that has to call tools, or may. */
import { choice, type Expression, type Grammar, literal, repeat, rule, sequence } from "../../grammar/expression.ts";
import type { Tools } from "../../request.ts";
import type { Family } from "./families.ts";
import type { ToolSyntax } from "./find-syntax.ts";
import { maySeveral, mustCall } from "./tool-choice.ts";

/** Calls in one answer: a small model would go on for ever. */
const MOST = 16;
/** Lines that models put before their first call. */
const LINES = 2;

/**
 * @param document that the answer's text has to be where the model calls no tool; null: it has to call one
 * @throws {EngineFailure} `invalid_input`: a tool is strict, and its schema cannot be compiled
 */
export function toolGrammar(
  tools: Tools,
  syntax: Pick<ToolSyntax, "family" | "severalCalls">,
  document: Grammar | null,
): Grammar {
  const { choice: chosen, list } = tools;
  const wanted = typeof chosen === "string" ? list : list.filter(({ name }) => name === chosen.name);
  const { family } = syntax;
  const one = rule("call", choice(...wanted.map((tool) => rule(`call-${tool.name}`, family.write(tool)))));
  const calls = sequence(repeat(literal("\n"), 0, LINES), all(one, family, maySeveral(tools, syntax) ? MOST : 1));
  return mustCall(tools) ? calls : choice(rule("calls", calls), rule("document", document!));
}

function all(one: Expression, { around: [before, between, after] }: Family, most: number): Expression {
  return sequence(before, one, repeat(sequence(between, one), 0, most - 1), after);
}
