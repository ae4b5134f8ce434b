/** Clients that have to show a certificate. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { request } from "node:https";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { parseConfig } from "../src/config/config.ts";
import { type Certified, newCertificate } from "./helpers/certificate.ts";
import { temporaryFolder } from "./helpers/http.ts";
import { type LocalServer, startLocalServer } from "./helpers/local-server.ts";

const ours = newCertificate("our clients");
const others = newCertificate("other clients");
const site = newCertificate("localhost");

/** @returns the status, or the code of the failure */
async function asked(server: LocalServer, client?: Certified): Promise<number | string> {
  const asking = request(`${server.url}/livez`, {
    ca: site.cert,
    servername: "localhost",
    agent: false,
    ...(client && { cert: client.cert, key: client.key }),
  });
  asking.end();
  try {
    const [response] = (await once(asking, "response")) as [IncomingMessage];
    response.resume();
    return response.statusCode!;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}

test("a client without a certificate of server.tls.client_ca gets no answer, and the log says why", async (t) => {
  const folder = temporaryFolder(t);
  const path = (name: string): string => join(folder, `${name}.pem`);
  writeFileSync(path("cert"), site.cert);
  writeFileSync(path("key"), site.key);
  writeFileSync(path("ca"), ours.cert);
  const config = `server: { tls: { cert: "${path("cert")}", key: "${path("key")}", client_ca: "${path("ca")}" } }`;
  const server = await startLocalServer(t, { config, devices: "simulated:1" });
  const robot = newCertificate("robot", ours);
  assert.equal(await asked(server, robot), 200);
  assert.equal(typeof (await asked(server)), "string");
  assert.equal(typeof (await asked(server, newCertificate("robot", others))), "string");
  assert.equal(typeof (await asked(server, newCertificate("robot"))), "string");
  const faults = () =>
    server.log.flatMap((line) =>
      line.msg === "client certificate refused" ? [(line as { fault?: unknown }).fault] : [],
    );
  assert.equal(faults()[0], "it has none");
  assert.equal(faults().length, 3);
  // However many they are.
  for (let i = 0; i < 25; i++) await asked(server);
  assert.equal(faults().length, 20);
  // A certificate is no credentials.
  assert.equal(await asked(server, robot), 200);

  writeFileSync(path("ca"), others.cert);
  assert.match(server.reload(config).certificate!, /read again/);
  assert.equal(typeof (await asked(server, robot)), "string");
  assert.equal(await asked(server, newCertificate("robot", others)), 200);
  writeFileSync(path("ca"), "nothing");
  assert.match(server.reload(config).certificate!, /stays in use: server\.tls\.client_ca: .* has no certificate/);
  assert.equal(await asked(server, newCertificate("robot", others)), 200);
});

test("server.tls.client_ca without TLS is refused", () => {
  assert.throws(
    () => parseConfig("server: { tls: { client_ca: ca.pem } }", "test.yaml"),
    /server\.tls\.client_ca is set, but without cert and key there is no TLS\./,
  );
});
