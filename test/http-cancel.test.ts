/** Ending tasks early, submitting them again, and removing them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AltLasError } from "../src/errors.ts";
import {
  aCompletedTask,
  API,
  AS,
  aTask,
  BATCH_ID,
  get,
  ID,
  OTHER_ID,
  post,
  postNothing,
  refusal,
  remove,
  testConfig,
  testServer,
  UNKNOWN_ID,
} from "./helpers/http.ts";

const ENDED = new AltLasError("conflict", `The task ${ID} has ended already.`, { details: { status: "completed" } });

test("canceling answers with the task as it is then", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aTask({ status: "running" })];
  const done = aCompletedTask();
  const partial = { ...done.result!, text: "Once up", finishReason: "canceled" as const };
  tasks.onCancel = () => (tasks.tasks = [{ ...done, status: "canceled", result: partial }]);
  const response = await post(app, `/task/${ID.toUpperCase()}/cancel`, {});
  assert.equal(response.statusCode, 200);
  const { status, result } = response.json<{ status: string; result: Record<string, unknown> }>();
  assert.deepEqual([status, result["text"], result["finish_reason"]], ["canceled", "Once up", "canceled"]);
  assert.deepEqual(tasks.canceled, [ID]);
});

test("a task that has ended cannot be canceled, and the refusal says how it ended", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aCompletedTask()];
  tasks.onCancel = () => {
    throw ENDED;
  };
  const response = await post(app, `/task/${ID}/cancel`, {});
  assert.equal(refusal(response, 409, "conflict", { status: "completed" }), ENDED.message);
});

test("nobody changes what is not theirs, and a viewer nothing at all", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aTask(), aTask({ id: OTHER_ID, user: "somebody" })];
  const actions = [
    ["Canceling a task", (id: string, as: typeof AS.user) => post(app, `/task/${id}/cancel`, {}, as)],
    ["Submitting a task", (id: string, as: typeof AS.user) => post(app, `/task/${id}/retry`, {}, as)],
    ["Removing a task", (id: string, as: typeof AS.user) => remove(app, `/task/${id}`, as)],
  ] as const;
  for (const [doing, act] of actions) {
    const forbidden = refusal(await act(ID, AS.viewer), 403, "forbidden");
    assert.equal(forbidden, `${doing} needs the role user or admin; viewer has the role viewer.`);
    const hidden = refusal(await act(OTHER_ID, AS.user), 404, "not_found");
    assert.equal(hidden, `There is no task ${OTHER_ID}, or it belongs to somebody else.`);
    refusal(await act(UNKNOWN_ID, AS.user), 404, "not_found");
    refusal(await act("nonsense", AS.user), 404, "not_found");
    refusal(await act(ID, { authorization: "" }), 401, "unauthorized");
  }
  assert.deepEqual([tasks.canceled, tasks.retried, tasks.removed], [[], [], []]);
  for (const [, act] of actions) assert.equal((await act(OTHER_ID, AS.admin)).statusCode, 200);
  assert.deepEqual([tasks.canceled, tasks.retried, tasks.removed], [[OTHER_ID], [OTHER_ID], [OTHER_ID]]);
});

test("where nothing has to be said the body may be left out, but not be something else", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aTask()];
  for (const path of [`/task/${ID}/cancel`, `/task/${ID}/retry`]) {
    assert.equal((await postNothing(app, path)).statusCode, 200);
    assert.equal((await post(app, path, "")).statusCode, 200);
    assert.equal((await app.inject({ method: "POST", url: API + path, headers: AS.user })).statusCode, 200);
    assert.match(refusal(await post(app, path, { force: true }), 400, "invalid_input"), /^force is not a known field/);
    refusal(await post(app, path, "x", { ...AS.user, "content-type": "text/plain" }), 415, "unsupported_media_type");
  }
});

test("a retry is a new submission of the same", async (t) => {
  const { app, tasks, state } = testServer(t, testConfig("server: { drain_timeout: 9 }"));
  tasks.tasks = [aCompletedTask()];
  tasks.submission = { ...tasks.submission, tasks: [{ id: OTHER_ID, gpuId: null, status: "queued" }] };
  const response = await post(app, `/task/${ID}/retry`, {});
  assert.deepEqual(response.json(), { task_id: OTHER_ID, gpu_id: null, status: "queued" });
  assert.deepEqual(tasks.retried, [ID]);
  state.draining = true;
  const refused = await post(app, `/task/${ID}/retry`, {});
  refusal(refused, 503, "draining");
  assert.equal(refused.headers["retry-after"], "9");
  assert.deepEqual(tasks.counted, ["user"], "a submission that is refused before is not counted");
});

test("a task that was made by a retry says from which", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [
    aTask({ retryOf: OTHER_ID, priority: "high", timeoutSeconds: 1.5, webhook: { url: "https://a.b", events: [] } }),
  ];
  const task = (await get(app, `/task/${ID}`)).json<Record<string, unknown>>();
  assert.equal(task["retry_of"], OTHER_ID);
  assert.equal(task["priority"], "high");
  assert.equal(task["timeout_seconds"], 1.5);
  assert.equal(task["deadline_at"], "2025-08-10T12:34:57.781Z");
  assert.equal(task["webhook_url"], "https://a.b");
});

test("attempts say when a worker died with nothing else on it", async (t) => {
  const { app, tasks } = testServer(t);
  const crash = { gpuId: 0, startedAt: 0, endedAt: 1, reason: "worker_crash" as const };
  tasks.tasks = [aTask({ attempts: [{ ...crash, alone: true }, { ...crash, alone: false }, crash] })];
  const { attempts } = (await get(app, `/task/${ID}`)).json<{ attempts: Record<string, unknown>[] }>();
  assert.deepEqual(
    attempts.map((attempt) => attempt["alone"]),
    [true, undefined, undefined],
  );
});

test("a task that has ended can be removed, and is answered once more", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aCompletedTask()];
  const seen = (await get(app, `/task/${ID}`)).json<object>();
  const response = await remove(app, `/task/${ID}`);
  assert.equal(response.statusCode, 200);
  assert.deepEqual(response.json(), seen);
  assert.deepEqual(tasks.removed, [ID]);
  tasks.remove = async () => {
    throw new AltLasError("conflict", "It runs.", { details: { status: "running" } });
  };
  assert.equal(refusal(await remove(app, `/task/${ID}`), 409, "conflict", { status: "running" }), "It runs.");
});

const ANY = {
  user: "user",
  team: undefined,
  ids: undefined,
  status: undefined,
  batchId: undefined,
  taskType: undefined,
  gpuId: undefined,
  model: undefined,
  since: undefined,
  until: undefined,
};

test("many tasks are canceled by what they have in common, by their ids, or both", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.matching = 3;
  const cases: [body: object, filter: object][] = [
    [{ status: "queued" }, { status: "queued" }],
    [{ batch_id: BATCH_ID.toUpperCase() }, { batchId: BATCH_ID }],
    [
      { task_type: "summary", gpu_id: 0 },
      { taskType: "summary", gpuId: 0 },
    ],
    [{ task_ids: [ID.toUpperCase(), OTHER_ID] }, { ids: [ID, OTHER_ID] }],
    [
      { task_ids: [ID], status: "running" },
      { ids: [ID], status: "running" },
    ],
    [
      { since: "2025-08-10T12:00:00Z", until: "2025-08-10T15:30:00.5+02:30" },
      { since: Date.UTC(2025, 7, 10, 12), until: Date.UTC(2025, 7, 10, 13, 0, 0, 500) },
    ],
  ];
  for (const [body, filter] of cases) {
    tasks.canceled.length = 0;
    const response = await post(app, "/tasks/cancel", body);
    assert.deepEqual(response.json(), { canceled: 3 });
    assert.deepEqual(tasks.canceled, [{ ...ANY, ...filter }]);
  }
  tasks.canceled.length = 0;
  await post(app, "/tasks/cancel", { status: "queued" }, AS.admin);
  await post(app, "/tasks/cancel", { user: "bob", status: "queued" }, AS.admin);
  assert.deepEqual(tasks.canceled, [
    { ...ANY, user: undefined, status: "queued" },
    { ...ANY, user: "bob", status: "queued" },
  ]);
  refusal(await post(app, "/tasks/cancel", { user: "bob" }), 403, "forbidden");
  assert.equal(tasks.canceled.length, 2);
});

test("canceling many without saying which is refused", async (t) => {
  const { app, tasks } = testServer(t);
  const sentence =
    "Name the tasks to cancel: the body must have at least one of task_ids, status, user, batch_id, task_type, gpu_id, model, since, until.";
  const responses = [
    await postNothing(app, "/tasks/cancel", AS.admin),
    await post(app, "/tasks/cancel", "", AS.admin),
    await post(app, "/tasks/cancel", {}, AS.admin),
    await post(app, "/tasks/cancel", "null", AS.admin),
    await post(app, "/tasks/cancel", { status: null, task_ids: null }, AS.admin),
  ];
  for (const response of responses) assert.equal(refusal(response, 400, "invalid_input"), sentence);
  const forbidden = refusal(await post(app, "/tasks/cancel", {}, AS.viewer), 403, "forbidden");
  assert.equal(forbidden, "Canceling tasks needs the role user or admin; viewer has the role viewer.");
  assert.deepEqual(tasks.canceled, []);
});

test("what selects nothing that could be canceled is refused with the field", async (t) => {
  const { app, tasks } = testServer(t);
  const time = 'a time with its zone, like "2025-08-10T12:34:56Z"';
  const cases: [body: object, sentence: string | RegExp][] = [
    [{ status: "completed" }, 'status must be one of "queued", "running"; got "completed".'],
    [{ task_ids: [] }, "task_ids must be a list of 1 to 10000 task ids; got a list of 0."],
    [{ task_ids: Array.from({ length: 10_001 }, () => ID) }, /^task_ids must be a list of 1 to 10000 .* 10001\.$/],
    [{ task_ids: [ID, "x"] }, 'task_ids[1] must be a UUID; got "x".'],
    [{ task_ids: [ID, null] }, "task_ids[1] must be a UUID; got null."],
    [{ batch_id: "x" }, 'batch_id must be a UUID; got "x".'],
    [{ gpu_id: -1 }, /^gpu_id must be an integer/],
    [{ since: "yesterday" }, `since must be ${time}; got "yesterday".`],
    [{ until: "2025-08-10T12:34:56" }, `until must be ${time}; got "2025-08-10T12:34:56".`],
    [{ until: "2025-02-30T12:00:00Z" }, /^until must be a time/],
    [{ until: "2025-13-01T12:00:00Z" }, /^until must be a time/],
    [{ until: "2025-08-10T25:00:00Z" }, /^until must be a time/],
    [{ limit: 5 }, /^limit is not a known field/],
  ];
  for (const [body, sentence] of cases) {
    const said = refusal(await post(app, "/tasks/cancel", body), 400, "invalid_input");
    if (typeof sentence === "string") assert.equal(said, sentence);
    else assert.match(said, sentence);
  }
  const most = await post(app, "/tasks/cancel", { task_ids: Array.from({ length: 10_000 }, () => ID) });
  assert.equal(most.statusCode, 200);
  assert.equal(tasks.canceled.length, 1);
});
