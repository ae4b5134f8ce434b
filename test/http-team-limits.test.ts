/** Limits of teams over HTTP: who is refused, who sees them, and that they change while the server runs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { hashApiKey } from "../src/auth/secrets.ts";
import type { Config } from "../src/config/config.ts";
import type { CallersAnswer } from "../src/http/schemas/callers.ts";
import { textsOf } from "../src/tasks/scheduler-settings.ts";
import type { Texts } from "../src/texts.ts";
import { startLocalServer } from "./helpers/local-server.ts";

const AS = (name: string) => ({ authorization: `Bearer ${name}` });
interface Answer {
  readonly task_id: string;
  readonly error: string;
}

const USERS = {
  root: "role: admin",
  ann: "role: user, team: red",
  bob: "role: user, team: red",
  cyd: "role: user",
  dee: "role: user, team: blue",
  vic: "role: viewer, team: blue",
};

function kept(all: Texts, own?: Texts, ofTeam?: Texts, team: string | null = "red"): Texts {
  const callers = { defaults: {}, keys: {}, users: { ann: { texts: own } }, teams: { red: { texts: ofTeam } } };
  return textsOf({ store: { texts: all }, callers } as unknown as Config, { user: "ann", team });
}

test("of how long texts may be stored, the strictest of all, user and team counts", () => {
  assert.equal(kept("keep"), "keep");
  assert.equal(kept("keep", "until_read", "never"), "never");
  assert.equal(kept("keep", "never", "keep"), "never");
  assert.equal(kept("keep", undefined, "until_read"), "until_read");
  assert.equal(kept("until_read", undefined, "keep"), "until_read");
  assert.equal(kept("keep", undefined, "never", null), "keep");
});

test("a team's limits hold for its members together, are shown to them, and change while the server runs", async (t) => {
  const names = Object.entries(USERS);
  const config = `
auth:
  users: [${names.map(([name, its]) => `{ name: ${name}, ${its} }`).join(", ")}]
  keys: [${names.map(([name]) => `{ name: ${name}, user: ${name}, sha256: "${hashApiKey(name)}" }`).join(", ")}]
callers: { teams: { red: { max_running: 1, max_queued: 1, requests_per_minute: 3 }, blue: { texts: never } } }`;
  const server = await startLocalServer(t, { devices: "simulated:1", config });
  server.key = "root";
  await server.loaded();
  const long = { text: "x", max_length: 100_000 };
  const submit = (name: string) => server.request<Answer>("POST", "/api/v1/predict", { body: long, headers: AS(name) });
  const teams = async (name: string): Promise<CallersAnswer["teams"]> =>
    (await server.request<CallersAnswer>("GET", "/api/v1/callers", { headers: AS(name) })).body.teams;

  for (const name of ["ann", "bob"]) assert.equal((await submit(name)).status, 200);
  const full = await submit("ann");
  assert.equal(full.status, 429);
  assert.match(
    String(full.body.error),
    /1 of at most 1 tasks of the team red wait \(callers\.teams\.red\.max_queued\)/,
  );
  const often = await submit("bob");
  assert.match(
    String(often.body.error),
    /^The team red may have 3 submissions a minute \(callers\.teams\.red\.requests_/,
  );
  const seconds = Number(often.headers.get("retry-after"));
  assert.ok(seconds > 0 && seconds <= 20, `${seconds}`);
  assert.deepEqual([often.headers.get("ratelimit-limit"), often.headers.get("ratelimit-remaining")], ["3", "0"]);
  assert.equal((await submit("cyd")).status, 200);

  const limits = { max_running: 1, max_queued: 1, requests_per_minute: 3, tokens_per_minute: null };
  const none = { max_running: null, max_queued: null, requests_per_minute: null, tokens_per_minute: null };
  const red = { name: "red", running: 1, queued: 1, limits };
  const blue = { name: "blue", running: 0, queued: 0, limits: none };
  assert.deepEqual(await teams("root"), [blue, red]);
  assert.deepEqual(await teams("ann"), [red]);
  assert.deepEqual(await teams("vic"), [blue]);
  assert.deepEqual(await teams("cyd"), []);

  const stored = await submit("dee");
  const told = await server.request<{ texts: string }>("GET", `/api/v1/task/${stored.body.task_id}`, {
    headers: AS("dee"),
  });
  assert.equal(told.body.texts, "never");
  const form = new FormData();
  form.append("purpose", "batch");
  form.append("file", new Blob(["{}\n"]), "x.jsonl");
  const file = await fetch(`${server.url}/v1/files`, { method: "POST", headers: AS("dee"), body: form });
  assert.match(
    await file.text(),
    /no texts of dee are stored \(store\.texts of the configuration, callers\.users or callers\.teams\)/,
  );

  const body = { callers: { teams: { red: { max_running: 2, requests_per_minute: 9 } } } };
  assert.equal((await server.request("PATCH", "/api/v1/config", { body })).status, 200);
  const [changed] = await teams("ann");
  assert.deepEqual([changed?.running, changed?.queued, changed?.limits.requests_per_minute], [2, 0, 9]);
});
