/* credentials.json that goes away, blocks, or can be read by others, while a server runs. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { chmodSync, renameSync, rmSync, type Stats, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { pino } from "pino";
import { keysAdd, keysList, usersAdd, usersList } from "../src/auth/commands.ts";
import { Credentials, UNBOUND } from "../src/auth/credentials.ts";
import { absentCredentials } from "../src/auth/file.ts";
import { hashApiKey } from "../src/auth/secrets.ts";
import { parseConfig } from "../src/config/config.ts";
import { ABSENT, FileWatch } from "../src/common/file-watch.ts";
import { KnownGpus } from "../src/gpu/inventory/known-gpus.ts";
import { temporaryFolder, testServer } from "./helpers/http.ts";
import { briefly, toldToOperators } from "./helpers/operators.ts";

const CONFIGURED = `auth: { users: [{ name: root, role: admin }], keys: [{ name: k, user: root, sha256: "${hashApiKey("configured")}" }] }`;

/** Credentials with the user bob in the file, and what they log. */
async function aServers(t: TestContext, yaml = "") {
  const dataDir = temporaryFolder(t);
  const config = parseConfig(yaml, "test.yaml").auth;
  await usersAdd({ config, dataDir }, { name: "bob", role: "admin" });
  const key = (await keysAdd({ config, dataDir }, { user: "bob" })).split("\n").at(-1)!;
  const lines: { readonly level: number; readonly msg: string }[] = [];
  const events = new EventEmitter();
  const log = pino({ level: "info" }, { write: (line: string) => events.emit("line", lines.push(JSON.parse(line))) });
  return {
    credentials: new Credentials({ config, dataDir, log }),
    key,
    path: join(dataDir, "credentials.json"),
    lines,
    events,
  };
}

test("with the file gone its users are refused, those of the configuration are served, and it is told once", async (t) => {
  const { credentials, key, path, lines, events } = await aServers(t, CONFIGURED);
  const told = toldToOperators(t);
  t.after(credentials.watch());
  assert.equal(credentials.trouble, null);
  renameSync(path, `${path}.kept`);
  // Nobody calls meanwhile.
  await once(events, "line");
  assert.equal(lines[0]!.level, 40);
  assert.match(lines[0]!.msg, /credentials\.json is gone, and with it its users and keys\. Put a copy back\.$/);
  assert.throws(() => credentials.authenticate(`Bearer ${key}`), { code: "unauthorized" });
  assert.deepEqual(credentials.authenticate("Bearer configured"), {
    ...UNBOUND,
    name: "root",
    role: "admin",
    keyName: "k",
  });
  const { sentence, isShut } = credentials.trouble!;
  assert.match(sentence, /file of users and keys is gone: only the users of the configuration can call/);
  assert.equal(isShut, false);
  assert.equal(lines.filter(({ msg }) => msg.includes("is gone")).length, 1);

  renameSync(`${path}.kept`, path);
  await nextTurn();
  assert.deepEqual(credentials.authenticate(`Bearer ${key}`), {
    ...UNBOUND,
    name: "bob",
    role: "admin",
    keyName: "bob-1",
  });
  assert.equal(credentials.trouble, null);
  assert.deepEqual(briefly(told), ["auth gone", "auth refused", "auth read"]);
});

test("the commands say that the file is gone, and that adding to it begins another one", async (t) => {
  const dataDir = temporaryFolder(t);
  const config = parseConfig("", "test.yaml").auth;
  const context = { config, dataDir };
  const GONE = /credentials\.json is gone, and with it the users and keys of before/;
  assert.equal(await usersList(context), "There are no users.", "nothing has been there yet");
  writeFileSync(join(dataDir, "alt-las.db"), "");
  assert.match(await usersList(context), GONE);
  assert.match(await keysList(context), GONE);
  assert.equal(
    absentCredentials(dataDir, config, false),
    null,
    "a start that failed has made a database, and no tasks",
  );
  const configured = parseConfig(CONFIGURED, "test.yaml").auth;
  assert.doesNotMatch(await usersList({ config: configured, dataDir }), GONE, "nobody needed the file");
  const said = await usersAdd(context, { name: "bob", role: "admin" });
  assert.match(said, GONE);
  assert.match(
    said,
    /this begins a new file\.\nUser bob is now an admin\. .*: npx alt-las keys add --user bob --data-dir \S+$/,
  );
  assert.doesNotMatch(await keysAdd(context, { user: "bob" }), GONE);
  rmSync(join(dataDir, "credentials.json"));
  assert.match(await usersList({ config: configured, dataDir }), GONE, "its lock tells that it was there");
});

