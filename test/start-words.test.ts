/** Starts that cannot work as they were typed: what is said, and what to type. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { keptByNpm } from "../src/cli/npm-options.ts";
import { runCommand } from "./helpers/command.ts";
import { setEnvironment } from "./helpers/environment.ts";
import { dataDirWords, shellWord, startCommand } from "../src/common/paste.ts";

const OPTIONS = ["--port", "--data-dir", "--log-level"];
const NPM = { npm_lifecycle_event: "start", npm_package_name: "alt-las" };

test("options that npm has kept for itself are told with the command that was meant", () => {
  const HEAD = "npm has kept --port for itself; options of the server come after two dashes: ";
  assert.equal(
    keptByNpm(OPTIONS, ["9746"], { ...NPM, npm_config_port: "true" }),
    `${HEAD}npm start -- --port 9746`,
    "npm start --port 9746",
  );
  assert.equal(
    keptByNpm(OPTIONS, [], { ...NPM, npm_config_port: "9746" }),
    `${HEAD}npm start -- --port 9746`,
    "with =",
  );
  const two = { ...NPM, npm_config_port: "true", npm_config_data_dir: "my data" };
  assert.match(keptByNpm(OPTIONS, ["9746"], two)!, /npm start -- --port VALUE --data-dir 'my data'$/);
  assert.equal(keptByNpm(OPTIONS, ["srve"], NPM), null, "no option was typed");
  assert.equal(keptByNpm(OPTIONS, [], { npm_config_port: "1" }), null, "npm did not start it");
  assert.equal(
    keptByNpm(OPTIONS, [], { ...NPM, npm_package_name: "app", npm_config_port: "1" }),
    null,
    "of another app",
  );
});

test("commands are written as a shell takes them", (t) => {
  for (const word of ["bob", "/var/lib/alt-las", "ayşe", "cpu:2", "a=b"]) assert.equal(shellWord(word), word);
  for (const [word, quoted] of [
    ["my data", "'my data'"],
    ["", "''"],
    ["it's", String.raw`'it'\''s'`],
    ["$HOME", "'$HOME'"],
  ] as const)
    assert.equal(shellWord(word), quoted);
  setEnvironment(t, { ALT_LAS_DATA_DIR: undefined });
  assert.equal(dataDirWords("./data"), "");
  assert.equal(dataDirWords("/srv/a b"), " --data-dir '/srv/a b'");
  setEnvironment(t, { ALT_LAS_DATA_DIR: "./data" });
  assert.equal(dataDirWords("./data"), " --data-dir ./data", "it was named");
  assert.equal(startCommand(new Map()), "npm start");
  assert.equal(
    startCommand(new Map([["--port", "9"]]), { "--model": "FILE.gguf" }),
    "npm start -- --port 9 --model FILE.gguf",
  );
});

test("help for a command that does not exist says so, in groups of commands too", async () => {
  for (const [args, unknown] of [
    [["help", "start"], "start"],
    [["help", "users", "ad"], "users ad"],
    [["users", "help", "ad"], "ad"],
  ] as const) {
    const { code, stdout, stderr } = await runCommand(args);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, new RegExp(`^error: unknown command '${unknown}'\n\n?\\(npx alt-las help lists`));
  }
  const [all, serve, add] = await Promise.all(
    [["help"], ["help", "serve"], ["help", "users", "add"]].map((args) => runCommand(args)),
  );
  assert.match(all!.stdout, /^Usage: alt-las \[options\] \[command\]\n[^]* help \[command/);
  assert.match(serve!.stdout, /^Usage: alt-las serve /);
  assert.match(add!.stdout, /^Usage: alt-las users add /);
  assert.deepEqual([all!.code, serve!.code, add!.code], [0, 0, 0]);
});
