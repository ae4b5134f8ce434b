/** Whatever a server sends, cut anywhere: it ends in an outcome, which is complete only if the answer was, and in figures that can be true. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { textOf, type Delta } from "../src/output.ts";
import { completionOf } from "../src/request.ts";
import { contextIn, failureStatusIn, nameIn, plausibleLoad, slotsIn } from "../src/engine/upstream/figures.ts";
import { Completion } from "../src/engine/llama-server/completion.ts";
import { type Dialect } from "../src/engine/openai/dialect.ts";
import { DIALECTS, identify } from "../src/engine/openai/identify.ts";
import { highestOf, sumOf } from "../src/engine/openai/prometheus.ts";
import { type Upstream, UpstreamError } from "../src/engine/upstream/upstream.ts";
import { EngineFailure } from "../src/engine/failures.ts";
import { bytes, chunksOf, read } from "./helpers/upstream-answers.ts";

function event(value: unknown): string {
  return `data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`;
}

function piece(text: unknown, finish_reason: unknown = null, more: object = {}): string {
  return event({ choices: [{ index: 0, text, finish_reason }], ...more });
}

const usage = (prompt_tokens: unknown, completion_tokens: unknown, cached_tokens: unknown = 0) =>
  event({ choices: [], usage: { prompt_tokens, completion_tokens, prompt_tokens_details: { cached_tokens } } });

const DONE = event("[DONE]");

describe("a complete answer is taken however it is told", () => {
  const one = piece(" one");
  const two = piece(" two", "stop");
  const variants: Readonly<Record<string, string>> = {
    "as it should be": one + two + usage(4, 2) + DONE,
    "without [DONE]": one + two,
    "without the last blank line": one + two.trimEnd(),
    "with CRLF": (one + two + DONE).replaceAll("\n", "\r\n"),
    "with CR": (one + two + DONE).replaceAll("\n", "\r"),
    "with a BOM": `\ufeff${one}${two}${DONE}`,
    "with heartbeats": `: ping\n\n${one}data:\n\nevent: ping\ndata: {}\n\nevent: ping\ndata: now\n\nretry: 5\n\nid: 7\n${two}${DONE}`,
    "without spaces": (one + two + DONE).replaceAll("data: ", "data:"),
    "over several lines":
      one + two.replace('{"choices":', 'data\ndata: {"choices":\ndata: ').replace("data: data\n", "") + DONE,
    "with names": one.replace("data", "event: message\ndata") + two.replace("data", "event: completion\ndata"),
    "with null for what is not there":
      one + event({ choices: null, usage: null, error: null }) + two + event({ usage: {} }),
    "with an empty reason": piece(" one", "", { usage: null }) + piece(null) + two,
    "with an error behind its end": one + two + event({ error: { message: "no usage" } }),
    "as one object": JSON.stringify({ choices: [{ index: 0, text: " one two", finish_reason: "stop" }], usage: null }),
  };
  for (const [name, body] of Object.entries(variants)) {
    it(name, () => {
      const { text, outcome, failure } = read([bytes(body)]);
      assert.deepEqual([text, outcome?.finishReason, failure], [" one two", "stop", ""]);
    });
  }

  it("whatever the word for a limit", () => {
    for (const reason of ["length", "max_tokens", "MAX_TOKENS"])
      assert.equal(read([bytes(piece("a", reason))]).outcome?.finishReason, "length");
    for (const reason of ["stop", "eos", "eos_token", "stop_sequence", "end_turn"])
      assert.equal(read([bytes(piece("a", reason))]).outcome?.finishReason, "stop");
  });
});

describe("an answer of another shape is no answer", () => {
  const shapes: Readonly<Record<string, readonly [body: string, failure: RegExp]>> = {
    "no text at all": [event({ choices: [{ index: 0, finish_reason: "stop" }] }), /without a text/],
    "a text that is null": [piece(null, "stop"), /without a text/],
    "a text that is an object": [piece({ a: 1 }, "stop"), /no sense/],
    "a text in parts": [piece([{ type: "text", text: "a" }], "stop"), /no sense/],
    "another choice": [event({ choices: [{ index: 1, text: "a", finish_reason: "stop" }] }), /no sense/],
    "two choices": [event({ choices: [{ text: "a", finish_reason: "stop" }, { text: "b" }] }), /no sense/],
    "a message": [event({ choices: [{ message: { content: "a" }, finish_reason: "stop" }] }), /no sense/],
    "a delta": [event({ choices: [{ delta: { content: "a" }, finish_reason: "stop" }] }), /no sense/],
    "a call of a tool": [event({ choices: [{ text: "", tool_calls: [{}], finish_reason: "stop" }] }), /no sense/],
    "its end as a call": [piece("a", "tool_calls"), /tool_calls, for which it was not asked/],
    "a reason that is a number": [piece("a", 1), /no sense/],
    "what a filter has left": [piece("a", "content_filter"), /content filter/],
    "an object without an end": [
      JSON.stringify({ choices: [{ text: "a", finish_reason: null }] }),
      /before that was complete/,
    ],
    "an array": ['[{"choices":[]}]', /before that was complete/],
    "choices that are text": [event({ choices: "abc" }), /no sense/],
  };
  for (const [name, [body, failure]] of Object.entries(shapes)) {
    it(name, () => {
      const got = read([bytes(body)]);
      assert.equal(got.outcome, null);
      assert.match(got.failure, failure);
    });
  }
});

describe("a server's own words reach the operator", () => {
  const errors: Readonly<Record<string, string>> = {
    "in an event": event({ error: { message: "out of pages", code: 500 } }),
    "in an event of that name": 'event: error\ndata: {"message":"out of pages"}\n\n',
    "in plain text": "event: error\ndata: out of pages\n\n",
    "in llama.cpp's older lines": 'error: {"code":500,"message":"out of pages"}\n\n',
    "in a line that is no event": '{"error":{"message":"out of pages"}}\n\n',
    "in one object": '{"error":"out of pages"}',
  };
  for (const [name, body] of Object.entries(errors)) {
    it(name, () => {
      assert.match(read([bytes(body)]).failure, /^HTTP 500: out of pages$/);
      if (!body.startsWith("{")) assert.match(read([bytes(piece("a") + body)]).failure, /^HTTP 500: out of pages$/);
    });
  }
});

describe("a promised limit holds", () => {
  it("for pieces", () => {
    const { text, tokens, outcome } = read([bytes(piece("ab").repeat(50) + piece("", "stop"))], 8);
    assert.deepEqual([text, tokens, outcome?.finishReason], ["ab".repeat(8), 8, "length"]);
  });

  it("for one piece that is too long, between two characters", () => {
    const { text, outcome } = read([bytes(piece("ğ🙂".repeat(2000), "stop"))], 1);
    assert(Buffer.byteLength(text) <= 1024 && text.length > 300);
    assert(!text.includes("\ufffd"));
    assert.equal(outcome?.finishReason, "length");
  });
});

describe("no text ends in a part of a character", () => {
  it("that a limit has cut", () => {
    assert.equal(read([bytes(piece("ab") + piece("\ufffd\ufffd", "length"))]).text, "ab");
    assert.equal(read([bytes(`${event('{"choices":[{"text":"ab\\ud83d","finish_reason":"length"}]}')}`)]).text, "ab");
  });

  it("but in U+FFFD that the model wrote", () => {
    assert.equal(read([bytes(piece("ab\ufffd") + piece("c\ufffd", "stop"))]).text, "ab\ufffdc\ufffd");
  });
});

/** Anything that JSON can say, with numbers that no count can be. */
const anything = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom<unknown>(-1, 0, 0.5, 1, 2, 1e9, 1e308, 2 ** 53, -0, "5", "", null, true, [], {}),
);

