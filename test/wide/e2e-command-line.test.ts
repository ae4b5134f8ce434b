/** `alt-las` as a person meets it in a shell. */
import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand } from "../helpers/command.ts";
import { altLas, newFolder, ROOT, Server } from "../helpers/server.ts";

const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };

test("version, help and validate-config answer", async (t) => {
  const cwd = newFolder(t);
  writeFileSync(join(cwd, "config.yaml"), 'gpu: { devices: ["cpu:1", "simulated:2"] }');
  writeFileSync(join(cwd, "missing.yaml"), "engine:\n  model: none.gguf\n");
  const [started, printed, flag, help, serve, valid, none, missing] = await Promise.all([
    altLas(["version"]),
    runCommand(["version"]),
    runCommand(["--version"]),
    runCommand(["help"]),
    runCommand(["serve", "--help"]),
    runCommand(["validate-config"], { cwd }),
    runCommand(["validate-config"], { cwd: newFolder(t) }),
    runCommand(["validate-config", "--config", "missing.yaml"], { cwd }),
  ]);
  assert.deepEqual(printed, { code: 0, stdout: `${version}\n`, stderr: "" });
  assert.deepEqual(started, printed);
  assert.deepEqual(flag, printed);
  for (const command of ["serve", "validate-config", "gpus", "users", "keys", "version", "help"]) {
    assert.match(help.stdout, new RegExp(`^ {2}${command}\\b`, "m"));
  }
  for (const option of ["config", "host", "port", "data-dir", "devices", "model", "log-level"]) {
    assert.match(serve.stdout, new RegExp(`^ {2}--${option} `, "m"));
  }
  assert.deepEqual(valid, { code: 0, stdout: "config.yaml: valid\n", stderr: "" });
  assert.deepEqual(none, { code: 0, stdout: "no file: defaults\n", stderr: "" });
  const gone = "missing.yaml:2: engine.model is none.gguf, which does not exist.\n";
  assert.deepEqual(missing, { code: 1, stdout: "", stderr: gone });
});

/** Configuration files, and what validate-config and serve say of them. */
const BAD_FILES: readonly (readonly [string, string])[] = [
  ["server:\n  prot: 8000\n", "bad.yaml:2: server.prot is not a known field; perhaps port was meant."],
  ["server:\n  port: 70000\n", "bad.yaml:2: server.port must be an integer from 0 to 65535; got 70000."],
  [
    "auth:\n  enabled: false\nserver:\n  host: 0.0.0.0\n",
    "bad.yaml:2: auth.enabled is false, which is honoured only on a loopback address; server.host is 0.0.0.0.",
  ],
  ["store:\n  path: ${ALT_LAS_TEST_UNSET}\n", "bad.yaml:2: the environment variable ALT_LAS_TEST_UNSET is not set."],
];

test("a bad configuration is a sentence with file and line, and exit code 1, before anything starts", async (t) => {
  const cwd = newFolder(t);
  const checks = BAD_FILES.map(async ([text, sentence], index) => {
    const folder = join(cwd, String(index));
    mkdirSync(folder);
    writeFileSync(join(folder, "bad.yaml"), text);
    const checked = await runCommand(["validate-config", "--config", "bad.yaml"], { cwd: folder });
    assert.deepEqual(checked, { code: 1, stdout: "", stderr: `${sentence}\n` });
  });
  await Promise.all(checks);
  const [missing, served] = await Promise.all([
    runCommand(["validate-config", "--config", "nowhere.yaml"]),
    altLas(["serve", "--config", "bad.yaml", "--data-dir", "data"], { cwd: join(cwd, "0") }),
  ]);
  assert.deepEqual(served, { code: 1, stdout: "", stderr: `${BAD_FILES[0]![1]}\n` });
  assert.equal(existsSync(join(cwd, "0", "data")), false);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /^The configuration file nowhere\.yaml cannot be read: .*\.\n$/);
});

