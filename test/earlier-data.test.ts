/** Data directories that earlier versions left behind, killed in the middle of their work, open and go on. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import { type BatchView } from "../src/http/schemas/batches.ts";
import { type TasksAnswer, type TaskView } from "../src/http/schemas/tasks.ts";
import { VERSION } from "../src/common/version.ts";
import { completionOf } from "../src/request.ts";
import { openDatabase } from "../src/store/sqlite/schema.ts";
import { roomForCopy } from "../src/store/sqlite/upgrade.ts";
import { SqliteStore } from "../src/store/sqlite/sqlite.ts";
import { startLocalServer } from "./helpers/local-server.ts";
import { storedTask } from "./helpers/store.ts";
import { newFolder } from "./helpers/server.ts";

/** Versions, and the last migration that each has. */
const SCHEMAS = { "0.1.0": 3, "0.2.0": 7 } as const;
type Version = keyof typeof SCHEMAS;
const MIGRATIONS = new URL("../src/store/sqlite/migrations/", import.meta.url).pathname;
const KEY = "altlas_fixture_of_0_1_0";
/** The fixture gets older with each day; ten years are the longest there is. */
const CONFIG = `
gpu: { devices: "simulated:2" }
engine: { kind: simulated, simulated: { tokens_per_second: 0 } }
tasks: { retention: 315360000 }
webhooks: { allow_private: true }
`;

function unpacked(t: TestContext, version: Version): string {
  const archive = new URL(`fixtures/${version}/data-killed.tar.gz`, import.meta.url).pathname;
  const folder = newFolder(t);
  const data = join(folder, "data");
  mkdirSync(data, { mode: 0o700 });
  const { status, stderr } = spawnSync("tar", ["-xzf", archive, "-C", data]);
  assert.equal(status, 0, String(stderr));
  return folder;
}

function migrationFiles(): string[] {
  return readdirSync(MIGRATIONS)
    .toSorted()
    .map((name) => join(MIGRATIONS, name));
}

test("tasks, batches, users and GPUs of 0.1.0 are as they were, and what had not ended ends", async (t) => {
  const server = await startLocalServer(t, { config: CONFIG, folder: unpacked(t, "0.1.0") });
  server.key = KEY;
  const steps = await server.logged(({ msg }) => /^the task database gets step \d+ of \d+/.test(msg));
  assert.equal(steps.length, migrationFiles().length - SCHEMAS["0.1.0"]);
  const list = async (query: string): Promise<TaskView[]> => {
    const { body } = await server.request<TasksAnswer>("GET", `/api/v1/tasks?${query}`);
    return Object.values(body.tasks);
  };
  const [first] = await list("status=failed");
  const { body: failed } = await server.request<TaskView>("GET", `/api/v1/task/${first!.task_id}`);
  assert.equal(failed.error, "The simulated model is set to fail after 2 tokens.");
  assert.equal((await list("status=canceled")).length, 1);
  const oldest = (await list("status=completed")).at(-1);
  assert.equal(oldest?.result?.text, " played slow music until morning");
  assert.equal(oldest.created_at, "2026-11-28T16:52:58.176Z");
  assert.equal(oldest.finished_at, "2026-11-28T16:52:58.208Z");
  assert.match(oldest.placement!.reason, /^GPU [01] has the lowest load, 0\.00/);

  // Those that were running run again; that for the drained GPU waits for it.
  const [waiting] = await list("status=queued&gpu_id=1");
  assert.equal(waiting?.timeout_seconds, 315_360_000);
  assert.equal((await server.request("POST", "/api/v1/gpus/1/resume")).status, 200);
  assert.equal((await server.ended(waiting.task_id)).status, "completed");
  const again = (await list("limit=100")).filter(({ max_length }) => max_length === 100_000);
  assert.equal(again.length, 2);
  for (const { task_id } of again) {
    const { attempts, status } = await server.ended(task_id);
    assert.deepEqual([attempts[0]?.reason, status], ["server_restart", "completed"]);
  }

  const batchId = oldestBatch(await list("limit=100"));
  const { body: batch } = await server.request<BatchView>("GET", `/api/v1/batch/${batchId}`);
  assert.deepEqual([batch.status, batch.counts.completed], ["completed", 2]);
  const hooks = await server.request<{ webhooks: unknown[] }>("GET", `/api/v1/batch/${batchId}/webhooks`);
  assert.equal(hooks.body.webhooks.length, 1);
  const { body: secret } = await server.request<{ secret: string | null }>("GET", "/api/v1/webhook_secret");
  assert.equal(secret.secret, null, "it was shown by the earlier version");
  const password = Buffer.from("ada:correct horse battery").toString("base64");
  const asAda = { authorization: `Basic ${password}` };
  assert.equal((await server.request<TasksAnswer>("GET", "/api/v1/tasks", { headers: asAda })).body.total, 0);
  const predicted = await server.predict({ text: "and new ones", max_length: 2 });
  assert.equal((await server.ended(predicted.task_id)).status, "completed");
});

