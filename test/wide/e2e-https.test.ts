/** HTTPS, with a certificate made for the test. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type IncomingMessage } from "node:http";
import { get, type RequestOptions } from "node:https";
import { join } from "node:path";
import { json, text } from "node:stream/consumers";
import { test } from "node:test";
import { connect } from "node:tls";
import { altLas, deadline, lacks, newFolder, runProgram, Server } from "../helpers/server.ts";

/** Makes cert.pem and key.pem in a folder. */
async function makeCertificate(folder: string, name = "cert"): Promise<void> {
  const request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost";
  const files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", `${name}-key.pem`, "-out", `${name}.pem`];
  const { code, stderr } = await runProgram("openssl", [...request.split(" "), ...files], { cwd: folder });
  assert.equal(code, 0, stderr);
}

async function getJson(url: string, options: RequestOptions): Promise<{ status: number; body: unknown }> {
  const [response] = (await once(get(url, { ...options, signal: deadline() }), "response")) as [IncomingMessage];
  return { status: response.statusCode!, body: await json(response) };
}

test("with a certificate and a key the server speaks HTTPS and nothing else", async (t) => {
  const none = await lacks(runProgram("openssl", ["version"]), "openssl");
  if (none) return t.skip(none);
  const folder = newFolder(t);
  await makeCertificate(folder);
  const config = `
    server: { tls: { cert: cert.pem, key: cert-key.pem } }
    engine: { simulated: { tokens_per_second: 0 } }`;
  const server = await Server.start(t, { config, args: ["--devices", "simulated:1"] }, folder);
  assert.match(server.url, /^https:\/\/127\.0\.0\.1:\d+$/);

  const headers = { authorization: `Bearer ${server.key}` };
  const ca = readFileSync(join(folder, "cert.pem"));
  const { status, body } = await getJson(`${server.url}/api/v1/gpus`, { ca, headers });
  assert.equal(status, 200);
  assert.equal((body as { gpus: unknown[] }).gpus.length, 1);
  assert.equal((await getJson(`${server.url}/api/v1/gpus`, { ca })).status, 401);
  await assert.rejects(getJson(`${server.url}/livez`, {}), /self-signed certificate/);
  await assert.rejects(fetch(`${server.url.replace("https", "http")}/livez`, { signal: deadline() }));

  // A client that sends no more gets its answer.
  const { hostname, port } = new URL(server.url);
  const options = { host: hostname, port: Number(port), ca, allowHalfOpen: true };
  const socket = connect(options);
  t.after(() => socket.destroy());
  const request = `{"text":"x","max_length":2}`;
  const about = `Content-Type: application/json\r\nContent-Length: ${request.length}\r\nConnection: close`;
  socket.end(
    `POST /api/v1/predict HTTP/1.1\r\nHost: x\r\nAuthorization: ${headers.authorization}\r\n${about}\r\n\r\n${request}`,
  );
  assert.match(await text(socket), /^HTTP\/1\.1 200 OK\r\n/);

  if (await lacks(runProgram("curl", ["--version"]), "curl")) return;
  const pasted = await runProgram("sh", ["-c", server.curl], { cwd: folder, env: { ALT_LAS_API_KEY: server.key } });
  assert.equal((JSON.parse(pasted.stdout) as { status: string }).status, "completed");
});

test("a certificate that cannot be used stops the start with a sentence", async (t) => {
  const none = await lacks(runProgram("openssl", ["version"]), "openssl");
  if (none) return t.skip(none);
  const cwd = newFolder(t);
  await makeCertificate(cwd);
  await makeCertificate(cwd, "other");
  for (const [key, sentence] of [
    ["nowhere.pem", /^server\.tls\.key cannot be read: .*nowhere\.pem.*\.\n$/m],
    ["other-key.pem", /^server\.tls: cert\.pem and other-key\.pem cannot be used together: .*\.\n$/m],
  ] as const) {
    const env = { ALT_LAS_TEST_KEY: key };
    const config = join(cwd, "config.yaml");
    await runProgram("sh", [
      "-c",
      `echo 'server: { tls: { cert: cert.pem, key: "\${ALT_LAS_TEST_KEY}" } }' > ${config}`,
    ]);
    const { code, stdout, stderr } = await altLas(["serve", "--port", "0", "--devices", "simulated:1"], { cwd, env });
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, sentence);
  }
});

test("of all that openssl knows, only forward secrecy with AEAD is accepted", async (t) => {
  const none = await lacks(runProgram("openssl", ["version"]), "openssl");
  if (none) return t.skip(none);
  const folder = newFolder(t);
  const request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout rsa-key.pem -out rsa.pem";
  await runProgram("openssl", request.split(" "), { cwd: folder });
  const config = "server: { tls: { cert: rsa.pem, key: rsa-key.pem } }";
  const server = await Server.start(t, { config, args: ["--devices", "simulated:1"] }, folder);
  const { port } = new URL(server.url);
  const isTaken = async (...args: string[]): Promise<boolean> => {
    const { code } = await runProgram("openssl", ["s_client", "-connect", `127.0.0.1:${port}`, ...args], { input: "" });
    return code === 0;
  };
  const known = await runProgram("openssl", ["ciphers", "-s", "-tls1_2", "ALL:@SECLEVEL=0"]);
  const taken: string[] = [];
  const ciphers = known.stdout.trim().split(":");
  assert.ok(ciphers.length > 20, known.stdout);
  for (const cipher of ciphers) if (await isTaken("-tls1_2", "-cipher", `${cipher}:@SECLEVEL=0`)) taken.push(cipher);
  assert.deepEqual(taken.toSorted(), [
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
  ]);
  for (const [version, is] of [
    ["-tls1_3", true],
    ["-tls1_1", false],
    ["-tls1", false],
  ] as const)
    assert.equal(await isTaken(version, ...(is ? [] : ["-cipher", "ALL:@SECLEVEL=0"])), is, version);
});
