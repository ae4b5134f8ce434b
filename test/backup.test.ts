/* Backups: made while tasks are written, restored whole or not at all; and databases written anew. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { backup, DatabaseSync } from "node:sqlite";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { type TestContext, test } from "node:test";
import tar from "tar-stream";
import { archiveOf } from "../src/backup/archive.ts";
import { beginBackup } from "../src/backup/backup.ts";
import { backupCommand, compactCommand } from "../src/backup/commands.ts";
import { restoreBackup } from "../src/backup/restore.ts";
import { copyDatabase } from "../src/store/sqlite/copy.ts";
import { PAGE_SIZE } from "../src/store/sqlite/schema.ts";
import { SqliteStore } from "../src/store/sqlite/sqlite.ts";
import { complete, newTask, run, storedSeqs, testFolder } from "./helpers/store.ts";

const GO_ON = new AbortController().signal;
const CREDENTIALS = '{"version":1,"users":[],"keys":[]}\n';

interface World {
  readonly folder: string;
  readonly dataDir: string;
  readonly databasePath: string;
  readonly store: SqliteStore;
}

async function aServersData(t: TestContext): Promise<World> {
  const folder = testFolder(t);
  const dataDir = join(folder, "data");
  const databasePath = join(dataDir, "alt-las.db");
  const store = await openedStore(t, databasePath);
  writeFileSync(join(dataDir, "credentials.json"), CREDENTIALS);
  return { folder, dataDir, databasePath, store };
}

async function openedStore(t: TestContext, path: string): Promise<SqliteStore> {
  const store = new SqliteStore({ path });
  t.after(() => store.close());
  await store.open();
  return store;
}

/** Writes a backup of a store that is open, as a running server does. */
async function backUp({ folder, dataDir, databasePath, store }: World): Promise<string> {
  const file = join(folder, "backup.tar");
  writeFileSync(file, await buffer(await beginBackup({ copier: store, databasePath, dataDir }, GO_ON)));
  return file;
}

test("a backup has every task that was saved before it began, those saved meanwhile in order, and the files beside them", async (t) => {
  const world = await aServersData(t);
  const { store, folder, dataDir } = world;
  const text = "x".repeat(20_000);
  await store.save(Array.from({ length: 200 }, (_, index) => newTask(index + 1, { text })));
  let seq = 200;
  const over = new AbortController();
  const writing = (async () => {
    while (!over.signal.aborted) await store.save([newTask(++seq, { text })]);
  })();
  const file = await backUp(world);
  over.abort();
  await writing;
  assert.ok(seq > 200, "writes went on");
  assert.deepEqual(readdirSync(dataDir).toSorted(), ["alt-las.db", "alt-las.db-wal", "credentials.json"]);

  const restored = join(folder, "new", "data");
  const { files } = await restoreBackup(file, restored);
  assert.deepEqual(
    files.map(({ name }) => name),
    ["alt-las.db", "credentials.json"],
  );
  assert.deepEqual(readdirSync(restored).toSorted(), ["alt-las.db", "credentials.json"]);
  for (const name of readdirSync(restored)) assert.equal(statSync(join(restored, name)).mode & 0o777, 0o600);
  assert.equal(statSync(restored).mode & 0o777, 0o700);
  assert.equal(readFileSync(join(restored, "credentials.json"), "utf8"), CREDENTIALS);
  const seqs = (await storedSeqs(await openedStore(t, join(restored, "alt-las.db")))).toReversed();
  assert.ok(seqs.length >= 200);
  assert.deepEqual(
    seqs,
    Array.from(seqs, (_, index) => index + 1),
  );
});

const UPLOADED = ["01997d5e-2f00-7000-8000-000000000001", "01997d5e-2f00-7000-8000-000000000002"];

