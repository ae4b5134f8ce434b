/** The programs of examples/ that use a client of ours, or one that is installed for tests. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { parse } from "yaml";
import { npm } from "../../src/common/npm.ts";
import { NO_BROWSER, openBrowser, openPage } from "../helpers/browser.ts";
import { environmentOf, haveClients, NO_CLIENTS, pythonIn } from "../helpers/clients.ts";
import { type LocalServer, startLocalServer } from "../helpers/local-server.ts";
import { PYTHON_ENVIRONMENT } from "../helpers/own-clients.ts";
import { lacks, newFolder, type Owner, ROOT, type Ran, runProgram } from "../helpers/server.ts";
import { succeed } from "../helpers/stranger.ts";

const withoutHttpx = await lacks(runProgram("python3", ["-c", "import httpx"]), "python3 with the package httpx");
const withoutCompose = await lacks(runProgram("docker-compose", ["version"]), "Debian's docker-compose");
const withoutPrometheus = await lacks(runProgram("promtool", ["--version"]), "Debian's package prometheus");
const withoutClients = haveClients() ? false : NO_CLIENTS;

/** A folder with the examples, where @alt-las/client is installed as its package. */
const EXAMPLES = join(newFolder({ after }), "examples");
cpSync(join(ROOT, "examples"), EXAMPLES, { recursive: true });
installClient(EXAMPLES);

function installClient(folder: string): void {
  const said = npm(["pack", "--json", "--pack-destination", folder], join(ROOT, "clients", "typescript"));
  const [{ filename }] = JSON.parse(said) as [{ filename: string }];
  writeFileSync(join(folder, "package.json"), "{}");
  npm(["install", "--offline", "--no-audit", "--no-fund", `./${filename}`], folder);
}

const server = await startLocalServer(
  { after },
  { config: "webhooks: { allow_private: true }", devices: "simulated:2" },
);
await server.loaded();

function environment(of: LocalServer): Record<string, string> {
  return { ...PYTHON_ENVIRONMENT, ALT_LAS_URL: of.url, ALT_LAS_API_KEY: of.key };
}

function run(program: string, ...args: readonly string[]): Promise<Ran> {
  return runProgram(program, args, { cwd: EXAMPLES, env: { ...environment(server), PAUSE_SECONDS: "0.05" } });
}

/** A program that goes on until the test is over. @returns its lines as they come */
function start(owner: Owner, path: string, env: Readonly<Record<string, string>>): AsyncIterator<string> {
  const program: ChildProcess = spawn(process.execPath, [join(EXAMPLES, path)], { env: { ...process.env, ...env } });
  owner.after(() => void program.kill("SIGKILL"));
  let said = "";
  program.stderr!.setEncoding("utf8").on("data", (text: string) => (said += text));
  program.once("close", () => said === "" || assert.fail(said));
  return createInterface({ input: program.stdout! })[Symbol.asyncIterator]();
}

async function line(lines: AsyncIterator<string>): Promise<string> {
  const { value, done } = await lines.next();
  assert.ok(done !== true, "the program has ended");
  return value;
}

