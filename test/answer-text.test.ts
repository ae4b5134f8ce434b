/** What becomes of a generated text, however it is cut into pieces. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { AnswerText, type AnswerShape, isShaped } from "../src/engine/answer-text.ts";
import { contentOf, type Delta, Output } from "../src/output.ts";

const THINK = { open: "<think>", close: "</think>" };
const PLAIN: AnswerShape = { stop: [], marks: null };

interface Told {
  readonly text: string;
  readonly reasoning: string;
  readonly stopped: boolean;
  readonly tokens: number;
  readonly deltas: readonly Delta[];
}

/** All that is told of an answer of one token a piece, until a stop sequence ends it. */
function told(pieces: readonly string[], shape: Partial<AnswerShape>): Told {
  const output = new Output();
  let tokens = 0;
  const answer = new AnswerText({ ...PLAIN, ...shape }, (delta, count) => {
    output.add(delta);
    tokens += count;
  });
  const stopped = pieces.some((piece) => answer.push(piece, 1)) || answer.end();
  const { text, reasoning = "" } = contentOf(output.deltas);
  return { text, reasoning, stopped, tokens, deltas: output.deltas };
}

function withoutBlankLines(text: string): string {
  return text.replace(/^\s*\n/, "");
}

/** What has been told after each piece. */
function steps(pieces: readonly string[], shape: Partial<AnswerShape>): string[] {
  let text = "";
  const answer = new AnswerText({ ...PLAIN, ...shape }, (delta) => (text += delta.kind === "text" ? delta.text : ""));
  return pieces.map((piece) => {
    text = "";
    answer.push(piece, 1);
    return text;
  });
}

function contentIn(whole: string, shape: Partial<AnswerShape>) {
  const { text, reasoning, stopped } = told([...whole], shape);
  return { text, reasoning, stopped };
}

/** Few letters, so that stop sequences are found, nearly found, and lie over each other. */
const letters = (maxLength: number) => fc.string({ unit: fc.constantFrom("a", "b", "\n", "ğ", "😀"), maxLength });
const stops = fc.array(
  letters(5).filter((stop) => stop !== ""),
  { maxLength: 4 },
);
const reasoned = fc
  .array(fc.constantFrom("<think>", "</think>", "<thi", "nk>", "</", "a", "b", "\n", " ", "<"), { maxLength: 14 })
  .map((parts) => parts.join(""));

/** A text, and the same in pieces. */
function cut(text: fc.Arbitrary<string>): fc.Arbitrary<{ whole: string; pieces: string[] }> {
  return fc.tuple(text, fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 60 })).map(([whole, lengths]) => {
    const characters = [...whole];
    const pieces = lengths.map((length) => characters.splice(0, length).join(""));
    return { whole, pieces: [...pieces, characters.join("")] };
  });
}

describe("stop sequences", () => {
  it("end the text before the one that is whole first, and the longest of those", () =>
    fc.assert(
      fc.property(cut(letters(30)), stops, ({ whole, pieces }, stop) => {
        const { text, stopped } = told(pieces, { stop });
        const ends = stop.filter((one) => whole.includes(one)).map((one) => whole.indexOf(one) + one.length);
        const end = Math.min(...ends);
        const longest = Math.max(
          0,
          ...stop.filter((one) => whole.slice(0, end).endsWith(one)).map((one) => one.length),
        );
        assert.equal(stopped, ends.length > 0);
        assert.equal(text, stopped ? whole.slice(0, end - longest) : whole);
      }),
      { numRuns: 5000 },
    ));

  it("hold back nothing but what may begin one", () =>
    fc.assert(
      fc.property(cut(letters(30)), stops, ({ pieces }, stop) => {
        let sent = "";
        const answer = new AnswerText(
          { stop, marks: null },
          (delta) => (sent += delta.kind === "text" ? delta.text : ""),
        );
        let whole = "";
        for (const piece of pieces) {
          whole += piece;
          if (answer.push(piece, 1)) return;
          const tails = Array.from({ length: whole.length }, (_, at) => whole.slice(at));
          const held = tails.find((tail) => stop.some((one) => one.startsWith(tail))) ?? "";
          assert.equal(sent, whole.slice(0, whole.length - held.length));
        }
      }),
      { numRuns: 2000 },
    ));

  it("are found over the borders of tokens, and not told", () => {
    assert.deepEqual(steps(["One", "\n", "\n", "Two"], { stop: ["\n\n"] }), ["One", "", "", ""]);
    assert.deepEqual(steps(["One", "\nTwo", "\n"], { stop: ["\n\n"] }), ["One", "\nTwo", ""]);
    assert.equal(told(["aa", "ab"], { stop: ["aab"] }).text, "a");
    assert.equal(told(["END"], { stop: ["END"] }).text, "");
  });

  it("that never come whole leave the text whole", () => {
    const { text, stopped } = told(["The EN", "", "D"], { stop: ["END."] });
    assert.deepEqual({ text, stopped }, { text: "The END", stopped: false });
  });

  it("take a long answer of nearly nothing else as fast as any", () => {
    const letter = "a".repeat(100_000);
    assert.equal(told([...letter], { stop: [`${letter}b`] }).text, letter);
  });
});

