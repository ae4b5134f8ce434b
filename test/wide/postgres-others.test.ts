/* What else may stand before a database, behind it, or beside it: a frozen holder, a pooler, a standby. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, test, type TestContext } from "node:test";
import { hold, PATIENCE } from "../../src/store/postgres/hold.ts";
import { PostgresStore } from "../../src/store/postgres/postgres.ts";
import { connected, NO_POSTGRES, PASSWORD, postgresOwner, PostgresServer, PROGRAMS } from "../helpers/postgres.ts";
import { CommitCutter, type Cut } from "../helpers/postgres-proxy.ts";
import { Server } from "../helpers/server.ts";
import { newTask, testFolder } from "../helpers/store.ts";

const skip = PROGRAMS === null ? NO_POSTGRES : false;
const server = skip === false ? await PostgresServer.start() : null!;
after(() => server?.remove());

const POOLER = "/usr/sbin/pgbouncer";
const NO_POOLER = "no pgbouncer: Debian's package pgbouncer (.ci/run installs it)";
function silent(): void {}

const TASK = { text: "hello", max_length: 3 };
const DEVICES = ["--devices", "simulated:1"];

test(
  "a server that is frozen loses the database to the next one, writes nothing when it wakes, says so and ends",
  { skip },
  async (t) => {
    const config = `store: { url: "${server.url()}", schema: frozen }\n`;
    const first = await Server.start(t, { config, args: DEVICES });
    const { task_id: id } = await first.predict(TASK);
    await first.ended(id);
    first.process.kill("SIGSTOP");
    const second = await Server.start(t, { config, args: DEVICES });
    second.key = first.key;
    const taken = await second.run(TASK);
    const late = first.request("POST", "/api/v1/predict", { body: TASK }).then(
      ({ status }) => status,
      () => null,
    );
    first.process.kill("SIGCONT");
    assert.notEqual(await late, 202);
    const { code } = await first.exit;
    assert.notEqual(code, 0);
    const sentence = `another server has taken the task database: process ${second.process.pid} on `;
    assert.ok(first.stderr.includes(sentence), first.stderr);
    assert.equal((await second.run(TASK)).status, "completed");
    assert.equal((await second.tasks()).total, 3);
    for (const one of [id, taken.task_id]) assert.equal((await second.task(one)).status, "completed");
  },
);

for (const [what, part, change] of [
  [
    "a submission, which is one message",
    "freeze me",
    (first: Server) => first.request("POST", "/api/v1/predict", { body: { ...TASK, text: "freeze me" } }),
  ],
  [
    "a removal, which is several",
    "COMMIT",
    (first: Server, id: string) => first.request("DELETE", `/api/v1/task/${id}`),
  ],
] as const)
  test(
    `a server that is frozen between the first statement of a transaction and its commit holds nothing: ${what}`,
    { skip },
    async (t) => {
      const schema = `frozen_${what.length}`;
      let isArmed = false;
      const proxy = await CommitCutter.start(t, server.folder, (bytes): Cut => {
        if (!isArmed || !bytes.includes(part)) return null;
        isArmed = false;
        first.process.kill("SIGSTOP");
        return "short";
      });
      const configOf = (url: string): string => `store: { url: "${url}", schema: ${schema} }\n`;
      const first = await Server.start(t, { config: configOf(server.url("postgres", proxy.folder)), args: DEVICES });
      const { task_id: id } = await first.predict(TASK);
      await first.ended(id);
      const client = await connected(t, server.url());
      const holding = async (but = ""): Promise<number> => {
        const held =
          "SELECT FROM pg_stat_activity WHERE application_name LIKE 'alt-las %' AND application_name <> $1 AND backend_xid IS NOT NULL";
        return (await client.query(held, [but])).rowCount!;
      };
      isArmed = true;
      const late = change(first, id).then(
        ({ status }) => status,
        () => null,
      );
      while ((await holding()) === 0);
      const second = await Server.start(t, { config: configOf(server.url()), args: DEVICES });
      second.key = first.key;
      // That one renews its lease meanwhile.
      const { rows } = await client.query<{ name: string }>(`SELECT 'alt-las ' || holder AS name FROM ${schema}.lease`);
      assert.equal(await holding(rows[0]!.name), 0);
      assert.equal((await second.run(TASK)).status, "completed");
      first.process.kill("SIGCONT");
      assert.ok(![200, 202, 204].includes((await late) ?? 0));
      assert.notEqual((await first.exit).code, 0);
      const sentence = `another server has taken the task database: process ${second.process.pid} on `;
      assert.ok(first.stderr.includes(sentence), first.stderr);
      assert.equal((await second.task(id)).status, "completed");
      assert.equal((await second.tasks()).total, 2);
    },
  );

/** A pooler before the server, and the folder of its socket. */
async function pooled(t: TestContext, mode: string) {
  const folder = testFolder(t);
  chmodSync(folder, 0o777);
  const users = join(folder, "users.txt");
  const settings = join(folder, "pgbouncer.ini");
  writeFileSync(users, `"postgres" "${PASSWORD}"\n`, { mode: 0o644 });
  writeFileSync(
    settings,
    `[databases]\n* = host=${server.folder}\n[pgbouncer]\npool_mode = ${mode}\nlisten_addr =\nunix_socket_dir = ${folder}\n` +
      `listen_port = 5432\nauth_type = scram-sha-256\nauth_file = ${users}\nignore_startup_parameters = extra_float_digits\n`,
  );
  const pooler = spawn(POOLER, [settings], { ...postgresOwner(), stdio: ["ignore", "ignore", "pipe"] });
  const gone = once(pooler, "exit");
  t.after(async () => {
    pooler.kill("SIGKILL");
    await gone;
  });
  const lines: string[] = [];
  const ready = Promise.withResolvers<void>();
  createInterface({ input: pooler.stderr }).on("line", (line) => {
    lines.push(line);
    if (line.includes("process up")) ready.resolve();
  });
  void gone.then(() => ready.reject(new Error(lines.join("\n"))));
  await ready.promise;
  return { pooler, folder };
}

