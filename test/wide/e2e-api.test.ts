/** What the API promises, word for word, from a real server with the real model on three devices. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type BatchAnswer } from "../../src/http/schemas/submissions.ts";
import { type TasksAnswer, type TaskSummary, type TaskView } from "../../src/http/schemas/tasks.ts";
import { STRATEGIES } from "../../src/task.ts";
import { runCommand } from "../helpers/command.ts";
import { basic, deadline, lacks, runProgram, Server } from "../helpers/server.ts";

const PASSWORD = "correct horse battery staple";
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

const server = await Server.start(
  { after },
  {
    args: ["--devices", "cpu:3"],
    config: `
      engine: { context: 512 }
      limits: { max_text_bytes: 20000, max_batch_size: 5, max_body_bytes: 60000 }`,
  },
);
await server.loaded();

// The users come while the server runs, as they do in life.
await Promise.all([
  users(["add", "alice", "--role", "user", "--password-stdin"], PASSWORD),
  users(["add", "bob", "--role", "user"]),
  users(["add", "vera", "--role", "viewer"]),
]);
const ALICE = basic("alice", PASSWORD);
const [BOB, VERA] = await Promise.all([newKey("bob"), newKey("vera")]);

async function users(args: readonly string[], input = ""): Promise<void> {
  const { code, stderr } = await runCommand(["users", ...args, "--data-dir", server.dataDir], { input });
  assert.equal(code, 0, stderr);
}

async function newKey(user: string, name = `${user}-key`): Promise<{ authorization: string }> {
  const { stdout } = await runCommand(["keys", "add", "--user", user, "--name", name, "--data-dir", server.dataDir]);
  return { authorization: `Bearer ${stdout.trim().split("\n").at(-1)}` };
}

// --- the document's endpoints ------------------------------------------------------------------------------------

test("the document's predict example is answered with its three fields, and its task ends with a result", async () => {
  const { status, body, headers } = await server.request<TaskSummary>("POST", "/api/v1/predict", {
    body: {
      text: "Sample input text",
      max_length: 128,
      temperature: 0.7,
      gpu_options: { strategy: "least_loaded", specific_gpu_id: null, batch_split: true },
    },
  });
  assert.equal(status, 200);
  assert.match(headers.get("content-type")!, /^application\/json/);
  assert.deepEqual(Object.keys(body), ["task_id", "gpu_id", "status"]);
  assert.match(body.task_id, UUID);
  assert.ok([0, 1, 2].includes(body.gpu_id!));
  assert.equal(body.status, "running");

  const task = await server.ended(body.task_id);
  assert.deepEqual([task.task_id, task.gpu_id, task.status], [body.task_id, body.gpu_id, "completed"]);
  assertResult(task, "Sample input text", 128);
});

/** The result as the document has it, then what the contract adds. */
function assertResult(task: TaskView, prompt: string, maxLength: number): void {
  const { result } = task;
  assert.ok(result !== undefined, JSON.stringify(task));
  const fields = ["text", "execution_time", "timestamp", "finish_reason", "usage"];
  // Greedy answers are drawn from nothing.
  if (task.temperature! > 0) fields.push("seed");
  assert.deepEqual(Object.keys(result), fields);
  assert.ok(typeof result.text === "string" && !result.text.startsWith(prompt), result.text);
  assert.ok(Number.isFinite(result.execution_time) && result.execution_time >= 0);
  assert.match(result.timestamp, ISO_TIME);
  assert.ok(result.usage.prompt_tokens! > 0);
  assert.ok(result.usage.completion_tokens <= maxLength);
  const whole = result.usage.completion_tokens === maxLength;
  assert.ok(result.finish_reason === "stop" || whole, JSON.stringify(result));
  const times = [task.created_at, task.started_at!, result.timestamp, task.finished_at!];
  for (const time of times) assert.match(time, ISO_TIME);
  assert.deepEqual(times, times.toSorted());
  assert.equal(task.attempts.length, 1);
  assert.deepEqual([task.attempts[0]!.gpu_id, task.attempts[0]!.reason], [task.gpu_id, "completed"]);
}

test("text alone is enough, and Once upon a time goes on in words", async () => {
  const { result } = await server.run({ text: "Once upon a time" });
  assert.match(result!.text, /[a-z]+ [a-z]+ [a-z]+/);
  assert.ok(result!.usage.completion_tokens <= 128);
});

