/** Columns of a task that take less room than what they tell. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { attemptsOf, storedAttempts, withoutErrors } from "../src/store/thread/attempts.ts";
import { placementOf, storedPlacement } from "../src/store/thread/placements.ts";
import { type Attempt, type Placement, type Task } from "../src/task.ts";
import { complete, newTask, run } from "./helpers/store.ts";

const ENDED = complete(run(newTask(1)));

/** The column of that task, had it these attempts. */
function columnOf(attempts: readonly Attempt[], task: Task = ENDED): string {
  return storedAttempts({ ...task, attempts: [...attempts] });
}

test("an attempt that tells no more than its task takes three characters, running and ended", () => {
  for (const task of [run(newTask(1)), ENDED]) {
    assert.equal(storedAttempts(task), "[1]");
    assert.deepEqual(attemptsOf("[1]", task), task.attempts);
    assert.equal(withoutErrors("[1]"), "[1]");
  }
  assert.equal(storedAttempts(newTask(1)), "[]");
});

test("an attempt that tells more than its task is stored as it is, and loses the words of engines alone", () => {
  const own = ENDED.attempts[0]!;
  const others: Attempt[] = [
    { ...own, gpuId: own.gpuId + 1 },
    { ...own, startedAt: own.startedAt - 1 },
    { ...own, endedAt: own.endedAt! + 1 },
    { ...own, reason: "timeout" },
    { ...own, alone: true },
    { ...own, nonsense: true },
    { ...own, error: "Its server said no." },
    { ...own, unlisted: 2 },
  ];
  for (const other of others) {
    assert.deepEqual(attemptsOf(columnOf([other]), ENDED), [other]);
    const { error: _error, ...rest } = other;
    assert.deepEqual(attemptsOf(withoutErrors(columnOf([other])), ENDED), [rest]);
    assert.deepEqual(attemptsOf(columnOf([other], { ...ENDED, texts: "never" }), ENDED), [rest]);
  }
  assert.deepEqual(attemptsOf(columnOf([own, own]), ENDED), [own, own]);
});

test("a placement is read as it was, also from the object that earlier versions stored", () => {
  const placement: Placement = {
    strategy: "least_loaded",
    gpuId: 2,
    reason: { code: "lowest_load", load: 0.875, equals: 1 },
    candidates: [
      { gpuId: 2, score: 0.875 },
      { gpuId: 0, score: null },
    ],
    others: { busy: 3 },
  };
  for (const each of [placement, { ...placement, expectedTokens: 0 }, { ...placement, candidates: [] }]) {
    assert.deepEqual(placementOf(storedPlacement(each)), each);
    assert.deepEqual(placementOf(JSON.stringify(each)), each);
  }
  assert.equal(placementOf(storedPlacement(null)), null);
});
