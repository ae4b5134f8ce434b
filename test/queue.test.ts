/** The containers of the scheduler against plain lists. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Alarm, Alarms } from "../src/scheduler/alarms.ts";
import { type Entry, EntryQueue } from "../src/scheduler/queue.ts";
import { TokenBucket } from "../src/scheduler/token-bucket.ts";
import { newTask } from "./helpers/store.ts";

test("property: a queue is a list in the order of seqs, whatever comes, goes and comes back", () => {
  const step = fc.record({ add: fc.boolean(), which: fc.nat(5000) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300, size: "max" }), fc.boolean(), (steps, many) => {
      const queue = new EntryQueue();
      const entries: Entry[] = Array.from({ length: 200 }, (_, seq) => newTask(seq));
      const list = new Set<Entry>();
      // So many that the places of those that have gone are cut out again.
      const others: Entry[] = Array.from({ length: many ? 3000 : 0 }, (_, index) => newTask(1000 + index));
      for (const entry of others) queue.insert(entry);
      for (const entry of others) queue.remove(entry);
      for (const { add, which } of steps) {
        const entry = entries[which % entries.length]!;
        if (add && !list.has(entry)) queue.insert(list.add(entry) && entry);
        else assert.equal(queue.remove(entry), list.delete(entry));
        const inOrder = [...list].toSorted((a, b) => a.seq - b.seq);
        assert.deepEqual([queue.size, queue.find(() => true)], [list.size, inOrder[0]]);
        assert.equal(queue.has(entry), list.has(entry));
      }
      assert.deepEqual(
        [...queue],
        [...list].toSorted((a, b) => a.seq - b.seq),
      );
    }),
    { numRuns: 50 },
  );
});

test("property: alarms ring in the order of their times, and none before its time", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(100)), fc.integer({ min: 0, max: 100 }), fc.nat(3), (times, now, kept) => {
      const alarms = new Alarms();
      const task = newTask(1);
      const all: Alarm[] = times.map((at) => ({ at, kind: "deadline", task }));
      for (const alarm of all) alarms.add(alarm);
      const matters = ({ at }: Alarm): boolean => kept === 0 || at % kept === 0;
      alarms.keepOnly(matters);
      const due = all.filter((alarm) => matters(alarm) && alarm.at <= now).map(({ at }) => at);
      const rung: number[] = [];
      for (let alarm = alarms.takeDue(now); alarm !== undefined; alarm = alarms.takeDue(now)) rung.push(alarm.at);
      assert.deepEqual(
        rung,
        due.toSorted((a, b) => a - b),
      );
      const left = all.filter((alarm) => matters(alarm) && alarm.at > now).map(({ at }) => at);
      assert.deepEqual([alarms.size, alarms.next], [left.length, Math.min(Infinity, ...left)]);
    }),
  );
});

test("property: of what a bucket lets through no minute has more than twice its worth, and waiting as told is enough", () => {
  const take = fc.record({ pause: fc.nat(20_000), amount: fc.integer({ min: 1, max: 100 }) });
  fc.assert(
    fc.property(fc.array(take, { minLength: 1, maxLength: 50 }), (takes) => {
      const bucket = new TokenBucket(100, 0);
      const taken: [at: number, amount: number][] = [];
      let now = 0;
      for (const { pause, amount } of takes) {
        now += pause;
        const seconds = bucket.secondsUntil(amount, now);
        if (seconds > 0) {
          now += Math.ceil(seconds) * 1000;
          assert.equal(bucket.secondsUntil(amount, now), 0);
        }
        bucket.take(amount, now);
        taken.push([now, amount]);
      }
      for (const [from] of taken) {
        const minute = taken.filter(([at]) => at >= from && at < from + 60_000);
        assert.ok(minute.reduce((sum, [, amount]) => sum + amount, 0) <= 200);
      }
    }),
  );
});

test("a clock that is set back empties no bucket and fills none", () => {
  const bucket = new TokenBucket(60, 100_000);
  bucket.take(60, 100_000);
  assert.equal(bucket.secondsUntil(1, 50_000), 1);
  assert.equal(bucket.secondsUntil(1, 51_000), 0);
});
