/* `alt-las store copy`: all that is stored, from SQLite to PostgreSQL and back. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, rmSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { buffer } from "node:stream/consumers";
import { after, test, type TestContext } from "node:test";
import { FileAccounts } from "../../src/auth/file.ts";
import type { Accounts } from "../../src/store/accounts.ts";
import { stampOf, TABLES } from "../../src/store/copying/end.ts";
import type { FileBytes } from "../../src/store/file-bytes.ts";
import { FolderBytes } from "../../src/store/folder-bytes.ts";
import { PostgresEnd } from "../../src/store/postgres/copy-end.ts";
import { PostgresStore } from "../../src/store/postgres/postgres.ts";
import { SqliteStore } from "../../src/store/sqlite/sqlite.ts";
import type { Store } from "../../src/store/store.ts";
import { runCommand } from "../helpers/command.ts";
import { contentOf, fill } from "../helpers/full-store.ts";
import { ALL_ROWS, AUDIT_ROW, FILE } from "../kits/records.ts";
import { connected, NO_POSTGRES, PostgresServer, PROGRAMS } from "../helpers/postgres.ts";
import { CommitCutter, type Cut } from "../helpers/postgres-proxy.ts";
import { BIN } from "../helpers/server.ts";
import { newDelivery, newTask, testFolder } from "../helpers/store.ts";

const skip = PROGRAMS === null ? NO_POSTGRES : false;
const server = skip === false ? await PostgresServer.start([], "trust") : null!;
after(() => server?.remove());

const TO_POSTGRES = ["--from", "sqlite", "--to", "postgres"];
const TO_SQLITE = ["--from", "postgres", "--to", "sqlite"];
let made = 0;

const AT = "2026-05-04T12:00:00.000Z";
const ACCOUNTS: Accounts = {
  users: [
    { name: "zoë", role: "admin", team: "lab", created_at: AT },
    { name: "ada", role: "user", created_at: AT },
  ],
  keys: [{ name: "k", user: "ada", sha256: "a".repeat(64), scopes: ["read"], created_at: AT }],
  removed: [{ name: "eve", at: AT }],
};

/** A data directory with a database, and a schema for it that is empty. */
class World {
  readonly folder: string;
  readonly schema = `copy_${++made}`;
  readonly url: string;

  constructor(t: TestContext, url = server.url()) {
    this.folder = testFolder(t);
    this.url = url;
    mkdirSync(this.dataDir);
    writeFileSync(join(this.dataDir, "gpus.json"), "{}");
    this.configure();
  }

  get dataDir(): string {
    return join(this.folder, "data");
  }

  /** The arguments of the command. */
  args(direction: readonly string[], file?: string): string[] {
    const named = file === undefined ? [] : ["--file", join(this.dataDir, file)];
    const config = join(this.folder, "config.yaml");
    return ["store", "copy", ...direction, ...named, "--config", config, "--data-dir", this.dataDir];
  }

  configure(store = `url: "${this.url}", schema: ${this.schema}`): void {
    writeFileSync(join(this.folder, "config.yaml"), `store: { ${store} }\n`);
  }

  sqlite(file = "alt-las.db"): SqliteStore {
    return new SqliteStore({ path: join(this.dataDir, file) });
  }

  postgres(): PostgresStore {
    return new PostgresStore({ url: server.url(), schema: this.schema, dataDir: this.dataDir });
  }

  copy(direction: readonly string[], file?: string) {
    return runCommand(this.args(direction, file));
  }
}

async function used<T>(t: TestContext, store: Store, work: (store: Store) => Promise<T>): Promise<T> {
  t.after(() => store.close());
  await store.open();
  const done = await work(store);
  await store.close();
  return done;
}

