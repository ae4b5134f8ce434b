/*
 * A process that uses a store, for the tests that kill one: node test/helpers/store-child.ts <database> hold|burst|leave
 * It prints "open", then a line for each save that resolved; or why it could not open.
 */
import { messageOf } from "../../src/errors.ts";
import { SqliteStore } from "../../src/store/sqlite/sqlite.ts";
import { complete, newBatch, newTask, run } from "./store.ts";

const BATCH = 7;
const [path = "", what = ""] = process.argv.slice(2);
const store = new SqliteStore({ path });
let seq = await open();

if (what === "burst") await Promise.all([singles(), singles(), singles(), batches(), batches()]);
if (what === "leave") {
  // Not awaited: closing writes it.
  void store.save([newTask(++seq)]).then(() => console.log(`${seq} queued`));
  await store.close();
}

async function open(): Promise<number> {
  try {
    const { lastSeq } = await store.open();
    console.log("open");
    return lastSeq;
  } catch (error) {
    console.log(messageOf(error));
    process.exit(1);
  }
}

async function singles(): Promise<never> {
  for (;;) {
    const task = newTask(++seq);
    for (const change of [() => task, run, complete]) {
      change(task);
      await store.save([task]);
      console.log(`${task.seq} ${task.status}`);
    }
  }
}

async function batches(): Promise<never> {
  for (;;) {
    const batchId = `batch ${seq}`;
    const tasks = Array.from({ length: BATCH }, () => newTask(++seq, { batchId, wholeBatch: true }));
    const record = { user: "ada", key: batchId, fingerprint: "f", answer: "[]", createdAt: Date.now() };
    await store.save(tasks, [
      { kind: "batch", batch: newBatch(tasks) },
      { kind: "idempotency", record },
    ]);
    console.log(tasks.map((task) => `${task.seq} ${task.status}`).join("\n"));
  }
}
