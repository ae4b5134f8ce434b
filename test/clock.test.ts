/** The two clocks, and where a run's clock begins. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { isoTime, ServerClock, type Step } from "../src/common/clock.ts";
import { begin, gapBefore } from "../src/store/gap.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const WEEK = 7 * DAY;
const NOW = 1_700_000_000_000;

/** Both sources, and a clock over them. */
function world(start: number | null = null) {
  const source = { steady: 5000.5, wall: NOW };
  const steps: Step[] = [];
  const clock = new ServerClock(start, (step) => steps.push(step), {
    steady: () => source.steady,
    wall: () => source.wall,
  });
  const pass = (milliseconds: number): void => {
    source.steady += milliseconds;
    source.wall += milliseconds;
  };
  return { source, steps, clock, pass };
}

for (const step of [HOUR, -HOUR, WEEK, -WEEK]) {
  test(`a step of the wall clock by ${step / HOUR} h does not move the server's clock, and is told once`, () => {
    const { source, steps, clock, pass } = world();
    pass(1000);
    assert.equal(clock.now(), NOW + 1000);
    assert.equal(clock.ahead, 0);
    source.wall += step;
    pass(1);
    assert.equal(clock.now(), NOW + 1001);
    assert.equal(clock.ahead, step);
    pass(1000);
    clock.check();
    assert.equal(clock.now() + clock.ahead, source.wall);
    assert.deepEqual(steps, [{ from: NOW + 1001, to: NOW + 1001 + step }]);
  });
}

test("a sleep of the machine looks like a step forward: the server's clock stands still meanwhile", () => {
  const { source, clock } = world();
  source.wall += 8 * HOUR;
  assert.equal(clock.now(), NOW);
  assert.equal(clock.ahead, 8 * HOUR);
});

test("a drift is no step, and what is shown follows it", () => {
  const { source, steps, clock, pass } = world();
  for (let minute = 0; minute < 1000; minute++) {
    pass(60_000);
    source.wall += 20;
    assert.ok(Math.abs(clock.now() + clock.ahead - source.wall) < 250);
  }
  assert.deepEqual(steps, []);
  assert.equal(clock.now(), NOW + 60_000_000);
});

test("a look that was held up between the two clocks says nothing", () => {
  let steady = 0;
  let held = 0;
  const steps: Step[] = [];
  // Whoever reads the wall clock is held up for a while.
  const source = { steady: () => steady, wall: () => NOW + (steady += held) };
  const clock = new ServerClock(null, (step) => steps.push(step), source);
  held = 5000;
  clock.check();
  held = 0;
  clock.check();
  assert.deepEqual(steps, []);
});

test("a run goes on from where the last one was, by what the wall clock says has passed", () => {
  const held = null;
  const recorded = { now: NOW, wall: NOW + HOUR, held };
  const past = { recorded, newest: NOW - 5 };
  assert.deepEqual(begin(past, NOW + 3 * HOUR, WEEK), { now: NOW + 2 * HOUR, held });
  assert.deepEqual(begin(past, NOW + HOUR + WEEK, WEEK), { now: NOW + WEEK, held });
  // By less than a second behind is what time servers do.
  assert.deepEqual(begin(past, NOW + HOUR - 900, WEEK), { now: NOW, held });
  // Killed before it could record what it had stored.
  assert.deepEqual(begin({ recorded, newest: NOW + 7 }, NOW + HOUR, WEEK), { now: NOW + 7, held });
});

test("a wall clock behind the last time, or further ahead than tasks are kept, is not believed", () => {
  const recorded = { now: NOW, wall: NOW + HOUR, held: null };
  const last = { now: NOW, wall: NOW + HOUR };
  const past = { recorded, newest: NOW };
  for (const wall of [NOW, NOW + HOUR - 2000, 0, NOW + HOUR + WEEK + 1, NOW + HOUR + 8 * DAY]) {
    assert.deepEqual(begin(past, wall, WEEK), { now: NOW, held: last });
  }
});

