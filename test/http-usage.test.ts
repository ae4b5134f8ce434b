/** `GET /usage`, of real stored tasks. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { type UsageAnswer } from "../src/http/schemas/usage.ts";
import { Zone } from "../src/common/zone.ts";
import { reportOf } from "../src/http/usage-report.ts";
import { type UsageStore } from "../src/store/usage.ts";
import { SqliteStore } from "../src/store/sqlite/sqlite.ts";
import { newUse, type TaskUse } from "../src/task-use.ts";
import { type Failure } from "./helpers/server-handle.ts";
import { AS, get, testServer, USAGE } from "./helpers/http.ts";
import { ROOT } from "./helpers/server.ts";
import { cancel, complete, newTask, run, testFolder } from "./helpers/store.ts";

interface Ended {
  readonly user: string;
  readonly at: string;
  readonly keyName?: string;
  readonly ranModel?: string;
  readonly use: Partial<TaskUse>;
}

/** A server whose store has tasks that ended so. */
async function serverWith(t: TestContext, ends: readonly Ended[]) {
  const store = new SqliteStore({ path: join(testFolder(t), "tasks.db") });
  await store.open();
  t.after(() => store.close());
  const tasks = ends.map(({ at, use, ...fields }, index) => {
    const task = complete(
      run(newTask(index + 1, { createdAt: Date.parse(at), createdClock: Date.parse(at), ...fields })),
    );
    task.finishedAt = Date.parse(at);
    task.use = { ...newUse(), ...use };
    return task;
  });
  const never = cancel(newTask(99, { createdAt: Date.parse("2026-11-29T10:00Z"), user: "bob" }));
  never.finishedAt = never.createdAt + 500;
  await store.save([...tasks, never]);
  const { app } = testServer(t, undefined, { usage: store.usage });
  return async (query: string, as: Record<string, string> = AS.viewer): Promise<UsageAnswer> => {
    const response = await get(app, `/usage?${query}`, as);
    assert.equal(response.statusCode, 200, response.body);
    return response.json();
  };
}

const ENDS: readonly Ended[] = [
  {
    user: "user",
    at: "2026-11-29T10:59:59Z",
    keyName: "laptop",
    ranModel: "m",
    use: { promptTokens: 10, completionTokens: 5, cachedTokens: 4, gpuSeconds: 1.5, energyJoules: 300, queued: 0.25 },
  },
  { user: "user", at: "2026-11-29T21:30:00Z", use: { promptTokens: 1, completionTokens: 7, gpuSeconds: 0.1 } },
  { user: "ada", at: "2026-11-30T00:00:00Z", use: { completionTokens: 1, gpuSeconds: 0.2 } },
];
const NOVEMBER = "from=2026-11-01&to=2026-11-30";

test("docs/usage.md shows an answer as the API writes it", async (t) => {
  const document = readFileSync(join(ROOT, "docs", "usage.md"), "utf8");
  const shown = JSON.parse(/^```json\n(.*?)^```/ms.exec(document)![1]!) as UsageAnswer;
  const ask = await serverWith(t, ENDS);
  const answer = await ask(`${NOVEMBER}&tz=${shown.tz}&by=${shown.by.join()}`);
  for (const part of ["rows", "total"] as const)
    assert.deepEqual(Object.keys([shown[part]].flat()[0]!), Object.keys([answer[part]].flat()[0]!), part);
  assert.deepEqual(Object.keys(shown), Object.keys(answer));
  assert.deepEqual([shown.from, shown.to], [answer.from, answer.to]);
});

