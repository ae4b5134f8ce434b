/** `alt-las forget`: nothing of a user is in any file afterwards, and nothing of others is missing. */
import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { forgottenWords, forgetUser } from "../src/forget/forget.ts";
import { SqliteStore } from "../src/store/sqlite/sqlite.ts";
import { runCommand } from "./helpers/command.ts";
import { filesWith } from "./helpers/files-with.ts";
import { type LocalServer, startLocalServer } from "./helpers/local-server.ts";
import { complete, newTask, run, storedSeqs, testFolder } from "./helpers/store.ts";

const WORD = "xyzzyplugh";
const OTHERS = "frotzblorb";
const CONFIG = `
  server: { drain_timeout: 0 }
  gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 1 } }
  engine: { simulated: { tokens_per_second: 500 } }`;

function asked(word: string, length = 4): object {
  return { text: `Say ${word}`, max_length: length };
}

interface Key {
  readonly key: string;
}

async function keyOf(server: LocalServer, user: string): Promise<Record<string, string>> {
  await server.request("POST", "/api/v1/users", { body: { name: user, role: "user" } });
  const { body } = await server.request<Key>("POST", "/api/v1/keys", { body: { name: `of-${user}`, user } });
  return { authorization: `Bearer ${body.key}` };
}

/** A server on which two users have tasks, batches of files, and tasks that go on. */
async function usedServer(t: Parameters<typeof startLocalServer>[0]) {
  const server = await startLocalServer(t, { config: CONFIG, devices: "simulated:1" });
  await server.loaded();
  const users = { bob: await keyOf(server, "bob"), ada: await keyOf(server, "ada") };
  for (const [word, headers] of [
    [WORD, users.bob],
    [OTHERS, users.ada],
  ] as const) {
    await server.run(asked(word), { ...headers, "idempotency-key": `key-${word}` });
    const line = JSON.stringify({
      custom_id: word,
      method: "POST",
      url: "/v1/completions",
      body: { prompt: word, max_tokens: 2 },
    });
    const form = new FormData();
    form.append("purpose", "batch");
    form.append("file", new Blob([`${line}\n`]), `${word}.jsonl`);
    const file = (await (await fetch(`${server.url}/v1/files`, { method: "POST", headers, body: form })).json()) as {
      id: string;
    };
    const batch = { input_file_id: file.id, endpoint: "/v1/completions", completion_window: "24h" };
    await server.request("POST", "/v1/batches", { body: batch, headers });
  }
  await server.predict(asked(WORD, 20_000), users.bob);
  await server.predict(asked(WORD), users.bob);
  return { server, users };
}

test("by the running server: what goes on ends, all of a user goes, and sums stay", async (t) => {
  const { server, users } = await usedServer(t);
  const { code, stdout } = await runCommand(["forget", "--user", "bob", "--data-dir", server.dataDir]);
  assert.equal(code, 0, stdout);
  assert.match(
    stdout,
    // Lines before it say how far it is, when it takes long.
    /^bob: 2 that had not ended were canceled; removed: \d+ tasks, 1 uploaded file, 1 remembered answer, with batches and webhooks; \d+ sums? of usage made nameless\.$/m,
  );
  assert.match(stdout, /rows in the audit log and backups made before stay/);
  assert.deepEqual(filesWith(server.folder, WORD), []);
  assert.notDeepEqual(filesWith(server.folder, OTHERS), []);
  assert.equal((await server.tasks("", users.bob)).total, 0);
  assert.ok((await server.tasks("", users.ada)).total >= 1);
  const usage = JSON.stringify((await server.request("GET", "/api/v1/usage?by=user")).body);
  assert.ok(usage.includes("(forgotten)") && !usage.includes("bob"), usage);
  const again = await server.request<Record<string, unknown>>("POST", "/api/v1/users/bob/forget");
  assert.deepEqual(again.body, { name: "bob", canceled: 0, tasks: 0, batches: 0, files: 0, answers: 0, usage_rows: 0 });
  const { body: audit } = await server.request("GET", "/api/v1/audit?action=data.forget");
  assert.ok(JSON.stringify(audit).includes('"bob"'));
});

