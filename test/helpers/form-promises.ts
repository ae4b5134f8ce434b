/** The promises about answers of a form: those of each engine that says it can keep an answer to a schema. */
import assert from "node:assert/strict";
import { Ajv2020 } from "ajv/dist/2020.js";
import { type AnswerFormat, type JsonSchema, type Sampling, type TextRequest } from "../../src/request.ts";
import { ask, chatOf, type RequestSubject, sayTwice, STORY, textOf, type Where } from "./asking.ts";

/** None can go on for ever, so that a small model gets to the end of each. */
const SCHEMAS: Readonly<Record<string, JsonSchema & object>> = {
  "optional properties, an enum and a range": objectOf(
    {
      name: { type: "string", maxLength: 8 },
      age: { type: "integer", minimum: 7, maximum: 120 },
      kind: { enum: ["cat", "dog", 3] },
      note: { type: "string", minLength: 1, maxLength: 5 },
    },
    ["name", "age", "kind"],
  ),
  "a choice, null and a list": objectOf(
    {
      size: { anyOf: [{ type: "integer", minimum: -3, maximum: 9 }, { type: "null" }] },
      tags: { type: "array", items: { enum: ["x", "y"] }, minItems: 1, maxItems: 3 },
      found: { type: "boolean" },
    },
    ["size", "tags", "found"],
  ),
  "references and a pattern": {
    $defs: { code: { type: "string", pattern: "^[A-Z]{2}-[0-9]{1,3}$" } },
    ...objectOf(
      { code: { $ref: "#/$defs/code" }, more: { type: "array", items: { $ref: "#/$defs/code" }, maxItems: 2 } },
      ["code", "more"],
    ),
  },
  "what its text says of itself": { const: { yes: true, list: [1, "two", null] } },
  "a list at the top": { type: "array", items: { type: "boolean" }, minItems: 2, maxItems: 4 },
};

/** More than any of them needs. */
const MAX_TOKENS = 400;

export function objectOf(
  properties: Readonly<Record<string, JsonSchema>>,
  required: readonly string[],
): JsonSchema & object {
  return { type: "object", properties, required, additionalProperties: false };
}

/** Whether a value is what a schema asks for, as another library sees it. */
export function assertMatches(schema: JsonSchema, value: unknown): void {
  const matches = new Ajv2020({ strict: false }).compile(schema);
  assert(matches(value), `${JSON.stringify(value)} ${JSON.stringify(matches.errors)}`);
}

export function formatOf(schema: JsonSchema): AnswerFormat {
  return { kind: "schema", name: "answer", schema, strict: true };
}

function story(
  sampling: Partial<Sampling> = {},
  schema = SCHEMAS["optional properties, an enum and a range"]!,
): TextRequest {
  return { ...textOf(STORY, { maxTokens: MAX_TOKENS, ...sampling }), format: formatOf(schema) };
}

/** @param where for what an engine need not be able to do */
export function keepsForms(subject: RequestSubject, where: Where): void {
  const { repeats, draws, countsEachToken } = subject;
  for (const [what, schema] of Object.entries(SCHEMAS))
    where(["json_schema"], `an answer matches its schema, and ends with it: ${what}`, async (engine) => {
      for (const seed of [1, 2]) {
        const asked = { ...chatOf(STORY, { maxTokens: MAX_TOKENS, temperature: 1, seed }), format: formatOf(schema) };
        const { text, finishReason, tokens, completionTokens } = await ask(engine, asked);
        assert.equal(finishReason, "stop", text);
        const value: unknown = JSON.parse(text);
        assertMatches(schema, value);
        assertOrder(schema, value);
        if (countsEachToken) assert.equal(tokens, completionTokens);
      }
    });

  where(["json_schema"], "an answer in JSON is an object, unless it is cut off", async (engine) => {
    for (const seed of [1, 2, 3]) {
      const asked: TextRequest = {
        ...textOf(STORY, { maxTokens: 60, temperature: 1, seed }),
        format: { kind: "json" },
      };
      const { text, finishReason } = await ask(engine, asked);
      assert.match(text, /^\s*\{/);
      if (finishReason === "stop") assertMatches({ type: "object" }, JSON.parse(text));
    }
  });

  where(["json_schema"], "an answer that is cut off is the beginning of one", async (engine) => {
    for (const maxTokens of [1, 2, 3]) {
      const { text, finishReason, completionTokens } = await ask(engine, story({ maxTokens }));
      assert.deepEqual([finishReason, completionTokens], ["length", maxTokens]);
      assert.match(text, /^\s*(\{\s*("(n(a(me?)?)?)?.*)?)?$/s);
    }
  });

  where(["json_schema"], "two answers of different forms and a free one do not disturb each other", async (engine) => {
    const free = textOf("The old man", { maxTokens: 40 });
    const alone = await ask(engine, free);
    const [first, second] = Object.values(SCHEMAS);
    const [one, among, other] = await Promise.all([
      ask(engine, story({}, first)),
      ask(engine, free),
      ask(engine, story({}, second)),
    ]);
    assertMatches(first!, JSON.parse(one.text));
    assertMatches(second!, JSON.parse(other.text));
    if (repeats) assert.equal(among.text, alone.text);
  });

  where(["json_schema"], "an answer of a form is canceled like any other, and leaves its slot", async (engine) => {
    const controller = new AbortController();
    const onDelta = (length: number): void => void (length > 0 && controller.abort());
    const { finishReason, text } = await ask(engine, story(), { signal: controller.signal, onDelta });
    assert.equal(finishReason, "canceled");
    assert.match(text, /^\s*(\{|$)/);
    assert.equal((await ask(engine, story())).finishReason, "stop");
  });

  if (repeats)
    where(["json_schema", "seed"], "the same seed gives the same answer of a form again", () =>
      sayTwice(subject, story({ temperature: 1, seed: 42 }), ({ text }) => text),
    );

  if (draws)
    where(["json_schema", "seed"], "other seeds give other answers of a form", async (engine) => {
      const answers = await Promise.all(
        [1, 2, 3, 4].map((seed) => ask(engine, story({ temperature: 1, topK: 0, topP: 1, minP: 0, seed }))),
      );
      const texts = answers.map(({ text }) => text);
      assert(new Set(texts).size > 1, texts[0]);
    });
}

/** Keys come in the order of the schema's properties. */
function assertOrder({ properties }: Exclude<JsonSchema, boolean>, value: unknown): void {
  if (typeof properties !== "object" || properties === null || typeof value !== "object" || value === null) return;
  const keys = Object.keys(value);
  assert.deepEqual(
    keys,
    Object.keys(properties).filter((key) => keys.includes(key)),
  );
}