/** Command lines, what is said of them on standard error, and what runs them: by default no process of their own. */
const BAD_LINES: readonly (readonly [readonly string[], RegExp, typeof altLas?])[] = [
  [["--colour"], /unknown option '--colour'/],
  [["srve"], /unknown command 'srve'/, altLas],
  [["serve", "--port", "eighty"], /--port.*'eighty'.* It must be an integer from 0 to 65535\./],
  [["serve", "--port", "65536"], /'65536'.* It must be an integer from 0 to 65535\./],
  [["serve", "--devices", "tpu:1"], /^Command line: gpu\.devices must be "auto", "cpu:N".*; got "tpu:1"\.$/m],
  [["serve", "--devices", "cpu:0"], /^Command line: gpu\.devices must be .*; got "cpu:0"\.$/m],
  [["serve", "--devices", "gpu:9"], /^gpu\.devices names gpu:9, which is not there; this machine has .*\.$/m, altLas],
  [["serve", "--log-level", "loud"], /^Command line: log\.level must be one of .*; got "loud"\.$/m],
  [
    ["users", "add", "ann", "--role", "king", "--data-dir", "new"],
    /^The role must be one of admin, user, viewer; got "king"\.$/m,
  ],
  [
    ["users", "add", "no spaces", "--role", "user", "--data-dir", "new"],
    /^the name of a user must be 1 to 64 .*; got "no spaces"\.$/m,
  ],
  [["users", "add", "ann"], /required option '--role <role>' not specified/],
  [["users", "remove", "nobody", "--data-dir", "mine"], /^There is no user nobody\.$/m],
  [
    ["keys", "add", "--user", "nobody", "--data-dir", "mine"],
    /^There is no user nobody\. Make it, .*: npx alt-las users add nobody --role ROLE/m,
  ],
  [["keys", "revoke", "none", "--data-dir", "mine"], /^There is no key none\.$/m, altLas],
  [["keys", "add", "--user", "nobody", "--data-dir", "new"], /^There is no user nobody\./m],
  [
    ["keys", "list"],
    /^There is no ALT_LAS data in \/.*\/data; nothing was changed\. Name .* with --data-dir; npx alt-las where says where this looks\.$/m,
  ],
  [["keys", "list", "--data-dir", "new"], /^There is no ALT_LAS data in \/.*\/new; nothing was changed\.$/m],
];

test("a command line that cannot be obeyed is told why, and exits with 1", async (t) => {
  const cwd = newFolder(t);
  mkdirSync(join(cwd, "mine"));
  writeFileSync(join(cwd, "mine", "credentials.json"), '{"version":1,"users":[],"keys":[]}');
  const ran = await Promise.all(BAD_LINES.map(([args, , run = runCommand]) => run(args, { cwd })));
  for (const [index, [args, sentence]] of BAD_LINES.entries()) {
    const { code, stdout, stderr } = ran[index]!;
    assert.match(stderr, sentence, args.join(" "));
    assert.deepEqual([code, stdout], [1, ""], args.join(" "));
    assert.ok(!stderr.includes("    at "), `a stack: ${stderr}`);
  }
  assert.equal(existsSync(join(cwd, "new")), false, "nothing was made");
});

test("users and keys are made, listed and removed; what is secret is shown once and kept hashed", async (t) => {
  const cwd = newFolder(t);
  const run = async (line: string, input = "") => {
    const { code, stdout, stderr } = await runCommand([...line.split(" "), "--data-dir", "d"], { cwd, input });
    assert.equal(code, 0, stderr);
    return stdout;
  };
  assert.match(
    await run("users add ann --role admin --password-stdin", "a long password\n"),
    /^There was no ALT_LAS data in \/.*\/d; this begins it\.\nUser ann is now an admin\.\n$/,
  );
  assert.match(
    await run("users add bob --role viewer"),
    /^User bob is now a viewer\. .*keys add --user bob --data-dir d\n$/,
  );
  const key = (await run("keys add --user bob --name laptop")).trim().split("\n").at(-1)!;
  assert.match(key, /^altlas_[\w-]{43}$/);
  assert.match(await run("users list"), /^ann +admin +yes +0 .*\nbob +viewer +no +1 /m);
  assert.match(await run("keys list"), /^laptop +bob +/m);
  const kept = readFileSync(join(cwd, "d", "credentials.json"), "utf8");
  assert.ok(!kept.includes(key) && !kept.includes("a long password"));
  assert.match(await run("keys revoke laptop"), /^Key laptop is revoked\.\n$/);
  assert.match(await run("users remove bob"), /^User bob is removed, with 0 keys\.\n$/);
  assert.match(await run("keys list"), /There are no keys\./);
  const last = await runCommand(["users", "remove", "ann", "--data-dir", "d"], { cwd });
  assert.match(last.stderr, /^User ann is the last admin; add another one first\.\n$/);
});

test("config.yaml of the folder counts, the command line over it, and paths are as seen from there", async (t) => {
  const folder = newFolder(t);
  mkdirSync(join(folder, "gguf"));
  copyFileSync(join(ROOT, "models", "demo.gguf"), join(folder, "gguf", "mine.gguf"));
  const config = `
    auth: { enabled: false }
    gpu: { devices: ["cpu:2"] }
    store: { path: tasks.sqlite }
    engine: { model: gguf/not-this-one.gguf }`;
  const args = ["--model", "gguf/mine.gguf", "--devices", "cpu:1,simulated:1"];
  const server = await Server.start(t, { config, args }, folder);
  await server.loaded();
  assert.match(server.stdout, /^0 +CPU device 0 .* mine\.gguf$/m);
  assert.match(server.stdout, /^1 +Simulated device 0 .* simulated$/m);
  assert.ok(!server.stdout.includes("demo") && !server.curl.includes("Authorization"));
  const task = await server.run(
    { text: "x", max_length: 2, gpu_options: { specific_gpu_id: 0 } },
    { authorization: "" },
  );
  assert.equal(task.status, "completed");
  assert.ok(readFileSync(join(folder, "tasks.sqlite")).length > 0);
});