test("Prefer: wait holds the answer of predict, which is then the whole task", async () => {
  const answer = await server.request<TaskView>("POST", "/api/v1/predict", {
    body: { text: "The little dog", max_length: 8, temperature: 0 },
    headers: { prefer: "wait=60" },
  });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("preference-applied"), "wait=60");
  assertResult(answer.body, "The little dog", 8);
  assert.deepEqual(answer.body, await server.task(answer.body.task_id));
});

test("a greedy task gives the same text on every GPU", async () => {
  const texts: string[] = [];
  for (const specific_gpu_id of [0, 1, 2]) {
    const task = await server.run({
      text: "The cat sat",
      max_length: 12,
      temperature: 0,
      gpu_options: { specific_gpu_id },
    });
    assert.equal(task.gpu_id, specific_gpu_id);
    assert.equal(task.placement!.strategy, "pinned");
    texts.push(task.result!.text);
  }
  assert.deepEqual(texts, [texts[0], texts[0], texts[0]]);
});

test("generation ends where the context does", async () => {
  const { result } = await server.run({ text: "word ".repeat(80), max_length: 1_000_000, temperature: 1 });
  const { prompt_tokens, completion_tokens } = result!.usage;
  assert.ok(prompt_tokens! + completion_tokens <= 512);
  assert.equal(result!.finish_reason === "length", prompt_tokens! + completion_tokens === 512);
});

test("the document's batch example is answered in the order of its items", async () => {
  const { status, body } = await server.request<BatchAnswer>("POST", "/api/v1/batch_predict", {
    body: {
      batch: [
        { text: "Sample input text 1", max_length: 128, temperature: 0.7 },
        { text: "Sample input text 2", max_length: 256, temperature: 0.5 },
      ],
      gpu_options: { strategy: "round_robin", batch_split: true },
    },
  });
  assert.equal(status, 200);
  assert.deepEqual(Object.keys(body).slice(0, 2), ["status", "tasks"]);
  assert.equal(body.status, "running");
  assert.equal(body.tasks.length, 2);
  for (const task of body.tasks) {
    assert.deepEqual(Object.keys(task), ["task_id", "gpu_id", "status"]);
    assert.equal(task.status, "running");
  }
  assert.notEqual(body.tasks[0]!.gpu_id, body.tasks[1]!.gpu_id);
  assertResult(await server.ended(body.tasks[0]!.task_id), "Sample input text 1", 128);
  assertResult(await server.ended(body.tasks[1]!.task_id), "Sample input text 2", 256);
});

test("tasks are an object from id to task, newest first, filtered and in pages", async () => {
  const { tasks: submitted } = await server.batch({ batch: ["one", "two", "three"].map(greedily) });
  const ids = submitted.map((task) => task.task_id).toReversed();
  for (const id of ids) await server.ended(id);

  const { status, body } = await server.request<TasksAnswer>("GET", "/api/v1/tasks?status=completed&limit=10");
  assert.equal(status, 200);
  assert.equal(Object.keys(body)[0], "tasks");
  assert.deepEqual(Object.keys(body.tasks).slice(0, 3), ids);
  assert.ok(Object.keys(body.tasks).length <= 10 && body.total >= 3);
  for (const [id, task] of Object.entries(body.tasks)) {
    assert.equal(task.task_id, id);
    assert.equal(task.status, "completed");
    assert.deepEqual(Object.keys(task.result!).slice(0, 3), ["text", "execution_time", "timestamp"]);
  }
  assert.deepEqual(Object.keys((await server.tasks("?limit=1&offset=1")).tasks), [ids[1]]);
  assert.deepEqual(await server.tasks("?status=canceled"), { tasks: {}, total: 0, next: null });
});

function greedily(text: string): object {
  return { text, max_length: 2, temperature: 0 };
}

test("GPUs have the document's six fields, with measured values", async () => {
  let gpus = await server.gpus();
  // The first measurement may still be on its way.
  for (const end = deadline(); gpus.some((gpu) => gpu.memory_used === 0) && !end.aborted;) gpus = await server.gpus();
  assert.deepEqual(
    gpus.map(({ id }) => id),
    [0, 1, 2],
  );
  for (const gpu of gpus) {
    const fields = ["id", "name", "utilization", "memory_used", "memory_total", "task_count"];
    assert.deepEqual(Object.keys(gpu).slice(0, 6), fields);
    assert.equal(typeof gpu.name, "string");
    assert.ok(gpu.utilization! >= 0 && gpu.utilization! <= 100);
    assert.ok(Number.isInteger(gpu.memory_used) && Number.isInteger(gpu.memory_total));
    // Node and a model take more than 20 MB of a machine's memory, and less than all of it.
    assert.ok(gpu.memory_used! > 20e6 && gpu.memory_used! < gpu.memory_total!, JSON.stringify(gpu));
    assert.deepEqual([gpu.task_count, gpu.load, gpu.slots, gpu.status], [0, 0, 8, "ready"]);
    assert.deepEqual([gpu.context, gpu.reason, gpu.restarts], [512, null, 0]);
  }
});

