/** A server that leads a cluster: what it answers when it cannot be sure that it still does, and what it shares with the next one. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { SharedFiles } from "../src/cluster/shared-files.ts";
import { AltLasError } from "../src/errors.ts";
import { LiveClient } from "./helpers/events.ts";
import { MemoryPlace } from "./helpers/kept.ts";
import { startLocalServer } from "./helpers/local-server.ts";

test("a leader that may be none any more answers only what stays as it is", async (t) => {
  let leads = true;
  const shared: string[] = [];
  const server = await startLocalServer(t, {
    devices: "simulated:1",
    member: {
      secret: "secret",
      leads: () => leads,
      kept: await new MemoryPlace().next(),
      servers: () => Promise.resolve([]),
      share: async () => void shared.push("shared"),
    },
  });
  await server.loaded();
  const { task_id } = await server.run({ text: "hello", max_length: 3 });
  const { task_id: later } = await server.predict({ text: "hello", max_length: 1000 });
  const health = () => server.request<{ role: string }>("GET", "/healthz");
  assert.deepEqual([(await health()).status, (await health()).body.role], [200, "leader"]);
  leads = false;
  assert.equal((await server.task(task_id)).status, "completed");
  const events = await fetch(`${server.url}/api/v1/task/${task_id}/events`, {
    headers: { authorization: `Bearer ${server.key}` },
  });
  assert.match(await events.text(), /^event: completed$/m);
  for (const [method, path] of [
    ["GET", `/api/v1/task/${later}`],
    ["GET", `/api/v1/task/${later}/events`],
    ["GET", "/api/v1/tasks"],
    ["POST", "/api/v1/predict"],
    ["DELETE", `/api/v1/task/${task_id}`],
    ["GET", "/api/v1/gpus"],
  ] as const) {
    const { status, headers, body } = await server.request(method, path);
    assert.deepEqual([status, body.code, headers.get("retry-after")], [503, "not_ready", "1"], path);
    assert.match(String(body.error), /^This server has not heard from the task database on PostgreSQL for 2 seconds/);
  }
  assert.equal((await health()).status, 503);
  leads = true;
  assert.equal((await server.request("GET", "/api/v1/tasks")).status, 200);
  // A change of an admin is shared before it is answered.
  assert.deepEqual(shared, []);
  await server.request("POST", "/api/v1/gpus/0/drain", { body: {} });
  assert.equal(shared.length, 1);
  await server.request("PATCH", "/api/v1/config", { body: { log: { level: "warn" } } });
  assert.equal(shared.length, 2);
});

test("a stream that ends as its leader stops is open to the next one; of a forgotten user no ticket is left", async (t) => {
  const place = new MemoryPlace();
  const server = await startLocalServer(t, {
    devices: "simulated:1",
    member: {
      secret: "secret",
      leads: () => true,
      kept: await place.next(),
      servers: () => Promise.resolve([]),
      share: () => Promise.resolve(),
    },
  });
  const path = "/api/v1/events";
  const open = async (key: string): Promise<LiveClient> => {
    const headers = { authorization: `Bearer ${key}` };
    const { body } = await server.request<{ ticket: string }>("POST", "/api/v1/stream_ticket", {
      body: { path },
      headers,
    });
    const client = await LiveClient.open(Number(new URL(server.url).port), `${path}?ticket=${body.ticket}`, {
      headers: {},
    });
    t.after(() => client.leave());
    assert.equal((await client.next())!.event, "hello");
    return client;
  };
  await open(server.key);
  const own = [...place.files];
  await server.request("POST", "/api/v1/users", { body: { name: "eve", role: "admin" } });
  const { body } = await server.request<{ key: string }>("POST", "/api/v1/keys", { body: { user: "eve" } });
  const eves = await open(body.key);
  assert.equal(place.files.size, 2);
  assert.equal((await server.request("POST", "/api/v1/users/eve/forget")).status, 200);
  assert.deepEqual([...place.files], own);
  await assert.rejects(async () => {
    while ((await eves.next()) !== null);
  });
  await server.stop();
  assert.deepEqual([...place.files], own);
  assert.match(own[0]![1], /"freeSince":null/);
});

function folder(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), "alt-las-shared-"));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

test("what one leader was told is what the next one finds", async (t) => {
  const stored = new Map<string, string>();
  let isAway = false;
  const store = {
    sharedFile: async (name: string) => stored.get(name) ?? null,
    putSharedFile: async (name: string, body: string) => {
      if (isAway) throw new AltLasError("store_unavailable", "it is away");
      stored.set(name, body);
    },
  };
  const [one, two] = [folder(t), folder(t)];
  const first = new SharedFiles(store, one, { warn: () => {} });
  await first.pull();
  await first.push();
  assert.equal(stored.size, 0);
  writeFileSync(join(one, "runtime.json"), '{ "version": 1, "values": [] }');
  isAway = true;
  await assert.rejects(first.push(), { code: "store_unavailable" });
  isAway = false;
  await first.push();
  // Another server may lead: also where there is nothing new, a write says so.
  isAway = true;
  await first.push();
  await assert.rejects(first.share(), { code: "store_unavailable" });
  isAway = false;
  await first.share();
  writeFileSync(join(two, "runtime.json"), "of an earlier life");
  await new SharedFiles(store, two, { warn: () => {} }).pull();
  assert.deepEqual(JSON.parse(readFileSync(join(two, "runtime.json"), "utf8")), { version: 1, values: [] });
  assert(!existsSync(join(two, "cluster.json")));
});
