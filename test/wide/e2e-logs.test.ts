/** What the log says, and what it must not say. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type BatchAnswer } from "../../src/http/schemas/submissions.ts";
import { runCommand } from "../helpers/command.ts";
import { startLocalServer } from "../helpers/local-server.ts";
import { basic, BIN, type LogLine, newFolder, Server } from "../helpers/server.ts";

const about = (id: string) => (line: LogLine) => line["task"] === id;

test("at info a task has one line, which says how it ended", async (t) => {
  const config =
    "engine: { simulated: { tokens_per_second: 0, failures: [{ kind: error, when_text_contains: bad }] } }";
  const server = await Server.start(t, { config, args: ["--devices", "simulated:1"] });
  const good = await server.run({ text: "good", max_length: 5 });
  const bad = await server.run({ text: "bad", max_length: 5 });
  await server.stop();
  const [completed, ...more] = server.log.filter(about(good.task_id));
  assert.deepEqual([completed!.msg, completed!["gpu"], completed!["tokens"]], ["task completed", 0, 5]);
  const [failed, ...others] = server.log.filter(about(bad.task_id));
  assert.deepEqual([failed!.msg, failed!["code"], failed!["reason"]], ["task failed", "model_error", bad.error]);
  assert.deepEqual([...more, ...others], []);
  assert.equal(server.log.at(-1)!.msg, "stopped", "what is said last is written too");
});

test("at debug a task's life has four lines, in order, also when it waited or was very short", async (t) => {
  const config = `
    log: { level: debug }
    gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 1 } }
    engine: { simulated: { tokens_per_second: 0 } }`;
  const server = await startLocalServer(t, { config, devices: "simulated:1" });
  await server.loaded();
  const { tasks } = await server.batch({ batch: Array.from({ length: 20 }, () => ({ text: "x", max_length: 1 })) });
  for (const { task_id } of tasks) await server.ended(task_id);
  await server.stop();
  for (const { task_id } of tasks) {
    // Requests that ask for it have lines of their own.
    const lines = server.log.filter(about(task_id)).flatMap(({ msg }) => (msg === "request" ? [] : [msg]));
    assert.deepEqual(lines, ["task accepted", "task running", "task left its GPU", "task completed"]);
  }
});

test("no prompt, generated text, key or password is in the log, whatever happens, even at trace", async (t) => {
  const secret = "zebra-7391";
  const password = "quagga quagga 5512";
  const key = "altlas_okapi_4477_okapi";
  // The worker of the simulated GPU dies of the prompt.
  const config = `
    log: { level: trace }
    gpu: { devices: ["cpu:1", "simulated:1"] }
    engine: { context: 256, simulated: { failures: [{ kind: crash, when_text_contains: ${secret}, after_tokens: 1 }] } }`;
  const server = await Server.start(t, { config, env: { ALT_LAS_API_KEY: key } });
  await server.loaded();
  const added = await runCommand(
    ["users", "add", "alice", "--role", "viewer", "--password-stdin", "--data-dir", server.dataDir],
    { input: password },
  );
  assert.equal(added.code, 0, added.stderr);

  const round = { gpu_options: { strategy: "round_robin" } };
  const { tasks } = await server.batch({
    batch: [1, 2, 3, 4].map(() => ({ text: `The ${secret} said`, max_length: 40 })),
    ...round,
  });
  const texts: string[] = [];
  for (const { task_id } of tasks) texts.push((await server.ended(task_id)).result!.text);
  assert.ok(server.log.some(({ msg }) => msg === "worker died"));
  await server.run({ text: `${secret} `.repeat(100) });

  const statuses = await Promise.all(
    [
      server.request("GET", "/api/v1/gpus", { headers: basic("alice", password) }),
      server.request("GET", "/api/v1/gpus", { headers: basic("alice", `not ${password}`) }),
      server.request("GET", "/api/v1/gpus", { headers: { authorization: `Bearer ${key}x` } }),
      server.request("POST", "/api/v1/predict", { body: { text: secret }, headers: basic("alice", password) }),
      server.request("POST", "/api/v1/predict", { body: `{"text": "${secret}` }),
      server.request("POST", "/api/v1/predict", { body: { text: "x", [secret]: secret } }),
      server.request("GET", `/api/v1/task/${secret}`),
      server.request("GET", `/api/v1/tasks?status=${secret}`),
      server.request("GET", `/${secret}`),
    ].map(async (answer) => (await answer).status),
  );
  assert.deepEqual(statuses, [200, 401, 401, 403, 400, 400, 404, 400, 404]);
  await server.stop();

  const written = server.stdout + server.stderr;
  const encoded = basic("alice", password).authorization.slice("Basic ".length);
  for (const hidden of [secret, password, key, encoded]) assert.ok(!written.includes(hidden), hidden);
  const recognizable = texts.map((text) => text.trim().slice(0, 30)).filter((text) => text.length > 10);
  assert.ok(recognizable.length > 0, texts.join());
  for (const text of recognizable) assert.ok(!server.stderr.includes(text), text);
  assert.ok(
    server.stderr
      .trim()
      .split("\n")
      .every((line) => line.startsWith("{")),
    "every line of the log is JSON",
  );
});

const noFullDevice = existsSync("/dev/full") ? false : "this system has no /dev/full";

test("a log on a full disk stops nothing", { skip: noFullDevice }, async (t) => {
  const config = `
    log: { level: trace }
    engine: { simulated: { failures: [{ kind: crash, when_text_contains: fatal, after_tokens: 1 }] } }`;
  const command = ["sh", "-c", 'exec "$0" "$@" 2> /dev/full', process.execPath, BIN, "serve"];
  const server = await Server.start(t, { config, command, args: ["--devices", "simulated:1"] });
  assert.equal((await server.run({ text: "fatal", max_length: 5 })).error_code, "poison");
  assert.equal((await server.run({ text: "x", max_length: 5 })).status, "completed");
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

test("a log that nobody reads holds nothing up", async (t) => {
  const pipe = join(newFolder(t), "log");
  const command = ["sh", "-c", `mkfifo ${pipe} && exec "$0" "$@" 2<> ${pipe}`, process.execPath, BIN, "serve"];
  const config = "engine: { simulated: { tokens_per_second: 0 } }";
  const server = await Server.start(t, { config, command, args: ["--devices", "simulated:1"] });
  // A line each: more than a pipe holds.
  const batch = Array.from({ length: 1000 }, () => ({ text: "x", max_length: 1 }));
  const { body } = await server.request<BatchAnswer>("POST", "/api/v1/batch_predict", { body: { batch } });
  assert.equal((await server.ended(body.tasks.at(-1)!.task_id)).status, "completed");
  assert.equal((await server.run({ text: "x", max_length: 5 })).status, "completed");
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});
