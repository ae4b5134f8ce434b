/** The dashboard's files as browsers get them, and who they are told they are. */
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { AS, get, refusal, testConfig, testServer } from "./helpers/http.ts";

test("everybody gets the page, under a policy that lets nothing in from elsewhere", async (t) => {
  const { app } = testServer(t);
  const { statusCode, headers, body } = await app.inject("/");
  assert.equal(statusCode, 200);
  assert.equal(headers["content-type"], "text/html; charset=utf-8");
  assert.equal(headers["cache-control"], "no-cache");
  assert.equal(headers["referrer-policy"], "no-referrer");
  const map = /<script type="importmap">(.*?)<\/script>/.exec(body)![1]!;
  assert.deepEqual(String(headers["content-security-policy"]).split("; "), [
    "default-src 'none'",
    `script-src 'self' 'sha256-${hash("sha256", map, "base64")}'`,
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self' data:",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "form-action 'none'",
  ]);
  const inline = body
    .replaceAll(/<script (?:type="module" )?src="[^"]+"><\/script>/g, "")
    .match(/<(?:script|style)\b/g);
  assert.deepEqual(inline, ["<script"], "the import map alone stands in the page");
  assert.doesNotMatch(body, /https?:\/\//);
});

test("all that the page and its modules name is there, compressed and for ever, or as it is", async (t) => {
  const { app } = testServer(t);
  const page = (await app.inject("/")).body;
  const named = new Set([...page.matchAll(/"\.(\/dashboard\/[^"]+)"/g)].map(([, url]) => url!));
  assert.ok(named.size > 20);
  for (const url of named) {
    const plain = await app.inject({ url, headers: { "accept-encoding": "gzip;q=0" } });
    assert.equal(plain.statusCode, 200, url);
    assert.equal(plain.headers["content-encoding"], undefined);
    assert.equal(plain.headers["cache-control"], "public, max-age=31536000, immutable");
    const small = await app.inject({ url, headers: { "accept-encoding": "br, gzip" } });
    assert.equal(small.headers["content-encoding"], "gzip");
    assert.equal(gunzipSync(small.rawPayload).toString(), plain.body);
    for (const [, relative] of plain.body.matchAll(/^import .*? from "(\.[^"]+)";/gm))
      assert.ok(named.has(new URL(relative!, `http://a${url}`).pathname), `${url} imports ${relative}`);
  }
});

test("what a browser has already is a 304, and no path leads to any other file", async (t) => {
  const { app } = testServer(t);
  const { headers, body } = await app.inject("/");
  const again = await app.inject({ url: "/", headers: { "if-none-match": String(headers.etag) } });
  assert.deepEqual([again.statusCode, again.body], [304, ""]);
  const folder = /\/dashboard\/[0-9a-f]+\//.exec(body)![0];
  for (const path of ["nothing.js", "../assets.ts", "%2e%2e/assets.ts", "core/types.ts", "index.html", "__proto__", ""])
    refusal(await app.inject(folder + path), 404, "not_found");
  refusal(await app.inject("/dashboard/0123456789abcdef/app.js"), 404, "not_found");
});

test("dashboard.enabled: false leaves / a 404", async (t) => {
  const config = testConfig();
  const { app } = testServer(t, { ...config, dashboard: { enabled: false } });
  assert.equal(refusal(await app.inject("/"), 404, "not_found"), "There is no route GET /.");
});

test("GET /me says who calls, and needs credentials", async (t) => {
  const { app } = testServer(t);
  assert.deepEqual((await get(app, "/me", AS.viewer)).json().role, "viewer");
  const key = { key: "user-key", scopes: null, models: null, expires_at: null };
  const rest = { team: null, signed_on_by: null, budgets: [] };
  assert.deepEqual((await get(app, "/me")).json(), { user: "user", role: "user", ...key, ...rest });
  refusal(await get(app, "/me", {}), 401, "unauthorized");
});
