/** Where a server listens: on several addresses, on both families, and on a Unix socket. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { parseConfig } from "../src/config/config.ts";
import { newCertificate } from "./helpers/certificate.ts";
import { runCommand } from "./helpers/command.ts";
import { startLocalServer } from "./helpers/local-server.ts";
import { newFolder } from "./helpers/server-handle.ts";

const folder = newFolder(test);
const hasIPv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === "::1"));
const FAMILIES = hasIPv6 ? ["127.0.0.1", "::1"] : ["127.0.0.1", "127.0.0.2"];

/** The status of an answer that came over a socket. */
async function statusOver(socketPath: string, headers: Record<string, string> = {}, path = "/readyz"): Promise<number> {
  const asked = request({ socketPath, path, headers }).end();
  const [answer] = (await once(asked, "response")) as [{ statusCode: number } & NodeJS.ReadableStream];
  await text(answer);
  return answer.statusCode;
}

function starting(t: Parameters<typeof startLocalServer>[0], server: string) {
  return startLocalServer(t, { config: `server: ${server}`, devices: "simulated:1" });
}

function refused(server: string, sentence: RegExp): void {
  assert.throws(() => parseConfig(server, "c.yaml"), sentence);
}

test("a server listens on every address of a list, with one port, and on its socket, and names them all", async (t) => {
  const path = join(folder, "several.sock");
  const server = await starting(t, `{ host: [${FAMILIES.map((one) => `"${one}"`).join()}], socket: ${path} }`);
  const [line] = await server.logged(({ msg }) => msg === "listening");
  const { port } = new URL(server.url);
  const urls = FAMILIES.map((one) => `http://${one.includes(":") ? `[${one}]` : one}:${port}`);
  assert.deepEqual(line!["addresses"], [...urls, `unix:${path}`]);
  for (const url of urls) assert.equal((await fetch(`${url}/livez`)).status, 200, url);
  assert.equal(await statusOver(path, {}, "/livez"), 200);
});

test("localhost is an address of each family", async (t) => {
  const server = await starting(t, "{ host: localhost }");
  const [line] = await server.logged(({ msg }) => msg === "listening");
  const addresses = line!["addresses"];
  for (const url of addresses as string[]) assert.equal((await fetch(`${url}/livez`)).status, 200, url);
  assert.ok((addresses as string[]).includes(`http://127.0.0.1:${new URL(server.url).port}`));
});

test("a socket in the place of TCP has its mode, is all that commands need, and goes with its server", async (t) => {
  const path = join(folder, "alone.sock");
  const server = await starting(t, `{ host: [], socket: ${path}, socket_mode: "0600" }`);
  await server.became(0, "ready");
  assert.equal(server.url, `unix:${path}`);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const config = join(folder, "alone.yaml");
  writeFileSync(config, `server: { host: [], socket: ${path} }`);
  const env = { ALT_LAS_API_KEY: server.key };
  for (const where of [
    ["--config", config],
    ["--url", `unix:${path}`],
    ["--url", `unix://${path}`],
  ]) {
    const ready = await runCommand(["ready", ...where]);
    assert.match(ready.stdout, /^The server at unix:.* is ready\.\n$/, ready.stderr);
    const gpus = await runCommand(["gpus", ...where], { env });
    assert.match(gpus.stdout, /^GPU /, gpus.stderr);
    const predicted = await runCommand(["predict", "hello", "--max-length", "2", ...where], { env });
    assert.equal(predicted.code, 0, predicted.stderr);
  }
  await server.stop();
  assert.equal(statSync(path, { throwIfNoEntry: false }), undefined);
  const gone = await runCommand(["gpus", "--url", `unix:${path}`], { env });
  assert.match(gone.stderr, /There is no answer from unix:/);
});

test("a stop waits for answers under way on further addresses, and for nobody who is idle there", async (t) => {
  const path = join(folder, "stop.sock");
  const server = await starting(t, `{ host: 127.0.0.1, socket: ${path} }`);
  await server.became(0, "ready");
  const { task_id } = await server.predict({ text: "hello", max_length: 20 });
  const waiting = statusOver(path, { authorization: `Bearer ${server.key}` }, `/api/v1/task/${task_id}?wait=60`);
  await server.ended(task_id);
  assert.equal(await waiting, 200);
  await server.stop();
});

test("a dead server's socket is taken over; a living one's, and a file that is none, stay", async (t) => {
  const path = join(folder, "taken.sock");
  const first = await starting(t, `{ host: [], socket: ${path} }`);
  await assert.rejects(starting(t, `{ host: 127.0.0.1, socket: ${path} }`), {
    code: "bad_config",
    message: `Cannot listen on the socket ${path}: another program listens there.`,
  });
  assert.equal(await statusOver(path, {}, "/livez"), 200);
  await first.stop();

  await leaveDeadSocket(path);
  mkdirSync(`${path}.new`);
  const second = await starting(t, `{ host: [], socket: ${path} }`);
  assert.equal(await statusOver(path, {}, "/livez"), 200);
  // Another server's socket in its place is not its own to remove.
  await leaveDeadSocket(path);
  await second.stop();
  assert.ok(statSync(path).isSocket());

  const file = join(folder, "notes.txt");
  writeFileSync(file, "mine");
  await assert.rejects(starting(t, `{ socket: ${file} }`), {
    message: `Cannot listen on the socket ${file}: a file is there that is no socket.`,
  });
  assert.equal(statSync(file).size, 4);
  await assert.rejects(starting(t, `{ socket: ${join(folder, "nowhere", "a.sock")} }`), {
    message: `Cannot listen on the socket ${join(folder, "nowhere", "a.sock")}: its folder does not exist.`,
  });
});

