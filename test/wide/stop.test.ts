/** How a server stops: by which signals, what happens to its tasks, and that no process of it stays. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, watch } from "node:fs";
import { connect } from "node:net";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { firstKeyIn } from "../helpers/first-key.ts";
import { untilGone } from "../helpers/processes.ts";
import {
  BIN,
  deadline,
  type LogLine,
  newFolder,
  type Owner,
  runProgram,
  Server,
  type ServerOptions,
} from "../helpers/server.ts";

const CLEAN = { code: 0, signal: null };
const SLOTS = "gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 1 } }";
const FAST = `{ ${SLOTS}, engine: { simulated: { tokens_per_second: 0 } } }`;
const ONE_GPU = ["--devices", "simulated:1"];
/** Milliseconds that are more than the second in which a signal counts as the same one again. */
const ANOTHER_SIGNAL = 1100;

const isStopping = ({ msg }: LogLine) => msg.startsWith("stopping:");

/** A server whose worker is held in the middle of a task, with another task waiting: nothing ends before it is let go. */
async function held(t: Owner, options: ServerOptions = {}) {
  const server = await Server.start(t, { config: FAST, args: ONE_GPU, ...options });
  await server.loaded();
  server.signalWorker(0, "SIGSTOP");
  const running = await server.predict({ text: "runs", max_length: 5 });
  const waiting = await server.predict({ text: "waits", max_length: 5 });
  assert.deepEqual([running.status, waiting.status], ["running", "queued"]);
  const worker = server.workers().get(0)!;
  return { server, running: running.task_id, waiting: waiting.task_id, letGo: () => process.kill(worker, "SIGCONT") };
}

test("SIGHUP has the configuration read again, and stops nothing: not the server, not what runs", async (t) => {
  const { server, running, letGo } = await held(t);
  server.signal("SIGHUP");
  await server.logged(({ msg }) => msg.startsWith("the configuration was read again"));
  letGo();
  assert.equal((await server.ended(running)).status, "completed");
  server.signal("SIGTERM");
  assert.deepEqual(await server.exit, CLEAN);
});

test("a first start that is told to stop shows the key that it has made, and a closed terminal is nothing to it", async (t) => {
  const dataDir = newFolder(t);
  const files = watch(dataDir);
  t.after(() => files.close());
  const args = [BIN, "serve", "--port", "0", "--data-dir", dataDir, ...ONE_GPU];
  const { ALT_LAS_API_KEY: _key, ...env } = process.env;
  const server = spawn(process.execPath, args, { cwd: dataDir, env, stdio: ["ignore", "pipe", "pipe"] });
  t.after(() => server.kill("SIGKILL"));
  let stdout = "";
  server.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  const [line] = await once(server.stderr, "data", { signal: deadline() });
  assert.match(String(line), /is starting/);
  server.kill("SIGHUP");
  // The start goes on for a while after it has made its database.
  for (let name = ""; name !== "alt-las.db";)
    [, name] = (await once(files, "change", { signal: deadline() })) as [string, string];
  server.kill("SIGINT");
  assert.deepEqual(await once(server, "close", { signal: deadline() }), [0, null]);
  assert.match(firstKeyIn(stdout), /^altlas_\S{43}$/);
});

test("SIGTERM takes nothing new, lets running tasks finish and keeps those that wait", async (t) => {
  const { server, running, waiting, letGo } = await held(t);
  server.signal("SIGTERM");
  await server.logged(isStopping);
  for (const [path, body] of [
    ["predict", { text: "x" }],
    ["batch_predict", { batch: [{ text: "x" }] }],
  ] as const) {
    const refused = await server.request("POST", `/api/v1/${path}`, { body });
    assert.deepEqual([refused.status, refused.body.code], [503, "draining"]);
    assert.ok(Number(refused.headers.get("retry-after")) >= 1);
  }
  const ready = await server.request<{ reason: string }>("GET", "/readyz");
  assert.deepEqual([ready.status, ready.body.reason], [503, "The server is stopping."]);
  assert.equal((await server.request("GET", "/livez")).status, 200);
  assert.equal((await server.task(running)).status, "running");
  letGo();
  assert.deepEqual(await server.exit, CLEAN);
  await server.untilGone();
  const ends = server.log.filter(({ msg }) => msg === "task completed").map((line) => line["task"]);
  assert.deepEqual(ends, [running]);

  const next = await server.restart();
  for (const id of [running, waiting]) {
    const { status, attempts } = await next.ended(id);
    assert.deepEqual([status, attempts.map(({ reason }) => reason)], ["completed", ["completed"]]);
  }
});

