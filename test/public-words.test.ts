/** What answers tell those who may not know how the machine and its network look from inside. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AltLasError } from "../src/errors.ts";
import { publicWords } from "../src/http/public-words.ts";
import { aCompletedTask, API, aTask, AS, GPU, ID, post, testServer } from "./helpers/http.ts";

const SENTENCES: readonly (readonly [inside: string, outside: string])[] = [
  ["http://10.0.0.5:8000 cannot be reached.", "(address) cannot be reached."],
  ["The server at https://vllm.internal/v1, which is slow.", "The server at (address), which is slow."],
  ["getaddrinfo ENOTFOUND vllm.internal", "getaddrinfo ENOTFOUND (address)"],
  ["connect ECONNREFUSED 10.0.0.5:8000", "connect ECONNREFUSED (address)"],
  ["connect ENOENT /run/user/1000/llama.sock", "connect ENOENT (address)"],
  [
    "10.1.2.3:8000, [fd00::1]:8000 and localhost:8080 answered 500.",
    "(address), (address) and (address) answered 500.",
  ],
  ["The model file /srv/models/a/c.gguf does not exist.", "The model file c.gguf does not exist."],
  ['The file "/srv/models/llama.gguf" is damaged.', 'The file "llama.gguf" is damaged.'],
  ["models/private/llama.gguf cannot be read.", "llama.gguf cannot be read."],
  ["C:\\Users\\ada\\llama.gguf and ~/llama.gguf and ../x/llama.gguf", "llama.gguf and llama.gguf and llama.gguf"],
  [
    "GPU 0 has the lowest load, 0.25; 7/8 slots and 12 tokens/s.",
    "GPU 0 has the lowest load, 0.25; 7/8 slots and 12 tokens/s.",
  ],
  [
    "GET /api/v1/gpus says why (driver 535.183.01, CUDA 12.2).",
    "GET /api/v1/gpus says why (driver 535.183.01, CUDA 12.2).",
  ],
  ["The file is missing (EACCES).", "The file is missing (EACCES)."],
];

for (const [inside, outside] of SENTENCES) {
  test(`a sentence for those outside: ${inside}`, () => assert.equal(publicWords(inside), outside));
}

const URL_INSIDE = "http://vllm.internal:8000";
const REMOTE = {
  ...GPU,
  kind: "remote" as const,
  name: "vllm.internal:8000",
  uuids: [`REMOTE-${URL_INSIDE}`],
  pciBusIds: [],
  status: "faulted" as const,
  reason: `${URL_INSIDE} cannot be reached: getaddrinfo ENOTFOUND vllm.internal.`,
  device: `vLLM at ${URL_INSIDE}`,
  settings: [{ name: "binary", value: "/opt/secret/llama-server", reason: "the configuration says so" }],
  events: [{ at: 0, event: "faulted" as const, reason: `${URL_INSIDE} cannot be reached.` }],
};
const INSIDE = /vllm\.internal|\/opt|\/srv|10\.0\.0\.5/;

test("only an admin sees addresses and paths of GPUs", async (t) => {
  const { app, state } = testServer(t);
  state.gpus = [
    { ...REMOTE, id: 0 },
    { ...REMOTE, id: 1, name: "left" },
  ];
  const asked = async (role: keyof typeof AS) => {
    const list = await app.inject({ url: `${API}/gpus`, headers: AS[role] });
    const one = await app.inject({ url: `${API}/gpus/0`, headers: AS[role] });
    return { list: list.json<{ gpus: { name: string; uuid: string }[] }>().gpus, bodies: list.body + one.body };
  };
  for (const role of ["user", "viewer"] as const) {
    const { list, bodies } = await asked(role);
    assert.doesNotMatch(bodies, INSIDE, role);
    assert.deepEqual(
      list.map(({ name, uuid }) => [name, uuid]),
      [
        ["server of GPU 0", "REMOTE-0"],
        ["left", "REMOTE-1"],
      ],
    );
  }
  const admin = await asked("admin");
  assert.equal(admin.list[0]!.uuid, `REMOTE-${URL_INSIDE}`);
  assert.match(admin.bodies, /\/opt\/secret\/llama-server/);
});

test("only an admin sees addresses and paths in what became of a task", async (t) => {
  const { app, tasks } = testServer(t);
  const sentence = "http://10.0.0.5:8000 answered 500: cannot open /srv/models/x.gguf.";
  const attempt = { gpuId: 0, startedAt: 1, endedAt: 2, reason: "gpu_lost" as const, error: sentence };
  const failed = { status: "failed" as const, error: { code: "gpu_lost" as const, sentence }, attempts: [attempt] };
  tasks.tasks = [aTask({ ...failed, startedAt: 1, finishedAt: 2 })];
  for (const url of [`${API}/task/${ID}`, `${API}/tasks`, `${API}/task/${ID}/events`]) {
    for (const headers of [AS.user, AS.viewer]) {
      const { body } = await app.inject({ url, headers });
      assert.doesNotMatch(body, INSIDE, url);
      assert.match(body, /\(address\) answered 500: cannot open x\.gguf\./, url);
    }
  }
  assert.match((await app.inject({ url: `${API}/task/${ID}`, headers: AS.admin })).body, /http:\/\/10\.0\.0\.5:8000/);
});

test("what a model wrote is left as it is", async (t) => {
  const { app, tasks } = testServer(t);
  const task = aCompletedTask();
  const text = "See http://10.0.0.5:8000 and /srv/models/x.gguf.";
  tasks.tasks = [{ ...task, result: { ...task.result!, text } }];
  const { body } = await app.inject({ url: `${API}/task/${ID}`, headers: AS.user });
  assert.equal((JSON.parse(body) as { result: { text: string } }).result.text, text);
});

test("refusals of the server's own making name no address and no path but to an admin", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.failure = new AltLasError(
    "no_usable_gpu",
    "GPU 0: /srv/models/x.gguf does not exist. GPU 1: http://10.0.0.5:8000 is off.",
  );
  const said = async (headers: Record<string, string>) =>
    (await post(app, "/predict", { text: "x" }, headers)).json<{ error: string }>().error;
  assert.equal(await said(AS.user), "GPU 0: x.gguf does not exist. GPU 1: (address) is off.");
  assert.match(await said(AS.admin), /\/srv\/models\/x\.gguf.*http:\/\/10\.0\.0\.5:8000/);
});
