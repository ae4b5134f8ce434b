/** `auth.anonymous_user`: requests without credentials from this machine itself, and no others, are that user's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as immediate } from "node:timers/promises";
import { type InjectOptions } from "fastify";
import { pino } from "pino";
import { anonymousUserExists } from "../src/auth/anonymous.ts";
import { usersAdd, usersRemove } from "../src/auth/commands.ts";
import { Credentials, UNBOUND } from "../src/auth/credentials.ts";
import { type Config, parseConfig } from "../src/config/config.ts";
import { shellWord } from "../src/common/paste.ts";
import { API, KEYS, temporaryFolder, testConfig, testServer } from "./helpers/http.ts";

/** A configuration with that user, and with more of `auth` and other sections. */
function configWith(name: string, rest = ""): Config {
  const config = testConfig(rest);
  return { ...config, auth: { ...config.auth, anonymous_user: name } };
}

async function whoIs(
  { app }: ReturnType<typeof testServer>,
  { headers = {}, ...options }: InjectOptions = {},
): Promise<string | number> {
  const response = await app.inject({ url: `${API}/me`, headers, ...options });
  return response.statusCode === 200 ? response.json<{ user: string }>().user : response.statusCode;
}

const WITHOUT_PROXY: readonly [what: string, request: InjectOptions, is: string | number][] = [
  ["a program on this machine", {}, "user"],
  ["one over IPv6", { remoteAddress: "::1", headers: { host: "[::1]:8642" } }, "user"],
  ["one over IPv4 in IPv6", { remoteAddress: "::ffff:127.0.0.1", headers: { host: "127.0.0.1:8642" } }, "user"],
  ["another machine", { remoteAddress: "192.0.2.7" }, 401],
  ["another machine that claims to be this one", { remoteAddress: "192.0.2.7", headers: { host: "localhost" } }, 401],
  ["a proxy that says for whom", { headers: { "x-forwarded-for": "203.0.113.9" } }, 401],
  ["a proxy that says for this machine", { headers: { "x-forwarded-for": "127.0.0.1" } }, 401],
  ["a proxy of another kind", { headers: { forwarded: "for=203.0.113.9" } }, 401],
  ["nginx with its own header", { headers: { "x-real-ip": "203.0.113.9" } }, 401],
  ["a tunnel with its own header", { headers: { "cf-connecting-ip": "203.0.113.9" } }, 401],
  ["a network of caches with its own header", { headers: { "true-client-ip": "203.0.113.9" } }, 401],
  ["a proxy that says only its port", { headers: { "x-forwarded-port": "443" } }, 401],
  ["a proxy that says no more than that it is one", { headers: { via: "1.1 proxy" } }, 401],
  ["a webhook that a user has sent here", { headers: { "webhook-id": "msg_1" } }, 401],
  ["a page under a name of its own that leads here", { headers: { host: "evil.example:8642" } }, 401],
  ["the same with a host in the target", { url: `http://evil.example${API}/me` }, 401],
  ["a foreign page, by what its browser knows", { headers: { "sec-fetch-site": "cross-site" } }, 401],
  ["a page of another port", { headers: { "sec-fetch-site": "same-site" } }, 401],
  ["a foreign page, by its origin", { headers: { origin: "https://evil.example" } }, 401],
  ["a sandboxed page", { headers: { origin: "null" } }, 401],
  ["an image in a foreign page", { headers: { referer: "https://evil.example/page" } }, 401],
  ["an address that somebody typed", { headers: { "sec-fetch-site": "none" } }, "user"],
  ["our own page", { headers: { "sec-fetch-site": "same-origin", origin: "http://localhost:80" } }, "user"],
  ["a wrong key", { headers: { authorization: "Bearer nonsense" } }, 401],
  ["a wrong key of the other spelling", { headers: { "x-api-key": "nonsense" } }, 401],
  ["an empty key", { headers: { authorization: "" } }, 401],
  ["somebody's own key", { headers: { authorization: `Bearer ${KEYS.viewer}` } }, "viewer"],
];

test("only requests of this machine are the anonymous user's", async (t) => {
  const server = testServer(t, configWith("user"));
  for (const [what, request, is] of WITHOUT_PROXY) assert.equal(await whoIs(server, request), is, what);
});

