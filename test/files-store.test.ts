/** Uploaded files on disk and in the store: what is there after whatever happened. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import { test, type TestContext } from "node:test";
import { unset } from "../src/common/clock.ts";
import { parseConfig } from "../src/config/config.ts";
import { AltLasError } from "../src/errors.ts";
import { type FileFacts, Files } from "../src/files/files.ts";
import { allOf, type FileInfo, type FileSource } from "../src/files/source.ts";
import { type FileFilter } from "../src/store/files.ts";
import { SqliteStore } from "../src/store/sqlite/sqlite.ts";
import { testFolder } from "./helpers/store.ts";

const ID = "01997d5e-2f00-7000-8000-000000000001";
const OTHER_ID = "01997d5e-2f00-7000-8000-000000000002";
const ADA = { user: "ada", team: null };
const DAY = 86_400_000;
const CONFIG = parseConfig(`tasks:\n  retention: ${DAY / 1000}\n`, "test.yaml");
const ALL: FileFilter = { user: undefined, purpose: undefined, order: "desc", after: undefined, limit: 100 };

/** A data directory with a store, and the server's clock. */
class World {
  now = DAY * 20_000;
  readonly limits = { ...CONFIG.limits, max_file_bytes: 1000, max_stored_file_bytes: 1500 };
  users = 1;
  readonly dataDir: string;
  readonly store: SqliteStore;
  readonly warnings: string[] = [];
  files: Files;

  constructor(t: TestContext) {
    this.dataDir = testFolder(t);
    this.store = new SqliteStore({ path: join(this.dataDir, "alt-las.db") });
    this.files = this.#make();
    t.after(() => this.store.close());
  }

  static async open(t: TestContext): Promise<World> {
    const world = new World(t);
    await world.store.open();
    await world.files.start(false);
    return world;
  }

  #make(): Files {
    const log = { warn: (_: object, message: string) => void this.warnings.push(message), error: () => {} };
    const live = { config: { ...CONFIG, limits: this.limits } };
    const { dataDir, store } = this;
    return new Files({
      store,
      dataDir,
      clock: unset(() => this.now),
      live,
      users: () => this.users,
      log,
    });
  }

  /** As a server that has ended, however, and is started again. */
  async restart(isNew = false): Promise<Files> {
    this.files = this.#make();
    await this.files.start(isNew);
    return this.files;
  }

  upload(content: string, facts: Partial<FileFacts & { user: string }> = {}): Promise<FileInfo> {
    const { user = "ada", ...about } = facts;
    return this.files.receive({ user, team: null }, new AbortController(), async (upload) => {
      await upload.write(Buffer.from(content));
      return { purpose: "batch", filename: "x", lifetime: null, ...about };
    });
  }

  get names(): string[] {
    const folder = join(this.dataDir, "files");
    return existsSync(folder) ? readdirSync(folder).toSorted() : [];
  }

  pathOf(id: string): string {
    return join(this.dataDir, "files", id);
  }

  due(now = this.now): Promise<boolean> {
    return this.files.removeDue({ keptBefore: now - DAY, now, gap: null });
  }
}

test("a file is on disk under its id, with its digest in the store", async (t) => {
  const world = await World.open(t);
  const file = await world.upload("hello");
  assert.deepEqual(world.names, [file.id]);
  assert.equal(readFileSync(world.pathOf(file.id), "utf8"), "hello");
  const stored = await world.store.files.find(file.id);
  assert.equal(stored?.sha256, createHash("sha256").update("hello").digest("hex"));
  const { stream, bytes } = await world.files.open(file, 2);
  assert.deepEqual([await text(stream), bytes], ["llo", 3]);
});

test("files that could not be looked through at the start, as their database was away, are taken when it is there", async (t) => {
  const world = new World(t);
  await world.files.start(false);
  await assert.rejects(world.upload("too early"), { code: "store_unavailable" });
  await world.store.open();
  const file = await world.upload("hello");
  assert.deepEqual(world.names, [file.id]);
  assert.equal(await world.due(), false);
});