test("the real model serves every strategy, and each placement says why", async () => {
  const tasks = await Promise.all(
    STRATEGIES.map((strategy) => server.run({ ...greedily("The sun"), gpu_options: { strategy } })),
  );
  for (const [index, strategy] of STRATEGIES.entries()) {
    const { status, placement, gpu_id } = tasks[index]!;
    assert.equal(status, "completed");
    assert.deepEqual([placement!.strategy, placement!.gpu_id], [strategy, gpu_id]);
    assert.match(placement!.reason, new RegExp(`^GPU ${gpu_id} .*\\.$`));
    assert.equal(placement!.candidates.length, 3);
    assert.equal(placement!.candidates[0]!.gpu_id, gpu_id);
  }
});

test("the command that the start prints works when it is pasted", async (t) => {
  const none = await lacks(runProgram("curl", ["--version"]), "curl");
  if (none) return t.skip(none);
  const { code, stdout } = await runProgram("sh", ["-c", server.curl], { env: { ALT_LAS_API_KEY: server.key } });
  assert.equal(code, 0);
  assert.equal((JSON.parse(stdout) as TaskView).status, "completed");
});

// --- errors ------------------------------------------------------------------------------------------------------

const PREDICT = "POST /api/v1/predict";
const BATCH = "POST /api/v1/batch_predict";

/** Route, body, status, what the sentence names. */
const REFUSED: readonly (readonly [string, unknown, number, RegExp])[] = [
  [PREDICT, {}, 400, /^text is missing; it must be a string that is not empty, or messages or input must be given\.$/],
  [PREDICT, { text: "" }, 400, /^text must be a string that is not empty; got ""\.$/],
  [PREDICT, { text: 7 }, 400, /^text must be a string.*; got 7\.$/],
  [PREDICT, { text: "x".repeat(20_001) }, 400, /^text must be at most 20000 bytes in UTF-8; got 20001 bytes\.$/],
  [PREDICT, { text: "x", max_length: 0 }, 400, /^max_length must be an integer.*; got 0\.$/],
  [PREDICT, { text: "x", max_length: "9" }, 400, /^max_length must be an integer.*; got "9"\.$/],
  [PREDICT, { text: "x", max_length: 1.5 }, 400, /^max_length must be an integer.*; got 1\.5\.$/],
  [PREDICT, { text: "x", temperature: 1.01 }, 400, /^temperature must be a number from 0 to 1; got 1\.01\.$/],
  [PREDICT, { text: "x", colour: "red" }, 400, /^colour is not a known field/],
  [PREDICT, { text: "x", gpu_options: { strategy: "fastest" } }, 400, /^gpu_options\.strategy .*"random".*"fastest"/],
  [
    PREDICT,
    { text: "x", gpu_options: { specific_gpu_id: 3 } },
    400,
    /^gpu_options\.specific_gpu_id .*0, 1, 2.*got 3\.$/,
  ],
  [PREDICT, { text: "x", gpu_options: { specific_gpu_id: -1 } }, 400, /^gpu_options\.specific_gpu_id .*got -1\.$/],
  [PREDICT, { text: "x", gpu_options: { specific_gpu_id: "0" } }, 400, /^gpu_options\.specific_gpu_id .*got "0"\.$/],
  [PREDICT, { text: "x", gpu_options: 1 }, 400, /^gpu_options must be an object; got 1\.$/],
  [PREDICT, '{"text": "x"', 400, /^The body is not JSON/],
  [PREDICT, "[]", 400, /^the body must be an object/],
  [PREDICT, "null", 400, /^The body is empty/],
  [PREDICT, { text: "x".repeat(60_000) }, 413, /^The body must be at most 60000 bytes\.$/],
  [BATCH, {}, 400, /^batch is missing/],
  [BATCH, { batch: [] }, 400, /^batch must be a list of 1 to 5 items; got a list of 0\.$/],
  [
    BATCH,
    { batch: [1, 2, 3, 4, 5, 6].map(() => ({ text: "x" })) },
    400,
    /^batch must be a list of 1 to 5 items; got a list of 6\.$/,
  ],
  [BATCH, { batch: [{ text: "x" }, { text: "x", temperature: 2 }] }, 400, /^batch\[1\]\.temperature .*got 2\.$/],
  [BATCH, { batch: [{ text: "x" }], gpu_options: { specific_gpu_id: 0 } }, 400, /^gpu_options\.specific_gpu_id /],
  [BATCH, { batch: [{ text: "x" }], gpu_options: { batch_split: 1 } }, 400, /^gpu_options\.batch_split .*got 1\.$/],
  ["GET /api/v1/tasks?status=done", undefined, 400, /^status must be one of .*got "done"\.$/],
  ["GET /api/v1/tasks?limit=0", undefined, 400, /^limit must be an integer from 1 to 1000/],
  ["GET /api/v1/tasks?limit=1001", undefined, 400, /^limit must be an integer from 1 to 1000/],
  ["GET /api/v1/tasks?offset=-1", undefined, 400, /^offset must be an integer/],
  [
    "GET /api/v1/task/123e4567-e89b-12d3-a456-426614174000?wait=soon",
    undefined,
    400,
    /^wait must be a number of at least 0/,
  ],
  ["GET /api/v1/task/123e4567-e89b-12d3-a456-426614174000", undefined, 404, /^There is no task 123e4567/],
  ["GET /api/v1/task/7", undefined, 404, /^There is no task "7"; a task_id is a UUID\.$/],
  ["GET /api/v1/nothing", undefined, 404, /^There is no route GET \/api\/v1\/nothing\.$/],
  ["GET /api/v1/predict", undefined, 405, /^\/api\/v1\/predict allows POST, not GET\.$/],
  ["DELETE /api/v1/gpus", undefined, 405, /^\/api\/v1\/gpus allows GET, HEAD, not DELETE\.$/],
];

