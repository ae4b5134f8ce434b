/** A stranger's first minutes: a fresh copy, README's commands as they stand there, in the shell. */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import test, { type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { firstKeyIn } from "../helpers/first-key.ts";
import { ENVIRONMENT, shell, succeed, UNREACHABLE } from "../helpers/stranger.ts";
import { type TaskSummary, type TaskView } from "../../src/http/schemas/tasks.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const README = readFileSync(join(ROOT, "README.md"), "utf8");
const BLOCKS = [...README.matchAll(/^```sh[^\n]*\n(.*?)^```$/gms)].map(([, commands]) => commands!);
const UUID = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/;

/** A block of README that has this in it. */
function blockWith(part: string): string {
  const block = BLOCKS.find((commands) => commands.includes(part));
  assert.ok(block !== undefined, `README has no commands with ${part}`);
  return block;
}

/** Whether git can say which files belong to the repository. */
function hasGit(): boolean {
  try {
    execFileSync("git", ["-C", ROOT, "rev-parse"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** What a clone would have if everything here were committed now. */
function freshCopy(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "alt-las-readme-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const listed = execFileSync("git", ["-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
  const files = listed.toString().split("\0").slice(0, -1);
  for (const file of new Set(files)) {
    if (existsSync(join(ROOT, file))) cpSync(join(ROOT, file), join(folder, file));
  }
  return folder;
}

/** `npm ci`; where the registry is out of reach, what is installed here is borrowed. */
async function install(t: TestContext, command: string, folder: string): Promise<void> {
  const { code, stdout, stderr } = await shell(command, folder);
  if (code === 0) return;
  assert.match(stderr, UNREACHABLE, `${command}\n${stdout}\n${stderr}`);
  t.diagnostic(
    `SKIPPED: ${command}, because the npm registry cannot be reached; the rest runs with what is installed.`,
  );
  rmSync(join(folder, "node_modules"), { recursive: true, force: true });
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"), "dir");
}

/** Starts the server and returns what it prints, up to the line that can be pasted. */
async function start(t: TestContext, command: string, folder: string): Promise<{ npm: ChildProcess; printed: string }> {
  const npm = spawn("sh", ["-c", `exec ${command}`], {
    cwd: folder,
    env: ENVIRONMENT,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const ended = once(npm, "close");
  t.after(async () => {
    // The group is npm's own; a negative id names all of it.
    if (npm.exitCode === null && npm.signalCode === null) process.kill(-npm.pid!, "SIGKILL");
    await ended;
  });
  let printed = "";
  let log = "";
  npm.stderr.setEncoding("utf8").on("data", (text: string) => (log += text));
  for await (const line of createInterface({ input: npm.stdout })) {
    printed += `${line}\n`;
    if (line.trimStart().startsWith("curl ")) return { npm, printed };
  }
  throw new Error(`The server ended before it printed a curl line:\n${printed}\n${log}`);
}

function matched(pattern: RegExp, text: string): string {
  const found = pattern.exec(text)?.[1];
  assert.ok(found !== undefined, `${pattern} is not in:\n${text}`);
  return found;
}

function assertCompleted(answer: string): void {
  const { status, result } = JSON.parse(answer) as TaskView;
  assert.equal(status, "completed", answer);
  assert.ok(result !== undefined && result.text.length > 0, answer);
}

test(
  "README's commands do what it says, from a fresh copy",
  { skip: hasGit() ? false : "git is not there" },
  async (t) => {
    const folder = freshCopy(t);
    const commands = BLOCKS[0]!.trim().split("\n");
    assert.deepEqual(commands, ["npm ci", "npm start"]);
    await install(t, commands[0]!, folder);
    // A GPU whose package is not installed would be listed as unusable, as README says.
    const devices = (await shell("nvidia-smi", folder)).code === 0 ? " --devices cpu:2" : "";
    const { npm, printed } = await start(t, `${commands[1]} -- --port 0${devices}`, folder);

    const address = matched(/^ALT_LAS .* listens on (http:\/\/127\.0\.0\.1:\d+)$/m, printed);
    const key = firstKeyIn(printed);
    assert.match(printed, /^GPU +NAME +MEMORY +SLOTS +MODEL\n0 +\S.* GiB +8 +demo$/m);
    const curl = matched(/^Try it:\n {2}(curl .*)$/m, printed);
    const environment = { ALT_LAS_API_KEY: key };
    assertCompleted(await succeed(curl, folder, environment));

    const here = (block: string): string => block.replaceAll("http://127.0.0.1:8642", address);
    const submitted = await succeed(here(blockWith("/api/v1/predict")), folder, environment);
    const { task_id, status } = JSON.parse(submitted) as TaskSummary;
    assert.equal(status, "running");
    const ask = here(blockWith("/api/v1/task/")).replace(UUID, task_id);
    assertCompleted(await succeed(ask, folder, environment));

    const said = await succeed(blockWith("users add"), folder);
    const bobs = matched(/^(altlas_\S{43})$/m, said);
    assert.match(said, /^Key bob-1 is revoked\.$/m);
    const refused = await succeed(ask, folder, { ALT_LAS_API_KEY: bobs });
    assert.match(refused, /"code":"unauthorized"/);

    const ended = once(npm, "close");
    npm.kill("SIGTERM");
    await ended;
    await assert.rejects(fetch(`${address}/livez`));
  },
);