test("a start removes bytes that no row knows, whole or not, and nothing that is not ours", async (t) => {
  const world = await World.open(t);
  const { id } = await world.upload("kept");
  for (const name of [ID, `${ID}.part`, `${OTHER_ID}.part`, "notes.txt"]) writeFileSync(world.pathOf(name), "x");
  const files = await world.restart();
  assert.deepEqual(world.names, [id, "notes.txt"].toSorted());
  assert.equal((await buffer((await files.open((await files.find(id))!)).stream)).toString(), "kept");
  assert.deepEqual(world.warnings, []);
});

test("a row whose bytes are gone or cut is told at the start, and is a 404 that says so until they are uploaded again", async (t) => {
  const world = await World.open(t);
  const [gone, cut] = [await world.upload("gone"), await world.upload("cut")];
  rmSync(world.pathOf(gone.id));
  truncateSync(world.pathOf(cut.id), 1);
  const files = await world.restart();
  assert.deepEqual(world.warnings, ["the bytes of files are lost: they were moved or deleted while no server ran"]);
  for (const file of [gone, cut]) {
    const lost = { code: "not_found", message: /^The content of file-[0-9a-f]{32} is lost\. Upload it again\.$/ };
    await assert.rejects(files.open(file), lost);
  }
  assert.equal(world.warnings.length, 3);
  assert.equal((await world.upload("cut")).id, cut.id);
  assert.equal((await world.upload("gone")).id, gone.id);
  for (const file of [gone, cut]) assert.equal((await buffer((await files.open(file)).stream)).length, file.bytes);
  assert.deepEqual(world.names, [gone.id, cut.id].toSorted());
});

test("bytes that a new database finds belong to another one, and are put aside", async (t) => {
  const world = await World.open(t);
  mkdirSync(join(world.dataDir, "files"));
  writeFileSync(world.pathOf(ID), "precious");
  await world.restart(true);
  const aside = readdirSync(world.dataDir).find((name) => name.startsWith("files."));
  assert.match(aside!, /^files\.of-another-database-/);
  assert.equal(readFileSync(join(world.dataDir, aside!, ID), "utf8"), "precious");
  await world.upload("new");
  assert.deepEqual(world.names.length, 1);
});

test("a folder that cannot be used is told, and refuses files until the next start", async (t) => {
  const world = await World.open(t);
  writeFileSync(join(world.dataDir, "files"), "no folder");
  const files = await world.restart();
  const refused = { code: "store_unavailable", message: /^The folder of uploaded files cannot be used/ };
  await assert.rejects(world.upload("x"), refused);
  await assert.rejects(files.removeDue({ keptBefore: 0, now: 0, gap: null }), refused);
  await files.stop();
});

test("a data directory that is gone is not made again", async (t) => {
  const world = await World.open(t);
  rmSync(world.dataDir, { recursive: true });
  await assert.rejects(world.upload("x"), {
    code: "store_unavailable",
    message: /^The file cannot be written \(ENOENT\)/,
  });
  assert.ok(!existsSync(world.dataDir));
  mkdirSync(world.dataDir);
});

