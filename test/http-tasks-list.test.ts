/** What `GET /tasks` selects, and how a client goes through a long list. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AS, aTask, BATCH_ID, get, refusal, testServer } from "./helpers/http.ts";

interface Page {
  readonly tasks: Record<string, unknown>;
  readonly total: number;
  readonly next: string | null;
}

test("tasks are selected by batch, type, GPU, model and time", async (t) => {
  const { app, tasks } = testServer(t);
  const query = `batch_id=${BATCH_ID.toUpperCase()}&task_type=summary&gpu_id=0&model=small&status=queued`;
  await get(app, `/tasks?${query}&since=2025-08-10T12:00:00Z&until=2025-08-10T14:00:00%2B02:00`);
  assert.deepEqual(tasks.filters, [
    {
      user: "user",
      team: undefined,
      status: "queued",
      batchId: BATCH_ID,
      taskType: "summary",
      gpuId: 0,
      model: "small",
      since: Date.UTC(2025, 7, 10, 12),
      until: Date.UTC(2025, 7, 10, 12),
      after: undefined,
      limit: 100,
      offset: 0,
    },
  ]);
});

test("admins and viewers select tasks by user, a user its own alone", async (t) => {
  const { app, tasks } = testServer(t);
  for (const as of [AS.admin, AS.viewer]) await get(app, "/tasks?user=bob", as);
  await get(app, "/tasks", AS.viewer);
  await get(app, "/tasks?user=user", AS.user);
  assert.deepEqual(
    tasks.filters.map(({ user }) => user),
    ["bob", "bob", undefined, "user"],
  );
  const refused = refusal(await get(app, "/tasks?user=bob", AS.user), 403, "forbidden");
  assert.equal(refused, "user must be user: the tasks of other users need the role admin or viewer.");
  const none = refusal(await get(app, "/tasks?user=%20", AS.admin), 400, "invalid_input");
  assert.match(none, /^user must be 1 to 64 letters/);
  assert.equal(tasks.filters.length, 4);
});

test("a full page names the next one, and the last page says that it is the last", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aTask({ seq: 9_007_199_254_740_991 }), aTask({ id: BATCH_ID, seq: 41 })];
  const { next } = (await get(app, "/tasks?limit=2")).json<Page>();
  assert.equal(typeof next, "string");
  tasks.tasks = [aTask({ seq: 9_007_199_254_740_991 })];
  const last = (await get(app, `/tasks?limit=2&after=${next}`)).json<Page>();
  assert.equal(tasks.filters.at(-1)!.after, 41);
  assert.equal(last.next, null);
  const one = (await get(app, "/tasks?limit=1")).json<Page>();
  await get(app, `/tasks?after=${one.next}`);
  assert.equal(tasks.filters.at(-1)!.after, 9_007_199_254_740_991);
  tasks.tasks = [];
  assert.deepEqual((await get(app, "/tasks")).json(), { tasks: {}, total: 0, next: null });
});

function base64(text: string): string {
  return Buffer.from(text).toString("base64url");
}

test("what cannot be a cursor, an id or a time is refused with the field", async (t) => {
  const { app, tasks } = testServer(t);
  const cursors = [
    "",
    "x",
    "NDE=",
    "41",
    base64("-1"),
    base64("1.5"),
    base64("1e3"),
    base64("9007199254740993"),
    "%00",
  ];
  for (const cursor of [...cursors, base64("041"), "a".repeat(5000)]) {
    const sentence = refusal(await get(app, `/tasks?after=${cursor}`), 400, "invalid_input");
    assert.match(sentence, /^after must be the next of an answer to GET \/tasks; got ".*\.$/);
  }
  const cases: [query: string, sentence: RegExp][] = [
    ["batch_id=5", /^batch_id must be a UUID; got "5"\.$/],
    ["gpu_id=x", /^gpu_id must be an integer .*; got "x"\.$/],
    [`task_type=${"x".repeat(257)}`, /^task_type must be at most 256 bytes in UTF-8; got 257 bytes\.$/],
    ["since=2025-08-10", /^since must be a time with its zone, like .*; got "2025-08-10"\.$/],
    // A + that was not escaped is a space.
    ["until=2025-08-10T14:00:00+02:00", /^until must be a time with its zone, .*; got "2025-08-10T14:00:00 02:00"\.$/],
  ];
  for (const [query, sentence] of cases) {
    assert.match(refusal(await get(app, `/tasks?${query}`), 400, "invalid_input"), sentence);
  }
  assert.deepEqual(tasks.filters, []);
});
