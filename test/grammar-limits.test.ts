import assert from "node:assert/strict";
import { test } from "node:test";
import { SchemaError } from "../src/grammar/limits.ts";
import { compiled, matcherOf } from "./helpers/grammar.ts";

function nested(depth: number, wrap: (inner: unknown) => unknown): unknown {
  let schema: unknown = { type: "string" };
  for (let at = 0; at < depth; at++) schema = wrap(schema);
  return schema;
}

function many<Item>(count: number, make: (at: number) => Item): Item[] {
  return Array.from({ length: count }, (_, at) => make(at));
}

/** A schema that is refused, with the place and words of the sentence. */
const REFUSED: Readonly<Record<string, readonly [schema: unknown, pointer: string, why: RegExp]>> = {
  "no schema": ["x", "", /a schema must be an object, true or false; got "x"/],
  "no type": [
    { properties: { a: { type: "text" } } },
    "/properties/a/type",
    /^type must be the name of a JSON type, or a list of them; got "text"; perhaps string was meant\.$/,
  ],
  "a keyword with a wrong value": [
    { items: { minimum: "3" } },
    "/items/minimum",
    /^minimum must be a number; got "3"\.$/,
  ],
  "nested too deep": [nested(101, (not) => ({ not })), "/not".repeat(100), /nested too deep/],
  "too long": [{ description: "x".repeat(300_000) }, "", /300018 characters; at most 262144/],
  "a reference to elsewhere": [{ $ref: "http://example.com/x.json" }, "/$ref", /leads out of the schema/],
  "a reference to nowhere": [{ $ref: "#/$defs/x~1y" }, "/$ref", /leads nowhere/],
  "references in a circle": [
    { $ref: "#/$defs/a", $defs: { a: { $ref: "#/$defs/b" }, b: { $ref: "#/$defs/a" } } },
    "/$defs/a",
    /refers to itself/,
  ],
  "values without an end": [
    { type: "object", required: ["a"], properties: { a: { $ref: "#" } } },
    "",
    /no value can match/,
  ],
  "nothing in common": [{ type: "string", enum: [1] }, "/enum", /^with this, no value can match the schema\.$/],
  "a required key that is not allowed": [
    { properties: { a: {} }, additionalProperties: false, required: ["b"], type: "object" },
    "/required",
    /with this, no value can match/,
  ],
  "a required key without a value": [
    {
      type: "object",
      required: ["a"],
      properties: { a: { type: "object", required: ["b"], properties: { b: { type: "string", enum: [1] } } } },
    },
    "/properties/a/properties/b/enum",
    /with this, no value can match/,
  ],
  "a type that is nearly one": [{ type: ["objct"] }, "/type", /; got "objct"; perhaps object was meant\.$/],
  "a type that is none": [
    { type: 7 },
    "/type",
    /; got 7; known are null, boolean, number, string, array, object, integer\.$/,
  ],
  "names that are no list": [{ required: "a" }, "/required", /^this must be a list of names; got "a"\.$/],
  "no regular expression": [
    { properties: { a: { pattern: "(" } } },
    "/properties/a/pattern",
    /^this is no regular expression of ECMAScript: unterminated group\.$/,
  ],
  "no regular expression of this dialect": [
    { patternProperties: { "(?i)x": {} } },
    "/patternProperties/(?i)x",
    /^this is no regular expression of ECMAScript: invalid group\.$/,
  ],
  "too many items": [{ type: "array", minItems: 1e9 }, "/minItems", /at most 100000/],
  "a pattern with too many states": [
    { type: "string", pattern: "^(x{1,1000}){1,1000}$" },
    "",
    /more than 250000 steps/,
  ],
};

for (const [name, [schema, pointer, why]] of Object.entries(REFUSED)) {
  test(`refused with its place: ${name}`, () => {
    assert.throws(
      () => compiled(schema),
      (error) => {
        assert.ok(error instanceof SchemaError, String(error));
        assert.equal(error.pointer, pointer);
        assert.match(error.message, why);
        return true;
      },
    );
  });
}

test("refused on every Node: nested so deep that one of them cannot write it as JSON", () => {
  const schema = nested(5000, (not) => ({ not }));
  assert.throws(() => compiled(schema), { name: "SchemaError", message: /nested too deep/ });
});

/** What is large and still becomes a grammar that llama.cpp reads, and what is too much becomes a looser one that says so. */
const LOOSER: Readonly<Record<string, readonly [schema: unknown, pointers: readonly string[]]>> = {
  "a deep schema": [nested(90, (items) => ({ type: "array", items })), []],
  "thousands of values": [{ enum: many(10_000, (at) => (at % 2 === 0 ? at : `value ${at}`)) }, []],
  "any number of items": [{ type: "array", maxItems: 1e9 }, []],
  "a long text": [{ type: "string", minLength: 99_999, maxLength: 1e15 }, []],
  "hundreds of required keys": [
    { type: "object", required: many(300, (at) => `key ${at}`), additionalProperties: { type: "integer" } },
    [],
  ],
  "items that differ": [{ type: "array", items: { type: "string" }, uniqueItems: true }, ["/uniqueItems"]],
  "looking behind": [{ type: "string", pattern: "(?<=a)b" }, ["/pattern"]],
  "escapes that Unicode's rules refuse": [{ type: "string", pattern: "^[\\w\\-\\.]\\A$" }, []],
  "a divisor with many remainders": [{ type: "integer", multipleOf: 123_457 }, ["/multipleOf"]],
};

for (const [name, [schema, pointers]] of Object.entries(LOOSER)) {
  test(`read by llama.cpp: ${name}`, () => {
    const { grammar, inexact } = compiled(schema);
    assert.deepEqual(
      inexact.map(({ pointer }) => pointer),
      pointers,
    );
    matcherOf(grammar);
  });
}

test("a class of Unicode's letters costs what it does once, however often it may come", () => {
  const source = "^[\\p{L}\\p{N} ]{1,200}$";
  const once = compiled({ type: "string", pattern: "^[\\p{L}\\p{N} ]$" });
  const often = compiled({ type: "string", pattern: source });
  assert.deepEqual(often.inexact, []);
  assert.ok(often.steps < 1.5 * once.steps, `${often.steps} steps, ${once.steps} for one`);
  const matches = matcherOf(often.grammar);
  const pattern = new RegExp(source, "u");
  const texts = ["", "a", "Ağ 7", "語 २", "a".repeat(200), "é".repeat(201), "a-b", "a\u0301", "😀", "\u{1D400}"];
  for (const text of texts) assert.equal(matches(JSON.stringify(text)), pattern.test(text), text);
});

test("classes that overlap in a pattern keep apart what only one of them has", () => {
  const source = "^(\\p{Lu}\\p{Ll}{0,30} ?){1,5}[^\\p{L}]$";
  const { grammar, inexact } = compiled({ type: "string", pattern: source });
  assert.deepEqual(inexact, []);
  const matches = matcherOf(grammar);
  const pattern = new RegExp(source, "u");
  const texts = [
    "Ada.",
    "Ada Lovelace!",
    "ada.",
    "AdaB",
    "Çiğdem Öz 7",
    "ABCDE7",
    "ABCDEF7",
    "Ada  .",
    "語.",
    "A語.",
    "A😀",
  ];
  for (const text of texts) assert.equal(matches(JSON.stringify(text)), pattern.test(text), text);
});
