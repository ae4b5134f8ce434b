/** Tasks that end with their clients, when it is the server that leaves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type TasksAnswer, type TaskSummary, type TaskView } from "../src/http/schemas/tasks.ts";
import { startLocalServer } from "./helpers/local-server.ts";
import { type ServerHandle } from "./helpers/server-handle.ts";

const CONFIG = `
  gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 1 } }
  engine: { simulated: { tokens_per_second: 50 } }`;

function ask(
  server: ServerHandle,
  path: string,
  body: object,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(server.url + path, {
    method: "POST",
    headers: { authorization: `Bearer ${server.key}`, "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

/** The task of this type, when it is on disk. */
async function taskOf(server: ServerHandle, type: string): Promise<TaskView> {
  for (;;) {
    const { body } = await server.request<TasksAnswer>("GET", `/api/v1/tasks?task_type=${type}`);
    const [task] = Object.values(body.tasks);
    if (task !== undefined) return task;
  }
}

test("after a stop, tasks whose clients left with the server are canceled, and the others go on", async (t) => {
  const first = await startLocalServer(t, { config: CONFIG, devices: "simulated:1" });
  await first.loaded();
  const long = { max_tokens: 20_000 };
  const call = ask(first, "/v1/completions", { prompt: "x", task_type: "call", ...long });
  await taskOf(first, "call");
  const named = ask(
    first,
    "/v1/completions",
    { prompt: "x", task_type: "named", max_tokens: 1 },
    { "idempotency-key": "k" },
  );
  const asked = { text: "x", max_length: 1, cancel_on_disconnect: true };
  const stream = ask(first, "/api/v1/predict", { ...asked, task_type: "stream", stream: true });
  const waiting = ask(first, "/api/v1/predict", { ...asked, task_type: "waiting" }, { prefer: "wait=300" });
  const kept = ask(first, "/api/v1/predict", { ...asked, task_type: "kept" }, { prefer: "wait=1" });
  const plain = ask(first, "/api/v1/predict", { text: "x", max_length: 1, task_type: "plain", stream: true });
  await kept;
  const types = ["call", "stream", "waiting", "named", "kept", "plain"];
  const ids = await Promise.all(types.map(async (type) => (await taskOf(first, type)).task_id));
  const stopped = first.stop();
  void first.stop();
  const answer = await call;
  const { error } = (await answer.json()) as { error: { message: string; code: string } };
  assert.deepEqual([answer.status, error.code], [503, "draining"]);
  assert.equal(error.message, `The server is stopping; task ${ids[0]} is canceled.`);
  assert.deepEqual([answer.headers.get("x-should-retry"), answer.headers.get("retry-after")], [null, "5"]);
  assert.match(await (await named).text(), /goes on when it is started again/);
  await Promise.all([stream, waiting, plain].map(async (answered) => (await answered).text()));
  await stopped;
  assert.deepEqual(
    first.log.filter(({ level }) => level >= 50),
    [],
  );

  const second = await first.restart();
  const ends = await Promise.all(ids.map((id) => second.ended(id)));
  assert.deepEqual(
    ends.map(({ status }) => status),
    ["canceled", "canceled", "canceled", "completed", "completed", "completed"],
  );
  const line = await second.logged(({ msg }) => msg.startsWith("canceled unfinished tasks"));
  assert.equal(line[0]!["tasks"], 3);
  const { body } = await second.request<TaskSummary>("POST", `/api/v1/task/${ids[1]}/retry`);
  assert.equal((await second.ended(body.task_id)).status, "completed");
});
