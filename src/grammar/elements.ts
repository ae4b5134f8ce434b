/** How large a grammar is for llama.cpp, which writes out every repetition when it reads one: that is what reading takes time for. */
import { type Expression, type Grammar, rulesOf } from "./expression.ts";
import type { GrammarLimits } from "./limits.ts";

/** The excess of a grammar, as a part of a sentence about it; null: none. @param gbnf the same grammar */
export function excessOf(grammar: Grammar, gbnf: string, limits: GrammarLimits): string | null {
  const { grammarLength, elements: most } = limits;
  if (gbnf.length > grammarLength) return `has ${gbnf.length} characters; at most ${grammarLength} are allowed`;
  const elements = elementsOf(grammar);
  if (elements <= most) return null;
  return `has ${elements} elements, with its repetitions written out; at most ${most} are allowed`;
}

/** The cost of a rule beside its elements, which is more than that of most of them. Each repetition that may be left out is one. */
const OF_RULE = 16;

/** Elements of a grammar's rules, about as llama.cpp has them. It reads and sets up 10 to 20 of them in a microsecond. */
export function elementsOf(grammar: Grammar): number {
  return rulesOf(grammar).reduce((all, { body }) => all + elementsIn(body) + OF_RULE, elementsIn(grammar));
}

function elementsIn(expression: Expression): number {
  switch (expression.kind) {
    case "literal":
      return expression.text.length;
    case "chars":
      return expression.set.length;
    case "rule":
      return 1;
    case "sequence":
      return sum(expression.parts);
    case "choice":
      return sum(expression.options) + expression.options.length;
    case "repeat": {
      const { of, min, max } = expression;
      const each = elementsIn(of);
      // A part in brackets becomes a rule, which is referred to.
      const [once, again] = of.kind === "chars" || of.kind === "rule" ? [0, each] : [each, 1];
      const optional = max === Infinity ? 1 : max - min;
      return once + min * again + optional * (again + OF_RULE);
    }
  }
}

function sum(expressions: readonly Expression[]): number {
  return expressions.reduce((all, one) => all + elementsIn(one), 0);
}
