/** `alt-las tasks`, `task`, `predict`, `cancel`, `drain` and `resume` against a server that runs. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { chownSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo } from "node:net";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import test, { type TestContext } from "node:test";
import { followTask } from "../src/cli/remote/task.ts";
import { predict, type PredictOptions } from "../src/cli/remote/predict.ts";
import { terminalOf } from "../src/cli/remote/terminal.ts";
import type { DoctorReport } from "../src/doctor/section.ts";
import { type AuditAnswer } from "../src/http/schemas/audit.ts";
import { type TasksAnswer, type TaskView } from "../src/http/schemas/tasks.ts";
import { runCommand } from "./helpers/command.ts";
import { temporaryFolder } from "./helpers/http.ts";
import { type LocalServer, startLocalServer } from "./helpers/local-server.ts";
import { type Ran } from "./helpers/server.ts";

/** Fails where a text says so. */
const CONFIG = `
engine:
  kind: simulated
  simulated:
    tokens_per_second: 200
    failures: [{ kind: error, when_text_contains: WRONG }]
`;

/** So long that it does not end by itself while a test runs. */
const LONG = { max_length: 30_000 };

const server = await startLocalServer(test, { config: CONFIG, devices: "simulated:2" });
await server.loaded();

/** A command that asks the server, with its admin's key. */
function ask(...args: readonly string[]): Promise<Ran> {
  return runCommand([...args, "--url", server.url], { env: { ALT_LAS_API_KEY: server.key } });
}

test("a server on the data directory is found wherever it listens, unless a command names another place", async (t) => {
  const env = { ALT_LAS_API_KEY: server.key, ALT_LAS_DATA_DIR: join(server.folder, "data") };
  const found = await runCommand(["ready"], { env });
  assert.deepEqual([found.code, found.stdout], [0, `The server at ${server.url} is ready.\n`]);
  assert.equal((await runCommand(["gpus", "--json"], { env })).code, 0);
  const doctor = JSON.parse((await runCommand(["doctor", "--json"], { env })).stdout) as DoctorReport;
  assert.deepEqual(doctor.facts["server"]!["addresses"], [server.url]);
  const elsewhere = join(temporaryFolder(t), "elsewhere.yaml");
  writeFileSync(elsewhere, "server: { port: 1 }");
  for (const place of [
    ["--url", "http://127.0.0.1:1"],
    ["--config", elsewhere],
  ]) {
    const { code, stderr } = await runCommand(["ready", ...place], { env });
    assert.equal(code, 1);
    assert.match(stderr, /No ALT_LAS server answers at http:\/\/127\.0\.0\.1:1:/);
  }
  const nobody = { ...env, ALT_LAS_DATA_DIR: temporaryFolder(t) };
  assert.match(
    (await runCommand(["ready"], { env: nobody, cwd: folderWith(t, "server: { port: 1 }") })).stderr,
    /:1: /,
  );
  // A certificate is for a name: the configured one stays where the port is the same.
  const { port } = new URL(server.url);
  const named = folderWith(t, `server: { host: localhost, port: ${port} }`);
  assert.equal(
    (await runCommand(["ready"], { env, cwd: named })).stdout,
    `The server at http://localhost:${port} is ready.\n`,
  );
});

test("a server on data in the current folder is found, and no key goes where a folder of somebody else says", async (t) => {
  const folder = folderWith(t, "server: { port: 1 }");
  const data = join(server.folder, "data");
  symlinkSync(data, join(folder, "data"));
  const here = { env: { ALT_LAS_API_KEY: server.key }, cwd: folder };
  assert.equal((await runCommand(["ready"], here)).stdout, `The server at ${server.url} is ready.\n`);
  // Only root can give a folder away.
  if (process.getuid?.() !== 0) return;
  chownSync(data, 12_345, 12_345);
  t.after(() => chownSync(data, 0, 0));
  assert.match((await runCommand(["ready"], here)).stderr, /No ALT_LAS server answers at http:\/\/127\.0\.0\.1:1:/);
});

/** A folder with such a config.yaml. */
function folderWith(t: TestContext, config: string): string {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, "config.yaml"), config);
  return folder;
}

async function idOf(text: string, more: object = {}): Promise<string> {
  return (await server.predict({ text, ...more })).task_id;
}

