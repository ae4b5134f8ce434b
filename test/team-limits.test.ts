/** The limits that the members of a team share: running and waiting tasks, submissions and tokens of a minute. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AltLasError } from "../src/errors.ts";
import { Callers } from "../src/scheduler/callers.ts";
import type { TeamLimits } from "../src/scheduler/teams.ts";
import type { Task } from "../src/task.ts";
import { COMPLETED, facts, NO_LIMITS, SETTINGS, World } from "./helpers/scheduling.ts";

const UNLIMITED: TeamLimits = { maxQueued: null, maxRunning: null, requestsPerMinute: null, tokensPerMinute: null };
const SIXTY = { ...NO_LIMITS, requestsPerMinute: 60 };
const RED = { user: "ada", team: "red" };

/** The team red has limits. */
function red(limits: Partial<TeamLimits>) {
  const limitsOf = (team: string) => (team === "red" ? { ...UNLIMITED, ...limits } : null);
  return { teams: { limitsOf, named: ["red"] } };
}

function refusalOf(act: () => unknown): AltLasError {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof AltLasError);
    return error;
  }
  return assert.fail("it was not refused");
}

function running(tasks: readonly Task[]): number {
  return tasks.filter(({ status }) => status === "running").length;
}

test("members of a team at its limit take turns, and others have the slots that it leaves", () => {
  const world = new World([facts(0, { slots: 4 })], red({ maxRunning: 2 }));
  const ada = world.submitMany(10, RED);
  const bob = world.submitMany(10, { user: "bob", team: "red" });
  const eve = world.submitMany(4, { user: "eve" });
  assert.deepEqual([running([...ada, ...bob]), running(eve)], [2, 2]);
  assert.equal(
    world.scheduler.questions.whyWaiting(bob[9]!)?.sentence,
    "The team red has 2 tasks running, and may have no more.",
  );
  const ended: string[] = [];
  while (ended.length < 10) {
    const task = world.started.find(({ status, team }) => status === "running" && team !== null)!;
    ended.push(task.user);
    world.scheduler.finished(task, COMPLETED);
    assert.equal(running([...ada, ...bob]), 2);
  }
  assert.ok(ended.filter((user) => user === "bob").length >= 4, ended.join());
});

test("a slot that a team's limit has freed may be on another GPU", () => {
  const world = new World([facts(0), facts(1)], red({ maxRunning: 1 }));
  const first = world.submit({ ...RED, pinnedGpuId: 0 });
  const second = world.submit({ user: "bob", team: "red", pinnedGpuId: 1 });
  assert.equal(second.status, "queued");
  world.scheduler.finished(first, COMPLETED);
  assert.equal(second.status, "running");
});

test("a task counts for the team that it came with, and a limit that is set later counts what runs", () => {
  const world = new World([facts(0, { slots: 4 })], red({}));
  const old = world.submitMany(2, RED);
  world.scheduler.configure({ ...SETTINGS, ...red({ maxRunning: 2 }) });
  const waits = world.submit(RED);
  // Its user is in no team any more.
  const free = world.submit({ user: "ada", team: null });
  assert.deepEqual([waits.status, free.status], ["queued", "running"]);
  world.scheduler.finished(free, COMPLETED);
  assert.equal(waits.status, "queued");
  world.scheduler.finished(old[0]!, COMPLETED);
  assert.equal(waits.status, "running");
  const more = world.submit(RED);
  assert.equal(more.status, "queued");
  world.scheduler.configure(SETTINGS);
  assert.equal(more.status, "running");
});

test("tasks of a team that wait are bounded together, and the refusal names the team and the limit", () => {
  const world = new World([facts(0, { slots: 1 })], red({ maxQueued: 3, maxRunning: 1 }));
  world.submitMany(2, RED);
  world.submitMany(2, { user: "bob", team: "red" });
  const refused = refusalOf(() => world.submit({ user: "eve", team: "red" }));
  assert.deepEqual([refused.code, refused.retryAfter], ["rate_limited", 10]);
  assert.equal(
    refused.message,
    "There is no room for 1 more: 3 of at most 3 tasks of the team red wait (callers.teams.red.max_queued). Try again in 10 s.",
  );
  world.submit({ user: "eve" });
  const batch = Array.from({ length: 5 }, () => world.task({ ...RED, batchId: "b" }));
  const never = refusalOf(() => world.scheduler.submit(batch, "split"));
  assert.equal(never.code, "invalid_input");
  assert.match(never.message, /5 items; the team red may have 4: 3 waiting \(callers\.teams\.red\.max_queued\)/);
});

test("submissions count in the limits of user and team, and the one that lasts longest is named", () => {
  let now = 0;
  const clock = { now: () => now, ahead: 0 };
  const all = new Callers({ limitsOf: () => SIXTY, ...red({ requestsPerMinute: 2 }) }, clock);
  all.countRequest("ada", "red");
  all.countRequest("bob", "red");
  const refused = refusalOf(() => all.countRequest("eve", "red"));
  assert.equal(refused.retryAfter, 30);
  assert.equal(
    refused.message,
    "The team red may have 2 submissions a minute (callers.teams.red.requests_per_minute). Try again in 30 s.",
  );
  assert.equal(all.ratesOf("eve", null).requests?.remaining, 60, "what a team refuses counts for nobody");
  assert.deepEqual([all.ratesOf("ada", "red").requests?.limit, all.ratesOf("ada", null).requests?.limit], [2, 60]);
  now += 30_000;
  all.countRequest("eve", "red");
});

test("tokens of a minute are taken from user and team, corrected at a task's end, and given back", () => {
  const world = new World([facts(0, { slots: 8 })], red({ tokensPerMinute: 30 }));
  const left = (): number | undefined => world.scheduler.callers.ratesOf("zoe", "red").tokens?.remaining;
  const task = world.submit(RED);
  const taken = 30 - left()!;
  assert.ok(taken > 2, `${taken}`);
  world.submit({ user: "bob", team: "red" });
  const refused = refusalOf(() => world.submitMany(2, { user: "eve", team: "red" }));
  assert.match(refused.message, /^The team red may have 30 tokens a minute \(callers\.teams\.red\.tokens_per_minute\)/);
  const before = left()!;
  world.scheduler.finished(task, COMPLETED);
  assert.equal(left(), before + taken - 2);
  world.submit({ user: "eve" });
});
