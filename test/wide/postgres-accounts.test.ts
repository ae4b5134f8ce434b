/* Users and keys on PostgreSQL: what every place of them promises, and what several servers, commands and a lost database do to them. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { after, test, type TestContext } from "node:test";
import { pino } from "pino";
import { keysAdd, keysRevoke, usersAdd } from "../../src/auth/commands.ts";
import { Credentials } from "../../src/auth/credentials.ts";
import { hashApiKey } from "../../src/auth/secrets.ts";
import { parseConfig } from "../../src/config/config.ts";
import type { PostgresAccounts } from "../../src/store/postgres/accounts.ts";
import { openAccounts } from "../../src/store/postgres/open-accounts.ts";
import { runCommand } from "../helpers/command.ts";
import { connected, databaseFor, NO_POSTGRES } from "../helpers/postgres.ts";
import { CommitCutter, type Cut } from "../helpers/postgres-proxy.ts";
import { startLocalServer } from "../helpers/local-server.ts";
import { testFolder } from "../helpers/store.ts";
import { exerciseAccounts } from "../kits/accounts.ts";

const database = await databaseFor({ after });
const skip = database === null ? NO_POSTGRES : false;
const url = database?.url ?? "";
const server = database?.server ?? null!;
/** Of tests that stop the server, cut its connections or change its settings. */
const skipOnShared = skip !== false || server !== null ? skip : "ALT_LAS_TEST_POSTGRES names one that others use";

const NOTHING = { accounts: () => null, uses: () => new Map<string, string>(), taken: () => {} };
const AT = "2026-05-04T12:00:00.000Z";

function newSchema(): string {
  return `accounts_${randomUUID().replaceAll("-", "").slice(0, 12)}`;
}

interface Opening {
  /** Absent: the database itself. */
  readonly at?: string;
  readonly now?: () => number;
  /** Hears of a database that does not answer, and of one that does again. */
  readonly told?: (reason: string | null) => void;
}

async function openedIn(schema: string, { at = url, now, told = () => {} }: Opening = {}): Promise<PostgresAccounts> {
  const accounts = await openAccounts({ url: at, schema, earlier: NOTHING, ...(now && { now }) });
  await accounts.follow(told);
  return accounts;
}

async function opened(t: TestContext, schema: string, opening?: Opening): Promise<PostgresAccounts> {
  const accounts = await openedIn(schema, opening);
  t.after(() => accounts.close());
  return accounts;
}

function add(accounts: PostgresAccounts, name: string): Promise<number> {
  const user = { name, role: "user" as const, created_at: AT };
  return accounts.change(({ users, ...rest }) => ({
    accounts: { ...rest, users: [...users, user] },
    result: users.length,
  }));
}

async function names(accounts: PostgresAccounts): Promise<string[]> {
  return (await accounts.read()).users.map(({ name }) => name);
}

if (skip === false)
  exerciseAccounts("PostgresAccounts", () => {
    const schema = newSchema();
    return async () => {
      const store = await openedIn(schema);
      return { store, view: store, close: () => store.close() };
    };
  });

/** Credentials of a server of its own, with users and keys in the schema. */
async function serverOn(t: TestContext, schema: string, opening?: Opening) {
  const accounts = await opened(t, schema, opening);
  const { auth: config } = parseConfig("", "test.yaml");
  const dataDir = testFolder(t);
  const credentials = new Credentials({ config, dataDir, accounts, log: pino({ level: "silent" }) });
  const stop = credentials.watch();
  t.after(stop);
  return { accounts, credentials, context: { config, dataDir, accounts } };
}

function troubleOf({ trouble }: Credentials): string {
  return trouble?.sentence ?? "";
}

function changed(credentials: Credentials): Promise<void> {
  return new Promise((resolve) => {
    const end = credentials.onChange(() => {
      end();
      resolve();
    });
  });
}

