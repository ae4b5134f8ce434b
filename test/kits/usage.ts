/* What every store promises about usage (src/store/usage.ts). */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type Store } from "../../src/store/store.ts";
import { newUse, type TaskUse } from "../../src/task-use.ts";
import { type Task, type TaskStatus } from "../../src/task.ts";
import { addUsage, noUsage, USAGE_COLUMNS, type UsageFilter, type UsageRow } from "../../src/store/usage.ts";
import { cancel, complete, type MakePlace, newTask, opened, run, turn } from "../helpers/store.ts";

const HOUR = 3_600_000;
/** An hour of Unix time, in which the first tasks end. */
const START = 472_222;
const EVERYTHING: UsageFilter = { from: 0, to: 2 ** 40, user: undefined, by: USAGE_COLUMNS };

/** A task that runs, and has cost so much. */
function running(seq: number, use: Partial<TaskUse> = {}, fields: Parameters<typeof newTask>[1] = {}): Task {
  const task = run(newTask(seq, { createdAt: START * HOUR + seq, createdClock: START * HOUR + seq, ...fields }));
  task.use = { ...newUse(), ...use };
  return task;
}

/** All rows, each key once, in the order of the columns. */
async function rowsOf({ usage }: Store, filter: Partial<UsageFilter> = {}, atOnce?: number): Promise<UsageRow[]> {
  const rows = new Map<string, UsageRow>();
  for await (const part of usage.sums({ ...EVERYTHING, ...filter }, atOnce))
    for (const row of part) {
      const others = rows.get(nameOf(row));
      if (others === undefined) rows.set(nameOf(row), { ...row });
      else addUsage(others, row);
    }
  return [...rows.values()].toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
}

function nameOf(row: UsageRow): string {
  return JSON.stringify(USAGE_COLUMNS.map((column) => row[column]));
}

const ONE: UsageRow = {
  hour: START,
  user: "ada",
  team: null,
  key: null,
  model: null,
  gpu: 3,
  completed: 1,
  failed: 0,
  canceled: 0,
  promptTokens: 12,
  completionTokens: 34,
  cachedTokens: 5,
  gpuSeconds: 0.25,
  energyJoules: 75.5,
  queuedSeconds: 0.01,
};
const USE: Partial<TaskUse> = {
  queued: 0.01,
  promptTokens: 12,
  completionTokens: 34,
  cachedTokens: 5,
  gpuSeconds: 0.25,
  energyJoules: 75.5,
};