test("uploaded files are in a backup, but for those that are on their way or removed meanwhile", async (t) => {
  const world = await aServersData(t);
  const files = join(world.dataDir, "files");
  mkdirSync(files);
  for (const [index, name] of UPLOADED.entries()) writeFileSync(join(files, name), "x".repeat(100_000 * index));
  for (const name of [`${UPLOADED[0]}.part`, "notes.txt"]) writeFileSync(join(files, name), "not this");
  const restored = join(world.folder, "restored");
  await restoreBackup(await backUp(world), restored);
  assert.deepEqual(readdirSync(join(restored, "files")).toSorted(), UPLOADED);
  assert.equal(statSync(join(restored, "files")).mode & 0o777, 0o700);
  assert.equal(readFileSync(join(restored, "files", UPLOADED[1]!), "utf8"), "x".repeat(100_000));
  assert.equal(statSync(join(restored, "files", UPLOADED[1]!)).mode & 0o777, 0o600);

  const bytes = await beginBackup(
    { copier: world.store, databasePath: world.databasePath, dataDir: world.dataDir },
    GO_ON,
  );
  rmSync(join(files, UPLOADED[1]!));
  const file = join(world.folder, "again.tar");
  writeFileSync(file, await buffer(bytes));
  const again = join(world.folder, "again");
  await restoreBackup(file, again);
  assert.deepEqual(readdirSync(join(again, "files")), [UPLOADED[0]]);
});

test("a copy that begins within a write waits for its end", async (t) => {
  const folder = testFolder(t);
  await openedStore(t, join(folder, "tasks.db")).then((store) => store.close());
  const db = new DatabaseSync(join(folder, "tasks.db"));
  t.after(() => db.close());
  db.exec("BEGIN IMMEDIATE");
  const copied = copyDatabase(db, join(folder, "copy.db"), GO_ON);
  await assert.rejects(backup(db, join(folder, "other.db")), { errcode: 0 }, "as Node has it");
  db.exec("COMMIT");
  assert.ok((await copied) > 0);
});

test("a stop ends a copy under way, and so does a reader who leaves; nothing of it stays", async (t) => {
  const world = await aServersData(t);
  const { store, databasePath, dataDir } = world;
  await store.save(Array.from({ length: 400 }, (_, index) => newTask(index + 1, { text: "x".repeat(20_000) })));
  const left = new AbortController();
  const copied = assert.rejects(beginBackup({ copier: store, databasePath, dataDir }, left.signal), {
    code: "store_unavailable",
    message: /could not be copied/,
  });
  await assert.rejects(backUp(world), { code: "conflict", message: /under way/ });
  left.abort();
  await copied;
  for (const isRead of [true, false]) {
    const bytes = await beginBackup({ copier: store, databasePath, dataDir }, GO_ON);
    if (isRead) await once(bytes, "readable");
    await once(bytes.destroy(), "close");
  }
  const again = beginBackup({ copier: store, databasePath, dataDir }, GO_ON);
  const refused = assert.rejects(again, { code: "store_unavailable" });
  await store.save([newTask(401)]);
  await store.close();
  await refused;
  assert.deepEqual(readdirSync(dataDir).toSorted(), ["alt-las.db", "credentials.json"]);
});

test("where no server runs the command makes the copy; it replaces no file unasked, and only when it is whole", async (t) => {
  const { folder, dataDir, databasePath, store } = await aServersData(t);
  await store.save([newTask(1)]);
  const file = join(folder, "backup.tar");
  const context = { dataDir, storePath: undefined };
  await assert.rejects(backupCommand(context, file, false), { code: "conflict", message: /in use by another server/ });
  assert.equal(existsSync(file), false);
  await store.close();
  assert.match(await backupCommand(context, file, false), /no server runs here/);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  await assert.rejects(backupCommand(context, file, false), { message: /exists already.*--overwrite/ });
  await backupCommand(context, file, true);
  assert.deepEqual(readdirSync(folder).toSorted(), ["backup.tar", "data"]);
  assert.deepEqual(readdirSync(dataDir).toSorted(), ["alt-las.db", "credentials.json"]);
  // A database elsewhere is found by the configuration.
  const elsewhere = join(folder, "elsewhere.tar");
  await backupCommand({ dataDir: testFolder(t), storePath: databasePath }, elsewhere, false);
  const restored = join(folder, "restored");
  await restoreBackup(elsewhere, restored);
  assert.deepEqual(await storedSeqs(await openedStore(t, join(restored, "alt-las.db"))), [1]);
});

