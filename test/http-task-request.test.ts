/** Whose a task is, and what was asked: who is shown that, and who is not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Request } from "../src/request.ts";
import { AS, aTask, get, ID, refusal, testServer } from "./helpers/http.ts";
import { startLocalServer } from "./helpers/local-server.ts";

interface Shown {
  readonly user: string;
  readonly request?: object;
}

const ASKED: readonly [Request, object][] = [
  [
    { kind: "completion", text: "a \u2028 text", raw: true, sampling: { maxTokens: 5, temperature: 0, stop: ["\n"] } },
    { text: "a \u2028 text", raw: true, max_length: 5, temperature: 0, stop: ["\n"] },
  ],
  [
    {
      kind: "chat",
      messages: [{ role: "user", content: "hello" }],
      sampling: { maxTokens: 7, temperature: 0.5, topK: 3, seed: 9, logitBias: { "12": -100 } },
    },
    {
      messages: [{ role: "user", content: "hello" }],
      max_length: 7,
      temperature: 0.5,
      top_k: 3,
      seed: 9,
      logit_bias: { "12": -100 },
    },
  ],
  [
    { kind: "embedding", inputs: ["one", [1, 2, 3]], sampling: { maxTokens: 0, temperature: 0 } },
    { input: ["one", [1, 2, 3]] },
  ],
];

test("a task shows its user, and with include=text what was asked, in the fields of a submission", async (t) => {
  const { app, tasks } = testServer(t);
  for (const [request, shown] of ASKED) {
    tasks.tasks = [aTask({ request })];
    const without = (await get(app, `/task/${ID}`)).json<Shown>();
    assert.deepEqual([without.user, without.request], ["user", undefined]);
    for (const as of [AS.user, AS.admin]) {
      assert.deepEqual((await get(app, `/task/${ID}?include=text`, as)).json<Shown>().request, shown);
      assert.deepEqual((await get(app, `/task/${ID}?include=text&wait=1`, as)).json<Shown>().request, shown);
    }
  }
});

test("viewers see a task, but not what was asked; strangers see neither, and other values are refused", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aTask()];
  assert.equal((await get(app, `/task/${ID}`, AS.viewer)).json<Shown>().user, "user");
  const refused = refusal(await get(app, `/task/${ID}?include=text`, AS.viewer), 403, "forbidden");
  assert.match(refused, /^The request of a task is for its user and for the role admin; viewer has the role/);
  tasks.tasks = [aTask({ user: "bob" })];
  refusal(await get(app, `/task/${ID}?include=text`, AS.user), 404, "not_found");
  const wrong = refusal(await get(app, `/task/${ID}?include=all`, AS.admin), 400, "invalid_input");
  assert.match(wrong, /^include must be one of "text"; got "all"/);
});

test("a task that was removed while its request was read is not found", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aTask({ request: null })];
  refusal(await get(app, `/task/${ID}?include=text`), 404, "not_found");
});

test("the request of a task is shown whether it waits, runs or has ended, and after a restart", async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  const body = { messages: [{ role: "user", content: "tell me" }], max_length: 3, temperature: 0 };
  const task = await server.run(body);
  const read = async (from: typeof server): Promise<object | undefined> => {
    return (await from.request<Shown>("GET", `/api/v1/task/${task.task_id}?include=text`)).body.request;
  };
  assert.deepEqual(await read(server), body);
  await server.stop();
  assert.deepEqual(await read(await server.restart()), body);
});
