/** What is found out about a value without Ajv is what Ajv says of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { KeySchema, UserSchema } from "../src/config/accounts.ts";
import { makeAjv } from "../src/common/ajv.ts";
import { fits } from "../src/common/fits.ts";
import { ConfigSchema } from "../src/config/schema.ts";
import { AuditQuery } from "../src/http/schemas/audit.ts";
import { NoQuery } from "../src/http/schemas/common.ts";
import { PredictQuery } from "../src/http/schemas/submissions.ts";
import { EventsQuery, TasksQuery } from "../src/http/schemas/tasks.ts";
import { UsageQuery } from "../src/http/schemas/usage.ts";

interface Schema {
  readonly [keyword: string]: unknown;
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
}

const TEXTS = ["a", "1", "https://a.example/v1", "a".repeat(16), "0".repeat(64), "10.0.0.0/8", "/a", "a=b"];

/** A value that has everything a schema knows, and probably fits. */
function sampleOf(schema: Schema): unknown {
  const { anyOf, properties = {}, items, enum: values } = schema as Schema & { readonly enum?: readonly unknown[] };
  if (anyOf) return sampleOf(anyOf[0]!);
  if (values) return values[0];
  switch (schema.type) {
    case "object":
      return Object.fromEntries(
        Object.entries(properties)
          .map(([name, inner]) => [name, sampleOf(inner)] as const)
          .filter(([name, value]) => fits(properties[name]!, structuredClone(value))),
      );
    case "array":
      return [items && sampleOf(items)].filter((value) => value !== undefined && fits(items!, structuredClone(value)));
    case "boolean":
      return true;
    case "string":
      return TEXTS.find((text) => fits(schema, text));
    default:
      return schema["default"] ?? schema["minimum"] ?? 1;
  }
}

const ODD: unknown[] = [
  null, 0, -1, 1, 1.5, 65_536, 1e300, NaN, Infinity, "", "a", "ä💥", "0.0.0.0/0", "https://a.example/v1", "gpu-0", true,
  [], ["a"], ["a", "a"], [{}, {}], [1], [[]], {}, { a: 1 }, { kind: "openai" }, { __proto__: null, constructor: 1 }, undefined,
]; // prettier-ignore

/** Copies of a value, each with one odd value somewhere, or with a name that nothing has. */
function* variantsOf(value: unknown): Generator<unknown> {
  yield* ODD;
  if (value === null || typeof value !== "object") return;
  for (const [name, inner] of Object.entries(value))
    for (const variant of variantsOf(inner))
      yield Array.isArray(value) ? value.with(Number(name), variant) : { ...value, [name]: variant };
  if (!Array.isArray(value)) yield { ...value, unknown: 1 };
}

const QUERIES = { AuditQuery, NoQuery, PredictQuery, EventsQuery, TasksQuery, UsageQuery };

for (const [name, schema] of Object.entries({ ConfigSchema, UserSchema, KeySchema, ...QUERIES })) {
  test(`${name}: what fits, and with which defaults, is what Ajv says`, () => {
    const validate = makeAjv({ allErrors: true }).compile(schema);
    let fitting = 0;
    let count = 0;
    for (const variant of [{}, ...variantsOf(sampleOf(schema as unknown as Schema))]) {
      const [ours, theirs] = [structuredClone(variant), structuredClone(variant)];
      const isFitting = fits(schema, ours);
      assert.equal(isFitting, validate(theirs), `${JSON.stringify(variant)}: ${JSON.stringify(validate.errors)}`);
      if (isFitting) assert.deepEqual(ours, theirs);
      fitting += Number(isFitting);
      count++;
    }
    assert.ok(fitting > 0 && count - fitting > 20, `${fitting} of ${count}`);
  });
}

test("a keyword that is not known leaves the answer to Ajv", () => {
  assert.equal(fits({ type: "string", format: "uuid" }, "a"), false);
  assert.equal(fits({ type: "object", additionalProperties: { type: "string" } }, { a: "b" }), false);
});
