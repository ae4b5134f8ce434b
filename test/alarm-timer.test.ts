/** The one timer of the scheduler's alarms. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { AlarmTimer } from "../src/tasks/alarm-timer.ts";

const DAY = 86_400_000;

/** A timer, how often it has rung, and time that passes when the test says so. */
function setting(t: TestContext) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const clock = { ahead: 0, time: 1000, now: () => clock.time };
  const state = { rings: 0 };
  const timer = new AlarmTimer(clock, () => void state.rings++);
  const pass = (milliseconds: number): number => {
    clock.time += milliseconds;
    t.mock.timers.tick(milliseconds);
    return state.rings;
  };
  return { timer, pass, now: clock.now, rings: () => state.rings };
}

test("an alarm rings at its time, and one that is set again rings at the new time only", (t) => {
  const { timer, pass, now } = setting(t);
  timer.set(now() + 50);
  timer.set(now() + 100);
  assert.deepEqual([pass(99), pass(1), pass(1000)], [0, 1, 1]);
});

test("an alarm for a time already past rings at once, but not within the call", (t) => {
  const { timer, pass, now, rings } = setting(t);
  timer.set(now() - 1);
  assert.equal(rings(), 0);
  assert.equal(pass(1), 1);
});

test("an alarm that is set to never does not ring", (t) => {
  const { timer, pass, now } = setting(t);
  timer.set(now() + 10);
  timer.set(Infinity);
  assert.equal(pass(DAY), 0);
});

test("an alarm further away than a timer of the system can be does not ring at once", (t) => {
  const { timer, pass, now } = setting(t);
  timer.set(now() + 60 * DAY);
  assert.equal(pass(24 * DAY), 0);
});
