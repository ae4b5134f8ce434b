/** Where data and configuration are when nobody names a place, and what `alt-las where` says of it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { test, type TestContext } from "node:test";
import { Command } from "commander";
import { main } from "../src/cli/cli.ts";
import { keysAdd } from "../src/auth/commands.ts";
import { dataDirOf, dataDirOption, existingData, existingOrNewData, unnamedDataDir } from "../src/cli/data-dir.ts";
import { type WhereReport } from "../src/cli/where.ts";
import { type InstalledAs, installationOf } from "../src/common/installation.ts";
import { moveCommand } from "../src/common/paste.ts";
import { standardDataDir, type Surroundings, userConfigFile, userPlace } from "../src/common/places.ts";
import { configPlace, parseConfig } from "../src/config/config.ts";
import { runCommand } from "./helpers/command.ts";
import { setEnvironment } from "./helpers/environment.ts";
import { newFolder } from "./helpers/server.ts";

function as(root: string, ...projects: readonly string[]): InstalledAs {
  return installationOf(root, true, (path) => projects.includes(path)).as;
}

test("a copy knows how it came to be there, by whichever package manager", () => {
  assert.equal(installationOf("/home/u/alt-las", false).as, "clone");
  assert.equal(as("/usr/lib/node_modules/alt-las"), "global");
  assert.equal(as("/home/u/.nvm/versions/node/v24.1.0/lib/node_modules/alt-las"), "global");
  assert.equal(as("/home/u/.npm/_npx/0a1b/node_modules/alt-las", "/home/u/.npm/_npx/0a1b/package.json"), "npx");
  assert.equal(as("/srv/app/node_modules/alt-las", "/srv/app/package.json"), "project");
  const nested = "node_modules/.pnpm/alt-las@0.2.0/node_modules/alt-las";
  assert.equal(as(`/srv/app/${nested}`, "/srv/app/package.json"), "project");
  const shared = "/home/u/.local/share/pnpm/global/5";
  assert.equal(as(`${shared}/${nested}`, `${shared}/package.json`), "global");
  const bun = "/home/u/.bun/install/global";
  assert.equal(as(`${bun}/node_modules/alt-las`, `${bun}/package.json`), "global");
});

function around(kind: InstalledAs, changes: Partial<Surroundings> = {}): Surroundings {
  return { installation: { as: kind, root: "/r" }, environment: {}, platform: "linux", home: "/home/u", ...changes };
}

test("a clone and a project keep data in the current folder, a package for every folder where the system does", () => {
  for (const kind of ["clone", "project"] as const) {
    assert.equal(standardDataDir(around(kind)).path, "./data");
    assert.equal(userConfigFile(around(kind)), null);
  }
  for (const kind of ["global", "npx"] as const) {
    assert.equal(standardDataDir(around(kind)).path, "/home/u/.local/share/alt-las");
    assert.equal(userConfigFile(around(kind))?.path, "/home/u/.config/alt-las/config.yaml");
  }
  assert.equal(standardDataDir(around("global", { home: null })).path, "./data");
});

function place(changes: Partial<Surroundings>, kind: Parameters<typeof userPlace>[1]): string | undefined {
  return userPlace(around("global", changes), kind)?.path;
}

test("XDG's variables decide where they name an absolute folder; macOS and Windows have places of their own", () => {
  const environment = { XDG_DATA_HOME: "/d", XDG_CONFIG_HOME: "/c", XDG_CACHE_HOME: "relative" };
  assert.equal(place({ environment }, "data"), "/d/alt-las");
  assert.equal(place({ environment, platform: "darwin" }, "config"), "/c/alt-las/config.yaml");
  assert.equal(place({ environment }, "cache"), "/home/u/.cache/alt-las");
  const mac = { platform: "darwin", home: "/Users/u" } as const;
  assert.equal(place(mac, "data"), "/Users/u/Library/Application Support/alt-las/data");
  assert.equal(place(mac, "config"), "/Users/u/Library/Application Support/alt-las/config.yaml");
  assert.equal(place(mac, "cache"), "/Users/u/Library/Caches/alt-las");
  const windows = { platform: "win32", home: "C:\\Users\\u" } as const;
  assert.equal(place(windows, "data"), "C:\\Users\\u\\AppData\\Local\\alt-las\\data");
  const roaming = { APPDATA: "D:\\Roaming" };
  assert.equal(place({ ...windows, environment: roaming }, "config"), "D:\\Roaming\\alt-las\\config.yaml");
});

/** Makes a new folder the current one, with the places of a user of their own in it. */
function standIn(t: TestContext) {
  const folder = newFolder(t);
  const before = process.cwd();
  mkdirSync(join(folder, "here"));
  process.chdir(join(folder, "here"));
  t.after(() => process.chdir(before));
  return {
    here: join(folder, "here"),
    usual: join(folder, "share", "alt-las"),
    environment: { XDG_DATA_HOME: join(folder, "share") },
  };
}