/** As a server leaves it that was killed. */
async function leaveDeadSocket(path: string): Promise<void> {
  const { spawnSync } = await import("node:child_process");
  const script =
    "const [path] = process.argv.slice(1); require('fs').rmSync(path, { force: true }); require('net').createServer().listen(path, () => process.kill(process.pid, 'SIGKILL'))";
  spawnSync(process.execPath, ["-e", script, path]);
  assert.ok(statSync(path).isSocket());
}

test("over the socket nothing is encrypted, also beside HTTPS, and both are held to the same bounds", async (t) => {
  const { cert, key } = newCertificate("models.example.com");
  const [certFile, keyFile] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  writeFileSync(certFile, cert);
  writeFileSync(keyFile, key);
  const path = join(folder, "tls.sock");
  const server = await starting(t, `{ socket: ${path}, tls: { cert: ${certFile}, key: ${keyFile} } }`);
  assert.match(server.url, /^https:/);
  assert.equal(await statusOver(path, {}, "/livez"), 200);
  assert.equal(await statusOver(path, {}, "/api/v1/me"), 401);
  assert.equal(await statusOver(path, { authorization: `Bearer ${server.key}` }, "/api/v1/me"), 200);
});

test("a proxy on the socket is believed where the list has unix, and told of where it has not", async (t) => {
  const [told, listed] = [join(folder, "told.sock"), join(folder, "listed.sock")];
  const headers = { "x-forwarded-for": "203.0.113.9" };
  const unlisted = await starting(t, `{ host: [], socket: ${told} }`);
  assert.equal(await statusOver(told, headers, "/api/v1/me"), 401);
  const [warning] = await unlisted.logged(({ msg }) => msg.includes("X-Forwarded-For"));
  assert.match(warning!.msg, /^A proxy on server\.socket sends X-Forwarded-For, .* List it, like \[unix\]\.$/);
  const [refusal] = await unlisted.logged(({ msg }) => msg === "request refused");
  assert.equal(refusal!["address"], "");

  const server = await starting(t, `{ host: [], socket: ${listed}, trust_proxy: [unix] }`);
  assert.equal(await statusOver(listed, headers, "/api/v1/me"), 401);
  const [line] = await server.logged(({ msg }) => msg === "request refused");
  assert.equal(line!["address"], "203.0.113.9");
});

test("an address that cannot be had is told with what to do, also when it is not the first", async (t) => {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  t.after(() => other.close());
  const { port } = other.address() as AddressInfo;
  const { listen } = await import("../src/http/listen.ts");
  const { default: fastify } = await import("fastify");
  const { default: pino } = await import("pino");
  const listenAs = (server: string, at: number) =>
    listen(fastify(), { ...parseConfig(`server: ${server}`, "c.yaml").server, port: at }, pino({ level: "silent" }));
  await assert.rejects(listenAs("{ host: 127.0.0.1 }", port), {
    code: "bad_config",
    message: `Cannot listen on 127.0.0.1:${port}: another program listens there; choose another port with --port.`,
  });
  await assert.rejects(listenAs("{ host: 203.0.113.1 }", 0), {
    message: "Cannot listen on 203.0.113.1:0: this machine has no such address; choose another with --host.",
  });
  await assert.rejects(starting(t, "{ host: [127.0.0.1, 203.0.113.1] }"), {
    message: /^Cannot listen on 203\.0\.113\.1:\d+: this machine has no such address/,
  });
});

function isLoud({ msg }: { readonly msg: string }): boolean {
  return msg.includes("without TLS");
}

test("beyond this machine without TLS there is one loud line, unless a proxy is named", async (t) => {
  const open = await starting(t, "{ host: 0.0.0.0 }");
  const [line, ...more] = await open.logged(isLoud);
  assert.equal(line!.level, 40);
  assert.equal(more.length, 0);
  for (const quiet of ["{ host: 0.0.0.0, trust_proxy: [10.0.0.1] }", "{ host: 127.0.0.1 }"]) {
    const server = await starting(t, quiet);
    await server.logged(({ msg }) => msg === "listening");
    assert.deepEqual(server.log.filter(isLoud), [], quiet);
  }
});

test("addresses that cannot all be meant stop the start", () => {
  refused("server: { host: [] }", /server\.host is an empty list, and there is no server\.socket/);
  refused("server: { host: [a, b, a] }", /server\.host\[2\] names "a" twice/);
  refused("server: { host: [a, /run/x] }", /server\.host\[1\] must be an address or a host's name; got "\/run\/x"/);
  refused("server: { host: 1 }", /server\.host must be an address or a host's name, or a list of them; got 1/);
  refused("server: { host: [], socket: /x, tls: { cert: a, key: b } }", /server\.tls has no use/);
  refused(`server: { socket: /${"x".repeat(120)} }`, /server\.socket has 121 bytes, and a socket's path may have 97/);
  refused("server: { socket: /x, socket_mode: 660 }", /server\.socket_mode must be a mode in octal digits/);
  refused("auth: { enabled: false }\nserver: { host: [127.0.0.1, 10.0.0.1] }", /server\.host is 10\.0\.0\.1/);
  refused("server: { keep_alive_timeout: 0 }", /keep_alive_timeout must be a number from 1 to 86,?400; got 0/);
  const { server } = parseConfig(
    "auth: { enabled: false }\nserver: { host: ['[::1]'], socket: /run/a.sock }",
    "c.yaml",
  );
  assert.deepEqual([server.host, server.socket_mode, server.keep_alive_timeout], [["::1"], "0660", 75]);
});