function oldestBatch(tasks: readonly TaskView[]): string {
  return tasks.findLast(({ batch_id }) => batch_id !== undefined)!.batch_id!;
}

/** Applies migrations to each database and stops in the middle of the last one, with its transaction open. */
const HALFWAY = `
import { readFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
const [schema, ...databases] = JSON.parse(process.argv[1]);
globalThis.open = databases.map(({ path, files }) => {
  const db = new DatabaseSync(path);
  db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
  for (const [index, file] of files.entries()) {
    db.exec("BEGIN IMMEDIATE");
    db.exec(readFileSync(file, "utf8"));
    if (index === files.length - 1) break;
    db.exec("PRAGMA user_version = " + (schema + index + 1) + "; COMMIT");
  }
  return db;
});
console.log("halfway");
setInterval(() => {}, 1000);
`;

for (const [version, schema] of Object.entries(SCHEMAS) as [Version, number][]) {
  test(`a database of ${version} whose server was killed in the middle of any step opens with everything in it`, async (t) => {
    const pathOfNew = (): string => join(unpacked(t, version), "data", "alt-las.db");
    const expected = await contentsOf(pathOfNew());
    const steps = migrationFiles().slice(schema);
    // One process is killed in the middle of each step at once.
    const databases = steps.map((_, index) => ({ path: pathOfNew(), files: steps.slice(0, index + 1) }));
    const program = ["--input-type=module", "--eval", HALFWAY, JSON.stringify([schema, ...databases])];
    const killed = spawn(process.execPath, program, { stdio: ["ignore", "pipe", "inherit"] });
    await once(killed.stdout, "data");
    killed.kill("SIGKILL");
    await once(killed, "close");
    for (const { path, files } of databases) {
      assert.deepEqual(await contentsOf(path), expected, files.at(-1));
      assert.equal(schemaOf(path), migrationFiles().length);
    }
  });
}

test("each task of 0.2.0 asks what it asked, and a copy of its database is kept as it was", async (t) => {
  const path = join(unpacked(t, "0.2.0"), "data", "alt-las.db");
  const { requests, tasks } = await contentsOf(path);
  assert.equal(requests.length, 8);
  assert.deepEqual(
    requests.map((request) => request?.sampling),
    tasks.map(({ sampling }) => sampling),
  );
  const odd = 'An odd prompt: "quotes", back\\slash, \0 nul, \u2028 line, \u001b escape, ğüş 😀';
  assert.deepEqual(requests.at(-1), completionOf(odd, { maxTokens: 5, temperature: 0.3 }));
  assert.deepEqual(
    requests.at(-2),
    completionOf("The same beginning of a long prompt. ".repeat(400), { maxTokens: 3, temperature: 1 }),
  );
  const copy = `${path}.before-${VERSION}`;
  assert.equal(schemaOf(copy), SCHEMAS["0.2.0"]);
  const db = new DatabaseSync(copy, { readOnly: true });
  assert.equal(db.prepare("SELECT text FROM prompts JOIN tasks USING (seq) ORDER BY seq LIMIT 1").get()?.["text"], odd);
  db.close();
});

/** What a store finds in a database. */
async function contentsOf(path: string) {
  const store = new SqliteStore({ path });
  const { live, batches, lastSeq, quarantinedTo } = await store.open();
  const everything = { user: undefined, status: undefined, limit: 100, offset: 0 };
  const { tasks, total } = await store.tasks.list(everything);
  const whole = await Promise.all(tasks.map(({ id }) => storedTask(store, id)));
  await store.close();
  const requests = whole.map((task) => task?.request);
  return {
    live: live.map(({ id, status, seq }) => ({ id, status, seq })),
    batches,
    lastSeq,
    quarantinedTo,
    tasks,
    total,
    requests,
  };
}

function schemaOf(path: string): unknown {
  const db = new DatabaseSync(path, { readOnly: true });
  const schema = db.prepare("PRAGMA user_version").get()?.["user_version"];
  db.close();
  return schema;
}

// --- very many tasks ----------------------------------------------------------------------------------------------

const MANY = 2500;

/** Makes a database of schema 7 with very many tasks, the first of which have long prompts. */
function manyTasks(t: TestContext): string {
  const path = join(newFolder(t), "alt-las.db");
  const db = new DatabaseSync(path);
  db.exec("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA synchronous = OFF; PRAGMA application_id = 1095516499");
  for (const file of migrationFiles().slice(0, 7)) db.exec(readFileSync(file, "utf8"));
  db.exec(`
    PRAGMA user_version = 7;
    CREATE TEMP TABLE numbers AS
      WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${MANY}) SELECT n FROM numbers;
    INSERT INTO tasks (seq, id, user, strategy, whole_batch, created_at, max_length, temperature, task_type, status, attempts)
      SELECT n, 'id ' || n, 'ada', 'random', 0, n, n, n / 10000.0, 'text_generation', 'queued', '[]' FROM numbers;
    INSERT INTO prompts SELECT n, 'task ' || n || iif(n <= 3, replace(hex(zeroblob(2500000)), '00', 'ğ'), '') FROM numbers`);
  db.close();
  return path;
}

