/* What PostgresStore adds to the promises of a store: whose database it is, exact writes over lost connections, one server at a time. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, test, type TestContext } from "node:test";
import fc from "fast-check";
import type { Client } from "pg";
import { steadyTime } from "../../src/common/clock.ts";
import { hold, PATIENCE } from "../../src/store/postgres/hold.ts";
import { openAccounts } from "../../src/store/postgres/open-accounts.ts";
import { PostgresStore } from "../../src/store/postgres/postgres.ts";
import { connected, PASSWORD, PostgresServer, PROGRAMS, NO_POSTGRES, storeIn } from "../helpers/postgres.ts";
import { CommitCutter, type Cut } from "../helpers/postgres-proxy.ts";
import { complete, EVERYTHING, newTask, run, storedSeqs, testFolder, turn } from "../helpers/store.ts";
import { ALL_ROWS, AUDIT_ROW, KEY, idempotency } from "../kits/records.ts";

const skip = PROGRAMS === null ? NO_POSTGRES : false;
const server = skip === false ? await PostgresServer.start() : null!;
after(() => server?.remove());

function listeningLog() {
  const messages: string[] = [];
  const say = (_fields: object, message: string): void => void messages.push(message);
  return { messages, log: { info: say, warn: say, error: say } };
}

async function refused(t: TestContext, url: string, error: { code: string; message: RegExp }, schema = "alt_las_x") {
  const store = new PostgresStore({ url, schema, dataDir: testFolder(t) });
  await assert.rejects(store.open(), error);
  await store.close();
}

async function database(t: TestContext, name: string, how = ""): Promise<Client> {
  const client = await connected(t, server.url());
  await client.query(`CREATE DATABASE ${name} ${how}`);
  return connected(t, server.url(name));
}

async function tables(client: Client): Promise<number> {
  const { rows } = await client.query(
    "SELECT count(*)::int AS n FROM pg_tables WHERE schemaname NOT LIKE 'pg_%' AND schemaname <> 'information_schema'",
  );
  return rows[0].n;
}

test(
  "an address, a password or a database that is wrong is one sentence, which has no password",
  { skip },
  async (t) => {
    const wrong = server.url().replace(encodeURIComponent(PASSWORD), "guessed");
    await refused(t, wrong, {
      code: "bad_config",
      message: /^PostgreSQL at postgres:.* refuses the user or the password/,
    });
    await refused(t, server.url("nowhere"), {
      code: "bad_config",
      message: /has no such database: .*nowhere.* createdb/,
    });
    const absent = "postgres://ada:hidden@127.0.0.1:1/x";
    await refused(t, absent, {
      code: "store_unavailable",
      message: /^PostgreSQL at postgres:\/\/127\.0\.0\.1:1\/x cannot be reached: .*ECONNREFUSED/,
    });
    const store = new PostgresStore({ url: absent, schema: "s", dataDir: testFolder(t) });
    await assert.rejects(
      store.open(),
      (error: Error) => !JSON.stringify([error, error.message, error.stack]).includes("hidden"),
    );
  },
);

test(
  "a database of another encoding, a schema of another program or of a newer version is refused, and nothing is written",
  { skip },
  async (t) => {
    const latin = await database(t, "latin", "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    await refused(t, server.url("latin"), { code: "bad_config", message: /is in the encoding LATIN1/ });
    assert.equal(await tables(latin), 0);
    const other = await database(t, "other");
    await other.query(
      "CREATE SCHEMA alt_las_x; CREATE TABLE alt_las_x.migrations (number int, name text, version text)",
    );
    await other.query("INSERT INTO alt_las_x.migrations VALUES (1, 'theirs.sql', '1')");
    await refused(t, server.url("other"), { code: "bad_config", message: /schema alt_las_x .* is of another program/ });
    await other.query("DROP SCHEMA alt_las_x CASCADE; CREATE SCHEMA alt_las_x; CREATE TABLE alt_las_x.notes ()");
    await refused(t, server.url("other"), { code: "bad_config", message: /schema alt_las_x .* is of another program/ });
    assert.equal(await tables(other), 1);
    await other.query("DROP SCHEMA alt_las_x CASCADE");
    const open = { url: server.url("other"), schema: "alt_las_x", dataDir: testFolder(t) };
    const store = new PostgresStore(open);
    await store.open();
    await store.close();
    await other.query("INSERT INTO alt_las_x.migrations VALUES (1000, '1000-later.sql', '9.0.0')");
    await refused(t, server.url("other"), {
      code: "bad_config",
      message: /newer version of ALT_LAS \(schema 1000, .* up to \d+\)/,
    });
  },
);

test("a database that only reads, and too few connections, are each a sentence", { skip }, async (t) => {
  const client = await database(t, "reading");
  await client.query("ALTER DATABASE reading SET default_transaction_read_only = on");
  await refused(t, server.url("reading"), { code: "bad_config", message: /store\.url has to lead to the primary/ });
  await client.query("CREATE ROLE few LOGIN PASSWORD 'few' CONNECTION LIMIT 3");
  await client.query("CREATE DATABASE few OWNER few");
  const url = server.url("few").replace(/\/\/.*@/, "//few:few@");
  await refused(t, url, { code: "bad_config", message: /takes no more connections: .* ALT_LAS needs 7/ });
  await client.query("ALTER ROLE few CONNECTION LIMIT 5");
  const store = new PostgresStore({ url, schema: "alt_las", dataDir: testFolder(t) });
  await store.open();
  await store.close();
  await client.query("CREATE ROLE weak LOGIN PASSWORD 'weak'");
  await refused(
    t,
    url.replace("//few:few@", "//weak:weak@"),
    { code: "bad_config", message: /needs CREATE on the database/ },
    "weak",
  );
});

test(
  "a second server is refused, and told which one has the database, until the first has closed",
  { skip },
  async (t) => {
    const [url, schema] = [server.url(), "two_servers"];
    const first = storeIn(t, url, { schema })();
    await first.open();
    t.after(() => first.close());
    // The same schema, and a data directory of its own.
    const dataDir = testFolder(t);
    const rival = new PostgresStore({ url, schema, dataDir });
    const message = new RegExp(`in use by another server: process ${process.pid} on .*NATS`);
    await assert.rejects(rival.open(), { code: "conflict", message });
    await rival.close();
    // One of a newer version changes nothing below the first.
    const client = await connected(t, url);
    const { rows } = await client.query(
      `DELETE FROM ${schema}.migrations WHERE number = (SELECT max(number) FROM ${schema}.migrations) RETURNING *`,
    );
    const newer = new PostgresStore({ url, schema, dataDir });
    await assert.rejects(newer.open(), { code: "conflict", message });
    await newer.close();
    // Nor does its command that adds a user.
    const earlier = { accounts: () => null, uses: () => new Map<string, string>(), taken: () => {} };
    const accounts = await openAccounts({ url, schema, earlier });
    assert.deepEqual((await accounts.read()).users, []);
    accounts.close();
    await client.query(`INSERT INTO ${schema}.migrations VALUES ($1, $2, $3, $4)`, Object.values(rows[0]));
    await first.save([newTask(1)]);
    await first.close();
    const next = new PostgresStore({ url, schema, dataDir });
    assert.equal((await next.open()).lastSeq, 1);
    await next.close();
  },
);

test("a database tells for how long no server has run, by its own clock", { skip }, async (t) => {
  const schema = "idle";
  const make = storeIn(t, server.url(), { schema });
  const client = await connected(t, server.url());
  const idleOf = async (): Promise<number | undefined> => {
    const store = make();
    try {
      return (await store.open()).past.idle;
    } finally {
      await store.close();
    }
  };
  /** As after a start of a newer version that could not change the schema. */
  const idleAfterFailure = async (): Promise<number | undefined> => {
    // The second step makes what is there already.
    const { rows } = await client.query(`DELETE FROM ${schema}.migrations WHERE number > 1 RETURNING *`);
    await assert.rejects(idleOf(), { code: "store_unavailable", message: /already exists/ });
    for (const row of rows) {
      await client.query(`INSERT INTO ${schema}.migrations VALUES ($1, $2, $3, $4)`, Object.values(row));
    }
    return idleOf();
  };
  assert.equal(await idleOf(), undefined);
  await client.query(`DELETE FROM ${schema}.lease`);
  assert.equal(await idleAfterFailure(), undefined);
  await client.query(`UPDATE ${schema}.lease SET since = since - interval '1 hour'`);
  const idle = (await idleAfterFailure())!;
  assert(idle >= 3_600_000 && idle < 2 * 3_600_000, `${idle} ms after it was given back`);
  // As an earlier version gave it back.
  await client.query(`UPDATE ${schema}.lease SET process = 4711`);
  assert.equal(await idleAfterFailure(), undefined);
  // As a server leaves it that was killed.
  const killed = `process = ${process.pid}, expires_at = clock_timestamp() - interval '2 hours'`;
  await client.query(`UPDATE ${schema}.lease SET ${killed}`);
  const later = (await idleAfterFailure())!;
  assert(later >= 7_200_000 && later < 3 * 3_600_000, `${later} ms after it was renewed last`);
});

