/** Clients that have to show a certificate. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer, request } from "node:https";
import type { AddressInfo } from "node:net";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { ask, type Remote } from "../src/cli/remote/client.ts";
import { parseConfig } from "../src/config/config.ts";
import type { DoctorReport } from "../src/doctor/section.ts";
import { type Certified, newCertificate } from "./helpers/certificate.ts";
import { runCommand } from "./helpers/command.ts";
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

test("commands show the certificate that is named, and say so where one is wanted", async (t) => {
  const folder = temporaryFolder(t);
  const put = (name: string, text: string): string => {
    const path = join(folder, `${name}.pem`);
    writeFileSync(path, text);
    return path;
  };
  const files = { cert: put("cert", site.cert), key: put("key", site.key), ca: put("ca", ours.cert) };
  const config = `server: { tls: { cert: "${files.cert}", key: "${files.key}", client_ca: "${files.ca}" } }`;
  const server = await startLocalServer(t, { config, devices: "simulated:1" });
  const authorities = getCACertificates("default");
  t.after(() => setDefaultCACertificates(authorities));
  setDefaultCACertificates([...authorities, site.cert]);
  const url = server.url.replace("127.0.0.1", "localhost");
  const robot = newCertificate("robot", ours);
  const [cert, key] = [put("robot", robot.cert), put("robot-key", robot.key)];
  const both = put("both", robot.cert + robot.key);
  const command = async (args: readonly string[], env: Record<string, string> = {}) => {
    const { code, stdout, stderr } = await runCommand([...args, "--url", url], {
      env: { ALT_LAS_API_KEY: server.key, ...env },
    });
    return { code, text: stdout + stderr };
  };
  const wanted =
    /^The server at https:\S+ .*lets only clients with a certificate in \(server\.tls\.client_ca\).* name yours by --client-cert FILE and --client-key FILE\.\n$/;
  for (const args of [["gpus"], ["ready"], ["cluster"], ["cluster", "token"], ["cluster", "revoke", "one"]]) {
    const bare = await command(args);
    assert.equal(bare.code, 1, args.join(" "));
    assert.match(bare.text, wanted);
    const shown = await command([...args, "--client-cert", cert, "--client-key", key]);
    assert.doesNotMatch(shown.text, /certificate/, args.join(" "));
  }
  assert.equal((await command(["gpus", "--client-cert", cert, "--client-key", key])).code, 0);
  assert.equal((await command(["ready"], { ALT_LAS_CLIENT_CERT: cert, ALT_LAS_CLIENT_KEY: key })).code, 0);
  assert.equal((await command(["ready", "--client-cert", cert], { ALT_LAS_CLIENT_KEY: key })).code, 0);
  assert.equal((await command(["tasks"], { ALT_LAS_CLIENT_CERT: both, ALT_LAS_CLIENT_KEY: "" })).code, 0);
  assert.equal((await command(["predict", "hello", "--max-length", "3", "--client-cert", both])).code, 0);
  const foreign = newCertificate("robot", others);
  const refused = put("foreign", foreign.cert + foreign.key);
  for (const name of ["gpus", "ready"])
    assert.match(
      (await command([name, "--client-cert", refused])).text,
      /has closed the connection: perhaps no authority/,
    );
  const sentences = [
    [["--client-key", key], /^The key .* is for a client certificate, and none is named: --client-cert FILE does\.\n$/],
    [["--client-cert", join(folder, "none")], /^The client certificate .*none cannot be read: ENOENT/],
    [["--client-cert", cert, "--client-key", join(folder, "none")], /^The key .*none of the client certificate cannot/],
    [["--client-cert", cert], /^The client certificate .*robot\.pem cannot be used, with a key in the same file: /],
    [
      ["--client-cert", cert, "--client-key", files.key],
      /robot\.pem cannot be used with the key .*key\.pem: .*mismatch/,
    ],
  ] as const;
  for (const [args, sentence] of sentences) {
    const { code, text } = await command(["gpus", ...args]);
    assert.equal(code, 1);
    assert.match(text, sentence);
  }
});

test("a server that has taken a certificate, and then closes a connection, is not said to want another one", async (t) => {
  const authorities = getCACertificates("default");
  t.after(() => setDefaultCACertificates(authorities));
  setDefaultCACertificates([...authorities, site.cert]);
  let isThere = false;
  const server = createServer({ cert: site.cert, key: site.key }, (asking, answer) => {
    if (isThere) answer.end('{"gpus":[]}');
    else asking.socket.destroy();
  });
  t.after(() => server.close());
  await once(server.listen(0, "localhost"), "listening");
  const url = `https://localhost:${(server.address() as AddressInfo).port}`;
  const { cert, key: itsKey } = newCertificate("robot", ours);
  const certificates: readonly Pick<Remote, "certificate">[] = [{}, { certificate: { cert, key: itsKey } }];
  for (const shown of certificates) {
    const gpus = () => ask({ url, key: "k", ...shown }, "gpus", "gpus");
    isThere = false;
    await assert.rejects(gpus(), ({ message, cause }: Error) => {
      assert.match(message, /^The server at \S+ has closed the connection.*server\.tls\.client_ca/);
      return cause instanceof Error;
    });
    isThere = true;
    await gpus();
    isThere = false;
    await assert.rejects(gpus(), /There is no answer from https:/);
  }
});

test("doctor goes on without a certificate that cannot be read, and names it", async (t) => {
  const folder = temporaryFolder(t);
  const config = join(folder, "config.yaml");
  writeFileSync(config, "{ server: { port: 0 }, gpu: { devices: simulated:1 }, engine: { kind: simulated } }");
  const args = ["doctor", "--json", "--config", config, "--data-dir", join(folder, "data")];
  const { code, stdout } = await runCommand(args, { env: { ALT_LAS_CLIENT_CERT: join(folder, "gone") } });
  assert.equal(code, 1);
  const { ok, problems, facts } = JSON.parse(stdout) as DoctorReport;
  assert.match(problems[0]!.problem, /^The client certificate .*gone cannot be read: ENOENT/);
  assert.deepEqual([ok, "server" in facts], [false, true]);
});

test("server.tls.client_ca without TLS is refused", () => {
  assert.throws(
    () => parseConfig("server: { tls: { client_ca: ca.pem } }", "test.yaml"),
    /server\.tls\.client_ca is set, but without cert and key there is no TLS\./,
  );
});
