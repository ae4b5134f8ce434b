/** How long prompts and answers are on disk: `store.texts`, `callers.users`, `"store": false`. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { TaskView } from "../src/http/schemas/tasks.ts";
import { filesWith } from "./helpers/files-with.ts";
import { startLocalServer } from "./helpers/local-server.ts";
import type { Failure } from "./helpers/server-handle.ts";

const CONFIG = `
  auth: { enabled: false }
  engine: { simulated: { tokens_per_second: 2000 } }`;

const server = await startLocalServer({ after }, { config: CONFIG, devices: "simulated:1" });
await server.loaded();
let words = 0;

/** A word that no other text has. */
function newWord(): string {
  return `xyzzy${++words}plugh${"q".repeat(3)}`;
}

/** The answer is the word, because of its form. */
function asked(word: string, fields: object = {}): object {
  return { text: `Say ${word}`, max_length: 64, response_format: formOf(word), ...fields };
}

function formOf(word: string): object {
  return { type: "json_schema", json_schema: { name: "word", schema: { const: word } } };
}

/** Resolves when no file has the word any more, which is when the log of the database is emptied next. */
async function goneFrom(folder: string, word: string): Promise<void> {
  while (filesWith(folder, word).length > 0) await server.request("GET", "/api/v1/health");
}

test("store: false: prompt and answer are in no file, the answer is there once, and then it is gone", async () => {
  const word = newWord();
  const { task_id: id } = await server.predict(asked(word, { store: false }));
  const first = await server.ended(id);
  assert.ok(first.result?.text.includes(word), JSON.stringify(first));
  assert.deepEqual([first.texts, first.text_gone], ["never", undefined]);
  assert.deepEqual(filesWith(server.folder, word), []);
  const second = await server.task(id);
  assert.deepEqual([second.status, second.result, second.texts], ["completed", undefined, "never"]);
  assert.match(second.text_gone ?? "", /is stored nowhere: it was in memory only, until it was read/);
  assert.deepEqual(second.usage, first.usage);
});

test("a text that is gone is a 410 for who asks for the request, or for another run of it", async () => {
  const word = newWord();
  const { task_id: id } = await server.run(asked(word, { store: false }));
  const request = await server.request<Failure>("GET", `/api/v1/task/${id}?include=text`);
  const retry = await server.request<Failure>("POST", `/api/v1/task/${id}/retry`);
  assert.deepEqual([request.status, request.body.code], [410, "text_gone"]);
  assert.deepEqual([retry.status, retry.body.code], [410, "text_gone"]);
  assert.match(retry.body.error, /Submit it again as a new task\.$/);
});

test("an answer that nobody has read whole stays: lists and heads do not count", async () => {
  const { task_id: id } = await server.predict(asked(newWord(), { store: false }));
  while ((await server.tasks(`?status=completed`)).tasks[id] === undefined);
  const listed = (await server.tasks()).tasks[id]!;
  assert.equal(listed.result, undefined);
  await fetch(`${server.url}/api/v1/task/${id}`, { method: "HEAD" });
  assert.ok((await server.task(id)).result !== undefined);
  assert.equal((await server.task(id)).result, undefined);
});

test("of a batch each item decides, or all of it does; its results are read when they went out whole", async () => {
  const [unstored, stored] = [newWord(), newWord()];
  const { batch_id: id } = await server.batch({
    batch: [asked(unstored), { ...asked(stored), store: true }],
    store: false,
  });
  const results = async (): Promise<TaskView[]> => {
    const answer = await fetch(`${server.url}/api/v1/batch/${id}/results?follow=true`);
    return (await answer.text())
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as TaskView);
  };
  const first = await results();
  assert.deepEqual(
    first.map(({ result }) => result !== undefined),
    [true, true],
  );
  assert.deepEqual(filesWith(server.folder, unstored), []);
  assert.notDeepEqual(filesWith(server.folder, stored), []);
  assert.deepEqual(
    new Set((await results()).map(({ texts, result }) => [texts, result !== undefined].join())),
    new Set(["never,false", ",true"]),
  );
});