/** @param name of the store @param make see `MakePlace` */
export function exerciseUsage(name: string, make: MakePlace): void {
  describe(name, () => {
    test("a task is counted with its end, in the hour of it, and not before", async (t) => {
      const world = await opened(t, make);
      const task = running(1, USE);
      await world.store.save([task]);
      assert.deepEqual(await rowsOf(world.store), []);
      await world.store.save([complete(task)]);
      assert.deepEqual(await rowsOf(world.store), [ONE]);
      assert.deepEqual(await rowsOf((await world.restart()).store), [ONE]);
    });

    test("a task whose end is written again is counted once, by whichever object it is written", async (t) => {
      const world = await opened(t, make);
      const task = complete(running(1, USE));
      await Promise.all([world.store.save([task]), world.store.save([task])]);
      await world.store.save([task]);
      await world.store.save([(await world.store.tasks.get(task.id))!]);
      const { store } = await world.restart();
      await store.save([(await store.tasks.get(task.id))!]);
      assert.deepEqual(await rowsOf(store), [ONE]);
    });

    test("a task that goes on after a restart is counted with its end there", async (t) => {
      const world = await opened(t, make);
      await world.store.save([running(1, USE)]);
      const { store, first } = await world.restart();
      await store.save([complete(first.live[0]!)]);
      assert.deepEqual(await rowsOf(store), [ONE]);
    });

    test("an end that could not be written is not counted, and is once it is written", async (t) => {
      const { store } = await opened(t, make);
      const [old, task] = [running(1), running(2, USE, { user: "bob" })];
      await store.save([old, task]);
      complete(task);
      await assert.rejects(store.save([task, newTask(3, { id: old.id })]), { code: "store_unavailable" });
      assert.deepEqual(await rowsOf(store), []);
      await store.save([task]);
      assert.deepEqual(await rowsOf(store), [{ ...ONE, user: "bob" }]);
    });

    test("usage is told apart by user, team, key, model and GPU, and stays when its task is removed", async (t) => {
      const { store } = await opened(t, make);
      const one = complete(running(1, USE));
      const other = complete(running(2, USE, { team: "sales", keyName: "laptop", ranModel: "m" }));
      const never = cancel(newTask(3, { createdAt: START * HOUR, createdClock: START * HOUR, model: "asked" }));
      await store.save([one, other, never]);
      await store.tasks.remove(one.id);
      const waited = { ...noUsage(), completed: 0, canceled: 1, queuedSeconds: 0.02 };
      assert.deepEqual(await rowsOf(store), [
        { hour: START, user: "ada", team: "sales", key: "laptop", model: "m", gpu: 3, ...sumsOf(ONE) },
        { hour: START, user: "ada", team: null, key: null, model: "asked", gpu: null, ...waited },
        ONE,
      ]);
    });

    test("what is not known of a task is left out of a sum, and null where it is known of none", async (t) => {
      const { store } = await opened(t, make);
      const [unknown, known] = [complete(running(1)), complete(running(2, { energyJoules: 7, promptTokens: 3 }))];
      await store.save([unknown]);
      const [before] = await rowsOf(store);
      assert.deepEqual([before?.promptTokens, before?.cachedTokens, before?.energyJoules], [null, null, null]);
      await store.save([known]);
      await store.save([complete(running(3)), complete(running(4, { energyJoules: 1 }))]);
      const [after] = await rowsOf(store);
      assert.deepEqual(
        [after?.completed, after?.promptTokens, after?.cachedTokens, after?.energyJoules],
        [4, 3, null, 8],
      );
    });

    test("sums are those of the tasks, however they are asked for and read", async (t) => {
      const end = fc.record({
        user: fc.constantFrom("ada", "bob", "ş"),
        team: fc.constantFrom(null, "sales", "research"),
        keyName: fc.constantFrom(null, "k", "l"),
        ranModel: fc.constantFrom(null, "m"),
        hour: fc.nat(5),
        status: fc.constantFrom<TaskStatus>("completed", "failed", "canceled"),
        tokens: fc.nat(1000),
        known: fc.boolean(),
        save: fc.boolean(),
      });
      const columns = fc.subarray([...USAGE_COLUMNS]);
      const { store } = await opened(t, make);
      let seq = 0;
      let start = START;
      const property = fc.asyncProperty(
        fc.array(end, { maxLength: 40 }),
        columns,
        fc.option(fc.constantFrom("ada", "bob"), { nil: undefined }),
        fc.option(fc.constantFrom("sales", "none"), { nil: undefined }),
        fc.nat(5),
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 8 }),
        async (ends, by, user, team, from, length, atOnce) => {
          start += 100;
          const expected = new Map<string, UsageRow>();
          const tasks: Task[] = [];
          for (const { hour, status, tokens, known, save, ...fields } of ends) {
            const use = { gpuSeconds: tokens / 8, completionTokens: tokens, energyJoules: known ? tokens : null };
            const task = running(++seq, use, fields);
            task.status = status;
            task.finishedAt = task.finishedClock = (start + hour) * HOUR + 5;
            tasks.push(task);
            if (save) await store.save(tasks.splice(0));
            if ((user !== undefined && fields.user !== user) || (team !== undefined && fields.team !== team)) continue;
            if (hour < from || hour >= from + length) continue;
            const all = { ...fields, hour: start + hour, key: fields.keyName, model: fields.ranModel, gpu: 3 };
            const key = Object.fromEntries(USAGE_COLUMNS.map((one) => [one, by.includes(one) ? all[one] : null]));
            const sums = { ...noUsage(), ...use, [status]: 1 };
            const row = expected.get(JSON.stringify(key)) ?? ({ ...key, ...noUsage() } as UsageRow);
            addUsage(row, sums);
            expected.set(JSON.stringify(key), row);
          }
          await store.save(tasks.splice(0));
          const filter = { by, user, team, from: start + from, to: start + from + length };
          const wanted = [...expected.values()].toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
          assert.deepEqual(await rowsOf(store, filter, atOnce), wanted);
        },
      );
      await fc.assert(property, { numRuns: 25 });
    });

    test("a sweep removes hours that have ended long ago, in small steps, and no others", async (t) => {
      const { store } = await opened(t, make);
      const tasks = Array.from({ length: 1200 }, (_, index) => complete(running(1, USE, { user: `u${index}` })));
      const kept = complete(running(2, USE));
      kept.finishedAt = kept.finishedClock = (START + 1) * HOUR;
      for (const [index, task] of tasks.entries()) Object.assign(task, { seq: index + 10 });
      await store.save([...tasks, kept]);
      const limits = { endedBefore: 0, maxEnded: null, keysBefore: 0, usageBefore: (START + 2) * HOUR - 1 };
      let steps = 1;
      for (; await store.sweep(limits); steps++) await turn();
      assert.ok(steps > 2, `${steps} steps`);
      assert.deepEqual(await rowsOf(store), [{ ...ONE, hour: START + 1 }]);
      while (await store.sweep({ ...limits, usageBefore: (START + 2) * HOUR }));
      assert.deepEqual(await rowsOf(store), []);
    });
  });
}

function sumsOf({ hour: _hour, user: _user, team: _team, key: _key, model: _model, gpu: _gpu, ...sums }: UsageRow) {
  return sums;
}
