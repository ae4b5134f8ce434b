/** The clients in clients/ while their server is killed and comes back: none of them notices more than that a task starts over. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { killAndRestart, clientOf, PYTHON_ENVIRONMENT, PythonProgram } from "../helpers/own-clients.ts";
import { lacks, ROOT, runProgram, Server } from "../helpers/server.ts";

const withoutPython = await lacks(runProgram("python3", ["-c", "import httpx"]), "python3 with the package httpx");

const ARGS = ["--devices", "simulated:2"];
/** Too many for the first life of the server, which is slow. */
const WORDS = 200;
const ITEMS = 24;

/** What each client has when all is over. */
interface Found {
  /** Put together from the events of the stream. */
  readonly streamed: string;
  readonly streamedTask: string;
  readonly attempts: number;
  /** Of its events. */
  readonly ids: readonly string[];
  readonly waitedTask: string;
  readonly waited: string;
  readonly results: readonly string[];
  readonly progress: readonly number[];
}

interface Running {
  /** Resolves when the stream has told some text, and some of the batch is done. */
  readonly underWay: Promise<unknown>;
  readonly found: Promise<Found>;
}

function runTypeScript(server: Server): Running {
  const client = clientOf(server);
  const begun = Promise.withResolvers<void>();
  const halfway = Promise.withResolvers<void>();
  const stream = async () => {
    let [streamed, streamedTask, attempts] = ["", "", 0];
    const ids: string[] = [];
    for await (const event of client.stream({ text: "Stream", max_length: WORDS, seed: 1 })) {
      ids.push(event.id);
      if (event.type === "placed") [streamed, attempts] = ["", event.attempt];
      else if (event.type === "token") streamed += event.text;
      else streamedTask = event.task.task_id;
      if (streamed.length > 20) begun.resolve();
    }
    return { streamed, streamedTask, attempts, ids };
  };
  const wait = async () => {
    const task = await client.predictAndWait({ text: "Wait", max_length: WORDS });
    return { waitedTask: task.task_id, waited: task.result!.text };
  };
  const batch = async () => {
    const progress: number[] = [];
    const items = Array.from({ length: ITEMS }, (_, index) => ({ text: "Item", max_length: index === 3 ? 1 : WORDS }));
    const results = await client.batch(
      { batch: items },
      {
        onProgress({ done, total }) {
          progress.push(done / total);
          halfway.resolve();
        },
      },
    );
    return { results: results.map(({ task_id }) => task_id), progress };
  };
  return {
    underWay: Promise.all([begun.promise, halfway.promise]),
    found: Promise.all([stream(), wait(), batch()]).then(([a, b, c]) => ({ ...a, ...b, ...c })),
  };
}

function runPython(owner: { after(undo: () => void): void }, server: Server, kind: "sync" | "async"): Running {
  const path = join(ROOT, "test", "clients", "own_restarts.py");
  const env = { ...PYTHON_ENVIRONMENT, ALT_LAS_URL: server.url, ALT_LAS_API_KEY: server.key };
  const program = new PythonProgram(owner, path, [kind, String(WORDS), String(ITEMS)], env);
  const underWay = program.says<string>().then((said) => assert.equal(said, "under way"));
  return { underWay, found: underWay.then(() => program.says<Found>()) };
}

test("streams, waits and batches of all clients get over a server that is killed", async (t) => {
  const server = await Server.start(t, { config: configOf(8), args: ARGS });
  await server.loaded();
  const clients = new Map([["TypeScript", runTypeScript(server)]]);
  if (withoutPython) t.diagnostic(`SKIPPED: ${withoutPython}`);
  else for (const kind of ["sync", "async"] as const) clients.set(`Python, ${kind}`, runPython(t, server, kind));

  await Promise.all(Array.from(clients.values(), ({ underWay }) => underWay));
  const next = await killAndRestart(server, { config: configOf(1000), args: ARGS });
  for (const [name, { found }] of clients) await assertFound(name, await found, next);
  const { total } = await next.tasks();
  assert.equal(total, clients.size * (2 + ITEMS), "a task is there twice, or not at all");
});

function configOf(tokensPerSecond: number): string {
  return `
    engine: { simulated: { tokens_per_second: ${tokensPerSecond} } }
    gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 64 } }`;
}

async function assertFound(name: string, found: Found, server: Server): Promise<void> {
  const streamed = await server.task(found.streamedTask);
  assert.equal(found.streamed, streamed.result!.text, name);
  assert.equal(found.attempts, 2, `${name}: the task started over`);
  assert.equal(new Set(found.ids).size, found.ids.length, `${name}: an event came twice`);
  assert.equal(found.waited, (await server.task(found.waitedTask)).result!.text, name);
  assert.equal(new Set(found.results).size, ITEMS, name);
  assert.deepEqual(
    found.progress,
    Array.from({ length: ITEMS }, (_, index) => (index + 1) / ITEMS),
    name,
  );
}
