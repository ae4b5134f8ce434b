/** Which saves are written together, and which of them wait. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { setImmediate } from "node:timers/promises";
import { GroupCommit } from "../src/store/thread/group-commit.ts";
import type { When } from "../src/store/store.ts";
import { type Task } from "../src/task.ts";
import { newTask } from "./helpers/store.ts";

/** How long a save waits for others is for a test to say, so none of them depends on how fast the machine is. */
function open(t: TestContext) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  /** The numbers of the tasks of each write. */
  const writes: number[][] = [];
  const write = async (tasks: ReadonlySet<Task>): Promise<void> => {
    writes.push([...tasks].map(({ seq }) => seq));
  };
  const save = (seq: number, when: When = "now") => commits.save([newTask(seq)], [], when);
  const commits = new GroupCommit({ write, failed: () => {} });
  return { writes, commits, save, patienceOver: () => t.mock.timers.tick(2) };
}

test("a save that nobody waits for is written with the next one", async (t) => {
  const { writes, save } = open(t);
  const patient = save(1, "soon");
  await Promise.all([patient, save(2)]);
  assert.deepEqual(writes, [[1, 2]]);
});

test("a save that nobody waits for is written by itself when no other comes", async (t) => {
  const { writes, save, patienceOver } = open(t);
  for (const seq of [1, 2]) {
    const patient = save(seq, "soon");
    patienceOver();
    await patient;
  }
  assert.deepEqual(writes, [[1], [2]]);
});

test("a save that is waited for waits for no other, however many shared the last write", async (t) => {
  const { writes, save } = open(t);
  await Promise.all([1, 2, 3].map((seq) => save(seq)));
  await save(4);
  assert.deepEqual(writes, [[1, 2, 3], [4]]);
});

test("the ends of tasks share the write of the next task", async (t) => {
  const { writes, commits, save } = open(t);
  await Promise.all([save(1), save(2)]);
  const ended = commits.save([newTask(1), newTask(2)], [], "soon");
  await setImmediate();
  assert.deepEqual(writes, [[1, 2]]);
  await Promise.all([ended, save(3)]);
  assert.deepEqual(writes, [
    [1, 2],
    [1, 2, 3],
  ]);
});

test("before a close, a save that nobody waits for is written, too", async (t) => {
  const { writes, commits, save } = open(t);
  const saved = save(1, "soon");
  await commits.idle();
  assert.deepEqual(writes, [[1]]);
  await saved;
});

test("what comes while a write is under way is written after it, in the order of the calls", async (t) => {
  const { writes, save } = open(t);
  const saves = [save(1)];
  await setImmediate();
  saves.push(save(2, "soon"), save(3));
  await Promise.all(saves);
  assert.deepEqual(writes.flat(), [1, 2, 3]);
  assert.deepEqual(writes[0], [1]);
});