test("a database of an older version is copied as it is, and brought up to date by the start that follows", async (t) => {
  const { folder, dataDir, databasePath, store } = await aServersData(t);
  await store.save([newTask(1)]);
  await store.close();
  const old = new DatabaseSync(databasePath);
  const { user_version: schema } = old.prepare("PRAGMA user_version").get() as { user_version: number };
  old.exec("DROP TABLE log_mark; PRAGMA user_version = 5");
  old.close();
  const file = join(folder, "backup.tar");
  await backupCommand({ dataDir, storePath: undefined }, file, false);
  const restored = join(folder, "restored");
  assert.equal((await restoreBackup(file, restored)).schema, 5);
  assert.ok(schema > 5);
  await compactCommand({ dataDir: restored, storePath: undefined }, false, () => {});
});

test("a folder with anything in it is refused, an empty one is taken", async (t) => {
  const world = await aServersData(t);
  const file = await backUp(world);
  await assert.rejects(restoreBackup(file, world.dataDir), { message: /is not empty/ });
  const empty = join(world.folder, "empty");
  mkdirSync(empty);
  await restoreBackup(file, empty);
  assert.deepEqual(readdirSync(empty).toSorted(), ["alt-las.db", "credentials.json"]);
});

test("what is not whole, or not a backup, makes no folder", async (t) => {
  const { folder, ...world } = await aServersData(t);
  await world.store.save([newTask(1)]);
  const whole = readFileSync(await backUp({ folder, ...world }));
  const changed = Buffer.from(whole);
  // Inside the database, which comes first.
  changed[5000]! ^= 1;
  const credentials = Buffer.from(CREDENTIALS);
  const bad: Record<string, Buffer> = {
    "cut in the database": whole.subarray(0, 10_240),
    "cut before the manifest": await packed([{ name: "credentials.json", content: credentials }]),
    "one bit is another": changed,
    "no tar file": Buffer.from("not a tar file".repeat(1000)),
    empty: Buffer.alloc(0),
    "without a database": await buffer(
      Readable.from(archiveOf([{ name: "credentials.json", content: credentials }], 1)),
    ),
    "of a newer version": await buffer(Readable.from(archiveOf([{ name: "alt-las.db", content: credentials }], 999))),
  };
  for (const name of ["../alt-las.db", "/tmp/alt-las.db", "./alt-las.db", "config.yaml", "alt-las.db-wal"]) {
    bad[`it holds ${name}`] = await packed([{ name, content: credentials }]);
  }
  bad["a link"] = await packed([{ name: "alt-las.db", type: "symlink", linkname: "/etc/passwd" }]);
  bad["a file twice"] = await packed([1, 2].map(() => ({ name: "alt-las.db", content: credentials })));
  bad["a wrong manifest"] = await packed([{ name: "manifest.json", content: Buffer.from('{"format":2}') }]);
  const file = join(folder, "bad.tar");
  for (const [what, bytes] of Object.entries(bad)) {
    writeFileSync(file, bytes);
    await assert.rejects(
      restoreBackup(file, join(folder, "restored")),
      {
        code: "bad_config",
        message:
          /bad\.tar (is no (whole )?backup of ALT_LAS|is damaged|was written by a newer)|bad\.tar: alt_las is missing/,
      },
      what,
    );
    assert.deepEqual(readdirSync(folder).toSorted(), ["backup.tar", "bad.tar", "data"], what);
  }
});

test("a database that is damaged is told as that by the commands, and stays as it is", async (t) => {
  const dataDir = join(testFolder(t), "data");
  mkdirSync(dataDir);
  const path = join(dataDir, "alt-las.db");
  writeFileSync(path, "no database ".repeat(1000));
  const context = { dataDir, storePath: undefined };
  const told = { code: "store_unavailable", message: /alt-las\.db cannot be used: file is not a database; a start / };
  await assert.rejects(backupCommand(context, join(dataDir, "b.tar"), false), told);
  await assert.rejects(
    compactCommand(context, false, () => {}),
    told,
  );
  assert.match(readFileSync(path, "utf8"), /^no database no/);
});

