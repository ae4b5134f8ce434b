/** Which saves are written together, and which of them wait. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GroupCommit } from "../src/store/thread/group-commit.ts";
import { type Task } from "../src/task.ts";
import { newTask } from "./helpers/store.ts";

function open() {
  /** The numbers of the tasks of each write. */
  const writes: number[][] = [];
  const write = async (tasks: ReadonlySet<Task>): Promise<void> => {
    writes.push([...tasks].map(({ seq }) => seq));
  };
  return { writes, commits: new GroupCommit({ write, failed: () => {} }) };
}

test("a save that nobody waits for is written with the next one", async () => {
  const { writes, commits } = open();
  const patient = commits.save([newTask(1)], [], "soon");
  await Promise.all([patient, commits.save([newTask(2)], [], "now")]);
  assert.deepEqual(writes, [[1, 2]]);
});

test("a save that nobody waits for is written by itself when no other comes", async () => {
  const { writes, commits } = open();
  await commits.save([newTask(1)], [], "soon");
  await commits.save([newTask(2)], [], "soon");
  assert.deepEqual(writes, [[1], [2]]);
});

test("after a write for several clients, the ends of their tasks are written before their next ones", async () => {
  const { writes, commits } = open();
  await Promise.all([commits.save([newTask(1)], [], "now"), commits.save([newTask(2)], [], "now")]);
  const ended = commits.save([newTask(1), newTask(2)], [], "soon");
  await new Promise((resolve) => setImmediate(resolve));
  await Promise.all([ended, commits.save([newTask(3)], [], "now")]);
  assert.deepEqual(writes, [[1, 2], [1, 2], [3]]);
});

test("before a close, a save that nobody waits for is written, too", async () => {
  const { writes, commits } = open();
  const saved = commits.save([newTask(1)], [], "soon");
  await commits.idle();
  assert.deepEqual(writes, [[1]]);
  await saved;
});

test("what comes while a write is under way is written after it, in the order of the calls", async () => {
  const { writes, commits } = open();
  const saves = [commits.save([newTask(1)], [], "now")];
  await new Promise((resolve) => setImmediate(resolve));
  saves.push(commits.save([newTask(2)], [], "soon"), commits.save([newTask(3)], [], "now"));
  await Promise.all(saves);
  assert.deepEqual(writes.flat(), [1, 2, 3]);
  assert.deepEqual(writes[0], [1]);
});