function writeData(folder: string): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "credentials.json"), "");
}

test("data that an earlier version kept in the current folder is used, and the command that is told moves it", (t) => {
  const { here, usual, environment } = standIn(t);
  const look = () => unnamedDataDir(around("global", { environment }));
  assert.deepEqual([look().path, look().notes], [usual, []]);
  // Anybody's folder may have that name.
  mkdirSync("data");
  assert.equal(look().path, usual);
  writeData("data");
  const found = look();
  assert.equal(found.path, join(here, "data"));
  const move = `mkdir -p ${join(usual, "..")} && mv ${join(here, "data")} ${usual}`;
  assert.deepEqual(found.notes, [
    `The usual place of this installation is ${usual}. To move the data there, with no server running: ${move}`,
  ]);
  execFileSync("sh", ["-c", move]);
  assert.deepEqual([look().path, look().notes], [usual, []]);
  assert.ok(existsSync(join(usual, "credentials.json")));
  // Both have some now.
  writeData("data");
  assert.equal(look().path, join(here, "data"));
  assert.match(look().notes[0]!, /has data of ALT_LAS, too\. To use that, start in another folder, or with --data-dir/);
});

test("data is moved into an empty folder as well, and never into one of somebody else's", (t) => {
  const { here, usual, environment } = standIn(t);
  writeData("data");
  mkdirSync(usual, { recursive: true });
  const [note] = unnamedDataDir(around("npx", { environment })).notes;
  execFileSync("sh", ["-c", /with no server running: (.*)$/.exec(note!)![1]!]);
  assert.ok(existsSync(join(usual, "credentials.json")));
  assert.ok(!existsSync(join(here, "data")));
  writeData("data");
  execFileSync("sh", ["-c", `rm ${usual}/* && touch ${usual}/other`]);
  const [refusal] = unnamedDataDir(around("npx", { environment })).notes;
  assert.match(refusal!, /which is not empty; what is in it is not of ALT_LAS, and nothing is moved there\.$/);
  const windows = moveCommand("C:\\a b\\data", "C:\\u\\data", { isEmptyFolder: false, parent: true }, "win32");
  assert.equal(windows, 'mkdir "C:\\u" && move "C:\\a b\\data" "C:\\u\\data"');
});

test("a configuration file of the user counts where the current folder has none", (t) => {
  const { here } = standIn(t);
  const places = around("global", { environment: { XDG_CONFIG_HOME: here } });
  assert.equal(configPlace(undefined, places), undefined);
  mkdirSync("alt-las");
  const own = join(here, "alt-las", "config.yaml");
  writeFileSync(own, "");
  assert.equal(configPlace(undefined, places)?.path, own);
  assert.equal(configPlace(undefined, around("clone"))?.path, undefined);
  writeFileSync("config.yaml", "");
  assert.deepEqual(configPlace(undefined, places), {
    path: "config.yaml",
    why: `in the current folder, before ${own}`,
  });
});

