/** `alt-las ready`, which containers ask for their health. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { newCertificate } from "./helpers/certificate.ts";
import { runCommand } from "./helpers/command.ts";
import { startLocalServer } from "./helpers/local-server.ts";
import { newFolder } from "./helpers/server-handle.ts";

const NONE = "No GPU can run tasks; GET /api/v1/gpus says why.";

const folder = newFolder(test);
const { cert, key } = newCertificate("models.example.com");
const [certFile, keyFile] = [join(folder, "cert.pem"), join(folder, "key.pem")];
writeFileSync(certFile, cert);
writeFileSync(keyFile, key);
const tls = `{ cert: ${certFile}, key: ${keyFile} }`;
const server = await startLocalServer(test, { config: `server: { tls: ${tls} }`, devices: "simulated:1" });

test("a server that serves is ready, without a key and whatever name its certificate has", async () => {
  await server.became(0, "ready");
  const { port } = new URL(server.url);
  const config = join(folder, "config.yaml");
  // As the server was told: an address that stands for all.
  writeFileSync(config, `server: { host: 0.0.0.0, port: ${port}, tls: ${tls} }`);
  const { code, stdout, stderr } = await runCommand(["ready", "--config", config]);
  assert.deepEqual([code, stdout, stderr], [0, `The server at https://127.0.0.1:${port} is ready.\n`, ""]);
});

test("a server that cannot serve is not ready, and says why", async (t) => {
  const drained = await (await startLocalServer(t, { devices: "simulated:1" })).loaded();
  await drained.request("POST", "/api/v1/gpus/0/drain");
  await drained.became(0, "drained");
  const { code, stdout, stderr } = await runCommand(["ready", "--url", drained.url]);
  assert.deepEqual([code, stdout, stderr], [1, "", `The server at ${drained.url} is not ready: ${NONE}\n`]);
});

test("where nobody answers, or somebody else, that is said", async (t) => {
  const other = createServer((_request, response) => response.end('{"ok":true}')).listen(0, "127.0.0.1");
  await once(other, "listening");
  const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
  t.after(() => other.close());
  const foreign = await runCommand(["ready", "--url", `${url}/`]);
  assert.deepEqual([foreign.code, foreign.stderr], [1, `No ALT_LAS server answers at ${url}/.\n`]);
  other.closeAllConnections();
  other.close();
  await once(other, "close");
  const nobody = await runCommand(["ready", "--url", url]);
  assert.equal(nobody.code, 1);
  assert.match(nobody.stderr, /^No ALT_LAS server answers at \S+: connect ECONNREFUSED 127\.0\.0\.1:\d+\.\n$/);
});
