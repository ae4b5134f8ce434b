/** What the dashboard's page of usage makes of its rows. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { dayBefore, dayOf, daysBetween, questionOf } from "../src/dashboard/files/usage/question.js";
import { groupsOf, nameOf, stackOf } from "../src/dashboard/files/usage/series.js";

const NOTHING = {
  tasks: 0,
  completed: 0,
  failed: 0,
  canceled: 0,
  prompt_tokens: null,
  completion_tokens: 0,
  cached_tokens: null,
  gpu_seconds: 0,
  energy_joules: null,
  queued_seconds: 0,
};

const row = (user: string, day: string, gpu_seconds: number) => ({ ...NOTHING, user, day, gpu_seconds });

test("where nothing is said, it is the usage of thirty days by user; what is no choice is none", () => {
  const question = questionOf(new URLSearchParams("by=color&measure=tasks"), "2026-03-01", "user");
  assert.deepEqual(question, { from: "2026-01-31", to: "2026-03-01", by: "user", measure: "tasks" });
  const given = questionOf(new URLSearchParams("from=yesterday&to=2026-02-01&by=gpu"), "2026-03-01", "user");
  assert.deepEqual(given, { from: "yesterday", to: "2026-02-01", by: "gpu", measure: "gpu_seconds" });
});

test("days are those of the browser's clock, and none is left out where clocks change", () => {
  assert.equal(dayOf(new Date(2026, 0, 5, 0, 1)), "2026-01-05");
  assert.deepEqual(daysBetween("2026-10-24", "2026-10-26"), ["2026-10-24", "2026-10-25", "2026-10-26"]);
  assert.equal(dayBefore("2028-03-01", 1), "2028-02-29");
  assert.deepEqual(daysBetween("2026-10-26", "2026-10-24"), []);
});

test("bars have the groups that used most, and one for all others; days without usage are 0", () => {
  const days = ["2026-11-01", "2026-11-02"];
  const few = [row("ada", "2026-11-02", 1), row("bob", "2026-11-01", 3), row("eve", "2020-01-01", 9)];
  assert.deepEqual(groupsOf(few, "user", "gpu_seconds", days), [
    { name: "bob", values: [3, 0] },
    { name: "ada", values: [0, 1] },
  ]);
  assert.deepEqual(groupsOf(few, "user", "energy_joules", days)[0]!.values, [0, 0]);
  const many = Array.from({ length: 8 }, (_, place) => row(`user ${place}`, "2026-11-01", place));
  const groups = groupsOf(many, "user", "gpu_seconds", days);
  assert.deepEqual(
    groups.map(({ name, values }) => [name, values[0]]),
    [...[7, 6, 5, 4].map((place) => [`user ${place}`, place]), [null, 6]],
  );
  assert.deepEqual(stackOf(groups).at(-1), [28, 0]);
});

test("a group is called by what it is told apart by; one that has none of it is empty", () => {
  assert.equal(nameOf({ gpu: 0 }, "gpu"), "0");
  assert.equal(nameOf({ key: null }, "key"), "");
});
