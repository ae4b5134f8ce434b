/* What docs/postgres.md says to people who run PostgreSQL: views, doctor, backup, versions, a full disk. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { after, test, type TestContext } from "node:test";
import type { Client } from "pg";
import { postgres, problemsOf } from "../../src/doctor/postgres.ts";
import type { PostgresHealth } from "../../src/store/postgres/health.ts";
import { standbysOf } from "../../src/store/postgres/standbys.ts";
import { PostgresStore } from "../../src/store/postgres/postgres.ts";
import { runCommand } from "../helpers/command.ts";
import { fill } from "../helpers/full-store.ts";
import { startFileServer, upload } from "../helpers/files.ts";
import { startLocalServer } from "../helpers/local-server.ts";
import {
  connected,
  NO_POSTGRES,
  PASSWORD,
  postgresOwner,
  PostgresServer,
  PROGRAMS,
  storeIn,
} from "../helpers/postgres.ts";
import { ROOT } from "../helpers/server.ts";
import { testFolder } from "../helpers/store.ts";

const skip = PROGRAMS === null ? NO_POSTGRES : false;
const server = skip === false ? await PostgresServer.start() : null!;
after(() => server?.remove());

const PAGE = readFileSync(join(ROOT, "docs", "postgres.md"), "utf8");

// --- views -----------------------------------------------------------------------------------------------------

/** The columns that the page promises of a view, with their types. */
function promised(view: string): string[] {
  const [, table = ""] = PAGE.split(`| column of \`${view}\` | type | |\n| --- | --- | --- |\n`);
  const rows = table.split("\n\n")[0]!.trim().split("\n");
  return rows.map((row) => /^\| `(\w+)` \| ([a-z ]+) \|/.exec(row)!.slice(1).join(": "));
}

async function columnsOf(client: Client, schema: string, view: string): Promise<string[]> {
  const { rows } = await client.query<{ column: string }>(
    `SELECT attname || ': ' || format_type(atttypid, NULL) AS column FROM pg_attribute
     WHERE attrelid = $1::regclass AND attnum > 0 ORDER BY attnum`,
    [`${schema}.${view}`],
  );
  return rows.map(({ column }) => column);
}

test("the views have the promised columns, tell what the server tells, and no text", { skip }, async (t) => {
  const config = `store: { url: "${server.url()}", schema: viewed }\n`;
  const world = await startLocalServer(t, { config, devices: "simulated:1" });
  const { task_id: id } = await world.predict({ text: "a secret prompt", max_length: 3 });
  const task = await world.ended(id);
  await world.stop();
  const client = await connected(t, server.url());
  for (const view of ["tasks_view", "usage_view"]) {
    const columns = promised(view);
    assert.ok(columns.length > 10);
    assert.deepEqual(await columnsOf(client, "viewed", view), columns);
  }
  const { rows } = await client.query("SELECT * FROM viewed.tasks_view");
  assert.equal(rows.length, 1);
  const { created_at: created, finished_at: finished, completion_tokens: tokens, ...rest } = rows[0];
  assert.deepEqual([rest.id, rest.status, rest.user, rest.attempts], [id, "completed", "admin", 1]);
  assert.ok(created.getTime() > 0 && finished.getTime() >= created.getTime() && rest.started_at !== null);
  assert.equal(Number(tokens), 3);
  assert.ok(rest.gpu_seconds > 0 && rest.queued_seconds >= 0, JSON.stringify(task));
  assert.ok(!JSON.stringify(rows).includes("secret"));
  const usage = await client.query("SELECT * FROM viewed.usage_view");
  assert.deepEqual([usage.rows.length, usage.rows[0].completed, usage.rows[0].gpu_id], [1, "1", "0"]);
  // A task of an earlier version, and one that has not run.
  await client.query(
    `SET search_path = viewed; UPDATE tasks SET used = '{"queued":2.5,"promptTokens":7,"completionTokens":4}'`,
  );
  const { rows: old } = await client.query(
    "SELECT queued_seconds, prompt_tokens, cached_tokens FROM viewed.tasks_view",
  );
  assert.deepEqual(old, [{ queued_seconds: 2.5, prompt_tokens: "7", cached_tokens: null }]);
  await client.query("UPDATE viewed.tasks SET used = NULL");
  assert.equal((await client.query("SELECT 1 FROM viewed.tasks_view WHERE gpu_seconds IS NULL")).rows.length, 1);
});

