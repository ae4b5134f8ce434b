/** Clients with files, batches and responses in the background, as they come from their registries, whose server is killed meanwhile. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type BatchView } from "../../src/http/schemas/batches.ts";
import { ClientProgram, haveClients, NO_CLIENTS } from "../helpers/clients.ts";
import { assertRefused, check, type Checks, newKey, type Refusal, TEXTS, usersOf } from "../helpers/findings.ts";
import { Server } from "../helpers/server.ts";
import { assertStory, type Story, taskIdOf } from "../helpers/stories.ts";

const skip = haveClients() ? false : NO_CLIENTS;

const PROGRAMS = [
  { language: "Node", program: "durable.mjs", python: null },
  { language: "Python", program: "durable_packages.py", python: "openai" },
] as const;
/** Lines of the batch that has to get over it, of so many words each. */
const LINES = 400;
const WORDS = 8;

interface Result {
  readonly in: "output" | "errors";
  readonly status?: number;
  readonly said?: unknown;
  readonly code?: string;
}

interface Ran {
  readonly status: string;
  readonly counts: { readonly total: number; readonly completed: number; readonly failed: number };
  /** By `custom_id`, each as often as it is there. */
  readonly results: Readonly<Record<string, readonly Result[]>>;
}

interface Failed {
  /** Of the batch; nothing: it was refused at once. */
  readonly status?: string;
  readonly message: string;
}

interface Found {
  readonly stored?: Refusal & { readonly file: object; readonly same: boolean; readonly deleted: boolean };
  readonly chats?: Ran;
  readonly responses?: Ran;
  readonly embeddings?: Ran;
  readonly listed?: { readonly same: boolean };
  readonly canceled?: Pick<Ran, "status" | "counts"> & { readonly begun: string; readonly done: readonly string[] };
  readonly noLines?: Failed;
  readonly twice?: Failed;
  readonly litellmRan?: Ran;
  readonly litellmListed?: { readonly same: boolean };
  readonly unauthorized?: Refusal;
  readonly unknown?: Refusal;
}

/** What came of what ran while its server was killed. */
interface GotOver extends Story {
  readonly batch: Ran & { readonly id: string };
}

const keys = PROGRAMS.map(newKey);
const shared = skip === false ? await begin() : null;

async function begin(): Promise<{ readonly server: Server; readonly clients: readonly ClientProgram[] }> {
  const engine = { simulated: { tokens_per_second: 100 } };
  const config = JSON.stringify({ auth: usersOf(keys), gpu: { devices: "simulated:2" }, engine });
  const server = await Server.start({ after }, { config, env: { ALT_LAS_API_KEY: newKey() } });
  await server.loaded();
  const model = (await server.gpus())[0]!.model_name!;
  const models = { CHAT_MODEL: model, EMBEDDING_MODEL: model, SLOW_MODEL: model };
  const clients = PROGRAMS.map(({ program, python }, index) => {
    const env = { BASE_URL: `${server.url}/v1`, API_KEY: keys[index]!, ...models };
    return ClientProgram.start({ after }, program, env, python);
  });
  return { server, clients };
}

for (const [index, { language }] of PROGRAMS.entries())
  test(
    `clients of ${language} store files, have batches of them run, and read what came of them`,
    { skip },
    async () => {
      const { server, clients } = shared!;
      const found = await clients[index]!.found<Found>();
      check(language, found, await checksFor(server));
    },
  );

test("what runs in the background gets over a server that is killed, for clients of both", { skip }, async () => {
  const { server, clients } = shared!;
  for (const client of clients) client.tell("begin");
  for (const client of clients) await client.says("under way");
  await server.kill9();
  const next = await server.restart();
  for (const client of clients) client.tell(`${next.url}/v1`);
  for (const [index, client] of clients.entries()) {
    const found = await client.found<GotOver>();
    await client.end();
    await assertGotOver(found, next, keys[index]!);
  }
});

