/** Random texts of a grammar: for the simulated engine, and to compare grammars with what they were made from. */
import { type CharSet, rangesOf, sizeOf } from "./charset.ts";
import { childrenOf, type Expression, type Grammar, type Rule, rulesOf } from "./expression.ts";

/** Characters that texts are mostly made of, where a grammar leaves the choice. */
const USUAL = [0x20, 0x7e] as const;

/** Rules below each other after which the shortest way out is taken. */
const DEPTH = 12;

/** Beyond so many characters every choice is the shortest. */
const LONG = 2000;

/**
 * A text that the grammar allows.
 * @param random numbers from 0 to below 1; the same numbers give the same text
 * @param most characters after which the rest is left out: schemas may ask for millions
 */
export function randomText(grammar: Grammar, random: () => number, most = Infinity): string {
  const depths = depthsOf(grammar);
  let text = "";
  const write = (expression: Expression, depth: number): void => {
    if (text.length > most) return;
    switch (expression.kind) {
      case "literal":
        text += expression.text;
        return;
      case "chars":
        text += charOf(expression.set, random);
        return;
      case "sequence":
        for (const part of expression.parts) write(part, depth);
        return;
      case "choice":
        write(optionOf(expression.options, depth), depth);
        return;
      case "repeat":
        for (let left = timesOf(expression, depth); left > 0 && text.length <= most; left--)
          write(expression.of, depth);
        return;
      case "rule":
        write(expression.body, depth + 1);
    }
  };
  const short = (depth: number): boolean => depth > DEPTH || text.length > LONG;
  const optionOf = (options: readonly Expression[], depth: number): Expression => {
    if (!short(depth)) return options[Math.floor(random() * options.length)]!;
    return options.reduce((best, one) => (depthOf(one, depths) < depthOf(best, depths) ? one : best));
  };
  const timesOf = ({ min, max }: Expression & { kind: "repeat" }, depth: number): number => {
    if (short(depth)) return min;
    const more = random() < 0.1 ? 40 : 4;
    return min + Math.floor(random() * (Math.min(max - min, more) + 1));
  };
  write(grammar, 0);
  return text;
}

function charOf(set: CharSet, random: () => number): string {
  const all = rangesOf(set);
  const usual = all.map(([from, to]) => [Math.max(from, USUAL[0]), Math.min(to, USUAL[1])] as const);
  const ranges = random() < 0.9 ? usual.filter(([from, to]) => from <= to) : [];
  const chosen = ranges.length === 0 ? all : ranges;
  const counted = chosen.flatMap(([from, to]) => [from, to]);
  let at = Math.floor(random() * sizeOf(counted));
  for (const [from, to] of chosen) {
    if (at <= to - from) return String.fromCodePoint(from + at);
    at -= to - from + 1;
  }
  throw new Error("No character to choose from.");
}

/** How many rules deep the shortest text of each rule is; Infinity where it has none. */
function depthsOf(grammar: Grammar): Map<Rule, number> {
  const rules = rulesOf(grammar);
  const depths = new Map(rules.map((rule) => [rule, Infinity]));
  const users = usersOf(rules);
  const waiting = new Set(rules.toReversed());
  for (const rule of waiting) {
    waiting.delete(rule);
    const depth = depthOf(rule.body, depths) + 1;
    if (depth >= depths.get(rule)!) continue;
    depths.set(rule, depth);
    for (const user of users.get(rule) ?? []) waiting.add(user);
  }
  return depths;
}

function usersOf(rules: readonly Rule[]): Map<Rule, Set<Rule>> {
  const users = new Map<Rule, Set<Rule>>();
  const visit = (expression: Expression, user: Rule): void => {
    if (expression.kind !== "rule") {
      for (const child of childrenOf(expression)) visit(child, user);
      return;
    }
    const found = users.get(expression) ?? new Set();
    users.set(expression, found.add(user));
  };
  for (const rule of rules) visit(rule.body, rule);
  return users;
}

/** As `depthsOf`, of an expression. */
function depthOf(expression: Expression, depths: ReadonlyMap<Rule, number>): number {
  switch (expression.kind) {
    case "sequence":
      return Math.max(0, ...expression.parts.map((part) => depthOf(part, depths)));
    case "choice":
      return Math.min(Infinity, ...expression.options.map((option) => depthOf(option, depths)));
    case "repeat":
      return expression.min === 0 ? 0 : depthOf(expression.of, depths);
    case "rule":
      return depths.get(expression) ?? Infinity;
    default:
      return 0;
  }
}