test("a role may read the views and nothing else, as the page says", { skip }, async (t) => {
  const store = storeIn(t, server.url(), { schema: "granted" })();
  await store.open();
  await fill(store, 4);
  await store.close();
  const client = await connected(t, server.url());
  await client.query("CREATE ROLE analyst LOGIN PASSWORD 'analyst'");
  await client.query(/```sql[^\n]*\n([^]*?)```/.exec(PAGE)![1]!.replaceAll("alt_las", "granted"));
  const analyst = await connected(t, server.url().replace(/\/\/.*@/, "//analyst:analyst@"));
  assert.equal((await analyst.query("SELECT * FROM granted.tasks_view")).rows.length, 4);
  for (const table of ["tasks", "requests", "webhook_secrets"])
    await assert.rejects(analyst.query(`SELECT * FROM granted.${table}`), { code: "42501" });
});

// --- backup ----------------------------------------------------------------------------------------------------

function configOf(url: string): string {
  return `store: { url: "${url}" }\n`;
}

/** The commands of a part of the page, block by block. */
function blocksOf(title: string): string[] {
  const [, part = ""] = PAGE.split(`## ${title}\n`);
  return [...part.split("\n## ")[0]!.matchAll(/```sh[^\n]*\n([^]*?)```/g)].map(([, block]) => block!);
}

test(
  "the backup of the page is restored by the page: counts, checksums, and a server that goes on",
  { skip },
  async (t) => {
    await (await connected(t, server.url())).query("CREATE DATABASE first");
    const world = await startFileServer(t, configOf(server.url("first")));
    world.key = "altlas_root";
    const { task_id: id } = await world.predict({ text: "hello", max_length: 3 });
    const before = await world.ended(id);
    const content = new Uint8Array(randomBytes(2 ** 20 + 3));
    const file = await upload(world, "ada", { content });
    const folder = testFolder(t);
    const follow = (block: string, url: string): string => {
      const script = block
        .replaceAll("/var/lib/alt-las-restored", join(folder, "data"))
        .replaceAll("/var/lib/alt-las", world.dataDir);
      const env = { ...process.env, URL: url, PATH: `${PROGRAMS}:${process.env["PATH"]}` };
      return execFileSync("bash", ["-euc", script], { cwd: folder, env, encoding: "utf8" });
    };
    const [dump, sums, restore] = blocksOf("Backup") as [string, string, string];
    follow(dump, server.url("first"));
    await world.stop();
    const told = follow(sums, server.url("first"));
    assert.match(told, /^1\|[0-9a-f]{32}\n2\|[0-9a-f]{32}\n$/);
    await (await connected(t, server.url())).query("CREATE DATABASE second");
    follow(restore, server.url("second"));
    assert.equal(follow(sums, server.url("second")), told);
    const next = await startFileServer(t, configOf(server.url("second")), { folder });
    next.key = "altlas_root";
    assert.deepEqual(await next.task(id), before);
    const read = await fetch(`${next.url}/v1/files/${file.id}/content`, {
      headers: { authorization: "Bearer altlas_ada" },
    });
    assert.ok(Buffer.from(await read.arrayBuffer()).equals(content));
    assert.equal((await next.run({ text: "more", max_length: 2 })).status, "completed");
    await next.stop();
    const [full] = blocksOf("Removed text");
    follow(full!, server.url("second"));
  },
);

// --- forgetting ------------------------------------------------------------------------------------------------