async function assertGotOver({ batch, ...story }: GotOver, server: Server, key: string): Promise<void> {
  const task = await server.ended(taskIdOf(story.id));
  assert.deepEqual(
    task.attempts.map(({ reason }) => reason),
    ["server_restart", "completed"],
  );
  assertStory(story, task, true);
  const { id, status, counts, results } = batch;
  assert.deepEqual([status, counts], ["completed", { total: LINES, completed: LINES, failed: 0 }]);
  assert.deepEqual(Object.keys(results).toSorted(), Array.from({ length: LINES }, (_, n) => `line-${n}`).toSorted());
  for (const [line, found] of Object.entries(results)) {
    assert.equal(found.length, 1, line);
    assert.deepEqual({ ...found[0], said: wordsIn(found[0]!) }, { in: "output", status: 200, said: WORDS }, line);
  }
  const headers = { authorization: `Bearer ${key}` };
  const { body } = await server.request<BatchView>("GET", `/api/v1/batch/${taskIdOf(id)}`, { headers });
  assert.deepEqual([body.size, body.counts.completed, body.status], [LINES, LINES, "completed"]);
}

function wordsIn({ said }: Result): number {
  return String(said).trim().split(" ").length;
}

async function checksFor(server: Server): Promise<Checks<Found>> {
  const [gpu] = await server.gpus();
  const textFor = async (content: string): Promise<string> => {
    const asked = { messages: [{ role: "user", content }], max_length: WORDS, temperature: 0, model: gpu!.model_name };
    return (await server.run(asked)).result!.text;
  };
  const vectors = (await server.run({ input: TEXTS, model: gpu!.model_name })).result!.embeddings!;
  const texts = await Promise.all(["One", "Two, which is more", "Say it"].map(textFor));
  const wrong: Result[] = [{ status: 404, said: "model_not_found", in: "errors" }];
  return {
    stored({ file, same, deleted, ...refusal }) {
      const { bytes, ...shown } = file as { bytes: number };
      assert.deepEqual(shown, { object: "file", filename: "stored.jsonl", purpose: "batch" });
      assert.deepEqual([bytes > 0, same, deleted], [true, true, true]);
      assertRefused(refusal, 404, /file/);
    },
    chats(found) {
      const results = { first: good(texts[0]), second: good(texts[1]), wrong };
      assert.deepEqual(found, { status: "completed", counts: { total: 3, completed: 2, failed: 1 }, results });
    },
    responses: (found) =>
      assert.deepEqual(found, {
        status: "completed",
        counts: { total: 1, completed: 1, failed: 0 },
        results: { one: good(texts[2]) },
      }),
    embeddings: (found) =>
      assert.deepEqual(found, {
        status: "completed",
        counts: { total: 1, completed: 1, failed: 0 },
        results: { all: good(vectors.map(({ length }) => length)) },
      }),
    listed: isSame,
    canceled({ begun, status, counts, done }) {
      assert.match(begun, /^cancell(ing|ed)$/);
      assert.deepEqual(
        [status, counts.total, counts.completed, done.toSorted()],
        ["cancelled", 400, 2, ["line-0", "line-1"]],
      );
    },
    noLines: (found) => assertFailed(found, /2/),
    twice: (found) => assertFailed(found, /one/),
    litellmRan: (found) =>
      assert.deepEqual(found, {
        status: "completed",
        counts: { total: 2, completed: 1, failed: 1 },
        results: { first: good(texts[0]), wrong },
      }),
    litellmListed: isSame,
    unauthorized: (found) => assertRefused(found, 401, /key/),
    unknown: (found) => assertRefused(found, 404, /batch/),
  };
}

function assertFailed({ status = "failed", message }: Failed, words: RegExp): void {
  assert.equal(status, "failed");
  assert.match(message, words);
}

function good(said: unknown): Result[] {
  return [{ status: 200, said, in: "output" }];
}

function isSame({ same }: { readonly same: boolean }): void {
  assert(same);
}