for (const [path, body] of [
  [
    "/v1/chat/completions",
    (word: string) => ({ messages: [{ role: "user", content: word }], response_format: formOf(word) }),
  ],
  ["/v1/completions", (word: string) => ({ prompt: word, response_format: formOf(word) })],
  ["/v1/responses", (word: string) => ({ input: word, metadata: { about: word }, max_output_tokens: 16 })],
] as const) {
  for (const stream of [false, true]) {
    test(`${path} with store: false${stream ? ", as a stream," : ""} answers, and leaves nothing on disk`, async () => {
      const word = newWord();
      const answer = await fetch(server.url + path, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ ...body(word), stream, store: false }),
      });
      const text = await answer.text();
      assert.equal(answer.status, 200, text);
      assert.ok(stream || text.includes(word), text);
      assert.equal(answer.headers.get("x-ignored-fields"), null);
      assert.deepEqual(filesWith(server.folder, word), []);
      const task = await server.task(answer.headers.get("x-task-id")!);
      assert.deepEqual([task.status, task.texts, task.result], ["completed", "never", undefined]);
    });
  }
}

test("until_read: on disk until it was read, then in no file; a failure by restart is none", async (t) => {
  const word = newWord();
  const other = await startLocalServer(t, {
    config: `${CONFIG}\n  store: { texts: until_read }`,
    devices: "simulated:1",
  });
  await other.loaded();
  const { task_id: id } = await other.predict(asked(word));
  while ((await other.tasks("?status=completed")).tasks[id] === undefined);
  assert.notDeepEqual(filesWith(other.folder, word), []);
  const next = await other.stop().then(() => other.restart());
  assert.ok((await next.task(id)).result?.text.includes(word));
  const second = await next.task(id);
  assert.deepEqual([second.texts, second.result], ["removed", undefined]);
  assert.match(second.text_gone ?? "", /is removed: it has been read, or was not read in time/);
  await goneFrom(next.folder, word);
  const retry = await next.request<Failure>("POST", `/api/v1/task/${id}/retry`);
  assert.deepEqual([retry.status, retry.body.code], [410, "text_gone"]);
});

test("nobody reads it: the text goes after unread_seconds, and the task stays", async (t) => {
  const word = newWord();
  const other = await startLocalServer(t, {
    config: `${CONFIG}\n  store: { texts: until_read, unread_seconds: 1 }`,
    devices: "simulated:1",
  });
  await other.loaded();
  const { task_id: id } = await other.predict(asked(word));
  while ((await other.tasks("?status=completed")).tasks[id] === undefined);
  while ((await other.tasks()).tasks[id]?.texts !== "removed");
  assert.equal((await other.task(id)).result, undefined);
  await goneFrom(other.folder, word);
});

test("a task whose text is in memory only fails at a restart, and says why", async (t) => {
  const word = newWord();
  const other = await startLocalServer(t, {
    config: `
  auth: { enabled: false }
  store: { texts: never }
  gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 1 } }
  server: { drain_timeout: 0 }
  engine: { simulated: { tokens_per_second: 1 } }`,
    devices: "simulated:1",
  });
  await other.loaded();
  const running = await other.predict({ text: word, max_length: 5000, store: true });
  const waiting = await other.predict(asked(word));
  await other.stop();
  assert.deepEqual(filesWith(other.folder, word), []);
  const next = await other.restart();
  for (const { task_id } of [running, waiting]) {
    const task = await next.ended(task_id);
    assert.deepEqual([task.status, task.error_code], ["failed", "text_gone"]);
    assert.match(
      task.error ?? "",
      /was in memory only, .* the server stopped or died before the task had ended\. Submit it again\.$/,
    );
  }
});