describe("reasoning", () => {
  it("comes out the same however the text is cut", () =>
    fc.assert(
      fc.property(cut(reasoned), stops, fc.boolean(), ({ whole, pieces }, stop, isInside) => {
        const shape = { stop, marks: THINK, isInside };
        const inPieces = { ...told(pieces, shape), tokens: 0 };
        assert.deepEqual(inPieces, { ...told([whole], shape), tokens: 0 });
      }),
      { numRuns: 5000 },
    ));

  it("is what stands between the marks at the beginning", () =>
    fc.assert(
      fc.property(cut(reasoned), fc.boolean(), ({ whole, pieces }, isInside) => {
        const { text, reasoning } = told(pieces, { marks: THINK, isInside });
        const inside = isInside ? whole : /^\s*<think>([^]*)$/.exec(whole)?.[1];
        const [before = "", ...after] = (inside ?? "").split("</think>");
        assert.equal(reasoning, inside === undefined ? "" : withoutBlankLines(before));
        assert.equal(text, inside === undefined ? whole : withoutBlankLines(after.join("</think>")));
      }),
      { numRuns: 5000 },
    ));

  it("is told before the text, without the marks and the blank lines behind them", () => {
    const answer = { text: "Paris.\n", reasoning: "Hm.\n", stopped: false };
    assert.deepEqual(contentIn("<think>\nHm.\n</think>\n\nParis.\n", { marks: THINK }), answer);
    assert.deepEqual(contentIn("\nHm.\n</think>\n\nParis.\n", { marks: THINK, isInside: true }), answer);
    assert.deepEqual(contentIn(" \n<think>Hm.\n</think>Paris.\n", { marks: THINK }), answer);
  });

  it("may be empty, or all there is", () => {
    const marks = THINK;
    assert.deepEqual(contentIn("<think>\n\n</think>\n\n1", { marks }), { text: "1", reasoning: "", stopped: false });
    assert.deepEqual(contentIn("<think>\nHm </thin", { marks }), {
      text: "",
      reasoning: "Hm </thin",
      stopped: false,
    });
    assert.deepEqual(contentIn("<think>\n", { marks }), { text: "", reasoning: "", stopped: false });
  });

  it("is text where it stands later, and a mark that never becomes whole is", () => {
    for (const text of ["So <think>a</think>b", "<thin", " \n", "\n<think", "</think>", "< think>a</think>"])
      assert.deepEqual(contentIn(text, { marks: THINK }), { text, reasoning: "", stopped: false });
  });

  it("is not looked through for stop sequences", () => {
    const shape = { marks: THINK, stop: ["\n", "."] };
    assert.deepEqual(contentIn("<think>a.\nb.</think>\n\nc.d", shape), {
      text: "c",
      reasoning: "a.\nb.",
      stopped: true,
    });
  });

  it("does not hide a stop sequence that begins like its mark", () => {
    for (const pieces of [["<"], ["<", "a"], ["\n", "<thin"]]) {
      const { text, stopped } = told(pieces, { marks: THINK, stop: ["<"] });
      assert.deepEqual({ text, stopped }, { text: pieces[0] === "\n" ? "\n" : "", stopped: true });
    }
  });
});

describe("tokens", () => {
  it("are all told, each with its piece", () =>
    fc.assert(
      fc.property(cut(reasoned), stops, ({ pieces }, stop) => {
        const answer = new AnswerText({ stop, marks: THINK }, (_, count) => (counted += count));
        let counted = 0;
        for (const [index, piece] of pieces.entries()) {
          const stopped = answer.push(piece, 2);
          assert.equal(counted, 2 * (index + 1));
          if (stopped) return;
        }
        answer.end();
        assert.equal(counted, 2 * pieces.length);
      }),
      { numRuns: 2000 },
    ));

  it("need no look at the text where nothing is looked for", () => {
    assert(!isShaped(PLAIN));
    assert(isShaped({ stop: ["a"], marks: null }) && isShaped({ stop: [], marks: THINK }));
  });
});