test("alt-las forget removes a user from PostgreSQL, by its server, and where none runs", { skip }, async (t) => {
  const yaml = `store: { url: "${server.url()}", schema: forgetting }\n`;
  const world = await startFileServer(t, yaml);
  const config = join(world.folder, "c.yaml");
  writeFileSync(config, yaml);
  const client = await connected(t, server.url());
  const forget = (): ReturnType<typeof runCommand> =>
    runCommand(["forget", "--user", "ada", "--config", config, "--data-dir", world.dataDir]);
  const left = async (): Promise<number> => {
    const { rows } = await client.query<{ n: number }>(
      "SELECT (SELECT count(*) FROM forgetting.tasks)::int + (SELECT count(*) FROM forgetting.file_pieces)::int AS n",
    );
    return rows[0]!.n;
  };
  const names = async (): Promise<string[]> => {
    const { rows } = await client.query<{ name: string }>("SELECT name FROM forgetting.shared_files ORDER BY name");
    return rows.map(({ name }) => name);
  };
  world.key = "altlas_ada";
  for (const isRunning of [true, false]) {
    await world.run({ text: "a secret", max_length: 2 });
    await upload(world, "ada", { content: "bytes" });
    assert.equal(await left(), 2);
    await client.query(`INSERT INTO forgetting.shared_files (name, body) VALUES
      ('session one', '{"user":{"name":"ada"}}'), ('session two', '{"user":{"name":"bob"}}'),
      ('ticket one', '{"caller":{"name":"ada"}}'), ('ticket two', '{"caller":{"name":"bob"}}'),
      ('cluster.json', '{"user":{"name":"ada"}}') ON CONFLICT DO NOTHING`);
    if (!isRunning) await world.stop();
    const { code, stdout, stderr } = await forget();
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^ada: removed: 1 task, 1 uploaded file/m);
    assert.equal(await left(), 0);
    assert.deepEqual(await names(), ["cluster.json", "session two", "ticket two"]);
  }
});

// --- versions --------------------------------------------------------------------------------------------------

/** A server that tells another version of itself: every text of its version is answered as another one of the same length. */
async function disguised(t: TestContext, change: readonly (readonly [string, string])[]): Promise<string> {
  const folder = testFolder(t);
  const open = new Set<Socket>();
  const proxy = createServer((client) => {
    const real = connect(join(server.folder, ".s.PGSQL.5432"));
    for (const socket of [client, real]) {
      open.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => [client, real].forEach((one) => one.destroy()));
    }
    client.pipe(real);
    real.on("data", (bytes) => {
      let text = bytes.toString("latin1");
      for (const [from, to] of change) text = text.replaceAll(from, to);
      client.write(Buffer.from(text, "latin1"));
    });
  });
  proxy.listen(join(folder, ".s.PGSQL.5432"));
  await once(proxy, "listening");
  t.after(() => {
    proxy.close();
    for (const socket of open) socket.destroy();
  });
  return server.url("postgres", folder);
}

test("PostgreSQL before 14 is refused by its version, and nothing is written", { skip }, async (t) => {
  const client = await connected(t, server.url());
  const { rows } = await client.query(
    "SELECT current_setting('server_version_num') AS n, current_setting('server_version') AS v",
  );
  const { n, v } = rows[0] as { n: string; v: string };
  const url = await disguised(t, [
    [n, `13${n.slice(2)}`],
    [v, `13${v.slice(2)}`],
  ]);
  const store = new PostgresStore({ url, schema: "old_version", dataDir: testFolder(t) });
  const message = /^PostgreSQL at postgres:\/\/.* is version 13.*; ALT_LAS needs 14 or later$/;
  await assert.rejects(store.open(), { code: "bad_config", message });
  await store.close();
  const made = await client.query("SELECT 1 FROM pg_namespace WHERE nspname = 'old_version'");
  assert.equal(made.rows.length, 0);
});

// --- a full disk -----------------------------------------------------------------------------------------------

const NO_PRLIMIT = "no prlimit: util-linux";
const noLimit = spawnSync("prlimit", ["--version"]).status === 0 ? false : NO_PRLIMIT;