test("a key that one server revokes is refused by the other, also when nobody tells it", { skip }, async (t) => {
  const schema = newSchema();
  const [one, other] = [await serverOn(t, schema), await serverOn(t, schema)];
  await usersAdd(one.context, { name: "ada", role: "user" });
  const keys = [await keysAdd(one.context, { user: "ada" }), await keysAdd(other.context, { user: "ada" })].map(
    (output) => output.split("\n").at(-1)!,
  );
  // A list is as of now, and what it has found counts from then on.
  for (const { accounts } of [one, other]) await accounts.read();
  for (const { credentials } of [one, other])
    for (const key of keys) assert.equal((credentials.authenticate(`Bearer ${key}`) as { name: string }).name, "ada");
  const heard = changed(other.credentials);
  await keysRevoke(one.context, "ada-1");
  await heard;
  for (const { credentials } of [one, other])
    assert.throws(() => credentials.authenticate(`Bearer ${keys[0]}`), { code: "unauthorized" });
  // A notice that is lost, as with the connection that it was for.
  const client = await connected(t, url);
  await client.query(`ALTER TABLE ${schema}.api_keys DISABLE TRIGGER accounts_changed`);
  const looked = changed(other.credentials);
  await client.query(`DELETE FROM ${schema}.api_keys; UPDATE ${schema}.accounts_version SET number = number + 1`);
  await looked;
  assert.throws(() => other.credentials.authenticate(`Bearer ${keys[1]}`), { code: "unauthorized" });
});

test(
  "what is there after a failover, or from a dump, counts also under the number of before",
  { skip: skipOnShared },
  async (t) => {
    const schema = newSchema();
    const { context, credentials } = await serverOn(t, schema);
    await usersAdd(context, { name: "ada", role: "user" });
    const client = await connected(t, url);
    const trigger = (does: string) => `ALTER TABLE ${schema}.api_keys ${does} TRIGGER accounts_changed`;
    for (const what of [
      "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'alt-las accounts'",
      `UPDATE ${schema}.accounts_version SET number = number`,
    ]) {
      const key = (await keysAdd(context, { user: "ada" })).split("\n").at(-1)!;
      assert.equal((credentials.authenticate(`Bearer ${key}`) as { name: string }).name, "ada");
      const looked = changed(credentials);
      await client.query(`${trigger("DISABLE")}; DELETE FROM ${schema}.api_keys; ${trigger("ENABLE")}`);
      await client.query(what);
      await looked;
      assert.throws(() => credentials.authenticate(`Bearer ${key}`), { code: "unauthorized" });
    }
  },
);

test("a row that somebody deletes counts at once", { skip }, async (t) => {
  const schema = newSchema();
  const { context, credentials } = await serverOn(t, schema);
  await usersAdd(context, { name: "ada", role: "user" });
  const key = (await keysAdd(context, { user: "ada" })).split("\n").at(-1)!;
  const client = await connected(t, url);
  const heard = changed(credentials);
  await client.query(`DELETE FROM ${schema}.api_keys`);
  await heard;
  assert.throws(() => credentials.authenticate(`Bearer ${key}`), { code: "unauthorized" });
});

const CHANGING = `
  import { openAccounts } from ${JSON.stringify(new URL("../../src/store/postgres/open-accounts.ts", import.meta.url).href)};
  const [url, schema] = process.argv.slice(1);
  const accounts = await openAccounts({ url, schema });
  await accounts.change((all) => {
    process.stdout.write("in the middle\\n");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    return { accounts: { users: [], keys: [] }, result: null };
  });`;

for (const [what, signal] of [
  ["killed", "SIGKILL"],
  ["frozen", "SIGSTOP"],
] as const)
  test(
    `a process that is ${what} in the middle of a change has made nothing, and lets others go on`,
    { skip },
    async (t) => {
      const schema = newSchema();
      const accounts = await opened(t, schema);
      await add(accounts, "ada");
      const args = ["--input-type=module", "-e", CHANGING, url, schema];
      const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
      t.after(() => child.kill("SIGKILL"));
      await once(child.stdout, "data");
      child.kill(signal);
      assert.equal(await add(accounts, "bob"), 1);
      assert.deepEqual(await names(accounts), ["ada", "bob"]);
    },
  );