test("with nobody left who can call, that is told too", async (t) => {
  const { credentials, key, path } = await aServers(t);
  rmSync(path);
  await nextTurn();
  assert.throws(() => credentials.authenticate(`Bearer ${key}`), { code: "unauthorized" });
  assert.equal(credentials.trouble?.isShut, true);
});

test("a file that never was is not gone", (t) => {
  const config = parseConfig(CONFIGURED, "test.yaml").auth;
  const credentials = new Credentials({ config, dataDir: temporaryFolder(t), log: pino({ level: "silent" }) });
  credentials.authenticate("Bearer configured");
  assert.equal(credentials.trouble, null);
});

test("a FIFO in the file's place is refused at once, and the credentials known before stay in force", async (t) => {
  if (process.platform === "win32") return t.skip("Windows has no FIFOs in folders");
  const { credentials, key, path, lines } = await aServers(t);
  rmSync(path);
  execFileSync("mkfifo", [path]);
  await nextTurn();
  assert.deepEqual(credentials.authenticate(`Bearer ${key}`), {
    ...UNBOUND,
    name: "bob",
    role: "admin",
    keyName: "bob-1",
  });
  assert.match(lines[0]!.msg, /known before stay in force: .*it is not a plain file/);
});

test("others lose their right to read the file and its lock", async (t) => {
  if (process.platform === "win32") return t.skip("Windows has no modes");
  const dataDir = temporaryFolder(t);
  const config = parseConfig("", "test.yaml").auth;
  await usersAdd({ config, dataDir }, { name: "bob", role: "admin" });
  const paths = ["credentials.json", "credentials.lock"].map((name) => join(dataDir, name));
  const modes = () => paths.map((path) => statSync(path).mode & 0o777);
  assert.deepEqual(modes(), [0o600, 0o600]);
  for (const path of paths) chmodSync(path, 0o644);
  void new Credentials({ config, dataDir, log: pino({ level: "silent" }) });
  assert.deepEqual(modes(), [0o600, 0o600]);
});

test("a disk that does not answer is told, and looked at again only when it has answered", async (t) => {
  const folder = temporaryFolder(t);
  const events = new EventEmitter();
  const answer = Promise.withResolvers<Stats>();
  let looks = 0;
  const watch = new FileWatch(folder, {
    look: () => (looks++ === 0 ? answer.promise : Promise.reject(Object.assign(new Error("no"), { code: "ENOENT" }))),
    hangs: (doesHang) => void events.emit("hangs", doesHang),
    seen: (version) => void events.emit("seen", version),
  });
  t.after(() => watch.stop());
  assert.deepEqual(await once(events, "hangs"), [true]);
  assert.equal(looks, 1);
  const again = once(events, "hangs");
  answer.resolve(statSync(folder));
  assert.deepEqual(await again, [false]);
  assert.deepEqual(await once(events, "seen"), [ABSENT]);
});

test("a list of GPU numbers that goes away is told", async (t) => {
  const folder = temporaryFolder(t);
  const known = KnownGpus.open(folder);
  known.remember([{ uuid: "GPU-1", name: "a GPU", pciBusId: "0000:01:00.0" }]);
  const events = new EventEmitter();
  t.after(known.watch({ warn: (message) => void events.emit("warn", message) }));
  const warned = once(events, "warn");
  rmSync(join(folder, "gpus.json"));
  assert.match(String(await warned), /gpus\.json is gone/);
});

test("/readyz tells what is wrong also when it is ready", async (t) => {
  const { app, state } = testServer(t);
  state.readiness = { ready: true, reason: "The file of users and keys is gone." };
  const answer = await app.inject("/readyz");
  assert.equal(answer.statusCode, 200);
  assert.deepEqual(answer.json(), { status: "ready", reason: "The file of users and keys is gone." });
});
