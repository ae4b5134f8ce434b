/* A backup of a server that is busy, and what becomes of the accepted tasks in the data directory that is made of it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, watch } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand } from "../helpers/command.ts";
import { startLocalServer } from "../helpers/local-server.ts";
import { BIN, newFolder, Server } from "../helpers/server.ts";

const CONFIG = "{ engine: { simulated: { tokens_per_second: 0 } }, log: { level: debug } }";
const DEVICES = "simulated:1";
const TEXT = "x".repeat(20_000);

test("every task accepted before a backup is in the folder restored from it, and tasks come in meanwhile", async (t) => {
  const server = await startLocalServer(t, { config: CONFIG, devices: DEVICES });
  await server.loaded();
  const before: string[] = [];
  for (let n = 0; n < 20; n++) before.push((await server.run({ text: TEXT, max_length: 1 })).task_id);
  const file = join(newFolder(t), "backup.tar");
  const over = new AbortController();
  let meanwhile = 0;
  const submitting = (async () => {
    while (!over.signal.aborted) {
      await server.predict({ text: TEXT, max_length: 1 });
      meanwhile++;
    }
  })();
  const made = await runCommand(["backup", file, "--data-dir", server.dataDir]);
  over.abort();
  await submitting;
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stdout, /from the running server/);
  assert.ok(meanwhile > 0);

  const folder = newFolder(t);
  const restored = await runCommand(["restore", file, "--data-dir", join(folder, "data")]);
  assert.equal(restored.code, 0, restored.stderr);
  const next = await startLocalServer(t, { config: CONFIG, devices: DEVICES, folder });
  // Its users and keys came along.
  next.key = server.key;
  for (const id of before) assert.equal((await next.task(id)).status, "completed");
  const refused = await runCommand(["restore", file, "--data-dir", server.dataDir]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /is not empty/);
});

test("a server killed while it makes a backup loses nothing, and there is no file", async (t) => {
  const server = await Server.start(t, { config: CONFIG, args: ["--devices", DEVICES] });
  await server.loaded();
  const ids: string[] = [];
  for (let n = 0; n < 20; n++) ids.push((await server.run({ text: TEXT, max_length: 1 })).task_id);
  const folder = newFolder(t);
  const watcher = watch(server.dataDir);
  // The copy has begun when its folder is there.
  const begun = new Promise<void>((resolve) =>
    watcher.on("change", (_event, name) => String(name).startsWith(".backup-") && resolve()),
  );
  const command = spawn(process.execPath, [BIN, "backup", join(folder, "b.tar"), "--data-dir", server.dataDir]);
  const ended = once(command, "close");
  await begun;
  watcher.close();
  await server.kill9();
  const [code] = (await ended) as [number];
  // Unless the last byte was faster than the kill.
  if (code !== 0) assert.deepEqual(readdirSync(folder), []);
  const next = await server.restart();
  for (const id of ids) assert.equal((await next.task(id)).status, "completed");
  assert.equal(
    readdirSync(next.dataDir).some((name) => name.startsWith(".backup-")),
    false,
  );
  assert.equal(existsSync(join(next.dataDir, "alt-las.sock")), true);
});
