/** The sample for nginx in docs/proxies.md, run by Debian's nginx. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { freePort } from "../../src/common/free-port.ts";
import { startLocalServer } from "../helpers/local-server.ts";
import { newFolder } from "../helpers/server-handle.ts";

// Debian has it where only root looks.
const env = { PATH: `${process.env["PATH"]}:/usr/sbin` };
const options = { skip: spawnSync("nginx", ["-v"], { env }).status !== 0 && "needs nginx" };

/** @param pass where nginx passes requests on, as the sample has it @returns its URL with the path */
async function startNginx(t: TestContext, pass: string): Promise<string> {
  const folder = newFolder(t);
  const port = await freePort();
  const page = readFileSync(new URL("../../docs/proxies.md", import.meta.url), "utf8");
  const [, sample = ""] = /```nginx\n([^]*?)```/.exec(page) ?? [];
  assert.ok(sample.includes("http://127.0.0.1:8642;"), sample);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder};`);
  writeFileSync(
    join(folder, "nginx.conf"),
    `${process.getuid?.() === 0 ? "user root;" : ""} daemon off; pid ${folder}/pid; error_log ${folder}/error.log; worker_processes 1;
     events {}
     http { access_log off; ${temporary.join(" ")} server { listen 127.0.0.1:${port}; ${sample.replace("http://127.0.0.1:8642;", `${pass};`)} } }`,
  );
  mkdirSync(join(folder, "logs"));
  const nginx = spawn("nginx", ["-p", folder, "-c", join(folder, "nginx.conf"), "-e", join(folder, "error.log")], {
    stdio: "inherit",
    env,
  });
  t.after(async () => {
    const ended = once(nginx, "exit");
    nginx.kill("SIGTERM");
    await ended;
  });
  const url = `http://127.0.0.1:${port}/alt-las`;
  // It says nothing when it listens.
  while ((await fetch(`${url}/livez`).catch(() => null)) === null) assert.equal(nginx.exitCode, null);
  return url;
}

/** What each way of passing on has to do. */
async function check(t: TestContext, config: string, passTo: (server: string) => string): Promise<void> {
  const server = await startLocalServer(t, { config, devices: "simulated:1" });
  await server.became(0, "ready");
  const url = await startNginx(t, passTo(server.url.replace(/\/alt-las$/, "")));
  const headers = { authorization: `Bearer ${server.key}`, "content-type": "application/json" };
  const body = JSON.stringify({ text: "hello", max_length: 200, stream: true });
  const streamed = await fetch(`${url}/api/v1/predict`, { method: "POST", headers, body });
  assert.match(streamed.headers.get("location")!, /^\/alt-las\/api\/v1\/task\//);
  const reader = streamed.body!.pipeThrough(new TextDecoderStream()).getReader();
  const first = await reader.read();
  const running = await fetch(new URL(streamed.headers.get("location")!, url), { headers });
  assert.notEqual(((await running.json()) as { status: string }).status, "completed", "the stream is not buffered");
  assert.match(first.value!, /event: /);
  let rest = "";
  for (let next = await reader.read(); !next.done; next = await reader.read()) rest += next.value;
  assert.match(rest, /event: completed/);
  const document = (await (await fetch(`${url}/openapi.json`, { headers })).json()) as { servers: unknown };
  assert.deepEqual(document.servers, [{ url: "/alt-las" }]);
  const page = await fetch(url);
  assert.equal(page.url, `${url}/`);
  assert.match(await page.text(), /<!doctype html>/i);
  const refused = await fetch(`${url}/api/v1/me`, { headers: { "x-forwarded-prefix": "/evil" } });
  assert.equal(refused.status, 401);
  const [line] = await server.logged(({ msg }) => msg === "request refused");
  assert.equal(line!["address"], "127.0.0.1");
}

const BASE = "base_path: /alt-las";

test("nginx passes the path on", options, (t) =>
  check(t, `server: { ${BASE}, trust_proxy: [127.0.0.1] }`, (server) => server),
);

test("nginx takes the path away", options, (t) =>
  check(t, `server: { ${BASE}, trust_proxy: [127.0.0.1] }`, (server) => `${server}/`),
);

test("nginx asks the Unix socket", options, async (t) => {
  const socket = join(newFolder(t), "alt-las.sock");
  await check(
    t,
    `server: { ${BASE}, host: [], socket: ${socket}, trust_proxy: [unix] }`,
    () => `http://unix:${socket}`,
  );
});
