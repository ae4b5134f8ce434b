/** Calls of tools as servers tell them, each in its own way, cut anywhere: the same calls come out, one behind the other, or a failure. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type ToolCall, type Tools } from "../src/request.ts";
import { readChat } from "../src/engine/openai/chats.ts";
import { bytes, chunksOf, type Read, read } from "./helpers/upstream-answers.ts";

const TOOLS: Tools = { list: [{ name: "weather" }, { name: "time" }], choice: "auto", parallel: true };

function event(value: unknown): string {
  return `data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`;
}

function piece(delta: unknown, finish_reason: unknown = null): string {
  return event({ choices: [{ index: 0, delta, finish_reason }] });
}

/** A delta with these pieces of calls. */
function calls(...pieces: readonly unknown[]): string {
  return piece({ tool_calls: pieces });
}

const first = piece({ role: "assistant", content: null });
const end = piece({}, "tool_calls");
const DONE = event("[DONE]");

function told(body: string, tools: Partial<Tools> = {}, maxTokens = 100): Read {
  return read([bytes(body)], maxTokens, readChat, { tools: { ...TOOLS, ...tools } });
}

function shown({ toolCalls = [] }: Read): string[] {
  return toolCalls.map(({ name, arguments: args }) => `${name}${args}`);
}

const call = (name: string, args: unknown, more: object = {}) => ({
  type: "function",
  function: { name, arguments: args },
  ...more,
});
const rest = (args: string, more: object = {}) => ({ function: { arguments: args }, ...more });

