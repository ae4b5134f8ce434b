import assert from "node:assert/strict";
import { test } from "node:test";
import { numbersOf, unitVector } from "../src/common/vectors.ts";

test("a vector comes back with length 1 and its direction", () => {
  const numbers = numbersOf(unitVector([3, 0, -4]));
  assert.deepEqual(
    numbers.map((value) => Math.round(value * 1e6) / 1e6),
    [0.6, 0, -0.8],
  );
});

test("a vector is 32-bit floats, little-endian, in base64", () => {
  assert.equal(unitVector([0, 2]), "AAAAAAAAgD8=");
});

test("a vector without a direction is refused", () => {
  for (const values of [[0, 0], [1, Number.NaN], [Infinity]]) assert.throws(() => unitVector(values), RangeError);
});
