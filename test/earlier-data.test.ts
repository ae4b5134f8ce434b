/** A data directory that 0.1.0 left behind, killed in the middle of its work, opens and goes on. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import { type BatchView } from "../src/http/schemas/batches.ts";
import { type TasksAnswer, type TaskView } from "../src/http/schemas/tasks.ts";
import { SqliteStore } from "../src/store/sqlite/sqlite.ts";
import { newFolder, Server } from "./helpers/server.ts";

const ARCHIVE = new URL("fixtures/0.1.0/data-killed.tar.gz", import.meta.url).pathname;
const MIGRATIONS = new URL("../src/store/sqlite/migrations/", import.meta.url).pathname;
/** The last migration that 0.1.0 has. */
const OLD_SCHEMA = 3;
const KEY = "altlas_fixture_of_0_1_0";
/** The fixture gets older with each day; ten years are the longest there is. */
const CONFIG = `
gpu: { devices: "simulated:2" }
engine: { kind: simulated, simulated: { tokens_per_second: 0 } }
tasks: { retention: 315360000 }
webhooks: { allow_private: true }
`;

function unpacked(t: TestContext): string {
  const folder = newFolder(t);
  const data = join(folder, "data");
  mkdirSync(data, { mode: 0o700 });
  const { status, stderr } = spawnSync("tar", ["-xzf", ARCHIVE, "-C", data]);
  assert.equal(status, 0, String(stderr));
  return folder;
}

test("tasks, batches, users and GPUs of 0.1.0 are as they were, and what had not ended ends", async (t) => {
  const server = await Server.start(t, { config: CONFIG, env: { ALT_LAS_API_KEY: KEY } }, unpacked(t));
  const steps = await server.logged(({ msg }) => /^the task database gets step \d+ of \d+/.test(msg));
  assert.equal(steps.length, readdirSync(MIGRATIONS).length - OLD_SCHEMA);
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

/** Applies migrations and stops in the middle of the next one, with its transaction open. */
const HALFWAY = `
import { readFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
const [path, ...files] = process.argv.slice(1);
const db = new DatabaseSync(path);
db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
for (const [index, file] of files.entries()) {
  db.exec("BEGIN IMMEDIATE");
  db.exec(readFileSync(file, "utf8"));
  if (index === files.length - 1) break;
  db.exec("PRAGMA user_version = " + (${OLD_SCHEMA} + index + 1) + "; COMMIT");
}
console.log("halfway");
setInterval(() => {}, 1000);
`;

for (const [index, file] of readdirSync(MIGRATIONS).toSorted().entries()) {
  if (index < OLD_SCHEMA) continue;
  test(`a database whose server was killed in the middle of ${file} opens with everything in it`, async (t) => {
    const path = join(unpacked(t), "data", "alt-las.db");
    const expected = await contentsOf(path.replace("alt-las.db", "copy.db"), t);
    const files = readdirSync(MIGRATIONS)
      .toSorted()
      .slice(OLD_SCHEMA, index + 1);
    const program = ["--input-type=module", "--eval", HALFWAY, path, ...files.map((name) => join(MIGRATIONS, name))];
    const killed = spawn(process.execPath, program, { stdio: ["ignore", "pipe", "inherit"] });
    await once(killed.stdout, "data");
    killed.kill("SIGKILL");
    await once(killed, "close");
    assert.deepEqual(await contentsOf(path, t), expected);
    const db = new DatabaseSync(path);
    assert.equal(db.prepare("PRAGMA user_version").get()?.["user_version"], readdirSync(MIGRATIONS).length);
    db.close();
  });
}

/** What a store finds in a database; where there is none yet, in one just unpacked. */
async function contentsOf(path: string, t: TestContext): Promise<object> {
  const isThere = path.endsWith("alt-las.db");
  const store = new SqliteStore({ path: isThere ? path : join(unpacked(t), "data", "alt-las.db") });
  const { live, batches, lastSeq, movedAside } = await store.open();
  const everything = { user: undefined, status: undefined, limit: 100, offset: 0 };
  const { tasks, total } = await store.tasks.list(everything);
  await store.close();
  return { live: live.map(({ id, status, seq }) => ({ id, status, seq })), batches, lastSeq, movedAside, tasks, total };
}
