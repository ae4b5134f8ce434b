/** The Python client of the API document (its section 6.1, word for word), given nothing but the address and the key. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type GpusAnswer } from "../../src/http/schemas/gpus.ts";
import { type BatchAnswer } from "../../src/http/schemas/submissions.ts";
import { type TaskView } from "../../src/http/schemas/tasks.ts";
import { lacks, newFolder, ROOT, runProgram, Server } from "../helpers/server.ts";

/** Calls the functions that the client's own example leaves out. */
const MORE = `
import json, sys
from document_client import *
batch = batch_predict([{"text": "one", "max_length": 4}, {"text": "two"}], {"strategy": "round_robin", "batch_split": True})
print(json.dumps([get_task_status(sys.argv[1]), batch, get_gpu_status(), get_task_status("nothing")]))
`;

test("the document's own client works", async (t) => {
  const none = await lacks(runProgram("python3", ["-c", "import requests"]), "Python with requests");
  if (none) return t.skip(none);
  const server = await Server.start(t, { args: ["--devices", "cpu:2"] });
  await server.loaded();
  const cwd = newFolder(t);
  const client = readFileSync(join(ROOT, "test", "fixtures", "document_client.py"), "utf8")
    .replace("https://api.example.com", server.url)
    .replace("your_api_key", server.key);
  writeFileSync(join(cwd, "document_client.py"), client);

  const { code, stdout, stderr } = await runProgram("python3", ["document_client.py"], { cwd });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^Task ID: [0-9a-f-]{36}\nGPU ID: [01]\nStatus: running\n\nTask Status: (running|completed)\n/);
  assert.match(
    stdout,
    /\nGPU Status:\nGPU 0 \(.+\): [\d.]+% utilization, \d tasks\nGPU 1 \(.+\): [\d.]+% utilization, \d tasks\n$/,
  );

  const id = /^Task ID: (\S+)$/m.exec(stdout)![1]!;
  await server.ended(id);
  const more = await runProgram("python3", ["-c", MORE, id], { cwd });
  assert.equal(more.code, 0, more.stderr);
  const [task, batch, gpus, missing] = JSON.parse(more.stdout) as [
    TaskView,
    BatchAnswer,
    GpusAnswer,
    { error: string },
  ];
  assert.equal(task.status, "completed");
  assert.deepEqual([typeof task.result!.text, typeof task.result!.execution_time], ["string", "number"]);
  assert.deepEqual([batch.status, batch.tasks.map(({ gpu_id }) => gpu_id)], ["running", [0, 1]]);
  assert.equal(gpus.gpus.length, 2);
  assert.equal(typeof missing.error, "string");
});
