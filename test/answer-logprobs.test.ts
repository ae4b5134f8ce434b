/** The tokens of an answer, with their probabilities, beside its text. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { AnswerLogprobs } from "../src/engine/answer-logprobs.ts";
import { type AnswerShape, AnswerText } from "../src/engine/answer-text.ts";
import { contentOf, type Delta, lengthOf, Output, type TokenLogprob } from "../src/output.ts";

const THINK = { open: "<think>", close: "</think>" };

function likely(token: Uint8Array) {
  return { token: new TextDecoder().decode(token), bytes: [...token], logprob: -1, top: [] };
}

/** What is told of an answer in tokens of some bytes each. */
function told(tokens: readonly Uint8Array[], shape: AnswerShape, asked = true) {
  const deltas: Delta[] = [];
  let counted = 0;
  const emit = (delta: Delta, count: number) => {
    deltas.push(delta);
    counted += count;
  };
  const logprobs = new AnswerLogprobs(emit);
  const answer: AnswerText = new AnswerText(shape, (...one) =>
    asked ? logprobs.told(...one, answer.textAt) : emit(...one),
  );
  const text = new TextDecoder("utf-8", { ignoreBOM: true });
  for (const token of tokens) {
    const piece = text.decode(token, { stream: true });
    logprobs.take(piece.length, likely(token));
    if (answer.push(piece, 1)) break;
  }
  answer.end();
  if (asked) logprobs.end();
  const output = new Output();
  for (const delta of deltas) output.add(delta);
  return { deltas, counted, ...contentOf(output.deltas) };
}

function logprobsIn(deltas: readonly Delta[]): readonly TokenLogprob[] {
  return deltas.flatMap((delta) => (delta.kind === "text" ? (delta.logprobs ?? []) : []));
}

function texts(tokens: readonly TokenLogprob[]) {
  return tokens.map(({ token, length }) => [token, length]);
}

function bytes(...pieces: string[]): Uint8Array[] {
  return pieces.map((piece) => new TextEncoder().encode(piece));
}

/** A text in tokens that may begin and end within a character. */
const cut = fc
  .tuple(
    fc.array(fc.constantFrom("<think>", "</think>", "</", "a", "ab", "b", "\n", " ", "ğ", "😀"), { maxLength: 14 }),
    fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 60 }),
  )
  .map(([parts, lengths]) => {
    const whole = new TextEncoder().encode(parts.join(""));
    let at = 0;
    const tokens = lengths.map((length) => whole.subarray(at, (at += length)));
    return [...tokens, whole.subarray(at)].filter(({ length }) => length > 0);
  });

const shapes = fc.record({
  stop: fc.array(fc.constantFrom("ab", "ba", "a\n", "😀b"), { maxLength: 2 }),
  marks: fc.constantFrom(null, THINK),
  isInside: fc.boolean(),
});

describe("logprobs of an answer", () => {
  it("belong to deltas whose text has the length of their tokens, and change nothing of what is told", () =>
    fc.assert(
      fc.property(cut, shapes, (tokens, { isInside, ...shape }) => {
        const asked = { ...shape, isInside: isInside && shape.marks !== null };
        const [plain, withThem] = [told(tokens, asked, false), told(tokens, asked)];
        assert.deepEqual(
          [withThem.text, withThem.reasoning, withThem.counted],
          [plain.text, plain.reasoning, plain.counted],
        );
        for (const delta of withThem.deltas) {
          if (delta.kind !== "text") continue;
          const { text, logprobs } = delta;
          assert.equal(logprobs === undefined, text === "");
          assert.equal(lengthOf(delta), logprobs?.reduce((sum, { length }) => sum + length, 0) ?? 0);
          // One that only begins a character is never the last.
          assert.notEqual(logprobs?.at(-1)?.length, 0);
        }
      }),
      { numRuns: 2000 },
    ));

  it("are those of the text's tokens, in order", () => {
    const { deltas } = told(bytes("<think>", "b", "</think>", "\n\n", "a", "b", "c"), { stop: ["bc"], marks: THINK });
    assert.deepEqual(texts(logprobsIn(deltas)), [["a", 1]]);
  });

  it("come with the token that completes a character, for those that only begin it", () => {
    const smile = new TextEncoder().encode("😀");
    const tokens = [...bytes("a"), smile.subarray(0, 1), smile.subarray(1, 3), smile.subarray(3), ...bytes("b")];
    const { deltas } = told(tokens, { stop: [], marks: null });
    const withText = deltas.filter((delta) => lengthOf(delta) > 0);
    assert.deepEqual(
      withText.map((delta) => texts(logprobsIn([delta]))),
      [
        [["a", 1]],
        [
          ["\ufffd", 0],
          ["\ufffd\ufffd", 0],
          ["\ufffd", 2],
        ],
        [["b", 1]],
      ],
    );
  });

  it("count of a token that a stop sequence has cut only what is told", () => {
    const { text, deltas } = told(bytes("ab", "cdef", "g"), { stop: ["de"], marks: null });
    assert.equal(text, "abc");
    assert.deepEqual(texts(logprobsIn(deltas)), [
      ["ab", 2],
      ["cdef", 1],
    ]);
  });
});
