/**
 * The package on whatever system this is, without a shell: packed, installed into an empty folder, asked for a text, and its commands, which
 * reach the running server by a socket or a pipe. pack.test.ts looks closer, where there is `sh`.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { after, test, type TestContext } from "node:test";
import { npm } from "../../src/common/npm.ts";
import { type TaskView } from "../../src/http/schemas/tasks.ts";
import { ROOT } from "../helpers/server.ts";

const KEY = `altlas_${"k".repeat(43)}`;
const FOLDER = mkdtempSync(join(tmpdir(), "alt-las installed "));
after(() => rmSync(FOLDER, { recursive: true, force: true, maxRetries: 10 }));
const ENVIRONMENT = { ...process.env, ALT_LAS_API_KEY: KEY };

/** Starts this Node, and says what it printed when it has ended. */
async function run(...args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, args, { cwd: FOLDER, env: ENVIRONMENT, stdio: ["ignore", "pipe", "inherit"] });
  const [printed, [code]] = await Promise.all([text(child.stdout), once(child, "close")]);
  assert.equal(code, 0, `${args.join(" ")}\n${printed}`);
  return printed;
}

const TARBALL = (await run(join(ROOT, "tools", "pack.ts"), FOLDER)).trim().split("\n").at(-1)!;

/** Installs the package. @returns its program */
function installed(folder: string, ...options: readonly string[]): string {
  writeFileSync(join(folder, "package.json"), "{}");
  npm(["i", "--no-audit", "--no-fund", "--prefer-offline", ...options, TARBALL], folder);
  return join(folder, "node_modules", "alt-las", "bin", "alt-las.js");
}

/** Starts a server. @returns its address, and the process */
async function started(
  t: TestContext,
  bin: string,
  devices: string,
): Promise<{ readonly url: string; readonly server: ChildProcess }> {
  const options = ["serve", "--port", "0", "--data-dir", "data", "--devices", devices];
  const server = spawn(process.execPath, [bin, ...options], {
    cwd: dirname(dirname(dirname(dirname(bin)))),
    env: ENVIRONMENT,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const closed = once(server, "close");
  t.after(async () => {
    server.kill("SIGKILL");
    await closed;
  });
  for await (const line of createInterface({ input: server.stdout! })) {
    const [, url] = / listens on (\S+)$/.exec(line) ?? [];
    if (url === undefined) continue;
    server.stdout!.resume();
    return { url, server };
  }
  throw new Error("The server has ended before it listened.");
}

async function generates(url: string): Promise<void> {
  const response = await fetch(`${url}/api/v1/predict`, {
    method: "POST",
    headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json", prefer: "wait=300" },
    body: JSON.stringify({ text: "Once upon a time", max_length: 8 }),
  });
  const task = (await response.json()) as TaskView;
  assert.equal(task.status, "completed", JSON.stringify(task));
  assert.ok(task.result!.text.length > 0);
}

test("the package installs, generates, and is backed up, compacted and restored", async (t) => {
  const bin = installed(FOLDER);
  const { url, server } = await started(t, bin, "cpu:1");
  await generates(url);
  assert.match(await run(bin, "backup", "backup.tar", "--data-dir", "data"), /from the running server/);
  assert.match(await run(bin, "reload", "--data-dir", "data"), /Nothing that counts at once has changed/);
  server.kill();
  await once(server, "close");
  await run(bin, "compact", "--data-dir", "data");
  mkdirSync(join(FOLDER, "restored"));
  assert.match(await run(bin, "restore", "backup.tar", "--data-dir", "restored"), /holds the backup of /);
});

test("with --omit=optional one machine serves, and the package that several need is named", async (t) => {
  // Not below the other one, whose packages it would find.
  const folder = mkdtempSync(join(tmpdir(), "alt-las bare "));
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10 }));
  const bin = installed(folder, "--omit=optional");
  for (const name of ["pg", "@nats-io/jwt", "@nats-io/transport-node"])
    assert(!existsSync(join(folder, "node_modules", name)), name);
  await generates((await started(t, bin, "simulated:1")).url);
  for (const [config, name] of [
    ["cluster: { nats: 'nats://127.0.0.1:1' }", "@nats-io/transport-node"],
    ["store: { url: 'postgres://127.0.0.1:1/a' }", "pg"],
  ] as const) {
    writeFileSync(join(folder, "several.yaml"), config);
    const args = ["serve", "--config", "several.yaml", "--port", "0", "--data-dir", "several"];
    const { status, stderr } = spawnSync(process.execPath, [bin, ...args], {
      cwd: folder,
      env: ENVIRONMENT,
      encoding: "utf8",
    });
    assert.equal(status, 1, stderr);
    assert.match(stderr, new RegExp(`needs the (?:npm )?package ${name}, .* npm install ${name}`));
  }
});