test("a server whose database was taken writes nothing more, and says so", { skip }, async (t) => {
  const { messages, log } = listeningLog();
  const schema = "taken";
  const store = storeIn(t, server.url(), { log, schema })();
  await store.open();
  t.after(() => store.close());
  await store.save([newTask(1)]);
  const client = await connected(t, server.url());
  // As a server does that takes over; this one's lease is over before it can renew it, as that of one that was frozen.
  await client.query(`UPDATE ${schema}.epoch SET number = number + 1`);
  await assert.rejects(store.save([newTask(2)]), { code: "store_unavailable", message: /Another server has taken/ });
  assert.ok(store.lost.aborted);
  const { rows } = await client.query(`SELECT count(*)::int AS n FROM ${schema}.tasks`);
  assert.equal(rows[0].n, 1);
  assert.ok(messages.some((message) => message.startsWith("another server has taken the task database")));
});

test(
  "a lease that was not renewed is taken, and its holder loses the store at its next renewal",
  { skip },
  async (t) => {
    const schema = "frozen";
    const store = storeIn(t, server.url(), { schema })();
    await store.open();
    t.after(() => store.close());
    const client = await connected(t, server.url());
    await client.query(
      `UPDATE ${schema}.lease SET holder = 'another', host = 'far', expires_at = now() - interval '1 s'`,
    );
    if (!store.lost.aborted) await once(store.lost, "abort");
    await assert.rejects(store.save([newTask(1)]), { code: "store_unavailable" });
    assert.equal(store.renewed, -Infinity);
  },
);

