/* What SqliteStore adds to the promises of a store: one file, one process, group commit. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  copyFileSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import { completionOf } from "../src/request.ts";
import { openOrReplace } from "../src/store/sqlite/quarantine.ts";
import { briefly, toldToOperators } from "./helpers/operators.ts";
import { openDatabase, PAGE_SIZE } from "../src/store/sqlite/schema.ts";
import { newUse } from "../src/task-use.ts";
import { SqliteStore, type SqliteStoreOptions } from "../src/store/sqlite/sqlite.ts";
import { type Task, TASK_STATUSES, type TaskStatus } from "../src/task.ts";
import {
  complete,
  EMPTY,
  EVERYTHING,
  newBatch,
  newDelivery,
  newTask,
  run,
  storedSeqs,
  testFolder,
  turn,
  storedTask,
} from "./helpers/store.ts";

const MIB = 1024 * 1024;
const MIGRATIONS = join(import.meta.dirname, "..", "src", "store", "sqlite", "migrations");

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
  const { tasks } = await store.tasks.list({ ...EVERYTHING, limit: 1_000_000 });
  const batches = Object.groupBy(tasks, (task) => task.batchId ?? "");
  for (const [batchId, members] of Object.entries(batches)) {
    if (batchId === "") continue;
    assert.equal(members?.length, 7, batchId);
    assert.equal((await store.tasks.batch(batchId))?.batch.size, 7, batchId);
    assert.equal((await store.idempotency.find("ada", batchId))?.key, batchId);
  }
  await store.close();
  const stored = new Map(tasks.map((task) => [task.seq, task.status]));
  for (const [seq, status] of acknowledged) {
    const found = stored.get(seq);
    assert.ok(found !== undefined, `task ${seq} is lost`);
    assert.ok(TASK_STATUSES.indexOf(found) >= TASK_STATUSES.indexOf(status), `task ${seq} was ${status}, is ${found}`);
  }
}

test("a thread that has died before its store is opened is replaced", async (t) => {
  const [path, program] = [databasePath(t), join(testFolder(t), "thread.mjs")];
  const died = Promise.withResolvers<void>();
  class Prepared extends SqliteStore {
    protected override onThreadEnd(): void {
      died.resolve();
    }
  }
  writeFileSync(program, "");
  const store = new Prepared({ path, thread: pathToFileURL(program) });
  store.prepare();
  await died.promise;
  writeFileSync(program, `import ${JSON.stringify(new URL("../src/store/sqlite/thread.ts", import.meta.url).href)};`);
  await store.open();
  await store.save([newTask(1)]);
  assert.deepEqual(await storedSeqs(store), [1]);
  await store.close();
});

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
  await assert.rejects(openedStore(t, { path }), refused);
  if (process.platform === "linux") {
    await assert.rejects(openedStore(t, { path }), { message: new RegExp(`process ${child.pid}`) });
  }
  child.kill("SIGKILL");
  await ended(child);

  const store = await openedStore(t, { path });
  await store.save([newTask(1)]);
  await assert.rejects(openedStore(t, { path }), refused);
  await store.save([newTask(2)]);
  // What this process was refused must not have cost it its lock.
  const lines = await Array.fromAsync(linesOf(startChild(path, "hold")));
  assert.match(lines.join("\n"), refused.message);
  assert.deepEqual(await storedSeqs(store), [2, 1]);
});

test("a damaged file is put into quarantine as it is, by a name that the log gives, and an empty database takes its place", async (t) => {
  const told = toldToOperators(t);
  const damages: Record<string, (path: string) => void> = {
    "something else": (path) => writeFileSync(path, "not a database\n".repeat(1000)),
    "a few bytes": (path) => writeFileSync(path, "x"),
    zeros: (path) => writeFileSync(path, Buffer.alloc(8192)),
    "cut short": (path) => truncateSync(path, Math.floor(statSync(path).size / 2)),
    "a damaged index, found when tasks are counted": (path) => damagePage(path, "rootpage", "tasks_by_user"),
    "a damaged task, found when most live tasks have been read": (path) => damagePage(path, "last leaf", "tasks"),
    "a damaged list of batches": (path) => damagePage(path, "rootpage", "batches_unfinished"),
  };
  const sound = databasePath(t);
  const whole = await openedStore(t, { path: sound });
  await whole.save(Array.from({ length: 1500 }, (_, index) => newTask(index + 1)));
  await whole.close();
  for (const [name, damage] of Object.entries(damages)) {
    const path = databasePath(t);
    copyFileSync(sound, path);
    damage(path);
    const before = readFileSync(path);
    const { messages, log } = listeningLog();
    const store = await openedStore(t, { path, log });
    const { quarantinedTo, ...first } = await store.open();
    assert.deepEqual({ ...first, quarantinedTo: null }, EMPTY, name);
    assert.ok(quarantinedTo !== null, name);
    assert.match(quarantinedTo, new RegExp(`^${path}\\.damaged-\\d{4}-\\d\\d-\\d\\dT\\d{6}\\.\\d{3}Z$`));
    assert.ok(readFileSync(quarantinedTo).equals(before), name);
    assert.deepEqual(briefly(told.slice(-1)), ["store quarantined"]);
    assert.match(messages.join("\n"), new RegExp(`^${path} is damaged \\(.+\\); it was moved to ${quarantinedTo}`));
    await store.save([newTask(1)]);
    await store.close();
    assert.deepEqual(
      readdirSync(dirname(path)).toSorted(),
      ["tasks.db", quarantinedTo.slice(dirname(path).length + 1)],
      name,
    );

    const again = await openedStore(t, { path });
    assert.deepEqual(await storedSeqs(again), [1]);
    assert.equal((await again.open()).quarantinedTo, null);
  }
});

test("an empty file whose log is not empty is damaged: SQLite would throw the log away", async (t) => {
  const path = databasePath(t);
  const child = startChild(path, "hold");
  for await (const line of linesOf(child)) if (line === "open") break;
  child.kill("SIGKILL");
  await ended(child);
  const log = readFileSync(`${path}-wal`);
  assert.ok(log.length > 0);
  truncateSync(path, 0);
  const { quarantinedTo } = await (await openedStore(t, { path })).open();
  assert.equal(statSync(`${quarantinedTo}`).size, 0);
  assert.ok(readFileSync(`${quarantinedTo}-wal`).equals(log));
});

test("quarantine never writes over a file", (t) => {
  const path = databasePath(t);
  t.mock.timers.enable({ apis: ["Date"], now: Date.UTC(2030, 0, 2, 3, 4, 5, 6) });
  const target = `${path}.damaged-2030-01-02T030405.006Z`;
  writeFileSync(`${target}-wal`, "somebody's");
  for (const [content, suffix] of [
    ["first", "-2"],
    ["second", "-3"],
  ] as const) {
    writeFileSync(path, content);
    const { opened, quarantined } = openOrReplace(path, () => openDatabase(path));
    opened.close();
    assert.deepEqual(quarantined, { path: target + suffix, reason: `it has ${content.length} bytes` });
    assert.equal(readFileSync(target + suffix, "utf8"), content);
  }
  assert.equal(readFileSync(`${target}-wal`, "utf8"), "somebody's");
});

test("a file that another server has is not moved, however damaged it looks", async (t) => {
  const damages: Record<string, (path: string) => void> = {
    "its header": (path) => overwrite(path, 0, Buffer.alloc(100, "x")),
    "all of it": (path) => overwrite(path, 0, Buffer.alloc(statSync(path).size, "x")),
    "cut short": (path) => truncateSync(path, 100),
    "cut to nothing": (path) => truncateSync(path, 0),
  };
  for (const [name, damage] of Object.entries(damages)) {
    const path = databasePath(t);
    const child = startChild(path, "hold");
    for await (const line of linesOf(child)) if (line === "open") break;
    // It writes to its log while nobody asks (log-room.ts).
    child.kill("SIGSTOP");
    damage(path);
    const files = readdirSync(dirname(path)).toSorted();
    const contents = files.map((file) => readFileSync(join(dirname(path), file)));
    await assert.rejects(openedStore(t, { path }), { code: "conflict" }, name);
    const after = readdirSync(dirname(path)).toSorted();
    assert.deepEqual(
      after.filter((file) => !file.endsWith(".moving")),
      files,
      name,
    );
    files.forEach((file, index) =>
      assert.ok(readFileSync(join(dirname(path), file)).equals(contents[index] as Buffer), file),
    );
    child.kill("SIGKILL");
    await ended(child);
  }
});

test("of several servers that start on one damaged file, one moves it and has the new one", async (t) => {
  const path = databasePath(t);
  const garbage = "not a database\n".repeat(1000);
  writeFileSync(path, garbage);
  const children = Array.from({ length: 4 }, () => startChild(path, "hold"));
  const said = await Promise.all(
    children.map(async (child) => {
      for await (const line of linesOf(child)) return line;
      return "nothing";
    }),
  );
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(children.map(ended));
  assert.equal(said.filter((line) => line === "open").length, 1, said.join("\n"));
  for (const line of said) assert.match(line, /^open$|is in use by another server/);
  const moved = readdirSync(dirname(path)).filter((file) => file.includes(".damaged-"));
  assert.deepEqual(
    moved.map((file) => readFileSync(join(dirname(path), file), "utf8")),
    [garbage],
  );
  await openedStore(t, { path });
});

test("a database of version 1 keeps its tasks, and its batches get rows", async (t) => {
  const path = databasePath(t);
  execute(path, readFileSync(join(MIGRATIONS, "0001-tasks.sql"), "utf8"));
  execute(path, "PRAGMA application_id = 1095516499; PRAGMA user_version = 1");
  execute(path, ["w", "w", "d", "d", null, null].map((batch, index) => oldTask(index + 1, batch)).join(";"));
  // Nothing of "d" is left to do.
  execute(path, "UPDATE tasks SET status = 'completed', finished_at = 5000 + seq WHERE batch_id = 'd' OR seq = 1");
  const store = new SqliteStore({ path });
  const { live, batches, lastSeq } = await store.open();
  t.after(() => store.close());
  assert.equal(lastSeq, 6);
  assert.deepEqual(
    live.map(({ seq, size, priority, timeoutSeconds, retryOf, webhook }) => [
      seq,
      size,
      priority,
      timeoutSeconds,
      retryOf,
      webhook,
    ]),
    [2, 5, 6].map((seq) => [seq, 5, "normal", null, null, null]),
  );
  assert.deepEqual(await store.tasks.request(5), completionOf("old 5"));
  const waiting = {
    id: "w",
    user: "ada",
    team: null,
    firstSeq: 1,
    size: 2,
    whole: true,
    webhook: null,
    createdAt: 1001,
    finishedAt: null,
    lines: null,
  };
  assert.deepEqual(batches, [waiting]);
  assert.deepEqual(await store.tasks.batch("d"), {
    batch: { ...waiting, id: "d", firstSeq: 3, createdAt: 1003, finishedAt: 5004 },
    counts: { queued: 0, running: 0, completed: 2, failed: 0, canceled: 0 },
    unbound: 0,
  });
  assert.deepEqual(
    (await store.tasks.endsOf("d", 0, 10)).map((task) => task.seq),
    [3, 4],
  );
  await store.save([complete(run(live[0] as Task))]);
  while (await store.sweep({ endedBefore: 5004, maxEnded: null, keysBefore: 0, usageBefore: 0 }));
  assert.deepEqual(await storedSeqs(store), [6, 5, 4]);
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
  await assert.rejects(openedStore(t, { path }), { code: "bad_config", message: new RegExp(path) });
  const folder = testFolder(t);
  await assert.rejects(openedStore(t, { path: folder }), { code: "bad_config", message: new RegExp(folder) });
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

test("of two saves that share a task, neither is written when one is refused", async (t) => {
  const store = await openedStore(t);
  const [shared, other] = [newTask(1), newTask(2)];
  await store.save([other]);
  const outcomes = await Promise.allSettled([
    store.save([shared]),
    store.save([shared, newTask(3, { id: other.id })]),
    store.save([newTask(4)]),
  ]);
  assert.deepEqual(
    outcomes.map((outcome) => outcome.status),
    ["rejected", "rejected", "fulfilled"],
  );
  assert.deepEqual(await storedSeqs(store), [4, 2]);
  await store.save([shared]);
  assert.deepEqual(await storedSeqs(store), [4, 2, 1]);
});

test("a write does not wait for lists that look through everything", async (t) => {
  const store = await openedStore(t);
  // Far apart, so that each is looked at in a step of its own.
  await store.save(Array.from({ length: 40 }, (_, index) => newTask(1 + index * 1_000_000)));
  const order: string[] = [];
  const lists = Array.from({ length: 3 }, () => store.tasks.list({ ...EVERYTHING, taskType: "text_generation" }));
  const listed = Promise.all(lists).then((answers) => {
    order.push("lists");
    return answers;
  });
  await store.save([newTask(41_000_000)]).then(() => order.push("save"));
  for (const { total } of await listed) assert.ok(total >= 40);
  assert.deepEqual(order, ["save", "lists"]);
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

test("what a task has cost is read as a list, and as the object with names that it was before", async (t) => {
  const path = databasePath(t);
  const use = { ...newUse(), queued: 0.25, promptTokens: 7, completionTokens: 3, gpuSeconds: 0.1 };
  const store = await openedStore(t, { path });
  await store.save([1, 2].map((seq) => ({ ...newTask(seq), use })));
  await store.close();
  execute(path, `UPDATE tasks SET used = '${JSON.stringify(use)}' WHERE seq = 1`);
  const again = new SqliteStore({ path });
  t.after(() => again.close());
  const { live } = await again.open();
  assert.deepEqual(
    live.map((task) => task.use),
    [use, use],
  );
});

test("a task that is removed leaves no request", async (t) => {
  const path = databasePath(t);
  const store = await openedStore(t, { path });
  const tasks = [1, 2, 3].map((seq) => complete(run(newTask(seq, { text: "a long text ".repeat(100) }))));
  await store.save(tasks);
  await store.tasks.remove(tasks[0]?.id ?? "");
  await store.sweep({ endedBefore: 0, maxEnded: 1, keysBefore: 0, usageBefore: 0 });
  await store.close();
  const db = new DatabaseSync(path);
  assert.deepEqual(
    db
      .prepare("SELECT seq FROM requests")
      .all()
      .map((row) => row.seq),
    [3],
  );
  db.close();
});

test("a save whose records find the disk full leaves neither records nor tasks, and can be made again", async (t) => {
  const path = databasePath(t);
  const store = await openedStore(t, { path, maxPages: 100 });
  const task = newTask(1, { batchId: "b" });
  const large = newDelivery(task.id, { body: "x".repeat(MIB) });
  const records = [
    { kind: "batch", batch: newBatch([task]) },
    { kind: "event", delivery: large },
  ] as const;
  const outcomes = await Promise.allSettled([store.save([task], records), store.save([], records)]);
  for (const outcome of outcomes) {
    assert.equal(outcome.status, "rejected");
    assert.equal(outcome.reason.code, "store_unavailable");
  }
  assert.equal(await store.tasks.batch("b"), null);
  assert.deepEqual(await storedSeqs(store), []);
  assert.deepEqual(await store.outbox.deliveriesOf(task.id), []);
  await store.save([task], records.slice(0, 1));
  await store.close();

  const roomier = await openedStore(t, { path });
  await roomier.save([], records);
  assert.deepEqual(await roomier.outbox.deliveriesOf(task.id), [large]);
});

test("a record that cannot be made a row fails with the tasks of its save, and alone", async (t) => {
  const store = await openedStore(t);
  const broken = newBatch([newTask(1, { batchId: "b" })], { user: undefined as never });
  const outcomes = await Promise.allSettled([
    store.save([newTask(1, { batchId: "b" })], [{ kind: "batch", batch: broken }]),
    store.save([newTask(2)], [{ kind: "event", delivery: newDelivery("2") }]),
  ]);
  assert.deepEqual(
    outcomes.map((outcome) => outcome.status),
    ["rejected", "fulfilled"],
  );
  assert.deepEqual(await storedSeqs(store), [2]);
  assert.equal((await store.outbox.deliveriesOf("2")).length, 1);
});

test("a stored task that cannot be understood stops the start with an error, and the file is free again", async (t) => {
  const path = databasePath(t);
  const store = await openedStore(t, { path });
  await store.save([newTask(1)]);
  await store.close();
  execute(path, "UPDATE tasks SET attempts = '[{'");
  await assert.rejects(openedStore(t, { path }), SyntaxError);
  execute(path, "UPDATE tasks SET attempts = '[]'");
  assert.deepEqual(await storedSeqs(await openedStore(t, { path })), [1]);
});

test("a full disk refuses the whole write and nothing else", async (t) => {
  const path = databasePath(t);
  const store = await openedStore(t, { path, maxPages: 100 });
  const [small, large] = [newTask(1), newTask(2, { text: "x".repeat(MIB) })];
  const outcomes = await Promise.allSettled([store.save([small]), store.save([large])]);
  for (const outcome of outcomes) {
    assert.equal(outcome.status, "rejected");
    assert.equal(outcome.reason.code, "store_unavailable");
    assert.match(outcome.reason.message, /^tasks could not be written to disk: database or disk is full$/);
  }
  assert.deepEqual(await store.tasks.list(EVERYTHING), { tasks: [], total: 0 });
  await store.save([small]);
  await assert.rejects(store.save([run(small), large]), { code: "store_unavailable" });
  assert.deepEqual((await store.tasks.list({ ...EVERYTHING, status: "queued" })).total, 1);
  await store.close();

  const roomier = await openedStore(t, { path });
  assert.deepEqual(await storedSeqs(roomier), [1]);
  await roomier.save([large]);
  assert.deepEqual(await storedTask(roomier, large.id), large);
});

test("when the storage thread dies, saves are refused and the process lives on", async (t) => {
  const dying = `
    import { parentPort } from "node:worker_threads";
    parentPort.on("message", ({ kind, number }) => {
      if (kind === "write") throw new Error("the thread has a bug");
      parentPort.postMessage({ kind: "done", number, value: { lastSeq: 0, batches: [], quarantined: null } });
    });`;
  const { messages, log } = listeningLog();
  const thread = new URL(`data:text/javascript,${encodeURIComponent(dying)}`);
  const store = await openedStore(t, { path: databasePath(t), thread, log });
  const first = store.save([newTask(1)]);
  await turn();
  const second = store.save([newTask(2)]);
  const refused = { code: "store_unavailable", message: /The task store has failed\./ };
  await Promise.all([assert.rejects(first, refused), assert.rejects(second, refused)]);
  await assert.rejects(store.save([newTask(3)]), refused);
  await assert.rejects(store.tasks.get("1"), refused);
  await store.close();
  assert.ok(messages.includes("no task can be stored until the server is restarted"));
});

test("a task that cannot be made a row fails alone", async (t) => {
  const store = await openedStore(t);
  const broken = [newTask(1, { request: null }), newTask(2, { user: (() => 1) as never })];
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

function listeningLog() {
  const messages: string[] = [];
  const log = {
    info: () => undefined,
    warn: () => undefined,
    error: (_: object, message: string) => void messages.push(message),
  };
  return { messages, log };
}

/** Makes one page of a table or index unreadable. */
function damagePage(path: string, which: "rootpage" | "last leaf", name: string): void {
  const db = new DatabaseSync(path);
  const found =
    which === "rootpage"
      ? db.prepare("SELECT rootpage AS page FROM sqlite_schema WHERE name = ?").get(name)
      : db.prepare("SELECT max(pageno) AS page FROM dbstat WHERE name = ? AND pagetype = 'leaf'").get(name);
  db.close();
  overwrite(path, (Number(found?.page) - 1) * PAGE_SIZE, Buffer.alloc(PAGE_SIZE, 0xff));
}

function overwrite(path: string, offset: number, bytes: Buffer): void {
  const fd = openSync(path, "r+");
  writeSync(fd, bytes, 0, bytes.length, offset);
  closeSync(fd);
}

/** SQL for a queued task of the first schema. */
function oldTask(seq: number, batchId: string | null): string {
  const batch = batchId === null ? "NULL" : `'${batchId}'`;
  return `
    INSERT INTO tasks (seq, id, user, strategy, batch_id, whole_batch, created_at, max_length, temperature, task_type, status, attempts)
    VALUES (${seq}, 'id ${seq}', 'ada', 'random', ${batch}, ${batchId === null ? 0 : 1}, ${1000 + seq}, 128, 0.7, 'text_generation', 'queued', '[]');
    INSERT INTO prompts VALUES (${seq}, 'old ${seq}')`;
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
