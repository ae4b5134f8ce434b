/* Removed is removed: no file keeps the text, and its room goes back to the file system. */
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { LogMark, lacksLog } from "../src/store/sqlite/log-mark.ts";
import { SqliteStore } from "../src/store/sqlite/sqlite.ts";
import { Upkeep } from "../src/store/sqlite/upkeep.ts";
import { openDatabase } from "../src/store/sqlite/schema.ts";
import { complete, newTask, run, storedSeqs, testFolder } from "./helpers/store.ts";

const EVERYTHING_DUE = { endedBefore: Number.MAX_SAFE_INTEGER, maxEnded: null, keysBefore: 0, usageBefore: 0 };
const NOTHING_DUE = { endedBefore: 0, maxEnded: null, keysBefore: 0, usageBefore: 0 };

async function openedStore(t: TestContext, path: string): Promise<SqliteStore> {
  const store = new SqliteStore({ path });
  t.after(() => store.close());
  await store.open();
  return store;
}

/** Saves ended tasks with prompts of so many characters, each of which says `xyzzy`. */
async function saveEnded(store: SqliteStore, count: number, characters: number): Promise<void> {
  const text = "xyzzy! ".repeat(characters / 7);
  const tasks = Array.from({ length: count }, (_, index) => newTask(index + 1, { text }));
  await store.save(tasks);
  for (const task of tasks) {
    complete(run(task));
    task.result = { ...task.result!, text };
  }
  await store.save(tasks);
}

function filesWith(folder: string, text: string): string[] {
  return readdirSync(folder).filter((name) => readFileSync(join(folder, name)).includes(text));
}

test("after a removal and a stop, no file in the folder has the text any more", async (t) => {
  const path = join(testFolder(t), "tasks.db");
  const store = await openedStore(t, path);
  await saveEnded(store, 50, 7000);
  assert.notDeepEqual(filesWith(dirname(path), "xyzzy"), []);
  while (await store.sweep(EVERYTHING_DUE));
  await store.close();
  assert.deepEqual(filesWith(dirname(path), "xyzzy"), []);
});

test("while the server runs the log loses the text too, as soon as there is nothing else to do", (t) => {
  const path = join(testFolder(t), "tasks.db");
  const db = openDatabase(path);
  t.after(() => db.close());
  const upkeep = new Upkeep(db, path);
  db.exec("CREATE TABLE texts (text TEXT)");
  db.exec("INSERT INTO texts VALUES (replace(hex(zeroblob(9000)), '00', 'xyzzy! '))");
  db.exec("DELETE FROM texts");
  upkeep.done(true);
  upkeep.tick();
  assert.deepEqual(filesWith(dirname(path), "xyzzy"), ["tasks.db-wal"], "it was busy until now");
  upkeep.tick();
  assert.deepEqual(filesWith(dirname(path), "xyzzy"), []);
  upkeep.close();
});

test("the room of what was removed goes back to the file system, but for a spare share", async (t) => {
  const path = join(testFolder(t), "tasks.db");
  const store = await openedStore(t, path);
  await saveEnded(store, 200, 35_000);
  const before = pagesOf(await closed(store, path));
  const again = await openedStore(t, path);
  while (await again.sweep(EVERYTHING_DUE));
  const after = pagesOf(await closed(again, path));
  assert.ok(after.pages < before.pages / 4, `${before.pages} pages before, ${after.pages} after`);
  assert.ok(after.free <= 256, `${after.free} free pages`);
});

test("a sweep with nothing to remove leaves spare pages alone", async (t) => {
  const path = join(testFolder(t), "tasks.db");
  const store = await openedStore(t, path);
  await saveEnded(store, 20, 7000);
  while (await store.sweep(EVERYTHING_DUE));
  assert.equal(await store.sweep(NOTHING_DUE), false);
  assert.ok(pagesOf(await closed(store, path)).free > 0);
});

async function closed(store: SqliteStore, path: string): Promise<string> {
  await store.close();
  return path;
}

function pagesOf(path: string): { pages: number; free: number } {
  const db = new DatabaseSync(path, { readOnly: true });
  const [pages, free] = ["page_count", "freelist_count"].map((name) =>
    Number(Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0]),
  );
  db.close();
  return { pages: pages!, free: free! };
}

