/** What waits may be larger than the heap: a start reads none of it, and a slot that frees gets its text from the store. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { mostMemory, MIB, startOver, submitLongest, untilCompleted } from "../helpers/small-heap.ts";

test("with a heap of 320 MiB and the default limits a server starts over 1 GiB of waiting text, runs it and fills up again", async (t) => {
  const server = await startOver(t, { heap: 320, tasks: 99_000, mebibytes: 990 });
  await untilCompleted(server, 100);
  let accepted = 0;
  for (; accepted < 200; accepted++) {
    const body = { text: "ğ".repeat(MIB / 2), max_length: 10 };
    const { status } = await server.request("POST", "/api/v1/predict", { body });
    if (status === 503) break;
    assert.equal(status, 200);
  }
  assert.ok(accepted >= 30 && accepted < 200, `${accepted} fit beside what waits`);
  await untilCompleted(server, 300);
  const memory = mostMemory(server);
  if (memory !== null) assert.ok(memory < 900 * MIB, `${Math.round(memory / MIB)} MiB`);
  assert.equal((await server.stop()).code, 0);
});

test("with that heap a start survives as many tasks with the longest webhooks and types as a run accepts", async (t) => {
  const server = await startOver(t, { heap: 320, tasks: 48000, mebibytes: 1, longest: true });
  const [line] = await server.logged(({ msg }) => msg === "took over unfinished tasks");
  assert.equal(line!["tasks"], 48000);
  const { accepted, refusal } = await submitLongest(server, 1000);
  assert.match(refusal, /^503 queue_full: .*waiting tasks take \d+ of at most \d+ bytes of memory \(NODE_OPTIONS/);
  assert.ok(accepted > 10, `${accepted} have room beside them`);
});

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