test("csv_prompts.py answers each line, and a second time computes nothing", { skip: withoutHttpx }, async () => {
  writeFileSync(join(EXAMPLES, "in.csv"), 'name,prompt\na,"One, two"\nb,Three\nc,Four\n');
  const first = await run("python3", "csv_prompts.py", "in.csv", "out.csv");
  assert.equal(first.code, 0, first.stderr);
  assert.match(first.stdout, /\r\[#{40}\] 3 of 3\nout\.csv has 3 answers\.\n$/);
  const written = readFileSync(join(EXAMPLES, "out.csv"), "utf8");
  assert.match(written, /^name,prompt,answer,error\r\na,"One, two",.+,\r\nb,Three,.+,\r\nc,Four,.+,\r\n$/);
  const { total } = await server.tasks();
  assert.equal((await run("python3", "csv_prompts.py", "in.csv", "out.csv")).code, 0);
  assert.deepEqual([readFileSync(join(EXAMPLES, "out.csv"), "utf8"), (await server.tasks()).total], [written, total]);
});

test("webhook-receiver.mjs hears of its task, and refuses a webhook of somebody else", async (t) => {
  const lines = start(t, "webhook-receiver.mjs", { ...environment(server), PORT: "0" });
  const url = (await line(lines)).replace("Listening on ", "");
  assert.match(await line(lines), /^task\.completed [0-9a-f-]{36}: ".+"$/);
  const headers = { "webhook-id": "msg_1", "webhook-timestamp": String(Math.floor(Date.now() / 1000)) };
  const forged = { ...headers, "webhook-signature": `v1,${Buffer.alloc(32).toString("base64")}` };
  const { status } = await fetch(url, { method: "POST", headers: forged, body: '{"type":"task.completed","data":{}}' });
  assert.equal(status, 400);
  const refused = "Refused: No signature of the webhook is made with this secret.";
  assert.equal(await line(lines), refused);
  const cut = connect(Number(new URL(url).port), "127.0.0.1");
  cut.end("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{");
  assert.match(await line(lines), /^Broken off: /);
  await fetch(url, { method: "POST", headers: forged, body: "{}" });
  assert.equal(await line(lines), refused);
});

test("langchain_chat.py has a chain answer several inputs, and a stream", { skip: withoutClients }, async () => {
  const { code, stdout, stderr } = await run(pythonIn(environmentOf("openai")), "langchain_chat.py");
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^France: '.+'\nJapan: '.+'\nPeru: '.+'\nTurkey: .+\n$/);
});

test("nightly_batch.py has a file answered, and goes on with a batch of before", { skip: withoutClients }, async () => {
  const model = (await server.gpus())[0]!.model_name;
  const body = { model, messages: [{ role: "user", content: "Hello" }], max_tokens: 4 };
  const requests = ["a", "b"].map((custom_id) =>
    JSON.stringify({ custom_id, method: "POST", url: "/v1/chat/completions", body }),
  );
  writeFileSync(join(EXAMPLES, "requests.jsonl"), requests.join("\n"));
  const python = pythonIn(environmentOf("openai"));
  const { code, stdout, stderr } = await run(python, "nightly_batch.py", "requests.jsonl", "answers.jsonl");
  assert.equal(code, 0, stderr);
  const id = /^(batch_\w+) is completed: 2 of 2 answered\.\n$/.exec(stdout)![1]!;
  const answers = readFileSync(join(EXAMPLES, "answers.jsonl"), "utf8");
  assert.deepEqual(
    answers
      .trimEnd()
      .split("\n")
      .map((one) => (JSON.parse(one) as { custom_id: string }).custom_id)
      .toSorted(),
    ["a", "b"],
  );
  assert.ok(!existsSync(join(EXAMPLES, "answers.jsonl.batch")));

  // Killed while it waited, and before it heard that the batch was made.
  const { input_file_id: file } = (await server.request<{ input_file_id: string }>("GET", `/v1/batches/${id}`)).body;
  for (const [note, target] of [
    [id, "again.jsonl"],
    [file, "once-more.jsonl"],
  ] as const) {
    writeFileSync(join(EXAMPLES, `${target}.batch`), note);
    const again = await run(python, "nightly_batch.py", "not-there.jsonl", target);
    assert.equal(again.stdout, stdout, again.stderr);
    assert.equal(readFileSync(join(EXAMPLES, target), "utf8"), answers);
  }
});

test("two-gpus has each type on its GPU, by its configuration", async (t) => {
  const config = readFileSync(join(EXAMPLES, "two-gpus", "config.yaml"), "utf8");
  const own = await startLocalServer(t, { config, devices: "simulated:2" });
  await own.loaded();
  const path = join(EXAMPLES, "two-gpus", "two-gpus.mjs");
  const { code, stdout, stderr } = await runProgram(process.execPath, [path], { env: environment(own) });
  assert.equal(code, 0, stderr);
  const gpus = stdout
    .trimEnd()
    .split("\n")
    .map((one) => /^(\w+) ran on GPU (\d): .+/.exec(one)!.slice(1, 3).join(" "));
  assert.deepEqual(gpus.slice(0, 4), ["story 0", "summary 1", "story 0", "summary 1"]);
  assert.match(gpus[4]!, /^poem [01]$/);
});

test("the page of browser/ shows an answer, and has no key", { skip: NO_BROWSER ?? false }, async (t) => {
  const free = createServer().listen(0, "localhost");
  await once(free, "listening");
  const { port } = free.address() as AddressInfo;
  await new Promise((closed) => free.close(closed));
  const config = readFileSync(join(EXAMPLES, "browser", "config.yaml"), "utf8").replace("3000", String(port));
  const own = await startLocalServer(t, { config, devices: "simulated:1" });
  await own.loaded();
  const lines = start(t, "browser/server.mjs", { ...environment(own), PORT: String(port) });
  const url = (await line(lines)).replace("Open ", "");
  const page = await openPage(await openBrowser(t));
  const sent: string[] = [];
  page.on("request", (request) => sent.push(`${request.url()} ${JSON.stringify(request.headers())}`));
  await page.goto(url);
  await page.getByLabel("Your question:").fill("What is a page?");
  await page.getByRole("button").click();
  await page.locator("output[data-end=completed]").waitFor();
  const [task] = Object.values((await own.tasks()).tasks);
  assert.equal(await page.locator("output").textContent(), task!.result!.text);
  assert.ok(sent.some((one) => one.includes("?ticket=")));
  assert.ok(!sent.some((one) => one.includes(own.key)));
});

test("load-test.mjs says how long its tasks took", async () => {
  const { code, stdout, stderr } = await run(process.execPath, "load-test.mjs", "12", "4");
  assert.equal(code, 0, stdout + stderr);
  const [rate, tokens, first, end, more] = stdout.split("\n");
  assert.match(rate!, /^12 tasks in [\d.]+ s, 4 at once: [\d.]+ a second$/);
  assert.match(tokens!, /^[1-9]\d* tokens a second$/);
  assert.match(first!, /^until the first token \(median, 95 %, longest\): \d+ ms, \d+ ms, \d+ ms$/);
  assert.match(end!, /^until the end: \d+ ms, \d+ ms, \d+ ms$/);
  assert.equal(more, "");
});

test("Compose takes the files of open-webui and grafana", { skip: withoutCompose }, async () => {
  const webUi = await succeed("ALT_LAS_API_KEY=k docker-compose -f compose.yaml config", join(EXAMPLES, "open-webui"));
  const { services } = parse(webUi) as { services: { "open-webui": { environment: Record<string, string> } } };
  assert.equal(services["open-webui"].environment["OPENAI_API_BASE_URL"], "http://host.docker.internal:8642/v1");
  const grafana = await succeed("docker-compose -f compose.yaml config", join(EXAMPLES, "grafana"));
  // Its versions write volumes in two ways.
  for (const path of ["deploy/grafana", "deploy/prometheus/alerts.yml", "examples/grafana/provisioning"])
    assert.ok(grafana.includes(`/${path}`), path);
});

test("promtool takes the configuration of grafana", { skip: withoutPrometheus }, async (t) => {
  const folder = newFolder(t);
  copyFileSync(join(EXAMPLES, "grafana", "prometheus.yml"), join(folder, "prometheus.yml"));
  copyFileSync(join(ROOT, "deploy", "prometheus", "alerts.yml"), join(folder, "alerts.yml"));
  writeFileSync(join(folder, "alt-las.key"), "k");
  await succeed("promtool check config prometheus.yml", folder);
});
