/** Answers are looked at when they are there, whatever engine they came from. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EngineFailure } from "../src/engine/failures.ts";
import { answerForms } from "../src/engine/forms/answer-forms.ts";
import { SchemaThread } from "../src/forms/schema-thread.ts";
import { Answer } from "../src/gpu/worker/answer.ts";
import { type AnswerFormat, completionOf } from "../src/request.ts";

const SCHEMA = { type: "object", properties: { age: { type: "integer" } }, required: ["age"] };

function answer(format: AnswerFormat | undefined, ...pieces: readonly string[]): Answer {
  const made = new Answer({ ...completionOf("x"), ...(format && { format }) });
  made.add({ kind: "reasoning", text: "Hm." });
  for (const text of pieces) made.add({ kind: "text", text });
  return made;
}

const schema = (strict: boolean) => ({ kind: "schema", name: "answer", schema: SCHEMA, strict }) as const;

test("an answer that has to be an object is one, or is told not to be", async () => {
  assert.equal(await answer(undefined, "x").mismatch(), null);
  assert.equal(await answer({ kind: "json" }, '{"a"', ":1}").mismatch(), null);
  assert.equal(await answer({ kind: "json" }, '{"a"').mismatch(), "The answer is no JSON.");
  for (const text of ["[]", "null", "5"])
    assert.equal(await answer({ kind: "json" }, text).mismatch(), "The answer is JSON, but no object.");
});

test("what does not match its schema is told, and a failure where the schema is strict", async () => {
  assert.equal(await answer(schema(true), '{"age":', "5}").mismatch(), null);
  assert.match(
    String(await answer(schema(false), '{"age":"5"}').mismatch()),
    /does not match its schema: .*age.* integer/,
  );
  assert.equal(await answer(schema(false), "Five.").mismatch(), "The answer is no JSON.");
  await assert.rejects(answer(schema(true), '{"secret":1}').mismatch(), (error) => {
    assert.ok(error instanceof EngineFailure && error.code === "model_error");
    // It is logged, too.
    assert.doesNotMatch(error.message, /secret|age/);
    return true;
  });
});

test("what has followed a grammar that says all is not checked again, unless it may have been ended early", async () => {
  const loose = { kind: "schema", name: "answer", schema: { uniqueItems: true }, strict: false } as const;
  const exact = schema(true);
  await assert.rejects(answer(exact, "{}").mismatch(true), { code: "model_error" });
  const early = schema(false);
  for (const format of [exact, loose, early])
    await answerForms.gbnfOf({ format, calls: null, reasoning: null }, new AbortController().signal);
  assert.equal(await answer(exact, "{}").mismatch(true), null);
  assert.match(String(await answer(loose, "[1,1]").mismatch(true)), /not match/);
  // The caller's own stop sequence is no failure of the model.
  for (const format of [early, exact]) {
    const stopped = new Answer({ ...completionOf("x", { stop: ["}"] }), format });
    stopped.add({ kind: "text", text: '{"age":5' });
    assert.equal(await stopped.mismatch(true), "The answer is no JSON.");
  }
});

test("the text beside a call of a tool is no answer", async () => {
  const called = answer(schema(true), "I look.");
  called.add({ kind: "tool_call", index: 0, call: { id: "call_1", name: "look" }, arguments: "{" });
  assert.equal(await called.mismatch(), null);
});

test("a text that a pattern never gets through is told not to be checked", async () => {
  const hostile = { type: "string", pattern: "^(a|a)*$" };
  const format = { kind: "schema", name: "answer", schema: hostile, strict: false } as const;
  const thread = new SchemaThread({ time: 100 });
  await thread.ask({ kind: "check", schema: "true", text: "1" }, "");
  const made = new Answer({ ...completionOf("x"), format }, "", thread);
  made.add({ kind: "text", text: `"${"a".repeat(60)}!"` });
  assert.equal(await made.mismatch(), "The answer could not be checked against its schema: it takes more than 0.1 s.");
});
