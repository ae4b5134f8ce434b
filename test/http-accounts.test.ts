/** Users and keys over HTTP. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type LightMyRequestResponse } from "fastify";
import { lockFile } from "../src/store/file-lock.ts";
import { API, AS, get, post, refusal, remove, testServer } from "./helpers/http.ts";

function world(t: TestContext) {
  const server = testServer(t);
  const { app } = server;
  const change = (name: string, payload: object): Promise<LightMyRequestResponse> =>
    app.inject({ method: "PATCH", url: `${API}/users/${name}`, headers: AS.admin, payload });
  /** A key's user, as the server takes it now; null: it is refused. */
  const userOf = async (key: string): Promise<unknown> => {
    // Files are read once for all requests of a turn.
    await nextTurn();
    const response = await get(app, "/me", { authorization: `Bearer ${key}` });
    return response.statusCode === 401 ? null : response.json();
  };
  return { ...server, change, userOf };
}

test("an admin adds a user with a key that works at once, changes and removes it", async (t) => {
  const { app, change, userOf, log } = world(t);
  const added = await post(app, "/users", { name: "carol", role: "user" }, AS.admin);
  assert.equal(added.statusCode, 201);
  const { created_at, ...user } = added.json();
  assert.deepEqual(user, { name: "carol", role: "user", team: null, has_password: false, keys: 0 });
  assert.match(created_at, /^\d{4}-/);

  const limits = { scopes: ["read"], models: ["small"], expires_at: "2100-01-01T00:00:00Z" };
  const made = (await post(app, "/keys", { user: "carol", name: "laptop", ...limits }, AS.admin)).json();
  assert.match(made.key, /^altlas_[\w-]{43}$/);
  const shown = {
    user: "carol",
    role: "user",
    team: null,
    key: "laptop",
    ...limits,
    expires_at: "2100-01-01T00:00:00.000Z",
    signed_on_by: null,
    budgets: [],
  };
  assert.deepEqual(await userOf(made.key), shown);

  assert.equal((await change("carol", { role: "viewer" })).json().role, "viewer");
  assert.deepEqual(await userOf(made.key), { ...shown, role: "viewer" });
  assert.equal((await change("carol", { password: "four words of hers" })).json().has_password, true);

  const { users } = (await get(app, "/users", AS.admin)).json();
  assert.deepEqual(
    users.map(({ name, keys, created_at: at }: Record<string, unknown>) => [name, keys, at === null]),
    [
      ["admin", 1, true],
      ["user", 1, true],
      ["viewer", 1, true],
      ["carol", 1, false],
    ],
  );
  assert.deepEqual((await remove(app, "/users/carol", AS.admin)).json(), { name: "carol", keys: 1 });
  assert.equal(await userOf(made.key), null);
  assert.ok(!log.join("").includes(made.key), "no key is in the log");
  assert.ok(!log.join("").includes("four words"), "no password is");
});

test("a user is in one team at most, which GET /me and GET /users show; an empty one takes it out", async (t) => {
  const { app, change, userOf } = world(t);
  const added = await post(app, "/users", { name: "carol", role: "user", team: "research" }, AS.admin);
  assert.equal(added.json().team, "research");
  const { key } = (await post(app, "/keys", { user: "carol" }, AS.admin)).json();
  assert.equal(((await userOf(key)) as { team: unknown }).team, "research");
  assert.equal((await change("carol", { role: "viewer" })).json().team, "research", "it stays with another role");
  assert.equal((await change("carol", { team: "sales" })).json().team, "sales");
  assert.equal(((await userOf(key)) as { team: unknown }).team, "sales");
  assert.equal((await change("carol", { team: null })).json().team, "sales", "a null counts as absent");
  assert.equal((await change("carol", { team: "" })).json().team, null);
  const refused = refusal(await change("carol", { team: "a b" }), 400, "invalid_input");
  assert.match(refused, /^team must be 1 to 64 letters.* or ""; got "a b"\.$/);
});