test("a backup into a folder that is not there, and a restore of a file that is not, name what is missing", async (t) => {
  const { dataDir, folder, store } = await aServersData(t);
  await assert.rejects(backupCommand({ dataDir, storePath: undefined }, join(folder, "none", "b.tar"), false), {
    message: `The folder ${join(folder, "none")} for the backup does not exist; make it first.`,
  });
  // The system refuses to look at it.
  const long = join(folder, "x".repeat(300));
  await store.close();
  await assert.rejects(backupCommand({ dataDir, storePath: undefined }, long, false), {
    message: /^The backup was not made: ENAMETOOLONG/,
  });
  for (const overwrite of [false, true])
    await assert.rejects(backupCommand({ dataDir, storePath: undefined }, folder, overwrite), {
      message: `${folder} is a folder; name a file in it.`,
    });
  const none = join(folder, "none.tar");
  await assert.rejects(restoreBackup(none, join(folder, "new")), { message: `There is no file ${none}.` });
  const file = join(folder, "file");
  writeFileSync(file, "");
  await assert.rejects(restoreBackup(file, join(file, "new")), {
    code: "bad_config",
    message: `${join(file, "new")} cannot be made: a file is in its way. Name another folder.`,
  });
  await assert.rejects(restoreBackup(folder, join(folder, "new")), {
    code: "bad_config",
    message: /cannot be restored: /,
  });
});

interface Packed {
  readonly name: string;
  readonly content?: Buffer;
  readonly type?: "file" | "symlink";
  readonly linkname?: string;
}

async function packed(files: readonly Packed[]): Promise<Buffer> {
  const pack = tar.pack();
  for (const { content, ...header } of files) pack.entry(header, content ?? "");
  pack.finalize();
  return buffer(pack);
}

test("compacting makes an older file one that gives its room back, without the text that was removed", async (t) => {
  const path = join(testFolder(t), "data", "alt-las.db");
  const store = await openedStore(t, path);
  const tasks = Array.from({ length: 50 }, (_, index) => newTask(index + 1, { text: "xyzzy ".repeat(10_000) }));
  await store.save(tasks);
  await store.save(tasks.slice(1).map((task) => complete(run(task))));
  await store.close();
  // As 0.1.0 left it: neither overwritten nor made for giving back.
  const old = new DatabaseSync(path);
  old.exec("PRAGMA journal_mode = DELETE; PRAGMA page_size = 4096; PRAGMA auto_vacuum = NONE; VACUUM");
  old.exec("PRAGMA secure_delete = OFF");
  old.exec("DELETE FROM tasks WHERE seq > 1; DELETE FROM requests WHERE seq > 1");
  old.close();
  const occurrences = (): number => readFileSync(path, "latin1").split("xyzzy").length;
  const before = { size: statSync(path).size, occurrences: occurrences() };

  const told: string[] = [];
  const context = { dataDir: dirname(path), storePath: undefined };
  await compactCommand(context, false, (text) => told.push(text));
  assert.match(told.join(), /needs up to [\d.]+ MiB of free disk \(.* are free\), about \d+ s, and no running server/);
  assert.ok(statSync(path).size < before.size / 4);
  assert.ok(occurrences() < before.occurrences / 4);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(dirname(path)), ["alt-las.db"]);
  const compact = new DatabaseSync(path);
  assert.equal(compact.prepare("PRAGMA auto_vacuum").get()?.["auto_vacuum"], 2);
  assert.equal(compact.prepare("PRAGMA page_size").get()?.["page_size"], PAGE_SIZE);
  compact.close();
  const again = await openedStore(t, path);
  assert.deepEqual(await storedSeqs(again), [1]);
  await assert.rejects(
    compactCommand(context, false, () => {}),
    { code: "conflict" },
  );
});

test("a database without its log can be taken as it is, on demand", async (t) => {
  const { folder, databasePath, store } = await aServersData(t);
  await store.save([newTask(1)]);
  const alone = { dataDir: folder, storePath: join(folder, "alone.db") };
  writeFileSync(alone.storePath, readFileSync(databasePath));
  await assert.rejects(
    compactCommand(alone, false, () => {}),
    { message: /without its log/ },
  );
  await assert.rejects(backupCommand(alone, join(folder, "b.tar"), false), { message: /without its log/ });
  await compactCommand(alone, true, () => {});
  const store2 = await openedStore(t, alone.storePath);
  assert.deepEqual(await storedSeqs(store2), []);
});
