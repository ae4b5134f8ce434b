/** The task book over a store whose writes end when the test says so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { pino } from "pino";
import { Tasks } from "../src/scheduler/tasks.ts";
import { type Store } from "../src/store/store.ts";
import { type Task } from "../src/task.ts";
import { COMPLETED, facts, SETTINGS } from "./helpers/scheduling.ts";

/** Remembers what it was asked to write, and in which state. */
class HeldStore implements Store {
  readonly writes: { readonly states: readonly string[]; readonly end: () => void; readonly fail: () => void }[] = [];

  save(tasks: readonly Task[]): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.writes.push({
      states: tasks.map((task) => `${task.text} ${task.status}`),
      end: resolve,
      fail: () => reject(new Error("disk full")),
    });
    return promise;
  }

  open = async () => ({ live: [], lastSeq: 0 });
  get = async () => null;
  list = async () => ({ tasks: [], total: 0 });
  close = async () => {};
}

/** A task book with one slot, and what it had logged of each task. */
function book() {
  const store = new HeldStore();
  const started: Task[] = [];
  const lines: string[] = [];
  const tasks = new Tasks({
    store,
    log: pino({ level: "debug" }, { write: (line) => void lines.push((JSON.parse(line) as { msg: string }).msg) }),
    settings: SETTINGS,
    run: (_gpuId, task) => void started.push(task),
    cancel: (_gpuId, task) => queueMicrotask(() => tasks.finished(task, { status: "canceled" })),
  });
  tasks.scheduler.setGpu(facts(0, { slots: 1 }));
  const submit = (text: string) =>
    tasks.submit([{ text, maxLength: 1, temperature: 0, taskType: "" }], {
      user: "ada",
      strategy: "random",
      pinnedGpuId: null,
      batch: null,
    });
  return { store, started, lines, tasks, submit };
}

/** What was written, in the order of the writes. */
const statesOf = (store: HeldStore): (string | undefined)[] => store.writes.map(({ states }) => states[0]);

test("an end is shown when it is on disk, also when the task ended while its start was being written", async () => {
  const { store, started, lines, tasks, submit } = book();
  const submitted = [submit("first"), submit("second")];
  for (const write of store.writes) write.end();
  await Promise.all(submitted);
  tasks.finished(started[0]!, COMPLETED);
  tasks.finished(started[1]!, COMPLETED);
  assert.deepEqual(statesOf(store).slice(2), ["second running", "first completed", "second completed"]);
  let shown: string | undefined;
  const asked = tasks.get(started[1]!.id).then((task) => (shown = task!.status));
  store.writes[2]!.end();
  store.writes[3]!.end();
  await turn();
  assert.equal(shown, undefined);
  store.writes[4]!.end();
  await asked;
  assert.equal(shown, "completed");
  assert.equal(lines.filter((line) => line === "task completed").length, 2);
});

test("what happens to a task before its admission is on disk is written after it", async () => {
  const { store, started, tasks, submit } = book();
  const submitted = submit("first");
  tasks.finished(started[0]!, COMPLETED);
  assert.deepEqual(statesOf(store), ["first running"]);
  store.writes[0]!.end();
  await submitted;
  assert.deepEqual(statesOf(store), ["first running", "first completed"]);
});

test("nothing of a refused task reaches the disk, whatever it did before the refusal", async () => {
  const { store, started, tasks, submit } = book();
  const submitted = submit("first");
  tasks.finished(started[0]!, COMPLETED);
  store.writes[0]!.fail();
  await assert.rejects(submitted, /disk full/);
  await turn();
  assert.deepEqual(statesOf(store), ["first running"]);
});

test("an end that could not be written is tried again at the stop, and is never shown before it is on disk", async () => {
  const { store, started, tasks, submit } = book();
  const submitted = submit("first");
  store.writes[0]!.end();
  await submitted;
  tasks.finished(started[0]!, COMPLETED);
  store.writes[1]!.fail();
  await turn();
  const { id } = started[0]!;
  const waiting = tasks.wait(id, 300, new AbortController().signal);
  await tasks.close();
  assert.deepEqual(statesOf(store).slice(1), ["first completed", "first completed"]);
  const { status, result } = (await waiting)!;
  assert.deepEqual([status, result], ["running", null], "the disk took neither write");
});

test("a submission that cannot be written is withdrawn, and its slot is free again", async () => {
  const { store, started, tasks, submit } = book();
  const refused = submit("first");
  const waiting = submit("second");
  store.writes[0]!.fail();
  await assert.rejects(refused, /disk full/);
  await turn();
  assert.deepEqual(
    started.map(({ text }) => text),
    ["first", "second"],
  );
  assert.equal(await tasks.get(started[0]!.id), null);
  store.writes[1]!.end();
  assert.equal((await waiting).tasks[0]!.status, "queued");
});
