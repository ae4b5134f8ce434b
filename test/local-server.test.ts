/** The whole server in this process, with workers that are no processes: what the tests that use it rely on. */
import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { VERSION } from "../src/common/version.ts";
import { doctorReport } from "../src/doctor/doctor.ts";
import { doctorPage } from "../src/doctor/page.ts";
import { EARLIER } from "../src/upgrade/upgrade.ts";
import { startLocalServer } from "./helpers/local-server.ts";

const SLOW = "engine: { simulated: { tokens_per_second: 50 } }";
const FAST = "engine: { simulated: { tokens_per_second: 0 } }";

test("a server in this process runs tasks and batches over HTTP", async (t) => {
  const server = await startLocalServer(t, { config: FAST, devices: "simulated:2" });
  const task = await server.run({ text: "hello", max_length: 3 });
  assert.deepEqual([task.status, task.result?.usage.completion_tokens], ["completed", 3]);
  const { tasks } = await server.batch({ batch: [{ text: "one" }, { text: "two" }] });
  for (const { task_id } of tasks) assert.equal((await server.ended(task_id)).status, "completed");
  await server.loaded();
  assert.deepEqual(
    (await server.gpus()).map(({ status }) => status),
    ["ready", "ready"],
  );
});

test("a worker that is killed takes its task along, which runs again with the next worker", async (t) => {
  const server = await startLocalServer(t, { config: SLOW, devices: "simulated:1" });
  await server.loaded();
  const { task_id } = await server.predict({ text: "long", max_length: 20 });
  server.signalWorker(0, "SIGKILL");
  await server.became(0, "ready", 2);
  const task = await server.ended(task_id);
  assert.equal(task.status, "completed");
  assert.equal(server.workers.count, 2);
  assert.equal(server.workers.alive.length, 1);
});

test("a crash that the failure script asks for ends that worker alone", async (t) => {
  const config =
    "engine: { simulated: { tokens_per_second: 0, failures: [{ kind: crash, when_text_contains: boom }] } }\ntasks: { max_attempts: 1 }";
  const server = await startLocalServer(t, { config, devices: "simulated:2" });
  const crashed = await server.run({ text: "boom" });
  assert.equal(crashed.status, "failed");
  assert.equal((await server.run({ text: "fine" })).status, "completed");
});

test("another life finds the tasks of the one before, with the same key", async (t) => {
  const first = await startLocalServer(t, { config: FAST, devices: "simulated:1" });
  const { task_id } = await first.run({ text: "hello" });
  await first.stop();
  const second = await first.restart();
  assert.equal((await second.task(task_id)).status, "completed");
});

test("an upgrade is told once, and new data know no version before", async (t) => {
  const first = await startLocalServer(t, { devices: "simulated:1" });
  const file = join(first.dataDir, "version.json");
  const told = ({ log }: { log: typeof first.log }) => log.filter(({ msg }) => /first start of this version/.test(msg));
  assert.deepEqual(told(first), []);
  assert.deepEqual(JSON.parse(readFileSync(file, "utf8")), { version: 1, alt_las: VERSION });
  await first.stop();
  rmSync(file);
  const config = "callers: { defaults: { weight: 2 } }\nauth: { users: [{ name: u, role: user }] }";
  const second = await first.restart({ config });
  const [line] = told(second) as unknown as [{ from: string; changes: { keys: string[] }[] }];
  assert.equal(line.from, EARLIER);
  assert.deepEqual(
    line.changes.map(({ keys }) => keys),
    [["callers.defaults.max_queued"]],
  );
  await second.stop();
  const third = await second.restart();
  assert.deepEqual(told(third), []);
  await third.stop();
  writeFileSync(file, "damaged");
  assert.equal(told(await third.restart()).length, 1);
  assert.deepEqual(JSON.parse(readFileSync(file, "utf8")), { version: 1, alt_las: VERSION });
});

test("a running server is asked through its socket what it serves, and why not", async (t) => {
  const running = await startLocalServer(t, { devices: "simulated:1" });
  await running.loaded();
  const config = join(running.folder, "c.yaml");
  writeFileSync(config, "server: { port: 0 }");
  const found = { gpus: [], sources: [], notes: [], failure: null };
  const report = await doctorReport({
    dataDir: running.dataDir,
    why: "",
    notes: [],
    config,
    environment: {},
    urlOf: () => null,
    look: () => Promise.resolve({ facts: {}, problems: [], found, silent: [], pci: [] }),
  });
  assert.deepEqual(report.problems, []);
  assert.match(
    String(report.facts["server"]!["runs"]),
    new RegExp(`^ALT_LAS ${VERSION} on Node .*, process ${process.pid}, for`),
  );
  assert.deepEqual(report.facts["server"]!["gpus"], ["0: Simulated device 0: ready (simulated ready)"]);
  assert.equal(report.facts["a_start"], undefined);
  assert.match(doctorPage(report), /\n {2}ready: yes\n/);
});
