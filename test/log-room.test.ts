/* The log has room behind its end, so that commits need not make the file longer. */
import assert from "node:assert/strict";
import { copyFileSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openDatabase } from "../src/store/sqlite/schema.ts";
import { Upkeep } from "../src/store/sqlite/upkeep.ts";
import { testFolder } from "./helpers/store.ts";

const MIB = 1024 * 1024;

function openedWith(t: TestContext) {
  const path = join(testFolder(t), "tasks.db");
  const db = openDatabase(path);
  const upkeep = new Upkeep(db, path);
  t.after(() => {
    upkeep.close();
    db.close();
  });
  db.exec("CREATE TABLE texts (text TEXT)");
  const write = (bytes: number): void => void db.prepare("INSERT INTO texts VALUES (hex(zeroblob(?)))").run(bytes / 2);
  return { path, db, upkeep, write, size: () => statSync(`${path}-wal`).size };
}

test("commits after a quiet moment overwrite the log's room, which is made again when half of it is used", (t) => {
  const { upkeep, write, size } = openedWith(t);
  upkeep.tick();
  const made = size();
  assert.ok(made > 4 * MIB, `${made} bytes`);
  write(MIB);
  upkeep.tick();
  assert.equal(size(), made, "there is enough");
  write(2 * MIB);
  assert.equal(size(), made, "it was used");
  upkeep.tick();
  assert.equal(size(), made + 4 * MIB);
});

test("no room is made while requests come, and none in a log that is empty or as long as it gets", (t) => {
  const { path, db, upkeep, write, size } = openedWith(t);
  const before = size();
  upkeep.done(false);
  upkeep.tick();
  assert.equal(size(), before);
  for (let round = 0; round < 20; round++) write(MIB);
  const longest = size();
  upkeep.tick();
  assert.equal(size(), longest);
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  truncateSync(`${path}-wal`, 0);
  upkeep.tick();
  assert.equal(size(), 0);
});

test("after a crash everything is read from a log with room", (t) => {
  const { path, upkeep, write } = openedWith(t);
  upkeep.tick();
  write(1000);
  const copy = join(testFolder(t), "copy.db");
  for (const suffix of ["", "-wal"]) copyFileSync(path + suffix, copy + suffix);
  const db = openDatabase(copy);
  t.after(() => db.close());
  assert.deepEqual({ ...db.prepare("SELECT length(text) AS length FROM texts").get() }, { length: 1000 });
});
