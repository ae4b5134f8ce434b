/** TLS of the server's own: which versions and ciphers are taken, what browsers are told, and certificates that are renewed. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { renameSync, writeFileSync } from "node:fs";
import { type IncomingMessage } from "node:http";
import { get } from "node:https";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { test } from "node:test";
import { connect, type ConnectionOptions } from "node:tls";
import { parseConfig } from "../src/config/config.ts";
import { listeningProblems } from "../src/doctor/listening.ts";
import { newCertificate } from "./helpers/certificate.ts";
import { startLocalServer } from "./helpers/local-server.ts";
import { newFolder } from "./helpers/server-handle.ts";

const folder = newFolder(test);
const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
put(newCertificate("first.example.com"));
const tls = `{ cert: ${cert}, key: ${key} }`;
const server = await startLocalServer(test, { config: `server: { tls: ${tls} }`, devices: "simulated:1" });
const port = Number(new URL(server.url).port);

function put(made: { readonly cert?: string; readonly key?: string }): void {
  for (const [path, text] of [
    [cert, made.cert],
    [key, made.key],
  ] as const) {
    if (text === undefined) continue;
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
  }
}

/** @returns the cipher; null: the handshake failed */
async function handshake(options: ConnectionOptions): Promise<string | null> {
  const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ...options });
  try {
    await once(socket, "secureConnect");
    return socket.getCipher().name;
  } catch {
    return null;
  } finally {
    socket.destroy();
  }
}

async function nameShown(): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return String(subject.CN);
}

async function ask(path: string, host: string): Promise<IncomingMessage> {
  const [answer] = (await once(
    get({ port, host: "127.0.0.1", path, rejectUnauthorized: false, headers: { host } }),
    "response",
  )) as [IncomingMessage];
  return answer;
}

test("TLS 1.2 with forward secrecy and AEAD, and TLS 1.3, are taken, and nothing older", async () => {
  assert.match((await handshake({ minVersion: "TLSv1.3" }))!, /^TLS_/);
  const tls12 = { maxVersion: "TLSv1.2" } as const;
  for (const cipher of ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"])
    assert.equal(await handshake({ ...tls12, ciphers: cipher }), cipher);
  for (const cipher of ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "AES128-SHA"])
    assert.equal(await handshake({ ...tls12, ciphers: cipher }), null, cipher);
  const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
  assert.equal(await handshake(old), null);
});

test("browsers are told to come by HTTPS alone, but not of names that are every machine's own", async () => {
  for (const [host, header] of [
    [`models.example.com:${port}`, "max-age=15552000"],
    ["models.example.com", "max-age=15552000"],
    [`localhost:${port}`, undefined],
    ["127.0.0.1", undefined],
    ["192.0.2.7", undefined],
    ["[2001:db8::1]", undefined],
  ] as const) {
    const answer = await ask("/livez", host);
    answer.resume();
    assert.equal(answer.headers["strict-transport-security"], header, host);
  }
});

function taken({ msg }: { readonly msg: string }): boolean {
  return msg.startsWith("The certificate was read again");
}

test("a renewed certificate is taken up by itself; a broken one changes nothing but what is said", async () => {
  assert.equal(await nameShown(), "first.example.com");
  put(newCertificate("second.example.com"));
  await server.logged(taken);
  assert.equal(await nameShown(), "second.example.com");

  // The key of another one.
  put({ cert: newCertificate("broken.example.com").cert });
  const [line] = await server.logged(({ msg }) => msg.startsWith("The certificate that was there before stays in use"));
  assert.equal(line!.level, 50);
  assert.equal(await nameShown(), "second.example.com");
  const { status, reason } = (await json(await ask("/readyz", "localhost"))) as { status: string; reason: string };
  assert.equal(status, "ready");
  assert.equal(reason, "A new certificate cannot be used, and the one before stays in use; the log says why.");

  put(newCertificate("third.example.com"));
  await server.logged(taken, 2);
  assert.equal(await nameShown(), "third.example.com");
  assert.equal(((await json(await ask("/readyz", "localhost"))) as { reason?: string }).reason, undefined);
});

function problems(yaml: string, now?: number): string[] {
  return listeningProblems(parseConfig(yaml, "c.yaml"), now).map(({ problem }) => problem);
}

test("doctor finds certificates near their end, keys that all may read, and what crosses the network in the clear", () => {
  const ours = `server: { host: 0.0.0.0, tls: ${tls} }`;
  const [end, ...more] = problems(ours, Date.UTC(2049, 11, 24));
  assert.equal(
    end,
    `The certificate ${cert} ends on 2049-12-31. Renew it; a running server takes the new one up by itself.`,
  );
  assert.match(problems(ours, Date.UTC(2050, 1, 1))[0]!, /has ended on 2049-12-31/);
  assert.match(more[0]!, /^Every user of this machine may use the private key .*key\.pem \(mode 644\)\.$/);
  assert.equal(more.length, 1);
  assert.match(problems("server: { host: 0.0.0.0 }")[0]!, /^The server listens beyond this machine without TLS/);
  assert.match(problems("server: { base_path: /a }")[0]!, /^server\.base_path is \/a, so there is a proxy in front/);
  assert.deepEqual(problems("server: { base_path: /a, trust_proxy: [127.0.0.1] }"), []);
});
