import assert from "node:assert/strict";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { lacks, runProgram, Server, type Ran } from "../helpers/server.ts";

const TEXT = String.raw`(["']).*\1`;
const ENDED = new RegExp(String.raw`^[0-9a-f-]{36} completed on GPU \d+: ${TEXT}$`);

const withoutPython = await lacks(
  runProgram("python3", ["-c", "import requests"]),
  "python3 with the package requests",
);

function path(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

/** What both clients print: a task, a batch of three, and two GPUs. */
function assertShown({ code, stdout, stderr }: Ran): void {
  assert.equal(code, 0, stderr);
  const lines = stdout.trimEnd().split("\n");
  assert.equal(lines.length, 7, stdout);
  for (const line of [lines[0], ...lines.slice(2, 5)]) assert.match(line!, ENDED);
  assert.equal(lines[1], "The batch is running.");
  assert.match(lines[5]!, /^GPU 0 \(.+\): ready, 0 of 8 slots taken$/);
  assert.match(lines[6]!, /^GPU 1 \(.+\): ready, 0 of 8 slots taken$/);
}

const CLIENTS = [
  { name: "client.py", program: "python3", skip: withoutPython },
  { name: "client.ts", program: process.execPath, skip: false },
];

for (const { name, program, skip } of CLIENTS) {
  test(`examples/${name} predicts, sends a batch, follows its tasks and lists the GPUs`, { skip }, async (t) => {
    const server = await Server.start(t, { args: ["--devices", "cpu:2"] });
    await server.loaded();
    const env = { ALT_LAS_URL: server.url, ALT_LAS_API_KEY: server.key };
    assertShown(await runProgram(program, [path(`../../examples/${name}`)], { env }));
  });

  test(`examples/${name} shows the server's own sentence when it is refused`, { skip }, async (t) => {
    const server = await Server.start(t, { args: ["--devices", "simulated:1"] });
    const env = { ALT_LAS_URL: server.url, ALT_LAS_API_KEY: "altlas_wrong" };
    const { code, stderr } = await runProgram(program, [path(`../../examples/${name}`)], { env });
    assert.equal(code, 1);
    assert.match(stderr, /401: The API key is unknown or was revoked\./);
  });
}
