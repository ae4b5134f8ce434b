/** The package as it would come from npm: packed, installed into an empty folder, started. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  globSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, relative } from "node:path";
import { createInterface } from "node:readline";
import { after, test, type TestContext } from "node:test";
import { firstKeyIn } from "../helpers/first-key.ts";
import { type WhereReport } from "../../src/cli/where.ts";
import { type TaskView } from "../../src/http/schemas/tasks.ts";
import { ROOT } from "../helpers/server.ts";
import { ENVIRONMENT, shell, succeed, UNREACHABLE } from "../helpers/stranger.ts";

/** What an installation may take. */
const MOST_BYTES = 450_000_000;

const FOLDER = mkdtempSync(join(tmpdir(), "alt-las-packed-"));
after(() => rmSync(FOLDER, { recursive: true, force: true }));
const OPTIONS = "--no-audit --no-fund --prefer-offline";
/** A newer Node than that of a clone, which all other tests run on: the package is for both. */
const NEWER = join(FOLDER, "newer");
mkdirSync(NEWER);
const FETCHED = await shell(`npm i ${OPTIONS} node@26`, NEWER);
/** A shell that has it first. */
const NODE_26 = { PATH: [join(NEWER, "node_modules", ".bin"), ENVIRONMENT["PATH"]].join(delimiter) };
/** A shell that has the clone's. */
const OURS = { PATH: [bin(), ENVIRONMENT["PATH"]].join(delimiter) };
const TARBALL = (await succeed(`node tools/pack.ts ${FOLDER}`, ROOT, OURS)).trim().split("\n").at(-1)!;
const INSTALLED = join(FOLDER, "installed");
mkdirSync(INSTALLED);
const INSTALLATION = await shell(`npm i ${OPTIONS} ${TARBALL}`, INSTALLED, NODE_26);
const IS_REACHABLE = [FETCHED, INSTALLATION].every(({ code, stderr }) => code === 0 || !UNREACHABLE.test(stderr));
const skip = IS_REACHABLE ? false : "the npm registry cannot be reached";

/** A folder with nothing but the Node that runs these tests. */
function bin(): string {
  const folder = join(FOLDER, "bin");
  mkdirSync(folder);
  symlinkSync(process.execPath, join(folder, "node"));
  return folder;
}

/** What is started, imported or read in src, by names without the ending that the compiler changes. */
function namesIn(folder: string): string[] {
  const onlyForTypes = ["**/*.d.ts", "src/dashboard/files/**/*.ts"];
  const files = globSync("src/**", { cwd: folder, exclude: onlyForTypes, withFileTypes: true });
  return files
    .filter((file) => file.isFile())
    .map(({ parentPath, name }) => relative(folder, join(parentPath, name)).replace(/\.[jt]s$/, ""))
    .toSorted();
}

/** Asks for a text, and returns the body of the answer when the task has ended. */
async function ask({ url, key }: { readonly url: string; readonly key: string }, request: object) {
  const response = await fetch(`${url}/api/v1/predict`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", prefer: "wait=300" },
    body: JSON.stringify(request),
  });
  return response.text();
}

