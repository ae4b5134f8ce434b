/**
 * The package on whatever system this is, without a shell: packed, installed into an empty folder, asked for a text, and its commands, which
 * reach the running server by a socket or a pipe. pack.test.ts looks closer, where there is `sh`.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { after, test, type TestContext } from "node:test";
import { npm } from "../../src/common/npm.ts";
import { type TaskView } from "../../src/http/schemas/tasks.ts";
import { ROOT } from "../helpers/server.ts";

const KEY = `altlas_${"k".repeat(43)}`;
const FOLDER = mkdtempSync(join(tmpdir(), "alt-las installed "));
after(() => rmSync(FOLDER, { recursive: true, force: true, maxRetries: 10 }));
const BIN = join(FOLDER, "node_modules", "alt-las", "bin", "alt-las.js");
const ENVIRONMENT = { ...process.env, ALT_LAS_API_KEY: KEY };

/** Starts this Node, and says what it printed when it has ended. */
async function run(...args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, args, { cwd: FOLDER, env: ENVIRONMENT, stdio: ["ignore", "pipe", "inherit"] });
  const [printed, [code]] = await Promise.all([text(child.stdout), once(child, "close")]);
  assert.equal(code, 0, `${args.join(" ")}\n${printed}`);
  return printed;
}

/** Starts a server. @returns its address, and the process */
async function started(t: TestContext): Promise<{ readonly url: string; readonly server: ChildProcess }> {
  const options = ["serve", "--port", "0", "--data-dir", "data", "--devices", "cpu:1"];
  const server = spawn(process.execPath, [BIN, ...options], {
    cwd: FOLDER,
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

test("the package installs, generates, and is backed up, compacted and restored", async (t) => {
  writeFileSync(join(FOLDER, "package.json"), "{}");
  const tarball = (await run(join(ROOT, "tools", "pack.ts"), FOLDER)).trim().split("\n").at(-1)!;
  npm(["i", "--no-audit", "--no-fund", "--prefer-offline", tarball], FOLDER);
  const { url, server } = await started(t);
  const response = await fetch(`${url}/api/v1/predict`, {
    method: "POST",
    headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json", prefer: "wait=300" },
    body: JSON.stringify({ text: "Once upon a time", max_length: 8 }),
  });
  const task = (await response.json()) as TaskView;
  assert.equal(task.status, "completed", JSON.stringify(task));
  assert.ok(task.result!.text.length > 0);
  assert.match(await run(BIN, "backup", "backup.tar", "--data-dir", "data"), /from the running server/);
  assert.match(await run(BIN, "reload", "--data-dir", "data"), /Nothing that counts at once has changed/);
  server.kill();
  await once(server, "close");
  await run(BIN, "compact", "--data-dir", "data");
  mkdirSync(join(FOLDER, "restored"));
  assert.match(await run(BIN, "restore", "backup.tar", "--data-dir", "restored"), /holds the backup of /);
});
