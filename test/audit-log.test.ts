/** How rows of the audit log get to disk: from requests when the disk fails, and from commands whether a server runs or not. */
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { type AuditEvent, AuditLog } from "../src/audit/audit-log.ts";
import { leaveRow, takeCommandRows } from "../src/audit/command-rows.ts";
import { reloadBySignal } from "../src/audit/signals.ts";
import { AltLasError } from "../src/errors.ts";
import { createLogger } from "../src/log/log.ts";
import { type AuditEntry, type AuditRow } from "../src/store/audit.ts";
import { SqliteStore } from "../src/store/sqlite/sqlite.ts";
import { type StoreRecord } from "../src/store/store.ts";
import { runCommand } from "./helpers/command.ts";
import { temporaryFolder } from "./helpers/http.ts";
import { ALL_ROWS } from "./kits/records.ts";

const EVENT: AuditEvent = {
  way: "http",
  user: "ada",
  key: "ada-1",
  address: "192.0.2.7",
  action: "gpu.drain",
  target: "0",
  outcome: "ok",
  details: null,
};

/** A disk that can be full, and what is told. */
class World {
  isFull = false;
  /** Emits `tried` for each write. */
  readonly disk = new EventEmitter();
  readonly rows: AuditRow[] = [];
  readonly lines: { readonly level: string; readonly fields: Record<string, unknown>; readonly text: string }[] = [];
  readonly audit: AuditLog;

  constructor(enabled = true) {
    const line = (level: string) => (fields: object, text: string) =>
      void this.lines.push({ level, fields: fields as Record<string, unknown>, text });
    this.audit = new AuditLog({ enabled, log: { info: line("info"), warn: line("warn") } as never, retryAfter: 1 });
  }

  open(): void {
    const save = async (_tasks: readonly unknown[], records: readonly StoreRecord[] = []): Promise<void> => {
      this.disk.emit("tried");
      if (this.isFull) throw new AltLasError("store_unavailable", "The disk is full.");
      for (const record of records) if (record.kind === "audit") this.rows.push(record.row);
    };
    this.audit.use({ store: { save, audit: { list: async () => [] } }, clock: { now: () => 5 } });
  }

  get targets(): (string | null)[] {
    return this.rows.map(({ target }) => target);
  }

  get warnings(): string[] {
    return this.lines.filter(({ level }) => level === "warn").map(({ text }) => text);
  }
}

test("rows that came before the store was open are written when it is, and each has a line", async () => {
  const world = new World();
  world.audit.record(EVENT);
  world.open();
  world.audit.record({ ...EVENT, target: "1" });
  await world.audit.close();
  assert.deepEqual(world.targets, ["0", "1"]);
  assert.deepEqual(
    world.rows.map(({ keptFrom }) => keptFrom),
    [5, 5],
  );
  const [line] = world.lines;
  assert.equal(line!.level, "info");
  const { key, ...said } = EVENT;
  assert.partialDeepStrictEqual(line!.fields, { ...said, key_name: key, audit: true });
});

test("lines of the log name the key", () => {
  const lines: string[] = [];
  const log = createLogger("info", { write: (line) => void lines.push(line) });
  const audit = new AuditLog({ enabled: true, log });
  audit.record(EVENT);
  assert.match(lines.join(""), /"key_name":"ada-1"/);
});

test("what the disk refuses is told once, and written in its order when the disk takes it", async () => {
  const world = new World();
  world.isFull = true;
  world.open();
  world.audit.record(EVENT);
  await world.audit.settled();
  world.audit.record({ ...EVENT, target: "1" });
  await once(world.disk, "tried");
  await once(world.disk, "tried");
  assert.deepEqual(world.warnings, ["the audit log cannot be written; trying again"]);
  world.isFull = false;
  await world.audit.close();
  assert.deepEqual(world.targets, ["0", "1"]);
});

test("rows that cannot be written at all are told whole, and are no more than there is room for", async () => {
  const world = new World();
  world.isFull = true;
  world.open();
  for (let count = 0; count < 1002; count++) world.audit.record({ ...EVENT, target: `${count}` });
  await world.audit.close();
  const lost = world.lines.filter(({ text }) => text === "rows of the audit log could not be stored");
  const targets = lost.flatMap(({ fields }) => (fields["rows"] as AuditRow[]).map(({ target }) => target));
  assert.deepEqual(new Set(targets), new Set(Array.from({ length: 1002 }, (_, index) => `${index}`)));
});

test("without the audit log nothing is written or told", async () => {
  const world = new World(false);
  world.open();
  world.audit.record(EVENT);
  await world.audit.close();
  assert.deepEqual([world.rows, world.lines], [[], []]);
});

function refuse(): never {
  throw new AltLasError("bad_config", "No.");
}

