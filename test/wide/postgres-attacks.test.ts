/* A store on PostgreSQL while its database does what databases do: waits for a standby, fails over, turns read-only, loses its clock. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import { PostgresStore } from "../../src/store/postgres/postgres.ts";
import { Session } from "../../src/store/postgres/session.ts";
import { connected, NO_POSTGRES, PostgresServer, PROGRAMS, storeIn } from "../helpers/postgres.ts";
import { CommitCutter, type Cut } from "../helpers/postgres-proxy.ts";
import { newTask, storedSeqs, testFolder } from "../helpers/store.ts";

const skip = PROGRAMS === null ? NO_POSTGRES : false;
const server = skip === false ? await PostgresServer.start([], "trust") : null!;
after(() => server?.remove());

const UNAVAILABLE = { code: "store_unavailable" };

/** A store behind a proxy that cuts the commits for which `cuts` has something. */
async function behindProxy(t: TestContext, cuts: Cut[], messages: string[] = [], to = server) {
  const proxy = await CommitCutter.start(t, to.folder, () => cuts.shift() ?? null);
  const say = (_: object, message: string): void => void messages.push(message);
  const log = { info: say, warn: say, error: say };
  const schema = `behind_${Math.random().toString(36).slice(2)}`;
  const store = new PostgresStore({ url: to.url("postgres", proxy.folder), schema, dataDir: testFolder(t), log });
  await store.open();
  t.after(() => store.close());
  return { proxy, store, schema };
}

/** Changes a setting of the whole server, and waits until it holds. */
async function set(client: Client, name: string, value: string): Promise<void> {
  await client.query(`ALTER SYSTEM SET ${name} = '${value}'`);
  await client.query("SELECT pg_reload_conf()");
  while ((await client.query(`SELECT current_setting('${name}') AS now`)).rows[0].now !== value);
}

/** Asks until it is so. */
async function until(client: Client, sql: string): Promise<void> {
  while ((await client.query(sql)).rowCount === 0) await sleep(20);
}

/** Makes commits wait for a standby that never comes. The checkpointer tells other processes so, some time after they have the setting. */
async function waitForNobody(t: TestContext, client: Client): Promise<void> {
  await set(client, "synchronous_standby_names", "nobody");
  const probe = await connected(t, server.url());
  const waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
  for (let seen = 0; seen === 0;) {
    const probing = { isCommitted: false };
    const commit = probe
      .query("SELECT pg_logical_emit_message(true, 'probe', '')")
      .then(() => (probing.isCommitted = true));
    while (!probing.isCommitted && seen === 0) seen = (await client.query(`SELECT ${waiting}`)).rowCount!;
    await client.query(`SELECT pg_cancel_backend(pid) ${waiting}`);
    await commit;
  }
  await probe.end();
}

/** Saves one task after the other until a save ends like that. @returns the number of that task */
async function savesUntil(store: PostgresStore, from: number, wanted: "saved" | "refused"): Promise<number> {
  for (let seq = from; ;) {
    const how = await store.save([newTask(seq)]).then(
      () => "saved" as const,
      (error: unknown) => {
        assert.equal((error as { code?: unknown }).code, UNAVAILABLE.code);
        return "refused" as const;
      },
    );
    if (how === wanted) return seq;
    if (how === "saved") seq++;
    else await sleep(20);
  }
}

/** All connections that can be had. */
async function takeAll(t: TestContext, url: string): Promise<Client[]> {
  const all: Client[] = [];
  for (;;) {
    try {
      all.push(await connected(t, url));
    } catch {
      return all;
    }
  }
}

/** How a save has ended; null: it has not. */
function outcomeOf(save: Promise<void>): { now: "saved" | "refused" | null } {
  const outcome: { now: "saved" | "refused" | null } = { now: null };
  save.then(
    () => (outcome.now = "saved"),
    () => (outcome.now = "refused"),
  );
  return outcome;
}