test("what fails in the middle leaves nothing behind, and takes no room", async (t) => {
  const world = await World.open(t);
  const broken = new Error("the form broke off");
  await assert.rejects(
    world.files.receive(ADA, new AbortController(), async (upload) => {
      await upload.write(Buffer.alloc(900));
      throw broken;
    }),
    broken,
  );
  await assert.rejects(world.upload("x".repeat(1001)), { code: "body_too_large", message: /1000 bytes \(limits/ });
  const given = new AbortController();
  const reason = new AltLasError("overloaded", "It has to give way.");
  const waiting = world.files.receive(ADA, given, async (upload) => {
    await upload.write(Buffer.alloc(900));
    given.abort(reason);
    await upload.write(Buffer.alloc(1));
    assert.fail("it was given up");
  });
  await assert.rejects(waiting, reason);
  assert.deepEqual(world.names, []);
  await world.upload("x".repeat(1000));
  await world.upload("x".repeat(500));
});

test("a row that cannot be written leaves no bytes", async (t) => {
  const world = await World.open(t);
  await world.upload("first");
  await world.store.close();
  await assert.rejects(world.upload("second"), { code: "store_unavailable" });
  assert.equal(world.names.length, 1);
});

test("the limit counts what is stored and what is on its way, of one user and of all", async (t) => {
  const world = await World.open(t);
  const sizes: (() => void)[] = [];
  const slow = world.files.receive(ADA, new AbortController(), async (upload) => {
    await upload.write(Buffer.alloc(900, "a"));
    await new Promise<void>((resolve) => sizes.push(resolve));
    return { purpose: "batch", filename: "slow", lifetime: null };
  });
  while (sizes.length === 0) await new Promise(setImmediate);
  const full = {
    code: "rate_limited",
    message: /^The files of ada have .* MiB that limits\.max_stored_file_bytes leaves/,
  };
  await assert.rejects(world.upload("x".repeat(601)), full);
  sizes[0]!();
  const { id } = await slow;
  await assert.rejects(world.upload("x".repeat(601)), full);
  assert.throws(() => world.files.refuseIfFull("ada", 601), full);
  // The same again takes nothing.
  const same = await world.files
    .receive(ADA, new AbortController(), async (upload) => {
      await upload.write(Buffer.alloc(900, "a"));
      return { purpose: "batch", filename: "slow", lifetime: null };
    })
    .catch((error: unknown) => error);
  assert.match(String(same), /leaves one user/, "its bytes have to be somewhere before they are known to be the same");
  world.limits.max_stored_file_bytes = 2400;
  await world.upload("x".repeat(600));
  world.users = 2;
  await assert.rejects(world.upload("y".repeat(1)), full, "half of 2400 is less than what ada has");
  await world.upload("z".repeat(900), { user: "bob" });
  await assert.rejects(world.upload("y", { user: "eve" }), { code: "files_full", message: /^All files have/ });
  await world.files.remove((await world.files.find(id))!);
  await world.upload("y", { user: "eve" });
  // A start counts the same.
  const files = await world.restart();
  await world.upload("1".repeat(898), { user: "eve" });
  assert.throws(() => files.refuseIfFull("eve", 302), { code: "rate_limited" });
});

test("a user has so many uploads at once, and so have all together; a stop ends them", async (t) => {
  const world = await World.open(t);
  const stopped: Promise<unknown>[] = [];
  const hang = (user: string, given = new AbortController()): Promise<FileInfo> =>
    world.files.receive({ user, team: null }, given, () => {
      return new Promise((_resolve, reject) => {
        given.signal.addEventListener("abort", () => reject(given.signal.reason as Error));
      });
    });
  const begin = (user: string): void => {
    stopped.push(assert.rejects(hang(user), { code: "draining" }));
  };
  for (let index = 0; index < 8; index++) begin("ada");
  await assert.rejects(hang("ada"), { code: "rate_limited", message: /^ada has 8 uploads under way/ });
  for (const user of ["bob", "eve", "tom"]) for (let index = 0; index < 8; index++) begin(user);
  await assert.rejects(hang("new"), { code: "overloaded", message: /^32 uploads are under way/ });
  while (world.names.length < 32) await new Promise(setImmediate);
  await world.files.stop();
  await Promise.all(stopped);
  assert.deepEqual(world.names, []);
  await assert.rejects(hang("ada"), { code: "draining" });
});

test("a file goes when its lifetime is over, or after as long as tasks are kept; what is held stays", async (t) => {
  const world = await World.open(t);
  const [usual, short, long, held] = [
    await world.upload("usual"),
    await world.upload("short", { lifetime: 1000 }),
    await world.upload("long", { lifetime: 3 * DAY }),
    await world.upload("held", { lifetime: 1000 }),
  ];
  const left = async (): Promise<string[]> => (await world.files.list({ ...ALL, order: "asc" })).map(({ id }) => id);
  const hold = { id: held.id, holder: "batch_1" };
  await world.store.save([], [{ kind: "file_hold", ...hold }]);
  assert.equal(await world.due(), false);
  assert.equal((await left()).length, 4);
  world.now += 1001;
  await world.due();
  assert.deepEqual(await left(), [usual.id, long.id, held.id]);
  assert.ok(!world.names.includes(short.id));
  await assert.rejects(world.files.remove(held), { code: "conflict", message: /^A batch still needs file-/ });
  world.now += DAY;
  await world.due();
  assert.deepEqual(await left(), [long.id, held.id]);
  await world.store.save([], [{ kind: "file_release", ...hold }]);
  await world.due();
  assert.deepEqual(await left(), [long.id]);
  assert.deepEqual(world.names, [long.id]);
});

test("another upload of the same begins its lifetime anew", async (t) => {
  const world = await World.open(t);
  const first = await world.upload("again");
  world.now += DAY - 1;
  const second = await world.upload("again");
  assert.deepEqual([second.id, second.expiresAt], [first.id, first.expiresAt! + DAY - 1]);
  world.now += DAY - 1;
  await world.due();
  assert.equal((await world.files.list(ALL)).length, 1);
});

test("a step removes a hundred files at most, and says that there may be more", async (t) => {
  const world = await World.open(t);
  const { id } = await world.upload("one");
  const one = (await world.store.files.find(id))!;
  const rows = Array.from({ length: 101 }, (_, index) => ({
    ...one,
    id: `${index}`,
    filename: `${index}`,
    lifetime: 1,
  }));
  await world.store.save(
    [],
    rows.map((file) => ({ kind: "file", file })),
  );
  for (const row of rows) writeFileSync(world.pathOf(row.id), "");
  world.now += 10;
  assert.equal(await world.due(), true);
  assert.equal(world.names.length, 2);
  assert.equal(await world.due(), false);
  assert.deepEqual(world.names, [id]);
});

/** A source of files that were made at these times. */
function made(name: string, times: readonly number[]): FileSource & { readonly removed: string[] } {
  const all = times.map((createdAt) => ({
    id: `${name}${createdAt}`,
    user: "ada",
    team: null,
    purpose: "batch",
    filename: name,
    bytes: 1,
    createdAt,
    expiresAt: null,
  }));
  const removed: string[] = [];
  return {
    removed,
    find: async (id) => all.find((one) => one.id === id) ?? null,
    list: async ({ order, limit, after }) => {
      const ordered = order === "asc" ? all : all.toReversed();
      const rest = ordered.filter(({ createdAt }) => after === undefined || createdAt < after.createdAt);
      return rest.slice(0, limit);
    },
    open: () => Promise.reject(new Error(name)),
    remove: async ({ id }) => void removed.push(id),
  };
}

test("other things may be files, too: one list, and each is read and removed where it is", async () => {
  const [stored, outputs] = [made("s", [1, 4, 5]), made("o", [2, 3, 6])];
  const all = allOf([stored, outputs]);
  const ids = async (filter: Partial<FileFilter>): Promise<string> =>
    (await all.list({ ...ALL, ...filter })).map(({ id }) => id).join(" ");
  assert.equal(await ids({}), "o6 s5 s4 o3 o2 s1");
  assert.equal(await ids({ order: "asc", limit: 4 }), "s1 o2 o3 s4");
  assert.equal(await ids({ limit: 2, after: { id: "s5", createdAt: 5 } }), "s4 o3");
  await assert.rejects(all.open((await all.find("o3"))!), { message: "o" });
  await assert.rejects(all.open((await all.find("s4"))!), { message: "s" });
  await all.remove((await all.find("o2"))!);
  assert.deepEqual([stored.removed, outputs.removed], [[], ["o2"]]);
});