const skipPooler = skip === false && !existsSync(POOLER) ? NO_POOLER : skip;

test("a pooler in transaction mode is refused, and one in session mode is not", { skip: skipPooler }, async (t) => {
  const message =
    /a pooler in transaction mode stands before PostgreSQL at .*: store\.url has to lead to PostgreSQL itself/;
  const open = async (mode: string) => {
    const url = server.url("postgres", (await pooled(t, mode)).folder);
    const store = new PostgresStore({ url, schema: "pooled", dataDir: testFolder(t) });
    t.after(() => store.close());
    await store.open();
    await store.save([newTask(1)]);
  };
  await assert.rejects(open("transaction"), { code: "bad_config", message });
  const client = await connected(t, server.url());
  const { rows } = await client.query("SELECT count(*)::int AS n FROM pg_namespace WHERE nspname = 'pooled'");
  assert.equal(rows[0].n, 0);
  await open("session");
});

test("a pooler that falls silent while it is looked at is not waited for", { skip: skipPooler }, async (t) => {
  const asked = Promise.withResolvers<void>();
  const { pooler, folder } = await pooled(t, "session");
  const proxy = await CommitCutter.start(t, folder, () => {
    pooler.kill("SIGSTOP");
    asked.resolve();
    return "hold";
  });
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const about = { host: "here", process: process.pid, dataDir: testFolder(t) };
  const place = { url: server.url("postgres", proxy.folder), schema: "silent_pooler", about };
  const taken = hold(
    place,
    () => {},
    () => Promise.resolve(),
  );
  await asked.promise;
  t.mock.timers.tick(PATIENCE);
  await assert.rejects(taken, { code: "store_unavailable", message: /it has not answered for 60 seconds/ });
});

test("a start says that a standby is not waited for, and a standby itself is refused", { skip }, async (t) => {
  const standby = await server.standby();
  t.after(() => standby.remove());
  const client = await connected(t, server.url());
  const warnings = async (): Promise<string[]> => {
    const messages: string[] = [];
    const log = { info: silent, warn: (_: object, message: string) => void messages.push(message), error: silent };
    const store = new PostgresStore({ url: server.url(), schema: "followed", dataDir: testFolder(t), log });
    await store.open();
    await store.close();
    return messages;
  };
  const states = async (): Promise<string> =>
    (await client.query("SELECT string_agg(sync_state, ' ' ORDER BY sync_state) AS states FROM pg_stat_replication"))
      .rows[0].states;
  const untilStates = async (wanted: string): Promise<void> => {
    while ((await states()) !== wanted);
  };
  const warning = /^PostgreSQL has standbys that no commit waits for \(1\): a failover to one may lose tasks/;
  await untilStates("async");
  assert.match((await warnings()).join(), warning);
  const refused = new PostgresStore({ url: standby.url(), schema: "followed", dataDir: testFolder(t) });
  await assert.rejects(refused.open(), {
    code: "bad_config",
    message: /is a standby that only reads, or takes no writes: store\.url has to lead to the primary/,
  });
  await refused.close();
  await client.query("ALTER SYSTEM SET synchronous_standby_names = '*'");
  await client.query("SELECT pg_reload_conf()");
  await untilStates("sync");
  assert.deepEqual(await warnings(), []);
  const second = await server.standby();
  t.after(() => second.remove());
  await untilStates("potential sync");
  assert.match((await warnings()).join(), warning);
});