/** In a line of text. Of objects String would call a `toString` that may be anything. */
function written(value: unknown): string {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function isCount(value: number | null, most: number): boolean {
  return value === null || (Number.isSafeInteger(value) && value >= 0 && value <= most);
}

describe("fuzzed", () => {
  it("figures of an answer are whole, not negative, and fit what was asked", () => {
    fc.assert(
      fc.property(anything, anything, anything, fc.boolean(), (prompt, completion, cached, first) => {
        const told = usage(prompt, completion, cached);
        const { outcome, tokens } = read([bytes((first ? told : "") + piece("a") + piece("b", "stop") + told)], 9);
        assert(outcome !== null);
        assert(isCount(outcome.promptTokens, 4096) && outcome.promptTokens !== 0);
        assert(isCount(outcome.cachedTokens, outcome.promptTokens ?? 0));
        assert(isCount(outcome.completionTokens, 9) && outcome.completionTokens === tokens && tokens >= 2);
      }),
      { numRuns: 1000 },
    );
  });

  it("an answer that is cut anywhere is complete only with its end, and the same in any chunks", () => {
    const whole = bytes(`${piece("ğün")}: ping\n\n${piece(" 🙂")}${piece("日", "stop")}${usage(4, 3)}${DONE}`);
    const text = new TextDecoder().decode(whole);
    const end = bytes(text.slice(0, text.indexOf('"stop"}]}') + 9)).length;
    fc.assert(
      fc.property(fc.nat(whole.length), fc.array(fc.nat(whole.length), { maxLength: 8 }), (length, cuts) => {
        const got = read(chunksOf(whole.subarray(0, length), cuts));
        assert.equal(got.outcome !== null, length >= end);
        if (got.outcome !== null) assert.deepEqual([got.text, got.tokens], ["ğün 🙂日", 3]);
        else assert("ğün 🙂日".startsWith(got.text));
      }),
      { numRuns: 2000 },
    );
  });

  it("bytes of any kind, among events, end in an outcome, and in none that is complete without an end", () => {
    const part = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc
        .constantFrom("data: ", "data:", "event: error\n", "\n\n", "\r", ":", "[DONE]", "{", "}", '"choices":')
        .map((text) => bytes(text)),
      anything.map((text) => bytes(piece(text))),
      anything.map((choices) => bytes(event({ choices }))),
      anything.map((value) => bytes(event(value))),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
        const { outcome, tokens } = read(parts, 5);
        // Nothing of this has a reason, but for limits that hold here.
        assert(outcome === null || (outcome.finishReason === "length" && tokens > 0 && tokens <= 5));
      }),
      { numRuns: 2000 },
    );
  });

  it("what a llama-server says ends in an outcome too", () => {
    const said = fc.record(
      {
        stop: anything,
        stop_type: fc.constantFrom("eos", "limit", "word", 1),
        tokens_predicted: anything,
        tokens_evaluated: anything,
        content: anything,
        prompt_progress: fc.oneof(anything, fc.record({ total: anything, cache: anything })),
        "timings/cache_n": anything,
        completion_probabilities: fc.oneof(
          anything,
          fc.array(fc.record({ token: anything, logprob: anything, bytes: anything })),
        ),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(said, anything), { maxLength: 6 }), fc.boolean(), (events, withTokens) => {
        let tokens = 0;
        const emit = (delta: Delta, more: number) => {
          const text = textOf(delta);
          assert(text.isWellFormed());
          tokens += more;
        };
        const shape = { stop: [], marks: null };
        const request = { ...completionOf("a"), ...(withTokens && { logprobs: 3 }) };
        const completion = new Completion({ tokens: null, shape, maxTokens: 9, request, grammar: null }, 4096, {
          emit,
        });
        try {
          for (const value of events) completion.read(JSON.stringify(value));
          const outcome = completion.outcome();
          assert(events.some((value) => (value as { stop?: unknown } | null)?.stop === true));
          assert(isCount(outcome.promptTokens, 4096) && isCount(outcome.cachedTokens, outcome.promptTokens ?? 4096));
        } catch (error) {
          assert(error instanceof UpstreamError || (withTokens && error instanceof EngineFailure), String(error));
        }
        assert(isCount(tokens, 9));
      }),
      { numRuns: 2000 },
    );
  });

  it("what a server tells of itself is taken only where it can be true", async () => {
    const body = fc.oneof(
      anything.map((value) => JSON.stringify(value)),
      fc
        .dictionary(
          fc.constantFrom("data", "gpus", "tokens", "count", "max_total_tokens", "model_id", "loads"),
          anything,
        )
        .map((value) => JSON.stringify(value)),
      fc
        .array(fc.tuple(fc.constantFrom("vllm:num_requests_running", "tgi_queue_size"), anything))
        .map((lines) => lines.map(([name, value]) => `${name} ${written(value)}`).join("\n")),
      fc
        .array(fc.record({ id: anything, owned_by: fc.constantFrom("vllm", "sglang", "x") }))
        .map((data) => JSON.stringify({ data })),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom<Dialect>(...DIALECTS),
        fc.array(body, { minLength: 1, maxLength: 4 }),
        async (dialect, bodies) => {
          let asked = 0;
          const ask = async () => ({ status: 200, headers: {}, body: bodies[asked++ % bodies.length]! });
          const upstream = { ask, refusal: () => new UpstreamError(200, "refused") } as unknown as Upstream;
          const about = await dialect.about(upstream, { id: "m", max_model_len: -1 });
          assert(about.context === contextIn(about.context) && about.slots === slotsIn(about.slots));
          assert(about.version === nameIn(about.version));
          const load = await dialect.figures?.(upstream);
          if (load)
            for (const value of Object.values(plausibleLoad(load)))
              assert(isCount(value, 1e6) || (value! >= 0 && value! <= 1));
          const tokens = await dialect.countTokens?.(upstream, {
            id: "1",
            model: "m",
            request: completionOf("a"),
            about,
          });
          assert(isCount(tokens ?? null, Number.MAX_SAFE_INTEGER));
          const found = await identify(upstream, { where: "there", model: "", hasKey: false }).catch(
            (error: unknown) => error,
          );
          assert(found instanceof EngineFailure || (found as { model: { id: string } }).model.id !== "", String(found));
        },
      ),
      { numRuns: 1000 },
    );
  });

  it("metrics and statuses of any kind are numbers or nothing", () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.array(anything), anything, (bytesOfNoise, values, status) => {
        const noise = new TextDecoder().decode(bytesOfNoise);
        const text = values.map((value) => `metric{a="${noise}"} ${written(value)}`).join("\n") + noise;
        for (const value of [sumOf(text, "metric"), highestOf(text, "metric")])
          assert(value === null || Number.isFinite(value) || Math.abs(value) === Infinity);
        const known = failureStatusIn(status);
        assert(known === null || (known >= 400 && known < 600));
      }),
    );
  });
});
