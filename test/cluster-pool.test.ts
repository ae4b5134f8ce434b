/** The leader of a cluster and its agents, over a bus that loses, doubles and cuts. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type FromAgent, type ToAgent } from "../src/cluster/messages.ts";
import { isoTime } from "../src/common/clock.ts";
import { completionOf } from "../src/request.ts";
import { taskIdOf } from "../src/cluster/run-keys.ts";
import { ClusterWorld, type Run } from "./helpers/cluster-world.ts";

const SLOW = "engine: { simulated: { tokens_per_second: 20 } }";

function textOf(run: { outcome: unknown }): string {
  return (run.outcome as { result: { text: string } }).result.text;
}

test("a task runs on a machine, which tells its text and its end", async (t) => {
  const world = await ClusterWorld.start(t);
  await world.agent("one");
  await world.became(0, "ready");
  const run = world.run(0, "hello", 5);
  assert.equal((await world.ended(run)).status, "completed");
  assert.equal(run.text, textOf(run));
  assert.equal(run.task.use!.completionTokens, 5);
  const [gpu] = world.pool.list(() => ({ taskCount: 0, load: 0 }));
  assert.deepEqual([gpu!.id, gpu!.machine, gpu!.status], [0, "one", "ready"]);
  assert.deepEqual(world.pool.readiness(), { ready: true, reason: null });
});

test("a result's time is counted from where the server shows its task to have started", async (t) => {
  const world = await ClusterWorld.start(t);
  await world.agent("one");
  await world.became(0, "ready");
  const task = world.task(completionOf("hello", { maxTokens: 2 }));
  task.startedAt = Date.UTC(2030, 0, 1);
  const outcome = (await world.ended(world.run(0, "hello", 2, task))) as { result: { timestamp: number } };
  assert.match(isoTime(outcome.result.timestamp), /^2030-01-01T00:/);
});

test("each card of each machine has one gpu_id, and keeps it over restarts of both sides", async (t) => {
  const world = await ClusterWorld.start(t);
  const one = await world.agent("one", "", "simulated:2");
  await world.became(1, "ready");
  await world.agent("two");
  await world.became(2, "ready");
  await one.agent.stop(AbortSignal.abort());
  await world.became(0, "faulted");
  await world.nextLeader();
  world.pool.restored();
  await world.agent("one", "", "simulated:2");
  await world.changes.until(() => world.pool.gpuIds.length === 3);
  const gpus = world.pool.list(() => ({ taskCount: 0, load: 0 }));
  assert.deepEqual(
    gpus.map(({ id, machine }) => [id, machine]),
    [
      [0, "one"],
      [1, "one"],
      [2, "two"],
    ],
  );
});

test("what is lost on the way in either direction is repaired, and nothing runs twice", async (t) => {
  const world = await ClusterWorld.start(t);
  await world.agent("one", "engine: { simulated: { tokens_per_second: 300 } }", "simulated:1");
  await world.became(0, "ready");
  let count = 0;
  // Every third message that says anything, in both directions; six lost signs of life would be a lost machine.
  world.hub.loses = (_subject, message) => {
    const { commands = [], news = [], state } = message as Partial<ToAgent & FromAgent>;
    return (commands.length > 0 || news.length > 0 || state !== undefined) && ++count % 3 === 0;
  };
  world.hub.doubles = () => count % 4 === 0;
  const runs = Array.from({ length: 6 }, (_, index) => world.run(0, `task ${index}`, 40));
  for (const run of runs) {
    assert.equal((await world.ended(run)).status, "completed");
    assert.equal(run.text, textOf(run));
    assert.equal(run.task.use!.completionTokens, 40);
  }
});

test("a task is canceled on its machine, also when the command is lost", async (t) => {
  const world = await ClusterWorld.start(t);
  await world.agent("one", SLOW);
  await world.became(0, "ready");
  const run = world.run(0, "endless", 10_000);
  await world.changes.until(() => run.text !== "");
  let isLost = false;
  world.hub.loses = (subject, message) => {
    const { commands = [] } = message as Partial<ToAgent>;
    if (isLost || !subject.startsWith("alt-las.agent.") || commands.length === 0) return false;
    return (isLost = true);
  };
  world.pool.cancel(0, run.task);
  const outcome = await world.ended(run);
  assert.equal(outcome.status, "canceled");
  assert(isLost);
});

test("a machine that is silent is lost, its tasks end as cut off, and it is back with its next word", async (t) => {
  const world = await ClusterWorld.start(t);
  const { bus } = await world.agent("one", SLOW);
  await world.became(0, "ready");
  const run = world.run(0, "endless", 10_000);
  await world.changes.until(() => (run.task.use?.completionTokens ?? 0) > 0);
  await bus.set(false);
  const outcome = await world.ended(run);
  assert(outcome.status === "interrupted");
  assert.equal(outcome.reason, "machine_lost");
  const lost = run.task.use!.completionTokens;
  assert.equal(world.facts.get(0)!.instances[0]!.state, "faulted");
  const [gpu] = world.pool.list(() => ({ taskCount: 0, load: 0 }));
  assert.equal(gpu!.status, "faulted");
  // It still runs there, which nobody wants any more.
  const cancels: string[] = [];
  world.hub.loses = (_subject, message) => {
    for (const command of (message as Partial<ToAgent>).commands ?? [])
      if (command.type === "cancel") cancels.push(command.key);
    return false;
  };
  await bus.set(true);
  await world.became(0, "ready");
  const again = world.run(0, "again", 2, run.task);
  const end = await world.ended(again);
  assert(end.status === "completed");
  // A GPU has worked for the attempt that was lost, too.
  assert.deepEqual([end.result.completionTokens, again.task.use!.completionTokens], [2, lost + 2]);
  assert.deepEqual(
    [...new Set(cancels)].map((key) => key.split(":").slice(0, 2)),
    [[run.task.id, "1"]],
  );
  assert.equal(run.outcome, outcome);
});

test("a machine whose connection is closed is lost before it has missed its signs of life", async (t) => {
  const world = await ClusterWorld.start(t);
  const { bus } = await world.agent("one", SLOW);
  await world.became(0, "ready");
  world.hub.kill(bus);
  bus.isUp = false;
  await world.became(0, "faulted");
  assert.match(world.facts.get(0)!.instances[0]!.reason!, /has closed its connection/);
});

test("the leader's own cut connection makes no machine lost", async (t) => {
  const world = await ClusterWorld.start(t);
  await world.agent("one", SLOW);
  await world.became(0, "ready");
  const run = world.run(0, "hello", 30);
  await world.changes.until(() => run.text !== "");
  await world.bus.set(false);
  await new Promise((resolve) => void setTimeout(resolve, 500));
  await world.bus.set(true);
  assert.equal((await world.ended(run)).status, "completed");
  assert.equal(run.text, textOf(run));
});

test("an agent keeps an end until it is on disk", async (t) => {
  const world = await ClusterWorld.start(t);
  const { bus } = await world.agent("one");
  await world.became(0, "ready");
  const run = world.run(0, "hello", 3);
  await world.ended(run);
  const ends = new Set<string>();
  world.hub.loses = (_subject, message) => {
    const { state } = message as Partial<FromAgent>;
    if (state !== undefined) {
      ends.clear();
      for (const { key } of state.ends) ends.add(taskIdOf(key));
      world.changes.tell();
    }
    return false;
  };
  await bus.set(false);
  await bus.set(true);
  await world.changes.until(() => ends.has(run.task.id));
  world.stored(run.task);
  // It is told again until it is obeyed, so the state says so in the end.
  while (ends.size > 0) {
    await bus.set(false);
    await bus.set(true);
    await new Promise((resolve) => void setImmediate(resolve));
  }
});

test("a leader that comes later stops what nobody has taken over, and the one before hears that it is over", async (t) => {
  const world = await ClusterWorld.start(t);
  await world.agent("one", SLOW);
  await world.became(0, "ready");
  const run = world.run(0, "endless", 10_000);
  await world.changes.until(() => run.text !== "");
  const old = world.bus;
  await world.nextLeader();
  world.pool.restored();
  // Its slot is free again, as nobody has taken the run over.
  const next = await world.ended(world.run(0, "next", 2));
  assert.equal(next.status, "completed");
  await old.set(true);
  await world.changes.until(() => world.superseded.length > 0);
  assert.match(world.superseded[0]!, /Another server with a copy of this data directory leads .* It began later/);
});

test("a leader that comes later adopts what runs, and what has ended meanwhile", async (t) => {
  const world = await ClusterWorld.start(t);
  await world.agent("one", SLOW);
  await world.became(0, "ready");
  const [long, short] = [world.run(0, "endless", 40), world.run(0, "hello", 5)];
  await world.changes.until(() => long.text !== "" && short.text !== "");
  world.bus.isUp = false;
  await world.agentEnded("one", short);
  await world.nextLeader();
  const adopted = [world.adopt(long.task)!, world.adopt(short.task)!];
  assert.equal(world.adopt(world.task(long.task.request!)), null);
  assert.deepEqual([adopted[0]!.text, adopted[0]!.outcome], ["", null]);
  world.pool.restored();
  // It goes on at once, and not with its end alone.
  await world.changes.until(() => adopted[0]!.text.length > long.text.length);
  assert.equal(adopted[0]!.outcome, null);
  for (const run of adopted) {
    assert.equal((await world.ended(run)).status, "completed");
    assert.equal(run.text, textOf(run));
  }
  assert(adopted[0]!.text.startsWith(long.text));
  assert.deepEqual([adopted[0]!.task.use!.completionTokens, adopted[1]!.task.use!.completionTokens], [40, 5]);
});

test("a leader that remembers nothing has the same gpu_ids, as the machines know them", async (t) => {
  const world = await ClusterWorld.start(t);
  const memory = join(world.folder, "another");
  mkdirSync(memory);
  await world.agent("zero");
  await world.became(0, "ready");
  await world.agent("one", SLOW);
  await world.became(1, "ready");
  const run = world.run(1, "hello", 20);
  await world.changes.until(() => run.text !== "");
  // Its clock is behind that of the one before.
  const { gpus } = JSON.parse(readFileSync(join(world.folder, "cluster.json"), "utf8")) as { gpus: unknown[] };
  assert.equal(gpus.length, 2);
  t.mock.timers.enable({ apis: ["Date"], now: 1 });
  world.isAlone = true;
  await world.nextLeader(memory, 2);
  const adopted = world.adopt(run.task)!;
  world.pool.restored();
  assert.equal((await world.ended(adopted)).status, "completed");
  assert.deepEqual(
    world.pool.list(() => ({ taskCount: 0, load: 0 })).map(({ id, machine }) => [id, machine]),
    [
      [0, "zero"],
      [1, "one"],
    ],
  );
});

test("a second agent of the same name is sent away, and the first one serves on", async (t) => {
  const world = await ClusterWorld.start(t);
  await world.agent("one");
  await world.became(0, "ready");
  const twin = await world.agent("one");
  const why = await new Promise<Error>((resolve) => {
    twin.agent.refused.addEventListener("abort", () => resolve(twin.agent.refused.reason as Error));
  });
  assert.match(why.message, /Another agent is machine one of this cluster/);
  assert.equal((await world.ended(world.run(0, "hello", 2))).status, "completed");
});

test("a drain is remembered where the cluster is led, and holds for an agent that is started anew", async (t) => {
  const world = await ClusterWorld.start(t);
  const { agent } = await world.agent("one");
  await world.became(0, "ready");
  world.pool.drain(0, { by: "ada", deadlineSeconds: null });
  await world.became(0, "drained");
  await agent.stop(AbortSignal.abort());
  await world.became(0, "faulted");
  const { bus } = await world.agent("one");
  await world.became(0, "drained");
  // Put back while its machine is away.
  await bus.set(false);
  await world.became(0, "faulted");
  world.pool.resume(0, "ada");
  await bus.set(true);
  await world.became(0, "ready");
  assert.throws(() => world.pool.drain(7, { by: "ada", deadlineSeconds: null }), /There is no GPU 7; there are 0/);
});

test("an agent that stops takes nothing new, also when its GPU is put back meanwhile", async (t) => {
  const world = await ClusterWorld.start(t);
  const { agent } = await world.agent("one", SLOW);
  await world.became(0, "ready");
  const run = world.run(0, "hello", 10);
  await world.changes.until(() => run.text !== "");
  const stopped = agent.stop(new AbortController().signal);
  await world.became(0, "draining");
  const states = new Set<string>();
  world.hub.loses = (_subject, message) => {
    for (const news of (message as Partial<FromAgent>).news ?? [])
      if (news.type === "facts") for (const { state } of news.facts.instances) states.add(state);
    return false;
  };
  world.pool.resume(0, "ada");
  assert.equal((await world.ended(run)).status, "completed");
  world.stored(run.task);
  await stopped;
  assert(states.has("drained") && !states.has("ready"), [...states].join(", "));
});

test("a leader that remembers nothing learns from the machines which GPUs are drained", async (t) => {
  const world = await ClusterWorld.start(t);
  await world.agent("one");
  await world.became(0, "ready");
  world.pool.drain(0, { by: "ada", deadlineSeconds: null });
  await world.became(0, "drained");
  const memory = join(world.folder, "another");
  mkdirSync(memory);
  world.facts.clear();
  await world.nextLeader(memory, 1);
  world.pool.restored();
  await world.became(0, "drained");
  world.pool.resume(0, "ada");
  await world.became(0, "ready");
});

test("an attempt that an earlier leader gave, and did not remember, is another run than the one of its successor", async (t) => {
  const world = await ClusterWorld.start(t);
  await world.agent("one", SLOW, "simulated:2");
  await world.became(0, "ready");
  await world.became(1, "ready");
  const run = world.run(0, "endless", 10_000);
  await world.changes.until(() => run.text !== "");
  await world.nextLeader();
  // The task is queued, as it was before it was given.
  world.pool.restored();
  const again = world.run(1, "endless", 3, { ...run.task, attempts: [], use: null });
  const outcome = await world.ended(again);
  assert.deepEqual([outcome.status, again.task.use!.completionTokens], ["completed", 3]);
});

test("a worker that dies on a machine cuts off its tasks alone", async (t) => {
  const world = await ClusterWorld.start(t);
  const { workers } = await world.agent("one", SLOW, "simulated:2");
  await world.became(1, "ready");
  await world.became(0, "ready");
  const run = world.run(1, "endless", 10_000);
  await world.changes.until(() => run.text !== "");
  workers.of(1).kill();
  await world.changes.until(() => world.lost.length > 0);
  assert.deepEqual(world.lost, [{ instance: { gpuId: 1, id: 0 }, reason: "worker_crash" }]);
  assert.equal(run.outcome, null);
});

test("a machine that comes with GPUs that are ready may be given what waits while it is told of", async (t) => {
  const world = await ClusterWorld.start(t);
  await world.agent("one");
  await world.became(0, "ready");
  // The next leader has not heard the machine when it has taken over all tasks.
  world.hub.loses = () => true;
  await world.nextLeader();
  world.pool.restored();
  const placed = Promise.withResolvers<Run>();
  world.changed = ({ id, instances }) => {
    world.changed = () => {};
    if (instances[0]?.state === "ready") placed.resolve(world.run(id, "hello", 2));
  };
  world.hub.loses = () => false;
  assert.equal((await world.ended(await placed.promise)).status, "completed");
});
