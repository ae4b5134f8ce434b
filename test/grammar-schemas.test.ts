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
