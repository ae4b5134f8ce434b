/* What a server that stands by has in the database: its connections, the uses of keys, and the lease that it leaves alone. In this process. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { after, test, type TestContext } from "node:test";
import { setImmediate as nextTurn, setTimeout as pause } from "node:timers/promises";
import type { Client } from "pg";
import { keysAdd, usersAdd } from "../../src/auth/commands.ts";
import { hashApiKey } from "../../src/auth/secrets.ts";
import { SharedFiles } from "../../src/cluster/shared-files.ts";
import { parseConfig } from "../../src/config/config.ts";
import { createLogger } from "../../src/log/log.ts";
import { startMember } from "../../src/member.ts";
import { EndedTasks } from "../../src/store/postgres/ended-tasks.ts";
import { Members } from "../../src/store/postgres/members.ts";
import { openAccounts } from "../../src/store/postgres/open-accounts.ts";
import { PostgresStore } from "../../src/store/postgres/postgres.ts";
import type { Task } from "../../src/task.ts";
import { NatsServer, NO_NATS } from "../helpers/nats.ts";
import { connected, NO_POSTGRES, PostgresServer, PROGRAMS } from "../helpers/postgres.ts";
import { cancel, complete, newBatch, newTask, run, testFolder } from "../helpers/store.ts";

const skip = PROGRAMS === null ? NO_POSTGRES : NO_NATS;
const server = skip === false ? await PostgresServer.start([], "trust") : null!;
after(() => server?.remove());

/** A database whose lease somebody has. */
async function ledBy(t: TestContext) {
  const url = server.url();
  const schema = `standby_${randomUUID().replaceAll("-", "").slice(0, 12)}`;
  const member = { id: randomUUID(), stale: null };
  const leader = new PostgresStore({ url, schema, dataDir: testFolder(t), member });
  t.after(() => leader.close());
  await leader.open();
  const client = await connected(t, url);
  await client.query(`SET search_path = ${schema}`);
  return { url, schema, member, leader, client };
}

async function sessions(client: Client, name: string): Promise<number> {
  const { rows } = await client.query<{ n: number }>(
    "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = $1",
    [name],
  );
  return rows[0]!.n;
}

/** As a database that was started again does. */
async function endSessions(client: Client, name: string): Promise<void> {
  await client.query("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = $1", [
    name,
  ]);
  await nextTurn();
}

async function none(client: Client, name: string): Promise<void> {
  for (let looks = 0; looks < 100 && (await sessions(client, name)) > 0; looks++) await pause(50);
  assert.equal(await sessions(client, name), 0);
}

test("reads that come together when the database is back share one connection", { skip }, async (t) => {
  const { url, schema, client } = await ledBy(t);
  const name = "alt-las of reads";
  const ended = new EndedTasks({ url, schema, name });
  t.after(() => ended.close());
  const reads = (): Promise<unknown[]> => Promise.all(Array.from({ length: 8 }, () => ended.get(randomUUID())));
  for (let round = 0; round < 2; round++) {
    assert.deepEqual(await reads(), Array(8).fill(null));
    assert.equal(await sessions(client, name), 1);
    await endSessions(client, name);
  }
  const late = assert.rejects(ended.get(randomUUID()), { code: "store_unavailable", message: /is closed$/ });
  ended.close();
  await late;
  await none(client, name);
});

test("tasks and batches that have ended are read as the store of the leader has them", { skip }, async (t) => {
  const { url, schema, leader } = await ledBy(t);
  const batchId = randomUUID();
  const tasks = [1, 2, 3].map((seq) => newTask(seq, { batchId }));
  const [first, second, going] = tasks as [Task, Task, Task];
  const long = newTask(4, { batchId: null });
  const batch = newBatch(tasks, { id: batchId });
  await leader.save([...tasks, long], [{ kind: "batch", batch }]);
  const ended = new EndedTasks({ url, schema, name: "alt-las of ended" });
  t.after(() => ended.close());
  assert.equal(await ended.get(first.id), null);
  assert.equal(await ended.batch(batchId), null);
  await leader.save([complete(run(first)), cancel(second), complete(run(long))]);
  await leader.save([run(going)]);
  assert.equal(await ended.get(going.id), null);
  assert.equal(await ended.batch(batchId), null, "one of its tasks runs");
  await leader.save([complete(going)], [{ kind: "batch", batch: { ...batch, finishedAt: 1_700_000_009_000 } }]);
  assert.deepEqual(await ended.get(first.id), await leader.tasks.get(first.id));
  assert.deepEqual(await ended.batch(batchId), { ...(await leader.tasks.batch(batchId)), keepsTexts: true });
  for (const [offset, limit, most] of [
    [0, 10, Infinity],
    [1, 1, Infinity],
    [0, 10, 1],
    [3, 5, Infinity],
  ] as const)
    assert.deepEqual(
      await ended.endsOf(batchId, offset, limit, most),
      await leader.tasks.endsOf(batchId, offset, limit, most),
    );
  assert.equal((await ended.endsOf(batchId, 0, 10, 1)).length, 1);
  assert.deepEqual(await ended.endsIn(1, 3, 2), await leader.tasks.endsIn(1, 3, 2));
  const other = newTask(5, { batchId: randomUUID(), texts: "until_read" });
  const read = newBatch([other], { id: other.batchId!, finishedAt: 1_700_000_009_000 });
  await leader.save([complete(run(other))], [{ kind: "batch", batch: read }]);
  assert.equal((await ended.batch(read.id))?.keepsTexts, false);
});

