/** Where commands look for data, and where they may begin it. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Command } from "commander";
import { keysAdd } from "../src/auth/commands.ts";
import { dataDirOf, dataDirOption, existingData, existingOrNewData } from "../src/cli/data-dir.ts";
import { parseConfig } from "../src/config/config.ts";
import { temporaryFolder } from "./helpers/http.ts";

/** The data directory of a command line. */
async function parsed(args: readonly string[]) {
  const command = new Command().addOption(dataDirOption());
  await command.parseAsync(args, { from: "user" });
  const { path, isNamed } = dataDirOf(command);
  return { path, isNamed };
}

test("a folder counts as named by the command line or the environment, and not by being the default", async (t) => {
  assert.deepEqual(await parsed([]), { path: "./data", isNamed: false });
  assert.deepEqual(await parsed(["--data-dir", "./data"]), { path: "./data", isNamed: true });
  t.after(() => delete process.env["ALT_LAS_DATA_DIR"]);
  process.env["ALT_LAS_DATA_DIR"] = "/var/lib/alt-las";
  assert.deepEqual(await parsed([]), { path: "/var/lib/alt-las", isNamed: true });
  process.env["ALT_LAS_DATA_DIR"] = "";
  assert.deepEqual(await parsed([]), { path: "./data", isNamed: false }, "set to nothing is not set");
});

test("a folder without data is named and stays as it is; where it was named, it may be begun", (t) => {
  const folder = temporaryFolder(t);
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
    const path = temporaryFolder(t);
    writeFileSync(join(path, name), "");
    assert.equal(existingData({ path, isNamed: false }), path);
    assert.deepEqual(existingOrNewData({ path, isNamed: true }), { path, begun: null });
  }
});

test("a key for a user that is not there makes no folder", (t) => {
  const dataDir = join(temporaryFolder(t), "new");
  const { auth } = parseConfig("", "c.yaml");
  assert.throws(() => keysAdd({ config: auth, dataDir }, { user: "nobody" }), /There is no user nobody\./);
  assert.throws(() => keysAdd({ config: auth, dataDir }, { user: "nobody", name: "a key" }), /name of a key/);
  assert.equal(existsSync(dataDir), false);
});
