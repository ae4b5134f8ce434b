/** The tokens of an answer's text, as servers tell them with their probabilities: each finds its own part of the text. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type TokenLogprob } from "../src/output.ts";
import { readChat } from "../src/engine/openai/chats.ts";
import { readCompletion } from "../src/engine/openai/completions.ts";
import { bytes, chunksOf, type Read, read } from "./helpers/upstream-answers.ts";

function event(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

interface Entry {
  readonly token: unknown;
  readonly logprob?: unknown;
  readonly bytes?: unknown;
  readonly top_logprobs?: unknown;
}

function piece(delta: object, tokens: readonly (string | Entry)[] | null, finish_reason: string | null = null): string {
  const content = tokens?.map((token) => (typeof token === "string" ? { token, logprob: -1, bytes: null } : token));
  return event({ choices: [{ index: 0, delta, finish_reason, logprobs: content === undefined ? null : { content } }] });
}

const end = piece({}, null, "stop");

function told(body: string, logprobs = 2, stop: readonly string[] = []): Read {
  return read([bytes(body)], 100, readChat, { logprobs, stop });
}

/** Each token with its part of the text. */
function parts({ text, logprobs = [] }: Pick<Read, "text" | "logprobs">): string[] {
  let at = 0;
  return logprobs.map(({ token, length }) => {
    at += length;
    return `${token}|${text.slice(at - length, at)}`;
  });
}

describe("tokens find their text", () => {
  const variants: Readonly<Record<string, readonly [body: string, expected: readonly string[]]>> = {
    "that comes with each": [
      piece({ content: "one" }, ["one"]) + piece({ content: " two" }, [" two"]),
      ["one|one", " two| two"],
    ],
    "that comes with several": [piece({ content: "one two!" }, ["one", " two", "!"]), ["one|one", " two| two", "!|!"]],
    "that comes later, as it was held back": [
      piece({ content: "" }, ["one"]) + piece({ content: "on" }, [" two"]) + piece({ content: "e two" }, []),
      ["one|one", " two| two"],
    ],
    "that came before": [
      piece({ content: "one two" }, ["one"]) + piece({ content: " three" }, [" two", " three"]),
      ["one|one", " two| two", " three| three"],
    ],
    "where some were lost": [
      piece({ content: "a" }, ["a"]) + piece({ content: "bc" }, ["c"]) + piece({ content: "d" }, ["d"]),
      ["a|a", "c|bc", "d|d"],
    ],
    "where some are of no text": [
      piece({ content: "a" }, ["<s>", "a"]) + piece({ content: "b" }, ["b", "</s>"]),
      ["a|a", "b|b"],
    ],
    "in their bytes": [
      piece({ content: "" }, [{ token: "\\xf0\\x9f", logprob: -1, bytes: [240, 159] }]) +
        piece({ content: "🙂!" }, [{ token: "\\x99\\x82", logprob: -1, bytes: [153, 130] }, "!"]),
      ["\ufffd|", "\ufffd\ufffd|🙂", "!|!"],
    ],
    "where bytes are told as they are shown": [
      piece({ content: "" }, [{ token: "\ufffd", logprob: -1, bytes: [239, 191, 189] }]) +
        piece({ content: "🙂" }, [{ token: "\ufffd", logprob: -1, bytes: [239, 191, 189] }]) +
        piece({ content: " x" }, [" x"]),
      ["\ufffd|", "\ufffd|🙂", " x| x"],
    ],
    "that is U+FFFD itself": [piece({ content: "a\ufffdb" }, ["a", "\ufffd", "b"]), ["a|a", "\ufffd|\ufffd", "b|b"]],
    "that is U+FFFD itself, and comes in two pieces": [
      piece({ content: "\ufffd " }, ["\ufffd  "]) + piece({ content: " " }, []),
      ["\ufffd  |\ufffd  "],
    ],
    "behind reasoning that the server tells apart": [
      piece({ reasoning_content: "a b" }, ["a", " b"]) + piece({ content: "a" }, [{ token: "a", logprob: -7 }]),
      ["a|a"],
    ],
    "behind reasoning in the text": [
      piece({ content: "<think>" }, ["<think>"]) +
        piece({ content: "one" }, ["one"]) +
        piece({ content: "</think>\n\n" }, ["</think>", "\n\n"]) +
        piece({ content: "one" }, [{ token: "one", logprob: -7 }]),
      ["one|one"],
    ],
  };
  for (const [name, [body, expected]] of Object.entries(variants)) {
    it(name, () => {
      const got = told(body + end);
      assert.deepEqual([got.failure, got.doubts], ["", []]);
      assert.deepEqual(parts(got), expected);
      if (name.includes("reasoning")) assert.equal(got.logprobs?.[0]?.logprob, -7);
    });
  }

  it("up to a stop sequence within a token", () => {
    const body = piece({ content: "one" }, ["one"]) + piece({ content: " twEND" }, [" twEND"]) + end;
    const got = told(body, 2, ["END"]);
    assert.deepEqual([got.text, parts(got)], ["one tw", ["one|one", " twEND| tw"]]);
  });

  it("of a completion, in its lists", () => {
    const logprobs = {
      tokens: [" one", "bytes:\\xf0\\x9f", "bytes:\\x99\\x82"],
      token_logprobs: [-0.5, -2, -1],
      top_logprobs: [{ " one": -0.5, " two": -1, " three": -3 }, null, {}],
      text_offset: [0, 4, 4],
    };
    const body = event({ choices: [{ index: 0, text: " one🙂", logprobs, finish_reason: "stop" }] });
    const got = read([bytes(body)], 100, readCompletion, { logprobs: 2 });
    assert.deepEqual(parts(got), [" one| one", "\ufffd|", "\ufffd\ufffd|🙂"]);
    assert.deepEqual(
      got.logprobs![0]!.top.map(({ token, logprob }) => [token, logprob]),
      [
        [" one", -0.5],
        [" two", -1],
      ],
    );
    assert.deepEqual(got.logprobs![1]!.bytes, [240, 159]);
  });
});