test("all that is stored is the same on PostgreSQL, and back in another file", { skip }, async (t) => {
  const world = new World(t);
  await used(t, world.sqlite(), (store) => fill(store));
  const file = new FileAccounts(world.dataDir);
  await file.change(() => ({ accounts: ACCOUNTS, result: null }));
  await file.addUses(new Map([["a".repeat(64), AT]]), () => true);
  const there = await world.copy(TO_POSTGRES);
  assert.equal(there.code, 0, there.stderr);
  assert.match(
    there.stdout,
    /^Copied, and each row and each file of both is the same: tasks 40, requests 17, notes 40, batches 1/,
  );
  const again = await world.copy(TO_POSTGRES);
  assert.match(again.stdout, /^It was copied already, and each row and each file of both is the same: tasks 40/);
  assert.match(again.stdout, /, users 2, keys 1\.$/m);
  await file.change((accounts) => ({ accounts: { ...accounts, keys: [] }, result: null }));
  const others = /credentials\.json has other users and keys already, and is left as it is\..* nothing was copied/;
  assert.match((await world.copy(TO_SQLITE, "back.db")).stderr, others);
  assert.match((await world.copy(TO_POSTGRES)).stderr, /has other users and keys already/);
  for (const name of ["credentials.json", "key-use.json"]) rmSync(join(world.dataDir, name));
  const back = await world.copy(TO_SQLITE, "back.db");
  assert.equal(back.code, 0, back.stderr);
  assert.deepEqual(await file.read(), { version: 1, ...ACCOUNTS });
  assert.deepEqual([...(await file.uses())], [["a".repeat(64), AT]]);
  assert.match((await world.copy(TO_SQLITE, "back.db")).stdout, /^It was copied already/);
  const before = await used(t, world.sqlite(), contentOf);
  assert.deepEqual(await used(t, world.postgres(), contentOf), before);
  assert.deepEqual(await used(t, world.sqlite("back.db"), contentOf), before);
});

test("the bytes of files are copied, there and back, and those that are lost are told", { skip }, async (t) => {
  const world = new World(t);
  const folder = FolderBytes.of(world.dataDir);
  const contents = { a: randomBytes(3 * 2 ** 20 + 1), b: Buffer.alloc(0), f: Buffer.from("seven b") };
  await used(t, world.sqlite(), async (store) => {
    await fill(store, 2);
    for (const id of ["a", "b", "lost"]) await store.save([], [{ kind: "file", file: { ...FILE, id, filename: id } }]);
  });
  for (const [id, content] of Object.entries(contents)) await keepBytes(folder, id, content);
  const { code, stdout, stderr } = await world.copy(TO_POSTGRES);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^The bytes of 1 files were lost before: lost\.$/m);
  await used(t, world.postgres(), async (store) => {
    const { bytes } = store as PostgresStore;
    for (const [id, content] of Object.entries(contents)) assert.ok(content.equals(await readBytes(bytes, id)), id);
  });
  rmSync(folder.where, { recursive: true });
  await keepBytes(folder, "a", randomBytes(3 * 2 ** 20 + 1));
  assert.equal((await world.copy(TO_SQLITE, "back.db")).code, 0);
  for (const [id, content] of Object.entries(contents)) assert.ok(content.equals(await readBytes(folder, id)), id);
});

async function keepBytes(bytes: FileBytes, id: string, content: Buffer): Promise<void> {
  const incoming = await bytes.receive();
  await incoming.write(content);
  await incoming.whole();
  await incoming.moveTo(id);
  await incoming.end();
}

async function readBytes(bytes: FileBytes, id: string): Promise<Buffer> {
  return buffer((await bytes.open(id))!.stream(0));
}

test("numbers of what is gone are not given again by the copy, and new rows of it follow", { skip }, async (t) => {
  const world = new World(t);
  await used(t, world.sqlite(), (store) => fill(store, 8));
  assert.equal((await world.copy(TO_POSTGRES)).code, 0);
  await used(t, world.postgres(), async (store) => {
    const { lastSeq, live } = await (store as PostgresStore).open();
    assert.deepEqual([lastSeq, live.length], [13, 6]);
    await store.save([newTask(14)], [{ kind: "audit", row: { ...AUDIT_ROW, id: "after" } }]);
    assert.equal((await store.audit.list({ ...ALL_ROWS, limit: 1 }))[0]?.number, 9);
    await store.save([], [{ kind: "event", delivery: newDelivery("x") }]);
    assert.equal((await store.outbox.deliveriesOf("x")).length, 1);
  });
});

