/** Which saves are written together, and which of them wait. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
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

test("after a write for several clients, the ends of their tasks share the write of their next ones", async () => {
  const { writes, commits } = open();
  await Promise.all([commits.save([newTask(1)], [], "now"), commits.save([newTask(2)], [], "now")]);
  const ended = commits.save([newTask(1), newTask(2)], [], "soon");
  const first = commits.save([newTask(3)], [], "now");
  await setImmediate();
  await setImmediate();
  assert.deepEqual(writes, [[1, 2]], "the first of two that were answered together waits for the second");
  await Promise.all([ended, first, commits.save([newTask(4)], [], "now")]);
  assert.deepEqual(writes, [
    [1, 2],
    [1, 2, 3, 4],
  ]);
});

test("a client whose companions do not come back is written all the same, and waits for nobody the next time", async () => {
  const { writes, commits } = open();
  await Promise.all([1, 2, 3].map((seq) => commits.save([newTask(seq)], [], "now")));
  await commits.save([newTask(4)], [], "now");
  const patient = commits.save([newTask(4)], [], "soon");
  await commits.save([newTask(5)], [], "now");
  await patient;
  assert.deepEqual(writes, [[1, 2, 3], [4], [4, 5]]);
});

test("sixteen that are waited for are enough, however many there were before", async () => {
  const { writes, commits } = open();
  const save = (seqs: readonly number[]) => Promise.all(seqs.map((seq) => commits.save([newTask(seq)], [], "now")));
  const seqs = Array.from({ length: 40 }, (_, index) => index);
  await save(seqs);
  const sixteen = save(seqs.slice(0, 16));
  await setImmediate();
  assert.equal(writes.length, 2);
  await sixteen;
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
  await setImmediate();
  saves.push(commits.save([newTask(2)], [], "soon"), commits.save([newTask(3)], [], "now"));
  await Promise.all(saves);
  assert.deepEqual(writes.flat(), [1, 2, 3]);
  assert.deepEqual(writes[0], [1]);
});