test("usage is told by what is asked for, with the total, and a user sees its own alone", async (t) => {
  const usage = await serverWith(t, ENDS);
  const { rows, total, from, to, tz, by } = await usage(`${NOVEMBER}&by=user,key,model,gpu`);
  assert.deepEqual([from, to, tz], ["2026-11-01T00:00:00.000Z", "2026-12-01T00:00:00.000Z", "UTC"]);
  assert.deepEqual(by, ["user", "key", "model", "gpu"]);
  const names = rows.map(({ user, key, model, gpu, tasks }) => [user, key, model, gpu, tasks]);
  assert.deepEqual(names, [
    ["ada", null, null, 3, 1],
    ["bob", null, null, null, 1],
    ["user", null, null, 3, 1],
    ["user", "laptop", "m", 3, 1],
  ]);
  assert.deepEqual(rows[3], {
    user: "user",
    key: "laptop",
    model: "m",
    gpu: 3,
    tasks: 1,
    completed: 1,
    failed: 0,
    canceled: 0,
    prompt_tokens: 10,
    completion_tokens: 5,
    cached_tokens: 4,
    gpu_seconds: 1.5,
    energy_joules: 300,
    queued_seconds: 0.25,
  });
  assert.deepEqual(
    [total.tasks, total.canceled, total.prompt_tokens, total.gpu_seconds, total.energy_joules],
    [4, 1, 11, 1.8, 300],
  );
  const own = await usage(NOVEMBER, AS.user);
  assert.deepEqual(
    own.rows.map(({ user, tasks, gpu_seconds }) => [user, tasks, gpu_seconds]),
    [["user", 2, 1.6]],
  );
  assert.equal((await usage(NOVEMBER, AS.admin)).total.tasks, 4);
});

test("days are those of the zone, and the time that is asked for follows it, too", async (t) => {
  const usage = await serverWith(t, ENDS);
  const days = async (query: string) => (await usage(`by=day&${query}`)).rows.map(({ day, tasks }) => [day, tasks]);
  assert.deepEqual(await days(NOVEMBER), [
    ["2026-11-29", 3],
    ["2026-11-30", 1],
  ]);
  assert.deepEqual(await days(`${NOVEMBER}&tz=Europe/Istanbul`), [
    ["2026-11-29", 2],
    ["2026-11-30", 2],
  ]);
  assert.deepEqual(await days("from=2026-11-30&to=2026-11-30&tz=europe/istanbul"), [["2026-11-30", 2]]);
  assert.deepEqual(await days("from=2026-11-29T11:00:00Z&to=2026-11-30T00:00:00Z"), [["2026-11-29", 1]]);
  // An hour counts as a whole, where it begins.
  assert.deepEqual(await days("from=2026-11-29T10:30:00%2B00:00&to=2026-11-29T21:30:00Z"), [["2026-11-29", 1]]);
  const hours = (await usage(`${NOVEMBER}&by=hour,user`)).rows.map(({ hour, user }) => `${hour} ${user}`);
  assert.deepEqual(hours, [
    "2026-11-29T10:00:00.000Z bob",
    "2026-11-29T10:00:00.000Z user",
    "2026-11-29T21:00:00.000Z user",
    "2026-11-30T00:00:00.000Z ada",
  ]);
});

test("whoever names no time gets the last 30 days, with this hour", async (t) => {
  const now = new Date();
  const daysAgo = (days: number): string => new Date(now.getTime() - days * 86_400_000).toISOString();
  const ends = [0, 29, 31].map((days) => ({ user: "ada", at: daysAgo(days), use: {} }));
  const usage = await serverWith(t, ends);
  const { rows } = await usage("");
  assert.deepEqual(
    rows.filter(({ user }) => user === "ada").map(({ user, tasks }) => [user, tasks]),
    [["ada", 2]],
  );
});

