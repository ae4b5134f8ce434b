/** Calls of tools and probabilities in another ALT_LAS's events: pieces that may be lost, and an end that has all of it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { completionOf, type Tools } from "../src/request.ts";
import { ALT_LAS } from "../src/engine/openai/alt-las.ts";
import { SAYS_NOTHING } from "../src/engine/openai/dialect.ts";
import { bytes, chunksOf, type Read, read } from "./helpers/upstream-answers.ts";

const TOOLS: Tools = { list: [{ name: "look" }, { name: "time" }], choice: "auto", parallel: true };

function readEvents(chunks: readonly Uint8Array[]): Read {
  const order = { id: "1", model: "m", about: SAYS_NOTHING, request: completionOf("Once") };
  return read(chunks, 100, ALT_LAS.ask!(order).read, { tools: TOOLS, logprobs: 1 });
}

function event(name: string, data: unknown): string {
  return `id: 1\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

const placed = (attempt: number) => event("placed", { gpu_id: 0, attempt });
const logprobsOf = (text: string) => {
  const own = { token: text, logprob: -1, bytes: [...Buffer.from(text)] };
  return { ...own, top_logprobs: [own] };
};
const token = (text: string) => event("token", { text, logprobs: [logprobsOf(text)] });
const call = (index: unknown, piece: unknown, more: object = {}) =>
  event("token", { text: "", tool_call: { index, ...more, arguments: piece } });
const madeOf = (id: string, name: string, args: string) => ({
  id,
  type: "function",
  function: { name, arguments: args },
});
const completed = (texts: readonly string[], calls: readonly unknown[] | undefined) =>
  event("completed", {
    status: "completed",
    result: {
      text: texts.join(""),
      tool_calls: calls,
      logprobs: texts.map(logprobsOf),
      finish_reason: "stop",
      usage: null,
    },
  });

const TWO = [madeOf("call_a", "look", '{"at":"🙂"}'), madeOf("call_b", "time", "{}")];
const one = call(0, '{"at":', { id: "call_a", name: "look" });
const end = completed(["So", " be it."], TWO);

function told(...events: readonly string[]): Read {
  return readEvents([bytes(events.join(""))]);
}

describe("a complete answer with calls is taken", () => {
  const variants: Readonly<Record<string, readonly string[]>> = {
    "as it should be": [
      token("So"),
      token(" be it."),
      one,
      call(0, '"🙂"}'),
      call(1, "{}", { id: "call_b", name: "time" }),
    ],
    "of which only the end has come": [],
    "of which a text, and all calls, have not come": [token("So")],
    "of which the last piece has not come": [token("So"), token(" be it."), one],
    "of which the last call has not come": [token("So"), token(" be it."), one, call(0, '"🙂"}')],
    "that was tried again before it began": [placed(2), token("So")],
  };
  for (const [name, events] of Object.entries(variants)) {
    it(name, () => {
      const { text, toolCalls, logprobs, failure, doubts } = told(placed(1), ...events, end);
      assert.deepEqual([failure, doubts, text], ["", [], "So be it."]);
      const expected = TWO.map(({ id, function: inside }) => ({ id, ...inside }));
      assert.deepEqual(toolCalls, expected);
      assert.deepEqual(
        logprobs!.map((own) => [own.token, own.length, own.top.length]),
        [
          ["So", 2, 1],
          [" be it.", 7, 1],
        ],
      );
    });
  }
});

describe("calls that make no sense fail", () => {
  const shapes: Readonly<Record<string, readonly [events: readonly string[], failure: RegExp]>> = {
    "a place that is not the next": [[call(1, "{}", { id: "a", name: "look" })], /make no sense/],
    "a place that is none": [[call("0", "{}", { id: "a", name: "look" })], /make no sense/],
    "a piece that is none": [[call(0, {}, { id: "a", name: "look" })], /make no sense/],
    "one without a name": [[call(0, "{}", { id: "a" })], /without the tool's name/],
    "another name at the end": [[call(0, "{}", { id: "a", name: "time" }), end], /other ones than it had sent/],
    "other arguments at the end": [[call(0, "[", { id: "a", name: "look" }), end], /other ones than it had sent/],
    "fewer at the end": [[one, completed([], [])], /other ones than it had sent/],
    "none at the end": [[one, completed([], undefined)], /other ones than it had sent/],
    "what is no call at the end": [[completed([], ["look"])], /make no sense/],
    "a task that is lost on the way": [[placed(1), one, placed(2)], /begins anew/],
  };
  for (const [name, [events, failure]] of Object.entries(shapes)) {
    it(name, () => {
      const got = told(...events);
      assert.equal(got.outcome, null);
      assert.match(got.failure, failure);
    });
  }
});

it("a task that is cut anywhere has the beginning of its answer, and is complete only with its end", () => {
  const before = placed(1) + token("So") + token(" be it.") + one + call(0, '"🙂"}');
  const whole = bytes(before + end);
  fc.assert(
    fc.property(fc.nat(whole.length), fc.array(fc.nat(whole.length), { maxLength: 8 }), (length, cuts) => {
      const got = readEvents(chunksOf(whole.subarray(0, length), cuts));
      assert.equal(got.outcome !== null, length >= whole.length - 2);
      assert("So be it.".startsWith(got.text));
      for (const [index, { name, arguments: args }] of (got.toolCalls ?? []).entries()) {
        const { function: inside } = TWO[index]!;
        assert(name === inside.name && inside.arguments.startsWith(args));
      }
    }),
    { numRuns: 400 },
  );
});

it("anything in the place of calls and probabilities ends in an outcome or a failure", () => {
  const anything = fc.oneof(fc.jsonValue(), fc.constantFrom<unknown>(-1, 0, 1, 1e308, "", null, {}, "look"));
  const pieces = fc.record(
    { index: anything, id: anything, name: anything, arguments: anything },
    { requiredKeys: [] },
  );
  const piece = fc
    .record(
      { text: fc.constantFrom("", "a"), tool_call: fc.oneof(anything, pieces), logprobs: anything },
      { requiredKeys: ["text"] },
    )
    .map((data) => event("token", data));
  const result = fc.record({
    text: fc.constantFrom("", "a"),
    tool_calls: anything,
    logprobs: anything,
    finish_reason: fc.constant("stop"),
  });
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 4 }), result, (events, ended) => {
      const got = told(...events, event("completed", { result: ended }));
      assert((got.outcome === null) === (got.failure !== ""));
      for (const { name, id } of got.toolCalls ?? []) assert(name !== "" && id !== "");
    }),
    { numRuns: 500 },
  );
});
