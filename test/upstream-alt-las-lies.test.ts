/** Whatever comes in the place of another ALT_LAS's events, cut anywhere: it ends in an outcome, complete only if the task was. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { completionOf } from "../src/request.ts";
import { ALT_LAS } from "../src/engine/openai/alt-las.ts";
import { SAYS_NOTHING } from "../src/engine/openai/dialect.ts";
import { bytes, chunksOf, type Read, read } from "./helpers/upstream-answers.ts";

const ORDER = { id: "1", model: "m", about: SAYS_NOTHING };

function readEvents(chunks: readonly Uint8Array[], maxTokens = 100): Read {
  const request = completionOf("Once upon a time", { maxTokens });
  return read(chunks, maxTokens, ALT_LAS.ask!({ ...ORDER, request }).read);
}

function event(name: string, data: unknown): string {
  return `id: 1\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

const placed = (attempt: unknown) => event("placed", { gpu_id: 0, attempt });
const token = (text: unknown) => event("token", { text });
const completed = (text: unknown, finish_reason: unknown = "stop", usage: unknown = null) =>
  event("completed", { status: "completed", result: { text, finish_reason, usage } });

function told(...events: readonly string[]): Read {
  return readEvents([bytes(events.join(""))]);
}

describe("a complete task is taken", () => {
  const variants: Readonly<Record<string, readonly string[]>> = {
    "as it should be": [placed(1), token(" one"), token(" two"), completed(" one two")],
    "with heartbeats and events that are not known": [": ping\n\n", event("moved", { to: 1 }), completed(" one two")],
    "of which only the end has come": [placed(1), completed(" one two")],
    "of which the last piece has not come": [placed(1), token(" one"), completed(" one two")],
    "that was tried again before it began": [placed(1), placed(2), token(" one two"), completed(" one two")],
  };
  for (const [name, events] of Object.entries(variants)) {
    it(name, () => {
      const { text, outcome, failure } = told(...events);
      assert.deepEqual([text, outcome?.finishReason, failure], [" one two", "stop", ""]);
    });
  }

  it("without a text", () => {
    const { text, outcome } = told(placed(1), completed("", "length"));
    assert.deepEqual([text, outcome?.finishReason], ["", "length"]);
  });
});

describe("what is no complete task fails", () => {
  const shapes: Readonly<Record<string, readonly [events: readonly string[], failure: RegExp]>> = {
    "an end that is missing": [[placed(1), token("a")], /before that was complete/],
    "an end without a result": [[token("a"), event("completed", { result: null })], /without a result/],
    "an end without a text": [[token("a"), completed(null)], /without a text/],
    "an end without a reason": [[token("a"), completed("a", "canceled")], /without a reason/],
    "an end with less text than has come": [[token("ab"), completed("a")], /another text than it had sent/],
    "an end of whose text a piece was lost on the way": [[token("a"), token("c"), completed("abc")], /another text/],
    "an end with another text": [[token("ab"), completed("ac")], /another text/],
    "a piece that is no text": [[token({ a: 1 }), completed("a")], /a piece of text that is none/],
    "a task that is lost on the way": [[placed(1), token("a"), placed(2), completed("a")], /begins anew/],
    "a task that fails": [[token("a"), event("failed", { error: "No luck.", error_code: "gpu_lost" })], /No luck/],
    "a task that is canceled": [[event("canceled", { status: "canceled" })], /canceled there/],
    "an event that is no object": [[event("token", [1])], /no sense/],
    "events without names": [["data: {}\n\n"], /before that was complete/],
  };
  for (const [name, [events, failure]] of Object.entries(shapes)) {
    it(name, () => {
      const got = told(...events);
      assert.equal(got.outcome, null);
      assert.match(got.failure, failure);
    });
  }
});

const anything = fc.oneof(fc.jsonValue(), fc.constantFrom<unknown>(-1, 0.5, 1e308, "5", "", null, true, [], {}));

describe("fuzzed", () => {
  it("a task that is cut anywhere is complete only with its end, and the same in any chunks", () => {
    const before = `${placed(1)}${token("ğün")}: ping\n\n${token(" 🙂")}`;
    const whole = bytes(before + completed("ğün 🙂日", "stop", { prompt_tokens: 4, completion_tokens: 3 }));
    // A stream that lacks only the ends of its last lines is complete.
    const end = whole.length - "\n\n".length;
    fc.assert(
      fc.property(fc.nat(whole.length), fc.array(fc.nat(whole.length), { maxLength: 8 }), (length, cuts) => {
        const got = readEvents(chunksOf(whole.subarray(0, length), cuts));
        assert.equal(got.outcome !== null, length >= end);
        if (got.outcome !== null)
          assert.deepEqual([got.text, got.tokens, got.outcome.promptTokens], ["ğün 🙂日", 3, 4]);
        else assert("ğün 🙂".startsWith(got.text));
      }),
      { numRuns: 500 },
    );
  });

  it("events with anything in them are complete only with an end, and then have its text", () => {
    const name = fc.constantFrom("placed", "token", "completed", "failed", "canceled", "error", "other");
    const ended = fc.record({
      text: anything,
      finish_reason: fc.constantFrom("stop", "length", "x", 1),
      usage: anything,
    });
    const one = fc.oneof(
      fc.tuple(name, anything).map(([of, data]) => event(of, data)),
      anything.map((text) => token(text)),
      fc.string().map((text) => token(text)),
      anything.map((attempt) => placed(attempt)),
      ended.map((value) => event("completed", { result: value })),
      fc.string({ maxLength: 5 }).map((text) => completed(text, "length")),
    );
    fc.assert(
      fc.property(fc.array(one, { maxLength: 6 }), (events) => {
        const { outcome, text, tokens } = told(...events);
        if (outcome === null) return;
        assert.equal(outcome.completionTokens, tokens);
        const end = events.find((line) => line.includes("event: completed"))!;
        const { result } = JSON.parse(/data: (.*)/.exec(end)![1]!) as { result: { text: string } };
        assert.equal(text.length, result.text.length);
      }),
      { numRuns: 1000 },
    );
  });

  it("bytes of any kind, among pieces of events, end in an outcome, and in none that is complete", () => {
    const part = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc
        .constantFrom("event: completed\n", "event: token\n", "data: {", "\n\n", "\r", ":", '"result":', "}", "id: 7\n")
        .map((text) => bytes(text)),
      anything.map((text) => bytes(token(text))),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
        assert.equal(readEvents(parts, 1000).outcome, null);
      }),
      { numRuns: 500 },
    );
  });
});
