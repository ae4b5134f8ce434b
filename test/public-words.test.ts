/** What answers tell those who may not know how the machine and its network look from inside. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AltLasError, ERRORS, type ErrorCode } from "../src/errors.ts";
import { PUBLIC_NOTE, publicFailure, publicRefusal } from "../src/http/public-words.ts";
import { aCompletedTask, API, aTask, AS, GPU, ID, post, testConfig, testServer } from "./helpers/http.ts";

/** As a server elsewhere may say it: names, hosts and folders in no form that one could know. */
const FOREIGN = "host gpubox-7 (vllm.internal:8000) cannot open /mnt/secret dir/llama.gguf for user alice@corp";
const REFUSED = `vLLM at http://vllm.internal:8000 refused the task: HTTP 500: ${FOREIGN}.`;
const INSIDE = /gpubox|internal|mnt|secret|llama\.gguf|alice|corp|10\.0\.0\.5|\/opt|\/srv/;
const LOST = "The task was cut off 2 times";

const FAILURES: readonly (readonly [code: ErrorCode, whole: string, outside: string])[] = [
  ["model_error", REFUSED, "The server behind GPU 3 could not run the task (HTTP 500)."],
  ["prompt_too_long", `${FOREIGN}.`, "GPU 3 refused the prompt as too long."],
  ["gpu_lost", `getaddrinfo ENOTFOUND vllm.internal: ${FOREIGN}`, "GPU 3 has failed."],
  ["out_of_memory", `/opt/llama-server ended: ${FOREIGN}`, "GPU 3 had no memory left for the task."],
  [
    "gpu_lost",
    `${LOST}, the last time because its GPU failed (tasks.max_attempts is 2): ${REFUSED}`,
    `${LOST}, the last time because its GPU failed (tasks.max_attempts is 2).`,
  ],
  [
    "prompt_too_long",
    "The prompt has 900 tokens, which leaves no room in a context of 512 tokens.",
    "The prompt has 900 tokens, which leaves no room in a context of 512 tokens.",
  ],
  [
    "invalid_input",
    "The model's chat template refuses the messages: System role not supported.",
    "The model's chat template refuses the messages: System role not supported.",
  ],
  [
    "unsupported",
    "The model has no chat template, so that it takes a text, but no messages.",
    "The model has no chat template, so that it takes a text, but no messages.",
  ],
  [
    "model_error",
    "The model computed nonsense 2 times where this task ran, the last time with no other there; it is not tried again.",
    "The model computed nonsense 2 times where this task ran, the last time with no other there; it is not tried again.",
  ],
  ["timeout", "The task was not done 5 s after its submission.", "The task was not done 5 s after its submission."],
];

for (const [code, whole, outside] of FAILURES) {
  test(`what outsiders read of ${code}: ${outside}`, () =>
    assert.equal(publicFailure({ code, sentence: whole }, 3), outside));
}

test("a sentence of ours with foreign words behind it is told without them", () => {
  const told = publicRefusal(new AltLasError("store_unavailable", `tasks could not be written to disk: ${FOREIGN}`));
  assert.equal(told, "tasks could not be written to disk.");
});

test("of every refusal that is not about the request, outsiders read nothing foreign", () => {
  for (const [code, { status }] of Object.entries(ERRORS) as [ErrorCode, { status: number }][]) {
    const isOurs = ["timeout", "poison", "queue_full", "overloaded", "draining", "internal_error", "not_ready"];
    if (status < 500 || isOurs.includes(code)) continue;
    assert.doesNotMatch(publicRefusal(new AltLasError(code, REFUSED)), INSIDE, code);
  }
});

const URL_INSIDE = "http://vllm.internal:8000";
const REMOTE = {
  ...GPU,
  kind: "remote" as const,
  name: "vllm.internal:8000",
  uuids: [`REMOTE-${URL_INSIDE}`],
  pciBusIds: [],
  status: "faulted" as const,
  reason: `${URL_INSIDE} cannot be reached: HTTP 502: ${FOREIGN}.`,
  device: `vLLM at ${URL_INSIDE}`,
  settings: [{ name: "binary", value: "/opt/secret/llama-server", reason: "the configuration says so" }],
  model: "/mnt/secret dir/a.gguf",
  memoryNote: `It is smaller: ${FOREIGN}.`,
  events: (["starting", "unfit", "faulted", "lost", "crowded"] as const).map((event) => ({
    at: 0,
    event,
    reason: `${URL_INSIDE} cannot be reached: ${FOREIGN}.`,
  })),
};

test("whose driver keeps silent, and why, is for admins", async (t) => {
  const { app } = testServer(t, testConfig(), { driverNotes: [FOREIGN] });
  const notes = async (role: keyof typeof AS) =>
    (await app.inject({ url: `${API}/gpus`, headers: AS[role] })).json<{ notes: string[] }>().notes;
  assert.deepEqual(await notes("admin"), [FOREIGN]);
  for (const role of ["user", "viewer"] as const) assert.deepEqual(await notes(role), [PUBLIC_NOTE]);
});

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
  const sentence = REFUSED;
  const attempt = { gpuId: 0, startedAt: 1, endedAt: 2, reason: "gpu_lost" as const, error: sentence };
  const failed = { status: "failed" as const, error: { code: "gpu_lost" as const, sentence }, attempts: [attempt] };
  tasks.tasks = [aTask({ ...failed, startedAt: 1, finishedAt: 2 })];
  for (const url of [`${API}/task/${ID}`, `${API}/tasks`, `${API}/task/${ID}/events`]) {
    for (const headers of [AS.user, AS.viewer]) {
      const { body } = await app.inject({ url, headers });
      assert.doesNotMatch(body, INSIDE, url);
      assert.match(body, /"The server behind GPU 0 has failed \(HTTP 500\)\."/, url);
    }
  }
  assert.match((await app.inject({ url: `${API}/task/${ID}`, headers: AS.admin })).body, /gpubox-7/);
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
    `No GPU can run tasks. GPU 0: /srv/models/x.gguf does not exist. GPU 1: ${FOREIGN}.`,
  );
  const said = async (headers: Record<string, string>) =>
    (await post(app, "/predict", { text: "x" }, headers)).json<{ error: string }>().error;
  assert.equal(await said(AS.user), "No GPU can run tasks.");
  assert.match(await said(AS.admin), /\/srv\/models\/x\.gguf.*gpubox-7/);
});
