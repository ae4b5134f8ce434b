/** What is otherwise on Windows and macOS, as far as it shows on any system: the code asks for traits, and here it gets those of another one. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { backupCommand } from "../src/backup/commands.ts";
import { restoreBackup } from "../src/backup/restore.ts";
import { Screen } from "../src/cli/remote/screen.ts";
import { stopSignals } from "../src/cli/stop-signals.ts";
import { tryLine } from "../src/cli/try-it.ts";
import { npmLine } from "../src/common/npm.ts";
import { shellWord } from "../src/common/paste.ts";
import { pipSettings } from "../src/common/pip-settings.ts";
import { renameSync } from "../src/common/rename.ts";
import { syncFolder, syncNames } from "../src/common/sync.ts";
import { systemOf } from "../src/common/system.ts";
import { parseConfig } from "../src/config/config.ts";
import { nameSocket } from "../src/control/socket.ts";
import { privateAddress } from "../src/engine/llama-server/process.ts";
import { compactDatabase } from "../src/store/sqlite/compact.ts";
import { SqliteStore } from "../src/store/sqlite/sqlite.ts";
import { aDevice } from "./helpers/devices.ts";
import { ROOT } from "./helpers/server.ts";
import { newTask, storedSeqs, testFolder } from "./helpers/store.ts";

const LINUX = systemOf("linux");
const MACOS = systemOf("darwin");
const WINDOWS = systemOf("win32");

function refusal(code: string): Error {
  return Object.assign(new Error(code), { code });
}

test("where open files are not replaced, a rename waits for those who have one open, and for nothing else", () => {
  const moved: string[] = [];
  const renamer = (refusals: string[]) => (from: string, to: string) => {
    const code = refusals.shift();
    if (code !== undefined) throw refusal(code);
    moved.push(`${from} ${to}`);
  };
  const pauses = [0, 0, 0];
  renameSync("a", "b", { system: WINDOWS, pauses, move: renamer(["EPERM", "EACCES", "EBUSY"]) });
  assert.deepEqual(moved, ["a b"]);
  const refused = (code: string, system: typeof WINDOWS, refusals: string[]) =>
    assert.throws(() => renameSync("a", "b", { system, pauses, move: renamer(refusals) }), { code });
  refused("EBUSY", WINDOWS, ["EPERM", "EPERM", "EPERM", "EBUSY"]);
  refused("ENOENT", WINDOWS, ["ENOENT"]);
  refused("EPERM", LINUX, ["EPERM"]);
  assert.deepEqual(moved, ["a b"]);
});

test("where folders cannot be opened, none is", async () => {
  syncFolder("/there is no such folder", WINDOWS);
  await syncNames("/there is no such folder", WINDOWS);
  for (const system of [LINUX, MACOS]) {
    assert.throws(() => syncFolder("/there is no such folder", system), { code: "ENOENT" });
    await assert.rejects(syncNames("/there is no such folder", system), { code: "ENOENT" });
  }
});

test("a database is compacted and restored also where nothing takes the place of an open file or of a folder", async (t) => {
  const folder = testFolder(t);
  const dataDir = join(folder, "data");
  const path = join(dataDir, "alt-las.db");
  const store = new SqliteStore({ path });
  await store.open();
  await store.save([newTask(1), newTask(2)]);
  await store.close();
  compactDatabase(path, false, WINDOWS);
  assert.equal(existsSync(`${path}.compact`), false);
  const backup = join(folder, "backup.tar");
  await backupCommand({ dataDir, storePath: undefined }, backup, false);
  const restored = join(folder, "restored");
  mkdirSync(restored);
  await restoreBackup(backup, restored, WINDOWS);
  const again = new SqliteStore({ path: join(restored, "alt-las.db") });
  t.after(() => again.close());
  await again.open();
  assert.deepEqual((await storedSeqs(again)).toSorted(), [1, 2]);
  writeFileSync(join(dataDir, "kept"), "");
  await assert.rejects(restoreBackup(backup, dataDir, WINDOWS), /is not empty/);
  assert.equal(existsSync(join(dataDir, "kept")), true);
});

test("on Windows server and commands meet at a pipe of their folder, whichever way it is written; on macOS at a socket", (t) => {
  const folder = testFolder(t);
  const dataDir = join(folder, "Data");
  mkdirSync(dataDir);
  symlinkSync(dataDir, join(folder, "link"), "junction");
  const pipe = nameSocket(dataDir, WINDOWS).path;
  assert.match(pipe, /^\\\\\.\\pipe\\alt-las-[0-9a-f]{32}$/);
  assert.equal(nameSocket(join(folder, "link"), WINDOWS).path, pipe);
  assert.notEqual(nameSocket(folder, WINDOWS).path, pipe);
  assert.throws(() => nameSocket(join(folder, "none"), WINDOWS), { code: "ENOENT" });
  assert.equal(nameSocket(dataDir, MACOS).path, join(dataDir, "alt-las.sock"));
  assert.throws(() => nameSocket(join(folder, "d".repeat(100)), MACOS), /a socket's path at most 103/);
});

test("a llama-server of ours listens on a port where sockets are no files, else in a folder of its own", async (t) => {
  const { url, ...rest } = await privateAddress(WINDOWS);
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.deepEqual(rest, { socketPath: null, directory: null });
  const { socketPath, directory } = await privateAddress(MACOS);
  t.after(() => rmSync(directory!, { recursive: true }));
  assert.equal(dirname(socketPath!), directory);
  assert.ok(Buffer.byteLength(socketPath!) <= 103);
});

test("a terminal that closes stops the server where the system ends it soon after, and Ctrl+Z stops what can go on again", () => {
  assert.deepEqual(stopSignals(WINDOWS), ["SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"]);
  for (const system of [LINUX, MACOS]) assert.deepEqual(stopSignals(system), ["SIGINT", "SIGTERM"]);
  for (const [system, sent] of [
    [WINDOWS, []],
    [MACOS, ["SIGSTOP"]],
  ] as const) {
    const signals: unknown[] = [];
    const life = {
      on: () => process,
      off: () => process,
      pid: 1,
      kill: (_: number, signal: unknown) => signals.push(signal),
    };
    const stdin = new PassThrough();
    const screen = new Screen({
      stdin,
      stdout: new PassThrough(),
      onQuit: () => {},
      onRedraw: () => {},
      life: life as never,
      system,
    });
    screen.open();
    stdin.emit("data", "\u001a");
    screen.close();
    assert.deepEqual(signals, sent);
  }
});

test("commands are written as the shells of the system read them", () => {
  for (const word of ["bob", "C:\\data", "a=b", "--port"]) assert.equal(shellWord(word, WINDOWS), word);
  // In PowerShell a comma makes a list, and an @ and a $ names.
  for (const word of ["C:\\my data", "a,b", "@x", "$x", ""]) assert.equal(shellWord(word, WINDOWS), `"${word}"`);
  const server = { config: parseConfig("", "c.yaml"), url: "http://h:1", serving: [aDevice()], models: [] };
  assert.equal(
    tryLine({ ...server, firstKey: "altlas_k" }, WINDOWS),
    'Invoke-RestMethod http://h:1/api/v1/predict -Method Post -Headers @{ Authorization = "Bearer altlas_k"; Prefer = "wait=30" } ' +
      `-ContentType "application/json" -Body '{"text": "Once upon a time"}'`,
  );
  assert.match(tryLine({ ...server, firstKey: null }, WINDOWS), /"Bearer \$env:ALT_LAS_API_KEY"/);
  assert.match(tryLine({ ...server, firstKey: null }, MACOS), /^curl .*"Authorization: Bearer \$ALT_LAS_API_KEY"/);
  assert.equal(
    npmLine(["pack", "--pack-destination", "C:\\Users\\A B & C", "@node-llama-cpp/win-x64@3.1.0"]),
    'npm pack --pack-destination "C:\\Users\\A B & C" @node-llama-cpp/win-x64@3.1.0',
  );
  for (const arg of ['a" & calc', "%PATH%", "a\nb"]) assert.throws(() => npmLine([arg]), /npm cannot be given/);
});

test("pip's settings are read where pip has them", (t) => {
  const folder = testFolder(t);
  mkdirSync(join(folder, "pip"));
  writeFileSync(join(folder, "pip/pip.ini"), "[global]\nindex-url = https://a/simple\n");
  assert.deepEqual(pipSettings({ APPDATA: folder }, WINDOWS).indexes, ["https://a/simple"]);
});

test("npm's scripts need no sh", () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    readonly scripts: Readonly<Record<string, string>>;
  };
  for (const [name, script] of Object.entries(scripts))
    for (const command of script.split(" && ")) {
      // Nothing that only one of sh and cmd.exe reads: quotes, variables, pipes, patterns of files.
      assert.match(command, /^[\w./: -]+$/, name);
      assert.match(command, /^(?:exec )?(?:node|npm|tsc|oxlint|oxfmt)(?: |$)/, name);
    }
  assert.match(scripts["start"]!, /^exec /, "a shell would stay between npm and the server, and pass on no signal");
  assert.match(readFileSync(join(ROOT, "exec.cmd"), "latin1"), /^@%\*\r?$/m);
});

test("every file of the repository can be checked out on Windows and macOS", (t) => {
  const { stdout, status } = spawnSync("git", ["ls-files", "-z"], { cwd: ROOT, encoding: "utf8" });
  if (status !== 0) return t.skip("this is no clone, or there is no git");
  const files = stdout.split("\0").filter((file) => file !== "");
  assert.ok(files.length > 100);
  const seen = new Map<string, string>();
  for (const file of files) {
    assert.doesNotMatch(file, /[<>:"|?*\\]|[. ](?:\/|$)/, file);
    assert.doesNotMatch(file, /(?:^|\/)(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|\/|$)/i, file);
    const same = seen.get(file.toLowerCase());
    assert.equal(same, undefined, `${file} and ${same} are one name there`);
    seen.set(file.toLowerCase(), file);
  }
});
