/**
 * What a GPU makes of a worker and a card that fail in each way they can. Its workers are in this process, in a time that passes as the tests
 * need it; test/wide/gpu-processes.test.ts has those that are processes.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Mutex } from "../src/common/mutex.ts";
import { type SimulatedFailure } from "../src/engine/engine.ts";
import { type CutOff, type Outcome } from "../src/task.ts";
import { aDevice, aGpu } from "./helpers/devices.ts";
import { aDeafWorkerIsReplaced, aTask, DEAF, ENDLESS, GpuOwner, LATER } from "./helpers/gpu-owner.ts";

function cutOffOf(outcome: Outcome): CutOff {
  assert.ok(outcome.status === "interrupted");
  return outcome;
}

test("a GPU whose worker dies three times is faulted, and comes back when it has generated a token", async (t) => {
  const owner = new GpuOwner(t);
  await owner.ready();
  for (let death = 1; death <= 3; death++) {
    await owner.is("ready");
    owner.workers.of().kill();
    await owner.until(() => owner.losses.length === death);
  }
  await owner.is("ready");
  assert.deepEqual(owner.states.slice(-3), ["ready", "faulted", "ready"]);
});

test("a GPU that hangs under its work is faulted, and its tasks are lost", async (t) => {
  const owner = new GpuOwner(t, {
    engine: { failures: [{ kind: "stall", when_text_contains: "freeze" }] },
    timing: LATER,
    stallTimeout: 0.5,
  });
  await owner.ready();
  owner.run(aTask("freeze"));
  await owner.is("faulted");
  await owner.until(() => owner.losses.length === 1);
  assert.match(owner.reason, /made no progress on its tasks for 0\.5 s/);
  assert.equal(owner.hasWorker, false);
});

test("a faulted GPU that still fails stays faulted, and is tried again", async (t) => {
  const failures = [{ kind: "error", when_text_contains: "Hello" } as const];
  const owner = new GpuOwner(t, { device: aDevice(), engine: { failures } });
  await owner.ready();
  owner.gpu.report({ type: "xid", uuid: "SIMULATED-0", xid: 79 });
  const tries = (): number => owner.losses.length;
  await owner.until(() => tries() >= 4);
  assert.match(owner.reason, /asked for one token: The simulated model is set to fail/);
  assert.ok(!owner.states.slice(2).includes("ready"));
});

test("an idle GPU is asked for a token now and then, and is faulted when it gives none", async (t) => {
  const failures = [{ kind: "error", when_text_contains: "Hello" } as const];
  const owner = new GpuOwner(t, { engine: { failures }, healthCheckInterval: 1, timing: LATER });
  await owner.ready();
  await owner.is("faulted");
});

test("Xid errors do what the catalogue says: reset, new worker, or nothing", async (t) => {
  const owner = new GpuOwner(t, { device: aGpu(), timing: LATER });
  await owner.ready();
  const uuid = aGpu().uuids[0]!;
  owner.gpu.report({ type: "xid", uuid, xid: 63 });
  assert.deepEqual([owner.state, owner.workers.count], ["ready", 1]);
  owner.gpu.report({ type: "xid", uuid, xid: 31 });
  assert.equal(owner.state, "starting");
  await owner.is("ready");
  assert.equal(owner.workers.count, 2);
  owner.gpu.report({ type: "xid", uuid, xid: 79 });
  assert.equal(owner.state, "faulted");
  assert.match(owner.reason, /^Xid 79: .* needs a reset\.$/);
  assert.deepEqual(owner.losses, ["worker_crash", "gpu_lost"]);
  assert.deepEqual(owner.gpu.status().xids, { 63: 1, 31: 1, 79: 1 });
});

test("a double-bit error faults the GPU", async (t) => {
  const owner = new GpuOwner(t, { device: aGpu(), timing: LATER });
  await owner.ready();
  owner.gpu.report({ type: "double_bit_ecc", uuid: aGpu().uuids[0]! });
  assert.equal(owner.state, "faulted");
});

test("a card that vanishes is lost with its tasks, and serves again when it is back", async (t) => {
  const owner = new GpuOwner(t, { device: aGpu(), engine: ENDLESS });
  await owner.ready();
  owner.run(aTask("wait", 1e6));
  owner.gpu.vanish("GPU is lost.");
  assert.deepEqual([owner.state, owner.losses, owner.hasWorker], ["lost", ["gpu_lost"], false]);
  owner.gpu.vanish("GPU is lost.");
  assert.equal(owner.losses.length, 1);
  owner.gpu.read(READING);
  await owner.is("ready");
});

test("a drained GPU lets its tasks finish, then ends its worker, and loads again when it is resumed", async (t) => {
  const owner = new GpuOwner(t, { engine: { tokens_per_second: 50 } });
  await owner.ready();
  const last = aTask("last", 10);
  owner.run(last);
  owner.gpu.drain("Drained by ada.", null);
  assert.equal(owner.state, "draining");
  assert.equal((await owner.outcome(last)).status, "completed");
  assert.deepEqual([owner.state, owner.hasWorker, owner.losses], ["drained", false, []]);
  owner.gpu.resume("Resumed by ada.");
  await owner.is("ready");
});

test("a GPU that is resumed is not ready before it has a worker again", async (t) => {
  const owner = new GpuOwner(t);
  await owner.ready();
  owner.gpu.drain("Drained by ada.", null);
  owner.gpu.resume("Resumed by ada.");
  await owner.is("ready");
  assert.deepEqual(owner.states, ["starting", "ready", "drained", "starting", "ready"]);
});

test("a faulted GPU on which the model cannot be opened stays faulted and is tried again", async (t) => {
  const failures: SimulatedFailure[] = [];
  const owner = new GpuOwner(t, { device: aGpu(), engine: { failures } });
  await owner.ready();
  failures.push({ kind: "load_error" });
  owner.gpu.report({ type: "xid", uuid: aGpu().uuids[0]!, xid: 79 });
  await owner.until(() => /set to fail when it is loaded/.test(owner.reason));
  assert.equal(owner.state, "faulted");
  failures.pop();
  await owner.is("ready");
});

test("after a drain's deadline what still runs is given back", async (t) => {
  const owner = new GpuOwner(t, { engine: ENDLESS });
  await owner.ready();
  owner.run(aTask("endless", 1e6));
  owner.gpu.drain("Drained by ada.", 0.05);
  await owner.until(() => owner.losses.length === 1);
  assert.deepEqual([owner.state, owner.losses], ["drained", ["gpu_drained"]]);
});

test("a GPU that was drained at an earlier start has no worker until it is resumed", async (t) => {
  const owner = new GpuOwner(t);
  owner.gpu.start("Drained before.");
  assert.deepEqual([owner.state, owner.workers.count], ["drained", 0]);
  owner.gpu.resume("Resumed.");
  await owner.is("ready");
});

test("a model that does not fit makes the GPU unfit, with both numbers, until there is memory", async (t) => {
  let budget = 1e9;
  const engine = { memory_bytes: 2e9 };
  const owner = new GpuOwner(t, { device: aGpu(), engine, memoryBudget: () => budget });
  owner.gpu.start(null);
  await owner.is("unfit");
  assert.match(owner.reason, /needs at least 1\.9 GiB of memory.*; 953\.6 MiB may be used\.$/);
  budget = 4e9;
  await owner.is("ready");
});

test("a worker that sees another GPU than it was given is faulted, never used", async (t) => {
  // No CUDA driver shows this worker the GPU it was given; the engine claims the CPU.
  const device = aGpu({ engine: { ...aGpu().engine, kind: "llama" } });
  const owner = new GpuOwner(t, { device, timing: LATER });
  owner.gpu.start(null);
  await owner.is("faulted");
  assert.match(owner.reason, /^The worker was to use cuda on GPU-.*, but llama\.cpp opened simulated\.$/);
  assert.ok(!owner.states.includes("ready"));
});

test("a worker that dies twice while loading is held to have a bad model", async (t) => {
  const owner = new GpuOwner(t, { engine: { load_seconds: 1e6 } });
  owner.gpu.start(null);
  for (let death = 1; death <= 2; death++) {
    await owner.until(() => owner.gpu.instances[0]!.usage !== null);
    owner.workers.of().kill();
    await owner.until(() => owner.losses.length === death);
  }
  assert.equal(owner.state, "unfit");
  assert.match(owner.reason, /^The worker died 2 times while loading the model \(SIGKILL\)/);
});

test("a hot GPU keeps what runs and is ready again when it has cooled down", async (t) => {
  const owner = new GpuOwner(t, { device: aGpu() });
  await owner.ready();
  owner.gpu.read({ ...READING, temperature: 90 });
  assert.deepEqual([owner.state, owner.losses], ["hot", []]);
  owner.gpu.read({ ...READING, temperature: 70 });
  assert.equal(owner.state, "ready");
});

test("a GPU that others fill is crowded, and says since when in its history", async (t) => {
  const owner = new GpuOwner(t, { device: aGpu() });
  await owner.ready();
  owner.gpu.read({ ...READING, othersMemory: 0.95 });
  assert.equal(owner.gpu.facts().instances[0]!.crowded, "memory_taken");
  assert.equal(owner.gpu.status().events.at(-1)?.event, "crowded");
});

test("a GPU that has no room says so before its task is told, and takes tasks again after a while", async (t) => {
  const failures: SimulatedFailure[] = [{ kind: "full", when_text_contains: "refused" }];
  const owner = new GpuOwner(t, { engine: { failures } });
  await owner.ready();
  const crowded: unknown[] = [];
  const refused = aTask("refused");
  owner.run(refused);
  const { reason, retryAfter } = cutOffOf(await owner.outcome(refused));
  assert.deepEqual([reason, retryAfter], ["gpu_full", 1]);
  crowded.push(owner.gpu.facts().instances[0]!.crowded);
  await owner.until(() => owner.gpu.facts().instances[0]!.crowded === null);
  assert.deepEqual([crowded, owner.state, owner.losses], [["server_full"], "ready", []]);
});

test("a GPU that had no room takes tasks again as soon as another one has left it", async (t) => {
  const failures: SimulatedFailure[] = [{ kind: "full", when_text_contains: "refused" }];
  const owner = new GpuOwner(t, { engine: { ...ENDLESS, failures } });
  await owner.ready();
  const [refused, other] = [aTask("refused"), aTask("other", 1e6)];
  owner.run(other);
  owner.run(refused);
  await owner.outcome(refused);
  assert.equal(owner.gpu.facts().instances[0]!.crowded, "server_full");
  owner.gpu.cancel(other);
  await owner.outcome(other);
  assert.equal(owner.gpu.facts().instances[0]!.crowded, null);
});

test("a task that is cut off by itself says nothing against its GPU", async (t) => {
  const owner = new GpuOwner(t, { engine: { failures: [{ kind: "cut_off", after_tokens: 2 }] } });
  await owner.ready();
  const task = aTask("a");
  owner.run(task);
  assert.equal(cutOffOf(await owner.outcome(task)).reason, "gpu_lost");
  assert.deepEqual([owner.state, owner.losses], ["ready", []]);
});

test("an idle GPU that has no room passes its check", async (t) => {
  const owner = new GpuOwner(t, { engine: { failures: [{ kind: "full" }] }, healthCheckInterval: 1 });
  await owner.ready();
  await owner.pass(10);
  assert.deepEqual([owner.state, owner.workers.count, owner.losses], ["ready", 1, []]);
});

test("workers on one card load one after the other", async () => {
  const mutex = new Mutex();
  const order: string[] = [];
  const first = await mutex.take(["a", "b"]);
  const second = mutex.take(["b"]).then((done) => {
    order.push("second");
    return done;
  });
  const other = await mutex.take(["c"]);
  order.push("other");
  other();
  order.push("first done");
  first();
  (await second)();
  assert.deepEqual(order, ["other", "first done", "second"]);
});

test("what a worker that is killed was to stop is lost like the rest", async (t) => {
  const owner = new GpuOwner(t, { engine: { ...ENDLESS, failures: DEAF } });
  await owner.ready();
  const deaf = aTask("deaf", 1e6);
  owner.run(deaf);
  owner.gpu.cancel(deaf);
  owner.workers.of().kill();
  await owner.until(() => owner.losses.length === 1);
  assert.deepEqual([owner.losses, owner.outcomes.size], [["worker_crash"], 0]);
});

test("a canceled task keeps its text, and its worker and its neighbours go on", async (t) => {
  const owner = new GpuOwner(t, { engine: { tokens_per_second: 50 }, cancelTimeout: 0.5 });
  await owner.ready();
  const [canceled, neighbour] = [aTask("canceled", 4000), aTask("neighbour", 100)];
  owner.run(canceled);
  owner.run(neighbour);
  await owner.until(() => owner.texts.has(canceled));
  owner.gpu.cancel(canceled);
  const outcome = await owner.outcome(canceled);
  assert.ok(outcome.status === "canceled" && outcome.result?.text === owner.texts.get(canceled));
  // It runs for longer than the worker has to stop a task.
  assert.equal((await owner.outcome(neighbour)).status, "completed");
  assert.deepEqual([owner.workers.count, owner.losses], [1, []]);
});

for (const how of ["ignores the cancel", "hangs"] as const) {
  test(`a worker that ${how} is replaced: the canceled task ends with its text, the others are given back`, (t) =>
    aDeafWorkerIsReplaced(t, how));
}

test("a worker that does not stop a task is one of the three failures that make a GPU faulted", async (t) => {
  const owner = new GpuOwner(t, { engine: { ...ENDLESS, failures: DEAF }, timing: LATER, cancelTimeout: 0.5 });
  await owner.ready();
  for (let death = 1; death <= 2; death++) {
    await owner.is("ready");
    owner.workers.of().kill();
    await owner.until(() => owner.losses.length === death);
  }
  await owner.is("ready");
  const deaf = aTask("deaf", 1e6);
  owner.run(deaf);
  owner.gpu.cancel(deaf);
  await owner.is("faulted");
  await owner.until(() => owner.losses.length === 3);
  assert.deepEqual(
    owner.told.slice(2).map(({ what, state }) => [what, state]),
    [
      [deaf, "faulted"],
      ["worker_stopped", "faulted"],
    ],
  );
});

test("a draining GPU whose worker does not stop its last task is drained", async (t) => {
  const owner = new GpuOwner(t, { engine: { ...ENDLESS, failures: DEAF }, cancelTimeout: 0.5 });
  await owner.ready();
  const deaf = aTask("deaf", 1e6);
  owner.run(deaf);
  owner.gpu.drain("Drained by ada.", null);
  owner.gpu.cancel(deaf);
  await owner.until(() => owner.losses.length === 1);
  assert.deepEqual([owner.state, owner.hasWorker, owner.outcomes.get(deaf)?.status], ["drained", false, "canceled"]);
});

const READING = {
  utilization: 10,
  memoryTotal: 80e9,
  memoryUsed: 8e9,
  memoryFree: 72e9,
  temperature: 50,
  power: 100,
  powerLimit: 700,
  energy: 1000,
  throttle: [],
  ecc: null,
  processes: null,
  othersMemory: 0.1,
  othersUtilization: 0,
  upstream: null,
};
