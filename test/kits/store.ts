/* What every store promises as a whole (src/store/store.ts): its life, and that what is saved together is written together. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type StoreRecord } from "../../src/store/store.ts";
import { type Task } from "../../src/task.ts";
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
  turn,
  storedTask,
} from "../helpers/store.ts";
import { batchFile, refusedLine } from "./batch-files.ts";
import { ALL_ROWS, AUDIT_ROW, ENDPOINT, event, FILE, idempotency, KEY, NOW, SECRET, secret } from "./records.ts";

/** @param name of the store @param make see `MakePlace` */
export function exerciseStore(name: string, make: MakePlace): void {
  describe(name, () => {
    test("an empty store has no live tasks and no last seq", async (t) => {
      const { first } = await opened(t, make);
      assert.deepEqual(first, EMPTY);
    });

    test("opening twice gives the same answer", async (t) => {
      const { store, first } = await opened(t, make);
      assert.equal(await store.open(), first);
    });

    test("saves of one task, not awaited, leave its last state", async (t) => {
      const { store } = await opened(t, make);
      const task = newTask(1);
      const saves = [store.save([task])];
      run(task);
      saves.push(store.save([task]));
      await turn();
      complete(task);
      saves.push(store.save([task]));
      await Promise.all(saves);
      assert.deepEqual(await storedTask(store, task.id), task);
    });

    test("the status on disk is the row's, which may be later than that of the call", async (t) => {
      const { store } = await opened(t, make);
      const task = newTask(1);
      assert.equal(store.statusOnDisk(task), null);
      const saved = store.save([task]);
      assert.equal(store.statusOnDisk(task), null);
      complete(run(task));
      await saved;
      assert.equal(store.statusOnDisk(task), (await storedTask(store, task.id))!.status);
      await store.save([task]);
      assert.equal(store.statusOnDisk(task), "completed");
    });

    test("saves resolve in the order of the calls", async (t) => {
      const { store } = await opened(t, make);
      const order: number[] = [];
      const saves = [];
      for (let seq = 1; seq <= 50; seq++) {
        saves.push(store.save([newTask(seq)]).then(() => order.push(seq)));
        if (seq % 7 === 0) await turn();
      }
      await Promise.all(saves);
      assert.deepEqual(
        order,
        order.toSorted((a, b) => a - b),
      );
    });

    test("a save may name a task twice, and may be empty", async (t) => {
      const { store } = await opened(t, make);
      const task = newTask(1);
      await store.save([task, task]);
      await store.save([]);
      assert.deepEqual(await storedSeqs(store), [1]);
    });

    test("the caller may reuse the array it gave to save", async (t) => {
      const { store } = await opened(t, make);
      const tasks = [newTask(1)];
      const saved = store.save(tasks);
      tasks[0] = newTask(2);
      await saved;
      assert.deepEqual(await storedSeqs(store), [1]);
    });

    test("a save that is refused leaves none of its tasks, others are not touched, and the good ones can be saved again", async (t) => {
      const { store } = await opened(t, make);
      const old = newTask(1);
      await store.save([old]);
      const innocent = Array.from({ length: 9 }, (_, index) => newTask(10 + index));
      const [a, b] = [newTask(2), newTask(3)];
      run(old);
      const bad = newTask(4, { id: old.id });
      const outcomes = await Promise.allSettled([
        ...innocent.slice(0, 5).map((task) => store.save([task])),
        store.save([a, bad, b]),
        ...innocent.slice(5).map((task) => store.save([task])),
        store.save([old]),
      ]);
      const rejected = outcomes.filter((outcome) => outcome.status === "rejected");
      assert.deepEqual(
        rejected.map((outcome) => outcome.reason.code),
        ["store_unavailable"],
      );
      assert.deepEqual(await storedSeqs(store), [...innocent.map((task) => task.seq).toReversed(), 1]);
      assert.deepEqual(await storedTask(store, old.id), old);
      await store.save([a, b]);
      assert.equal((await store.tasks.list(EVERYTHING)).total, 12);
    });

    test("the caller's thread goes on while a save is under way", async (t) => {
      const { store } = await opened(t, make);
      const text = "x".repeat(1024 * 1024);
      const saved = store.save(Array.from({ length: 32 }, (_, index) => newTask(index + 1, { text })));
      let turns = 0;
      while (await Promise.race([saved.then(() => false), turn().then(() => true)])) turns++;
      assert.ok(turns > 3, `${turns} turns`);
    });

    test("close writes what is pending, and may be called twice", async (t) => {
      const world = await opened(t, make);
      const saves = [world.store.save([newTask(1)]), world.store.save([newTask(2)])];
      await Promise.all([world.store.close(), world.store.close(), ...saves]);
      assert.deepEqual(await storedSeqs((await world.restart()).store), [2, 1]);
    });

    test("a closed store refuses everything with a sentence", async (t) => {
      const { store } = await opened(t, make);
      await store.close();
      const refused = { code: "store_unavailable", message: /closed/ };
      await assert.rejects(store.save([newTask(1)]), refused);
      await assert.rejects(store.tasks.get("1"), refused);
      await assert.rejects(store.tasks.list(EVERYTHING), refused);
      await assert.rejects(store.tasks.list({ ...EVERYTHING, gpuId: 0 }), refused);
      await assert.rejects(store.sweep({ endedBefore: 0, maxEnded: null, keysBefore: 0, usageBefore: 0 }), refused);
    });

    test("a store that was never opened refuses saves and can be closed", async (t) => {
      const store = make(t)();
      await assert.rejects(store.save([newTask(1)]), { code: "store_unavailable", message: /not open/ });
      await store.close();
    });

    test("closing while opening ends closed", async (t) => {
      const store = make(t)();
      const opening = store.open();
      await store.close();
      assert.deepEqual(await opening, EMPTY);
      await assert.rejects(store.save([newTask(1)]), { code: "store_unavailable" });
    });

    test("records come back, whether saved with tasks or alone, also after a restart", async (t) => {
      const world = await opened(t, make);
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

    test("tasks and records of a save that is refused are written neither, and those of others all", async (t) => {
      const { store } = await opened(t, make);
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
        assert.equal(
          (await store.outbox.deliveriesOf(id)).filter(({ status }) => status === "failed").length,
          count,
          id,
        );
        assert.equal((await store.outbox.secret(id)) === null ? 0 : 1, count, id);
        assert.equal((await store.outbox.endpoints()).filter(({ user }) => user === id).length, count, id);
        assert.equal((await store.files.find(id)) === null ? 0 : 1, count, id);
        assert.equal((await store.audit.list({ ...ALL_ROWS, target: id })).length, count, id);
      }
      await store.save([newTask(3, { batchId: "bad" })], oneOfEach("bad"));
      assert.equal((await store.tasks.batch("bad"))?.counts.queued, 1);
    });

    test("records take effect in the order of the saves, also when one in between is refused", async (t) => {
      const { store } = await opened(t, make);
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
      const world = await opened(t, make);
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

    test("where both clocks were is found again, and so is the latest time of a task", async (t) => {
      const world = await opened(t, make);
      assert.deepEqual(world.first.past, { recorded: null, newest: null });
      const first = { now: NOW + 1, wall: NOW + 5, held: null };
      await world.store.save([], [{ kind: "clock", clock: first }]);
      // Shown an hour behind what the server's clock said.
      const ended = cancel(newTask(1, { createdAt: NOW - 3_600_000, createdClock: NOW, waitsSince: NOW }));
      ended.finishedClock = NOW + 70;
      await world.store.save([ended]);
      const { recorded, newest } = (await world.restart()).first.past;
      assert.deepEqual([recorded, newest], [first, NOW + 70]);
      const next = { now: NOW + 2, wall: NOW + 6, held: { now: NOW, wall: NOW - 9 } };
      await world.store.save([], [{ kind: "clock", clock: next }]);
      // Submitted before the wall clock was set forward, and started after that.
      const running = run(newTask(2, { createdAt: NOW - 8 * 86_400_000, createdClock: NOW + 80 }));
      Object.assign(running, {
        startedAt: NOW + 90,
        attempts: running.attempts.map((one) => ({ ...one, startedAt: NOW + 90 })),
      });
      await world.store.save([running]);
      const { recorded: later, newest: latest } = (await world.restart()).first.past;
      assert.deepEqual([later, latest], [next, NOW + 80]);
      assert.deepEqual(await storedTask(world.store, ended.id), ended);
      assert.deepEqual(
        [await world.store.tasks.countEnded(NOW + 70), await world.store.tasks.countEnded(NOW + 71)],
        [0, 1],
      );
    });
  });
}

type OfBatch = Exclude<StoreRecord, { readonly kind: "clock" }>;

/**
 * The records of a batch, one of each kind: a port that adds a kind adds it here, and it has to keep the promises, too. There is
 * one clock only, so saves that record it stand and fall together.
 */
function oneOfEach(id: string): OfBatch[] {
  const delivery = newDelivery(id);
  const each: { readonly [Kind in OfBatch["kind"]]: Extract<OfBatch, { readonly kind: Kind }> } = {
    batch: { kind: "batch", batch: newBatch([newTask(2, { batchId: id })]) },
    note: { kind: "note", seq: seqOf(id), note: `of ${id}` },
    idempotency: { kind: "idempotency", record: { ...KEY, key: id } },
    event: { kind: "event", delivery },
    delivery: { kind: "delivery", delivery: { ...delivery, status: "failed" } },
    secret: { kind: "secret", secret: { ...SECRET, user: id } },
    endpoint: { kind: "endpoint", endpoint: { ...ENDPOINT, user: id } },
    // Of another one: each kind has to leave something.
    endpoint_works: { kind: "endpoint_works", user: id, origin: "https://works.example.com" },
    batch_file: { kind: "batch_file", file: batchFile({ id }) },
    refused_line: refusedLine(seqOf(id)),
    file: { kind: "file", file: { ...FILE, id, filename: id } },
    file_hold: { kind: "file_hold", id, holder: "b" },
    audit: { kind: "audit", row: { ...AUDIT_ROW, id, target: id } },
    file_release: { kind: "file_release", id, holder: "b" },
  };
  return Object.values(each);
}

/** A number of its own for each short name. */
function seqOf(id: string): number {
  return Buffer.from(id).readUIntBE(0, Math.min(6, id.length));
}
