/* What every store promises about batches, and about tasks that are removed (src/store/tasks.ts). */
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import fc from "fast-check";
import { type Store } from "../../src/store/store.ts";
import { type Batch, type BatchLines, type Task, BATCH_EVENTS } from "../../src/task.ts";
import {
  cancel,
  complete,
  EMPTY,
  EVERYTHING,
  type MakePlace,
  newBatch,
  newDelivery,
  newTask,
  opened,
  run,
  storedSeqs,
  withoutText,
  type World,
} from "../helpers/store.ts";
import { anyId, maybe, plain, text, time } from "./arbitraries.ts";
import { event, NOW } from "./records.ts";

/** @param name of the store @param make see `MakePlace` */
export function exerciseBatches(name: string, make: MakePlace): void {
  describe(name, () => {
    test("every field of a batch comes back as it was", async (t) => {
      const world = await opened(t, make);
      const property = fc.asyncProperty(anyBatch(), async (batch) => {
        // A task of its own, so that an ended batch is not one without tasks.
        const task = newTask(await nextSeq(world.store), { batchId: batch.id });
        await world.store.save([task], [{ kind: "batch", batch }]);
        assert.deepEqual((await world.store.tasks.batch(batch.id))?.batch, batch);
      });
      await fc.assert(property, { numRuns: 50 });
    });

    test("of a batch that is not there nothing is known", async (t) => {
      const { store } = await opened(t, make);
      assert.equal(await store.tasks.batch("b"), null);
      assert.deepEqual(await store.tasks.endsOf("b", 0, 10), []);
    });

    test("unfinished batches come back in submission order", async (t) => {
      const world = await opened(t, make);
      const batches = [7, 3, 5].map((seq) => newBatch([newTask(seq, { batchId: `b${seq}` })]));
      for (const batch of batches) await world.store.save([], [{ kind: "batch", batch }]);
      const { first } = await world.restart();
      assert.deepEqual(
        first.batches.map((batch) => batch.id),
        ["b3", "b5", "b7"],
      );
    });

    test("a batch knows how many of its tasks are in each status, and how many wait without a GPU", async (t) => {
      const { store } = await opened(t, make);
      const tasks = [1, 2, 3, 4, 5, 6, 7].map((seq) => newTask(seq, { batchId: "b" }));
      const [, , bound, running, done, ...canceled] = tasks as [Task, Task, Task, Task, Task, Task, Task];
      bound.boundTo = 1;
      run(running);
      complete(run(done));
      canceled.forEach(cancel);
      await store.save(
        [...tasks, newTask(8), newTask(9, { batchId: "c" })],
        [{ kind: "batch", batch: newBatch(tasks) }],
      );
      assert.deepEqual(await store.tasks.batch("b"), {
        batch: newBatch(tasks),
        counts: { queued: 3, running: 1, completed: 1, failed: 0, canceled: 2 },
        unbound: 2,
      });
    });

    test("ended tasks of a batch come page by page in the order of their ends", async (t) => {
      const { store } = await opened(t, make);
      const ends = [30, 10, null, 20, 10, 40];
      const tasks = ends.map((end, index) => {
        const task = newTask(index + 1, { batchId: "b" });
        return end === null ? task : { ...complete(run(task)), finishedAt: NOW + end, finishedClock: NOW + end };
      });
      await store.save([...tasks, cancel(newTask(9)), cancel(newTask(10, { batchId: "c" }))]);
      const expected = [2, 5, 4, 1, 6].map((seq) => withoutText(tasks[seq - 1] as Task));
      assert.deepEqual(await store.tasks.endsOf("b", 0, 100), expected);
      assert.deepEqual(await store.tasks.endsOf("b", 1, 2), expected.slice(1, 3));
      assert.deepEqual(await store.tasks.endsOf("b", 5, 2), []);
    });

    test("only a task that has ended can be removed; it is gone from everything, with its deliveries", async (t) => {
      const world = await opened(t, make);
      const { store } = world;
      const [queued, running, done, kept] = [
        newTask(1),
        run(newTask(2)),
        complete(run(newTask(3))),
        cancel(newTask(4)),
      ];
      const deliveries = [queued, done, kept].map((task) => event(newDelivery(task.id)));
      await store.save([queued, running, done, kept], deliveries);
      assert.deepEqual(await Promise.all([queued, running, done].map((task) => store.tasks.remove(task.id))), [
        false,
        false,
        true,
      ]);
      assert.equal(await store.tasks.remove(done.id), false);
      assert.equal(await store.tasks.remove("nothing"), false);
      for (const restarted of [false, true]) {
        const { store: after } = restarted ? await world.restart() : world;
        assert.equal(await after.tasks.get(done.id), null);
        assert.deepEqual(await storedSeqs(after), [4, 2, 1]);
        assert.equal((await after.tasks.list({ ...EVERYTHING, status: "completed" })).total, 0);
        assert.equal((await after.tasks.list({ ...EVERYTHING, user: "ada" })).total, 3);
        assert.deepEqual(await after.outbox.deliveriesOf(done.id), []);
        assert.equal((await after.outbox.pendingDeliveries(10)).length, 2);
      }
    });

    test("a seq is never given again, though its task was removed", async (t) => {
      const world = await opened(t, make);
      const tasks = [cancel(newTask(7)), cancel(newTask(8)), cancel(newTask(9))];
      await world.store.save(tasks);
      await world.store.tasks.remove(tasks[2]?.id ?? "");
      await world.store.tasks.remove(tasks[0]?.id ?? "");
      assert.deepEqual({ ...(await world.restart()).first, past: EMPTY.past }, { ...EMPTY, lastSeq: 9 });
      while (await world.store.sweep({ endedBefore: NOW * 2, maxEnded: null, keysBefore: 0, usageBefore: 0 }));
      assert.deepEqual({ ...(await world.restart()).first, past: EMPTY.past }, { ...EMPTY, lastSeq: 9 });
      await world.store.save([cancel(newTask(10))]);
      assert.equal((await world.restart()).first.lastSeq, 10);
    });

    test("a batch that has ended goes with its last task, and its deliveries with it", async (t) => {
      for (const removal of ["remove", "sweep"] as const) {
        const { world, tasks, batch } = await endedBatch(t, make);
        const [first, last] = tasks as [Task, Task];
        await world.store.tasks.remove(first.id);
        assert.deepEqual((await world.store.tasks.batch(batch.id))?.counts.canceled, 1);
        assert.equal((await world.store.outbox.deliveriesOf(batch.id)).length, 1);
        if (removal === "remove") await world.store.tasks.remove(last.id);
        else while (await world.store.sweep({ endedBefore: NOW * 2, maxEnded: null, keysBefore: 0, usageBefore: 0 }));
        assert.equal(await world.store.tasks.batch(batch.id), null, removal);
        assert.deepEqual(await world.store.outbox.deliveriesOf(batch.id), [], removal);
        assert.equal((await world.store.tasks.list({ ...EVERYTHING, batchId: batch.id })).total, 0);
      }
    });

    test("a batch whose end is written after its last task was removed goes then", async (t) => {
      const { store } = await opened(t, make);
      const task = cancel(newTask(1, { batchId: "b" }));
      const batch = newBatch([task]);
      await store.save([task], [{ kind: "batch", batch }, event(newDelivery("b"))]);
      await store.tasks.remove(task.id);
      assert.deepEqual((await store.tasks.batch("b"))?.batch, batch);
      batch.finishedAt = NOW;
      await store.save([], [{ kind: "batch", batch }]);
      assert.equal(await store.tasks.batch("b"), null);
      assert.deepEqual(await store.outbox.deliveriesOf("b"), []);
    });
  });
}

