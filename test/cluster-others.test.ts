/** Servers and agents that do not belong together: other clusters, other versions, other clocks. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pino } from "pino";
import { parseConfig } from "../src/config/config.ts";
import { ClusterPool } from "../src/cluster/cluster-pool.ts";
import { GpuIds } from "../src/cluster/gpu-ids.ts";
import { BEATS, type FromAgent, LEADERS, MOST_MISSED, newsOf, type ToAgent } from "../src/cluster/messages.ts";
import { type InstanceStatus } from "../src/gpu/status.ts";
import { BEAT, ClusterWorld } from "./helpers/cluster-world.ts";

/** A server of a cluster whose data directory is new, or a copy. @param epoch of the one that led before it; 0: it knows of none */
function another(world: ClusterWorld, cluster: string, isAlone = false, epoch = 0) {
  const folder = join(world.folder, cluster);
  mkdirSync(folder);
  if (epoch > 0) writeFileSync(join(folder, "cluster.json"), JSON.stringify({ version: 1, epoch, gpus: [] }));
  const said: string[] = [];
  const log = pino({ level: "error" }, { write: (line) => void said.push((JSON.parse(line) as { msg: string }).msg) });
  const ended: string[] = [];
  const parts = { bus: world.hub.connect(), ids: GpuIds.open(folder, cluster), log, isAlone, beat: BEAT };
  const superseded = (why: string) => void ended.push(why);
  const pool = new ClusterPool({ ...parts, superseded }, { changed: () => {}, lost: () => {}, wanted: () => {} });
  return { pool, said, ended };
}

function hasSaid(lines: readonly string[]): boolean {
  return lines.some((line) => line.includes("another cluster"));
}

for (const isAlone of [false, true])
  test(`a server of another cluster does not start on the same NATS server, ${isAlone ? "with a database" : "with a file"}`, async (t) => {
    const world = await ClusterWorld.start(t);
    await world.agent("one");
    await world.became(0, "ready");
    const other = another(world, "another", isAlone);
    t.after(() => other.pool.stop());
    await assert.rejects(other.pool.planStart(), {
      code: "conflict",
      message: /^The server of another cluster \(the-cluster\) uses this NATS server \(cluster\.nats\)/,
    });
    await other.pool.stop();
    assert.equal((await world.ended(world.run(0, "hello", 2))).status, "completed");
    assert.deepEqual(world.superseded, []);
  });

test("a server with a copy of the data directory does not start beside the one that leads", async (t) => {
  const world = await ClusterWorld.start(t);
  await world.agent("one");
  await world.became(0, "ready");
  const copy = another(world, "the-cluster");
  t.after(() => copy.pool.stop());
  await assert.rejects(copy.pool.planStart(), { code: "conflict", message: /a copy of this data directory leads/ });
  await copy.pool.stop();
  assert.equal((await world.ended(world.run(0, "hello", 2))).status, "completed");
  assert.deepEqual(world.superseded, []);
});

test("a leader that has lost its database takes no agent from the next one: it ends when it hears that one", async (t) => {
  const world = await ClusterWorld.start(t);
  world.isAlone = true;
  let isSure = true;
  world.isSure = () => isSure;
  await world.nextLeader();
  world.pool.restored();
  await world.agent("one");
  await world.became(0, "ready");
  isSure = false;
  // The word of an agent ends no server, and makes none that is not sure lead on.
  const { epoch } = world.pool.status();
  const spy = world.hub.connect();
  world.hub.damages = (subject, message) => (subject === newsOf("one") ? { ...message, epoch: epoch + 1 } : message);
  const ticks = new Promise<void>((resolve) => {
    let count = 0;
    spy.listen(BEATS, () => void (++count === 20 && resolve()));
  });
  await ticks;
  assert.deepEqual([world.superseded, world.pool.status().epoch], [[], epoch]);
  world.hub.damages = (_subject, message) => message;
  const next = another(world, "the-cluster", true, epoch + 1);
  t.after(() => next.pool.stop());
  await next.pool.planStart();
  next.pool.restored();
  const { epoch: own } = next.pool.status();
  await world.changes.until(() => world.superseded.length > 0);
  assert.match(world.superseded[0]!, /^Another server has led the cluster since this one lost its connection/);
  while (next.pool.readiness().ready === false) await new Promise((resolve) => void setImmediate(resolve));
  assert.deepEqual([next.ended, next.pool.status().epoch], [[], own]);
});

test("two clusters that find each other while both serve say so, and agents stay with the first", async (t) => {
  const world = await ClusterWorld.start(t);
  const said: string[] = [];
  await world.agent("one", "", "simulated:1", said);
  await world.became(0, "ready");
  world.hub.loses = (subject) => subject === BEATS || subject === LEADERS;
  const other = another(world, "another");
  t.after(() => other.pool.stop());
  await other.pool.planStart();
  world.hub.loses = () => (world.changes.tell(), false);
  await world.changes.until(() => hasSaid(world.said) && hasSaid(other.said) && hasSaid(said));
  assert.deepEqual(other.pool.gpuIds, []);
  assert.equal((await world.ended(world.run(0, "hello", 2))).status, "completed");
  assert.deepEqual([...world.superseded, ...other.ended], []);
});