test("a change whose connection is cut at its commit is made once", { skip: skipOnShared }, async (t) => {
  const schema = newSchema();
  const cuts: Cut[] = [];
  const proxy = await CommitCutter.start(t, server.folder, () => cuts.shift() ?? null);
  const [plain, cut] = [await opened(t, schema), await opened(t, schema, { at: server.url("postgres", proxy.folder) })];
  const wanted: string[] = [];
  for (const at of ["before", "after", "during"] as const) {
    const name = `cut-${at}`;
    cuts.push(at);
    assert.equal(await add(cut, name), wanted.length);
    wanted.push(name);
    assert.deepEqual(await names(plain), wanted);
  }
  const { during, ...others } = proxy.cuts;
  assert.deepEqual([during, others.before, others.after], [1, 1, 1]);
});

test(
  "while the database is gone what was known holds for a minute, then nobody can be told to be wrong",
  { skip: skipOnShared },
  async (t) => {
    const schema = newSchema();
    let passed = 0;
    const away: (string | null)[] = [];
    const waiting: (() => void)[] = [];
    const told = (reason: string | null): void => {
      away.push(reason);
      waiting.splice(0).forEach((done) => done());
    };
    const next = (): Promise<void> => new Promise((resolve) => void waiting.push(resolve));
    const now = (): number => performance.now() + passed;
    const { accounts, credentials, context } = await serverOn(t, schema, { now, told });
    await usersAdd(context, { name: "ada", role: "user" });
    const key = (await keysAdd(context, { user: "ada" })).split("\n").at(-1)!;
    assert.equal(credentials.trouble, null);
    const gone = next();
    await server.stop("SIGINT");
    t.after(() => server.isRunning || server.run());
    await gone;
    assert.equal(typeof away[0], "string");
    assert.equal((credentials.authenticate(`Bearer ${key}`) as { name: string }).name, "ada");
    assert.equal(
      troubleOf(credentials),
      "The users and keys on PostgreSQL cannot be reached: those known before stay in force.",
    );
    await assert.rejects(accounts.read(), { code: "store_unavailable" });
    await assert.rejects(keysRevoke(context, "ada-1"), { code: "store_unavailable", message: /cannot be reached$/ });
    passed = 60_000;
    for (const header of [`Bearer ${key}`, "Bearer of-nobody"])
      assert.throws(() => credentials.authenticate(header), {
        code: "store_unavailable",
        message: /not been known for 60/,
      });
    assert.match(troubleOf(credentials), /for 60 seconds: nobody can call\.$/);
    const back = next();
    await server.run();
    await back;
    assert.equal(away[1], null);
    assert.equal((credentials.authenticate(`Bearer ${key}`) as { name: string }).name, "ada");
    assert.throws(() => credentials.authenticate("Bearer of-nobody"), { code: "unauthorized" });
    await keysRevoke(context, "ada-1");
    assert.throws(() => credentials.authenticate(`Bearer ${key}`), { code: "unauthorized" });
  },
);

test(
  "a database that only reads refuses changes, and a schema that is not there is no place for a command",
  { skip: skipOnShared },
  async (t) => {
    const schema = newSchema();
    await assert.rejects(openAccounts({ url, schema }), {
      code: "bad_config",
      message: /^There are no users and keys in the schema accounts_\w+ of postgres:.* yet: /,
    });
    const accounts = await opened(t, schema);
    await add(accounts, "ada");
    const client = await connected(t, url);
    const earlier = newSchema();
    (await openedIn(earlier)).close();
    // As a server of the version before has left it.
    await client.query(
      `SET search_path = ${earlier}; DROP TABLE accounts_version; DELETE FROM migrations WHERE number > 7`,
    );
    await client.query("INSERT INTO lease VALUES (true, 'a', 'far', 1, '/data', now(), now())");
    await assert.rejects(openAccounts({ url, schema: earlier, earlier: NOTHING }), {
      code: "bad_config",
      message: /an earlier version .* start the server of this version first/,
    });
    await client.query("ALTER DATABASE postgres SET default_transaction_read_only = on");
    t.after(async () => {
      const last = await connected(t, url);
      await last.query("SET default_transaction_read_only = off");
      await last.query("ALTER DATABASE postgres RESET default_transaction_read_only");
    });
    await assert.rejects(add(accounts, "bob"), { code: "store_unavailable", message: /takes no writes$/ });
    assert.deepEqual(await names(accounts), ["ada"]);
  },
);

