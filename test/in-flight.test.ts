/** Values that come and go all the time: what is kept of them, and what is not. */
import assert from "node:assert/strict";
import test from "node:test";
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { InFlight } from "../src/common/in-flight.ts";

test("it has what a Map would have, in the same order", () => {
  const step = fc.record({ name: fc.integer({ min: 0, max: 8 }), isAdded: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const map = new Map<number, object>();
      const inFlight = new InFlight<number, object>();
      for (const { name, isAdded } of steps) {
        const value = {};
        if (isAdded) {
          map.set(name, value);
          inFlight.set(name, value);
        } else assert.equal(inFlight.delete(name), map.delete(name));
        assert.equal(inFlight.size, map.size);
        assert.equal(inFlight.get(name), map.get(name));
        assert.equal(inFlight.has(name), map.has(name));
        assert.deepEqual([...inFlight.names()], [...map.keys()]);
        assert.ok([...inFlight.values()].every((one, index) => one === [...map.values()][index]));
      }
    }),
  );
});

test("what was in it dies young", () => {
  const inFlight = new InFlight<number, object>();
  let last = 0;
  const pass = (count: number): void => {
    for (const end = last + count; last < end; last++) {
      inFlight.set(
        last,
        Array.from({ length: 100 }, () => last),
      );
      inFlight.delete(last - 20);
    }
  };
  pass(1000);
  // Its tables are in the old generation now, as those of a server are.
  collectGarbage();
  const before = oldBytes();
  pass(20_000);
  // They took sixteen times as much; in a Map, most of them would be there now.
  assert.ok(oldBytes() - before < 1_000_000, `${oldBytes() - before} bytes more`);
});

test("after a flood it is as small as before", () => {
  const inFlight = new InFlight<string, object>();
  for (let count = 0; count < 3; count++) {
    for (let index = 0; index < 5000; index++) inFlight.set(`${index}`, { index });
    for (let index = 0; index < 5000; index++) assert.ok(inFlight.delete(`${index}`));
    assert.equal(inFlight.size, 0);
    assert.deepEqual([...inFlight.values()], []);
  }
  inFlight.set("one", { index: 1 });
  inFlight.clear();
  assert.equal(inFlight.get("one"), undefined);
});

function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
}

function oldBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name }) => space_name === "old_space")!.space_used_size;
}
