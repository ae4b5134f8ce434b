/* The states of tasks and batches on their way to a store that is away for a while, and whose answers may come in another order. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { AltLasError } from "../src/errors.ts";
import type { StoreRecord } from "../src/store/store.ts";
import { BatchEnds } from "../src/tasks/batch-ends.ts";
import { Writer } from "../src/tasks/writer.ts";
import { complete, newBatch, newDelivery, newTask, run } from "./helpers/store.ts";

const AWAY = new AltLasError("store_unavailable", "the task database cannot be reached");

/** A task that has run and ended, and its writes, of which each waits to be told what became of it. */
function endedTask() {
  const saves: PromiseWithResolvers<void>[] = [];
  const third = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const writer = new Writer({
    store: {
      save: () => {
        const save = Promise.withResolvers<void>();
        if (saves.push(save) === 3) third.resolve();
        return save.promise;
      },
      statusOnDisk: () => null,
      close: () => Promise.resolve(),
      lost: new AbortController().signal,
      away: false,
    },
    log: pino({ level: "silent" }),
    recordsOf: () => [],
    isAwaited: () => true,
    admitted: () => {},
    started: () => {},
    ended: () => ended.resolve(),
    caughtUp: () => {},
  });
  const task = run(newTask(1));
  writer.changed(task);
  complete(task);
  writer.changed(task);
  const refuse = async (index: number): Promise<void> => {
    saves[index]!.reject(AWAY);
    await assert.rejects(saves[index]!.promise);
  };
  return { writer, saves, refuse, third: third.promise, ended: ended.promise };
}

test("a state that was refused while the one before was in doubt is written, also when that one was stored", async () => {
  const { writer, saves, refuse, third, ended } = endedTask();
  await refuse(1);
  saves[0]!.resolve();
  await saves[0]!.promise;
  assert.equal(writer.unwritten, 1);
  await third;
  saves[2]!.resolve();
  await ended;
  assert.equal(writer.unwritten, 0);
});

test("an end that was stored after all is not written again: it may be removed next, or its texts", async () => {
  const { writer, saves, refuse, third, ended } = endedTask();
  await refuse(0);
  await third;
  await refuse(2);
  assert.equal(writer.unwritten, 1);
  saves[1]!.resolve();
  await ended;
  assert.equal(writer.unwritten, 0);
});

test("the end of a batch that cannot be read is told when the store can be read again", async () => {
  const webhook = { url: "https://example.org/hook", events: ["batch.completed" as const] };
  const batch = newBatch([newTask(1, { batchId: "b" })], { webhook, finishedAt: 1 });
  const counts = { queued: 0, running: 0, completed: 1, failed: 0, canceled: 0 };
  const written: StoreRecord[] = [];
  let tries = 0;
  const ends = new BatchEnds({
    store: {
      tasks: {
        batch: () => (++tries === 1 ? Promise.reject(AWAY) : Promise.resolve({ batch, counts, waiting: 0 })),
      } as never,
      lost: new AbortController().signal,
    },
    webhooks: { ofBatch: () => [newDelivery("b")], ofTask: () => [], wake: () => {} },
    writer: { record: (records) => Promise.resolve(void written.push(...records)) },
    log: pino({ level: "silent" }),
  });
  await ends.tell(batch);
  assert.deepEqual(
    written.map(({ kind }) => kind),
    ["batch", "event"],
  );
});
