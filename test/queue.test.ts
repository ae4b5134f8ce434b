/** The containers of the scheduler against plain lists. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Alarm, Alarms } from "../src/scheduler/alarms.ts";
import { Caller } from "../src/scheduler/callers.ts";
import { type Entry, EntryQueue, SizedQueue, Sizes } from "../src/scheduler/queue.ts";
import { type Rank, Ranking } from "../src/scheduler/ranking.ts";
import { TokenBucket } from "../src/scheduler/token-bucket.ts";
import { NO_LIMITS } from "./helpers/scheduling.ts";
import { newTask } from "./helpers/store.ts";

test("property: a queue is a list in the order of seqs, whatever comes, goes and comes back", () => {
  const step = fc.record({ add: fc.boolean(), which: fc.nat(5000) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300, size: "max" }), fc.boolean(), (steps, many) => {
      const queue = new EntryQueue();
      const entries: Entry[] = Array.from({ length: 200 }, (_, seq) => newTask(seq + 0.001));
      const list = new Set<Entry>();
      // So many that it is in several pieces, between which the others come and go; the last ones first, so that pieces are cut in two.
      const others: Entry[] = Array.from({ length: many ? 3000 : 0 }, (_, index) => newTask(80 - index / 100));
      for (const entry of others) queue.insert(list.add(entry) && entry);
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

test("property: in a queue that is kept apart by size, what fits is found in the order of seqs, whatever the sizes are told of", () => {
  const text = fc.constantFrom("", "x", "x".repeat(9), "x".repeat(10), "x".repeat(11), "é".repeat(5), "日".repeat(4));
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant("change" as const), which: fc.nat(99) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("limit" as const), bytes: fc.integer({ min: 0, max: 13 }) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("find" as const), room: fc.nat(13), odd: fc.boolean() }) },
  );
  const texts = fc.array(fc.array(text, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 100 });
  fc.assert(
    fc.property(texts, fc.array(step, { maxLength: 200, size: "max" }), (all, steps) => {
      const sizes = new Sizes();
      const queue = new SizedQueue(sizes);
      // Those with several texts are batches that wait as one.
      const entries = all.map((own, seq): Entry => {
        const tasks = own.map((one) => newTask(seq, { text: one }));
        return tasks.length === 1 ? tasks[0]! : { seq, tasks };
      });
      const bytesOf = (entry: Entry): number => Math.max(...all[entry.seq]!.map((one) => Buffer.byteLength(one)));
      const list = new Set<Entry>();
      for (const event of steps) {
        if (event.do === "change") {
          const entry = entries[event.which % entries.length]!;
          if (list.delete(entry)) queue.remove(entry);
          else queue.insert(list.add(entry) && entry);
          assert.equal(queue.has(entry), list.has(entry));
        } else if (event.do === "limit") {
          const split = sizes.split(event.bytes);
          if (split !== null) queue.split(split);
        } else {
          const fits = (entry: Entry): boolean => bytesOf(entry) <= event.room && (!event.odd || entry.seq % 2 === 1);
          const classes = Array.from({ length: sizes.count }, (_, index) => sizes.rangeOf(index)[0] <= event.room);
          const wanted = [...list].filter(fits).toSorted((a, b) => a.seq - b.seq)[0];
          assert.deepEqual([queue.find(null, fits), queue.find(classes, fits)], [wanted, wanted]);
        }
      }
      assert.deepEqual(
        [...queue],
        [...list].toSorted((a, b) => a.seq - b.seq),
      );
    }),
  );
});

test("property: each class has the sizes from the limit before it to its own, and no limit is made twice", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(60), { maxLength: 60 }), (limits) => {
      const sizes = new Sizes();
      for (const limit of limits) sizes.split(limit);
      const ranges = Array.from({ length: sizes.count }, (_, index) => sizes.rangeOf(index));
      assert.deepEqual([ranges[0]![0], ranges.at(-1)![1]], [0, Infinity]);
      for (const [index, [least]] of ranges.entries()) if (index > 0) assert.equal(least, ranges[index - 1]![1] + 1);
      assert.equal(sizes.split(Infinity), null);
      if (new Set(limits).size <= 32) assert.equal(sizes.count, new Set(limits).size + 1);
      else assert.equal(sizes.count, 33, "more fronts than that cost more than they save");
      for (let bytes = 0; bytes <= 60; bytes++) {
        const [least, most] = ranges[sizes.classOf(newTask(1, { text: "x".repeat(bytes) }))]!;
        assert.ok(least <= bytes && bytes <= most);
      }
    }),
  );
});

test("property: callers are ranked by tag, then by the oldest that waits, whoever comes and goes", () => {
  const place = fc.record({ tag: fc.integer({ min: 0, max: 3 }), oldest: fc.nat(3) });
  fc.assert(
    fc.property(fc.array(fc.record({ which: fc.nat(9), place }), { maxLength: 100 }), (steps) => {
      const ranking = new Ranking<Caller>();
      const callers = Array.from(
        { length: 10 },
        (_, number) => new Caller(`caller${number}`, number, NO_LIMITS, () => 0),
      );
      const ranks = new Map<Caller, Rank<Caller>>();
      for (const { which, place: to } of steps) {
        const caller = callers[which]!;
        const rank = ranks.get(caller);
        if (rank !== undefined) ranking.remove(rank);
        if (ranks.delete(caller)) continue;
        ranks.set(caller, { caller, ...to });
        ranking.add(ranks.get(caller)!);
        const wanted = [...ranks.values()].toSorted(
          (a, b) => a.tag - b.tag || a.oldest - b.oldest || a.caller.number - b.caller.number,
        );
        assert.deepEqual([...ranking], wanted);
        assert.equal(ranking.highest, wanted.at(-1)!.tag);
      }
      for (const rank of ranks.values()) ranking.remove(rank);
      assert.deepEqual([[...ranking], ranking.highest], [[], -Infinity]);
    }),
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