test("a start whose database says nothing any more ends with a sentence", { skip: skipOnShared }, async (t) => {
  const folder = testFolder(t);
  const asked = Promise.withResolvers<void>();
  const proxy = createServer((client) => {
    const behind = connect(join(server.folder, ".s.PGSQL.5432"));
    for (const socket of [client, behind]) socket.on("error", () => {});
    client.once("close", () => behind.destroy());
    behind.pipe(client);
    client.on("data", (bytes) => {
      if (bytes.includes("server_version_num")) asked.resolve();
      else behind.write(bytes);
    });
  }).listen(join(folder, ".s.PGSQL.5432"));
  await once(proxy, "listening");
  t.after(() => proxy.close());
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const opening = openAccounts({ url: server.url("postgres", folder), schema: newSchema(), earlier: NOTHING });
  const refused = assert.rejects(opening, {
    code: "store_unavailable",
    message: /^PostgreSQL at .* cannot be reached: it has not answered for 10 seconds$/,
  });
  await asked.promise;
  t.mock.timers.tick(10_000);
  await refused;
});

test(
  "a database that drops packets is not waited for again, once a look has found that",
  { skip: skipOnShared },
  async (t) => {
    const schema = newSchema();
    const proxy = await CommitCutter.start(t, server.folder, () => null);
    const gone = Promise.withResolvers<void>();
    const told = (reason: string | null): void => void (reason === null || gone.resolve());
    const accounts = await opened(t, schema, { at: server.url("postgres", proxy.folder), told });
    await add(accounts, "ada");
    proxy.silence();
    await gone.promise;
    const { connections } = proxy;
    const refused = { code: "store_unavailable", message: "the database of users and keys cannot be reached" };
    await assert.rejects(
      accounts.addUses(new Map([["a", AT]]), () => true),
      refused,
    );
    assert.equal(proxy.connections, connections);
    await assert.rejects(add(accounts, "bob"), refused);
  },
);

// --- servers and commands ----------------------------------------------------------------------------------------

function headers(key: string) {
  return { headers: { authorization: `Bearer ${key}` } };
}

const FIRST = "key-of-the-file-that-was-there";

/** A data directory, in a folder for a server. */
function newDataDir(t: TestContext): { readonly folder: string; readonly dataDir: string } {
  const folder = testFolder(t);
  const dataDir = join(folder, "data");
  mkdirSync(dataDir);
  return { folder, dataDir };
}

/** As a server without PostgreSQL has left it. */
function leaveFile(dataDir: string): void {
  const users = [
    { name: "root", role: "admin", created_at: AT },
    { name: "ada", role: "user", team: "lab", created_at: AT },
  ];
  const keys = [{ name: "first", user: "root", sha256: hashApiKey(FIRST), created_at: AT }];
  writeFileSync(join(dataDir, "credentials.json"), JSON.stringify({ version: 1, users, keys }));
  writeFileSync(join(dataDir, "key-use.json"), JSON.stringify({ [hashApiKey(FIRST)]: AT, [hashApiKey("gone")]: AT }));
}