test("a server that is cut off from its database takes no agent back from the one that leads now", async (t) => {
  const world = await ClusterWorld.start(t);
  await world.agent("one", "engine: { simulated: { tokens_per_second: 200 } }");
  await world.became(0, "ready");
  world.isAlone = true;
  let isCutOff = false;
  world.isSure = () => !isCutOff;
  await world.nextLeader(world.folder, 1);
  world.pool.restored();
  const { pool: before, bus } = world;
  isCutOff = true;
  world.isSure = () => true;
  await world.nextLeader(world.folder, 1);
  world.pool.restored();
  const old = before.status().epoch;
  let beats = 0;
  world.hub.loses = (subject, { epoch }) => {
    if (subject === BEATS && epoch === old) beats++;
    world.changes.tell();
    return false;
  };
  bus.isUp = true;
  const run = world.run(0, "hello", 100);
  // More than those after which a server leads on.
  await world.changes.until(() => beats > 3 * MOST_MISSED);
  assert.equal(before.status().epoch, old);
  assert(world.said.includes("The agent of machine one has obeyed another server meanwhile."));
  assert.equal((await world.ended(run)).status, "completed");
  // The database says that it leads, after all.
  const { epoch } = world.pool.status();
  isCutOff = false;
  await world.changes.until(() => before.status().epoch > epoch);
  await before.stop();
});

test("a server commands an agent of the version before in its own version", async (t) => {
  const world = await ClusterWorld.start(t);
  const versions = new Set<number>();
  world.hub.damages = (subject, message) => {
    if (subject === newsOf("old")) {
      const { cluster: _cluster, ...old } = ofBefore(message) as Partial<FromAgent>;
      return { ...old, version: 1 };
    }
    const { session, version } = message as Partial<ToAgent>;
    if (session === undefined) return message;
    versions.add(version!);
    // The agent of this test is of today.
    return { ...message, version: 3 };
  };
  await world.agent("old");
  await world.became(0, "ready");
  assert.equal((await world.ended(world.run(0, "hello", 2))).status, "completed");
  assert.deepEqual([...versions], [1]);
  const [instance] = world.pool.instances();
  assert(instance!.slots > 0, "what it has told as facts alone");
});

/** How instances look to an agent of the version before. */
function ofBefore(message: object): object {
  return JSON.parse(JSON.stringify(message), (_key, value: object) => {
    if (value === null || !Object.hasOwn(value, "lastUsedAt")) return value;
    const { slots: _s, context: _c, kvBytesPerToken: _k, ...old } = value as Partial<InstanceStatus>;
    return old;
  }) as object;
}

test("an agent says which of the two has to be upgraded, when it hears a server of another version", async (t) => {
  const world = await ClusterWorld.start(t);
  const said: string[] = [];
  await world.agent("one", "", "simulated:1", said);
  await world.became(0, "ready");
  const spy = world.hub.connect();
  const about = { epoch: 2 ** 45, leader: "other" };
  spy.send(BEATS, { ...about, version: 1 });
  spy.send(BEATS, { ...about, version: 4, speaks: [4, 5], cluster: "the-cluster" });
  assert.equal((await world.ended(world.run(0, "hello", 2))).status, "completed");
  assert.match(said[0]!, /speaks version 1 of the messages .* this agent 2 and 3: upgrade that server/);
  assert.match(said[1]!, /speaks version 4 and 5 of the messages .*: upgrade this agent/);
});

test("an agent that hears no server says so, and where it listens", async (t) => {
  const world = await ClusterWorld.start(t);
  const said: string[] = [];
  world.hub.loses = (subject) => (world.changes.tell(), subject === BEATS);
  await world.agent("one", "", "simulated:1", said);
  const spy = world.hub.connect();
  spy.listen(BEATS, () => {});
  while (said.length === 0) await new Promise((resolve) => void setTimeout(resolve, BEAT));
  assert.deepEqual(said, [
    "no server that leads has been heard over NATS at nats://memory:4222 for 10 s: either none leads, or the servers use other NATS servers (cluster.nats)",
  ]);
  world.hub.loses = () => false;
  await world.became(0, "ready");
});

test("an agent says that its clock is far off", async (t) => {
  const world = await ClusterWorld.start(t);
  const said: string[] = [];
  world.hub.damages = (subject, message) =>
    subject === BEATS ? { ...message, at: Number(message["at"]) + 3_600_000 } : message;
  world.hub.loses = () => (world.changes.tell(), false);
  await world.agent("one", "", "simulated:1", said);
  await world.changes.until(() => said.length > 0);
  assert.match(said[0]!, /^The clock of this machine is 3600 s behind the server's: set it by NTP/);
});

function refused(yaml: string, message: RegExp): void {
  assert.throws(() => parseConfig(yaml, "c.yaml"), { message });
}

test("a configuration by which keys and prompts would travel in clear text is refused, and one that contradicts itself", () => {
  const several = "store: { url: 'postgres://localhost/a' }\ncluster: { nats: 'nats://127.0.0.1:4222'";
  refused(`${several}, address: 'http://10.0.0.5:8642' }`, /cluster\.address names 10\.0\.0\.5, which is beyond this/);
  refused(`${several} }\nserver: { host: 0.0.0.0 }`, /cluster\.address is missing, and this server listens beyond/);
  for (const more of [" }", ", address: 'http://127.0.0.1:8642' }", ", address: 'https://10.0.0.5:8642' }"])
    parseConfig(several + more, "c.yaml");
  refused("cluster: { nats: ['tls://a:4222', 'tls://u:p@b:4222'] }", /cluster\.nats has addresses that differ in more/);
  refused("cluster: { nats: ['tls://a:4222', 'nats://10.0.0.5'] }", /cluster\.nats names 10\.0\.0\.5, which is beyond/);
  refused("cluster: { nats: [] }", /cluster\.nats must be an address like .*, or a list of them/);
  refused("cluster: { nats: ['http://a'] }", /cluster\.nats\[0\] must be /);
  refused("cluster: { operator_key: a.nk }", /cluster\.operator_key needs cluster\.signing_key/);
});
