/** Positions in an output: whatever is put together or cut on the way, they mean the same. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  after,
  append,
  canCut,
  contentOf,
  type Delta,
  deltasOf,
  type GrowingDelta,
  lengthOf,
  Output,
  wholeCharacters,
} from "../src/output.ts";

const delta = fc.string({ unit: "binary", maxLength: 5 }).map((text): Delta => ({ kind: "text", text }));
const deltas = fc.array(delta, { maxLength: 8 });

function outputOf(all: readonly Delta[]): Output {
  const output = new Output();
  for (const each of all) output.add(each);
  return output;
}

/** As a worker's message has them: those that come together are one. */
function gathered(all: readonly Delta[], sizes: readonly number[]): Delta[] {
  const left = [...all];
  const pieces: Delta[] = [];
  for (const size of [...sizes, Infinity]) {
    const [first, ...rest] = left.splice(0, size);
    if (first === undefined) continue;
    const piece: GrowingDelta = { ...first };
    for (const each of rest) assert.ok(append(piece, each));
    pieces.push(piece);
  }
  return pieces;
}

test("a position means the same live, in a replay, and in what a restart finds", () => {
  fc.assert(
    fc.property(deltas, fc.array(fc.integer({ min: 1, max: 4 })), fc.nat(40), (all, sizes, position) => {
      const output = outputOf(gathered(all, sizes));
      const whole = contentOf(all);
      assert.equal(
        output.length,
        all.reduce((sum, each) => sum + lengthOf(each), 0),
      );
      const restarted = deltasOf(whole);
      const rest = whole.text.slice(position);
      for (const replay of [output.deltas, restarted, all]) assert.equal(contentOf(after(replay, position)).text, rest);
      assert.equal(canCut(output.deltas, position), canCut(restarted, position));
    }),
  );
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
