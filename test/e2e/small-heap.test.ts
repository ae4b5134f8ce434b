/** What waits may be larger than the heap: a start reads none of it, and a slot that frees gets its text from the store. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { mostMemory, MIB, startOver, submitLongest, untilCompleted } from "../helpers/small-heap.ts";

test("a server whose heap is half of the waiting texts starts, runs them and takes more", async (t) => {
  const server = await startOver(t, { heap: 64, tasks: 1000, mebibytes: 128 });
  const [line] = await server.logged(({ msg }) => msg === "took over unfinished tasks");
  assert.equal(line!["tasks"], 1000);
  await untilCompleted(server, 40);
  for (let count = 0; count < 20; count++) {
    const { status } = await server.predict({ text: "ğ".repeat(MIB / 2), max_length: 10 });
    assert.equal(status, "queued", "it waits behind the others");
  }
  await untilCompleted(server, 80);
  const memory = mostMemory(server);
  if (memory !== null) assert.ok(memory < 420 * MIB, `${Math.round(memory / MIB)} MiB`);
  assert.equal((await server.stop()).code, 0);
});

test("as many tasks with the longest webhooks and types as a heap may hold: a start survives them, and the next ones are refused", async (t) => {
  const server = await startOver(t, { heap: 64, tasks: 9600, mebibytes: 1, longest: true });
  const [line] = await server.logged(({ msg }) => msg === "took over unfinished tasks");
  assert.equal(line!["tasks"], 9600);
  const { accepted, refusal } = await submitLongest(server, 1000);
  assert.match(refusal, /^503 queue_full: .*waiting tasks take \d+ of at most \d+ bytes of memory \(NODE_OPTIONS/);
  assert.ok(accepted > 10, `${accepted} have room beside them`);
});
