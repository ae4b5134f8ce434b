/** What waits takes memory: a start survives as much of it as a run accepts. test/wide/small-heap.test.ts has texts larger than the heap. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startOver, submitLongest } from "../helpers/small-heap.ts";

test("as many tasks with the longest webhooks and types as a heap may hold: a start survives them, and the next ones are refused", async (t) => {
  const server = await startOver(t, { heap: 64, tasks: 9600, mebibytes: 1, longest: true });
  const [line] = await server.logged(({ msg }) => msg === "took over unfinished tasks");
  assert.equal(line!["tasks"], 9600);
  const { accepted, refusal } = await submitLongest(server, 1000);
  assert.match(refusal, /^503 queue_full: .*waiting tasks take \d+ of at most \d+ bytes of memory \(NODE_OPTIONS/);
  assert.ok(accepted > 10, `${accepted} have room beside them`);
});
