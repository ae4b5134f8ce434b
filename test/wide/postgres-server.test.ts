/* A server whose tasks are on PostgreSQL: over HTTP, killed, and while its database is gone. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { traceOf } from "../../src/lab/read.ts";
import { runCommand } from "../helpers/command.ts";
import { startLocalServer } from "../helpers/local-server.ts";
import { connected, NO_POSTGRES, PASSWORD, PostgresServer, PROGRAMS } from "../helpers/postgres.ts";
import { Server } from "../helpers/server.ts";
import { testFolder } from "../helpers/store.ts";

const skip = PROGRAMS === null ? NO_POSTGRES : false;
const TASK = { text: "hello", max_length: 3 };

function configOf(url: string, more = ""): string {
  return `store: { url: "${url}" }\n${more}`;
}

test(
  "tasks, batches, keys, files and usage are there after a restart, and the address is shown nowhere",
  { skip },
  async (t) => {
    const postgres = await PostgresServer.start();
    t.after(() => postgres.remove());
    const server = await startLocalServer(t, { config: configOf(postgres.url()), devices: "simulated:2" });
    const key = { "idempotency-key": "one" };
    const first = await server.predict(TASK, key);
    await server.ended(first.task_id);
    const batch = await server.batch({ batch: ["a", "b", "c"].map((text) => ({ text, max_length: 2 })) });
    for (const { task_id: id } of batch.tasks) await server.ended(id);
    const { body: config } = await server.request<object>("GET", "/api/v1/config");
    const secret = encodeURIComponent(PASSWORD);
    for (const shown of [config, server.log]) assert.ok(!JSON.stringify(shown).includes(secret));
    await server.stop();
    const next = await server.restart();
    assert.equal((await next.predict(TASK, key)).task_id, first.task_id);
    assert.equal((await next.task(first.task_id)).status, "completed");
    assert.equal((await next.tasks()).total, 4);
    const { body: usage } = await next.request<{ total: { completed: number } }>("GET", "/api/v1/usage");
    assert.equal(usage.total.completed, 4);
    const client = await connected(t, postgres.url());
    const { rows } = await client.query("SELECT status, count(*)::int AS n FROM alt_las.tasks GROUP BY 1");
    assert.deepEqual(rows, [{ status: "completed", n: 4 }]);
  },
);

test(
  "alt-las lab export has the history on PostgreSQL, of a server that runs and where none does",
  { skip },
  async (t) => {
    const postgres = await PostgresServer.start([], "trust");
    t.after(() => postgres.remove());
    const folder = testFolder(t);
    const [config, file] = [join(folder, "c.yaml"), join(folder, "trace.csv")];
    writeFileSync(config, configOf(postgres.url()));
    const server = await startLocalServer(t, { config: configOf(postgres.url()), devices: "simulated:1" });
    for (const length of [2, 3]) await server.run({ text: `a secret of ${length}`, max_length: length });
    for (const isRunning of [true, false]) {
      if (!isRunning) await server.stop();
      const { code, stdout, stderr } = await runCommand([
        "lab",
        "export",
        "--config",
        config,
        "--data-dir",
        server.dataDir,
      ]);
      assert.equal(code, 0, stderr);
      assert.ok(!stdout.includes("secret"));
      writeFileSync(file, stdout);
      const requests = (await Array.fromAsync(traceOf(file)())).flat();
      assert.deepEqual(
        requests.map(({ outputTokens, maxTokens }) => [outputTokens, maxTokens]),
        [
          [2, 2],
          [3, 3],
        ],
      );
    }
  },
);

test(
  "while PostgreSQL is gone a submission gets 503 and the server is not ready; it goes on when it is back",
  { skip },
  async (t) => {
    const postgres = await PostgresServer.start();
    t.after(() => postgres.remove());
    const server = await startLocalServer(t, { config: configOf(postgres.url()), devices: "simulated:1" });
    const before = await server.run(TASK);
    await postgres.stop("SIGQUIT");
    const refused = await server.request("POST", "/api/v1/predict", { body: TASK });
    assert.deepEqual([refused.status, refused.body.code], [503, "store_unavailable"]);
    assert.equal((await server.request("GET", "/readyz")).status, 503);
    await postgres.run();
    await server.logged(({ msg }) => msg === "the task database can be reached again");
    assert.equal((await server.run(TASK)).status, "completed");
    assert.equal((await server.request("GET", "/readyz")).status, 200);
    assert.equal((await server.task(before.task_id)).status, "completed");
    assert.equal((await server.tasks()).total, 2);
  },
);

test(
  "a server that is killed loses nothing that was answered, and a second one is refused while it runs",
  { skip },
  async (t) => {
    const postgres = await PostgresServer.start();
    t.after(() => postgres.remove());
    const config = configOf(postgres.url());
    const server = await Server.start(t, { config, args: ["--devices", "simulated:1"] });
    const ids = await Promise.all(Array.from({ length: 20 }, async () => (await server.predict(TASK)).task_id));
    const second = await Server.start(t, { config, args: ["--devices", "simulated:1"] }).then(
      () => "it has started",
      (error: Error) => error.message,
    );
    assert.match(second, /is in use by another server: process \d+ on /);
    server.process.kill("SIGKILL");
    await server.exit;
    const next = await server.restart();
    for (const id of ids) assert.equal((await next.ended(id)).status, "completed");
    assert.equal((await next.tasks()).total, ids.length);
  },
);
