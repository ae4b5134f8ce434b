/** Takes out of a grammar what can never come to an end: an alternative that nothing matches would only lead a model astray. */
import { choice, EMPTY, type Expression, type Grammar, NOTHING, rulesOf, sequence } from "./expression.ts";
import { depthOf, depthsOf } from "./random-text.ts";

/** @returns null where nothing is left */
export function productive(grammar: Grammar): Grammar | null {
  const depths = depthsOf(grammar);
  if (depthOf(grammar, depths) === Infinity) return null;
  const cut = (expression: Expression): Expression => {
    if (depthOf(expression, depths) === Infinity) return NOTHING;
    switch (expression.kind) {
      case "sequence":
        return sequence(...expression.parts.map(cut));
      case "choice":
        return choice(...expression.options.map(cut));
      case "repeat":
        return depthOf(expression.of, depths) === Infinity ? EMPTY : expression;
      default:
        return expression;
    }
  };
  for (const rule of rulesOf(grammar)) {
    if ([...childrenDeep(rule.body)].some((part) => depthOf(part, depths) === Infinity)) rule.body = cut(rule.body);
  }
  return grammar.kind === "rule" ? grammar : cut(grammar);
}

/** The parts of an expression, not beyond rules. */
function* childrenDeep(expression: Expression): Generator<Expression> {
  yield expression;
  if (expression.kind === "sequence") for (const part of expression.parts) yield* childrenDeep(part);
  if (expression.kind === "choice") for (const option of expression.options) yield* childrenDeep(option);
  if (expression.kind === "repeat") yield* childrenDeep(expression.of);
}
