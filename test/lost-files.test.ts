/* Files of the store that go away while it has them open: what is written into a deleted file is nowhere. */
import assert from "node:assert/strict";
import { once } from "node:events";
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { watch } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { wallTime } from "../src/common/clock.ts";
import { LogMark } from "../src/store/sqlite/log-mark.ts";
import { OpenFiles } from "../src/store/sqlite/presence.ts";
import { SqliteStore } from "../src/store/sqlite/sqlite.ts";
import { complete, EVERYTHING, newTask, run, storedSeqs, testFolder } from "./helpers/store.ts";

/** What happens to a database at this path, and which files of its folder are there from then on. */
const LOSSES: Readonly<Record<string, (path: string) => void>> = {
  "the database is deleted": (path) => rmSync(path),
  "its log is deleted": (path) => rmSync(`${path}-wal`),
  "the folder is deleted": (path) => rmSync(dirname(path), { recursive: true }),
  "the folder is renamed": (path) => renameSync(dirname(path), `${dirname(path)}.old`),
  "another folder takes its place": (path) => {
    renameSync(dirname(path), `${dirname(path)}.old`);
    mkdirSync(dirname(path));
    writeFileSync(path, "another database");
    writeFileSync(`${path}-wal`, "its log");
  },
  "the database is cut short": (path) => truncateSync(path, 4096),
  "its log is cut short": (path) => truncateSync(`${path}-wal`, 100),
  "its log is emptied": (path) => truncateSync(`${path}-wal`),
  "another file takes the database's place": (path) => {
    writeFileSync(`${path}.new`, "another database");
    renameSync(`${path}.new`, path);
  },
};

interface Opened {
  readonly store: SqliteStore;
  readonly path: string;
  /** The messages of the log. */
  readonly errors: string[];
}

async function openedStore(t: TestContext, folder = testFolder(t)): Promise<Opened> {
  const path = join(folder, "data", "tasks.db");
  const errors: string[] = [];
  const log = {
    info: () => undefined,
    warn: () => undefined,
    error: (_: object, message: string) => void errors.push(message),
  };
  const store = new SqliteStore({ path, log });
  t.after(() => store.close());
  await store.open();
  return { store, path, errors };
}

const refused = {
  code: "store_unavailable",
  message: /was (deleted|replaced|cut short) while the server ran\. Nothing can be/,
};