async function endedBatch(t: TestContext, make: MakePlace): Promise<{ world: World; tasks: Task[]; batch: Batch }> {
  const world = await opened(t, make);
  const tasks = [cancel(newTask(1, { batchId: "b" })), cancel(newTask(2, { batchId: "b" }))];
  const batch = newBatch(tasks, { finishedAt: NOW });
  await world.store.save([...tasks, newTask(3)], [{ kind: "batch", batch }, event(newDelivery("b"))]);
  return { world, tasks, batch };
}

async function nextSeq(store: Store): Promise<number> {
  return (await store.tasks.list(EVERYTHING)).total + 1;
}

function anyBatch(): fc.Arbitrary<Batch> {
  const webhook = fc.record({ url: text(), events: fc.subarray([...BATCH_EVENTS]) }, { noNullPrototype: true });
  return fc.record(
    {
      id: anyId(),
      user: text(),
      team: maybe(text()),
      firstSeq: fc.nat(),
      size: fc.nat(),
      whole: fc.boolean(),
      webhook: maybe(webhook),
      createdAt: time(),
      finishedAt: maybe(time()),
      lines: maybe(anyLines()),
    },
    { noNullPrototype: true },
  );
}

function anyLines(): fc.Arbitrary<BatchLines> {
  const why = fc.constantFrom("canceled" as const, "expired" as const, "failed" as const);
  return plain<BatchLines>({
    toCome: fc.nat(),
    failed: fc.nat(),
    canceled: fc.nat(),
    place: fc.nat(),
    closed: maybe(plain<NonNullable<BatchLines["closed"]>>({ why, at: time() })),
  });
}