test("a lease is not renewed by opening the store again", { skip }, async (t) => {
  const proxy = await CommitCutter.start(t, server.folder, () => null);
  const store = storeIn(t, server.url("postgres", proxy.folder))();
  await store.open();
  proxy.silence();
  const silent = steadyTime();
  assert(store.renewed > -Infinity);
  await store.open();
  assert(store.renewed <= silent);
  proxy.cutAll();
  await store.close();
});

test(
  "a save whose connection is cut in the middle of its commit is written once, wherever it is cut",
  { skip },
  async (t) => {
    const property = fc.asyncProperty(
      fc.array(fc.constantFrom<Cut>(null, "before", "after"), { minLength: 4, maxLength: 12 }),
      async (cuts) => {
        const left = [...cuts];
        let cutting = false;
        const proxy = await CommitCutter.start(t, server.folder, () => (cutting ? (left.shift() ?? null) : null));
        const store = storeIn(t, server.url("postgres", proxy.folder))();
        await store.open();
        cutting = true;
        for (let seq = 1; left.length > 0 || seq <= 3; seq++) {
          const task = newTask(seq);
          const records = [
            idempotency({ ...KEY, key: `${seq}` }),
            { kind: "audit" as const, row: { ...AUDIT_ROW, id: `${seq}` } },
          ];
          // A save whose connection is cut before each of its tries is refused, and nothing of it is written.
          await saved(() => store.save([task], records));
          complete(run(task));
          await saved(() => store.save([task]));
        }
        cutting = false;
        const seqs = await storedSeqs(store);
        assert.deepEqual(
          seqs,
          Array.from({ length: seqs.length }, (_, index) => seqs.length - index),
        );
        const rows = await store.audit.list(ALL_ROWS);
        assert.deepEqual(
          rows.map(({ number, id }) => [number, id]),
          seqs.map((seq) => [seq, String(seq)]),
        );
        let completed = 0;
        for await (const part of store.usage.sums({ from: 0, to: 1e9, user: undefined, by: [] }))
          for (const sums of part) completed += sums.completed;
        assert.equal(completed, seqs.length);
        assert.equal((await store.tasks.list({ ...EVERYTHING, status: "completed" })).total, seqs.length);
        await store.close();
      },
    );
    await fc.assert(property, { numRuns: 15 });
  },
);

