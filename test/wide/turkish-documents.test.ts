/** The commands of the Turkish documents, as they stand there; those of README.tr.md are README's. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type TaskSummary } from "../../src/http/schemas/tasks.ts";
import { blocksOf } from "../helpers/documents.ts";
import { startLocalServer } from "../helpers/local-server.ts";
import { BIN, lacks, newFolder, runProgram, Server } from "../helpers/server.ts";
import { succeed } from "../helpers/stranger.ts";

const withoutRequests = await lacks(
  runProgram("python3", ["-c", "import requests"]),
  "python3 with the package requests",
);

const TASK = "01a22330-4088-769d-9ec1-fce78527e2e1";
const BATCH = "f74472af-5d25-42ec-ab65-cc9619a4a455";
/** Of getting-started.md, the block that another block of README has too. */
const OF_README = "npm ci\nnpm start\n";

test("the commands of docs/tr/api.md get the answers that it shows", async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:2" });
  await server.loaded();
  const { task_id } = await server.run({ text: "Once", max_length: 5 });
  const { batch_id } = await server.batch({ batch: ["Once", "Twice"], max_length: 5 });
  const endless = await server.predict({ text: "Once", max_length: 100_000 });
  const blocks = blocksOf("docs/tr/api.md").filter(({ language }) => language === "sh");
  assert.equal(blocks.length, 11);
  const said: string[] = [];
  for (const { text } of blocks) {
    const command = text
      .replaceAll("http://127.0.0.1:8642", server.url)
      .replaceAll(TASK, text.includes("/cancel") ? endless.task_id : task_id)
      .replaceAll(BATCH, batch_id!);
    const answer = await succeed(command, newFolder(t), { ALT_LAS_API_KEY: server.key });
    assert.doesNotMatch(answer, /"error":/, command);
    said.push(answer);
  }
  const [predicted, waited, task, events, canceled, batch, results, tasks, gpus, models, dryRun] = said;
  assert.match(predicted!, /^\{"task_id":"[0-9a-f-]{36}","gpu_id":[01],"status":"running"\}$/);
  for (const answer of [waited, task]) assert.match(answer!, /"status":"completed".*"result":\{"text":".+"/);
  assert.match(events!, /^event: placed\n.*event: token\n.*event: completed\n/s);
  assert.match(canceled!, /"status":"canceled"/);
  assert.equal((JSON.parse(batch!) as { tasks: TaskSummary[] }).tasks.length, 2);
  assert.match(results!, /"progress":.*\{"index":[01],/s);
  assert.match(tasks!, /^\{"tasks":\{.*"total":\d+,"next":/);
  assert.match(gpus!, /"utilization":.*"memory_used":.*"memory_total":.*"task_count":/);
  assert.match(models!, /^\{"models":\[\{/);
  assert.match(dryRun!, /"placement":\{/);
});

test("the Python program of docs/tr/api.md gets its task's text", { skip: withoutRequests }, async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  await server.loaded();
  const file = join(newFolder(t), "program.py");
  writeFileSync(file, blocksOf("docs/tr/api.md").find(({ language }) => language === "python")!.text);
  const env = { ALT_LAS_URL: server.url, ALT_LAS_API_KEY: server.key };
  const { code, stdout, stderr } = await runProgram("python3", [file], { env });
  assert.equal(code, 0, stderr);
  const [task] = Object.values((await server.tasks()).tasks);
  assert.equal(stdout, `completed ${task!.result!.text}\n`);
});

/** A command of a clone, for any folder. */
function here(command: string): string {
  return command.replaceAll("npx alt-las", `"${process.execPath}" "${BIN}"`);
}

test("the commands of docs/tr/getting-started.md do what it says", async (t) => {
  const run = blocksOf("docs/tr/getting-started.md").filter(({ isNotRun }) => !isNotRun);
  const [first, ask, config, start, users] = run.map(({ text }) => text);
  assert.equal(run.length, 5);
  assert.equal(first, OF_README);
  const folder = newFolder(t);
  mkdirSync(join(folder, "data"));
  writeFileSync(join(folder, "config.yaml"), config!);
  const [validate, serve] = start!.trim().split("\n");
  assert.match(await succeed(here(validate!), folder), /config\.yaml/);
  const args = serve!.replace("npm start -- ", "").split(" ");
  const server = await Server.start(t, { config: config!, args }, folder);
  await server.loaded();
  const answer = await succeed(
    ask!.replaceAll("http://127.0.0.1:8642", server.url).replace("altlas_XnvB…", server.key),
    folder,
  );
  assert.match(answer, /"status":"completed"/);
  for (const [task_type, gpu] of [
    ["story", 0],
    ["summary", 1],
  ] as const)
    assert.equal((await server.run({ text: "x", max_length: 3, task_type })).gpu_id, gpu);
  const said = await succeed(here(users!), folder, { ALT_LAS_DATA_DIR: server.dataDir });
  const key = /^(altlas_\S{43})$/m.exec(said)![1]!;
  const { status } = await server.request("GET", "/api/v1/me", { headers: { authorization: `Bearer ${key}` } });
  assert.equal(status, 200);
});
