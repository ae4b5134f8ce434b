/** Messages in pieces. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PIECE_BYTES, Pieces, piecesOf } from "../src/cluster/pieces.ts";

/** The largest text that the API takes, with characters that JSON makes longer. */
const LARGE = { text: '"ş\n'.repeat(3_000_000) };

test("a small message is one piece", () => {
  const pieces = [...piecesOf({ a: 1 }, PIECE_BYTES)];
  assert.equal(pieces.length, 1);
  assert.deepEqual(new Pieces().take("one", pieces[0]!), { a: 1 });
});

test("a large message arrives whole, in pieces that are no larger than the broker takes", () => {
  const pieces = [...piecesOf(LARGE, PIECE_BYTES)];
  assert(pieces.length > 10);
  assert(pieces.every(({ length }) => length <= PIECE_BYTES));
  const taken = new Pieces();
  const last = pieces.pop()!;
  for (const piece of pieces) assert.equal(taken.take("one", piece), undefined);
  assert.deepEqual(taken.take("one", last), LARGE);
});

test("a message of which a piece is missing is dropped, and those of other senders arrive", () => {
  const taken = new Pieces();
  const broken = [...piecesOf({ text: "x".repeat(1000) }, 100)];
  const sound = [...piecesOf({ text: "y".repeat(1000) }, 100)];
  const got: unknown[] = [];
  for (const [index, piece] of sound.entries()) {
    if (index !== 3) got.push(taken.take("two", broken[index]!));
    got.push(taken.take("one", piece));
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
    index === pieces.length - 1 ? [taken.take("one", piece)] : [taken.take("one", piece), taken.take("one", piece)],
  );
  assert.deepEqual(got.at(-1), { text: "z".repeat(1000) });
});

test("what is no message is ignored", () => {
  const taken = new Pieces();
  const texts = ["null", "1", '"a"', "[]", "{"].map((text) => [0, ...Buffer.from(text)]);
  for (const bytes of [[], [0], [0, 123], [1], [9, 9, 9], [1, ...Array<number>(40).fill(0)], ...texts])
    assert.equal(taken.take("one", Uint8Array.from(bytes)), undefined);
});

test("a hundred senders of large messages at once are all heard", () => {
  const taken = new Pieces();
  const all = Array.from({ length: 100 }, (_, index) => [...piecesOf({ text: `${index}`.repeat(500) }, 100)]);
  const got: unknown[] = [];
  for (let place = 0; got.length < 100; place++)
    for (const [sender, pieces] of all.entries()) {
      const piece = pieces[place];
      const message = piece && taken.take(String(sender), piece);
      if (message !== undefined) got.push(message);
    }
  assert.equal(got.length, 100);
});

test("a message above the limit of its subject is dropped unread, whole or in pieces", () => {
  const taken = new Pieces(4096);
  const large = { text: "x".repeat(5000) };
  for (const most of [PIECE_BYTES, 1000])
    for (const piece of piecesOf(large, most)) assert.equal(taken.take("one", piece), undefined);
  for (const piece of piecesOf({ a: 1 }, PIECE_BYTES)) assert.deepEqual(taken.take("one", piece), { a: 1 });
});

test("messages that never end take a bounded memory, and give it back", () => {
  const pieces = [...piecesOf({ text: "x".repeat(10_000) }, 1000)];
  const taken = new Pieces(20_000);
  const last = pieces.pop()!;
  const open = (sender: string): void => pieces.forEach((piece) => assert.equal(taken.take(sender, piece), undefined));
  // The second one is too much; what came before stays.
  open("one");
  open("two");
  assert.equal(taken.take("two", last), undefined);
  assert.notEqual(taken.take("one", last), undefined);
  // Another message of a sender takes the place of the one that it broke off.
  for (let count = 0; count < 10; count++) {
    const more = [...piecesOf({ text: "y".repeat(10_000) }, 1000)];
    for (const piece of more.slice(0, -1)) taken.take("one", piece);
  }
  taken.clear();
  assert.equal(taken.take("one", last), undefined);
  open("two");
  assert.notEqual(taken.take("two", last), undefined);
});