/** Saves until it is done, as the server does. */
async function saved(save: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await save();
    } catch (error) {
      assert.equal((error as { code?: unknown }).code, "store_unavailable");
      await turn();
    }
  }
}

test(
  "while PostgreSQL is gone saves and reads are refused, and when it is back everything goes on",
  { skip },
  async (t) => {
    const own = await PostgresServer.start();
    t.after(() => own.remove());
    const { messages, log } = listeningLog();
    const store = storeIn(t, own.url(), { log })();
    await store.open();
    t.after(() => store.close());
    const task = newTask(1);
    await store.save([task]);
    await own.stop("SIGQUIT");
    await assert.rejects(store.save([newTask(2)]), { code: "store_unavailable" });
    await assert.rejects(store.tasks.get(task.id), { code: "store_unavailable" });
    assert.equal(store.away, true);
    assert.equal(store.lost.aborted, false);
    await own.run();
    complete(run(task));
    await saved(() => store.save([task]));
    assert.deepEqual(await store.tasks.get(task.id), { ...task, request: null });
    assert.equal(store.away, false);
    assert.deepEqual(await storedSeqs(store), [1]);
    assert.ok(messages.some((message) => message.startsWith("the task database cannot be reached: ")));
    assert.ok(messages.includes("the task database can be reached again"));
    await own.stop("SIGINT");
    await store.close();
  },
);

test("tasks are not counted behind a commit in doubt while the database is away", { skip }, async (t) => {
  const store = storeIn(t, server.url())();
  await store.open();
  server.signalAll("SIGSTOP");
  t.after(() => server.signalAll("SIGCONT"));
  const saving = store.save([newTask(1)]);
  while (store.written.transactions === 0) await turn();
  const count = () => store.tasks.list({ ...EVERYTHING, status: "queued" });
  const refusal = { code: "store_unavailable", message: /cannot be reached/ };
  // More than there are connections that read.
  await Promise.all(Array.from({ length: 5 }, () => assert.rejects(count(), refusal)));
  assert.equal(store.away, true);
  await assert.rejects(count(), refusal);
  server.signalAll("SIGCONT");
  await saving;
  assert.equal((await count()).total, 1);
  await store.save([newTask(2)]);
  assert.equal((await count()).total, 2);
  await store.close();
});

test(
  "a database that falls silent while it is taken is given up, and not waited for as long as TCP does",
  { skip },
  async (t) => {
    const [schema, dataDir] = ["silent", testFolder(t)];
    const store = new PostgresStore({ url: server.url(), schema, dataDir });
    await store.open();
    await store.close();
    const proxy = await CommitCutter.start(t, server.folder, () => null);
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const looked = Promise.withResolvers<void>();
    const look = async (): Promise<void> => {
      proxy.silence();
      looked.resolve();
    };
    const about = { host: "here", process: process.pid, dataDir };
    const taken = hold({ url: server.url("postgres", proxy.folder), schema, about }, () => {}, look);
    await looked.promise;
    t.mock.timers.tick(PATIENCE);
    await assert.rejects(taken, {
      code: "store_unavailable",
      message: /cannot be reached: it has not answered for 60 seconds/,
    });
  },
);

test("a server of a cluster that could not lead after all takes the lease again, from itself", { skip }, async (t) => {
  const member = { id: "one", stale: null };
  const make = storeIn(t, server.url(), { member });
  const failed = make();
  await failed.open();
  await failed.close();
  const store = make();
  await store.open();
  await store.save([newTask(1)]);
  assert.deepEqual(await storedSeqs(store), [1]);
  await store.close();
});