test("what cannot be accepted is refused with the contract's status and a sentence, and leaves nothing behind", async () => {
  const before = (await server.tasks("?limit=1")).total;
  for (const [route, body, expected, sentence] of REFUSED) {
    const [method = "", path = ""] = route.split(" ");
    const answer = await server.request(method, path, { body });
    const what = `${route} ${JSON.stringify(body)?.slice(0, 100)}`;
    assert.equal(answer.status, expected, `${what}: ${JSON.stringify(answer.body)}`);
    assert.match(answer.body.error, sentence, what);
    assert.equal(typeof answer.body.code, "string");
    assert.ok(answer.headers.get("x-request-id"));
    assert.equal(answer.headers.has("allow"), expected === 405);
  }
  assert.equal((await server.tasks("?limit=1")).total, before);
});

test("a body that is not declared as JSON is a 415", async () => {
  const headers = { "content-type": "text/plain" };
  const { status, body } = await server.request("POST", "/api/v1/predict", { body: '{"text": "x"}', headers });
  assert.equal(status, 415);
  assert.match(body.error, /application\/json/);
});

test("a null for an optional field counts as absent", async () => {
  const task = await server.run({ text: "x", max_length: 3, temperature: null, task_type: null, gpu_options: null });
  assert.deepEqual([task.status, task.strategy, task.task_type], ["completed", "least_loaded", "text_generation"]);
});

test("a prompt without room for one token is refused at once when that is sure, and else fails; both say both numbers", async () => {
  const sure = await server.request("POST", "/api/v1/predict", { body: { text: "long words ".repeat(1800) } });
  assert.equal(sure.status, 400);
  assert.equal(sure.body.code, "prompt_too_long");
  assert.match(sure.body.error, /^text has at least \d+ tokens, .* context of 512 tokens\.$/);

  const task = await server.run({ text: "x y z ".repeat(200) });
  assert.deepEqual([task.status, task.error_code, task.result], ["failed", "prompt_too_long", undefined]);
  assert.match(task.error!, /^The prompt has \d+ tokens, .* context of 512 tokens\.$/);
});

test("the client's own request id comes back, and an insane one is replaced", async () => {
  const own = await server.request("GET", "/api/v1/gpus", { headers: { "x-request-id": "trace-1.2_3" } });
  assert.equal(own.headers.get("x-request-id"), "trace-1.2_3");
  const insane = await server.request("GET", "/api/v1/gpus", { headers: { "x-request-id": "a b" } });
  assert.match(insane.headers.get("x-request-id")!, /^[A-Za-z0-9._-]+$/);
});

// --- who may do what ---------------------------------------------------------------------------------------------

async function assertRefused(method: string, path: string, headers: { authorization: string }): Promise<void> {
  const answer = await server.request(method, path, { headers });
  assert.equal(answer.status, 401, `${headers.authorization} ${path}`);
  assert.match(answer.headers.get("www-authenticate")!, /Basic .*Bearer /);
  assert.match(answer.body.error, /\.$/);
}

