/** Messages in pieces. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PIECE_BYTES, Pieces, piecesOf } from "../src/cluster/pieces.ts";

/** The largest text that the API takes, with characters that JSON makes longer. */
const LARGE = { text: '"ş\n'.repeat(3_000_000) };

test("a small message is one piece", () => {
  const pieces = [...piecesOf({ a: 1 }, PIECE_BYTES)];
  assert.equal(pieces.length, 1);
  assert.deepEqual(new Pieces().take(pieces[0]!), { a: 1 });
});

test("a large message arrives whole, in pieces that are no larger than the broker takes", () => {
  const pieces = [...piecesOf(LARGE, PIECE_BYTES)];
  assert(pieces.length > 10);
  assert(pieces.every(({ length }) => length <= PIECE_BYTES));
  const taken = new Pieces();
  const last = pieces.pop()!;
  for (const piece of pieces) assert.equal(taken.take(piece), undefined);
  assert.deepEqual(taken.take(last), LARGE);
});

test("a message of which a piece is missing is dropped, and others beside it arrive", () => {
  const taken = new Pieces();
  const broken = [...piecesOf({ text: "x".repeat(1000) }, 100)];
  const sound = [...piecesOf({ text: "y".repeat(1000) }, 100)];
  const got: unknown[] = [];
  for (const [index, piece] of sound.entries()) {
    if (index !== 3) got.push(taken.take(broken[index]!));
    got.push(taken.take(piece));
  }
  assert.deepEqual(
    got.filter((message) => message !== undefined),
    [{ text: "y".repeat(1000) }],
  );
});

test("a piece that comes twice changes nothing", () => {
  const taken = new Pieces();
  const pieces = [...piecesOf({ text: "z".repeat(1000) }, 100)];
  const got = pieces.flatMap((piece, index) =>
    index === pieces.length - 1 ? [taken.take(piece)] : [taken.take(piece), taken.take(piece)],
  );
  assert.deepEqual(got.at(-1), { text: "z".repeat(1000) });
});

test("what is no message is ignored", () => {
  const taken = new Pieces();
  for (const bytes of [[], [0], [0, 123], [1], [9, 9, 9], [1, ...Array<number>(40).fill(0)]])
    assert.equal(taken.take(Uint8Array.from(bytes)), undefined);
});
