/** The results of a batch, as they are read while it goes on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { unset } from "../src/common/clock.ts";
import { Batches, statusOf } from "../src/tasks/batches.ts";
import { type ListedTask } from "../src/store/tasks.ts";
import { type Batch, type Task } from "../src/task.ts";
import { complete, newTask, run } from "./helpers/store.ts";

const BATCH: Batch = {
  id: "batch",
  user: "ada",
  team: null,
  firstSeq: 1,
  size: 3,
  whole: false,
  webhook: null,
  createdAt: 0,
  finishedAt: null,
  lines: null,
};

/** A batch of three, of which ends are told one by one. */
function world() {
  const stored: ListedTask[] = [];
  const finished: Batch[] = [];
  const store = {
    endsOf: async (_id: string, offset: number, limit: number) => stored.slice(offset, offset + limit),
    endsIn: async () => [],
    history: async () => [],
    batch: async () => null,
    get: async (id: string) => tasks.find((task) => task.id === id) ?? null,
  };
  const batches = new Batches(store, async (batch) => void finished.push(batch), unset(Date.now));
  const tasks = [1, 2, 3].map((seq) => newTask(seq, { batchId: "batch" }));
  batches.add({ ...BATCH });
  const end = (task: Task): void => {
    stored.push(complete(run(task)));
    batches.ended(task);
  };
  return { batches, tasks, stored, finished, end };
}

async function seqsOf(results: AsyncIterable<{ readonly seq: number }>): Promise<number[]> {
  const seqs: number[] = [];
  for await (const { seq } of results) seqs.push(seq);
  return seqs;
}

test("results come in the order of their ends, until all have ended, each once", async () => {
  const { batches, tasks, finished, end } = world();
  end(tasks[2]!);
  const reading = batches.results("batch", true, new AbortController().signal);
  assert.equal((await reading.next()).value?.seq, 3);
  // This one is found both in the store and among those that have been waited for.
  end(tasks[0]!);
  const next = reading.next();
  assert.equal((await next).value?.seq, 1);
  assert.equal(finished.length, 0);
  end(tasks[1]!);
  assert.deepEqual(await seqsOf(reading), [2]);
  assert.equal(finished.length, 1);
});

test("without following, the results are those that are there", async () => {
  const { batches, tasks, end } = world();
  end(tasks[1]!);
  assert.deepEqual(await seqsOf(batches.results("batch", false, new AbortController().signal)), [2]);
});

test("who follows a batch is let go when the server stops, or when it leaves", async () => {
  const { batches, tasks, end } = world();
  const leaving = new AbortController();
  const reads = [new AbortController(), leaving].map(({ signal }) => seqsOf(batches.results("batch", true, signal)));
  end(tasks[0]!);
  leaving.abort();
  assert.deepEqual(await reads[1], [1]);
  batches.close();
  assert.deepEqual(await reads[0], [1]);
});

test("after a restart a batch ends when what was left of it has ended, or at once when nothing was", () => {
  const { batches, finished, end } = world();
  const left = newTask(9, { batchId: "left" });
  batches.restore(
    [
      { ...BATCH, id: "left" },
      { ...BATCH, id: "done" },
    ],
    [left, newTask(10)],
  );
  assert.deepEqual(
    finished.map(({ id }) => id),
    ["done"],
  );
  end(left);
  assert.deepEqual(
    finished.map(({ id }) => id),
    ["done", "left"],
  );
});

test("a batch that has ended is canceled when every task of it was, else completed", () => {
  const none = { queued: 0, running: 0, completed: 0, failed: 0, canceled: 0 };
  const status = (counts: Partial<typeof none>): string =>
    statusOf({ batch: BATCH, counts: { ...none, ...counts }, unbound: 0 });
  assert.equal(status({ canceled: 3 }), "canceled");
  assert.equal(status({ canceled: 2, completed: 1 }), "completed");
  assert.equal(status({ canceled: 2, failed: 1 }), "completed");
  assert.equal(status({ failed: 3 }), "completed");
  // What is not kept any more may have been completed.
  assert.equal(status({ canceled: 2 }), "completed");
  assert.equal(status({}), "completed");
  assert.equal(status({ canceled: 2, running: 1 }), "running");
});