for (const [what, lose] of Object.entries(LOSSES)) {
  test(`${what}: the very next write and read are refused for good, and nothing is made again`, async (t) => {
    const { store, path, errors } = await openedStore(t);
    await store.save([newTask(1)]);
    lose(path);
    const left = filesOf(path);
    await assert.rejects(store.save([newTask(2)]), refused);
    assert.equal(store.lost.aborted, true);
    const { id } = newTask(1);
    for (const read of [
      store.tasks.get(id),
      store.tasks.list(EVERYTHING),
      store.tasks.batch(id),
      store.tasks.remove(id),
    ]) {
      await assert.rejects(read, (error: Error) => error === store.lost.reason);
    }
    assert.equal(errors.length, 1, errors.join("\n"));
    assert.match(errors[0]!, new RegExp(`^${path}(-wal)? was (deleted|replaced|cut short) while the server ran`));
    assert.doesNotMatch(String(store.lost.reason), /\//, "clients are told no path");
    await store.close();
    assert.deepEqual(filesOf(path), left);
  });
}

for (const [what, lose] of Object.entries(LOSSES)) {
  test(`${what}: the folder's time and the ends of the files tell it`, async (t) => {
    const { store, path } = await openedStore(t);
    await store.save([newTask(1)]);
    // The files' own state is not asked for once the folder's last change is long ago.
    const files = new OpenFiles(path, () => wallTime() + 60_000);
    t.after(() => files.close());
    assert.equal(files.missingAtAGlance(), null);
    nextTick(t, dirname(path));
    lose(path);
    assert.match(files.missingAtAGlance()?.how ?? "", /^(deleted|replaced|cut short)$/);
  });
}

for (const grown of [1, 100_000]) {
  test(`of a log that grew by ${grown} bytes, the loss of the last one is noticed`, (t) => {
    const path = join(testFolder(t), "tasks.db");
    const log = `${path}-wal`;
    for (const file of [path, log]) writeFileSync(file, "some text");
    const files = new OpenFiles(path, () => wallTime() + 60_000);
    t.after(() => files.close());
    appendFileSync(log, Buffer.alloc(grown));
    assert.equal(files.missingAtAGlance(), null);
    truncateSync(log, statSync(log).size - 1);
    for (const _ of [1, 2]) assert.equal(files.missingAtAGlance()?.how, "cut short");
  });
}

test("a log that somebody else has emptied gets no mark, with which it would look whole", (t) => {
  const path = join(testFolder(t), "tasks.db");
  const db = new DatabaseSync(path);
  t.after(() => db.close());
  db.exec("PRAGMA journal_mode = wal; CREATE TABLE log_mark (is_in_log INTEGER); INSERT INTO log_mark VALUES (0)");
  const mark = new LogMark(db, path);
  t.after(() => mark.close());
  assert.equal(mark.keep(), true);
  truncateSync(`${path}-wal`);
  assert.equal(mark.keep(), false);
  assert.equal(statSync(`${path}-wal`).size, 0);
});

test("files that the store itself makes shorter are no loss", async (t) => {
  const { store, path } = await openedStore(t);
  const bytes = (): number => statSync(path).size + statSync(`${path}-wal`).size;
  const text = "x".repeat(100_000);
  const tasks = Array.from({ length: 200 }, (_, index) => complete(run(newTask(index + 1, { text }))));
  await store.save(tasks);
  const before = bytes();
  const limits = { endedBefore: Number.MAX_SAFE_INTEGER, maxEnded: null, keysBefore: 0, usageBefore: 0 };
  const changes = watch(dirname(path));
  while (await store.sweep(limits));
  // The log is emptied when nothing else is to be done.
  for await (const { filename } of changes) if (filename !== null && bytes() < before / 2) break;
  await store.save([newTask(1000)]);
  assert.equal(store.lost.aborted, false);
});

test("it is noticed while nobody asks for anything", async (t) => {
  const { store, path } = await openedStore(t);
  const lost = once(store.lost, "abort");
  rmSync(path);
  await lost;
  await assert.rejects(store.tasks.list(EVERYTHING), refused);
});

test("a database that loses its log takes what was in it, at once", async (t) => {
  const folder = testFolder(t);
  const { store, path, errors } = await openedStore(t, folder);
  await store.save([newTask(1), newTask(2)]);
  rmSync(`${path}-wal`);
  await assert.rejects(store.save([newTask(3)]), refused);
  assert.match(errors[0]!, /what was stored until now was saved into the database$/);
  // As a kill would leave it: no stop helps.
  const killed = join(folder, "killed", "data", "tasks.db");
  mkdirSync(dirname(killed), { recursive: true });
  copyFileSync(path, killed);
  await store.close();
  for (const place of [join(folder, "killed"), folder]) {
    const { store: again } = await openedStore(t, place);
    assert.deepEqual(await storedSeqs(again), [2, 1]);
    await again.close();
  }
});

/** Waits for the next tick of the clock by which the system dates a change, as older kernels have it. */
function nextTick(t: TestContext, folder: string): void {
  const { ctimeMs } = statSync(folder);
  const other = testFolder(t);
  while (statSync(other).ctimeMs <= ctimeMs) rmSync(mkdtempSync(join(other, "x")), { recursive: true });
}

function filesOf(path: string): string[] {
  return existsSync(dirname(path)) ? readdirSync(dirname(path)).toSorted() : [];
}
