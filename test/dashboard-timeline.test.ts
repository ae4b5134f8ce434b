/** The bars of Now: which row each has, what becomes of those that are cut off, and that no server can make them endless. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SECONDS_KEPT, Timeline } from "../src/dashboard/files/core/timeline.js";
import { type TaskChange } from "../src/dashboard/files/core/types.ts";
import { barAt, rowsOf } from "../src/dashboard/files/now/draw-lane.js";

function change(id: string, startedAt: number | null, more: Partial<TaskChange> = {}): TaskChange {
  const rest = { user: "bob", model: "m", batchId: null, createdAt: 0, firstOutputAt: null, finishedAt: null };
  return { id, status: startedAt === null ? "queued" : "running", gpuId: 0, startedAt, ...rest, ...more };
}

function ended(id: string, startedAt: number, finishedAt: number, more: Partial<TaskChange> = {}): TaskChange {
  return change(id, startedAt, { status: "completed", finishedAt, ...more });
}

const rowOf = (timeline: Timeline, id: string): number | undefined => timeline.barOf(id)?.row;

test("tasks that run at once have rows of their own, and a free row is used again", () => {
  const timeline = new Timeline();
  timeline.apply([change("b", 2000), change("a", 1000)]);
  timeline.apply([ended("a", 1000, 3000)]);
  timeline.apply([change("c", 3100)]);
  assert.deepEqual(
    ["a", "b", "c"].map((id) => rowOf(timeline, id)),
    [0, 1, 0],
  );
  assert.deepEqual(
    timeline.lanes.get(0)?.bars.map(({ id }) => id),
    ["a", "b", "c"],
  );
});

test("a task that got its slot before the end of the one before was told moves to that one's row", () => {
  const timeline = new Timeline();
  timeline.apply([change("a", 1000), change("b", 1000)]);
  timeline.apply([change("c", 3000)]);
  assert.equal(rowOf(timeline, "c"), 2);
  timeline.apply([ended("a", 1000, 3000)]);
  assert.equal(rowOf(timeline, "c"), 0);
  assert.equal(rowsOf(timeline.lanes.get(0), { height: 60, slots: 2, from: 0 }).count, 2);
});

test("an attempt that was cut off ends where the next one begins, on whichever GPU that is", () => {
  const timeline = new Timeline();
  timeline.apply([change("a", 1000)]);
  timeline.apply([change("a", 5000, { gpuId: 1 })]);
  const [first] = timeline.lanes.get(0)!.bars;
  assert.deepEqual([first?.status, first?.finishedAt], ["canceled", 5000]);
  assert.equal(timeline.lanes.get(1)?.bars.length, 1);
  timeline.apply([ended("a", 5000, 6000, { gpuId: 1 })]);
  assert.deepEqual([timeline.barOf("a")?.status, first?.finishedAt], ["completed", 5000]);
});

test("the time of the first output is kept when a later change does not tell it again", () => {
  const timeline = new Timeline();
  timeline.apply([change("a", 1000)]);
  timeline.apply([change("a", 1000, { firstOutputAt: 1200 })]);
  timeline.apply([ended("a", 1000, 2000)]);
  assert.equal(timeline.barOf("a")?.firstOutputAt, 1200);
});

test("tasks that wait have no bar, and what is old or too much is forgotten", () => {
  const timeline = new Timeline();
  timeline.apply([change("waits", null, { gpuId: null })]);
  assert.equal(timeline.lanes.size, 0);
  for (let at = 0; at < 20_000; at++) timeline.apply([ended(`t${at}`, at * 10, at * 10 + 5)]);
  assert.ok(timeline.lanes.get(0)!.bars.length <= 6500);
  assert.equal(timeline.barOf("t0"), undefined);
  const late = 20_000 * 10 + SECONDS_KEPT * 1000;
  timeline.apply([change("late", late + 1000)]);
  assert.deepEqual(
    timeline.lanes.get(0)!.bars.map(({ id }) => id),
    ["late"],
  );
  timeline.forget();
  assert.equal(timeline.barOf("late"), undefined);
});

test("the bar under the pointer is found by time and row, within a few pixels", () => {
  const timeline = new Timeline();
  timeline.apply([ended("a", 10_000, 20_000), ended("b", 30_000, 30_100)]);
  const lane = timeline.lanes.get(0)!;
  const view = { from: 0, to: 100_000, width: 1000, height: 40, slots: 2 };
  assert.equal(barAt(lane, view, { x: 150, y: 10 })?.id, "a");
  assert.equal(barAt(lane, view, { x: 303, y: 10 })?.id, "b");
  assert.equal(barAt(lane, view, { x: 250, y: 10 }), null);
  assert.equal(barAt(lane, view, { x: 150, y: 30 }), null);
});
