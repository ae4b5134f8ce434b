/** The memory that a start took is given back once, while nothing happens. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import v8 from "node:v8";

let servers = 0;

/** @param shares of each second in which the event loop of a new server works @returns the flags that it has set by then */
async function flagsAfter(t: TestContext, shares: readonly number[]): Promise<string[]> {
  t.mock.reset();
  t.mock.timers.enable({ apis: ["setInterval"] });
  const seconds = shares.values();
  t.mock.method(performance, "eventLoopUtilization", (now?: object) => ({
    idle: 0,
    active: 0,
    utilization: now === undefined ? 0 : seconds.next().value!,
  }));
  const { mock } = t.mock.method(v8, "setFlagsFromString");
  // Each process has one look; a module of its own stands for it.
  const own = (await import(
    `../src/common/start-memory.ts?${servers++}`
  )) as typeof import("../src/common/start-memory.ts");
  own.releaseStartMemory();
  t.mock.timers.tick(1000 * shares.length);
  return mock.calls.map(({ arguments: [flag] }) => flag);
}

const COLLECTED = ["--expose-gc", "--no-expose-gc"];

test("the first quiet second gives it back, and no later one does so again", async (t) => {
  assert.deepEqual(await flagsAfter(t, [0.9, 0.3, 0.1, 0.06]), []);
  assert.deepEqual(await flagsAfter(t, [0.9, 0.3, 0.1, 0.05, 0, 0, 0]), COLLECTED);
});

test("a server that was busy for five seconds before keeps what it has compiled", async (t) => {
  assert.deepEqual(await flagsAfter(t, [1, 0.9, 0.1, 0.9, 0.25, 0, 0]), COLLECTED);
  assert.deepEqual(await flagsAfter(t, [1, 0.9, 0.1, 0.9, 0.25, 0.9, 0, 0]), []);
});