/** A stream that keeps what was written; with columns it is a terminal. */
class Kept extends PassThrough {
  isTTY = false;
  columns = 0;
  rows = 24;
  written = "";

  constructor(columns: number | null = null) {
    super();
    if (columns !== null) Object.assign(this, { isTTY: true, columns });
    this.on("data", (chunk: Buffer) => (this.written += chunk.toString()));
  }
}

interface Tried {
  readonly code: Promise<number>;
  readonly out: Kept;
  readonly err: Kept;
  readonly interruption: AbortController;
}

/** `predict` as the command line calls it, on a terminal of 60 columns unless told otherwise. */
function predicting(
  text: string,
  { columns = 60, ...more }: Partial<PredictOptions> & { columns?: number | null } = {},
): Tried {
  const [out, err] = [new Kept(columns), new Kept(columns)];
  const interruption = new AbortController();
  const code = predict({
    remote: { url: server.url, key: server.key },
    request: { text, max_length: 5 },
    waits: true,
    json: false,
    signal: interruption.signal,
    out: terminalOf(out, { NO_COLOR: "1" }),
    err: terminalOf(err, { NO_COLOR: "1" }),
    ...more,
  });
  return { code, out, err, interruption };
}

test("predict prints the text and ends with 0, and with 2 when the task failed", async () => {
  const done = await ask("predict", "hello", "--max-length", "3");
  assert.equal(done.code, 0);
  assert.match(done.stdout, /^.+\n$/);
  assert.equal(done.stderr, "", "a program that reads the text gets nothing else");
  const failed = await ask("predict", "WRONG");
  assert.deepEqual([failed.code, failed.stdout], [2, ""]);
  assert.match(failed.stderr, /^The task failed: .* \(model_error\)\n$/);
});

test("predict takes the text from standard input, and its options reach the task", async () => {
  const args = [
    "predict",
    "-",
    "--json",
    "--max-length",
    "4",
    "--temperature",
    "0",
    "--strategy",
    "round_robin",
    "--gpu",
    "1",
  ];
  const { code, stdout } = await runCommand([...args, "--url", server.url, "--priority", "high"], {
    env: { ALT_LAS_API_KEY: server.key },
    input: "some words\n",
  });
  assert.equal(code, 0);
  const task = JSON.parse(stdout) as TaskView;
  assert.deepEqual(
    [task.status, task.gpu_id, task.max_length, task.temperature, task.strategy, task.priority],
    ["completed", 1, 4, 0, "round_robin", "high"],
  );
});

test("a schema that is none, or in no file, is a sentence, and no task is made", async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, "schema.json");
  const { total } = await server.tasks();
  const cases: readonly [at: string, text: string | null, why: RegExp, ...more: string[]][] = [
    [file, null, /--schema .*schema\.json: there is no such file\./],
    [folder, null, /--schema .*: it is a folder\./],
    [file, "{", /--schema .*schema\.json: it is no JSON: ./],
    [file, "[1]", /--schema .*schema\.json: it must be a JSON schema, which is an object; it has a list/],
    [file, "null", /it has null\./],
    [file, "{}", /'--schema <file>' cannot be used with option '--json-object'/, "--json-object"],
  ];
  for (const [at, text, why, ...more] of cases) {
    if (text !== null) writeFileSync(at, text);
    const { code, stderr } = await ask("predict", "hello", "--schema", at, ...more);
    assert.equal(code, 1);
    assert.match(stderr, why);
  }
  assert.equal((await server.tasks()).total, total);
});

