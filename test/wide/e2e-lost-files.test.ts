/* A server whose files are deleted: it says so, loses nothing that it accepts from then on, and ends with a failure. */
import assert from "node:assert/strict";
import { existsSync, rmSync } from "node:fs";
import { test } from "node:test";
import { type ReadyAnswer } from "../../src/http/schemas/health.ts";
import { hashApiKey } from "../../src/auth/secrets.ts";
import { runCommand } from "../helpers/command.ts";
import { Server } from "../helpers/server.ts";

const KEY = "altlas_of-the-configuration";
/** Tasks that do not end while a test lasts; a user whom no deleted file takes away. */
const CONFIG = `
engine: { simulated: { tokens_per_second: 0.01 } }
auth: { users: [{ name: root, role: admin }], keys: [{ name: k, user: root, sha256: "${hashApiKey(KEY)}" }] }
`;
const GONE = /^The task database was deleted while the server ran\. Nothing can be stored or read/;

test("with its data directory deleted a server refuses tasks, tells of none, is not ready, and exits with 1", async (t) => {
  const server = await Server.start(t, { config: CONFIG, args: ["--devices", "simulated:1"] });
  server.key = KEY;
  await server.loaded();
  const args = ["keys", "add", "--user", "root", "--data-dir", server.dataDir];
  const { stdout } = await runCommand(args, { cwd: server.folder });
  const own = /^altlas_\S+$/m.exec(stdout)![0];
  const { task_id } = await server.predict({ text: "before" });
  const path = `/api/v1/task/${task_id}`;
  const waiting = server.request("GET", `${path}?wait=55`);
  rmSync(server.dataDir, { recursive: true });
  const [line] = await server.logged(({ level, msg }) => level === 50 && msg.includes("was deleted"));
  assert.match(line!.msg, /alt-las\.db was deleted while the server ran: nothing can be stored/);

  const refusals = [
    await waiting,
    await server.request("POST", "/api/v1/predict", { body: { text: "after" } }),
    await server.request("GET", path),
    await server.request("GET", `${path}/events`),
    await server.request("GET", "/api/v1/tasks"),
    await server.request("POST", `${path}/cancel`),
    // A key that stood in the directory is not called unknown.
    await server.request("GET", "/api/v1/gpus", { headers: { authorization: `Bearer ${own}` } }),
  ];
  for (const { status, body } of refusals) {
    assert.equal(status, 503, JSON.stringify(body));
    assert.equal(body.code, "store_unavailable");
    assert.match(body.error, GONE);
  }
  const { status, body } = await server.request<ReadyAnswer>("GET", "/readyz");
  assert.equal(status, 503);
  assert.match(body.reason!, GONE);
  assert.equal((await server.request("GET", "/livez")).status, 200);

  // It does not wait for the running task, whose end could not be kept.
  assert.deepEqual(await server.stop(), { code: 1, signal: null });
  assert.equal(server.log.filter(({ level }) => level >= 50).length, 1, "one error");
  assert.equal(existsSync(server.dataDir), false, "nothing is made again");
});
