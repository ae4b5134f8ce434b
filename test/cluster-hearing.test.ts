/** Whether a server that stands by hears the one that leads over its own NATS servers: plain calls, no clock. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Hearing } from "../src/cluster/hearing.ts";
import { natsIn } from "../src/cluster/gpu-ids.ts";
import { BEATS, newsOf } from "../src/cluster/messages.ts";
import { Hub } from "./helpers/memory-bus.ts";

const LEADER = { url: "https://a.example.com:8642" };
/** Milliseconds that no test takes. */
const LONG = 600_000;

function hearing(t: TestContext, its: string | null = "tls://a:4222") {
  const hub = new Hub();
  const bus = hub.connect();
  bus.at = "tls://b:4222,tls://c:4222";
  const said: string[] = [];
  const say = (sentence: unknown): void => void said.push(String(sentence));
  const log = { error: say, info: say, warn: say };
  const one = new Hearing({ bus, cluster: "ours", log, leadersNats: () => Promise.resolve(its) });
  t.after(() => one.close());
  const other = hub.connect();
  const beat = async (cluster = "ours"): Promise<void> => {
    other.send(BEATS, { version: 1, epoch: 5, leader: "x", cluster });
    await turn();
    await turn();
  };
  const news = async (cluster = "ours"): Promise<void> => {
    other.send(newsOf("one"), { version: 3, cluster, news: [] });
    await turn();
    await turn();
  };
  const look = async (times: number): Promise<void> => {
    for (let count = 0; count < times; count++) one.looked(LEADER);
    await turn();
  };
  return { one, bus, said, beat, news, look };
}

const APART =
  /^This server uses the NATS servers tls:\/\/b:4222,tls:\/\/c:4222 \(cluster\.nats\), and hears nothing there of the server that leads, https:\/\/a\.example\.com:8642, which uses (.*)\. All servers of one database need/;

test("a server whose NATS servers are none of the leader's does not start", async (t) => {
  const { one, beat } = hearing(t);
  const refused = assert.rejects(one.check(LEADER, 1), { code: "conflict", message: APART });
  await beat("another");
  await refused;
});

test("a server starts that hears the leader, or has a NATS server in common with it, or cannot know", async (t) => {
  const heard = hearing(t);
  const checked = heard.one.check(LEADER, LONG);
  await heard.beat();
  await checked;
  for (const its of ["tls://x:1,tls://c:4222", null]) await hearing(t, its).one.check(LEADER, 1);
});

test("a leader that lives and is not heard is told of once, and where both look for it", async (t) => {
  const { one, bus, said, beat, look } = hearing(t);
  await look(59);
  for (let count = 0; count < 100; count++) one.looked(null);
  await bus.set(false);
  await look(100);
  await bus.set(true);
  assert.deepEqual(said, []);
  await look(100);
  assert.deepEqual(
    said.map((line) => APART.exec(line)?.[1]),
    ["tls://a:4222"],
  );
  await beat();
  await look(59);
  assert.deepEqual(said.slice(1), ["the server that leads is heard over NATS again"]);
  const unnamed = hearing(t, null);
  await unnamed.look(60);
  assert.match(unnamed.said[0]!, /which uses others\. All/);
});

test("a server without NATS does not lead, and one that does not hear the leader lets others go first", async (t) => {
  const { one, bus, said, look } = hearing(t);
  assert.equal(one.mayLead(), true);
  await bus.set(false);
  assert.deepEqual([one.mayLead(), one.mayLead()], [false, false]);
  assert.deepEqual(said.splice(0), [
    "this server does not lead: it has no connection to NATS (tls://b:4222,tls://c:4222)",
  ]);
  await bus.set(true);
  assert.equal(one.mayLead(), true);
  await look(60);
  assert.deepEqual(new Set(Array.from({ length: 20 }, () => one.mayLead())), new Set([false]));
  assert.equal(one.mayLead(), true);
});

const CUT_OFF =
  /^The server that leads, https:\/\/a\.example\.com:8642, is not heard over NATS \(.*\), though it renews/;

test("a start waits for no leader that is cut off from NATS, where its agents are heard", async (t) => {
  const { one, news } = hearing(t);
  const checked = one.check(LEADER, LONG);
  await news("another");
  await news();
  await checked;
});

test("a leader that is cut off from NATS, while its agents are heard, is told of, and nobody waits when it dies", async (t) => {
  const { one, said, beat, news, look } = hearing(t);
  await news();
  await look(59);
  await news();
  await look(1);
  assert.match(said.join("\n"), CUT_OFF);
  assert.equal(one.mayLead(), true);
  await beat();
  await look(60);
  assert.match(said.at(-1)!, APART);
  assert.equal(one.mayLead(), false);
});

test("a leader with the same NATS server is told of as cut off, and of several it may be this server that is", async (t) => {
  const same = hearing(t, "tls://b:4222");
  same.bus.at = "tls://b:4222";
  await same.look(60);
  assert.match(same.said.join("\n"), CUT_OFF);
  assert.equal(same.one.mayLead(), true);
  const several = hearing(t, "tls://c:4222,tls://d:4222");
  await several.look(60);
  assert.match(several.said.join("\n"), CUT_OFF);
  assert.equal(several.one.mayLead(), false);
});

test("a file of an earlier version names no NATS servers", () => {
  assert.equal(natsIn(null), null);
  assert.equal(natsIn('{ "version": 1, "epoch": 1, "gpus": [] }'), null);
});