test("an answer of another form than was asked for is told beside it, also where a program reads it", async (t) => {
  const file = join(temporaryFolder(t), "schema.json");
  const properties = { name: { const: "Ada" } };
  writeFileSync(file, JSON.stringify({ type: "object", properties, required: ["name"], additionalProperties: false }));
  const cut = await ask("predict", "hello", "--schema", file, "--max-length", "2");
  assert.equal(cut.code, 0);
  assert.throws(() => JSON.parse(cut.stdout) as unknown);
  assert.equal(cut.stderr, "The answer was cut at 2 tokens, and is no whole JSON: --max-length gives it more.\n");
  const whole = await ask("predict", "hello", "--schema", file, "--max-length", "500");
  assert.deepEqual([JSON.parse(whole.stdout), whole.stderr], [{ name: "Ada" }, ""]);
  const mismatch = "The text does not match: it must have the property name.";
  const request = { text: "x", response_format: { type: "json_object" } };
  for (const [text, more, told] of [
    ["{}", { mismatch }, `${mismatch}\n`],
    // Its last token was the one that ended it.
    ["{}", { finish_reason: "length" }, ""],
    [
      "1",
      { finish_reason: "length" },
      "The answer was cut at 1 token, and is no whole JSON: --max-length gives it more.\n",
    ],
  ] as const) {
    const remote = { url: await fakeServer(t, text, more), key: "k" };
    for (const json of [false, true]) {
      const piped = predicting("x", { remote, request, columns: null, json });
      assert.equal(await piped.code, 0);
      assert.equal(piped.err.written, told);
    }
  }
});

/** A schema for `{}`: arguments of any other kind may go on for longer than the text may be. */
const NOTHING = { type: "object", properties: {}, additionalProperties: false };

test("predict offers tools, and prints the calls behind the text", async (t) => {
  const file = join(temporaryFolder(t), "tools.json");
  const tool = { type: "function", function: { name: "weather", parameters: NOTHING } };
  for (const tools of [tool, [tool]]) {
    writeFileSync(file, JSON.stringify(tools));
    const { code, stdout } = await ask("predict", "call weather", "--tools", file, "--max-length", "500");
    assert.equal(code, 0);
    assert.match(stdout, /^weather\(\{.*\}\)$/ms);
  }
  for (const [text, why] of [
    ["1", /--tools .*tools\.json: it must be a list of tools, or one, which is an object; it has 1/],
    ["[1]", /tools\[0\] must be an object with type and function/],
  ] as const) {
    writeFileSync(file, text);
    const { code, stderr } = await ask("predict", "hello", "--tools", file);
    assert.equal(code, 1);
    assert.match(stderr, why);
  }
});

test("predict tells how probable each token was, beside the text", async () => {
  const { code, stdout, stderr } = await ask("predict", "hello", "--logprobs", "2", "--max-length", "3");
  assert.equal(code, 0);
  const lines = stderr.trimEnd().split("\n");
  assert.equal(lines.length, 3);
  const tokens = lines.map((line) => /^("(?:[^"\\]|\\.)*") +\d+\.\d\d %(?: {2}".*" \d+\.\d\d %){2}$/.exec(line)?.[1]);
  assert.equal(
    tokens
      .map((token) => JSON.parse(token!) as string)
      .join("")
      .trim(),
    stdout.trim(),
  );
  const refused = await ask("predict", "hello", "--logprobs", "21");
  assert.deepEqual([refused.code, /logprobs must be/.test(refused.stderr)], [1, true]);
});

test("a strict schema is refused where it cannot be made sure of, and strict is nothing without a schema", async (t) => {
  const file = join(temporaryFolder(t), "schema.json");
  writeFileSync(file, JSON.stringify({ type: "array", uniqueItems: true }));
  const strict = await ask("predict", "hello", "--schema", file, "--strict");
  assert.equal(strict.code, 1);
  assert.match(strict.stderr, /cannot be made sure of/);
  const alone = await ask("predict", "hello", "--strict");
  assert.equal(alone.code, 1);
  assert.match(alone.stderr, /option '--strict' needs option '--schema <file>'/);
});

test("predict without waiting prints the task's id, or with --json what the server answers", async () => {
  const { stdout } = await ask("predict", "hello", "--no-wait");
  assert.equal((await server.ended(stdout.trim())).status, "completed");
  const answered = JSON.parse((await ask("predict", "hello", "--no-wait", "--json")).stdout) as TaskView;
  assert.deepEqual(Object.keys(answered), ["task_id", "gpu_id", "status"]);
});

test("a dry run says what would become of a task, and makes none", async () => {
  const before = (await server.tasks()).total;
  const said = await ask("predict", "hello", "--gpu", "1", "--dry-run");
  assert.deepEqual([said.code, said.stderr], [0, ""]);
  assert.match(said.stdout, /^It would start at once on GPU 1\. .+\n$/);
  assert.match((await ask("predict", "hello", "--dry-run", "--json")).stdout, /"status": "running"/);
  assert.equal((await server.tasks()).total, before);
});