/** Starts a server, and returns its address, its key and what it printed before. */
async function start(t: TestContext) {
  const command = "exec npx alt-las --port 0 --data-dir data --devices cpu:1";
  const server = spawn("sh", ["-c", command], {
    cwd: INSTALLED,
    env: { ...ENVIRONMENT, ...NODE_26 },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const closed = once(server, "close");
  const signal = (name: NodeJS.Signals): void => {
    // The group is npx's own; a negative id names all of it.
    if (server.exitCode === null && server.signalCode === null) process.kill(-server.pid!, name);
  };
  t.after(async () => {
    signal("SIGKILL");
    await closed;
  });
  let log = "";
  let printed = "";
  server.stderr.setEncoding("utf8").on("data", (text: string) => (log += text));
  for await (const line of createInterface({ input: server.stdout })) {
    printed += `${line}\n`;
    if (!line.trimStart().startsWith("curl ")) continue;
    const url = / listens on (\S+)$/m.exec(printed)![1]!;
    const key = firstKeyIn(printed);
    const stop = async (): Promise<string> => {
      signal("SIGTERM");
      await closed;
      return log;
    };
    return { url, key, printed, stop };
  }
  throw new Error(`The server ended before it was ready:\n${printed}\n${log}`);
}

test("installed into an empty folder, the package is small and has nothing for GPUs in it", { skip }, async () => {
  assert.equal(INSTALLATION.code, 0, `${INSTALLATION.stdout}\n${INSTALLATION.stderr}`);
  assert.match(await succeed("node --version", INSTALLED, NODE_26), /^v26\./);
  const files = globSync("node_modules/**", { cwd: INSTALLED }).map((file) => lstatSync(join(INSTALLED, file)));
  const bytes = files.filter((file) => file.isFile()).reduce((sum, { size }) => sum + size, 0);
  assert.ok(bytes < MOST_BYTES, `${bytes} bytes`);
  const packages = readdirSync(join(INSTALLED, "node_modules"));
  assert.ok(!packages.includes("node"));
  const engines = readdirSync(join(INSTALLED, "node_modules/@node-llama-cpp"));
  assert.deepEqual(
    engines.filter((name) => /cuda|vulkan/.test(name)),
    [],
  );
  const own = join(INSTALLED, "node_modules/alt-las");
  // Node refuses TypeScript there.
  assert.deepEqual(globSync("{bin,src}/**/*.ts", { cwd: own }), []);
  assert.deepEqual(namesIn(own), namesIn(ROOT));
  assert.match(readFileSync(join(own, "THIRD-PARTY-NOTICES.md"), "utf8"), /^## node-llama-cpp .*\(MIT\)$/m);
});

test("the list of what the package consists of is that of an installation", { skip }, async () => {
  const list = JSON.parse(await succeed(`node tools/sbom.ts ${TARBALL}`, ROOT, NODE_26)) as {
    readonly bomFormat: string;
    readonly components: readonly { readonly name: string; readonly version: string }[];
  };
  assert.equal(list.bomFormat, "CycloneDX");
  const names = list.components.map(({ name }) => name);
  for (const name of ["alt-las", "fastify", "node-llama-cpp"]) assert.ok(names.includes(name), name);
  assert.deepEqual(
    names.filter((name) => /^(node|not-installed|typescript)$|cuda|vulkan/.test(name)),
    [],
  );
});

test("npx alt-las serves the demo model, the dashboard and the documents, and stops", { skip }, async (t) => {
  const server = await start(t);
  const { url, printed, stop } = server;
  assert.match(printed, /For a real one: npx alt-las --/);
  assert.doesNotMatch(printed, /npm (start|run)/);
  // A form has its grammar made in a thread.
  const form = { type: "json_object" };
  const answer = await ask(server, { text: "Once upon a time", max_length: 16, response_format: form });
  const { status, result } = JSON.parse(answer) as TaskView;
  assert.equal(status, "completed", answer);
  assert.ok(result!.text.length > 0);
  const page = await (await fetch(url, { headers: { accept: "text/html" } })).text();
  const [, script] = /<script type="module" src="([^"]+)"/.exec(page) ?? [];
  assert.ok(script !== undefined, page);
  assert.equal((await fetch(new URL(script, url))).status, 200);
  // One of docs/, and one that it names.
  for (const path of ["/docs/api.md", "/docs/files/bench/README.md", "/docs/images/now.png", "/docs/site/search.js"])
    assert.equal((await fetch(new URL(path, url))).status, 200, path);
  const log = await stop();
  assert.match(log, /"msg":"stopped"/);
});

test(
  "installed for every folder, its data are the user's, but for those that an earlier version kept here",
  { skip },
  async () => {
    const prefix = join(FOLDER, "global");
    await succeed(`npm i -g --prefix ${prefix} ${OPTIONS} ${TARBALL}`, FOLDER, OURS);
    const cwd = join(FOLDER, "somewhere");
    mkdirSync(cwd);
    const where = async () => {
      const said = await succeed(`${join(prefix, "bin/alt-las")} where --json`, cwd, {
        ...OURS,
        HOME: join(FOLDER, "home"),
      });
      return JSON.parse(said) as WhereReport;
    };
    const before = await where();
    assert.equal(before.installed.as, "global");
    assert.equal(before.data_directory.path, join(FOLDER, "home/.local/share/alt-las"));
    await succeed("mkdir data && touch data/alt-las.db", cwd);
    const kept = await where();
    assert.equal(kept.data_directory.path, join(cwd, "data"));
    const move = /with no server running: (.*)$/.exec(kept.notes[0]!)![1]!;
    await succeed(move, cwd);
    assert.deepEqual((await where()).data_directory.path, before.data_directory.path);
  },
);

test("the package brings by a command what GPUs need", { skip }, async () => {
  const { code, stderr } = await shell("npx alt-las add-gpu rocm", INSTALLED, NODE_26);
  assert.equal(code, 1);
  assert.match(stderr, /^Say which: npx alt-las add-gpu cuda, or vulkan\. There are packages for linux-x64 cuda, /m);
});

test("on a Node that is too old the launcher says what to type", { skip }, async (t) => {
  const old = (ENVIRONMENT["PATH"] ?? "").split(delimiter).map((folder) => join(folder, "node"));
  for (const node of old.filter((path) => existsSync(path))) {
    const version = (await succeed(`${node} -p process.versions.node`, FOLDER)).trim();
    if (Number.parseInt(version) >= 24) continue;
    const launcher = join(INSTALLED, "node_modules/alt-las/bin/alt-las.js");
    const { code, stdout, stderr } = await shell(`${node} ${launcher}`, FOLDER);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.equal(
      stderr,
      `ALT_LAS needs Node 24 or later, and this is Node ${version}: install Node 24, or type ` +
        "`npx -p node@24 alt-las`, which fetches it for this one time.\n",
    );
    return;
  }
  t.skip("there is no Node older than 24 on this machine's PATH");
});

test("elsewhere npm would install that system's llama.cpp, and nothing for GPUs", { skip }, async () => {
  const systems = [
    ["darwin", "arm64", "mac-arm64-metal"],
    ["linux", "arm64", "linux-arm64"],
    ["win32", "x64", "win-x64"],
  ] as const;
  const folders = systems.map(async ([os, cpu, engine]) => {
    const folder = join(FOLDER, `${os}-${cpu}`);
    mkdirSync(folder);
    const said = await succeed(`npm i --dry-run ${OPTIONS} --os ${os} --cpu ${cpu} ${TARBALL}`, folder, NODE_26);
    const added = Array.from(said.matchAll(/^add (\S+)/gm), ([, name]) => name!);
    assert.ok(added.includes(`@node-llama-cpp/${engine}`), said);
    assert.deepEqual(
      added.filter((name) => name === "node" || /cuda|vulkan/.test(name)),
      [],
    );
  });
  await Promise.all(folders);
});
