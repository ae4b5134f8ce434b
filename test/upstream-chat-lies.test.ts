/** Whatever a server sends in the place of a chat's answer, cut anywhere: complete only if the answer was, with its reasoning before its text. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { readChat } from "../src/engine/openai/chats.ts";
import { bytes, chunksOf, type Read, read } from "./helpers/upstream-answers.ts";

function event(value: unknown): string {
  return `data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`;
}

function piece(delta: unknown, finish_reason: unknown = null, more: object = {}): string {
  return event({
    object: "chat.completion.chunk",
    choices: [{ index: 0, delta, finish_reason, logprobs: null }],
    ...more,
  });
}

const usage = (prompt_tokens: number, completion_tokens: number) => ({ prompt_tokens, completion_tokens });
const total = event({ choices: [], usage: { ...usage(9, 2), prompt_tokens_details: { cached_tokens: 4 } } });
const DONE = event("[DONE]");
const first = piece({ role: "assistant", content: "" });
const one = piece({ content: "one" });
const two = piece({ content: " two" });
const end = piece({}, "stop");

function told(...events: readonly string[]): Read {
  return read([bytes(events.join(""))], 100, readChat);
}

describe("a complete chat is taken however it is told", () => {
  const message = { role: "assistant", content: "one two", refusal: null, tool_calls: [] };
  const variants: Readonly<Record<string, string>> = {
    "as OpenAI tells it": first + one + two + end + total + DONE,
    "as vLLM does":
      piece({ role: "assistant", content: "" }, null, { usage: usage(9, 0) }) + one + two + end + total + DONE,
    "as llama-server does": piece({ role: "assistant", content: null }) + one + two + end + total + DONE,
    "as Ollama does":
      piece({ role: "assistant", content: "one" }) +
      piece({ role: "assistant", content: " two" }) +
      piece({ role: "assistant", content: "" }, "stop") +
      total +
      DONE,
    "as TGI does, with its end in the last piece":
      first + one + piece({ content: " two" }, "stop", { usage: usage(9, 2) }) + DONE,
    "with null for what is not there":
      piece({ role: "assistant", content: "one", reasoning_content: null, tool_calls: null, refusal: null }) +
      two +
      end,
    "with comments, names and what is for others": `: keep-alive\n\n${first}event: ping\ndata: now\n\n${one}event: chat.completion.chunk\n${two}${end}`,
    "without a role": one + two + end,
    "in parts that are text":
      piece({
        content: [
          { type: "text", text: "one" },
          { type: "text", text: " two" },
        ],
      }) + end,
    "as a refusal": piece({ content: null, refusal: "one two" }) + end,
    "without [DONE]": first + one + two + end,
    "as one object": JSON.stringify({ choices: [{ index: 0, message, finish_reason: "stop" }] }),
  };
  for (const [name, body] of Object.entries(variants)) {
    it(name, () => {
      const { text, reasoning, outcome, failure } = told(body);
      assert.deepEqual([text, reasoning, outcome?.finishReason, failure], ["one two", "", "stop", ""]);
    });
  }

  it("with its counts", () => {
    const { outcome, tokens } = told(first, one, two, end, total, DONE);
    assert.deepEqual(outcome, { finishReason: "stop", promptTokens: 9, completionTokens: 2, cachedTokens: 4 });
    assert.equal(tokens, 2);
  });

  it("also one without a word", () => {
    for (const body of [first + end, piece({ role: "assistant" }, "stop"), piece({ content: "" }, "stop")])
      assert.deepEqual([told(body).text, told(body).outcome?.finishReason], ["", "stop"]);
  });
});

describe("reasoning is told apart", () => {
  const thought = (field: string) => piece({ [field]: "hm" }) + piece({ [field]: ", well" });
  const both =
    piece({ reasoning: "hm", reasoning_content: "hm" }) + piece({ reasoning: ", well", reasoning_content: ", well" });
  const variants: Readonly<Record<string, string>> = {
    "in reasoning_content": thought("reasoning_content"),
    "in reasoning": thought("reasoning"),
    "in thinking": thought("thinking"),
    "in two of these": both,
    "beside empty text":
      piece({ reasoning_content: "hm", content: "" }) + piece({ reasoning_content: ", well", content: null }),
    "in the text": piece({ content: "<th" }) + piece({ content: "ink>hm, well</think>\n\n" }),
  };
  for (const [name, body] of Object.entries(variants)) {
    it(name, () => {
      const { text, reasoning, outcome, tokens } = told(first, body, one, two, end);
      assert.deepEqual([text, reasoning, outcome?.finishReason], ["one two", "hm, well", "stop"]);
      assert.equal(tokens, outcome?.completionTokens);
    });
  }

  it("in one piece with the text", () => {
    const { text, reasoning, outcome } = told(first, piece({ reasoning_content: "hm", content: "one" }), end);
    assert.deepEqual([text, reasoning, outcome?.completionTokens], ["one", "hm", 1]);
  });

  it("and left out behind the text that it is for", () => {
    const { text, reasoning, outcome } = told(first, one, piece({ reasoning_content: "late" }), two, end);
    assert.deepEqual([text, reasoning, outcome?.finishReason], ["one two", "", "stop"]);
  });

  it("where there is nothing else, as the limit has ended it", () => {
    const { text, reasoning, outcome } = told(first, piece({ reasoning: "hm" }), piece({}, "length"));
    assert.deepEqual([text, reasoning, outcome?.finishReason], ["", "hm", "length"]);
  });

  it("and counted by pieces like the text, up to the limit", () => {
    const body = piece({ reasoning: "hm " }).repeat(5) + piece({ content: "on " }).repeat(50);
    const { text, reasoning, outcome } = read([bytes(body)], 8, readChat);
    assert.deepEqual([reasoning, text, outcome?.finishReason], ["hm ".repeat(5), "on ".repeat(3), "length"]);
    assert.equal(outcome?.completionTokens, 8);
  });

  it("never cut within a character", () => {
    const halves = ["\ud83d", "\ude42"].map(
      (content) => `data: {"choices":[{"delta":{"reasoning":${JSON.stringify(content)}}}]}\n\n`,
    );
    assert.equal(told(first, ...halves, one, end).reasoning, "🙂");
  });
});

describe("what is no answer to a chat is none", () => {
  const shapes: Readonly<Record<string, readonly [body: string, failure: RegExp]>> = {
    "one that is cut off": [first + one, /before that was complete/],
    "one without a reason": [first + one + DONE, /without a reason/],
    "nothing at all": [piece({}, "stop"), /without a text/],
    "a completion": [event({ choices: [{ index: 0, text: "one", finish_reason: "stop" }] }), /no sense/],
    "a delta that is text": [piece("one", "stop"), /no sense/],
    "content that is a number": [piece({ content: 1 }, "stop"), /no sense/],
    "an image": [piece({ content: [{ type: "image_url", image_url: { url: "data:" } }] }, "stop"), /no sense/],
    "a call of a tool": [
      first + piece({ tool_calls: [{ index: 0, function: { name: "f", arguments: "" } }] }),
      /no sense/,
    ],
    "its end as a call": [first + piece({}, "tool_calls"), /tool_calls, for which it was not asked/],
    "two choices": [event({ choices: [{ delta: { content: "a" } }, { delta: { content: "b" } }] }), /no sense/],
    "another choice": [event({ choices: [{ index: 1, delta: { content: "a" }, finish_reason: "stop" }] }), /no sense/],
    "what a filter has left": [first + piece({}, "content_filter"), /content filter/],
    "an error in the middle": [
      first + one + event({ error: { message: "out of pages", code: 500 } }),
      /^HTTP 500: out of pages$/,
    ],
    "an error by name": [`${first}event: error\ndata: {"message":"out of pages"}\n\n`, /^HTTP 500: out of pages$/],
  };
  for (const [name, [body, failure]] of Object.entries(shapes)) {
    it(name, () => {
      const got = told(body);
      assert.equal(got.outcome, null);
      assert.match(got.failure, failure);
    });
  }
});

it("wherever the bytes are cut, the same comes out", () => {
  const thinking = piece({ content: "<think>hm</think> one" });
  const whole = bytes(first + piece({ reasoning: "ğ🙂" }) + thinking + two + end + total + DONE);
  const expected = read([whole], 100, readChat);
  fc.assert(
    fc.property(fc.array(fc.nat(whole.length), { maxLength: 12 }), (cuts) => {
      assert.deepEqual(read(chunksOf(whole, cuts), 100, readChat), expected);
    }),
  );
});