describe("what is told of each", () => {
  const entry = {
    token: "a",
    logprob: -0.25,
    bytes: [97],
    top_logprobs: [
      { token: "b", logprob: -3 },
      { token: "a", logprob: -0.25 },
      { token: "c", logprob: -4, bytes: [99] },
    ],
  };
  const one = (logprobs: number): TokenLogprob => told(piece({ content: "a" }, [entry]) + end, logprobs).logprobs![0]!;
  it("has as many others as were asked for, likeliest first", () => {
    assert.deepEqual(one(0), { token: "a", bytes: [97], logprob: -0.25, top: [], length: 1 });
    assert.deepEqual(
      one(2).top.map(({ token }) => token),
      ["a", "b"],
    );
    assert.deepEqual(
      one(20).top.map(({ bytes: own }) => own),
      [[97], [98], [99]],
    );
  });

  it("is a logarithm of a probability: what is as good as impossible is -9999, what was rounded is 0", () => {
    const tokens = [
      { token: "a", logprob: -3e38 },
      { token: "b", logprob: 1e-6 },
    ];
    assert.deepEqual(
      told(piece({ content: "ab" }, tokens) + end).logprobs!.map(({ logprob }) => logprob),
      [-9999, 0],
    );
  });

  it("is left out where it makes no sense, and that is told", () => {
    const lies: readonly Entry[] = [
      { token: "a", logprob: null },
      { token: 7, logprob: -1 },
      { token: "a", logprob: 2 },
      { token: "x".repeat(2000), logprob: -1 },
    ];
    for (const lie of lies) {
      const got = told(piece({ content: "ab" }, [lie, "b"]) + end);
      assert.deepEqual([parts(got), got.doubts], [["b|ab"], ["a token with a probability that is none"]]);
    }
  });

  it("is nothing where none were asked for", () => {
    const got = read([bytes(piece({ content: "a" }, [entry]) + end)], 100, readChat);
    assert.equal(got.logprobs, undefined);
  });
});