test("a page of results is read again on a new connection, as after an upgrade of the tables", { skip }, async (t) => {
  const { url, schema, client, leader } = await ledBy(t);
  const batchId = randomUUID();
  const tasks = [1, 2].map((seq) => newTask(seq, { batchId }));
  await leader.save(
    tasks.map((task) => complete(run(task))),
    [{ kind: "batch", batch: newBatch(tasks, { id: batchId, finishedAt: 1_700_000_009_000 }) }],
  );
  const ended = new EndedTasks({ url, schema, name: "alt-las of pages" });
  t.after(() => ended.close());
  const reads = [() => ended.endsOf(batchId, 0, 10), () => ended.endsIn(1, 2, 10)];
  const pages: unknown[] = [];
  // PostgreSQL refuses a statement that was prepared for columns of other types.
  for (const read of reads)
    for (const type of ["varchar", "text"]) {
      pages.push(await read());
      await client.query(`ALTER TABLE tasks ALTER COLUMN error_sentence TYPE ${type}`);
      pages.push(await read());
    }
  assert.equal((pages[0] as unknown[]).length, 2);
  for (const page of pages) assert.deepEqual(page, pages[0]);
});

test("a sign of life and a list of the servers share one connection", { skip }, async (t) => {
  const { url, schema, client } = await ledBy(t);
  const id = randomUUID();
  const self = { id, secret: "s", version: "1.0.0", host: hostname(), process: process.pid, dataDir: "/" };
  const name = `alt-las server ${id}`;
  const members = new Members({ url, schema, self });
  for (let round = 0; round < 2; round++) {
    await Promise.all([members.beat("http://127.0.0.1:1"), members.list(), members.look()]);
    assert.equal(await sessions(client, name), 1);
    await endSessions(client, name);
  }
  await members.leave();
  await none(client, name);
  assert.equal((await client.query("SELECT 1 FROM servers")).rowCount, 0);
});

test("a lease whose holder is changing the schema is another server's", { skip }, async (t) => {
  const { url, schema, client } = await ledBy(t);
  const { rows } = await client.query<{ stale: string }>("SELECT expires_at::text AS stale FROM lease");
  await client.query("BEGIN; SELECT FROM lease FOR UPDATE");
  const member = { id: randomUUID(), stale: rows[0]!.stale };
  const other = new PostgresStore({ url, schema, dataDir: testFolder(t), member });
  t.after(() => other.close());
  await assert.rejects(other.open(), { code: "conflict", message: /is in use by another server: process \d+/ });
});

/** A server that stands by, and what it logs. */
async function standby(t: TestContext, { url, schema }: { readonly url: string; readonly schema: string }) {
  const nats = await NatsServer.start(t);
  const yaml = `store: { url: '${url}', schema: ${schema} }\ncluster: { nats: '${nats.url}' }`;
  const read = () => parseConfig(yaml, "c.yaml", { port: 0 });
  const said: string[] = [];
  const log = createLogger("info", { write: (line) => void said.push(line) });
  const running = await startMember({ config: read(), dataDir: testFolder(t), log, read });
  t.after(() => running.stop());
  return { running, said };
}

test("a key that only a server that stands by has seen counts as used", { skip }, async (t) => {
  const place = await ledBy(t);
  const accounts = await openAccounts(place);
  const context = { config: parseConfig("", "c.yaml").auth, dataDir: testFolder(t), accounts };
  await usersAdd(context, { name: "ada", role: "viewer" });
  const key = (await keysAdd(context, { user: "ada" })).split("\n").at(-1)!;
  const { running } = await standby(t, place);
  const { status } = await fetch(`${running.url}/metrics`, { headers: { authorization: `Bearer ${key}` } });
  assert.equal(status, 200);
  await running.stop();
  const { rows } = await place.client.query("SELECT sha256 FROM key_uses");
  assert.deepEqual(rows, [{ sha256: hashApiKey(key) }]);
});

test("a server that is stopped while it looks who leads does not begin to lead", { skip }, async (t) => {
  const place = await ledBy(t);
  const { client, leader, member } = place;
  const { running, said } = await standby(t, place);
  await client.query("BEGIN; LOCK TABLE servers");
  const waits = "SELECT 1 FROM pg_locks WHERE relation = 'servers'::regclass AND NOT granted";
  while ((await client.query(waits)).rowCount === 0);
  await leader.close();
  const stopped = running.stop();
  await client.query("COMMIT");
  await stopped;
  assert.deepEqual(
    said.filter((line) => line.includes("begins to lead")),
    [],
  );
  const { rows } = await client.query("SELECT holder FROM lease");
  assert.deepEqual(rows, [{ holder: member.id }]);
});

test(
  "a server shares what it knows as long as no other one has led, also where nothing is new",
  { skip },
  async (t) => {
    const { leader, client } = await ledBy(t);
    const folder = testFolder(t);
    writeFileSync(join(folder, "cluster.json"), "{}");
    const files = new SharedFiles(leader, folder, { warn: () => {} });
    await files.share();
    await files.share();
    await client.query("UPDATE epoch SET number = number + 1");
    await files.push();
    await assert.rejects(files.share(), /Another server has taken the task database/);
  },
);