describe("calls come out the same however they are told", () => {
  const paris = '{"city":"Paris"}';
  const object = {
    role: "assistant",
    content: null,
    tool_calls: [call("weather", paris, { id: "a" }), call("time", "{}", { id: "b" })],
  };
  const variants: Readonly<Record<string, string>> = {
    "as OpenAI tells them":
      first +
      calls(call("weather", "", { index: 0, id: "a" })) +
      calls(rest('{"city"', { index: 0 })) +
      calls(rest(':"Paris"}', { index: 0 })) +
      calls(call("time", "{}", { index: 1, id: "b" })) +
      end,
    "with the id in each piece":
      calls(call("weather", '{"city"', { index: 0, id: "a" })) +
      calls(rest(':"Paris"}', { index: 0, id: "a" })) +
      calls(call("time", "{}", { index: 1, id: "b" })) +
      end,
    "with the id and the name in each piece":
      calls(call("weather", '{"city"', { index: 0, id: "a" })) +
      calls(call("weather", ':"Paris"}', { index: 0, id: "a" })) +
      calls(call("time", "{}", { index: 1, id: "b" })) +
      end,
    "without an id":
      calls(call("weather", '{"city"', { index: 0 })) +
      calls(rest(':"Paris"}', { index: 0 })) +
      calls(call("time", "{}", { index: 1 })) +
      end,
    "without an index":
      calls(call("weather", '{"city"', { id: "a" })) +
      calls(rest(':"Paris"}')) +
      calls(call("time", "{}", { id: "b" })) +
      end,
    "with 0 for each index":
      calls(call("weather", paris, { index: 0, id: "a" })) + calls(call("time", "{}", { index: 0, id: "b" })) + end,
    "whole, all in one event":
      calls(call("weather", paris, { index: 0, id: "a" }), call("time", "{}", { index: 1, id: "b" })) + end,
    "whole, without an index or an id": calls(call("weather", paris), call("time", "{}")) + end,
    "whole, one in each event, without an index or an id":
      calls(call("weather", paris)) + calls(call("time", "{}")) + end,
    "with arguments as an object":
      calls(call("weather", { city: "Paris" }, { id: "a" })) + calls(call("time", {}, { id: "b" })) + end,
    "with null for what is not there":
      calls({ ...call("weather", null, { index: 0, id: "a" }) }) +
      calls({ index: 0, id: null, type: null, function: { name: null, arguments: paris } }) +
      calls(call("time", null, { index: 1, id: "b" })) +
      end,
    "with an empty piece of an earlier call":
      calls(call("weather", paris, { index: 0, id: "a" })) +
      calls(call("time", "{}", { index: 1, id: "b" })) +
      calls(rest("", { index: 0 })) +
      end,
    "with indices from 1": calls(call("weather", paris, { index: 1 })) + calls(call("time", "{}", { index: 2 })) + end,
    "with an end that says stop": calls(call("weather", paris)) + calls(call("time", "{}")) + piece({}, "stop"),
    "as one object": JSON.stringify({ choices: [{ index: 0, message: object, finish_reason: "tool_calls" }] }),
    "beside empty text":
      calls(call("weather", paris, { index: 0 })) +
      piece({ content: "" }) +
      piece({ content: " \n" }) +
      calls(call("time", "{}", { index: 1 })) +
      end,
  };
  for (const [name, body] of Object.entries(variants)) {
    it(name, () => {
      const got = told(body.startsWith("{") ? body : body + DONE);
      assert.equal(got.failure, "");
      assert.deepEqual(shown(got), [`weather${paris}`, "time{}"]);
      assert.deepEqual([got.text, got.outcome?.finishReason, got.doubts], ["", "stop", []]);
      assert.equal(got.tokens, got.outcome?.completionTokens);
      const ids = got.toolCalls!.map(({ id }) => id);
      assert(ids.every((id) => /^(a|b|call_[\da-f]{24})$/.test(id)) && new Set(ids).size === 2, String(ids));
    });
  }

  it("in the older way", () => {
    const body =
      piece({ function_call: { name: "weather", arguments: '{"city"' } }) +
      piece({ function_call: { arguments: ':"Paris"}' } }) +
      piece({}, "function_call");
    assert.deepEqual(shown(told(body)), [`weather${paris}`]);
  });

  it("two of one tool without an index or an id", () => {
    const body = calls(call("weather", paris)) + calls(call("weather", '{"city":"Oslo"}')) + end;
    assert.deepEqual(shown(told(body)), [`weather${paris}`, 'weather{"city":"Oslo"}']);
  });

  it("with ids of their own where the server's are of no use", () => {
    const ids = ["a", "a", "", "x".repeat(300), "\ud800", 7];
    const body = ids.map((id, index) => calls(call("time", "{}", { index, id }))).join("") + end;
    const { toolCalls = [] } = told(body);
    assert.equal(toolCalls[0]?.id, "a");
    for (const { id } of toolCalls.slice(1)) assert.match(id, /^call_[\da-f]{24}$/);
    assert.equal(new Set(toolCalls.map(({ id }) => id)).size, ids.length);
  });

  it("with an empty object where there are no arguments, unless it was cut off", () => {
    const body = calls(call("time", "", { index: 0, id: "a" }));
    assert.deepEqual(shown(told(body + end)), ["time{}"]);
    assert.deepEqual(shown(told(body + piece({}, "length"))), ["time"]);
  });

  it("with arguments that are no JSON as they are", () => {
    const got = told(calls(call("weather", "{city: Paris", { index: 0 })) + end);
    assert.deepEqual([shown(got), got.outcome?.finishReason], [["weather{city: Paris"], "stop"]);
  });
});

describe("the order holds", () => {
  it("reasoning, text, calls; text behind a call is left out, and that is told", () => {
    const body =
      piece({ reasoning_content: "hm" }) +
      piece({ content: "Let me see." }) +
      calls(call("time", "{}", { index: 0 })) +
      piece({ content: "Done." }) +
      end;
    const { reasoning, text, doubts, ...got } = told(body);
    assert.deepEqual([reasoning, text, got.toolCalls?.length], ["hm", "Let me see.", 1]);
    assert.deepEqual(doubts, ["text behind a call of a tool"]);
  });

  it("text that was held back comes before the call", () => {
    const body = piece({ content: "<thi" }) + calls(call("time", "{}", { index: 0 })) + end;
    const { text, toolCalls } = told(body);
    assert.deepEqual([text, toolCalls?.length], ["<thi", 1]);
  });

  it("no character is split", () => {
    const body = calls(call("time", '{"a":"\ud83d', { index: 0 })) + calls(rest('\ude42"}', { index: 0 }));
    const got = told(body + end);
    assert.deepEqual(shown(got), ['time{"a":"🙂"}']);
  });
});