test(
  "a commit that waits for a standby is in doubt for as long as it takes, whatever else fails meanwhile, and stored once",
  { skip },
  async (t) => {
    const cuts: Cut[] = [];
    const { proxy, store, schema } = await behindProxy(t, cuts);
    const client = await connected(t, server.url());
    await client.query("SET synchronous_commit = off");
    await waitForNobody(t, client);
    const save = store.save([newTask(1)]);
    const outcome = outcomeOf(save);
    await until(client, "SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
    proxy.cutAll();
    // The next try waits for the first one, until it may wait no longer for a lock.
    while (!server.log.some((line) => line.includes("canceling statement due to lock timeout"))) await sleep(50);
    await until(client, `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%commits%'`);
    assert.equal(outcome.now, null);
    await set(client, "synchronous_standby_names", "");
    await save;
    assert.deepEqual(await storedSeqs(store), [1]);
    assert.equal((await client.query(`SELECT FROM ${schema}.tasks`)).rowCount, 1);
  },
);

test("a connection that dies without a word holds a save no longer than some seconds", { skip }, async (t) => {
  const cuts: Cut[] = [];
  const { proxy, store } = await behindProxy(t, cuts);
  await store.save([newTask(1)]);
  cuts.push("hold");
  await store.save([newTask(2)]);
  assert.equal(proxy.cuts.hold, 1);
  assert.deepEqual(await storedSeqs(store), [2, 1]);
});

test("a statement that takes long is waited for, and is not taken for a dead connection", { skip }, async (t) => {
  const { store, schema } = await behindProxy(t, []);
  const client = await connected(t, server.url());
  await client.query(
    `CREATE FUNCTION ${schema}.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(8); RETURN NULL; END $$;
     CREATE TRIGGER slow BEFORE INSERT ON ${schema}.tasks EXECUTE FUNCTION ${schema}.slow()`,
  );
  await store.save([newTask(1)]);
  assert.deepEqual(await storedSeqs(store), [1]);
});

test(
  "locks that somebody else keeps refuse saves after seconds, and no longer than they are kept",
  { skip },
  async (t) => {
    const { store, schema } = await behindProxy(t, []);
    const client = await connected(t, server.url());
    await client.query(`BEGIN; LOCK TABLE ${schema}.tasks IN EXCLUSIVE MODE`);
    await assert.rejects(store.save([newTask(1)]), { ...UNAVAILABLE, message: /lock timeout/ });
    await client.query("COMMIT");
    await store.save([newTask(1)]);
    assert.deepEqual(await storedSeqs(store), [1]);
  },
);

test("a commit that gets to PostgreSQL when its save was refused is not done any more", { skip }, async (t) => {
  const cuts: Cut[] = [];
  const { proxy, store, schema } = await behindProxy(t, cuts);
  await store.save([newTask(1)]);
  const client = await connected(t, server.url());
  for (let seq = 2; seq < 5; seq++) {
    cuts.push("late", "late", "late");
    await assert.rejects(store.save([newTask(seq)]), UNAVAILABLE);
    await proxy.deliver();
  }
  assert.equal(proxy.cuts.late, 9);
  assert.equal((await client.query(`SELECT FROM ${schema}.tasks`)).rowCount, 1);
  await store.save([newTask(5)]);
  assert.deepEqual(await storedSeqs(store), [5, 1]);
});

test(
  "the clock of the database may jump: a lease that is renewed is never taken, one that is not soon is",
  { skip },
  async (t) => {
    const client = await connected(t, server.url());
    const { store, schema } = await behindProxy(t, []);
    const rival = () => new PostgresStore({ url: server.url(), schema, dataDir: testFolder(t) });
    await client.query(`UPDATE ${schema}.lease SET expires_at = now() - interval '1 hour'`);
    const refused = rival();
    await assert.rejects(refused.open(), { code: "conflict" });
    await refused.close();
    assert.equal(store.lost.aborted, false);
    await store.close();
    // As a holder on another machine left it, before the clock was set back.
    await client.query(`UPDATE ${schema}.lease SET host = 'far', expires_at = now() + interval '1 year'`);
    const next = rival();
    await next.open();
    await next.save([newTask(1)]);
    await next.close();
  },
);

test("statements that somebody cancels refuse their save or do nothing, and no other one", { skip }, async (t) => {
  const { store, schema } = await behindProxy(t, []);
  const client = await connected(t, server.url());
  const over = new AbortController();
  const canceling = (async () => {
    while (!over.signal.aborted)
      await client.query("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'alt-las %'");
  })();
  const saved: number[] = [];
  for (let seq = 1; seq <= 200; seq++)
    await store.save([newTask(seq)]).then(
      () => saved.unshift(seq),
      (error: unknown) => assert.equal((error as { code?: unknown }).code, UNAVAILABLE.code),
    );
  over.abort();
  await canceling;
  const { rows } = await client.query(`SELECT seq::int FROM ${schema}.tasks ORDER BY seq DESC`);
  assert.deepEqual(
    rows.map(({ seq }) => seq),
    saved,
  );
});

test("rights that are taken away refuse saves until they are given back", { skip }, async (t) => {
  const client = await connected(t, server.url());
  await client.query("CREATE ROLE app LOGIN; CREATE SCHEMA app AUTHORIZATION app");
  const url = server.url().replace(/\/\/.*@/, "//app@");
  const store = new PostgresStore({ url, schema: "app", dataDir: testFolder(t) });
  await store.open();
  t.after(() => store.close());
  await store.save([newTask(1)]);
  await client.query("REVOKE INSERT ON app.tasks FROM app");
  await assert.rejects(store.save([newTask(2)]), { ...UNAVAILABLE, message: /permission denied for table tasks/ });
  await client.query("GRANT INSERT ON app.tasks TO app");
  await store.save([newTask(2)]);
  assert.deepEqual(await storedSeqs(store), [2, 1]);
});

test("a server that only reads for a while refuses saves meanwhile, and goes on", { skip }, async (t) => {
  const own = await PostgresServer.start([], "trust");
  t.after(() => own.remove());
  const { store } = await behindProxy(t, [], [], own);
  const client = await connected(t, own.url());
  await client.query("SET default_transaction_read_only = off");
  await client.query("ALTER SYSTEM SET default_transaction_read_only = on");
  await client.query("SELECT pg_reload_conf()");
  const refused = await savesUntil(store, 1, "refused");
  await client.query("ALTER SYSTEM RESET default_transaction_read_only");
  await client.query("SELECT pg_reload_conf()");
  const last = await savesUntil(store, refused, "saved");
  assert.deepEqual(
    await storedSeqs(store),
    Array.from({ length: last }, (_, index) => last - index),
  );
  assert.equal(store.lost.aborted, false);
});

test(
  "connections that others have taken all of cost saves, and nothing when they are given back",
  { skip },
  async (t) => {
    const own = await PostgresServer.start(["max_connections=12", "superuser_reserved_connections=0"], "trust");
    t.after(() => own.remove());
    const { proxy, store } = await behindProxy(t, [], [], own);
    await store.save([newTask(1)]);
    const others = await takeAll(t, own.url());
    // The next one to come takes each place that these leave.
    proxy.cutAll();
    others.push(...(await takeAll(t, own.url())));
    await Promise.all(others.map((one) => one.end()));
    const last = await savesUntil(store, 2, "saved");
    assert.deepEqual(await storedSeqs(store), [last, 1]);
  },
);

test(
  "after a failover to a standby that was behind the server ends, because its tasks are not those that are stored",
  { skip },
  async (t) => {
    const primary = await PostgresServer.start([], "trust");
    t.after(() => primary.remove());
    const messages: string[] = [];
    const { proxy, store } = await behindProxy(t, [], messages, primary);
    await store.save([newTask(1)]);
    const standby = await primary.standby();
    t.after(() => standby.remove());
    await standby.stop("SIGINT");
    await store.save([newTask(2)]);
    await primary.stop();
    await standby.run();
    proxy.turnTo(standby.folder);
    await assert.rejects(store.save([newTask(3)]), UNAVAILABLE);
    const promoter = await connected(t, standby.url());
    await promoter.query("SELECT pg_promote()");
    const late = store.save([newTask(4)]).catch(() => undefined);
    if (!store.lost.aborted) await once(store.lost, "abort");
    await late;
    assert.ok(
      messages.some((message) => message.startsWith("the task database is older than it was")),
      messages.join("\n"),
    );
  },
);

test("a failover to a standby that has everything goes on by itself", { skip }, async (t) => {
  const primary = await PostgresServer.start([], "trust");
  t.after(() => primary.remove());
  const { proxy, store } = await behindProxy(t, [], [], primary);
  const standby = await primary.standby();
  t.after(() => standby.remove());
  const observer = await connected(t, primary.url());
  await until(observer, "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'");
  await observer.end();
  await store.save([newTask(1)]);
  await primary.stop("SIGINT");
  proxy.turnTo(standby.folder);
  const promoter = await connected(t, standby.url());
  await promoter.query("SELECT pg_promote()");
  await savesUntil(store, 2, "saved");
  assert.deepEqual(await storedSeqs(store), [2, 1]);
});

test(
  "a store whose packets are dropped is closed before a connection that was tried at their loss is given up",
  { skip },
  async (t) => {
    const { proxy, store, schema } = await behindProxy(t, []);
    proxy.silence();
    const tried = Session.open({ url: server.url("postgres", proxy.folder), schema, name: "tried" });
    const givenUp = assert.rejects(tried).then(() => "given up");
    const inDoubt = assert.rejects(store.save([newTask(1)]), UNAVAILABLE);
    while (!store.away) await sleep(20);
    assert.equal(await Promise.race([store.close().then(() => "closed"), givenUp]), "closed");
    await Promise.all([inDoubt, givenUp]);
  },
);

test("a store is closed within some seconds, also while PostgreSQL is frozen", { skip }, async (t) => {
  const own = await PostgresServer.start([], "trust");
  t.after(() => own.signalAll("SIGCONT"));
  t.after(() => own.remove());
  const store = storeIn(t, own.url())();
  await store.open();
  await store.save([newTask(1)]);
  own.signalAll("SIGSTOP");
  const late = assert.rejects(store.save([newTask(2)]), UNAVAILABLE);
  await store.close();
  await late;
});
