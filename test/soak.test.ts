/** The rule by which the soak suite says that something grows. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compare } from "../soak/growth.ts";

const MIB = 2 ** 20;

function minutes(of: (minute: number) => number): number[] {
  return Array.from({ length: 30 }, (_, minute) => of(minute));
}

test("what grows by a little each minute is seen", () => {
  const { before, after, hasGrown } = compare(
    minutes((minute) => 100 * MIB + minute * MIB),
    "bytes",
  );
  assert.ok(hasGrown && after > before);
  assert.ok(
    compare(
      minutes((minute) => 20 + minute),
      "count",
    ).hasGrown,
  );
});

test("what grows while it warms up, and what comes and goes, is no growth", () => {
  assert.ok(
    !compare(
      minutes((minute) => Math.min(minute, 5) * 40 * MIB),
      "bytes",
    ).hasGrown,
  );
  assert.ok(
    !compare(
      minutes((minute) => (100 + 30 * Math.sin(minute)) * MIB),
      "bytes",
    ).hasGrown,
  );
  assert.ok(
    !compare(
      minutes((minute) => 100 * MIB - minute * MIB),
      "bytes",
    ).hasGrown,
  );
});