/** The database file alone, in a folder of its own. */
function copiedAlone(t: TestContext, path: string): string {
  const copy = join(testFolder(t), "alone", "tasks.db");
  mkdirSync(dirname(copy));
  copyFileSync(path, copy);
  return copy;
}

const REFUSED = { code: "bad_config", message: /tasks\.db was copied without its log: .*-wal belongs to it.*compact/ };

test("a database that was copied without its log is told, and not served as an older one", async (t) => {
  const path = join(testFolder(t), "tasks.db");
  const store = await openedStore(t, path);
  await store.save([newTask(1)]);
  const copy = copiedAlone(t, path);
  await assert.rejects(openedStore(t, copy), REFUSED);
  await assert.rejects(openedStore(t, copy), REFUSED, "also the second time");
  assert.deepEqual(readdirSync(dirname(copy)), ["tasks.db"]);
  copyFileSync(`${path}-wal`, `${copy}-wal`);
  const whole = await openedStore(t, copy);
  assert.deepEqual(await storedSeqs(whole), [1]);
});

test("a log whose database is gone is told, and not thrown away", async (t) => {
  const path = join(testFolder(t), "tasks.db");
  const store = await openedStore(t, path);
  await store.save([newTask(1)]);
  const alone = join(testFolder(t), "alone", "tasks.db");
  mkdirSync(dirname(alone));
  copyFileSync(`${path}-wal`, `${alone}-wal`);
  const refused = { code: "bad_config", message: /tasks\.db is gone, and its log .*tasks\.db-wal.*is still there/ };
  await assert.rejects(openedStore(t, alone), refused);
  assert.deepEqual(readdirSync(dirname(alone)), ["tasks.db-wal"]);
  copyFileSync(path, alone);
  assert.deepEqual(await storedSeqs(await openedStore(t, alone)), [1]);
});

test("it is told however often the log has begun anew since", async (t) => {
  const path = join(testFolder(t), "tasks.db");
  const store = await openedStore(t, path);
  // The log is moved into the file at each 16 MiB.
  for (let seq = 1; seq <= 6; seq++) await store.save([newTask(seq, { text: "x".repeat(8 * 2 ** 20) })]);
  // The mark is made anew right after the answer, so before the next one.
  await store.tasks.get(newTask(1).id);
  // Right after a move the file has everything.
  await store.save([newTask(7)]);
  assert.ok(statSync(path).size > 16 * 2 ** 20);
  // The mark is kept when a save has been answered, before anything else is.
  await store.tasks.countEnded(0);
  await assert.rejects(openedStore(t, copiedAlone(t, path)), REFUSED);
});

test("a file is whole after a stop, and after any other program has moved its log into it", async (t) => {
  const path = join(testFolder(t), "tasks.db");
  const store = await openedStore(t, path);
  await store.save([newTask(1)]);
  // As after a kill: both files, and nobody who has them.
  const copy = copiedAlone(t, path);
  copyFileSync(`${path}-wal`, `${copy}-wal`);
  const other = new DatabaseSync(copy);
  other.prepare("SELECT count(*) FROM tasks").get();
  other.close();
  assert.deepEqual(readdirSync(dirname(copy)), ["tasks.db"]);
  await store.close();
  for (const whole of [path, copy]) {
    assert.equal(lacksLog(whole), false);
    const again = await openedStore(t, whole);
    assert.deepEqual(await storedSeqs(again), [1]);
    await again.close();
  }
});

test("a crash between the two steps of the mark is no loss", (t) => {
  const path = join(testFolder(t), "tasks.db");
  const db = openDatabase(path);
  new LogMark(db, path).keep();
  // The first step, in a log that nothing follows.
  db.exec("UPDATE log_mark SET is_in_log = 1; PRAGMA wal_checkpoint(PASSIVE)");
  const copy = copiedAlone(t, path);
  copyFileSync(`${path}-wal`, `${copy}-wal`);
  db.close();
  const again = openDatabase(copy);
  // Also when the start that follows ends at once.
  again.close();
  openDatabase(copy).close();
});