describe("what was asked for holds", () => {
  const two = calls(call("time", "{}", { index: 0 })) + calls(call("weather", "{}", { index: 1 })) + end;
  it("one call where there may be one", () => {
    const got = told(two, { parallel: false });
    assert.deepEqual([shown(got), got.outcome?.finishReason], [["time{}"], "stop"]);
  });

  it("a call where there has to be one", () => {
    const text = piece({ content: "No." }) + piece({}, "stop");
    assert.match(
      told(text, { choice: "required" }).failure,
      /^tool_choice asks for a call of a tool, but .* there is none\.$/,
    );
    assert.match(
      told(two, { choice: { name: "weather" } }).failure,
      /^tool_choice asks for a call of weather, but .* it calls time\.$/,
    );
    assert.equal(told(two, { choice: { name: "time" } }).failure, "");
    assert.equal(told(two, { choice: "required" }).failure, "");
    assert.equal(
      told(piece({ content: "N" }) + piece({}, "length"), { choice: "required" }).outcome?.finishReason,
      "length",
    );
  });

  it("no more than so many pieces, and bytes", () => {
    const many = calls(call("time", "{", { index: 0 })) + calls(rest("x", { index: 0 })).repeat(50);
    const got = told(many, {}, 8);
    assert.deepEqual(
      [shown(got), got.outcome?.finishReason, got.outcome?.completionTokens],
      [["time{xxxxxxx"], "length", 8],
    );
    const large = told(calls(call("time", "x".repeat(5000), { index: 0 })), {}, 2);
    assert.deepEqual([shown(large), large.outcome?.finishReason], [[], "length"]);
  });
});

