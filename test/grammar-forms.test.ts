/** What a keyword holds: whatever the standard's own schema refuses is refused before there is a task, with its place. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { KEYWORDS } from "../src/grammar/keywords.ts";
import { checkOf } from "../src/grammar/check.ts";
import { SchemaError } from "../src/grammar/limits.ts";
import { compiled, matcherOfSchema } from "./helpers/grammar.ts";

const VALUES: readonly unknown[] = [
  null,
  true,
  -1,
  0.5,
  "yes",
  [],
  [3],
  ["a", 3],
  {},
  { a: 3 },
  { a: [3] },
  { a: null },
];

/** Taken all the same: older drafts have them, or a library writes them for a list without items. */
const TAKEN: Readonly<Record<string, (value: unknown) => boolean>> = {
  exclusiveMinimum: (value) => typeof value === "boolean",
  exclusiveMaximum: (value) => typeof value === "boolean",
  items: (value) => Array.isArray(value) && value.length === 0,
  prefixItems: (value) => Array.isArray(value) && value.length === 0,
};

/** What the standard's schema says nothing of, or not this: words of older drafts, of OpenAPI, and what only a parser can tell. */
const BESIDE: Readonly<Record<string, readonly unknown[]>> = {
  additionalItems: [3],
  nullable: ["yes", 1, null],
  dependencies: [3, { a: 3 }, { a: [3] }],
  pattern: ["("],
};

function refusalOf(schema: unknown): SchemaError | null {
  try {
    compiled(schema);
    return null;
  } catch (error) {
    assert.ok(error instanceof SchemaError, String(error));
    return error;
  }
}

const standard = new Ajv2020({ strict: false, logger: false });

for (const keyword of [...KEYWORDS, "$id", "$anchor", "$dynamicAnchor", "nullable"]) {
  test(`${keyword} is refused where it is no ${keyword}, also beside what decides alone`, () => {
    const wrong = VALUES.filter((value) => standard.validateSchema({ [keyword]: value }) === false);
    for (const value of [...wrong.filter((one) => TAKEN[keyword]?.(one) !== true), ...(BESIDE[keyword] ?? [])]) {
      for (const beside of [{}, { type: "null", allOf: [true] }]) {
        const refused = refusalOf({ properties: { a: { ...beside, [keyword]: value } } });
        const what = `${keyword}: ${JSON.stringify(value)}`;
        assert.ok(refused !== null, what);
        assert.ok(refused.pointer.startsWith(`/properties/a/${keyword}`), `${what}: ${refused.pointer}`);
      }
    }
  });
}

test("an address that two schemas have is refused with the place of the second", () => {
  const twice = { properties: { a: { $id: "x", type: "null" }, b: { items: { $id: "x", type: "string" } } } };
  assert.equal(refusalOf(twice)?.pointer, "/properties/b/items/$id");
  assert.equal(refusalOf(twice)?.message, '$id "x" is that of /properties/a already.');
  const names = { properties: { a: { $anchor: "x" }, b: { $anchor: "x" } } };
  assert.equal(refusalOf(names)?.pointer, "/properties/b/$anchor");
  assert.equal(
    refusalOf({ $id: "x", properties: { a: { $id: "x" } } })?.message,
    '$id "x" is that of the whole schema already.',
  );
  // Labels of old schemas, and names that are no addresses.
  const labels = {
    properties: { a: { id: "x" }, b: { id: "x" }, $id: { const: 1 }, c: { enum: [{ $id: "x" }, { $id: "x" }] } },
  };
  assert.equal(refusalOf(labels), null);
});

/** A schema in which a property has that name, and whatever else in JSON. */
function named(value: unknown, more = ""): unknown {
  return JSON.parse(`{"type":"object","properties":{"__proto__":${JSON.stringify(value)},"a":{"type":"null"}}${more}}`);
}

test("a property that every object of JavaScript has is what the check of answers takes it for", () => {
  const texts = ["{}", '{"__proto__":1}', '{"__proto__":"x"}', '{"a":null,"__proto__":null}', '{"a":1}', '{"a":null}'];
  const schemas = [
    named({ type: "string" }),
    named({ type: "string" }, ', "additionalProperties": false'),
    named(false, ', "required": ["__proto__", "a"]'),
    named(true, ', "patternProperties": {"__proto__": false}'),
    named(true, ', "dependentRequired": {"__proto__": ["a"], "a": ["__proto__"]}'),
    named(true, ', "allOf": [{"properties": {"__proto__": false}}], "unevaluatedProperties": false'),
    JSON.parse('{"const": {"__proto__": 1}}'),
    JSON.parse('{"not": {"required": ["__proto__"]}}'),
  ];
  for (const schema of schemas) {
    const check = checkOf(schema);
    const right = texts.filter((text) => check(JSON.parse(text)) === null);
    const matches = right.length === 0 ? () => false : matcherOfSchema(schema);
    assert.deepEqual(
      texts.filter((text) => matches(text)),
      right,
      JSON.stringify(schema),
    );
  }
});