test("nobody gets the name of a removed user by chance; the same person may have it again", async (t) => {
  const { app } = world(t);
  const bob = { name: "bob", role: "user" };
  await post(app, "/users", bob, AS.admin);
  assert.equal((await remove(app, "/users/bob", AS.admin)).statusCode, 200);
  const refused = refusal(await post(app, "/users", bob, AS.admin), 409, "conflict");
  assert.match(
    refused,
    /^A user bob was removed at \S+Z, and what it had may still be stored: .*"again": true over HTTP\)\.$/,
  );
  assert.equal((await post(app, "/users", { ...bob, again: true }, AS.admin)).statusCode, 201);
  assert.equal((await remove(app, "/users/bob", AS.admin)).statusCode, 200);
  assert.equal((await post(app, "/users", bob, AS.admin)).statusCode, 409, "each time");
});

test("keys are listed without what opens, with when they were used; rotated and revoked", async (t) => {
  const { app, userOf } = world(t);
  const first = (await post(app, "/keys", { user: "user", name: "ci" }, AS.admin)).json();
  await userOf(first.key);
  const listed = await get(app, "/keys", AS.admin);
  const ci = listed.json().keys.find(({ name }: { name: string }) => name === "ci");
  assert.ok(Date.parse(ci.last_used_at) > 0);
  assert.ok(!listed.body.includes("altlas_"));
  assert.doesNotMatch(listed.body, /[0-9a-f]{64}/, "no hash either");

  const second = (await post(app, "/keys/ci/rotate", { overlap_seconds: 60 }, AS.admin)).json();
  assert.ok(Date.parse(second.previous_until) > Date.now());
  for (const { key } of [first, second]) assert.notEqual(await userOf(key), null);
  const third = (await post(app, "/keys/ci/rotate", { overlap_seconds: 0 }, AS.admin)).json();
  for (const { key } of [first, second]) assert.equal(await userOf(key), null);
  assert.equal((await remove(app, "/keys/ci", AS.admin)).json().name, "ci");
  assert.equal(await userOf(third.key), null);
});

test("what cannot be is refused with the code of its kind", async (t) => {
  const { app, change } = world(t);
  await post(app, "/users", { name: "carol", role: "user" }, AS.admin);
  const cases: [LightMyRequestResponse, number, string, RegExp][] = [
    [await post(app, "/users", { name: "carol", role: "user" }, AS.admin), 409, "conflict", /^User carol exists/],
    [await post(app, "/users", { name: "a b", role: "user" }, AS.admin), 400, "invalid_input", /^name must be 1 to 64/],
    [
      await post(app, "/users", { name: "eve", role: "user", password: "password" }, AS.admin),
      400,
      "invalid_input",
      /^This password/,
    ],
    [await change("user", { role: "admin" }), 409, "conflict", /^User user is in the configuration; change it there/],
    [await change("nobody", { role: "admin" }), 404, "not_found", /^There is no user nobody\.$/],
    [await post(app, "/keys", { user: "nobody" }, AS.admin), 404, "not_found", /^There is no user nobody\.$/],
    [
      await post(app, "/keys", { user: "carol", scopes: ["write"] }, AS.admin),
      400,
      "invalid_input",
      /^scopes\[0\] must be/,
    ],
    [
      await post(app, "/keys", { user: "carol", expires_at: "2000-01-01T00:00:00Z" }, AS.admin),
      400,
      "invalid_input",
      /later than now/,
    ],
    [await remove(app, "/keys/user-key", AS.admin), 409, "conflict", /is in the configuration/],
    [await remove(app, "/keys/nothing", AS.admin), 404, "not_found", /^There is no key nothing\.$/],
  ];
  for (const [response, status, code, sentence] of cases) assert.match(refusal(response, status, code), sentence);
});

test("a command that changes users and keys meanwhile holds up nobody else", async (t) => {
  const { app, dataDir } = world(t);
  await post(app, "/users", { name: "carol", role: "user" }, AS.admin);
  const lock = lockFile(join(dataDir, "credentials.lock"), 0);
  try {
    const refused = await post(app, "/keys", { user: "carol" }, AS.admin);
    assert.match(refusal(refused, 409, "conflict"), /^Another process is changing the credentials\. Try again/);
  } finally {
    lock.release();
  }
  assert.equal((await post(app, "/keys", { user: "carol" }, AS.admin)).statusCode, 201);
});
