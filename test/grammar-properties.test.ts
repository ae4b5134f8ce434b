import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { checkOf } from "../src/grammar/check.ts";
import { SchemaError } from "../src/grammar/limits.ts";
import { randomText } from "../src/grammar/random-text.ts";
import { seededRandom } from "../src/common/seeded.ts";
import { compiled, matcherOf } from "./helpers/grammar.ts";
import { randomSchemas } from "./helpers/random-schemas.ts";

test("what the grammar of any schema allows is valid by the schema, unless it says what it leaves looser", () => {
  let exact = 0;
  fc.assert(
    fc.property(randomSchemas, fc.nat(1e6), (schema, seed) => {
      const found = compiledOrRefused(schema);
      if (found === null || found.inexact.length > 0) return;
      const check = checkOf(schema);
      exact++;
      for (let at = 0; at < 5; at++) {
        const text = randomText(found.grammar, seededRandom(seed + at));
        assert.equal(check(JSON.parse(text)), null, text);
      }
    }),
    { numRuns: 150, seed: 20 },
  );
  assert.ok(exact > 75, `${exact} of 150 were exact`);
});

test("llama.cpp reads every grammar, and agrees on what it allows", () => {
  fc.assert(
    fc.property(randomSchemas, fc.nat(1e6), (schema, seed) => {
      const found = compiledOrRefused(schema);
      if (found === null) return;
      const matches = matcherOf(found.grammar);
      const text = randomText(found.grammar, seededRandom(seed));
      assert.ok(matches(text), text);
      assert.ok(!matches(`${text} `), "nothing follows the value");
    }),
    { numRuns: 80, seed: 21 },
  );
});

function compiledOrRefused(schema: unknown): ReturnType<typeof compiled> | null {
  try {
    return compiled(schema);
  } catch (error) {
    assert.ok(error instanceof SchemaError, String(error));
    return null;
  }
}