test("`where` says which places are used, and why", async (t) => {
  const cwd = newFolder(t);
  const where = async (args: readonly string[], env: Record<string, string> = {}) => {
    const { code, stdout } = await runCommand(["where", "--json", ...args], { cwd, env });
    assert.equal(code, 0);
    return JSON.parse(stdout) as WhereReport;
  };
  const plain = await where([], { HF_HOME: "/hub" });
  assert.equal(plain.installed.as, "clone");
  assert.deepEqual(plain.data_directory, {
    path: join(cwd, "data"),
    why: "in the current folder, as in every clone of the repository; it is not there yet",
    has_data: false,
  });
  assert.deepEqual(plain.configuration, { path: null, why: "the defaults hold: there is no ./config.yaml" });
  assert.deepEqual(
    [plain.model_cache.path, plain.model_cache.why],
    ["/hub/hub", "by HF_HOME, as for Hugging Face's own programs"],
  );
  writeData(join(cwd, "d"));
  writeFileSync(join(cwd, "c.yaml"), "store: { path: /db/x.db }");
  const named = await where(["--config", "c.yaml"], { ALT_LAS_DATA_DIR: "d" });
  assert.equal(named.data_directory.why, "named by ALT_LAS_DATA_DIR; it has data of ALT_LAS");
  assert.deepEqual(named.task_database, { path: "/db/x.db", why: "by store.path" });
  assert.equal(named.control_socket.path, join(cwd, "d", "alt-las.sock"));
  writeFileSync(join(cwd, "c.yaml"), "nonsense: 1");
  const broken = await where(["--config", "c.yaml", "--data-dir", "d"]);
  assert.equal(broken.data_directory.why, "named by --data-dir; it has data of ALT_LAS");
  assert.match(broken.task_database.why, /validate-config says why$/);
  const { stdout } = await runCommand(["where"], { cwd });
  assert.match(stdout, /^Data directory {2}\/.*\n +\(in the current folder, as in every clone/m);
});

/** The data directory of a command line. */
async function parsed(args: readonly string[]) {
  const command = new Command().addOption(dataDirOption());
  await command.parseAsync(args, { from: "user" });
  const { path, isNamed } = dataDirOf(command);
  return { path, isNamed };
}

test("a folder counts as named by the command line or the environment, and not by being the default", async (t) => {
  setEnvironment(t, { ALT_LAS_DATA_DIR: undefined });
  assert.deepEqual(await parsed([]), { path: "./data", isNamed: false });
  assert.deepEqual(await parsed(["--data-dir", "./data"]), { path: "./data", isNamed: true });
  setEnvironment(t, { ALT_LAS_DATA_DIR: "/var/lib/alt-las" });
  assert.deepEqual(await parsed([]), { path: "/var/lib/alt-las", isNamed: true });
  setEnvironment(t, { ALT_LAS_DATA_DIR: "" });
  assert.deepEqual(await parsed([]), { path: "./data", isNamed: false }, "set to nothing is not set");
});

test("a folder without data is named and stays as it is; where it was named, it may be begun", (t) => {
  const folder = newFolder(t);
  const empty = join(folder, "empty");
  mkdirSync(empty);
  for (const path of [empty, join(folder, "none")]) {
    const none = { code: "bad_config", message: `There is no ALT_LAS data in ${path}; nothing was changed.` };
    const hint = {
      ...none,
      message: `${none.message} Name the folder of your server with --data-dir; npx alt-las where says where this looks.`,
    };
    assert.throws(() => existingData({ path, isNamed: true }), none);
    assert.throws(() => existingData({ path, isNamed: false }), hint);
    assert.throws(() => existingOrNewData({ path, isNamed: false }), hint);
    const begun = `There was no ALT_LAS data in ${path}; this begins it.`;
    assert.deepEqual(existingOrNewData({ path, isNamed: true }), { path, begun });
  }
  assert.equal(existsSync(join(folder, "none")), false);
});

test("a folder with any of a server's files has data", (t) => {
  for (const name of ["alt-las.db", "credentials.json", "gpus.json"]) {
    const path = newFolder(t);
    writeFileSync(join(path, name), "");
    assert.equal(existingData({ path, isNamed: false }), path);
    assert.deepEqual(existingOrNewData({ path, isNamed: true }), { path, begun: null });
  }
});

test("a key for a user that is not there makes no folder", async (t) => {
  const dataDir = join(newFolder(t), "new");
  const { auth } = parseConfig("", "c.yaml");
  await assert.rejects(() => keysAdd({ config: auth, dataDir }, { user: "nobody" }), /There is no user nobody\./);
  await assert.rejects(
    () => keysAdd({ config: auth, dataDir }, { user: "nobody", name: "a key" }),
    /There is no user nobody\./,
  );
  assert.equal(existsSync(dataDir), false);
});

test("in a folder that was removed every command says so, and does nothing", async (t) => {
  const said: string[] = [];
  const stderr = new Writable({ write: (chunk, _encoding, done) => void (said.push(String(chunk)), done()) });
  t.mock.method(process, "cwd", () => {
    throw Object.assign(new Error("ENOENT: process.cwd failed"), { code: "ENOENT", syscall: "uv_cwd" });
  });
  const streams = { stdin: Readable.from([]), stdout: stderr, stderr };
  for (const words of [["serve"], ["where"]]) assert.equal(await main(["node", "alt-las", ...words], streams), 1);
  const sentence = "The current folder is there no longer: change to another one (cd).\n";
  assert.equal(said.join(""), sentence.repeat(2));
});