test("a wrong value is refused with the server's sentence and 1, and no task is made", async () => {
  const before = (await server.tasks()).total;
  const wrong = await ask("predict", "hello", "--max-length", "many");
  assert.deepEqual(wrong, {
    code: 1,
    stdout: "",
    stderr: 'max_length must be an integer of at least 1; got "many".\n',
  });
  const none = await ask("predict", "hello", "--gpu", "9");
  assert.equal(none.code, 1);
  assert.match(none.stderr, /9/);
  assert.equal((await server.tasks()).total, before);
});

test("on a terminal the text comes while it is generated, and Ctrl+C cancels the task", async () => {
  const tried = predicting("on and on", { request: { text: "on and on", ...LONG } });
  while (!tried.out.written.includes(" ")) await new Promise((resolve) => tried.out.once("data", resolve));
  tried.interruption.abort();
  assert.equal(await tried.code, 130);
  assert.match(tried.err.written, /^Interrupted: the task ….{8} is canceled\.\n$/);
  const end = tried.err.written.slice(-23, -14).match(/[0-9a-f]{8}/)?.[0] ?? "";
  const { tasks } = await server.tasks("?status=canceled");
  assert.ok(Object.keys(tasks).some((id) => id.endsWith(end)));
});

test("a terminal is told the figures, and what a model wrote cannot command it", async (t) => {
  const tried = predicting("hello");
  assert.equal(await tried.code, 0);
  assert.match(tried.err.written, /5 tokens in .* on GPU \d, finished by length/);
  const evil = "a\u001b[2Jb\rc\u009bd\u202ee\nf\tg";
  const url = await fakeServer(t, evil);
  const shown = predicting("x", { remote: { url, key: "k" } });
  assert.equal(await shown.code, 0);
  assert.equal(shown.out.written, "a\ufffd[2Jbc\ufffdd\ufffde\nf\tg\n");
  const piped = predicting("x", { remote: { url, key: "k" }, columns: null });
  await piped.code;
  assert.equal(piped.out.written, shown.out.written);
  const json = predicting("x", { remote: { url, key: "k" }, json: true });
  await json.code;
  assert.doesNotMatch(json.out.written, /(?!\n)[\p{Cc}\u202e]/u);
  assert.equal((JSON.parse(json.out.written) as TaskView).result?.text, evil, "nothing is lost");
});