test("the name of a removed user is free once what it had is forgotten", async (t) => {
  const server = await startLocalServer(t, { config: CONFIG, devices: "simulated:1" });
  const add = () => server.request("POST", "/api/v1/users", { body: { name: "bob", role: "user" } });
  const ways: readonly (() => Promise<unknown>)[] = [
    () => runCommand(["forget", "--user", "bob", "--data-dir", server.dataDir]),
    () => server.request("POST", "/api/v1/users/bob/forget"),
  ];
  assert.equal((await add()).status, 201);
  for (const forget of ways) {
    await server.request("DELETE", "/api/v1/users/bob");
    const refused = await add();
    assert.equal(refused.status, 409);
    assert.match(refused.body.error, /remove what is stored first, with "\S.* forget --user bob";/);
    await forget();
    assert.equal((await add()).status, 201);
  }
});

test("without a server, also what had not ended, and in copies of the database beside it", async (t) => {
  const { server } = await usedServer(t);
  await server.stop();
  const database = join(server.dataDir, "alt-las.db");
  copyFileSync(database, `${database}.before-0.1.0`);
  assert.notDeepEqual(filesWith(server.folder, WORD), []);
  const { code, stdout, stderr } = await runCommand(["forget", "--user", "bob", "--data-dir", server.dataDir]);
  assert.equal(code, 0, stderr);
  assert.deepEqual(filesWith(server.folder, WORD), []);
  assert.ok(filesWith(server.folder, OTHERS).includes(`${database}.before-0.1.0`), stdout);
  const next = await server.restart();
  assert.ok((await next.tasks("?user=ada")).total >= 1);
  assert.equal((await next.tasks("?user=bob")).total, 0);
});

test("one that was cut off goes on where it was", async (t) => {
  const path = join(testFolder(t), "tasks.db");
  const store = new SqliteStore({ path });
  t.after(() => store.close());
  await store.open();
  const tasks = Array.from({ length: 1200 }, (_, index) =>
    complete(run(newTask(index + 1, { user: "bob", text: WORD.repeat(50) }))),
  );
  await store.save([...tasks, complete(run(newTask(5000, { text: OTHERS })))]);
  const first = await store.forget({ user: "bob", from: 0, isAlone: true });
  assert.ok(first.tasks > 0 && first.tasks < 1200 && first.next !== null, JSON.stringify(first));
  await store.close();
  const again = new SqliteStore({ path });
  t.after(() => again.close());
  await again.open();
  const { tasks: rest } = await forgetUser("bob", { store: again, removeFile: async () => true });
  assert.equal(first.tasks + rest, 1200);
  assert.deepEqual(filesWith(dirname(path), WORD), []);
  assert.deepEqual(await storedSeqs(again), [5000]);
});

test("a file that the batch of another needs stays, is told, and keeps nothing else; a name may be written in any form", async (t) => {
  const name = "jos\u00e9";
  const store = new SqliteStore({ path: join(testFolder(t), "tasks.db") });
  t.after(() => store.close());
  await store.open();
  const facts = { user: name, team: null, purpose: "batch", filename: "a", sha256: "", lifetime: null, bytes: 1 };
  const files = Array.from({ length: 101 }, (_, index) => {
    return { ...facts, id: `id-${index}`, sha256: String(index), createdAt: index, keptFrom: index };
  });
  const records = files.map((file) => ({ kind: "file", file }) as const);
  await store.save([complete(run(newTask(1, { user: name })))], records);
  // As many as are read at once.
  const held = new Set(files.slice(0, 100).map(({ id }) => id));
  const parts = { store, removeFile: async ({ id }: { readonly id: string }) => !held.has(id) };
  const done = await forgetUser(name.normalize("NFD"), parts);
  assert.deepEqual([done.user, done.tasks, done.files, done.filesHeld], [name, 1, 1, 100]);
  assert.match(forgottenWords(done), /1 uploaded file, .*; 100 uploaded files stay, needed by batches of others$/);
});