test(
  "the first start takes over the file once, and commands work beside the server and without it",
  { skip },
  async (t) => {
    const { folder, dataDir } = newDataDir(t);
    const schema = newSchema();
    const config = `store: { url: "${url}", schema: ${schema} }\n`;
    const path = join(folder, "c.yaml");
    writeFileSync(path, config);
    leaveFile(dataDir);
    const run = async (...words: string[]): Promise<string> => {
      const { code, stdout, stderr } = await runCommand([...words, "--config", path, "--data-dir", dataDir]);
      return code === 0 ? stdout.trim() : stderr;
    };
    assert.match(await run("users", "list"), /There are no users and keys in the schema .* yet/);
    let world = await startLocalServer(t, { config, devices: "simulated:1", folder });
    world.key = FIRST;
    const TAKEN = /^2 users and 1 keys of .*credentials\.json are on PostgreSQL now/;
    assert.equal(world.log.filter(({ msg }) => TAKEN.test(msg)).length, 1);
    const { body: first } = await world.request<{ keys: { name: string; last_used_at: string }[] }>(
      "GET",
      "/api/v1/keys",
    );
    assert.deepEqual(
      first.keys.map(({ name }) => name),
      ["first"],
    );
    const made = (await run("keys", "add", "--user", "ada", "--name", "by-command")).split("\n").at(-1)!;
    // A list is as of now, and what it has found counts from then on.
    await world.request("GET", "/api/v1/keys");
    assert.equal((await world.request("GET", "/api/v1/me", headers(made))).status, 200);
    const { status, body } = await world.request<{ key: string }>("POST", "/api/v1/keys", {
      body: { user: "ada", name: "by-route" },
    });
    assert.equal(status, 201);
    assert.match(await run("keys", "list"), /by-command[^]*by-route/);
    assert.equal((await world.request("POST", "/api/v1/users", { body: { name: "ada", role: "user" } })).status, 409);
    assert.equal((await world.request("DELETE", "/api/v1/keys/by-command")).status, 200);
    assert.equal((await world.request("GET", "/api/v1/me", headers(made))).status, 401);
    assert.equal((await world.request("GET", "/api/v1/me", headers(body.key))).status, 200);
    const { body: audit } = await world.request<{
      rows: { action: string; target: string; user: string; outcome: string }[];
    }>("GET", "/api/v1/audit?action=key.add");
    assert.ok(
      audit.rows.some(({ target, user, outcome }) => target === "by-route" && user === "root" && outcome === "ok"),
    );
    await world.stop();
    const client = await connected(t, url);
    const { rows } = await client.query(`SELECT sha256 FROM ${schema}.key_uses WHERE sha256 = $1`, [
      hashApiKey("gone"),
    ]);
    assert.equal(rows.length, 0, "of a key that is gone no use is taken over");
    assert.match(await run("users", "remove", "root"), /last admin/);
    assert.match(await run("keys", "revoke", "by-route"), /^Key by-route is revoked\.$/);
    assert.match(await run("users", "add", "bob", "--role", "viewer"), /^User bob is now a viewer/);
    // A file that is there again is not read.
    writeFileSync(join(dataDir, "credentials.json"), '{"version":1,"users":[],"keys":[]}');
    world = await world.restart();
    assert.equal(world.log.filter(({ msg }) => TAKEN.test(msg)).length, 0);
    assert.equal((await world.request("GET", "/api/v1/me", headers(body.key))).status, 401);
    const { body: last } = await world.request<{ users: { name: string; team: string | null }[] }>(
      "GET",
      "/api/v1/users",
    );
    assert.deepEqual(
      last.users.map(({ name, team }) => `${name} ${team}`),
      ["root null", "ada lab", "bob null"],
    );
  },
);

test("a start whose file is damaged takes over nothing, and says so", { skip }, async (t) => {
  const { folder, dataDir } = newDataDir(t);
  const schema = newSchema();
  writeFileSync(join(dataDir, "credentials.json"), '{"version":1,"users":[');
  const config = `store: { url: "${url}", schema: ${schema} }\n`;
  await assert.rejects(startLocalServer(t, { config, devices: "simulated:1", folder }), {
    code: "bad_config",
    message: /credentials\.json is damaged/,
  });
  const accounts = await opened(t, schema);
  assert.deepEqual(await accounts.read(), { users: [], keys: [] });
});