/** A server that streams one text. */
async function fakeServer(t: TestContext, text: string, more: object = {}): Promise<string> {
  const usage = { completion_tokens: 1, prompt_tokens: 1 };
  const result = { text, finish_reason: "stop", execution_time: 1, usage, ...more };
  const task = { task_id: "01a207ec-e652-719a-a551-a55b85090581", gpu_id: 0, status: "completed", result };
  const events: [string, object][] = [
    ["placed", { gpu_id: 0, attempt: 1 }],
    ["token", { text }],
    ["completed", task],
  ];
  const fake = createServer((_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end(events.map(([name, data]) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`).join(""));
  }).listen(0, "127.0.0.1");
  t.after(() => fake.close());
  await new Promise((resolve) => fake.once("listening", resolve));
  return `http://127.0.0.1:${(fake.address() as AddressInfo).port}`;
}

test("tasks lists them newest first, by the filters of the API, and as the API has it with --json", async () => {
  const ids = [await idOf("one", { task_type: "listed" }), await idOf("WRONG two", { task_type: "listed" })];
  await Promise.all(ids.map((id) => server.ended(id)));
  const { stdout } = await ask("tasks", "--type", "listed");
  const lines = stdout.trimEnd().split("\n");
  assert.match(lines[0]!, /^TASK +STATUS .*SUBMITTED/);
  assert.ok(lines[1]!.startsWith(`${ids[1]}  failed`) && lines[2]!.startsWith("  "), stdout);
  assert.ok(lines[3]!.startsWith(`${ids[0]}  completed`), stdout);
  const failed = await ask(
    "tasks",
    "--type",
    "listed",
    "--status",
    "failed",
    "--since",
    "1h",
    "--limit",
    "5",
    "--json",
  );
  assert.deepEqual(Object.keys((JSON.parse(failed.stdout) as TasksAnswer).tasks), [ids[1]]);
  assert.equal((await ask("tasks", "--type", "none such")).stdout, "No task matches.\n");
  assert.match((await ask("tasks", "--limit", "1")).stdout, /^1 of \d+ tasks; --limit and --offset show others\.$/m);
  const wrong = await ask("tasks", "--status", "done");
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /^status must be one of "queued", .*; got "done"\.\n$/);
});

test("audit lists who did what, by the filters of the API, and as the API has it with --json", async () => {
  await ask("drain", "1");
  await ask("resume", "1");
  const { stdout } = await ask("audit", "--since", "1h", "--target", "1");
  const lines = stdout.trimEnd().split("\n");
  assert.match(lines[0]!, /^WHEN +USER +KEY +FROM +ACTION +TARGET +OUTCOME/);
  assert.match(lines[1]!, / 127\.0\.0\.1 +gpu\.resume +1 +ok/);
  assert.match(lines[2]!, / gpu\.drain +1 +ok/);
  const { rows } = JSON.parse((await ask("audit", "--action", "gpu.drain", "--json")).stdout) as AuditAnswer;
  assert.deepEqual(
    rows.map(({ action, outcome }) => [action, outcome]),
    [["gpu.drain", "ok"]],
  );
  assert.equal((await ask("audit", "--user", "none such")).stdout, "No row matches.\n");
  assert.match((await ask("audit", "--limit", "1")).stdout, /Older ones follow: --after \S+/);
  assert.match((await ask("audit", "--action", "nothing")).stderr, /^action must be one of /);
});

test("a task is shown with all that is known of it, and found by either end of its id", async () => {
  const id = await idOf("hello", { max_length: 3 });
  const { result } = await server.ended(id);
  const { stdout } = await ask("task", id);
  for (const line of [
    /^Task +\S{36}$/m,
    /^Status +completed$/m,
    /^Tokens +\d+ of the prompt, 3 generated/m,
    /^PLACEMENT/m,
  ])
    assert.match(stdout, line);
  assert.ok(stdout.includes(result!.text));
  for (const part of [
    id.slice(-8),
    `…${id.slice(-8)}`,
    id.slice(0, 30),
    `${id.slice(0, 4)}…${id.slice(-6)}`,
    id.toUpperCase(),
  ])
    assert.equal((JSON.parse((await ask("task", part, "--json")).stdout) as TaskView).task_id, id, part);
  await server.run({ text: "another" });
  const several = await ask("task", id.slice(0, 4));
  assert.match(several.stderr, /^"\w{4}" fits \d+ tasks: …[0-9a-f-]{8,}, .*\. Give more of it\.\n$/);
  assert.match((await ask("task", "ffffffff")).stderr, /^None of your latest tasks .* has "ffffffff" in its id/);
  assert.match((await ask("task", "x; rm")).stderr, /^A task's id is a UUID; .* Got "x; rm"\.\n$/);
  assert.equal((await ask("task", "00000000-0000-4000-8000-000000000000")).code, 1);
});

test("following a task prints its text, then its end; with --json its events", async () => {
  const id = await idOf("hello", { max_length: 3 });
  const { result } = await server.ended(id);
  const followed = await ask("task", id, "--follow");
  assert.deepEqual([followed.code, followed.stdout], [0, `${result!.text}\n`]);
  assert.match(followed.stderr, /^Status +completed$/m);
  const lines = (await ask("task", id, "--follow", "--json")).stdout.trimEnd().split("\n");
  const events = lines.map((line) => JSON.parse(line) as { event: string; id: string });
  assert.deepEqual([...new Set(events.map(({ event }) => event))], ["placed", "token", "completed"]);
  assert.equal((await ask("task", await idOf("WRONG"), "--follow")).code, 2);
});

test("the page of a task, followed or not, says when its answer was cut and is no whole JSON", async () => {
  const schema = { type: "object", properties: { name: { type: "string", minLength: 400 } }, required: ["name"] };
  const response_format = { type: "json_schema", json_schema: { name: "answer", schema } };
  const id = await idOf("hello", { max_length: 2, response_format });
  await server.ended(id);
  const why = /^The answer was cut at 2 tokens, and is no whole JSON: a larger max_length gives it more\.$/m;
  const followed = await ask("task", id, "--follow");
  assert.match(followed.stderr, why);
  assert.doesNotMatch(followed.stderr, /REQUEST/);
  assert.match((await ask("task", id)).stdout, why);
  const free = await idOf("hello", { max_length: 2 });
  assert.doesNotMatch((await ask("task", free, "--follow")).stderr, /cut/);
});

test("whoever stops following a task does not end it", async () => {
  const id = await idOf("on and on", LONG);
  const [out, err] = [new Kept(60), new Kept(60)];
  const interruption = new AbortController();
  const places = { out: terminalOf(out), err: terminalOf(err) };
  const code = followTask({ remote: server, id, json: false, signal: interruption.signal, ...places });
  while (out.written === "") await new Promise((resolve) => out.once("data", resolve));
  interruption.abort();
  assert.equal(await code, 130);
  assert.equal((await server.task(id)).status, "running");
  const canceled = await ask("cancel", id.slice(-8));
  assert.deepEqual(canceled, { code: 0, stdout: `${id} is canceled.\n`, stderr: "" });
  const again = await ask("cancel", id, await idOf("on and on", LONG), "--json");
  assert.equal(again.code, 1, "one of them had ended");
  const answers = again.stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { code?: string; status?: string });
  assert.deepEqual([answers[0]!.code, answers[1]!.status], ["conflict", "canceled"]);
});

test("whoever follows a task follows it over a restart of the server", async (t) => {
  const first = await startLocalServer(t, { config: CONFIG, devices: "simulated:1" });
  const { task_id } = await first.predict({ text: "hello", max_length: 300 });
  let { url } = first;
  const remote = {
    key: first.key,
    get url() {
      return url;
    },
  };
  const [out, err] = [new Kept(60), new Kept(60)];
  const places = { out: terminalOf(out), err: terminalOf(err) };
  const { signal } = new AbortController();
  const code = followTask({ remote, id: task_id, json: false, signal, pause: 10, ...places });
  while (out.written === "") await once(out, "data");
  // A second time hurries: it waits for no task.
  await Promise.all([first.stop(), first.stop()]);
  const second = await first.restart();
  ({ url } = second);
  assert.equal(await code, 0, err.written);
  const { result } = await second.ended(task_id);
  assert.ok(out.written.trimEnd().endsWith(result!.text.trimEnd()), "the text stands there whole");
  assert.match(err.written, /The connection was lost; it is made anew\./);
  assert.equal(err.written.match(/lost/g)!.length, 1);
});

test("a GPU is drained and resumed, and what is wrong with it is the server's sentence", async () => {
  const own = await withOwnServer();
  const command = (...args: readonly string[]) =>
    runCommand([...args, "--url", own.url], { env: { ALT_LAS_API_KEY: own.key } });
  const drained = await command("drain", "1");
  assert.match(drained.stdout, /^GPU 1 \(.*\) is (draining|drained)\. Drained by admin\.\n$/);
  assert.match((await command("gpus")).stdout, /^1 .* drain(ed|ing) /m);
  assert.match((await command("resume", "1", "--json")).stdout, /"status": "(starting|ready)"/);
  const late = await command("drain", "1", "--deadline", "soon");
  assert.deepEqual([late.code, late.stderr], [1, 'deadline_seconds must be a number from 0 to 86400; got "soon".\n']);
  assert.match((await command("drain", "7")).stderr, /^There is no GPU "7"; the GPUs are 0, 1\.\n$/);
  assert.equal((await command("drain", "one")).code, 1);
});

function withOwnServer(): Promise<LocalServer> {
  return startLocalServer(test, { config: CONFIG, devices: "simulated:2" });
}

test("a server that is not there and a key that is wrong are sentences that say what to do", async () => {
  const down = await runCommand(["predict", "x", "--url", "http://127.0.0.1:2"]);
  assert.equal(down.code, 1);
  assert.match(
    down.stderr,
    /^There is no answer from http:\/\/127\.0\.0\.1:2 .*; if no server listens there, start one/,
  );
  const wrong = await runCommand(["tasks", "--url", server.url], { env: { ALT_LAS_API_KEY: "altlas_wrong" } });
  assert.match(wrong.stderr, /The API key is unknown or was revoked\. Set ALT_LAS_API_KEY to yours/);
});
