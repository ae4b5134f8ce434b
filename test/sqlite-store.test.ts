/* What SqliteStore adds to the promises of a store: one file, one process, group commit. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { SqliteStore, type SqliteStoreOptions } from "../src/store/sqlite.ts";
import { TASK_STATUSES, type TaskStatus } from "../src/task.ts";
import { complete, EVERYTHING, newTask, run, storedSeqs, testFolder, turn } from "./helpers/store.ts";

const MIB = 1024 * 1024;

test("everything acknowledged survives kill -9, and a batch is there as a whole or not at all", async (t) => {
  const path = databasePath(t);
  const acknowledged = new Map<number, TaskStatus>();
  for (let round = 0; round < 3; round++) {
    const child = startChild(path, "burst");
    let lines = 0;
    for await (const line of linesOf(child)) {
      const [seq, status] = line.split(" ");
      if (status !== undefined) acknowledged.set(Number(seq), status as TaskStatus);
      if (++lines === 500) child.kill("SIGKILL");
    }
    await checkAcknowledged(path, acknowledged);
  }
});

async function checkAcknowledged(path: string, acknowledged: ReadonlyMap<number, TaskStatus>): Promise<void> {
  const store = new SqliteStore({ path });
  await store.open();
  const { tasks } = await store.list({ ...EVERYTHING, limit: 1_000_000 });
  await store.close();
  const stored = new Map(tasks.map((task) => [task.seq, task.status]));
  for (const [seq, status] of acknowledged) {
    const found = stored.get(seq);
    assert.ok(found !== undefined, `task ${seq} is lost`);
    assert.ok(TASK_STATUSES.indexOf(found) >= TASK_STATUSES.indexOf(status), `task ${seq} was ${status}, is ${found}`);
  }
  const batches = Object.groupBy(tasks, (task) => task.batchId ?? "");
  for (const [batchId, members] of Object.entries(batches)) {
    if (batchId !== "") assert.equal(members?.length, 7, batchId);
  }
}

test("a process that closes its store writes what is pending and ends by itself", async (t) => {
  const path = databasePath(t);
  const child = startChild(path, "leave");
  const lines = await Array.fromAsync(linesOf(child));
  assert.deepEqual(lines, ["open", "1 queued"]);
  assert.deepEqual(await ended(child), [0, null]);
  assert.deepEqual(readdirSync(join(path, "..")), ["tasks.db"]);
});

test("a second server is refused, whether in another process or in this one, until the first is gone", async (t) => {
  const path = databasePath(t);
  const child = startChild(path, "hold");
  for await (const line of linesOf(child)) if (line === "open") break;
  const refused = { code: "conflict", message: new RegExp(`${path} is in use by another server`) };
  await assert.rejects(new SqliteStore({ path }).open(), refused);
  if (process.platform === "linux") {
    await assert.rejects(new SqliteStore({ path }).open(), { message: new RegExp(`process ${child.pid}`) });
  }
  child.kill("SIGKILL");
  await ended(child);

  const store = await openedStore(t, { path });
  await store.save([newTask(1)]);
  await assert.rejects(new SqliteStore({ path }).open(), refused);
  await store.save([newTask(2)]);
  // What this process was refused must not have cost it its lock.
  const lines = await Array.fromAsync(linesOf(startChild(path, "hold")));
  assert.match(lines.join("\n"), refused.message);
  assert.deepEqual(await storedSeqs(store), [2, 1]);
});

test("a damaged file is refused by name and left as it is", async (t) => {
  const path = databasePath(t);
  const whole = await openedStore(t, { path });
  await whole.save(Array.from({ length: 500 }, (_, index) => newTask(index + 1)));
  await whole.close();
  const damages: Record<string, () => void> = {
    "cut short": () => truncateSync(path, Math.floor(statSync(path).size / 2)),
    "something else": () => writeFileSync(path, "not a database\n".repeat(1000)),
    "a few bytes": () => writeFileSync(path, "x"),
    zeros: () => writeFileSync(path, Buffer.alloc(8192)),
  };
  for (const [name, damage] of Object.entries(damages)) {
    damage();
    await refusedUntouched(path, { code: "store_unavailable", message: new RegExp(`${path} is damaged`) }, name);
  }
});

test("a database of a newer version is refused with a sentence and left as it is", async (t) => {
  const path = databasePath(t);
  await (await openedStore(t, { path })).close();
  execute(path, "PRAGMA user_version = 99");
  await refusedUntouched(path, { code: "bad_config", message: /newer version of ALT_LAS \(schema 99,/ });
});

test("a database of another program is refused and left as it is", async (t) => {
  const path = databasePath(t);
  execute(path, "CREATE TABLE bookmarks (url TEXT)");
  await refusedUntouched(path, { code: "bad_config", message: /another program/ });
});

test("a path that cannot be used is a mistake of the configuration", async (t) => {
  const file = join(testFolder(t), "file");
  writeFileSync(file, "");
  const path = join(file, "tasks.db");
  await assert.rejects(new SqliteStore({ path }).open(), { code: "bad_config", message: new RegExp(path) });
  const folder = testFolder(t);
  await assert.rejects(new SqliteStore({ path: folder }).open(), { code: "bad_config", message: new RegExp(folder) });
});

test("missing folders are made, and nobody else may read the tasks", async (t) => {
  const folder = testFolder(t);
  const path = join(folder, "a", "b", "tasks.db");
  const store = await openedStore(t, { path });
  await store.save([newTask(1)]);
  assert.equal(statSync(join(folder, "a")).mode & 0o777, 0o700);
  assert.equal(statSync(join(folder, "a", "b")).mode & 0o777, 0o700);
  for (const file of readdirSync(join(folder, "a", "b"))) {
    assert.equal(statSync(join(folder, "a", "b", file)).mode & 0o777, 0o600, file);
  }
  await store.close();
  chmodSync(path, 0o644);
  await openedStore(t, { path });
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test("the saves of one turn are one transaction, in which a task is written once", async (t) => {
  const store = await openedStore(t);
  const tasks = Array.from({ length: 100 }, (_, index) => newTask(index + 1));
  const saves = tasks.map((task) => store.save([task]));
  for (const task of tasks) saves.push(store.save([run(task)]), store.save([complete(task)]));
  await Promise.all(saves);
  assert.deepEqual(store.written, { transactions: 1, inserts: 100, updates: 0 });
});

test("saves made while a write is under way are one transaction", async (t) => {
  const store = await openedStore(t);
  const task = newTask(1);
  const saves = [store.save([task])];
  await turn();
  saves.push(store.save([run(task)]), store.save([newTask(2)]), store.save([complete(task)]));
  await Promise.all(saves);
  assert.deepEqual(store.written, { transactions: 2, inserts: 2, updates: 1 });
});

test("a transaction is bounded, and a save larger than the bound is still one", async (t) => {
  const store = await openedStore(t);
  const large = Array.from({ length: 5000 }, (_, index) => newTask(index + 1));
  const small = Array.from({ length: 3000 }, (_, index) => newTask(index + 5001));
  await Promise.all([store.save(large), ...small.map((task) => store.save([task]))]);
  assert.deepEqual(store.written, { transactions: 3, inserts: 8000, updates: 0 });
});

test("changing a task does not write its prompt again", async (t) => {
  const path = databasePath(t);
  const store = await openedStore(t, { path });
  const task = newTask(1, { text: "x".repeat(MIB) });
  await store.save([task]);
  const before = statSync(`${path}-wal`).size;
  await store.save([run(task)]);
  await store.save([complete(task)]);
  assert.ok(before > MIB);
  assert.ok(statSync(`${path}-wal`).size - before < MIB / 10);
});

test("a full disk refuses the whole write and nothing else", async (t) => {
  const path = databasePath(t);
  const store = await openedStore(t, { path, maxPages: 100 });
  const [small, large] = [newTask(1), newTask(2, { text: "x".repeat(MIB) })];
  const outcomes = await Promise.allSettled([store.save([small]), store.save([large])]);
  for (const outcome of outcomes) {
    assert.equal(outcome.status, "rejected");
    assert.equal(outcome.reason.code, "store_unavailable");
    assert.match(outcome.reason.message, new RegExp(`could not be written to ${path}: database or disk is full`));
  }
  assert.deepEqual(await store.list(EVERYTHING), { tasks: [], total: 0 });
  await store.save([small]);
  await assert.rejects(store.save([run(small), large]), { code: "store_unavailable" });
  assert.deepEqual((await store.list({ ...EVERYTHING, status: "queued" })).total, 1);
  await store.close();

  const roomier = await openedStore(t, { path });
  assert.deepEqual(await storedSeqs(roomier), [1]);
  await roomier.save([large]);
  assert.deepEqual(await roomier.get(large.id), large);
});

test("when the storage thread dies, saves are refused and the process lives on", async (t) => {
  const dying = `
    import { parentPort } from "node:worker_threads";
    parentPort.on("message", ({ kind }) => {
      if (kind === "write") throw new Error("the thread has a bug");
      parentPort.postMessage({ kind: "done", value: 0 });
    });`;
  const messages: string[] = [];
  const log = { warn: () => undefined, error: (_: object, message: string) => void messages.push(message) };
  const thread = new URL(`data:text/javascript,${encodeURIComponent(dying)}`);
  const store = await openedStore(t, { path: databasePath(t), thread, log });
  const first = store.save([newTask(1)]);
  await turn();
  const second = store.save([newTask(2)]);
  const refused = { code: "store_unavailable", message: /storage thread ended: the thread has a bug/ };
  await Promise.all([assert.rejects(first, refused), assert.rejects(second, refused)]);
  await assert.rejects(store.save([newTask(3)]), refused);
  await assert.rejects(store.get("1"), refused);
  await store.close();
  assert.ok(messages.includes("no task can be stored until the server is restarted"));
});

test("a task that cannot be made a row fails alone", async (t) => {
  const store = await openedStore(t);
  const broken = [newTask(1, { text: undefined as never }), newTask(2, { user: (() => 1) as never })];
  const outcomes = await Promise.allSettled([...broken, newTask(3)].map((task) => store.save([task])));
  assert.deepEqual(
    outcomes.map((outcome) => outcome.status),
    ["rejected", "rejected", "fulfilled"],
  );
  assert.deepEqual(await storedSeqs(store), [3]);
});

function databasePath(t: TestContext): string {
  return join(testFolder(t), "tasks.db");
}

async function openedStore(
  t: TestContext,
  options: SqliteStoreOptions = { path: databasePath(t) },
): Promise<SqliteStore> {
  const store = new SqliteStore(options);
  await store.open();
  t.after(() => store.close());
  return store;
}

async function refusedUntouched(path: string, error: object, name?: string): Promise<void> {
  const before = readFileSync(path);
  const store = new SqliteStore({ path });
  await assert.rejects(store.open(), error, name);
  await store.close();
  assert.ok(readFileSync(path).equals(before), name);
}

function execute(path: string, sql: string): void {
  const db = new DatabaseSync(path);
  db.exec(sql);
  db.close();
}

function startChild(path: string, what: string): ChildProcess {
  const script = join(import.meta.dirname, "helpers", "store-child.ts");
  return spawn(process.execPath, [script, path, what], { stdio: ["ignore", "pipe", "inherit"] });
}

function linesOf(child: ChildProcess): AsyncIterable<string> {
  assert.ok(child.stdout !== null);
  return createInterface({ input: child.stdout });
}

async function ended(child: ChildProcess): Promise<unknown[]> {
  return child.exitCode !== null || child.signalCode !== null
    ? [child.exitCode, child.signalCode]
    : once(child, "exit");
}
