/** What web pages of others may do: nothing that changes anything, unless server.cors_origins lists them. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { test } from "node:test";
import { parseConfig } from "../src/config/config.ts";
import { API, AS, listening, refusal, testConfig, testServer } from "./helpers/http.ts";

const DRAIN = `${API}/gpus/0/drain`;
const SECRET = `${API}/webhook_secret`;
const ALLOWED = "server: { cors_origins: [https://app.example.com, chrome-extension://abcdef] }";

const EVIL = "https://evil.example";
const FOREIGN: readonly Record<string, string>[] = [
  { origin: EVIL, "sec-fetch-site": "cross-site" },
  { origin: EVIL },
  { "sec-fetch-site": "cross-site" },
  { origin: "null" },
  // Browsers send no more than this with a GET over plain HTTP.
  { host: "llm.example:8642", referer: `${EVIL}/page` },
  { host: "llm.example:8642", referer: "about:blank" },
  // Another port of the same machine, with and without the browser's word for it.
  { host: "localhost:8642", origin: "http://localhost:3000", "sec-fetch-site": "same-site" },
  { host: "localhost:8642", origin: "http://localhost:3000" },
  { host: "localhost:8642", origin: "https://localhost:8642" },
  { host: "localhost:8642", origin: "http://localhost:8642.evil.example" },
  // What a page may write itself changes nothing.
  { origin: EVIL, "x-forwarded-host": "evil.example", "x-forwarded-proto": "https" },
];

const OWN: readonly Record<string, string>[] = [
  {},
  { "sec-fetch-mode": "cors" },
  { "sec-fetch-site": "none" },
  { host: "localhost:8642", origin: "http://localhost:8642" },
  { host: "llm.example:8642", referer: "http://llm.example:8642/docs" },
  { host: "llm.example", origin: "http://llm.example", "sec-fetch-site": "same-origin" },
  // Behind a proxy that ends TLS, and passes on its own name or the public one: the browser knows.
  { host: "127.0.0.1:8642", origin: "https://llm.example", "sec-fetch-site": "same-origin" },
];

for (const headers of FOREIGN) {
  test(`a change from a foreign page is refused before anybody is asked for credentials: ${JSON.stringify(headers)}`, async (t) => {
    const { app, operations } = testServer(t, testConfig(ALLOWED));
    for (const credentials of [AS.admin, {}]) {
      const response = await app.inject({ method: "POST", url: DRAIN, headers: { ...headers, ...credentials } });
      assert.match(refusal(response, 403, "forbidden"), /server\.cors_origins/);
    }
    assert.equal((await app.inject({ method: "DELETE", url: `${API}/task/x`, headers })).statusCode, 403);
    assert.deepEqual(operations, []);
    // Reading is another matter: a browser shows such a page nothing of the answer.
    assert.equal((await app.inject({ url: `${API}/gpus`, headers: { ...headers, ...AS.admin } })).statusCode, 200);
  });
}

for (const headers of OWN) {
  test(`our own page, and what is no browser, may change things: ${JSON.stringify(headers)}`, async (t) => {
    const { app } = testServer(t, testConfig(ALLOWED));
    const response = await app.inject({ method: "POST", url: DRAIN, headers: { ...headers, ...AS.admin } });
    assert.equal(response.statusCode, 200, response.body);
  });
}

test("pages that server.cors_origins lists may change things, also those of browser extensions", async (t) => {
  const { app } = testServer(t, testConfig(ALLOWED));
  for (const origin of ["https://app.example.com", "chrome-extension://abcdef"]) {
    const headers = { origin, "sec-fetch-site": "cross-site", ...AS.admin };
    assert.equal((await app.inject({ method: "POST", url: DRAIN, headers })).statusCode, 200);
  }
  const { app: open } = testServer(t, testConfig('server: { cors_origins: ["*"] }'));
  const headers = { origin: EVIL, ...AS.admin };
  assert.equal((await open.inject({ method: "POST", url: DRAIN, headers })).statusCode, 200);
});

test("the public name that a trusted proxy tells is our own, and that of another peer is not", async (t) => {
  const headers = {
    host: "backend:8642",
    "x-forwarded-host": "llm.example",
    "x-forwarded-proto": "https",
    origin: "https://llm.example",
    ...AS.admin,
  };
  const status = async (trust: string) => {
    const { app } = testServer(t, testConfig(`server: { trust_proxy: ${trust} }`));
    return (await app.inject({ method: "POST", url: DRAIN, headers })).statusCode;
  };
  assert.deepEqual([await status("[127.0.0.1]"), await status("true")], [200, 200]);
  assert.deepEqual([await status("[10.0.0.0/8]"), await status("false")], [403, 403]);
});

test("with authentication off, foreign pages are refused, and no header lifts the check of the name", async (t) => {
  const { app, operations } = testServer(
    t,
    parseConfig("auth: { enabled: false }\nserver: { trust_proxy: true }", "c.yaml"),
  );
  const ask = async (headers: Record<string, string>) =>
    (await app.inject({ method: "POST", url: DRAIN, headers })).statusCode;
  assert.equal(await ask({ host: "localhost:8642", origin: EVIL, "sec-fetch-site": "cross-site" }), 403);
  assert.equal(await ask({ host: "evil.example" }), 403);
  assert.equal(await ask({ host: "evil.example", "x-forwarded-host": "localhost" }), 403);
  assert.equal(await ask({ host: "localhost:8642", "x-forwarded-host": "evil.example" }), 403);
  assert.deepEqual(operations, []);
  assert.equal(await ask({ host: "[::1]:8642" }), 200);
  assert.equal(await ask({ host: "127.0.0.1" }), 200);
});

test("with authentication off, a target with a host of its own counts like the Host header", async (t) => {
  const { app } = testServer(t, parseConfig("auth: { enabled: false }", "c.yaml"));
  const port = await listening(app);
  const statusFor = async (target: string, host: string): Promise<number> => {
    const asking = request({ port, host: "127.0.0.1", path: target, headers: { host } }).end();
    const [answer] = (await once(asking, "response")) as [IncomingMessage];
    answer.resume();
    return answer.statusCode!;
  };
  assert.equal(await statusFor(`http://evil.example${API}/gpus`, "localhost"), 403);
  assert.equal(await statusFor(`http://localhost${API}/gpus`, "evil.example"), 403);
  assert.equal(await statusFor(`http://localhost${API}/gpus`, "localhost"), 200);
  assert.equal(await statusFor(`http://[::1]:80${API}/gpus`, "localhost"), 200);
});

test("neither a HEAD nor a foreign page uses up the one showing of the webhook secret", async (t) => {
  const { app, webhooks } = testServer(t);
  const head = await app.inject({ method: "HEAD", url: SECRET, headers: AS.user });
  assert.deepEqual([head.statusCode, head.body], [200, ""]);
  assert.equal(head.headers["content-type"], "application/json; charset=utf-8");
  assert.equal((await app.inject({ method: "HEAD", url: SECRET, headers: AS.viewer })).statusCode, 403);
  assert.equal((await app.inject({ method: "HEAD", url: SECRET })).statusCode, 401);
  refusal(await app.inject({ url: SECRET, headers: { ...AS.user, "sec-fetch-site": "cross-site" } }), 403, "forbidden");
  refusal(await app.inject({ url: SECRET, headers: { ...AS.user, referer: `${EVIL}/` } }), 403, "forbidden");
  assert.deepEqual(webhooks.asked, []);
  const shown = await app.inject({ url: SECRET, headers: AS.user });
  assert.equal(shown.json<{ secret: string }>().secret, "whsec_c2VjcmV0");
});