interface Taken {
  readonly tasks: readonly { readonly task_id: string }[];
  readonly code?: string;
}

test(
  "where PostgreSQL has no room a submission gets 503, and nothing is lost or doubled when there is room again",
  { skip: skip === false ? noLimit : skip },
  async (t) => {
    const own = await PostgresServer.start([], "trust");
    t.after(() => own.remove());
    const world = await startLocalServer(t, { config: `store: { url: "${own.url()}" }\n`, devices: "simulated:1" });
    const client = await connected(t, own.url());
    const { rows } = await client.query<{ pid: number }>(
      "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'",
    );
    // As a quota does it: no file may become longer than a segment of the log is, which is written anew and never longer.
    const limit = (bytes: string): void => {
      for (const pid of [own.pid, ...rows.map((one) => one.pid)])
        execFileSync("prlimit", [`--fsize=${bytes}:unlimited`, "--pid", String(pid)], postgresOwner());
    };
    limit(String(16 * 2 ** 20));
    const taken: string[] = [];
    let refused = 0;
    while (refused < 3) {
      assert.ok(taken.length < 1000);
      const batch = Array.from({ length: 50 }, () => ({ text: randomBytes(60_000).toString("base64"), max_length: 1 }));
      const { status, body } = await world.request<Taken>("POST", "/api/v1/batch_predict", { body: { batch } });
      if (status === 200) taken.push(...body.tasks.map(({ task_id: id }) => id));
      else {
        assert.deepEqual([status, body.code], [503, "store_unavailable"]);
        refused++;
      }
    }
    assert.ok(taken.length > 5, `${taken.length} were taken`);
    limit("unlimited");
    for (const id of taken) assert.equal((await world.ended(id)).status, "completed");
    const last = await world.run({ text: "more", max_length: 1 });
    assert.equal(last.status, "completed");
    assert.equal((await world.tasks()).total, taken.length + 1);
    const stored = await client.query("SELECT count(*)::int AS n, count(DISTINCT id)::int AS ids FROM alt_las.tasks");
    assert.deepEqual(stored.rows, [{ n: taken.length + 1, ids: taken.length + 1 }]);
  },
);

// --- doctor ----------------------------------------------------------------------------------------------------

function problemsIn(facts: readonly { readonly problem: string }[]): string {
  return facts.map(({ problem }) => problem).join("\n");
}

test(
  "doctor tells of a sound server, without its password, and of what keeps a server from starting",
  { skip },
  async (t) => {
    const folder = testFolder(t);
    mkdirSync(join(folder, "data"));
    const config = join(folder, "c.yaml");
    const examine = async (url: string) => {
      writeFileSync(config, `store: { url: "${url}", schema: sound }\n`);
      const { stdout } = await runCommand(["doctor", "--config", config, "--data-dir", join(folder, "data"), "--json"]);
      assert.ok(!stdout.includes(PASSWORD) && !stdout.includes(encodeURIComponent(PASSWORD)));
      const { facts, problems } = JSON.parse(stdout) as {
        facts: { postgresql: Record<string, string> };
        problems: { problem: string }[];
      };
      return {
        told: facts.postgresql,
        problems: problems.map(({ problem }) => problem).filter((one) => one.includes("ostgre")),
      };
    };
    const fresh = await examine(server.url());
    assert.deepEqual([fresh.told["schema"], fresh.problems], ["not made yet", []]);
    const store = storeIn(t, server.url(), { schema: "sound" })();
    await store.open();
    await fill(store, 4);
    await store.close();
    const { told, problems } = await examine(server.url());
    assert.deepEqual(problems, []);
    assert.equal(typeof told["schema"], "number");
    assert.match(JSON.stringify(told["tables"]), /tasks: .*, about \d+ rows and \d+ dead ones, vacuumed/);
    assert.match((await examine(server.url("nowhere"))).problems.join(), /has no such database/);
  },
);

