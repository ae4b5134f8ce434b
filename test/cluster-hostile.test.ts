/** Agents that lie, talk nonsense or lose what they say harm nothing but their own machine. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { pino } from "pino";
import { GpuIds, MOST_EPOCH } from "../src/cluster/gpu-ids.ts";
import { Leadership } from "../src/cluster/leadership.ts";
import {
  type AgentState,
  type Beat,
  BEATS,
  type FromAgent,
  MOST_MISSED,
  newsOf,
  PROTOCOL,
  type ToAgent,
} from "../src/cluster/messages.ts";
import { completionOf } from "../src/request.ts";
import { ClusterWorld } from "./helpers/cluster-world.ts";

const SLOW = "engine: { simulated: { tokens_per_second: 20 } }";

test("what no agent says is ignored, and the machines of others serve on", async (t) => {
  const world = await ClusterWorld.start(t);
  const told: AgentState[] = [];
  world.hub.loses = (_subject, message) => {
    const { state: one } = message as Partial<FromAgent>;
    if (one !== undefined) told.push(one);
    return false;
  };
  await world.agent("one");
  await world.became(0, "ready");
  const state = told[0]!;
  const { gpus, look } = state;
  const spy = world.hub.connect();
  const about = {
    version: PROTOCOL,
    incarnation: "a",
    number: 1,
    epoch: 0,
    leader: null,
    session: 0,
    heard: 0,
    news: [],
  };
  const say = (more: object, name = "evil"): void => spy.send(newsOf(name), { ...about, ...more });
  const states = [
    ...[-1, 1.5, "x", null, 1e300].map((gpuId) => ({ ...state, gpus: [{ ...gpus[0]!, gpuId }] })),
    { ...state, look: {} },
    { ...state, look: { ...look, gpus: [{ ...look.gpus[0]!, id: 7 }] } },
    { ...state, look: { ...look, gpus: [{ ...look.gpus[0]!, since: 1e300 }] } },
    { ...state, facts: [{ ...state.facts[0]!, id: 7 }] },
    { ...state, runs: [{ key: "task:1:a", instance: { gpuId: 7, id: 0 }, output: [] }] },
    { ...state, ends: [{ key: "task:1:a", instance: { gpuId: 0, id: 0 }, outcome: { status: "happy" }, use: null }] },
  ];
  for (const nonsense of states) say({ state: nonsense });
  for (const epoch of [9e15, 1e300, -1, 1.5, "x", null]) say({ epoch });
  for (const incarnation of ["a.b", "*", "", null]) say({ incarnation, state });
  for (const news of [null, {}, [null], [{ type: "__proto__" }], [{ type: "delta", key: "a", before: 0, delta: null }]])
    say({ news }, "one");
  spy.send(newsOf("one"), [] as object);
  say({ version: PROTOCOL + 1 }, "other");
  say({ version: PROTOCOL + 1 }, "other");
  assert.equal((await world.ended(world.run(0, "hello", 2))).status, "completed");
  assert.deepEqual(world.superseded, []);
  assert.deepEqual(world.pool.gpuIds, [0]);
  assert.equal(world.pool.list(() => ({ taskCount: 0, load: 0 })).length, 1);
  // Once for each.
  assert.deepEqual(world.said.filter((line) => line.includes("upgrade this server first")).length, 1);
  assert.equal(world.said.length, 3, world.said.join("\n"));
  assert.deepEqual([...GpuIds.open(world.folder).machines], ["one"]);
});

test("what no server says makes no agent deaf to the one that leads", async (t) => {
  const world = await ClusterWorld.start(t);
  await world.agent("one");
  await world.became(0, "ready");
  const spy = world.hub.connect();
  const beat = { version: 1, speaks: [PROTOCOL], epoch: 2 ** 45, leader: "evil", cluster: "the-cluster" };
  for (const nonsense of [{ epoch: "x" }, { epoch: null }, { epoch: 1e300 }, { leader: 7 }, { leader: null }])
    spy.send(BEATS, { ...beat, ...nonsense });
  assert.equal((await world.ended(world.run(0, "hello", 2))).status, "completed");
});

test("a server that says it leads with the highest of all epochs raises nobody's", async (t) => {
  const world = await ClusterWorld.start(t);
  world.isAlone = true;
  await world.nextLeader();
  world.pool.restored();
  const { epoch } = world.pool.status();
  const spy = world.hub.connect();
  const beat = { version: 1, speaks: [PROTOCOL], leader: "evil", cluster: "the-cluster" };
  let beats = 0;
  const end = spy.listen(BEATS, () => {
    beats++;
    spy.send(BEATS, { ...beat, epoch: Number.MAX_SAFE_INTEGER });
    world.changes.tell();
  });
  await world.changes.until(() => beats > 3 * MOST_MISSED);
  end();
  assert.deepEqual([world.pool.status().epoch, world.superseded], [epoch, []]);
  await world.nextLeader();
  world.pool.restored();
  await world.agent("one");
  await world.became(0, "ready");
  assert.equal((await world.ended(world.run(0, "hello", 2))).status, "completed");
});

test("no agent hears of an epoch before the next server to lead would know it", async (t) => {
  const world = await ClusterWorld.start(t);
  world.isAlone = true;
  const stored = Promise.withResolvers<void>();
  world.share = () => stored.promise;
  let isStored = false;
  const told = Promise.withResolvers<boolean>();
  const { epoch: before } = world.pool.status();
  world.hub.connect().listen(BEATS, (message) => {
    if ((message as Beat).epoch > before) told.resolve(isStored);
  });
  const leads = world.nextLeader();
  for (let turns = 0; turns < 20; turns++) await turn();
  isStored = true;
  stored.resolve();
  await leads;
  assert.equal(await told.promise, true);
});

test("a server that leads on above a high epoch has it stored first, and stays where it was if that fails", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "alt-las-epoch-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const [said, told]: [string[], number[]] = [[], []];
  const log = pino({ level: "error" }, { write: (line) => void said.push((JSON.parse(line) as { msg: string }).msg) });
  let sharing = Promise.withResolvers<void>();
  const about = { ids: GpuIds.open(folder, "the-cluster"), log, isAlone: true, superseded: () => assert.fail() };
  const one = new Leadership({ ...about, share: () => sharing.promise }, () => told.push(one.epoch));
  const { epoch } = one;
  one.onLater("evil", MOST_EPOCH, true);
  one.onLater("evil", MOST_EPOCH, true);
  await turn();
  assert.deepEqual([one.epoch, told], [epoch, []]);
  sharing.reject(new Error("another server leads"));
  await turn();
  assert.deepEqual([one.epoch, told, said], [epoch, [], ["this server cannot lead on: another server leads"]]);
  sharing = Promise.withResolvers();
  one.onLater("evil", MOST_EPOCH, true);
  sharing.resolve();
  await turn();
  assert.equal(told.length, 1);
  assert(one.epoch > MOST_EPOCH && one.epoch <= MOST_EPOCH + 2);
  assert.throws(() => one.onLater("evil", one.epoch + 1, true), /no server leads with epoch/);
});

test("a server whose store is its own leads on when an agent says that another one leads", (t) => leadsOn(t, false));

test("a server whose store is shared leads on when an agent says that another one leads", (t) => leadsOn(t, true));

async function leadsOn(t: TestContext, isAlone: boolean): Promise<void> {
  const world = await ClusterWorld.start(t);
  await world.agent("one", SLOW);
  await world.became(0, "ready");
  world.isAlone = isAlone;
  await world.nextLeader(world.folder, 1);
  world.pool.restored();
  const epoch = 2 ** 45;
  const about = { version: PROTOCOL, incarnation: "a", number: 1, leader: null, session: 0, heard: 0, news: [] };
  world.hub.connect().send(newsOf("evil"), { ...about, epoch });
  let obeyed = 0;
  world.hub.loses = (_subject, message) => {
    obeyed = Math.max(obeyed, (message as Partial<FromAgent>).number === undefined ? 0 : Number(message["epoch"]));
    world.changes.tell();
    return false;
  };
  await world.changes.until(() => obeyed > epoch);
  assert.equal((await world.ended(world.run(0, "hello", 2))).status, "completed");
  assert.deepEqual(world.superseded, []);
}

test("a machine comes back although the question for its state, and the state, are lost", async (t) => {
  const world = await ClusterWorld.start(t);
  const { bus } = await world.agent("one");
  await world.became(0, "ready");
  await bus.set(false);
  await world.became(0, "faulted");
  const lost = { asks: 0, states: 0 };
  world.hub.loses = (_subject, message) => {
    const { ask, state } = message as Partial<ToAgent & FromAgent>;
    if (ask === true && lost.asks < 2) return lost.asks++ < 2;
    return state !== undefined && lost.states++ === 0;
  };
  await bus.set(true);
  await world.became(0, "ready");
  assert.equal(lost.asks, 2);
});

test("an end is told again although it is lost together with the question for it", async (t) => {
  const world = await ClusterWorld.start(t);
  await world.agent("one");
  await world.became(0, "ready");
  const lost = { asks: 0, ends: 0 };
  world.hub.loses = (_subject, message) => {
    const { ask, news = [] } = message as Partial<ToAgent & FromAgent>;
    if (news.some(({ type }) => type === "ended")) return lost.ends++ === 0;
    return ask === true && lost.asks++ === 0;
  };
  assert.equal((await world.ended(world.run(0, "hello", 3))).status, "completed");
  assert(lost.ends > 0 && lost.asks > 0);
});

test("an end behind news that cannot be taken is told again", async (t) => {
  const world = await ClusterWorld.start(t);
  await world.agent("one");
  await world.became(0, "ready");
  let count = 0;
  world.hub.damages = (_subject, message) => {
    const { news = [] } = message as Partial<FromAgent>;
    if (!news.some(({ type }) => type === "ended") || count++ > 0) return message;
    return { ...message, news: [{ type: "wanted", instances: [{ gpuId: 99, id: 0 }] }, ...news] };
  };
  assert.equal((await world.ended(world.run(0, "hello", 3))).status, "completed");
  assert.equal(count, 1);
});

test("a question whose answer is lost is answered with nothing, and does not wait for ever", async (t) => {
  const world = await ClusterWorld.start(t);
  await world.agent("one");
  await world.became(0, "ready");
  let lost = 0;
  world.hub.loses = (_subject, message) =>
    ((message as Partial<FromAgent>).news ?? []).some(({ type }) => type === "answer") && lost++ < 2;
  await world.pool.prepare([{ gpuId: 0, id: 0 }]);
  assert.equal(lost, 1);
  assert.equal(await world.pool.countTokens(completionOf("hello"), null), null);
  assert.equal(lost, 2);
});

test("a run that its machine cancels unasked is cut off, and its task goes on", async (t) => {
  const world = await ClusterWorld.start(t);
  await world.agent("one", SLOW);
  await world.became(0, "ready");
  world.hub.damages = (_subject, message) => {
    const { news } = message as Partial<FromAgent>;
    if (news === undefined) return message;
    const canceled = news.map((one) => (one.type === "ended" ? { ...one, outcome: { status: "canceled" } } : one));
    return { ...message, news: canceled };
  };
  const outcome = await world.ended(world.run(0, "hello", 2));
  assert(outcome.status === "interrupted");
  assert.equal(outcome.reason, "machine_lost");
});
