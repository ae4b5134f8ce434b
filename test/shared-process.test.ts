/** Workers that share one process: one of them, and the process itself, may end without harm to the others. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { TICK_MS } from "../src/gpu/worker/stall-watch.ts";
import { Line, run } from "./helpers/line.ts";
import { SharedWorkers } from "./helpers/shared-workers.ts";

/** So many workers of one process, loaded. */
async function loaded(t: TestContext, workers: SharedWorkers, count: number): Promise<Line[]> {
  const lines = Array.from({ length: count }, () => new Line(t, workers.open));
  for (const line of lines) line.load([], { tokens_per_second: 100, context: 1e9 });
  await Promise.all(lines.map((line) => line.until(() => line.count("loaded") > 0)));
  return lines;
}

/** Lets the server's clock of ticks go on; what the workers say arrives meanwhile. */
async function ticks(t: TestContext, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    t.mock.timers.tick(TICK_MS);
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  }
}

test("workers end, by themselves or killed, while the others of their process go on with their tasks", async (t) => {
  const workers = new SharedWorkers();
  const [stopped, killed, refused, other] = await loaded(t, workers, 4);
  other!.channel.send({ type: "run", requests: [run(1, "long", 1e6)] });
  killed!.channel.send({ type: "run", requests: [run(1, "also long", 1e6)] });
  refused!.load([{ kind: "load_error" }]);
  stopped!.channel.send({ type: "stop" });
  killed!.channel.kill();
  const ends = await Promise.all([stopped!, killed!, refused!].map((line) => line.closed()));
  assert.deepEqual(
    ends.map(({ how, sharedDeaths }) => [how, sharedDeaths]),
    [
      ["exit code 0", undefined],
      ["SIGKILL", undefined],
      ["exit code 0", undefined],
    ],
  );
  const steps = other!.count("step");
  await other!.until(() => other!.count("step") > steps + 2);
  assert.deepEqual([workers.processes.length, other!.ends], [1, []]);
});

test("the process ends with its last worker, and the next worker has a new one", async (t) => {
  const workers = new SharedWorkers();
  const [first] = await loaded(t, workers, 1);
  first!.channel.send({ type: "stop" });
  await first!.closed();
  assert.equal(workers.process.isAlive, false);
  const [second] = await loaded(t, workers, 1);
  second!.channel.kill();
  const [third] = await loaded(t, workers, 1);
  assert.deepEqual([second!.ends.length, third!.ends.length, workers.processes.length], [1, 0, 3]);
});

test("a process that dies ends all its workers, blames none, and is started once for all who start again", async (t) => {
  let now = 0;
  const workers = new SharedWorkers({ now: () => now });
  for (const deaths of [1, 2, 3]) {
    const lines = await loaded(t, workers, 3);
    assert.equal(workers.processes.length, deaths);
    workers.process.kill();
    const ends = await Promise.all(lines.map((line) => line.closed()));
    for (const end of ends) assert.deepEqual(end, { how: "SIGKILL", stderr: "", sharedDeaths: deaths });
  }
  // Old deaths count no more.
  now = 300_000;
  const [line] = await loaded(t, workers, 2);
  workers.process.kill();
  assert.equal((await line!.closed()).sharedDeaths, 1);
});

test("a process that gives no sign of life is killed, and no other is while it says something", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const workers = new SharedWorkers();
  const lines = await loaded(t, workers, 2);
  await ticks(t, 200);
  assert.equal(workers.process.isAlive, true);
  workers.process.freeze();
  await ticks(t, 122);
  for (const line of lines) {
    const { how, sharedDeaths } = await line.closed();
    assert.deepEqual([how, sharedDeaths], ["it gave no sign of life for 60 s (gpu.stall_timeout)", 1]);
  }
});

test("a worker that cannot be ended takes the process along, which is no fault of the others", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const workers = new SharedWorkers();
  const [deaf, other] = await loaded(t, workers, 2);
  workers.process.freeze();
  deaf!.channel.kill();
  await ticks(t, 12);
  assert.deepEqual(await deaf!.closed(), { how: "SIGKILL", stderr: "" });
  assert.equal((await other!.closed()).sharedDeaths, 1);
});
