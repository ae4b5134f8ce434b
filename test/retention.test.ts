/** When old tasks are removed. What is removed, and how, is the store's affair. */
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { test, type TestContext } from "node:test";
import { Retention } from "../src/store/retention.ts";
import { type SweepLimits } from "../src/store/store.ts";

const NO_FILES = { removeDue: async () => false };

/** A store that answers each step as the test says; after that, that nothing is left. */
function retention(t: TestContext, answers: (boolean | Error)[]) {
  const steps: SweepLimits[] = [];
  const warnings: string[] = [];
  const heard = new EventEmitter();
  const sweep = async (limits: SweepLimits): Promise<boolean> => {
    steps.push(limits);
    heard.emit("step");
    const answer = answers[steps.length - 1] ?? false;
    if (answer instanceof Error) throw answer;
    return answer;
  };
  const log = { warn: (_fields: object, message: string) => void warnings.push(message), error: () => {} };
  const time = {
    held: null,
    settle: () => {},
    get times() {
      return { now: Date.now(), wall: Date.now() };
    },
  };
  const store = { sweep, tasks: { countEnded: async () => 0 } };
  const running = new Retention({
    store,
    files: NO_FILES,
    time,
    retention: 5,
    maxStored: 7,
    keysLive: 3000,
    usageKept: 9000,
    log,
  });
  t.after(() => running.stop());
  const until = async (count: number): Promise<void> => {
    while (steps.length < count) await once(heard, "step");
  };
  return { running, steps, warnings, until };
}

test("each step has the limits of its moment, and they go on until nothing is left, and again later", async (t) => {
  const { running, steps, until } = retention(t, [true, true, false]);
  const before = Date.now();
  running.start();
  running.start();
  await until(5);
  for (const { endedBefore, keysBefore, usageBefore, maxEnded } of steps) {
    assert.ok(endedBefore >= before - 5 && endedBefore <= Date.now() - 5);
    assert.ok(Math.abs(endedBefore - keysBefore - 2995) <= 1);
    assert.ok(Math.abs(keysBefore - usageBefore - 6000) <= 1);
    assert.equal(maxEnded, 7);
  }
});

test("a disk that fails is told, and tried again later", async (t) => {
  const { running, warnings, until } = retention(t, [new Error("disk full")]);
  running.start();
  await until(2);
  assert.deepEqual(warnings, ["old tasks could not be removed; trying again later"]);
});

test("stopping waits for the step under way, and no other follows", async (t) => {
  const { running, steps, until } = retention(t, Array(1000).fill(true));
  running.start();
  await until(2);
  await Promise.all([running.stop(), running.stop()]);
  const count = steps.length;
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(steps.length, count);
});