test("a reload by a signal has a row, whether it succeeds or not", async () => {
  const world = new World();
  const report = { models: { added: ["m"], changed: [], removed: [] }, now: ["log.level"], later: [] };
  reloadBySignal(() => ({ ...report, hidden: [], ended: [], certificate: null }), world.audit);
  assert.throws(() => reloadBySignal(refuse, world.audit), { code: "bad_config" });
  const said = world.lines.map(({ fields: { way, action, outcome, details } }) => [way, action, outcome, details]);
  assert.deepEqual(said, [
    ["signal", "config.reload", "ok", "log.level, models"],
    ["signal", "config.reload", "bad_config", null],
  ]);
});

/** What a server takes over from the commands that ran on a data directory. */
async function takenOver(t: TestContext, dataDir: string, times = 1): Promise<AuditEntry[]> {
  const store = new SqliteStore({ path: join(dataDir, "tasks.db") });
  t.after(() => store.close());
  await store.open();
  for (let time = 0; time < times; time++) {
    const { audit } = new World();
    audit.use({ store, clock: { now: () => 5 } });
    await takeCommandRows(dataDir, audit, { warn: () => {} } as never)();
    await audit.close();
  }
  const rows = await store.audit.list(ALL_ROWS);
  await store.close();
  return rows.toReversed();
}

test("commands leave rows that the next start takes over, and no secret is in them", async (t) => {
  const dataDir = join(temporaryFolder(t), "data");
  const run = async (words: string, input = ""): Promise<string> => {
    const { stdout } = await runCommand([...words.split(" "), "--data-dir", dataDir], { input });
    return stdout;
  };
  await run("users add ada --role admin --password-stdin", "four words not together");
  await run("users add ada --role admin");
  await run("users list");
  await run("users set ada --role user");
  await run("users password ada", "four other words not together");
  const key = (await run("keys add --user ada --name k --scopes read")).trim().split("\n").at(-1)!;
  await run("keys rotate k --overlap 1h");
  await run("keys revoke k");
  await run("users remove ada");
  await run("sweep --now");
  const rows = await takenOver(t, dataDir);
  assert.deepEqual(
    rows.map(({ action, target, outcome, details }) => [action, target, outcome, details]),
    [
      ["user.add", "ada", "ok", "role admin"],
      ["user.add", "ada", "conflict", "role admin"],
      ["user.change", "ada", "conflict", "role user"],
      ["user.change", "ada", "ok", "password"],
      ["key.add", "k", "ok", "user ada, name k, scopes read"],
      ["key.rotate", "k", "ok", "overlap 1h"],
      ["key.revoke", "k", "ok", null],
      ["user.remove", "ada", "conflict", null],
      ["data.sweep", null, "bad_config", null],
    ],
  );
  assert.ok(rows.every(({ way, user, key: name }) => way === "command" && user !== null && name === null));
  assert.ok(key.length > 20 && !JSON.stringify(rows).includes(key) && !JSON.stringify(rows).includes("words"));
  assert.deepEqual(readdirSync(join(dataDir, "audit-commands")), []);
});

test("a command that is refused puts nothing into a folder that is not ours", async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, "letter.txt"), "Dear …");
  assert.notEqual((await runCommand(["users", "remove", "ada", "--data-dir", folder])).code, 0);
  assert.ok(!existsSync(join(folder, "audit-commands")));
});

test("a row is there once, however often its file is taken over, and what is no row is set aside", async (t) => {
  const dataDir = temporaryFolder(t);
  leaveRow(dataDir, { action: "data.compact", target: null, outcome: "ok", details: null });
  const folder = join(dataDir, "audit-commands");
  const [name] = readdirSync(folder);
  writeFileSync(join(folder, "x.json"), '{"id":');
  mkdirSync(join(folder, "y.json.new"));
  assert.equal((await takenOver(t, dataDir, 2)).length, 1);
  assert.deepEqual(readdirSync(folder).toSorted(), ["x.json.unusable", "y.json.new"]);
  assert.match(name!, /^[0-9a-f-]{36}\.json$/);
});

const isRoot = process.geteuid?.() === 0;

test("what root leaves in another's data directory is its owner's", { skip: !isRoot && "only root can" }, (t) => {
  const dataDir = temporaryFolder(t);
  chownSync(dataDir, 12_345, 12_345);
  leaveRow(dataDir, { action: "export.backup", target: null, outcome: "ok", details: null });
  const folder = join(dataDir, "audit-commands");
  for (const path of [folder, join(folder, readdirSync(folder)[0]!)]) assert.equal(statSync(path).uid, 12_345);
  assert.match(readFileSync(join(folder, readdirSync(folder)[0]!), "utf8"), /"user": "root"/);

  rmSync(folder, { recursive: true });
  const roots = temporaryFolder(t);
  symlinkSync(roots, folder);
  assert.throws(() => leaveRow(dataDir, { action: "export.backup", target: null, outcome: "ok", details: null }));
  assert.deepEqual(readdirSync(roots), []);
  assert.equal(process.geteuid?.(), 0);
});