test("without credentials, or with wrong ones, there is a 401 that names both schemes", async () => {
  const wrong = [basic("alice", "wrong password"), basic("nobody", PASSWORD), basic("bob", "")];
  for (const authorization of ["", "Bearer altlas_wrong", "Digest x", "Basic !"]) wrong.push({ authorization });
  for (const headers of wrong) await assertRefused("GET", "/api/v1/gpus", headers);
  const others = ["GET /api/v1/tasks", "GET /api/v1/task/7", "POST /api/v1/predict", "POST /api/v1/batch_predict"];
  for (const route of [...others, "GET /openapi.json"]) {
    const [method = "", path = ""] = route.split(" ");
    await assertRefused(method, path, { authorization: "" });
  }
});

test("a user logs in with its password", async () => {
  const task = await server.run({ text: "x", max_length: 1 }, ALICE);
  assert.equal(task.status, "completed");
});

test("a viewer sees everything and may submit nothing", async () => {
  const { task_id } = await server.predict({ text: "x", max_length: 1 }, ALICE);
  assert.equal((await server.ended(task_id, VERA)).status, "completed");
  assert.ok(task_id in (await server.tasks("", VERA)).tasks);
  assert.equal((await server.request("GET", "/api/v1/gpus", { headers: VERA })).status, 200);
  for (const [path, body] of [
    ["/api/v1/predict", { text: "x" }],
    ["/api/v1/batch_predict", { batch: [{ text: "x" }] }],
  ] as const) {
    const { status, body: refusal } = await server.request("POST", path, { body, headers: VERA });
    assert.equal(status, 403);
    assert.match(refusal.error, /viewer/);
  }
});

test("a user's tasks are its own: to another user they do not exist, an admin sees them", async () => {
  const { task_id } = await server.predict({ text: "x", max_length: 1 }, ALICE);
  await server.ended(task_id, ALICE);
  const stranger = await server.request("GET", `/api/v1/task/${task_id}`, { headers: BOB });
  assert.equal(stranger.status, 404);
  assert.deepEqual((await server.tasks("", BOB)).tasks, {});
  assert.ok(task_id in (await server.tasks("", ALICE)).tasks);
  assert.equal((await server.task(task_id)).task_id, task_id);
});

test("a revoked key, and the password of a removed user, are refused by the very next request", async () => {
  await users(["add", "carol", "--role", "user", "--password-stdin"], PASSWORD);
  const key = await newKey("carol", "short-lived");
  const password = basic("carol", PASSWORD);
  for (const headers of [key, password]) assert.equal((await server.tasks("", headers)).total, 0);

  const { code } = await runCommand(["keys", "revoke", "short-lived", "--data-dir", server.dataDir]);
  assert.equal(code, 0);
  assert.equal((await server.request("GET", "/api/v1/tasks", { headers: key })).status, 401);
  assert.equal((await server.request("GET", "/api/v1/tasks", { headers: password })).status, 200);
  await users(["remove", "carol"]);
  assert.equal((await server.request("GET", "/api/v1/tasks", { headers: password })).status, 401);
});

test("health and nothing else needs no credentials", async () => {
  const anonymous = { headers: { authorization: "" } };
  assert.deepEqual((await server.request("GET", "/livez", anonymous)).body, { status: "alive" });
  assert.deepEqual((await server.request("GET", "/readyz", anonymous)).body, { status: "ready" });
  const { body } = await server.request<{ gpus: object }>("GET", "/healthz", anonymous);
  assert.deepEqual(body.gpus, {
    total: 3,
    starting: 0,
    ready: 3,
    hot: 0,
    draining: 0,
    drained: 0,
    unfit: 0,
    faulted: 0,
    lost: 0,
  });
  const openapi = await server.request<{ openapi: string }>("GET", "/openapi.json");
  assert.equal(openapi.body.openapi, "3.1.0");
});

// The last one: what it leaves to be checked keeps the server busy.
test("too many passwords at once are a 429 that says when to come back, and hold up nobody else", async () => {
  const guesses = Array.from({ length: 60 }, async (_, n) => {
    const answer = await server.request("GET", "/api/v1/gpus", { headers: basic("alice", `guess ${n}`) });
    assert.equal(answer.status, 429);
    return answer;
  });
  const [{ body, headers }, gpus] = await Promise.all([Promise.any(guesses), server.gpus()]);
  assert.equal(body.code, "rate_limited");
  assert.ok(Number(headers.get("retry-after")) >= 1);
  assert.equal(gpus.length, 3);
});