it("a server that tells no tokens has not done what was asked of it", () => {
  for (const body of [piece({ content: "one" }, null) + end, piece({ content: "one ".repeat(2000) }, null) + end])
    assert.equal(told(body).failure, "The server behind this GPU told no logprobs, for which it was asked.");
  assert.equal(told(piece({ content: "" }, null) + end).failure, "");
});

it("the end of a text without tokens is told all the same", () => {
  const got = told(piece({ content: "one" }, ["one"]) + piece({ content: " two" }, null) + end);
  assert.deepEqual(
    [got.text, parts(got), got.doubts],
    ["one two", ["one|one"], ["a text without the tokens of its end"]],
  );
});

describe("fuzzed", () => {
  /** Texts cut into tokens anywhere, also within characters. */
  const cases = fc.record({
    text: fc.string({ unit: "grapheme", maxLength: 20 }),
    cuts: fc.array(fc.nat(80), { maxLength: 10 }),
    pieces: fc.array(fc.nat(20), { maxLength: 5 }),
    chunks: fc.array(fc.nat(3000), { maxLength: 6 }),
  });

  it("tokens of any bytes, beside a text in any pieces, add up to it", () => {
    fc.assert(
      fc.property(cases, ({ text, cuts, pieces, chunks }) => {
        const tokens = chunksOf(bytes(text), cuts)
          .filter(({ length }) => length > 0)
          .map((own) => ({ token: Buffer.from(own).toString(), logprob: -1, bytes: [...own] }));
        const characters = [...text];
        const at = [0, ...pieces.filter((cut) => cut < characters.length).toSorted((a, b) => a - b), characters.length];
        const texts = at.slice(1).map((cut, index) => characters.slice(at[index], cut).join(""));
        const body = texts.map((content, index) => piece({ content }, index === 0 ? tokens : [])).join("");
        const got = read(chunksOf(bytes(body + end), chunks), 1000, readChat, { logprobs: 0 });
        if (text.trimStart().startsWith("<think>")) return;
        assert.deepEqual([got.failure, got.text], ["", text]);
        const own = (got.logprobs ?? []).flatMap(({ bytes: all }) => all);
        assert.deepEqual(Buffer.from(own).toString(), text);
        assert.equal(
          (got.logprobs ?? []).reduce((all, { length }) => all + length, 0),
          text.length,
        );
      }),
      { numRuns: 2000 },
    );
  });

  it("anything in the place of tokens leaves the text as it is", () => {
    const anything = fc.oneof(fc.jsonValue(), fc.constantFrom<unknown>(null, -1, "one", " two", 5, {}));
    const entry = fc.oneof(
      anything,
      fc.record({ token: anything, logprob: anything, bytes: anything, top_logprobs: anything }, { requiredKeys: [] }),
    );
    const logprobs = fc.oneof(
      anything,
      fc.record({ content: fc.array(entry, { maxLength: 3 }) }),
      fc.record({ tokens: anything, token_logprobs: anything, top_logprobs: anything }),
    );
    fc.assert(
      fc.property(fc.array(logprobs, { minLength: 2, maxLength: 2 }), ([one, two]) => {
        const parted = [
          ["one", one],
          [" two", two],
        ] as const;
        const body = parted
          .map(([content, own]) => event({ choices: [{ delta: { content }, logprobs: own }] }))
          .join("");
        const got = told(body + end);
        if (got.outcome === null) assert.match(got.failure, /told no logprobs/);
        else assert.equal(got.text, "one two");
        for (const { logprob } of got.logprobs ?? []) assert(logprob <= 0);
      }),
      { numRuns: 1000 },
    );
  });
});
