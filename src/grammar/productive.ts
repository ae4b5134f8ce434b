/** Takes out of a grammar what can never come to an end: an alternative that nothing matches would only lead a model astray. */
import {
  childrenOf,
  choice,
  EMPTY,
  type Expression,
  type Grammar,
  NOTHING,
  type Rule,
  rulesOf,
  sequence,
} from "./expression.ts";

/** @returns null where nothing is left */
export function productive(grammar: Grammar): Grammar | null {
  const rules = rulesOf(grammar);
  const ending = endingRules(rules);
  if (!ends(grammar, ending)) return null;
  if (ending.size === rules.length) return grammar;
  for (const rule of rules) if (ending.has(rule) && !isWhole(rule.body, ending)) rule.body = cut(rule.body, ending);
  return cut(grammar, ending);
}

/** The rules that some text matches. */
function endingRules(rules: readonly Rule[]): ReadonlySet<Rule> {
  const ending = new Set<Rule>();
  // Rules that are mentioned last mostly stand alone, so that few rounds are enough.
  const order = rules.toReversed();
  for (let before = -1; before < ending.size;) {
    before = ending.size;
    for (const rule of order) if (!ending.has(rule) && ends(rule.body, ending)) ending.add(rule);
  }
  return ending;
}

function ends(expression: Expression, ending: ReadonlySet<Rule>): boolean {
  switch (expression.kind) {
    case "sequence":
      return expression.parts.every((part) => ends(part, ending));
    case "choice":
      return expression.options.some((option) => ends(option, ending));
    case "repeat":
      return expression.min === 0 || ends(expression.of, ending);
    case "rule":
      return ending.has(expression);
    default:
      return true;
  }
}

/** Whether there is nothing to take out of it: rules that several grammars share are left alone. */
function isWhole(expression: Expression, ending: ReadonlySet<Rule>): boolean {
  if (!ends(expression, ending)) return false;
  return expression.kind === "rule" || childrenOf(expression).every((part) => isWhole(part, ending));
}

function cut(expression: Expression, ending: ReadonlySet<Rule>): Expression {
  if (!ends(expression, ending)) return NOTHING;
  switch (expression.kind) {
    case "sequence":
      return sequence(...expression.parts.map((part) => cut(part, ending)));
    case "choice":
      return choice(...expression.options.map((option) => cut(option, ending)));
    case "repeat":
      return ends(expression.of, ending) ? expression : EMPTY;
    default:
      return expression;
  }
}