test("very many tasks are brought over in steps, each of which a kill may undo, and the log says how far that is", async (t) => {
  const [schema, step] = migrationFiles().slice(7) as [string, string];
  for (const done of [0, 1, 2, 3]) {
    const path = manyTasks(t);
    const db = new DatabaseSync(path);
    db.exec(readFileSync(schema, "utf8"));
    db.exec("PRAGMA user_version = 8");
    const apply = (end: string): void => db.exec(`BEGIN; ${readFileSync(step, "utf8")} ${end}`);
    for (let steps = 0; steps < done; steps++) apply("COMMIT");
    apply("ROLLBACK");
    const left = MANY - Number(db.prepare("SELECT count(*) AS count FROM prompts").get()?.["count"]);
    // Each of the first steps takes two long prompts, which are 10 MB, or the third and what follows it.
    assert.equal(left, [0, 2, 1002, 2002][done]);
    db.close();

    const lines: string[] = [];
    const log = { info: (_: object, line: string) => void lines.push(line), warn: () => {}, error: () => {} };
    const store = new SqliteStore({ path, log });
    const { live } = await store.open();
    assert.equal(live.length, MANY);
    for (const { seq, sampling, size, estimatedTokens } of live) {
      assert.deepEqual(sampling, { maxTokens: seq, temperature: seq / 10_000 });
      assert.equal(estimatedTokens, Math.ceil(size / 4) + seq);
    }
    const text = `task 3${"ğ".repeat(2_500_000)}`;
    assert.deepEqual(await store.tasks.request(3), completionOf(text, { maxTokens: 3, temperature: 0.0003 }));
    assert.equal(live[2]!.size, Buffer.byteLength(text));
    assert.deepEqual(await store.tasks.request(MANY), completionOf(`task ${MANY}`, live.at(-1)!.sampling));
    await store.close();
    const total = (MANY - left).toLocaleString("en");
    assert.deepEqual(
      [lines.find((line) => line.startsWith("brings")), lines.findLast((line) => line.startsWith("brings"))],
      [`brings 0 of ${total} tasks over`, `brings ${total} of ${total} tasks over`],
    );
  }
});

test("a task of 0.2.0 whose text was lost is listed with the others", async (t) => {
  const path = join(unpacked(t, "0.2.0"), "data", "alt-las.db");
  const { tasks } = await contentsOf(join(unpacked(t, "0.2.0"), "data", "alt-las.db"));
  const db = new DatabaseSync(path);
  db.exec("DELETE FROM prompts");
  db.close();
  const without = await contentsOf(path);
  assert.deepEqual(without.tasks, tasks);
  assert.ok(without.requests.every((request) => request === null || request === undefined));
});

test("what has to be free for a copy is enough for the copy, the upgrade and its log", async (t) => {
  const path = manyTasks(t);
  const db = new DatabaseSync(path);
  // A half of every page is free once a page splits, and many pages do: each row of a task grows.
  db.exec("UPDATE tasks SET result_text = hex(randomblob(100))");
  db.close();
  const before = statSync(path).size;
  const store = new SqliteStore({ path });
  await store.open();
  const files = [path, `${path}-wal`, `${path}.before-${VERSION}`];
  const after = files.reduce((sum, file) => sum + statSync(file).size, 0);
  await store.close();
  assert.ok(after - before <= roomForCopy(before), `${after - before} bytes were taken`);
  assert.ok(after - before > 2 * before, "a small database would show that its log counts");
});

test("a start that finds the disk full says that nothing is lost, and what to do", (t) => {
  const path = join(unpacked(t, "0.2.0"), "data", "alt-las.db");
  const full = Object.assign(new Error("database or disk is full"), { errcode: 13 });
  const open = (): unknown =>
    openDatabase(path, () => {
      throw full;
    });
  assert.throws(open, /full\. Make room on its disk and start again: nothing is lost/);
});

test("a database that cannot be copied is upgraded all the same, and the log says so", async (t) => {
  const path = join(unpacked(t, "0.2.0"), "data", "alt-las.db");
  mkdirSync(`${path}.before-${VERSION}/in-the-way`, { recursive: true });
  const warnings: string[] = [];
  const log = { info: () => {}, warn: (_: object, line: string) => void warnings.push(line), error: () => {} };
  const store = new SqliteStore({ path, log });
  await store.open();
  await store.close();
  assert.deepEqual(warnings, ["the task database is upgraded without a copy of it as it was"]);
  assert.ok(!readdirSync(dirname(path)).some((name) => name.endsWith(".unfinished")));
});
