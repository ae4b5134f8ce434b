import assert from "node:assert/strict";
import { test } from "node:test";
import cases from "./fixtures/grammar-cases.json" with { type: "json" };
import { compiled, matcherOf } from "./helpers/grammar.ts";

/** What clients' libraries emit, and what each keyword means, with values that are right and wrong by it. */
for (const { name, schema, right, wrong } of cases) {
  test(name, () => {
    const { grammar, inexact } = compiled(schema);
    assert.deepEqual(inexact, []);
    const matches = matcherOf(grammar);
    for (const value of right) {
      assert.ok(matches(JSON.stringify(value)), `right: ${JSON.stringify(value)}`);
      assert.ok(matches(JSON.stringify(value, null, 2)), `right, indented: ${JSON.stringify(value)}`);
      assert.ok(matches(JSON.stringify(value, null, 4)), `right, indented by four: ${JSON.stringify(value)}`);
    }
    for (const value of wrong) assert.ok(!matches(JSON.stringify(value)), `wrong: ${JSON.stringify(value)}`);
  });
}

test("keys come in the order of properties, others last, and none twice", () => {
  const schema = { type: "object", properties: { b: { type: "string" }, a: { type: "string" } } };
  const matches = matcherOf(compiled(schema).grammar);
  assert.ok(matches('{"b":"x","a":"y","c":1}'));
  for (const text of ['{"a":"y","b":"x"}', '{"c":1,"a":"y"}', '{"b":"x","a":"y","b":1}'])
    assert.ok(!matches(text), text);
});

const letters = (names: readonly string[]): unknown => ({
  pattern: names.map((name) => `\\p{Script=${name}}`).join("|"),
});

test("a schema with many properties of Unicode is refused, whatever was compiled before", () => {
  const scripts =
    "Latn Grek Cyrl Armn Hebr Arab Syrc Thaa Deva Beng Guru Gujr Orya Taml Telu Knda Mlym Sinh Thai Laoo Tibt Mymr Geor Hang Ethi Cher";
  const all = scripts.split(" ");
  compiled(letters([...all.slice(0, 4), ...all.slice(0, 4)]));
  for (let time = 0; time < 2; time++)
    assert.throws(() => compiled(letters(all)), { message: "the schema takes more than 250000 steps to compile." });
});