test("tables and columns of both kinds of database are the same", { skip }, async (t) => {
  const world = new World(t);
  await used(t, world.sqlite(), async () => {});
  await used(t, world.postgres(), async () => {});
  const file = new DatabaseSync(join(world.dataDir, "alt-las.db"));
  t.after(() => file.close());
  const client = await connected(t, server.url());
  const { rows } = await client.query<Column>(
    `SELECT c.relname AS table, a.attname AS name, a.attnotnull AS needed FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
     WHERE relkind = 'r' AND attnum > 0 AND NOT attisdropped AND relnamespace = $1::regnamespace ORDER BY 1, 2`,
    [world.schema],
  );
  const columns = file
    .prepare(
      `SELECT m.name AS "table", c.name, c."notnull" OR c.pk > 0 AS needed FROM sqlite_schema m JOIN pragma_table_info(m.name) c
       WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'`,
    )
    .all() as unknown as Column[];
  const named = (list: readonly Column[]): string[] =>
    list.map(({ table, name }) => `${table}.${name}`).filter((one) => !OF_ONE_KIND.has(one) && !ALONE.test(one));
  assert.deepEqual(named(columns).toSorted(), named(rows).toSorted());
  const tables = new Set(named(rows).map((one) => one.split(".")[0]!));
  tables.delete("stored_bytes");
  tables.delete("removed");
  assert.deepEqual([...tables].toSorted(), TABLES.map(({ name }) => name).toSorted());
  // What one of them takes, the other takes.
  const needed = (list: readonly Column[]): string[] => named(list.filter((one) => Boolean(one.needed))).toSorted();
  assert.deepEqual(needed(rows), needed(columns));
});

interface Column {
  readonly table: string;
  readonly name: string;
  readonly needed: boolean | number;
}

/** Numbers of rows that have a key of their own, and the last number of the audit log, which SQLite keeps by itself. */
const OF_ONE_KIND: ReadonlySet<string> = new Set(["files.number", "idempotency_keys.number", "removed.last_audit"]);
/** What is about the database itself; and users and keys, which are in a file beside SQLite. */
const ALONE =
  /^(?:commits|epoch|file_pieces|lease|log_mark|migrations|servers|shared_files|account_changes|accounts_version|api_keys|key_uses|removed_users|users)\./;

/** Before or after which commit of a run it is killed. */
const KILLS: readonly (readonly ["before" | "after", number])[] = [
  ["before", 4],
  ["after", 3],
  ["after", 4],
];

test("a copy that is killed at any commit goes on, and is whole", { skip }, async (t) => {
  let left = 0;
  let kill: (() => Cut) | null = null;
  const proxy = await CommitCutter.start(t, server.folder, () => (--left === 0 ? kill!() : null));
  const world = new World(t, server.url("postgres", proxy.folder));
  await used(t, world.sqlite(), (store) => fill(store, 12));
  const before = await used(t, world.sqlite(), contentOf);
  let runs = 0;
  for (;;) {
    // After its schema and its lease each run writes once more at least.
    const [cut, commit] = KILLS[runs++ % KILLS.length]!;
    left = commit;
    const copy = spawn(process.execPath, [BIN, ...world.args(TO_POSTGRES)], { stdio: "ignore" });
    const gone = once(copy, "exit");
    kill = () => {
      copy.kill("SIGKILL");
      return cut;
    };
    const [code] = (await gone) as [number | null];
    if (code !== null) {
      assert.equal(code, 0);
      break;
    }
    // The first ones do not come to the end of the schema.
    if (runs === 7) await refusesServers(t, world);
  }
  assert.ok(runs > 10, `${runs} runs`);
  assert.deepEqual(await used(t, world.postgres(), contentOf), before);
});

async function refusesServers(t: TestContext, world: World): Promise<void> {
  const store = world.postgres();
  t.after(() => store.close());
  const message = /a copy into the database at .* was broken off: go on with .* store copy --from sqlite --to postgres/;
  await assert.rejects(store.open(), { code: "bad_config", message });
  await store.close();
  assert.match(
    (await world.copy(TO_SQLITE, "back.db")).stderr,
    /A copy into .* was broken off, and has to be finished first/,
  );
}

