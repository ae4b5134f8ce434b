/** Patterns as languages: what they hold is what V8's own regular expressions find. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Languages } from "../src/grammar/language.ts";
import { GRAMMAR_LIMITS, Work } from "../src/grammar/limits.ts";
import { patternLanguage } from "../src/grammar/pattern-language.ts";
import { PatternError } from "../src/grammar/pattern.ts";

/** All texts of up to four characters of these. */
const TEXTS = [""];
for (const text of TEXTS) if (text.length < 4) TEXTS.push(...["a", "b", "\n"].map((char) => text + char));

/** @returns the texts on which both disagree; null: no language can say it */
function disagreements(source: string): string[] | null {
  const languages = new Languages(new Work({ ...GRAMMAR_LIMITS, steps: Infinity }));
  const regExp = new RegExp(source, "u");
  try {
    const language = patternLanguage(languages, source);
    return TEXTS.filter((text) => languages.has(language, text) !== regExp.test(text));
  } catch (error) {
    assert.ok(error instanceof PatternError, String(error));
    return null;
  }
}

test("what is looked for ahead may be at the very beginning of a text, and at its end", () => {
  const sources = [
    "^(?!a)",
    "^(?!\\s*$).+",
    "(?!^)a",
    "^(?!^)a",
    "a(?!$)",
    "a$(?!$)",
    "^$",
    "$^",
    "^(?=a)",
    "(?!a)",
    "^^a",
    "(?!$)",
    "(?!^)(?!$)",
    "^(^a)$$",
  ];
  for (const source of sources) assert.deepEqual(disagreements(source), [], source);
});

test("beginnings and ends may be within what is repeated", () => {
  const sources = [
    "^(?:a(?:b|$)){3}$",
    "^(?:^a){0}b$",
    "^(?:^a|b){0}a$",
    "^(?:a(?:b|$))+$",
    "(?:^|b)+a$",
    "^(?:(?:^|b)a)+$",
    "(^|a){2}b",
    "(^a|b){2}",
    "(?:^^a)+b",
    "(^|^a|b){2}$",
    "(a$)*",
    "(?:^|b){2,3}a",
  ];
  for (const source of sources) assert.deepEqual(disagreements(source), [], source);
});

const pieces = fc.letrec<{ pattern: string; atom: string }>((tie) => ({
  atom: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom("a", "b", ".", "[^a]", "^", "$", "\\s"),
    tie("pattern").map((pattern) => `(?:${pattern})`),
    fc.tuple(fc.constantFrom("?=", "?!"), tie("pattern")).map(([kind, pattern]) => `(${kind}${pattern})`),
    fc
      .tuple(tie("pattern"), fc.constantFrom("*", "+", "?", "{2}", "{0,2}", "{0}", "{1,}", "{1}"))
      .map(([pattern, times]) => `(?:${pattern})${times}`),
  ),
  pattern: fc
    .array(fc.array(tie("atom"), { maxLength: 3 }), { minLength: 1, maxLength: 2 })
    .map((options) => options.map((atoms) => atoms.join("")).join("|")),
}));

test("property: the language of a pattern is what V8 finds it in", () => {
  let said = 0;
  fc.assert(
    fc.property(pieces.pattern, (source) => {
      const wrong = disagreements(source);
      if (wrong === null) return;
      said++;
      assert.deepEqual(wrong, [], `/${source}/u`);
    }),
    { numRuns: 300 },
  );
  assert.ok(said > 100, `${said} of 300 could be said`);
});
