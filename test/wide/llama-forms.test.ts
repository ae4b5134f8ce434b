/** Answers of a form, and probabilities, of a real model; see also test/wide/llama-instruct.test.ts. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type AnswerFormat } from "../../src/request.ts";
import { ask, chatOf } from "../helpers/asking.ts";
import { withLlama } from "../helpers/llama.ts";
import { instructModel, NO_REAL_MODEL } from "../helpers/real-models.ts";

const model = instructModel();

/** As pydantic writes a model with a nested one, an optional field and an enum. */
const PERSON: AnswerFormat = {
  kind: "schema",
  name: "Person",
  strict: true,
  schema: {
    $defs: {
      Pet: {
        properties: { name: { maxLength: 12, title: "Name", type: "string" }, kind: { $ref: "#/$defs/Kind" } },
        required: ["name", "kind"],
        title: "Pet",
        type: "object",
        additionalProperties: false,
      },
      Kind: { enum: ["cat", "dog"], title: "Kind", type: "string" },
    },
    properties: {
      name: { maxLength: 20, title: "Name", type: "string" },
      age: { anyOf: [{ maximum: 120, minimum: 0, type: "integer" }, { type: "null" }], default: null, title: "Age" },
      pets: { items: { $ref: "#/$defs/Pet" }, maxItems: 2, title: "Pets", type: "array" },
    },
    required: ["name", "age", "pets"],
    title: "Person",
    type: "object",
    additionalProperties: false,
  },
};

describe("a real model", { skip: model === null && NO_REAL_MODEL }, () => {
  it("writes what a program asked for, among others as alone, and knows what it is asked for", async () => {
    await withLlama(
      async (engine) => {
        const asked = {
          ...chatOf("Describe Anna, who is 31 and has a cat called Tom.", { maxTokens: 200 }),
          format: PERSON,
        };
        const { text, finishReason } = await ask(engine, asked);
        const person = JSON.parse(text) as { name: string; age: number };
        assert.deepEqual([finishReason, Object.keys(person)], ["stop", ["name", "age", "pets"]]);
        assert.match(person.name, /Anna/);
        const beside = await Promise.all([
          ask(engine, asked),
          ask(engine, chatOf("Tell me a story about a fox.", { maxTokens: 60 })),
          ask(engine, { ...asked, format: { kind: "json" } }),
        ]);
        assert.equal(Object.keys(JSON.parse(beside[0].text) as object).join(), "name,age,pets");
        assert.equal(beside[1].completionTokens, 60);
      },
      { model: model!, slots: 3, context: 1024 },
    );
  });

  it("gives a token the same probability however it is drawn", async () => {
    await withLlama(
      async (engine) => {
        const first = async (sampling: object) => {
          const request = { ...chatOf("Name an animal.", { maxTokens: 1, ...sampling }), logprobs: 20 };
          return (await ask(engine, request)).logprobs[0]!;
        };
        const greedy = await first({ temperature: 0 });
        assert.equal(greedy.top[0]!.token, greedy.token);
        for (const sampling of [
          { temperature: 0.7, seed: 3 },
          { temperature: 1, topK: 2, logitBias: { 500: 100 } },
        ]) {
          const { top } = await first(sampling);
          for (const [index, { logprob }] of top.entries())
            assert(Math.abs(logprob - greedy.top[index]!.logprob) < 0.05, JSON.stringify(sampling));
        }
      },
      { model: model!, slots: 1, context: 1024 },
    );
  });
});