describe("what is no call fails", () => {
  const shapes: Readonly<Record<string, readonly [body: string, failure: RegExp]>> = {
    "one without a name": [calls(rest("{}", { index: 0, id: "a" })) + end, /without the tool's name/],
    "one of another kind": [
      calls({ index: 0, type: "custom", custom: { name: "x", input: "y" } }) + end,
      /makes no sense/,
    ],
    "one that is text": [calls("time") + end, /makes no sense/],
    "one that is null": [calls(null) + end, /makes no sense/],
    "arguments that are a number": [calls(call("time", 7, { index: 0 })) + end, /makes no sense/],
    "arguments that are a list": [calls(call("time", [], { index: 0 })) + end, /makes no sense/],
    "calls that are no list": [piece({ tool_calls: { index: 0 } }) + end, /no sense/],
    "a piece of an earlier call": [
      calls(call("time", "{", { index: 0 })) +
        calls(call("weather", "{}", { index: 1 })) +
        calls(rest("}", { index: 0 })) +
        end,
      /behind which it had begun another/,
    ],
    "an end with calls, of which there are none": [first + end, /ended its answer with tool_calls, but told none/],
    "one that is cut off": [calls(call("time", "{", { index: 0 })), /before that was complete/],
  };
  for (const [name, [body, failure]] of Object.entries(shapes)) {
    it(name, () => {
      const got = told(body);
      assert.equal(got.outcome, null);
      assert.match(got.failure, failure);
    });
  }

  it("and any, of a server that was told of no tools", () => {
    const got = read([bytes(calls(call("time", "{}", { index: 0 })) + end)], 100, readChat);
    assert.deepEqual([got.outcome, got.toolCalls], [null, undefined]);
  });
});

describe("fuzzed", () => {
  const args = fc.dictionary(fc.string({ maxLength: 4 }), fc.string({ unit: "grapheme", maxLength: 6 }), {
    maxKeys: 3,
  });
  const made = fc.array(fc.record({ name: fc.constantFrom("weather", "time"), args }), { minLength: 1, maxLength: 4 });
  const cuts = fc.array(fc.nat(60), { maxLength: 4 });

  it("calls in any pieces, cut anywhere into chunks, are the calls that were made", () => {
    fc.assert(
      fc.property(
        made,
        cuts,
        fc.array(fc.nat(3000), { maxLength: 8 }),
        fc.boolean(),
        (list, within, chunks, withIds) => {
          const body = list.map(({ name, args: own }, index) => {
            const parts = partsOf(JSON.stringify(own), within);
            const head = calls(call(name, parts[0], { index, ...(withIds && { id: `id-${index}` }) }));
            return (
              head +
              parts
                .slice(1)
                .map((part) => calls(rest(part, { index })))
                .join("")
            );
          });
          const whole = bytes(first + body.join("") + end + DONE);
          const got = read(chunksOf(whole, chunks), 1000, readChat, { tools: TOOLS });
          assert.equal(got.failure, "");
          const expected = list.map(({ name, args: own }) => `${name}${JSON.stringify(own)}`);
          assert.deepEqual(shown(got), expected);
          if (withIds)
            assert.deepEqual(
              got.toolCalls!.map(({ id }) => id),
              list.map((_, index) => `id-${index}`),
            );
        },
      ),
      { numRuns: 300 },
    );
  });

  it("a body that is cut off has the beginning of its calls, and is complete only with its end", () => {
    const body =
      calls(call("time", '{"zone":"', { index: 0, id: "a" })) +
      calls(rest('UTC 🙂"}', { index: 0 })) +
      calls(call("weather", "{}", { index: 1 }));
    const whole = bytes(first + body + end + DONE);
    const done = bytes(first + body + end).length - 2;
    const all: readonly Pick<ToolCall, "name" | "arguments">[] = told(body + end).toolCalls!;
    fc.assert(
      fc.property(fc.nat(whole.length), fc.array(fc.nat(whole.length), { maxLength: 6 }), (length, at) => {
        const got = read(chunksOf(whole.subarray(0, length), at), 100, readChat, { tools: TOOLS });
        assert.equal(got.outcome !== null, length >= done, got.failure);
        for (const [index, { name, arguments: some }] of (got.toolCalls ?? []).entries())
          assert(name === all[index]!.name && all[index]!.arguments.startsWith(some));
      }),
      { numRuns: 500 },
    );
  });

  it("anything in the place of calls ends in an outcome or a failure", () => {
    const anything = fc.oneof(fc.jsonValue(), fc.constantFrom<unknown>(-1, 0, 1, 1e308, "", null, {}, "time"));
    const inside = fc.record({ name: anything, arguments: anything }, { requiredKeys: [] });
    const one = fc.oneof(
      anything,
      fc.record(
        { index: anything, id: anything, type: fc.constantFrom("function", 1), function: inside },
        { requiredKeys: [] },
      ),
    );
    fc.assert(
      fc.property(fc.array(fc.array(one, { maxLength: 3 }), { maxLength: 5 }), (events) => {
        const body = events.map((list) => calls(...list)).join("") + piece({}, "stop");
        const got = told(first + body, {}, 5);
        assert(got.tokens <= 5);
        for (const { name, id } of got.toolCalls ?? []) assert(name !== "" && id !== "");
      }),
      { numRuns: 500 },
    );
  });
});

/** A text in parts, none of which splits a pair of surrogates. */
function partsOf(text: string, cuts: readonly number[]): string[] {
  const characters = [...text];
  const at = [0, ...cuts.filter((cut) => cut < characters.length).toSorted((a, b) => a - b), characters.length];
  return at.slice(1).map((cut, index) => characters.slice(at[index], cut).join(""));
}
