/** A wall clock that is set fires nothing and delays nothing, and no time that a task shows goes backwards. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { queuedSeconds } from "../src/task-use.ts";
import { type Task } from "../src/task.ts";
import { COMPLETED, facts, NO_LIMITS, World } from "./helpers/scheduling.ts";

const HOUR = 3_600_000;
const WEEK = 168 * HOUR;

/** One GPU with one slot, which is taken. */
function busyWorld(settings: ConstructorParameters<typeof World>[1] = {}) {
  const world = new World([facts(0, { slots: 1 })], settings);
  world.now = 1_700_000_000_000;
  return { world, running: world.submit() };
}

/** All times that a task shows, in the order in which they were. */
function timesOf(task: Task): number[] {
  const { createdAt, attempts, startedAt, finishedAt } = task;
  const tries = attempts.flatMap(({ startedAt: begun, endedAt }) => [begun, endedAt ?? begun]);
  return [createdAt, ...tries, ...(finishedAt === null ? [] : [startedAt ?? createdAt, finishedAt])];
}

function assertForward(task: Task): void {
  const times = timesOf(task);
  for (const [index, time] of times.entries()) {
    // The last start comes after the tries in that list, and is one of them.
    if (index > 0 && time !== task.startedAt) assert.ok(time >= times[index - 1]!, JSON.stringify(times));
  }
  if (task.startedAt !== null) assert.ok(task.startedAt >= task.createdAt);
}

for (const step of [HOUR, -HOUR, WEEK, -WEEK]) {
  test(`a step by ${step / HOUR} h is no time that a task waited`, () => {
    const { world, running } = busyWorld();
    const waiting = world.submit();
    const canceled = world.submit();
    world.pass(2);
    world.ahead += step;
    world.pass(3);
    world.complete(running);
    assert.equal(waiting.use?.queued, 5);
    assert.equal(queuedSeconds(waiting, 0), 5);
    world.scheduler.cancel([canceled]);
    assert.deepEqual([canceled.use, queuedSeconds(canceled, 0)], [null, 5]);
  });

  test(`a step by ${step / HOUR} h moves no deadline`, () => {
    const { world } = busyWorld();
    const late = world.submit({ timeoutSeconds: 60 });
    world.ahead += step;
    world.scheduler.tick();
    world.pass(59.999);
    assert.equal(late.status, "queued");
    world.pass(0.001);
    assert.equal(late.status, "failed");
    assert.equal(late.error!.code, "timeout");
    assertForward(late);
  });

  test(`a step by ${step / HOUR} h moves no queue time-out`, () => {
    const { world } = busyWorld({ queueTimeout: 60 });
    const waiting = world.submit();
    world.ahead += step;
    world.pass(59.999);
    assert.equal(waiting.status, "queued");
    world.pass(0.001);
    assert.equal(waiting.status, "failed");
    assertForward(waiting);
  });

  test(`a step by ${step / HOUR} h moves no pause before a retry, and ageing goes on`, () => {
    const { world, running } = busyWorld({ retryBackoff: 10, ageingSeconds: 60 });
    world.scheduler.finished(running, { status: "interrupted", reason: "gpu_lost", sentence: "gone" });
    assert.equal(running.status, "queued");
    world.ahead += step;
    world.pass(9.999);
    assert.equal(running.status, "queued");
    world.pass(0.001);
    assert.equal(running.status, "running");
    const low = world.submit({ priority: "low" });
    world.pass(120);
    world.ahead -= step;
    const high = world.submit({ priority: "high" });
    world.scheduler.finished(running, COMPLETED);
    assert.deepEqual(
      [low.status, high.status],
      ["running", "queued"],
      "after two minutes low counts as high, and is older",
    );
    assertForward(running);
    assertForward(low);
  });
}

test("a limit for each minute is that of the server's clock", () => {
  const world = new World([facts(0)], {
    limitsOf: () => ({ ...NO_LIMITS, requestsPerMinute: 1 }),
  });
  world.scheduler.callers.countRequest("ada");
  world.ahead += WEEK;
  assert.throws(() => world.scheduler.callers.countRequest("ada"), { code: "rate_limited" });
  world.ahead -= 2 * WEEK;
  world.pass(60);
  world.scheduler.callers.countRequest("ada");
});

test("whatever the wall clock does meanwhile, a task's times go forward, also over restarts", () => {
  const { world, running } = busyWorld();
  const steps = [HOUR, -HOUR, -WEEK, WEEK, -HOUR];
  for (const step of steps) {
    world.ahead += step;
    world.pass(1);
    world.interrupt(0, "gpu_drained");
    world.tell(facts(0, { slots: 1 }));
    assertForward(running);
  }
  world.ahead -= WEEK;
  const next = new World([facts(0, { slots: 1 })]);
  next.now = world.now;
  next.ahead = world.ahead - HOUR;
  next.scheduler.restore([running]);
  assertForward(running);
  assert.equal(running.status, "running");
  next.scheduler.finished(running, COMPLETED);
  assertForward(running);
  assert.equal(running.attempts.length, steps.length + 2);
});

test("a result's time is not after the end of its task, though the wall clock was set back meanwhile", () => {
  const { world, running } = busyWorld();
  world.ahead -= HOUR;
  world.pass(5);
  const timestamp = running.startedAt! + 5000;
  assert.ok(COMPLETED.status === "completed");
  world.scheduler.finished(running, { ...COMPLETED, result: { ...COMPLETED.result, timestamp } });
  assert.equal(running.finishedAt, timestamp);
});

test("a restored task has the time left that it had, whatever the wall clock shows now", () => {
  const { world } = busyWorld({ queueTimeout: 600 });
  world.ahead += WEEK;
  const waiting = world.submit({ timeoutSeconds: 300 });
  world.pass(100);
  for (const step of [0, WEEK, -WEEK]) {
    const next = new World([facts(0, { slots: 1, state: "starting" })], { queueTimeout: 600 });
    next.now = world.now;
    next.ahead = world.ahead + step;
    const restored = { ...waiting, attempts: [] };
    next.scheduler.restore([restored]);
    next.pass(199);
    assert.equal(restored.status, "queued");
    next.pass(1);
    assert.equal(restored.status, "failed");
  }
});
