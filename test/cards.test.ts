/** What is known of the physical cards, and how much memory of them is left for models. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Cards } from "../src/gpu/card/cards.ts";
import { UNKNOWN } from "../src/gpu/card/readings.ts";
import { type GpuSample } from "../src/gpu/telemetry/telemetry.ts";

interface Worker {
  readonly use: "none" | "loading" | "loaded";
  readonly idleFor: number;
  readonly pids: readonly number[];
}

function sampleOf(uuid: string, changes: Partial<GpuSample> = {}): GpuSample {
  const { othersMemory: _memory, othersUtilization: _utilization, upstream: _upstream, ...known } = UNKNOWN;
  return { ...known, uuid, processes: [], ...changes };
}

function cardsOf(workers: Readonly<Record<string, readonly Worker[]>> = {}): Cards {
  const cards = new Cards((uuid) => workers[uuid] ?? []);
  for (const uuid of ["A", "B"]) cards.add(uuid);
  return cards;
}

/** Whether something has happened when everything that can happen now has. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  void promise.then(() => (settled = true));
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
}

test("memory that no worker of ours has touched is known as soon as a driver tells it", async () => {
  const cards = cardsOf();
  assert.equal(cards.areKnown, false);
  assert.deepEqual(await cards.free(["A"]), [null]);
  const readings = cards.read([sampleOf("A", { memoryFree: 5 }), sampleOf("elsewhere", { memoryFree: 9 })]);
  assert.deepEqual([[...readings.keys()], cards.areKnown], [["A"], true]);
  assert.deepEqual(await cards.free(["A", "B"]), [5, null]);
});

test("after a worker of ours was on a card, memory counts only when it was measured after that", async () => {
  const cards = cardsOf();
  cards.read([sampleOf("A", { memoryFree: 5 })]);
  await cards.started(["A"], process.pid);
  const free = cards.free(["A"]);
  assert.equal(await isSettled(free), false);
  cards.read([sampleOf("A", { memoryFree: 6 })]);
  assert.equal(await isSettled(free), false, "that may have been measured before");
  cards.read([sampleOf("A", { memoryFree: 7 })]);
  assert.deepEqual(await free, [7]);
  const never = cards.free(["A"]);
  cards.stop();
  assert.equal(await isSettled(never), true, "a stop waits for no figures");
});

test("what workers of ours take of a card is not taken by others", async () => {
  const cards = cardsOf({ A: [{ use: "loaded", idleFor: 0, pids: [11] }] });
  const processes = [
    { pid: 11, memory: 60, utilization: null },
    { pid: 12, memory: 20, utilization: null },
  ];
  const sample = sampleOf("A", { memoryTotal: 100, memoryUsed: 80, memoryFree: 20, processes });
  assert.equal(cards.read([sample]).get("A")?.others.memory, 0.2);
});

test("of two workers on one card nobody can tell what each of them takes", () => {
  const worker: Worker = { use: "loaded", idleFor: 0, pids: [] };
  assert.equal(cardsOf({ A: [worker, worker] }).footprint(["A"]), null);
  assert.equal(cardsOf({}).footprint([]), null, "of devices without cards nothing was measured");
});