test("a copy to a file that is killed at any write goes on, and is whole", { skip }, async (t) => {
  const world = new World(t);
  await used(t, world.sqlite(), (store) => fill(store, 12));
  assert.equal((await world.copy(TO_POSTGRES)).code, 0);
  let runs = 0;
  for (;;) {
    const copy = spawn(process.execPath, [BIN, ...world.args(TO_SQLITE, "back.db")], { stdio: "ignore" });
    const gone = once(copy, "exit");
    let writes = (++runs) ** 2;
    const watched = watch(world.dataDir, (_event, name) => {
      if (name?.startsWith("back.db") === true && --writes === 0) copy.kill("SIGKILL");
    });
    const [code] = (await gone) as [number | null];
    watched.close();
    if (code !== null) {
      assert.equal(code, 0);
      break;
    }
    if (existsSync(join(world.dataDir, "back.db"))) break;
  }
  assert.ok(runs > 4, `${runs} runs`);
  assert.match((await world.copy(TO_SQLITE, "back.db")).stdout, /already/);
  const before = await used(t, world.sqlite(), contentOf);
  assert.deepEqual(await used(t, world.sqlite("back.db"), contentOf), before);
});

async function refused(world: World, direction: readonly string[], why: RegExp): Promise<void> {
  const { code, stdout, stderr } = await world.copy(direction);
  assert.deepEqual([code, stdout], [1, ""]);
  assert.match(stderr, why);
}

test("a target with other data, a server on either end, and what is not there are refused", { skip }, async (t) => {
  const world = new World(t);
  await refused(world, TO_POSTGRES, /^There is no task database at .*alt-las\.db/);
  await refused(world, TO_SQLITE, /^There are no tasks in the schema copy_\d+ of postgres:/);
  const source = world.sqlite();
  t.after(() => source.close());
  await source.open();
  await source.save([newTask(1)]);
  await refused(world, TO_POSTGRES, /alt-las\.db is in use by another server/);
  await source.close();
  const target = world.postgres();
  t.after(() => target.close());
  await target.open();
  await target.save([newTask(7)]);
  await refused(world, TO_POSTGRES, /data is in use by another server/);
  await target.close();
  const elsewhere = new PostgresStore({ url: server.url(), schema: world.schema, dataDir: testFolder(t) });
  t.after(() => elsewhere.close());
  await elsewhere.open();
  await refused(world, TO_POSTGRES, /the database at .* is in use by another server: process/);
  await elsewhere.close();
  await refused(world, TO_POSTGRES, /^the schema .* has data already, and is left as it is: name an empty schema/);
  await refused(world, TO_SQLITE, /^.*alt-las\.db has data already, and is left as it is: move it away first/);
  await refused(world, ["--from", "sqlite", "--to", "sqlite"], /^--from and --to are both sqlite/);
  world.configure("");
  await refused(world, TO_POSTGRES, /^store\.url is not set/);
  assert.equal(((await used(t, world.postgres(), contentOf)) as { total: number }).total, 1);
});

test("what was copied from an earlier state of the source is begun anew", { skip }, async (t) => {
  const world = new World(t);
  await used(t, world.sqlite(), (store) => fill(store, 4));
  assert.equal((await world.copy(TO_POSTGRES)).code, 0);
  const client = await connected(t, server.url());
  await client.query(`CREATE TABLE ${world.schema}.copying AS SELECT 'another' AS stamp`);
  await client.query(`SET search_path = ${world.schema}; DELETE FROM tasks WHERE seq = 2`);
  const { code, stderr } = await world.copy(TO_POSTGRES);
  assert.equal(code, 0, stderr);
  const before = await used(t, world.sqlite(), contentOf);
  assert.deepEqual(await used(t, world.postgres(), contentOf), before);
});

test("a copy that is not the same is no copy that a server takes", { skip }, async (t) => {
  const world = new World(t);
  await used(t, world.sqlite(), (store) => fill(store, 4));
  assert.equal((await world.copy(TO_POSTGRES)).code, 0);
  const client = await connected(t, server.url());
  const end = await PostgresEnd.open({ url: server.url(), schema: world.schema, dataDir: world.dataDir }, false);
  await client.query(`CREATE TABLE ${world.schema}.copying (stamp text)`);
  await client.query(`INSERT INTO ${world.schema}.copying VALUES ($1)`, [await stampOf(end)]);
  await end.close();
  await client.query(`UPDATE ${world.schema}.requests SET request = request || ' ' WHERE seq = 2`);
  await refused(
    world,
    TO_POSTGRES,
    /^The copy of requests is not the same: 2 rows \(SHA-256 .*\. Nothing of it is used/,
  );
});