test("connections on which nothing comes do not keep the server from ending", async (t) => {
  const server = await Server.start(t, { config: FAST, args: ONE_GPU });
  const { hostname, port } = new URL(server.url);
  const silent = connect(Number(port), hostname);
  const unfinished = connect(Number(port), hostname);
  t.after(() => [silent, unfinished].forEach((socket) => socket.destroy()));
  for (const socket of [silent, unfinished]) socket.on("error", () => {});
  await Promise.all([once(silent, "connect"), once(unfinished, "connect")]);
  unfinished.write(`POST /api/v1/predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${server.key}\r\n`);
  unfinished.write("Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{");
  await server.gpus();
  server.signal("SIGTERM");
  assert.deepEqual(await server.exit, CLEAN);
});

test("SIGUSR1, with which some have logs begun anew, opens no debugger and stops nothing", async (t) => {
  const server = await Server.start(t, { config: FAST, args: ONE_GPU });
  await server.loaded();
  server.signal("SIGUSR1");
  assert.equal((await server.run({ text: "goes on", max_length: 2 })).status, "completed");
  assert.ok(!server.stderr.includes("Debugger"));
  server.signal("SIGTERM");
  assert.deepEqual(await server.exit, CLEAN);
});

test("signals at the same time count as one and drain; another, a second later, stops at once and loses nothing", async (t) => {
  const config = `{ ${SLOTS}, engine: { simulated: { tokens_per_second: 0.01 } } }`;
  const server = await Server.start(t, { config, args: ONE_GPU });
  await server.loaded();
  const { task_id } = await server.predict({ text: "would take minutes", max_length: 5 });
  server.workers();
  // Two different ones: of two alike the system may deliver only one.
  server.signal("SIGINT");
  server.signal("SIGTERM");
  await server.logged(isStopping);
  assert.equal((await server.task(task_id)).status, "running");
  // The one place where time is the matter itself.
  await sleep(ANOTHER_SIGNAL);
  assert.ok(!server.log.some(({ msg }) => msg === "stopping at once"));
  server.signal("SIGINT");
  assert.deepEqual(await server.exit, CLEAN);
  await server.untilGone();

  const next = await server.restart({ config: FAST });
  const { status, attempts } = await next.ended(task_id);
  assert.deepEqual([status, attempts.map(({ reason }) => reason)], ["completed", ["server_stop", "completed"]]);
});

test("what still runs after server.drain_timeout goes back into the queue", async (t) => {
  const config = `{ server: { drain_timeout: 0.05 }, engine: { simulated: { tokens_per_second: 0.01 } } }`;
  const server = await Server.start(t, { config, args: ONE_GPU });
  await server.loaded();
  const { task_id } = await server.predict({ text: "x", max_length: 5 });
  assert.deepEqual(await server.stop(), CLEAN);
  const next = await server.restart({ config: FAST });
  assert.deepEqual(
    (await next.ended(task_id)).attempts.map(({ reason }) => reason),
    ["server_stop", "completed"],
  );
});

/** Who gets which signal when a server that `npm start` started is to end. */
const THROUGH_NPM: readonly (readonly [string, NodeJS.Signals, (server: Server) => number])[] = [
  ["SIGTERM to npm", "SIGTERM", (server) => server.process.pid!],
  ["SIGTERM to the whole process group", "SIGTERM", (server) => -server.process.pid!],
  ["SIGTERM to the server alone", "SIGTERM", (server) => server.pid],
  ["SIGINT to the whole process group, as a terminal does", "SIGINT", (server) => -server.process.pid!],
];

for (const [what, signal, target] of THROUGH_NPM) {
  test(`under npm start, ${what} drains and leaves no process behind`, async (t) => {
    const env = { npm_config_update_notifier: "false" };
    const { server, running, letGo } = await held(t, { command: ["npm", "start", "--"], env });
    process.kill(target(server), signal);
    await server.logged(isStopping);
    letGo();
    await server.exit;
    await untilGone(({ group }) => group === server.process.pid, deadline());
    const ends = server.log.filter(({ msg }) => msg === "task completed").map((line) => line["task"]);
    assert.deepEqual(ends, [running]);
  });
}

test("a Node that is too old says so in one sentence", async (t) => {
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => !folder.includes("node_modules"));
  for (const node of folders.map((folder) => join(folder, "node")).filter((path) => existsSync(path))) {
    const version = (await runProgram(node, ["-p", "process.versions.node"])).stdout.trim();
    if (Number.parseInt(version) >= 24) continue;
    const { code, stdout, stderr } = await runProgram(node, [BIN, "serve"]);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, new RegExp(`^ALT_LAS needs Node 24 or later, and this is Node ${version}: .*\\.\n$`));
    return;
  }
  t.skip("there is no Node older than 24 on this machine's PATH");
});
