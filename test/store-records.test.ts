/* What every store promises about batches and what stands beside tasks (src/store/store.ts). */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, type TestContext, test } from "node:test";
import fc from "fast-check";
import type { IdempotencyRecord } from "../src/store/idempotency.ts";
import type { Delivery, WebhookSecret } from "../src/store/outbox.ts";
import type { Store, StoreRecord } from "../src/store/store.ts";
import { BATCH_EVENTS, type Batch, type Task } from "../src/task.ts";
import {
  cancel,
  complete,
  type Create,
  EMPTY,
  EVERYTHING,
  newBatch,
  newDelivery,
  newTask,
  opened,
  run,
  storedSeqs,
  STORES,
  turn,
  withoutText,
  type World,
} from "./helpers/store.ts";

const NOW = 1_700_000_000_000;
const SECRET: WebhookSecret = {
  user: "ada",
  secret: "whsec_bmV3",
  previous: "whsec_b2xk",
  previousUntil: NOW + 1,
  createdAt: NOW,
  shown: true,
};
const KEY: IdempotencyRecord = { user: "ada", key: "k", fingerprint: "f", answer: `{"task_id":"1"}`, createdAt: NOW };

for (const [name, create] of Object.entries(STORES)) {
  describe(name, () => {
    test("records come back, whether saved with tasks or alone, also after a restart", async (t) => {
      const world = await opened(t, create);
      const batch = newBatch([newTask(1, { batchId: "b" })], {
        webhook: { url: "https://x", events: ["task.failed"] },
      });
      const delivery = newDelivery("b");
      await world.store.save([newTask(1, { batchId: "b" })], [{ kind: "batch", batch }, idempotency(KEY)]);
      await world.store.save([], [event(delivery), secret(SECRET)]);
      for (const restarted of [false, true]) {
        const { store } = restarted ? await world.restart() : world;
        assert.deepEqual((await store.tasks.batch("b"))?.batch, batch);
        assert.deepEqual(await store.idempotency.find("ada", "k"), KEY);
        assert.deepEqual(await store.outbox.deliveriesOf("b"), [delivery]);
        assert.deepEqual(await store.outbox.secret("ada"), SECRET);
      }
    });

    test("every field of a record comes back as it was", async (t) => {
      const world = await opened(t, create);
      const property = fc.asyncProperty(
        anyBatch(),
        anyDelivery(),
        anySecret(),
        text(),
        async (batch, delivery, signing, key) => {
          const record = { ...KEY, user: signing.user, key, answer: delivery.body };
          // A task of its own, so that an ended batch is not one without tasks.
          const task = newTask(await nextSeq(world.store), { batchId: batch.id });
          await world.store.save(
            [task],
            [{ kind: "batch", batch }, event(delivery), secret(signing), idempotency(record)],
          );
          assert.deepEqual((await world.store.tasks.batch(batch.id))?.batch, batch);
          assert.deepEqual(await world.store.outbox.deliveriesOf(delivery.subject), [delivery]);
          assert.deepEqual(await world.store.outbox.secret(signing.user), signing);
          assert.deepEqual(await world.store.idempotency.find(signing.user, key), record);
        },
      );
      await fc.assert(property, { numRuns: 50 });
    });

    test("what is not there is null or empty", async (t) => {
      const { store } = await opened(t, create);
      assert.equal(await store.tasks.batch("b"), null);
      assert.deepEqual(await store.tasks.endsOf("b", 0, 10), []);
      assert.equal(await store.idempotency.find("ada", "k"), null);
      assert.deepEqual(await store.outbox.pendingDeliveries(10), []);
      assert.deepEqual(await store.outbox.deliveriesOf("b"), []);
      assert.equal(await store.outbox.secret("ada"), null);
    });

    test("tasks and records of a save that is refused are written neither, and those of others all", async (t) => {
      const { store } = await opened(t, create);
      const old = newTask(1);
      await store.save([old]);
      const outcomes = await Promise.allSettled([
        store.save([newTask(2, { batchId: "good" })], oneOfEach("good")),
        store.save([newTask(3, { batchId: "bad" }), newTask(4, { id: old.id })], oneOfEach("bad")),
        store.save([], oneOfEach("alone")),
      ]);
      assert.deepEqual(
        outcomes.map((outcome) => outcome.status),
        ["fulfilled", "rejected", "fulfilled"],
      );
      assert.deepEqual(await storedSeqs(store), [2, 1]);
      for (const [id, count] of [
        ["good", 1],
        ["bad", 0],
        ["alone", 1],
      ] as const) {
        assert.equal((await store.tasks.batch(id)) === null ? 0 : 1, count, id);
        assert.equal((await store.idempotency.find("ada", id)) === null ? 0 : 1, count, id);
        assert.equal((await store.outbox.deliveriesOf(id)).length, count, id);
        assert.equal((await store.outbox.secret(id)) === null ? 0 : 1, count, id);
      }
      await store.save([newTask(3, { batchId: "bad" })], oneOfEach("bad"));
      assert.equal((await store.tasks.batch("bad"))?.counts.queued, 1);
    });

    test("records take effect in the order of the saves, also when one in between is refused", async (t) => {
      const { store } = await opened(t, create);
      const [old, task] = [newTask(1), newTask(2)];
      await store.save([old]);
      const delivery = newDelivery("2");
      await Promise.allSettled([
        store.save([task], [event(delivery)]),
        store.save([], [secret({ ...SECRET, secret: "first" })]),
        store.save([newTask(3, { id: old.id })]),
        store.save([], [{ kind: "delivery", delivery: { ...delivery, status: "failed" } }]),
        store.save([task], [secret({ ...SECRET, secret: "last" })]),
      ]);
      assert.equal((await store.outbox.secret("ada"))?.secret, "last");
      assert.equal((await store.outbox.deliveriesOf("2"))[0]?.status, "failed");
      assert.deepEqual(await storedSeqs(store), [2, 1]);
    });

    test("the state of a batch is the one at the call, and an end in a later save is seen", async (t) => {
      const world = await opened(t, create);
      const task = newTask(1, { batchId: "b" });
      const batch = newBatch([task]);
      const first = world.store.save([task], [{ kind: "batch", batch }]);
      batch.finishedAt = NOW + 9;
      await first;
      assert.deepEqual((await world.store.tasks.batch("b"))?.batch.finishedAt, null);
      await world.restart();
      assert.deepEqual(world.first.batches, [{ ...batch, finishedAt: null }]);
      await world.store.save([cancel(world.first.live[0] as Task)], [{ kind: "batch", batch }]);
      assert.deepEqual((await world.store.tasks.batch("b"))?.batch, batch);
      assert.deepEqual({ ...(await world.restart()).first, past: EMPTY.past }, { ...EMPTY, lastSeq: 1 });
    });

    test("unfinished batches come back in submission order", async (t) => {
      const world = await opened(t, create);
      const batches = [7, 3, 5].map((seq) => newBatch([newTask(seq, { batchId: `b${seq}` })]));
      for (const batch of batches) await world.store.save([], [{ kind: "batch", batch }]);
      const { first } = await world.restart();
      assert.deepEqual(
        first.batches.map((batch) => batch.id),
        ["b3", "b5", "b7"],
      );
    });

    test("a batch knows how many of its tasks are in each status, and how many wait without a GPU", async (t) => {
      const { store } = await opened(t, create);
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
      const { store } = await opened(t, create);
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

    test("an event that is saved again is stored once, as it was first", async (t) => {
      const { store } = await opened(t, create);
      const delivery = newDelivery("1");
      await store.save([newTask(1)], [event(delivery)]);
      const again = { ...delivery, body: "other" };
      await store.save([newTask(2)], [event(again), event(again)]);
      assert.deepEqual(await store.outbox.deliveriesOf("1"), [delivery]);
      assert.deepEqual(await storedSeqs(store), [2, 1]);
    });

    test("a delivery changes its status, its next time and its attempts; one that is not there stays so", async (t) => {
      const { store } = await opened(t, create);
      const delivery = newDelivery("1");
      const attempts = [{ at: NOW, status: 503, error: null, duration: 12.5 }];
      const changed: Delivery = { ...delivery, status: "failed", nextAt: NOW + 5, attempts, body: "not written" };
      await store.save([], [event(delivery)]);
      await store.save(
        [],
        [
          { kind: "delivery", delivery: changed },
          { kind: "delivery", delivery: newDelivery("2") },
        ],
      );
      assert.deepEqual(await store.outbox.deliveriesOf("1"), [{ ...changed, body: delivery.body }]);
      assert.deepEqual(await store.outbox.deliveriesOf("2"), []);
    });

    test("pending deliveries come by their next time, those of a subject by their age", async (t) => {
      const { store } = await opened(t, create);
      const deliveries = [
        newDelivery("1", { id: "a", nextAt: NOW + 3, createdAt: NOW + 1 }),
        newDelivery("1", { id: "b", nextAt: NOW + 1, createdAt: NOW + 2 }),
        newDelivery("1", { id: "c", nextAt: NOW, status: "delivered", createdAt: NOW }),
        newDelivery("2", { id: "d", nextAt: NOW + 2 }),
      ];
      await store.save([], deliveries.map(event));
      assert.equal(idsOf(await store.outbox.pendingDeliveries(10)), "bda");
      assert.equal(idsOf(await store.outbox.pendingDeliveries(2)), "bd");
      assert.equal(idsOf(await store.outbox.deliveriesOf("1")), "cab");
    });

    test("pending deliveries are read by user: many of one hide none of another", async (t) => {
      const { store } = await opened(t, create);
      const many = Array.from({ length: 50 }, (_, index) =>
        newDelivery("1", { id: `${index}`, user: "mallory", nextAt: NOW + index }),
      );
      const others = ["ada", "zoe"].map((user) => newDelivery("1", { id: user, user, nextAt: NOW + 99 }));
      const told = newDelivery("1", { id: "told", user: "bob", status: "delivered" });
      await store.save([], [...many, ...others, told].map(event));
      assert.deepEqual(
        (await store.outbox.pendingDeliveries(3)).map(({ id }) => id),
        ["0", "1", "2", "ada", "zoe"],
      );
    });

    test("an idempotency key belongs to its user, and a newer record takes the place of an older one", async (t) => {
      const world = await opened(t, create);
      const newer = { ...KEY, fingerprint: "g", createdAt: NOW + 1 };
      await world.store.save([], [idempotency(KEY), idempotency({ ...KEY, user: "bob" })]);
      await world.store.save([], [idempotency(newer)]);
      const { store } = await world.restart();
      assert.deepEqual(await store.idempotency.find("ada", "k"), newer);
      assert.deepEqual(await store.idempotency.find("bob", "k"), { ...KEY, user: "bob" });
      assert.equal(await store.idempotency.find("ada", "K"), null);
    });

    test("only a task that has ended can be removed; it is gone from everything, with its deliveries", async (t) => {
      const world = await opened(t, create);
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
      const world = await opened(t, create);
      const tasks = [cancel(newTask(7)), cancel(newTask(8)), cancel(newTask(9))];
      await world.store.save(tasks);
      await world.store.tasks.remove(tasks[2]?.id ?? "");
      await world.store.tasks.remove(tasks[0]?.id ?? "");
      assert.deepEqual({ ...(await world.restart()).first, past: EMPTY.past }, { ...EMPTY, lastSeq: 9 });
      while (await world.store.sweep({ endedBefore: NOW * 2, maxEnded: null, keysBefore: 0 }));
      assert.deepEqual({ ...(await world.restart()).first, past: EMPTY.past }, { ...EMPTY, lastSeq: 9 });
      await world.store.save([cancel(newTask(10))]);
      assert.equal((await world.restart()).first.lastSeq, 10);
    });

    test("where both clocks were is found again, and so is the latest time of a task", async (t) => {
      const world = await opened(t, create);
      assert.deepEqual(world.first.past, { recorded: null, newest: null });
      const first = { now: NOW + 1, wall: NOW + 5, held: null };
      await world.store.save([], [{ kind: "clock", clock: first }]);
      // Shown an hour behind what the server's clock said.
      const ended = cancel(newTask(1, { createdAt: NOW - 3_600_000, createdClock: NOW, waitsSince: NOW }));
      ended.finishedClock = NOW + 70;
      await world.store.save([ended]);
      assert.deepEqual((await world.restart()).first.past, { recorded: first, newest: NOW + 70 });
      const next = { now: NOW + 2, wall: NOW + 6, held: { now: NOW, wall: NOW - 9 } };
      await world.store.save([], [{ kind: "clock", clock: next }]);
      // Submitted before the wall clock was set forward, and started after that.
      const running = run(newTask(2, { createdAt: NOW - 8 * 86_400_000, createdClock: NOW + 80 }));
      Object.assign(running, {
        startedAt: NOW + 90,
        attempts: running.attempts.map((one) => ({ ...one, startedAt: NOW + 90 })),
      });
      await world.store.save([running]);
      assert.deepEqual((await world.restart()).first.past, { recorded: next, newest: NOW + 80 });
      assert.deepEqual(await world.store.tasks.get(ended.id), ended);
      assert.deepEqual(
        [await world.store.tasks.countEnded(NOW + 70), await world.store.tasks.countEnded(NOW + 71)],
        [0, 1],
      );
    });

    test("a batch that has ended goes with its last task, and its deliveries with it", async (t) => {
      for (const removal of ["remove", "sweep"] as const) {
        const { world, tasks, batch } = await endedBatch(t, create);
        const [first, last] = tasks as [Task, Task];
        await world.store.tasks.remove(first.id);
        assert.deepEqual((await world.store.tasks.batch(batch.id))?.counts.canceled, 1);
        assert.equal((await world.store.outbox.deliveriesOf(batch.id)).length, 1);
        if (removal === "remove") await world.store.tasks.remove(last.id);
        else while (await world.store.sweep({ endedBefore: NOW * 2, maxEnded: null, keysBefore: 0 }));
        assert.equal(await world.store.tasks.batch(batch.id), null, removal);
        assert.deepEqual(await world.store.outbox.deliveriesOf(batch.id), [], removal);
        assert.equal((await world.store.tasks.list({ ...EVERYTHING, batchId: batch.id })).total, 0);
      }
    });

    test("a batch whose end is written after its last task was removed goes then", async (t) => {
      const { store } = await opened(t, create);
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

    test("a sweep removes idempotency keys that are too old, in small steps, and no others", async (t) => {
      const { store } = await opened(t, create);
      const records = Array.from({ length: 2000 }, (_, index) => ({ ...KEY, key: `${index}`, createdAt: NOW + index }));
      await store.save([newTask(1)], records.toReversed().map(idempotency));
      let steps = 1;
      for (; await store.sweep({ endedBefore: NOW * 2, maxEnded: 0, keysBefore: NOW + 1990 }); steps++) await turn();
      assert.ok(steps > 2, `${steps} steps`);
      assert.equal(await store.idempotency.find("ada", "1989"), null);
      assert.deepEqual(await store.idempotency.find("ada", "1990"), records[1990]);
      assert.deepEqual(await storedSeqs(store), [1]);
    });
  });
}

function oneOfEach(id: string): StoreRecord[] {
  return [
    { kind: "batch", batch: newBatch([newTask(2, { batchId: id })]) },
    idempotency({ ...KEY, key: id }),
    event(newDelivery(id)),
    secret({ ...SECRET, user: id }),
  ];
}

function secret(of: WebhookSecret): StoreRecord {
  return { kind: "secret", secret: of };
}

function idsOf(deliveries: readonly Delivery[]): string {
  return deliveries.map((delivery) => delivery.id).join("");
}

function event(delivery: Delivery): StoreRecord {
  return { kind: "event", delivery };
}

function idempotency(record: IdempotencyRecord): StoreRecord {
  return { kind: "idempotency", record };
}

async function endedBatch(t: TestContext, create: Create): Promise<{ world: World; tasks: Task[]; batch: Batch }> {
  const world = await opened(t, create);
  const tasks = [cancel(newTask(1, { batchId: "b" })), cancel(newTask(2, { batchId: "b" }))];
  const batch = newBatch(tasks, { finishedAt: NOW });
  await world.store.save([...tasks, newTask(3)], [{ kind: "batch", batch }, event(newDelivery("b"))]);
  return { world, tasks, batch };
}

async function nextSeq(store: Store): Promise<number> {
  return (await store.tasks.list(EVERYTHING)).total + 1;
}

function text(): fc.Arbitrary<string> {
  return fc.oneof(fc.string({ unit: "binary", maxLength: 50 }), fc.constantFrom("", "\0", "a\0b", "👩‍👩‍👧", "'; --"));
}

function time(): fc.Arbitrary<number> {
  return fc.nat(4_102_444_800_000);
}

function maybe<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> {
  return fc.option(arbitrary, { nil: null });
}

/** An id that is used once. */
function anyId(): fc.Arbitrary<string> {
  return text().map((words) => `${words}#${randomUUID()}`);
}

function anyBatch(): fc.Arbitrary<Batch> {
  const webhook = fc.record({ url: text(), events: fc.subarray([...BATCH_EVENTS]) }, { noNullPrototype: true });
  return fc.record(
    {
      id: anyId(),
      user: text(),
      firstSeq: fc.nat(),
      size: fc.nat(),
      whole: fc.boolean(),
      webhook: maybe(webhook),
      createdAt: time(),
      finishedAt: maybe(time()),
    },
    { noNullPrototype: true },
  );
}

function anyDelivery(): fc.Arbitrary<Delivery> {
  const attempt = fc.record(
    {
      at: time(),
      status: maybe(fc.nat(999)),
      error: maybe(text()),
      duration: fc.nat(10_000),
    },
    { noNullPrototype: true },
  );
  return fc.record(
    {
      id: anyId(),
      subject: anyId(),
      user: text(),
      event: fc.constantFrom(...BATCH_EVENTS),
      url: text(),
      body: text(),
      createdAt: time(),
      status: fc.constantFrom("pending", "delivered", "failed"),
      nextAt: time(),
      attempts: fc.array(attempt, { maxLength: 4 }),
    },
    { noNullPrototype: true },
  );
}

function anySecret(): fc.Arbitrary<WebhookSecret> {
  return fc.record(
    {
      user: text(),
      secret: text(),
      previous: maybe(text()),
      previousUntil: maybe(time()),
      createdAt: time(),
      shown: fc.boolean(),
    },
    { noNullPrototype: true },
  );
}
