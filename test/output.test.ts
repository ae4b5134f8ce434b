/** Positions in an output: whatever is put together or cut on the way, they mean the same. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { anyText } from "./helpers/any-text.ts";
import {
  after,
  append,
  canCut,
  contentOf,
  type Delta,
  deltasOf,
  growing,
  lengthOf,
  Output,
  type TokenLogprob,
  wholeCharacters,
} from "../src/output.ts";

const words = anyText({ maxLength: 5 });

/** A text of which each token is told: one may complete several characters, or begin one. */
const told = fc.array(fc.tuple(anyText({ minLength: 1, maxLength: 2 }), fc.boolean())).map((tokens): Delta => {
  const lengths = tokens.flatMap(([{ length }, isDivided]) => (isDivided ? [0, length] : [length]));
  const all = lengths.map((length) => ({ ...TOKEN, length }));
  return { kind: "text", text: tokens.map(([piece]) => piece).join(""), logprobs: all };
});
const TOKEN = { token: "a", bytes: [97], logprob: -1, top: [] };

const text = words.map((piece): Delta => ({ kind: "text", text: piece }));
const reasoning = words.map((piece): Delta => ({ kind: "reasoning", text: piece }));
const calls = fc
  .array(fc.tuple(words, fc.array(words, { maxLength: 3 })), { maxLength: 3 })
  .map((all) =>
    all.flatMap(([first, rest], index): Delta[] => [
      { kind: "tool_call", index, call: { id: `call_${index}`, name: "look" }, arguments: first },
      ...rest.map((piece) => ({ kind: "tool_call", index, arguments: piece }) as const),
    ]),
  );
const texts = fc.oneof(fc.array(text, { maxLength: 6 }), fc.array(told, { maxLength: 6 }));
const deltas = fc
  .tuple(fc.array(reasoning, { maxLength: 3 }), texts, calls)
  .map((parts) => parts.flat() as readonly Delta[]);

function outputOf(all: readonly Delta[]): Output {
  const output = new Output();
  for (const each of all) output.add(each);
  return output;
}

/** As a worker's message has them: those that come together are one, if they can be. */
function gathered(all: readonly Delta[], sizes: readonly number[]): Delta[] {
  const left = [...all];
  const pieces: Delta[] = [];
  for (const size of [...sizes, Infinity]) {
    const [first, ...rest] = left.splice(0, size);
    if (first === undefined) continue;
    let piece = growing(first);
    pieces.push(piece);
    for (const each of rest) if (!append(piece, each)) pieces.push((piece = growing(each)));
  }
  return pieces;
}

/** What a reader has added up: all that has a length, in order, and the tokens. */
function read(all: readonly Delta[]): unknown {
  const { deltas: whole } = outputOf(all);
  return whole.map((each) =>
    each.kind === "text" ? { ...each, logprobs: each.logprobs?.map(lengthOfToken) ?? [] } : each,
  );
}

function lengthOfToken({ length }: TokenLogprob): number {
  return length;
}

test("a position means the same live, in a replay, and in what a restart finds", () => {
  fc.assert(
    fc.property(deltas, fc.array(fc.integer({ min: 1, max: 4 })), fc.nat(40), (all, sizes, position) => {
      const output = outputOf(gathered(all, sizes));
      assert.equal(
        output.length,
        all.reduce((sum, each) => sum + lengthOf(each), 0),
      );
      const restarted = deltasOf(contentOf(all));
      const rest = read(after(all, position));
      for (const replay of [output.deltas, restarted]) assert.deepEqual(read(after(replay, position)), rest);
      assert.equal(canCut(output.deltas, position), canCut(restarted, position));
    }),
  );
});

test("the parts before and behind a position are the whole", () => {
  fc.assert(
    fc.property(deltas, fc.nat(40), (all, position) => {
      const { deltas: whole, length } = outputOf(all);
      const rest = after(whole, position);
      const lengths = rest.map(lengthOf).reduce((sum, each) => sum + each, 0);
      assert.equal(lengths, Math.max(0, length - position));
      for (const each of rest) {
        if (each.kind !== "text" || each.logprobs === undefined) continue;
        // Of a token that was cut, all is told behind the cut.
        const known = each.logprobs.reduce((sum, token) => sum + token.length, 0);
        assert.ok(known >= each.text.length, `${known} of ${each.text.length}`);
      }
    }),
  );
});

test("deltas of one kind add up to one, except that each call is one", () => {
  const output = outputOf([
    { kind: "text", text: "a" },
    { kind: "tool_call", index: 0, call: { id: "call_a", name: "look" }, arguments: '{"x"' },
    { kind: "tool_call", index: 0, arguments: ":1}" },
    { kind: "tool_call", index: 1, call: { id: "call_b", name: "look" }, arguments: "{}" },
  ]);
  assert.deepEqual(contentOf(output.deltas), {
    text: "a",
    toolCalls: [
      { id: "call_a", name: "look", arguments: '{"x":1}' },
      { id: "call_b", name: "look", arguments: "{}" },
    ],
  });
  assert.equal(output.length, 1 + (1 + 7) + (1 + 2));
  // Behind the head of a call are its arguments alone.
  assert.deepEqual(after(output.deltas, 2)[0], { kind: "tool_call", index: 0, arguments: '{"x":1}' });
});

test("an output is cut at characters only, and not where it does not reach", () => {
  const { deltas: smile } = outputOf([
    { kind: "text", text: "a\ud83d" },
    { kind: "text", text: "\ude00" },
  ]);
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((position) => canCut(smile, position)),
    [true, true, false, true, false],
  );
  assert.deepEqual([canCut([], 0), canCut([], 1)], [true, false]);
});

test("half a character waits at the end for its other half", () => {
  assert.deepEqual(wholeCharacters([{ kind: "text", text: "a\ud83d" }]), [{ kind: "text", text: "a" }]);
  assert.deepEqual(wholeCharacters([{ kind: "text", text: "\ud83d" }]), []);
  assert.deepEqual(wholeCharacters([{ kind: "text", text: "😀" }]), [{ kind: "text", text: "😀" }]);
});

test("what has no length leaves no trace in an output", () => {
  const output = outputOf([{ kind: "text", text: "" }]);
  assert.deepEqual([output.length, output.deltas], [0, []]);
});
