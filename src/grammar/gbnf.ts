/**
 * Writes a grammar in GBNF, the format of llama.cpp. Its rules were read from its documentation and tried: a repetition is written out when
 * the grammar is read, rule names have letters, digits and dashes, and the rule `root` is the whole text.
 */
import { type CharSet, rangesOf } from "./charset.ts";
import { type Expression, type Grammar, type Rule, rulesOf } from "./expression.ts";

/** The grammar as GBNF; the same text is right for node-llama-cpp and for llama-server. */
export function gbnfOf(grammar: Grammar): string {
  const names = namesOf(rulesOf(grammar));
  const write = (expression: Expression): string => textOf(expression, names, false);
  const lines = [`root ::= ${write(grammar)}`];
  for (const [rule, name] of names) lines.push(`${name} ::= ${write(rule.body)}`);
  return `${lines.join("\n")}\n`;
}

function namesOf(rules: readonly Rule[]): Map<Rule, string> {
  const used = new Map<string, number>();
  return new Map(
    rules.map((rule) => {
      const base = rule.name.replaceAll(/[^a-zA-Z0-9]+/g, "-").replaceAll(/^-|-$/g, "") || "rule";
      const count = (used.get(base) ?? 0) + 1;
      used.set(base, count);
      // A suffix for all: "a-1" could be the second of "a" or the only one of "a-1".
      return [rule, `${base}-r${count}`];
    }),
  );
}

/** @param inner whether alternatives need brackets here */
function textOf(expression: Expression, names: ReadonlyMap<Rule, string>, inner: boolean): string {
  switch (expression.kind) {
    case "literal":
      return quoted(expression.text);
    case "chars":
      return classOf(expression.set);
    case "rule":
      return names.get(expression)!;
    case "sequence":
      return joined(expression.parts, names);
    case "choice": {
      if (expression.options.length === 0) throw new Error("A grammar with a part that nothing can match.");
      const text = expression.options.map((option) => textOf(option, names, false)).join(" | ");
      return inner ? `(${text})` : text;
    }
    case "repeat":
      return `${unit(expression.of, names)}${timesOf(expression.min, expression.max)}`;
  }
}

/** Literals that follow each other are one. */
function joined(parts: readonly Expression[], names: ReadonlyMap<Rule, string>): string {
  const words: string[] = [];
  let text = "";
  for (const part of parts) {
    if (part.kind === "literal") {
      text += part.text;
      continue;
    }
    if (text !== "") words.push(quoted(text));
    text = "";
    words.push(textOf(part, names, true));
  }
  if (text !== "") words.push(quoted(text));
  return words.join(" ");
}

function unit(expression: Expression, names: ReadonlyMap<Rule, string>): string {
  const text = textOf(expression, names, true);
  return expression.kind === "chars" || expression.kind === "rule" || expression.kind === "choice" ? text : `(${text})`;
}

function timesOf(min: number, max: number): string {
  if (max === Infinity) return min === 0 ? "*" : min === 1 ? "+" : `{${min},}`;
  if (min === 0 && max === 1) return "?";
  return min === max ? `{${min}}` : `{${min},${max}}`;
}

/** Text that can stand between quotes as it is. */
const PLAIN = /^[ !#-[\]-~]*$/;

function quoted(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`;
  const chars = [...text].map((char) => (char === "-" ? char : escaped(char.codePointAt(0)!)));
  return `"${chars.join("")}"`;
}

/** Sets come again and again. */
const classes = new WeakMap<CharSet, string>();

function classOf(set: CharSet): string {
  const known = classes.get(set);
  if (known !== undefined) return known;
  const ranges = rangesOf(set).map(([from, to]) => {
    const [first, last] = [escaped(from), escaped(to)];
    return from === to ? first : to === from + 1 ? first + last : `${first}-${last}`;
  });
  const text = `[${ranges.join("")}]`;
  classes.set(set, text);
  return text;
}

/** Characters that have a meaning somewhere; llama.cpp knows few escapes by name, but every number. */
const SPECIAL = '"\\[]^-';

function escaped(char: number): string {
  if (char >= 0x20 && char < 0x7f) {
    const text = String.fromCharCode(char);
    if (!SPECIAL.includes(text)) return text;
  }
  const hex = char.toString(16).toUpperCase();
  if (char <= 0xff) return `\\x${hex.padStart(2, "0")}`;
  return char <= 0xffff ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}