test("doctor tells what makes PostgreSQL unsafe or slow, and its commands mend that", { skip }, async (t) => {
  const settings = ["fsync=off", "full_page_writes=off", "autovacuum=off", "idle_session_timeout=60000"];
  const own = await PostgresServer.start([...settings, "shared_preload_libraries=pg_stat_statements"]);
  t.after(() => own.remove());
  const standby = await own.standby();
  t.after(() => standby.remove());
  const store = storeIn(t, own.url(), { schema: "unsafe" })();
  await store.open();
  await store.close();
  const client = await connected(t, own.url());
  await client.query("CREATE EXTENSION pg_stat_statements");
  await client.query("INSERT INTO unsafe.commits SELECT 1, n FROM generate_series(1000, 40000) AS n");
  await client.query("DELETE FROM unsafe.commits");
  await client.end();
  const look = () => postgres({ url: own.url(), schema: "unsafe" } as never, false);
  const { facts, problems } = await look();
  const said = problemsIn(problems);
  for (const setting of ["fsync", "full_page_writes", "autovacuum"])
    assert.match(said, new RegExp(`with ${setting} = off`));
  assert.match(said, /ends connections that are idle for 60000 ms/);
  assert.match(said, /has standbys that no commit waits for \(1\)/);
  const [seen, ...others] = (await standbysOf(own.url(), "unsafe")).standbys;
  assert.deepEqual([seen?.state, seen?.isSynchronous, others], ["streaming", false, []]);
  assert.match(said, /Of the table commits at .*, \d+ % are dead rows, and it was vacuumed never/);
  assert.match(JSON.stringify(facts["slowest_statements"]), /ms on average of \d+: INSERT INTO unsafe\.commits/);
  const env = { ...process.env, URL: own.url(), PATH: `${PROGRAMS}:${process.env["PATH"]}` };
  for (const { problem, mend } of problems)
    if (/idle|dead rows/.test(problem)) execFileSync("bash", ["-euc", mend!], { env, stdio: "ignore" });
  assert.doesNotMatch(problemsIn((await look()).problems), /idle for|dead rows/);
});

test("a look at the standbys of a server that answers nothing is given up", { skip }, async (t) => {
  const folder = testFolder(t);
  const mute = createServer(() => {}).listen(join(folder, ".s.PGSQL.5432"));
  await once(mute, "listening");
  t.after(() => mute.close());
  await assert.rejects(standbysOf(server.url("postgres", folder), "alt_las"), {
    code: "store_unavailable",
    message: /cannot be reached: it has not answered for 5 seconds$/,
  });
});

const HEALTH: PostgresHealth = {
  at: "postgres://db/x",
  version: "16.1",
  settings: new Map([
    ["fsync", "on"],
    ["max_connections", "20"],
    ["superuser_reserved_connections", "3"],
  ]),
  connections: 2,
  roleLimit: null,
  looseStandbys: 0,
  schema: 7,
  isPart: false,
  tables: [],
  slowest: [],
};

function say(changes: Partial<PostgresHealth>, runs = false): string {
  return problemsIn([...problemsOf({ ...HEALTH, ...changes }, "alt_las", runs)]);
}

test("doctor tells of connections that are short, of slow statements and of a copy that was broken off", () => {
  assert.equal(say({}), "");
  assert.match(say({ connections: 14 }), /has 3 connections left, and a server of ALT_LAS needs \d/);
  assert.equal(say({ connections: 14 }, true), "", "its server has them");
  assert.match(say({ roleLimit: 2 }), /may have 2 connections/);
  assert.match(say({ isPart: true }), /was broken off; no server starts on it/);
  const text = "SELECT 1";
  assert.match(say({ slowest: [{ text, calls: 50, mean: 800 }] }), /takes 800 ms on average of 50 at .*: SELECT 1/);
  assert.equal(
    say({
      slowest: [
        { text, calls: 5, mean: 800 },
        { text, calls: 50, mean: 8 },
      ],
    }),
    "",
  );
});
