/** `alt-las lab export`: the history of a server as a trace, which `lab run` reads back. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { traceOf } from "../src/lab/read.ts";
import { SqliteStore } from "../src/store/sqlite/sqlite.ts";
import { runCommand } from "./helpers/command.ts";
import { startLocalServer } from "./helpers/local-server.ts";
import { cancel, complete, newTask, run, testFolder } from "./helpers/store.ts";

const SECRET = "xyzzyplugh";

async function exported(dataDir: string) {
  return runCommand(["lab", "export", "--data-dir", dataDir]);
}

async function requestsIn(t: TestContext, text: string) {
  const file = join(testFolder(t), "trace.csv");
  writeFileSync(file, text);
  const requests = (await Array.fromAsync(traceOf(file)())).flat();
  return { file, requests };
}

/** A data directory with these tasks, and no server. */
async function stored(t: TestContext, tasks: Parameters<SqliteStore["save"]>[0]): Promise<string> {
  const dataDir = testFolder(t);
  const store = new SqliteStore({ path: join(dataDir, "alt-las.db") });
  await store.open();
  await store.save(tasks);
  await store.close();
  return dataDir;
}

test("a trace of one's own history has lengths, times and what began alike, and lab run reads it", async (t) => {
  const alike = `${SECRET} and so on. `.repeat(60);
  const request = { text: alike, maxTokens: 50 };
  const other = { text: `${"a".repeat(512)}${alike}`, maxTokens: 50 };
  const tasks = [
    complete(run(newTask(1, { user: SECRET, ...request, createdClock: 5000, taskType: SECRET, priority: "low" }))),
    complete(run(newTask(2, { user: "bob", ...other, createdClock: 5250 }))),
    newTask(3),
    cancel(newTask(4)),
    complete(run(newTask(5, { user: SECRET, ...request, createdClock: 5100 }))),
  ];
  const { code, stdout, stderr } = await exported(await stored(t, tasks));
  assert.equal(code, 0, stderr);
  assert.match(stderr, /^3 tasks written: .* 2 tasks without an answer were left out\.$/m);
  assert.ok(!stdout.includes(SECRET) && !stdout.includes("bob"), stdout);
  const { file, requests } = await requestsIn(t, stdout);
  assert.deepEqual(
    requests.map(({ at, caller, promptTokens, outputTokens, maxTokens, taskType, priority }) =>
      [at, caller, promptTokens, outputTokens, maxTokens, taskType, priority].join(),
    ),
    [
      "0,caller1,12,34,50,type1,low",
      "0.25,caller2,12,34,50,text_generation,normal",
      // Time does not go back, whatever the clock did.
      "0.25,caller1,12,34,50,text_generation,normal",
    ],
  );
  const [first, second, third] = requests.map(({ prefix }) => prefix);
  assert.ok(first!.length > 1);
  assert.deepEqual(third, first);
  assert.notEqual(second![0], first![0]);
  assert.notDeepEqual(first, tasks[0]!.prefix, "a hash of the beginning alone would tell who guesses it");
  const { stdout: results } = await runCommand(["lab", "run", file, "--strategy", "least_loaded", "--json"]);
  assert.equal((JSON.parse(results) as { results: { completed: number }[] }).results[0]!.completed, 3);
});

test("a running server is asked, and goes on", async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  await server.loaded();
  for (let index = 0; index < 3; index++) await server.run({ text: `${SECRET} ${index}`, max_length: 2 + index });
  const { stdout, stderr } = await exported(server.dataDir);
  const { requests } = await requestsIn(t, stdout);
  assert.deepEqual(
    requests.map(({ outputTokens, maxTokens }) => [outputTokens, maxTokens]),
    [2, 3, 4].map((tokens) => [tokens, tokens]),
    stderr,
  );
  await server.run({ text: "and on", max_length: 1 });
});

test("where there is nothing to export, a sentence says so, and nothing is made", async (t) => {
  const empty = await exported(await stored(t, [newTask(1)]));
  assert.equal(empty.code, 1);
  assert.match(empty.stderr, /^There is no task with an answer in /);
  assert.equal(empty.stdout, "");
  const nothing = await exported(testFolder(t));
  assert.equal(nothing.code, 1);
  assert.match(nothing.stderr, /^There is no ALT_LAS data in /);
});

test("a history that is longer than one part is exported whole", async (t) => {
  const tasks = Array.from({ length: 1203 }, (_, index) => complete(run(newTask(index + 1))));
  const { stdout } = await exported(await stored(t, tasks));
  assert.equal((await requestsIn(t, stdout)).requests.length, 1203);
});