test("as CSV it has the same rows, and no name that a spreadsheet would compute", async (t) => {
  const ends = [...ENDS, { user: "=cmd()", at: "2026-11-29T10:00Z", keyName: 'a "b", c', use: { gpuSeconds: 1 } }];
  const store = new SqliteStore({ path: join(testFolder(t), "tasks.db") });
  await store.open();
  t.after(() => store.close());
  for (const [index, { at, use, ...fields }] of ends.entries()) {
    const task = complete(run(newTask(index + 1, fields)));
    task.finishedAt = Date.parse(at);
    task.use = { ...newUse(), ...use };
    await store.save([task]);
  }
  const { app } = testServer(t, undefined, { usage: store.usage });
  const path = `/usage?${NOVEMBER}&by=user,key`;
  const sums = "tasks,completed,failed,canceled,prompt_tokens,completion_tokens,cached_tokens";
  const expected = [
    `user,key,${sums},gpu_seconds,energy_joules,queued_seconds`,
    `'=cmd(),"a ""b"", c",1,1,0,0,,0,,1,,0`,
    "ada,,1,1,0,0,,1,,0.2,,0",
    "user,,1,1,0,0,1,7,,0.1,,0",
    "user,laptop,1,1,0,0,10,5,4,1.5,300,0.25",
    "",
  ].join("\r\n");
  for (const [query, accept] of [
    ["&format=csv", "application/json"],
    ["", "text/csv"],
  ] as const) {
    const { body, headers } = await get(app, path + query, { ...AS.viewer, accept });
    assert.equal(body, expected);
    assert.equal(headers["content-type"], "text/csv; charset=utf-8; header=present");
    assert.equal(headers["content-disposition"], 'attachment; filename="usage.csv"');
  }
  for (const accept of ["*/*", "application/json, text/csv", "text/html"]) {
    const { headers } = await get(app, path, { ...AS.viewer, accept });
    assert.match(String(headers["content-type"]), /^application\/json/);
  }
});

test("an answer that would have too many rows is refused, however few there are in each part", async () => {
  const rows = Array.from({ length: 5 }, (_, hour) => ({ ...USAGE, hour }));
  const sums: UsageStore["sums"] = async function* () {
    for (const row of rows) yield [row];
  };
  const question = { from: 0, to: 9, zone: Zone.named("UTC")!, user: undefined, team: undefined };
  const report = await reportOf({ sums }, { ...question, by: ["user", "day"] }, 4);
  assert.deepEqual(
    report.rows.map(({ completed }) => completed),
    [10],
  );
  const refused = reportOf({ sums }, { ...question, by: ["hour"] }, 4);
  await assert.rejects(refused, { code: "invalid_input", message: /^by would make more than 4 rows/ });
});

test("times further away than any day that may be named mean the first and the last hour", async (t) => {
  const { app } = testServer(t);
  for (const [query, from, to] of [
    [
      "from=0000-01-01T00:00:00%2B14:00&to=9999-12-31T23:30:00Z",
      "1970-01-01T00:00:00.000Z",
      "3000-01-01T00:00:00.000Z",
    ],
    ["to=9999-12-31T23:30:00Z&tz=Asia/Tokyo", "2999-12-02T15:00:00.000Z", "3000-01-01T00:00:00.000Z"],
  ] as const) {
    const response = await get(app, `/usage?${query}`);
    assert.equal(response.statusCode, 200, response.body);
    const answer = response.json<{ from: string; to: string }>();
    assert.deepEqual([answer.from, answer.to], [from, to]);
  }
});

test("a wrong day, time, zone or word is refused with its field", async (t) => {
  const { app } = testServer(t);
  for (const [query, sentence] of [
    ["from=yesterday", /^from must be a day like "2026-11-29", or a time with its zone .*; got "yesterday"\.$/],
    ["from=2026-02-30", /^from must be a day/],
    ["to=2026-11-29T12:00:00", /^to must be a day/],
    ["from=2026-11-30&to=2026-11-29", /^from must be before to; got "2026-11-30" and "2026-11-29"\.$/],
    ["from=2999-01-01", /^from must be before to; got "2999-01-01" and "now"\.$/],
    ["tz=Mars/Olympus", /^tz must be a zone of the IANA database, like "Europe\/Istanbul"; got "Mars\/Olympus"\.$/],
    [
      "by=user,week",
      /^by must be a list of user, team, key, model, gpu, day, hour, separated by commas, each once; got/,
    ],
    ["by=user,user", /^by must be a list/],
    ["by=", /^by must be a list/],
    ["format=xml", /^format must be one of/],
    ["user=ada", /^user is not a known/],
  ] as const) {
    const response = await get(app, `/usage?${query}`);
    assert.equal(response.statusCode, 400, query);
    const { error, code } = response.json<Failure>();
    assert.match(error, sentence);
    assert.equal(code, "invalid_input");
  }
});
