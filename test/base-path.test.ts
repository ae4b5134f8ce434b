/** `server.base_path` and X-Forwarded-Prefix, through proxies that pass the path on and such that take it away. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfig } from "../src/config/config.ts";
import { withoutBase } from "../src/http/base-path.ts";
import { runCommand } from "./helpers/command.ts";
import { startLocalServer } from "./helpers/local-server.ts";
import { startPathProxy } from "./helpers/path-proxy.ts";

const PATH = "/team/alt-las";
const PREFIX = { "x-forwarded-prefix": PATH };

const fixed = await startLocalServer(test, {
  config: `server: { base_path: ${PATH}/, trust_proxy: [127.0.0.1] }\napi: { ollama: true }`,
  devices: "simulated:1",
});
const told = await startLocalServer(test, {
  config: "server: { trust_proxy: [127.0.0.1] }",
  devices: "simulated:1",
});
const BROWSER = { headers: { accept: "text/html" } };
const bare = fixed.url.replace(PATH, "");

/** Each way to have the server below the path: what clients see must be the same. */
const WAYS = [
  ["the proxy passes the path on", fixed, { strips: false }],
  ["the proxy takes the path away in silence", fixed, { strips: true }],
  ["the proxy takes the path away and says so, as the server knows", fixed, { strips: true, headers: PREFIX }],
  ["the proxy passes the path on and says it, too", fixed, { strips: false, headers: PREFIX }],
  ["the proxy alone knows the path", told, { strips: true, headers: PREFIX }],
] as const;

for (const [what, server, how] of WAYS) {
  test(`a client that follows what it is told stays below the path: ${what}`, async (t) => {
    const direct = server === fixed ? bare : server.url;
    const url = await startPathProxy(t, direct, { path: PATH, ...how });
    const { origin } = new URL(url);
    const headers = { authorization: `Bearer ${server.key}` };
    const ask = (path: string, init: RequestInit = {}) =>
      fetch(`${url}${path}`, { ...init, headers: { ...headers, ...(init.headers as Record<string, string>) } });

    const body = JSON.stringify({ text: "hello", max_length: 2, stream: true });
    const json = { "content-type": "application/json" };
    const streamed = await ask("/api/v1/predict", { method: "POST", body, headers: json });
    await streamed.text();
    const location = streamed.headers.get("location")!;
    assert.match(location, /^\/team\/alt-las\/api\/v1\/task\//);
    const task = (await (await fetch(origin + location, { headers })).json()) as { status: string };
    assert.equal(task.status, "completed");

    const document = (await (await ask("/openapi.json")).json()) as { servers: readonly { url: string }[] };
    assert.deepEqual(document.servers, [{ url: PATH }]);

    const page = await fetch(`${url}/`, BROWSER);
    const html = await page.text();
    const files = [...html.matchAll(/(?:href|src)="(\.\/dashboard\/[^"]+)"/g)].map(([, file]) => file!);
    assert.ok(files.length > 3, html.slice(0, 300));
    for (const file of files.slice(0, 4))
      assert.equal((await fetch(new URL(file, `${url}/`))).status, 200, `${file} of the page`);
    const docs = await fetch(`${url}/docs/api`, { redirect: "manual" });
    assert.equal(new URL(docs.headers.get("location")!, `${url}/docs/api`).href, `${url}/#/api`);

    const events = `/api/v1/task/${location.split("/").at(-1)}/events`;
    for (const path of [events, PATH + events]) {
      const made = await ask("/api/v1/stream_ticket", {
        method: "POST",
        body: JSON.stringify({ path }),
        headers: json,
      });
      const { ticket } = (await made.json()) as { ticket: string };
      const stream = await fetch(`${url}${events}?ticket=${ticket}`);
      assert.match(await stream.text(), /event: completed/);
    }

    assert.equal((await fetch(`${url}/readyz`)).status, 200);
    assert.equal((await ask("/v1/models")).status, 200);
    const gpus = await runCommand(["gpus", "--url", url], { env: { ALT_LAS_API_KEY: server.key } });
    assert.match(gpus.stdout, /^GPU /, gpus.stderr);
  });
}

test("the address on the first screen has the path, and the page there gets its slash", async (t) => {
  assert.ok(fixed.url.endsWith(PATH), fixed.url);
  const url = await startPathProxy(t, bare, { path: PATH, strips: false });
  const page = await fetch(url, BROWSER);
  assert.equal(page.url, `${url}/`);
  assert.match(await page.text(), /<!doctype html>/i);
});

test("other APIs, other spellings of the target, and requests without the path are answered, too", async () => {
  const headers = { authorization: `Bearer ${fixed.key}` };
  const statusOf = async (path: string): Promise<number> => (await fetch(bare + path, { headers })).status;
  for (const path of ["/api/tags", "/v1/models", "/models", "//v1/models/", "/readyz"]) {
    assert.equal(await statusOf(path), 200, path);
    assert.equal(await statusOf(PATH + path), 200, PATH + path);
  }
  assert.equal(await statusOf(`${PATH}er/readyz`), 404);
  const failed = await fetch(`${bare}${PATH}/v1/nothing`, { headers });
  const { error } = (await failed.json()) as { error: { message: string } };
  assert.equal(error.message.slice(0, 33), "There is no route GET /v1/nothing");
});

async function serversOf(url: string, key: string, prefix: string): Promise<unknown> {
  const headers = { authorization: `Bearer ${key}`, "x-forwarded-prefix": prefix };
  return ((await (await fetch(`${url}/openapi.json`, { headers })).json()) as { servers: unknown }).servers;
}

test("a path is believed from listed proxies only, and only where it is one", async (t) => {
  const stranger = await startLocalServer(t, { devices: "simulated:1" });
  assert.deepEqual(await serversOf(stranger.url, stranger.key, "/evil"), [{ url: "/" }]);
  for (const evil of [
    "//evil.example",
    "/a/../b",
    "https://evil.example",
    "/a?b",
    "/",
    "",
    "/a b",
    `/${"a".repeat(300)}`,
  ])
    assert.deepEqual(await serversOf(told.url, told.key, evil), [{ url: "/" }], evil);
  assert.deepEqual(await serversOf(told.url, told.key, "/outer/, /inner"), [{ url: "/outer/inner" }]);
});

test("the path is taken from a target in whichever form it came", () => {
  for (const [target, rest] of [
    ["/a/b/v1/models?x=/a/b", "/v1/models?x=/a/b"],
    ["/a/b", "/"],
    ["/a/b?x=1", "/?x=1"],
    ["/a/bc/v1", "/a/bc/v1"],
    ["/v1/a/b", "/v1/a/b"],
    ["http://example.com/a/b/readyz", "http://example.com/readyz"],
    ["http://example.com/a/b", "http://example.com/"],
    ["*", "*"],
  ] as const)
    assert.equal(withoutBase(target, "/a/b"), rest, target);
});

function refused(path: string, sentence: RegExp): void {
  assert.throws(() => parseConfig(`server: { base_path: ${JSON.stringify(path)} }`, "c.yaml"), sentence);
}

test("a base path that is none, or that hides the server's own paths, stops the start", () => {
  for (const path of ["alt-las", "//a", "/a b", "/a?b", "https://example.com/a"])
    refused(path, /server\.base_path must be a path like \/alt-las, of letters, digits and \. _ ~ -; got "/);
  refused("/v1/alt-las", /server\.base_path must not have "v1" in this place, which has a meaning of its own/);
  refused("/a/../b", /must not have "\.\."/);
  assert.equal(parseConfig("server: { base_path: / }", "c.yaml").server.base_path, "/");
});
