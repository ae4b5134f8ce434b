/** What a schema says in vain is told, and what it says for other programs is not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { notesOf } from "../src/grammar/notes.ts";

const told = (schema: unknown) => notesOf(schema).map(({ pointer, why }) => `${pointer}: ${why}`);
const noKeyword = (meant: string) => `this is no keyword and does nothing; perhaps ${meant} was meant.`;

test("a keyword that is nearly one is told with its place and what was meant", () => {
  for (const [given, meant] of Object.entries({
    propertys: "properties",
    requird: "required",
    typ: "type",
    Type: "type",
    maxLenght: "maxLength",
    addtionalProperties: "additionalProperties",
    enums: "enum",
    ref: "$ref",
  })) {
    assert.deepEqual(told({ [given]: 1 }), [`/${given}: ${noKeyword(meant)}`]);
    const within = { $defs: { "a/b": { anyOf: [{ items: { [given]: 1 } }] } } };
    assert.deepEqual(told(within), [`/$defs/a~1b/anyOf/0/items/${given}: ${noKeyword(meant)}`]);
  }
});

test("a format that nobody knows is told", () => {
  assert.deepEqual(told({ format: "date-tiem" }), [
    "/format: this is no known format and does nothing; perhaps date-time was meant.",
  ]);
  assert.deepEqual(told({ format: "our-own" }), ["/format: this is no known format and does nothing."]);
});

test("a schema without any keyword is told", () => {
  const why = "it has no keyword, and allows any JSON";
  assert.deepEqual(told({ name: "string" }), [`: ${why}.`]);
  assert.deepEqual(told({ description: "A person", name: "string" }), [`: ${why}.`]);
  assert.deepEqual(told({ name: "x", description: "A person", schema: { type: "object" } }), [
    `: ${why}; perhaps its field schema was meant.`,
  ]);
  assert.deepEqual(told({ type: "object", city: { type: "string" } }), [
    ": it has no keyword beside type, and allows any object.",
  ]);
  assert.deepEqual(told({ type: "object", description: "Anything", "x-note": 1 }), []);
  assert.deepEqual(told({ properties: { a: { kind: "text" } } }), [`/properties/a: ${why}.`]);
});

test("data, names of properties, annotations and other programs' words are not told", () => {
  const silent: readonly unknown[] = [
    true,
    {},
    { $schema: "https://json-schema.org/draft/2020-12/schema" },
    { title: "Anything", description: "at all", $comment: "yes" },
    { properties: { propertys: {}, typ: true, maxLenght: { type: "string" } }, required: ["typ"] },
    {
      enum: [{ typ: 1 }],
      const: { requird: 1 },
      default: { propertys: 1 },
      examples: [{ typ: 1 }],
      example: { typ: 1 },
    },
    {
      type: "object",
      properties: {},
      discriminator: { propertyName: "a" },
      nullable: true,
      xml: { name: "a" },
      externalDocs: {},
    },
    { type: "string", readOnly: true, deprecated: true, "x-typ": 1, "@type": 1, _typ: 1, dtype: "f4", unit: "m" },
    { properties: { a: { title: "A", unit: "m", "x-typ": 1 } } },
    JSON.parse('{"if":{"type":"null"},"then":{},"else":false,"contains":{},"minContains":1,"maxContains":2}'),
    { $id: "a", id: "b", $anchor: "c", $defs: {}, definitions: {}, $dynamicRef: "#c" },
    ...["date-time", "uuid4", "binary", "int32", "float", "e164", "cuid2", "regex"].map((format) => ({ format })),
  ];
  for (const schema of silent) assert.deepEqual(told(schema), [], JSON.stringify(schema));
});

test("of a schema full of mistakes a few are told", () => {
  const properties = Object.fromEntries(Array.from({ length: 5000 }, (_, at) => [`p${at}`, { [`type${at % 10}`]: 1 }]));
  assert.ok(told({ properties }).length <= 10);
  const names = Object.fromEntries(Array.from({ length: 20_000 }, (_, at) => [`propert${at}`, 1]));
  assert.ok(told(names).length <= 10);
});