test("what a trusted proxy passes on is nobody's, whatever it says of its client", async (t) => {
  const server = testServer(t, configWith("user", "server: { trust_proxy: [127.0.0.1] }"));
  for (const address of ["203.0.113.9", "127.0.0.1", "::1"])
    assert.equal(await whoIs(server, { headers: { "x-forwarded-for": address } }), 401, address);
  assert.equal(await whoIs(server), "user");
});

test("a page may call without credentials when the configuration names it, and not when it lets all in", async (t) => {
  const page = { headers: { origin: "http://localhost:3000", "sec-fetch-site": "same-site" } };
  const named = testServer(t, configWith("user", 'server: { cors_origins: ["http://localhost:3000"] }'));
  assert.equal(await whoIs(named, page), "user");
  assert.equal(await whoIs(named, { headers: { origin: "http://localhost:3001" } }), 401);
  const all = testServer(t, configWith("user", 'server: { cors_origins: ["*"] }'));
  assert.equal(await whoIs(all, page), 401);
});

test("a foreign page cannot submit anything, neither as JSON nor as a text that is JSON", async (t) => {
  const { app, tasks } = testServer(t, configWith("user", "api: { ollama: true }"));
  const send = (headers: Record<string, string>) =>
    app.inject({
      method: "POST",
      url: "/api/generate",
      headers: { "content-type": "text/plain", ...headers },
      payload: JSON.stringify({ model: "a model", prompt: "x", stream: false }),
    });
  assert.equal((await send({ origin: "https://evil.example" })).statusCode, 403);
  assert.equal((await send({ "sec-fetch-site": "cross-site" })).statusCode, 403);
  assert.equal((await send({ host: "evil.example", origin: "http://evil.example" })).statusCode, 401);
  assert.deepEqual(tasks.submitted, []);
  await send({});
  assert.deepEqual(
    tasks.submitted.map(({ options: { user, keyName } }) => [user, keyName]),
    [["user", null]],
  );
});

test("nobody is let in without credentials where no user is named", async (t) => {
  const server = testServer(t);
  assert.equal(await whoIs(server), 401);
  const { error } = (await server.app.inject(`${API}/me`)).json<{ error: string }>();
  assert.match(error, /^This needs credentials\. Send "Authorization: Bearer <api_key>" or "x-api-key: <api_key>"/);
});

test("a user who does not exist stops the start, at the line of the file", async (t) => {
  const dataDir = temporaryFolder(t);
  const text = 'auth:\n  enabled: true\n  anonymous_user: "a friend"\n';
  const start = (yaml: string) => parseConfig(yaml, "c.yaml", {}, [anonymousUserExists(dataDir)]);
  assert.throws(() => start(text), /c\.yaml:3: auth\.anonymous_user must be 1 to 64 letters/);
  const friend = text.replace("a friend", "friend");
  assert.throws(
    () => start(friend),
    ({ message }: Error) =>
      message.startsWith("c.yaml:3: auth.anonymous_user is friend, and there is no such user") &&
      message.includes(`users add friend --role user --data-dir ${shellWord(dataDir)}"`),
  );
  const context = { config: testConfig().auth, dataDir };
  await usersAdd(context, { name: "friend", role: "user" });
  assert.equal(start(friend).auth.anonymous_user, "friend");
  assert.throws(() => testServer(t, configWith("nobody")), /auth\.anonymous_user is nobody, and there is no such user/);
  assert.throws(
    () => start("auth: { enabled: false, anonymous_user: user }"),
    /c\.yaml:1: auth\.anonymous_user is user, but auth\.enabled is false/,
  );
});

test("an admin who is named there is warned of", (t) => {
  assert.match(
    testServer(t, configWith("admin")).log.join(""),
    /auth\.anonymous_user is admin, an admin: every program/,
  );
  assert.doesNotMatch(testServer(t, configWith("user")).log.join(""), /anonymous_user/);
});

test("a user who is removed while the server runs is let in no more", async (t) => {
  const dataDir = temporaryFolder(t);
  const config = configWith("friend").auth;
  await usersAdd({ config, dataDir }, { name: "friend", role: "user" });
  const log: string[] = [];
  const credentials = new Credentials({ config, dataDir, log: pino({}, { write: (line: string) => log.push(line) }) });
  assert.deepEqual(credentials.anonymous, { ...UNBOUND, name: "friend", role: "user", keyName: null });
  await usersRemove({ config, dataDir }, "friend");
  await immediate();
  assert.equal(credentials.anonymous, null);
  assert.match(log.join(""), /auth\.anonymous_user is friend, and there is no such user.* --data-dir .* Until then/);
});