test("a wall clock that the database's own contradicts is that of another machine, and does not count", () => {
  const recorded = { now: NOW, wall: NOW, held: null };
  const past = { recorded, newest: NOW + 5, idle: 4000 };
  for (const off of [2 * HOUR, -2 * HOUR, 2 * WEEK])
    assert.deepEqual(begin(past, NOW + off, WEEK), { now: NOW + 4005, held: null });
  const unbelievable = { ...past, idle: WEEK + 1 };
  assert.deepEqual(begin(unbelievable, NOW - HOUR, WEEK), { now: NOW + 5, held: { now: NOW + 5, wall: NOW + 5 } });
  // The record is up to a minute older than the end of its run.
  assert.deepEqual(begin(past, NOW + 64_000, WEEK), { now: NOW + 64_000, held: null });
});

test("however shortly tasks are kept, to be off for a day is no reason for distrust", () => {
  const past = { recorded: { now: NOW, wall: NOW, held: null }, newest: null };
  assert.deepEqual(begin(past, NOW + DAY, 1000), { now: NOW + DAY, held: null });
  assert.notEqual(begin(past, NOW + DAY + 1, 1000).held, null);
});

test("a store without a record is believed, unless the wall clock is behind what it holds", () => {
  assert.deepEqual(begin({ recorded: null, newest: null }, NOW, WEEK), { now: NOW, held: null });
  const old = { recorded: null, newest: NOW };
  assert.deepEqual(begin(old, NOW + 80 * DAY, WEEK), { now: NOW + 80 * DAY, held: null });
  assert.deepEqual(begin(old, NOW - HOUR, WEEK), { now: NOW, held: { now: NOW, wall: NOW } });
});

test("a run that ends before its doubts are settled leaves them to the next one", () => {
  const last = { now: NOW, wall: NOW };
  // Eight days ahead, and off again after ten minutes.
  const recorded = { now: NOW + 600_000, wall: NOW + 8 * DAY + 600_000, held: last };
  const past = { recorded, newest: NOW + 1000 };
  assert.deepEqual(begin(past, NOW + 8 * DAY + 700_000, WEEK), { now: NOW + 600_000, held: last });
  // Set right meanwhile: all is well, and the clock has not gone back.
  assert.deepEqual(begin(past, NOW + 700_000, WEEK), { now: NOW + 700_000, held: null });
});

test("how long there was no server is what the wall clock shows more than the server's clock", () => {
  const held = { now: NOW, wall: NOW + 5 };
  assert.equal(gapBefore(held, { now: NOW + HOUR, wall: NOW + 5 + HOUR + 8 * DAY }), 8 * DAY);
  assert.equal(gapBefore(held, { now: NOW + HOUR, wall: NOW + 5 + HOUR }), 0);
  assert.equal(gapBefore(held, { now: NOW + HOUR, wall: NOW - DAY }), 0);
});

test("one place tells the time", () => {
  const folder = join(import.meta.dirname, "../src");
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  const asking = /\bDate\.now\b|\bnew Date\(\s*\)|(?<!new )\bDate\(|\{[^}]*\bnow\b[^}]*\} = Date\b/;
  const found = files.filter((name) => asking.test(readFileSync(join(folder, name), "utf8")));
  assert.deepEqual(
    found,
    [join("common", "clock.ts")],
    "ask clock.ts: the server's clock for what is to happen, the wall clock for showing",
  );
});

test("a time is written as a date writes it, whatever was written before", () => {
  const times = fc.array(
    fc.oneof(fc.integer({ min: 0, max: 253_402_300_799_999 }), fc.integer({ min: NOW, max: NOW + 3000 })),
  );
  fc.assert(
    fc.property(times, (all) => {
      for (const time of all) assert.equal(isoTime(time), new Date(time).toISOString());
    }),
  );
  assert.equal(isoTime(NOW + 7.9), new Date(NOW + 7.9).toISOString());
  assert.throws(() => isoTime(Number.NaN), RangeError);
});
