/** A server that does not lead: what it passes on, what it answers by itself, and what becomes of both when somebody leaves. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import https from "node:https";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { test, type TestContext } from "node:test";
import { setDefaultCACertificates, type TLSSocket } from "node:tls";
import { Credentials } from "../src/auth/credentials.ts";
import { parseConfig } from "../src/config/config.ts";
import { checkOwnCertificate } from "../src/cluster/own-certificate.ts";
import { TextReader } from "../src/cluster/text-reader.ts";
import { close, listen } from "../src/http/listen.ts";
import type { LeadingServer } from "../src/http/standby/pass-on.ts";
import { createStandby, type StandbyServer } from "../src/http/standby/server.ts";
import { readTls } from "../src/http/tls.ts";
import { createLogger } from "../src/log/log.ts";
import { newTask, type Task } from "../src/task.ts";
import { newCertificate } from "./helpers/certificate.ts";
import { NOTHING_ENDED } from "./helpers/ended.ts";
import { Hub } from "./helpers/memory-bus.ts";
import { testFolder } from "./helpers/store.ts";

const SECRET = "secret-of-the-leader";
const ENDED = "01890000-0000-7000-8000-000000000001";

interface World {
  readonly url: string;
  readonly port: number;
  readonly server: StandbyServer;
  leader: LeadingServer | null;
  seesDatabase: boolean;
}

/** @param said the errors in its log */
async function standby(t: TestContext, answer: http.RequestListener, yaml = "", said: string[] = []): Promise<World> {
  const leader = Object.assign(http.createServer(answer), { httpAllowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(leader, "listening");
  t.after(() => {
    leader.close();
    leader.closeAllConnections();
  });
  const config = parseConfig(`auth: { enabled: false }\n${yaml}`, "config.yaml", { port: 0 });
  const log = createLogger("error", { write: (line) => void said.push(line) });
  const { port } = leader.address() as AddressInfo;
  const first: LeadingServer = { id: "a", url: `http://127.0.0.1:${port}`, secret: SECRET };
  const world = { leader: first as LeadingServer | null, seesDatabase: true };
  const server = createStandby({
    config,
    live: { config, values: [], sourceOf: () => "default", patch: () => [] },
    log,
    credentials: new Credentials({ config: config.auth, dataDir: testFolder(t), log }),
    version: "1.2.3",
    leader: () => world.leader,
    seesDatabase: () => world.seesDatabase,
    texts: new TextReader({ bus: new Hub().connect(), cluster: "a" }),
    ended: { ...NOTHING_ENDED, get: (id) => Promise.resolve(id === ENDED ? endedTask() : null) },
    metrics: () => Promise.resolve({ contentType: "text/plain", text: "altlas_cluster_leads 0\n" }),
  });
  t.after(() => close(server.app));
  const { url } = await listen(server.app, config.server, log, true);
  return Object.assign(world, { url, port: Number(new URL(url).port), server });
}

function endedTask(): Task {
  const plain = { strategy: "round_robin", pinnedGpuId: null, batchId: null, wholeBatch: false } as const;
  const unasked = { retryOf: null, webhook: null, taskType: "", priority: "normal", timeoutSeconds: null } as const;
  const request = { kind: "completion", text: "hello", sampling: { maxTokens: 5 } } as unknown as Parameters<
    typeof newTask
  >[0]["request"];
  const task = newTask({
    ...plain,
    ...unasked,
    id: ENDED,
    seq: 1,
    user: "anonymous",
    model: null,
    createdAt: 0,
    request,
  });
  return Object.assign(task, {
    status: "failed",
    finishedAt: 1,
    error: { code: "timeout", sentence: "It took too long." },
  });
}

/** One request, with its whole answer. */
async function ask(world: World, path: string, options: http.RequestOptions = {}, body?: string) {
  const sent = http.request({ host: "127.0.0.1", port: world.port, path, agent: false, ...options });
  sent.end(body);
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text += chunk as string;
  return { status: response.statusCode, headers: response.headers, trailers: response.trailers, text };
}

test("a request is passed on as it came, with its sender, and so is the answer", async (t) => {
  const seen: { head?: IncomingMessage; body: string } = { body: "" };
  const world = await standby(t, async (request, response) => {
    seen.head = request;
    for await (const chunk of request.setEncoding("utf8")) seen.body += chunk as string;
    response.writeHead(418, { "x-task-id": "7", trailer: "x-sum", "set-cookie": ["a=1", "b=2"] });
    response.write("first, ");
    response.addTrailers({ "x-sum": "abc" });
    response.end("second");
  });
  const headers = {
    authorization: "Bearer key",
    "content-type": "application/json",
    "transfer-encoding": "chunked",
    "x-forwarded-for": "203.0.113.7",
    connection: "close, x-private",
    "x-private": "1",
  };
  const answer = await ask(world, "/api/v1/predict?a=%20b", { method: "DELETE", headers }, '{"text":"hello"}');
  const { head, body } = seen;
  assert.deepEqual([head!.method, head!.url, body], ["DELETE", "/api/v1/predict?a=%20b", '{"text":"hello"}']);
  assert.equal(head!.headers.authorization, "Bearer key");
  assert.equal(head!.headers.host, `127.0.0.1:${world.port}`);
  assert.equal(head!.headers["x-forwarded-alt-las"], `${SECRET} 127.0.0.1 relays`);
  assert.equal(head!.headers["x-private"], undefined);
  // Of a client that is no proxy: it could name whom it likes.
  assert.equal(head!.headers["x-forwarded-for"], undefined);
  assert.deepEqual([answer.status, answer.text, answer.trailers["x-sum"]], [418, "first, second", "abc"]);
  assert.deepEqual([answer.headers["x-task-id"], answer.headers["set-cookie"]], ["7", ["a=1", "b=2"]]);
});

test("what was passed on already goes no further", async (t) => {
  const world = await standby(t, () => assert.fail("it was passed on"));
  const { status, text } = await ask(world, "/api/v1/tasks", { headers: { "x-forwarded-alt-las": "x 127.0.0.1" } });
  assert.deepEqual([status, (JSON.parse(text) as { code: string }).code], [503, "not_ready"]);
});

test("while nobody leads it says so, and gives out what has ended", async (t) => {
  const world = await standby(t, (_request, response) => response.end("the leader's"));
  const task = async (id: string) => ask(world, `/api/v1/task/${id}`, { headers: { host: "localhost" } });
  const { text: stored } = await task(ENDED);
  assert.equal((JSON.parse(stored) as { status: string }).status, "failed", stored);
  assert.equal((await task(ENDED.replace(/1$/, "2"))).text, "the leader's");
  assert.equal((await ask(world, "/readyz")).status, 200);
  world.leader = null;
  assert.equal((await task(ENDED)).status, 200);
  for (const path of [`/api/v1/task/${ENDED.replace(/1$/, "2")}`, "/api/v1/gpus", "/v1/models", "/nothing"]) {
    const { status, headers, text } = await ask(world, path, { headers: { host: "localhost" } });
    const { code } = JSON.parse(text) as { code?: string; error: { code: string } };
    assert.deepEqual([status, headers["retry-after"]], [503, "1"], path);
    if (path.startsWith("/api")) assert.equal(code, "not_ready");
  }
  const health = await ask(world, "/healthz");
  assert.equal(health.status, 503);
  assert.equal((JSON.parse(health.text) as { role: string }).role, "standby");
  const reason = async (): Promise<string> =>
    (JSON.parse((await ask(world, "/readyz")).text) as { reason: string }).reason;
  assert.equal(await reason(), "No server leads the cluster at the moment.");
  world.seesDatabase = false;
  assert.match(await reason(), /^This server cannot reach the task database on PostgreSQL/);
});

test("a leader that is not there is no leader", async (t) => {
  const world = await standby(t, () => {});
  world.leader = { ...world.leader!, url: "http://127.0.0.1:1" };
  const { status, headers } = await ask(world, "/api/v1/predict", { method: "POST" }, "{}");
  assert.deepEqual([status, headers["retry-after"]], [503, "1"]);
});

/** A leader that says nothing, and what comes to it. */
async function listener(t: TestContext) {
  const heard = { text: "", sockets: [] as Socket[] };
  const leader = createServer((socket) => {
    heard.sockets.push(socket.on("error", () => {}));
    socket.setEncoding("latin1").on("data", (piece: string) => {
      heard.text += piece;
      leader.emit("heard");
    });
  }).listen(0, "127.0.0.1");
  await once(leader, "listening");
  t.after(() => {
    leader.close();
    for (const socket of heard.sockets) socket.destroy();
  });
  const { port } = leader.address() as AddressInfo;
  const until = async (what: RegExp): Promise<void> => {
    while (!what.test(heard.text)) await once(leader, "heard");
  };
  return Object.assign(heard, { leader, port, until });
}

/** A connection to a server that stands by, on which bytes are sent as they are. */
function bare(t: TestContext, { port }: World, bytes: string): Socket {
  const socket = connect(port, "127.0.0.1").setEncoding("latin1");
  t.after(() => socket.destroy());
  socket.write(bytes, "latin1");
  return socket;
}

const SECOND = "GET /api/v1/users HTTP/1.1\r\nHost: localhost\r\nX-End: 1\r\n\r\n";
const BODY_LENGTH = `Content-Length: ${SECOND.length}`;

for (const method of ["GET", "DELETE", "OPTIONS", "POST"])
  test(`what a ${method} has for a body stays its body, whatever its Connection names`, async (t) => {
    const world = await standby(t, () => {});
    const heard = await listener(t);
    world.leader = { ...world.leader!, url: `http://127.0.0.1:${heard.port}` };
    const named = "Content-Length, Transfer-Encoding, Host, Authorization, X-Forwarded-Alt-Las, X-Private";
    const head = `${method} /x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer key\r\nX-Private: 1\r\nTrailer: x-sum`;
    const socket = bare(t, world, `${head}\r\nConnection: ${named}\r\n${BODY_LENGTH}\r\n\r\n${SECOND}`);
    await heard.until(/X-End: 1\r\n\r\n$/);
    const [said, body] = [heard.text.slice(0, -SECOND.length), heard.text.slice(-SECOND.length)];
    assert.equal(body, SECOND);
    assert(said.startsWith(`${method} /x HTTP/1.1\r\n`), said);
    assert.equal(said.indexOf("\r\n\r\n"), said.length - 4, "one head");
    assert.equal(said.match(/content-length/gi)!.length, 1);
    for (const kept of [
      BODY_LENGTH,
      "Host: localhost",
      "Authorization: Bearer key",
      `x-forwarded-alt-las: ${SECRET} 127.0.0.1 relays`,
    ])
      assert(said.includes(`\r\n${kept}\r\n`), said);
    assert.doesNotMatch(said, /x-private|trailer|transfer-encoding/i);
    socket.destroy();
  });

test("a body in chunks goes on in chunks, and a request without one says so", async (t) => {
  const world = await standby(t, () => {});
  const heard = await listener(t);
  world.leader = { ...world.leader!, url: `http://127.0.0.1:${heard.port}` };
  const head = "HTTP/1.1\r\nHost: localhost\r\nConnection: transfer-encoding\r\n";
  bare(t, world, `DELETE /x ${head}Transfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n5\r\nfirst\r\n0\r\n\r\n`);
  await heard.until(/\r\nTransfer-Encoding: chunked\r\n[^]*\r\n5\r\nfirst\r\n0\r\n\r\n$/);
  heard.text = "";
  bare(t, world, `POST /x ${head}\r\n`);
  await heard.until(/^POST[^]*\r\n\r\n$/);
  assert.match(heard.text, /\r\nContent-Length: 0\r\n/);
  heard.text = "";
  bare(t, world, `GET /x ${head}\r\n`);
  await heard.until(/^GET[^]*\r\n\r\n$/);
  assert.doesNotMatch(heard.text, /content-length|transfer-encoding/i);
});

test("a client is asked to repeat only what the leader cannot have done, or may do twice", async (t) => {
  const world = await standby(t, (request) => request.resume().on("end", () => request.socket.destroy()));
  const send = async (method: string, headers: http.OutgoingHttpHeaders = {}) => {
    const answer = await ask(world, "/api/v1/predict", { method, headers }, method === "GET" ? undefined : "{}");
    const { code } = JSON.parse(answer.text) as { code: string };
    return [answer.status, code, answer.headers["retry-after"]];
  };
  const again = [503, "not_ready", "1"];
  assert.deepEqual(await send("POST"), [500, "internal_error", undefined]);
  assert.deepEqual(await send("DELETE", { "content-length": 2 }), [500, "internal_error", undefined]);
  assert.deepEqual(await send("POST", { "idempotency-key": "1" }), again);
  assert.deepEqual(await send("GET"), again);
  const keyed = async (path: string) =>
    (await ask(world, path, { method: "POST", headers: { "idempotency-key": "1" } }, "{}")).status;
  for (const path of ["/api/v1/predict/", "/api/v1/%70redict", "/completions", "/v1/chat//completions"])
    assert.equal(await keyed(path), 503, path);
  // No key is heeded there: sent again, it would be a second file.
  for (const path of ["/v1/files", "/v1/files?x=/predict", "/v1/files#/predict"])
    assert.equal(await keyed(path), 500, path);
  // Clients of OpenAI's API send again whatever is a failure of the server.
  const completion = await ask(world, "/v1/completions", { method: "POST" }, "{}");
  assert.deepEqual([completion.status, completion.headers["x-should-retry"]], [500, "false"]);
  world.leader = { ...world.leader!, url: "http://127.0.0.1:1" };
  assert.deepEqual(await send("POST"), again);
});

test("a POST that the old leader may have done is not sent again when another one leads", async (t) => {
  const world = await standby(t, () => {
    world.leader = { ...world.leader!, id: "b" };
    world.server.leaderChanged();
  });
  const { status, text } = await ask(world, "/api/v1/predict", { method: "POST" }, "{}");
  assert.deepEqual([status, (JSON.parse(text) as { code: string }).code], [500, "internal_error"]);
});

test("only what has no body is sent again when a kept connection turns out to be closed", async (t) => {
  const seen: string[] = [];
  const answered = new WeakSet<Socket>();
  const world = await standby(t, async (request, response) => {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk as string;
    seen.push(body);
    if (answered.has(request.socket)) return void request.socket.destroy();
    answered.add(request.socket);
    response.end("answered");
  });
  const options = { headers: { "content-length": 4 } };
  assert.equal((await ask(world, "/x")).status, 200);
  assert.equal((await ask(world, "/x")).status, 200);
  assert.equal((await ask(world, "/x", options, "body")).status, 503);
  assert.deepEqual(seen, ["", "", "", "body"]);
});

test("a leader that takes no connection is no leader", async (t) => {
  const world = await standby(t, () => {});
  const { leader, port } = await listener(t);
  world.leader = { ...world.leader!, url: `https://127.0.0.1:${port}` };
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const answer = ask(world, "/api/v1/predict", { method: "POST" }, "{}");
  await once(leader, "heard");
  t.mock.timers.tick(5000);
  assert.equal((await answer).status, 503);
  t.mock.timers.reset();
});

test("a client that waits to be asked for its body is asked for it", async (t) => {
  const world = await standby(t, (request, response) => void request.pipe(response));
  const head = "POST /x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
  const socket = bare(t, world, head);
  assert.deepEqual(await once(socket, "data"), ["HTTP/1.1 100 Continue\r\n\r\n"]);
  socket.write("hello");
  const [answer] = (await once(socket, "data")) as [string];
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
  // HTTP/1.0 knows of no such answer.
  const [first] = (await once(bare(t, world, `${head.replace("1.1", "1.0")}hello`), "data")) as [string];
  assert.match(first, /^HTTP\/1\.1 200 OK\r\n/);
});

test("the leader is shown the certificate as it was renewed, also where a connection was kept", async (t) => {
  const authority = newCertificate("Authority of our own");
  const folder = testFolder(t);
  const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  const put = (name: string): void => {
    const made = newCertificate(name, authority);
    writeFileSync(cert, made.cert);
    writeFileSync(key, made.key);
  };
  put("first.example.com");
  const world = await standby(t, () => {}, `server: { tls: { cert: ${cert}, key: ${key} } }`);
  const own = newCertificate("localhost", authority);
  const settings = { ...own, requestCert: true, rejectUnauthorized: false };
  const leader = https.createServer(settings, ({ socket }, response) => {
    response.end(String((socket as TLSSocket).getPeerCertificate().subject.CN));
  });
  await once(leader.listen(0, "127.0.0.1"), "listening");
  t.after(() => {
    leader.close();
    leader.closeAllConnections();
  });
  setDefaultCACertificates([authority.cert]);
  world.leader = { ...world.leader!, url: `https://localhost:${(leader.address() as AddressInfo).port}` };
  const shown = async (): Promise<string> => {
    const sent = https.get({
      host: "127.0.0.1",
      port: world.port,
      path: "/x",
      agent: false,
      rejectUnauthorized: false,
    });
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    return textOf(answer);
  };
  assert.equal(await shown(), "first.example.com");
  put("second.example.com");
  world.server.app.renewCertificate();
  assert.equal(await shown(), "second.example.com");
});

test("a leader that wants certificates of all clients takes those of the other servers", async (t) => {
  const authority = newCertificate("Authority of the cluster");
  const folder = testFolder(t);
  const path = (name: string): string => join(folder, name);
  const made = newCertificate("localhost", authority);
  for (const [name, text] of Object.entries({ cert: made.cert, key: made.key, ca: authority.cert }))
    writeFileSync(path(name), text);
  const yaml = `server: { tls: { cert: ${path("cert")}, key: ${path("key")}, client_ca: ${path("ca")} } }`;
  const world = await standby(t, () => {}, yaml);
  const settings = readTls(parseConfig(yaml, "config.yaml").server.tls)!;
  const leader = https.createServer(settings, (_request, response) => response.end("let in"));
  await once(leader.listen(0, "127.0.0.1"), "listening");
  t.after(() => {
    leader.close();
    leader.closeAllConnections();
  });
  setDefaultCACertificates([authority.cert]);
  world.leader = { ...world.leader!, url: `https://localhost:${(leader.address() as AddressInfo).port}` };
  const asked = async (client: object): Promise<string> => {
    const own = { host: "localhost", port: world.port, path: "/x", agent: false };
    const [answer] = (await once(https.get({ ...own, ...client }), "response")) as [IncomingMessage];
    return textOf(answer);
  };
  const robot = newCertificate("robot", authority);
  assert.equal(await asked({ cert: robot.cert, key: robot.key }), "let in");
  await assert.rejects(asked({}));
});

/** Of openssl, for a server alone: `extendedKeyUsage=serverAuth`. */
const OF_SERVERS = `-----BEGIN CERTIFICATE-----
MIIBUjCB+KADAgECAhQwAQiEw6A3uAvj/3BJHfPnqsNpmTAKBggqhkjOPQQDAjAM
MQowCAYDVQQDDAFhMCAXDTI2MTEzMDA3MjEwNVoYDzIxMjYxMTA2MDcyMTA1WjAM
MQowCAYDVQQDDAFhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE66qbAge29FG+
gHOutd0Cgv48Tb70ad++MJFsrAAUueM9rWTMo9FIfordULiRz28vWUeRNiTNb0dL
9TIIth7G0KM2MDQwEwYDVR0lBAwwCgYIKwYBBQUHAwEwHQYDVR0OBBYEFGoh2528
4N/zki6m0wSjvz/quzuPMAoGCCqGSM49BAMCA0kAMEYCIQCsCnBcnrxV0/9Rk/69
776PWg/7puI2EYCAqvi2zo/1jQIhANFWwo/YNhzHfNMy84s2T4PAd+N/ySD8WgIU
5dBn9G69
-----END CERTIFICATE-----
`;

test("a server says at its start when the other ones would refuse its certificate", () => {
  const authority = newCertificate("Authority of the cluster");
  const ca = [newCertificate("Another authority").cert, authority.cert];
  const faultOf = (cert: string): string | null => {
    const said: unknown[] = [];
    checkOwnCertificate(() => ({ cert: Buffer.from(cert), ca }), { error: (line: unknown) => void said.push(line) });
    return (said[0] as string | undefined) ?? null;
  };
  const between = newCertificate("Between", authority);
  const own = newCertificate("localhost", between);
  assert.equal(faultOf(newCertificate("localhost", authority).cert), null);
  assert.equal(faultOf(own.cert + between.cert), null);
  assert.equal(faultOf(authority.cert), null);
  for (const cert of [own.cert, newCertificate("localhost").cert, own.cert + newCertificate("Between", authority).cert])
    assert.match(faultOf(cert)!, /^The certificate of server\.tls\.cert is signed by no authority of server\.tls\./);
  assert.match(faultOf(OF_SERVERS)!, /^The certificate of server\.tls\.cert is not for clients \(clientAuth\)/);
  assert.equal(faultOf(own.cert.replaceAll(" CERTIFICATE", " TRUSTED CERTIFICATE")), null);
  const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  assert.match(faultOf(broken)!, /^Whether other servers of this cluster take server\.tls\.cert cannot be said: /);
});

test("a leader whose certificate does not fit is told of, once for each thing that is wrong", async (t) => {
  const said: string[] = [];
  const world = await standby(t, () => {}, "", said);
  const authority = newCertificate("Authority of the servers");
  const leader = https.createServer(newCertificate("localhost", authority), (_request, response) => response.end());
  await once(leader.listen(0, "127.0.0.1"), "listening");
  t.after(() => {
    leader.close();
    leader.closeAllConnections();
  });
  setDefaultCACertificates([newCertificate("Another authority").cert]);
  const url = `https://localhost:${(leader.address() as AddressInfo).port}`;
  world.leader = { ...world.leader!, url };
  for (let i = 0; i < 2; i++) assert.equal((await ask(world, "/x")).status, 503);
  setDefaultCACertificates([authority.cert]);
  assert.equal((await ask(world, "/x")).status, 200);
  world.leader = { ...world.leader, url: url.replace("localhost", "127.0.0.1") };
  assert.equal((await ask(world, "/x")).status, 503);
  assert.deepEqual(
    said.map((line) => (JSON.parse(line) as { msg: string }).msg),
    [url, world.leader.url].map((at, index) => {
      const why = ["its certificate is signed by nobody who is trusted here", "its certificate is for another name"][
        index
      ];
      return `No request can be passed on to the server that leads, at ${at} (its cluster.address): ${why}.`;
    }),
  );
});

/** A stream that was opened at both ends. */
async function stream(t: TestContext) {
  const begun = Promise.withResolvers<{ request: IncomingMessage; response: ServerResponse }>();
  const world = await standby(t, (request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.flushHeaders();
    begun.resolve({ request, response });
  });
  const sent = http.get({ host: "127.0.0.1", port: world.port, path: "/api/v1/events", agent: false });
  const [answer] = (await once(sent, "response")) as [IncomingMessage];
  const { response } = await begun.promise;
  return { world, sent, answer: answer.setEncoding("utf8"), response };
}

test("a stream arrives as it comes about, and ends at the leader when its reader leaves", async (t) => {
  const { sent, answer, response } = await stream(t);
  for (const event of ["data: one\n\n", "data: two\n\n"]) {
    response.write(event);
    assert.deepEqual(await once(answer, "data"), [event]);
  }
  answer.on("error", () => {});
  sent.destroy();
  // As the leader does with a client that says no more: one that has gone takes nothing.
  await once(response.socket!, "end");
  const ping = setInterval(() => response.write(": ping\n\n"), 20);
  await once(response, "close");
  clearInterval(ping);
  assert(!response.writableFinished);
});

test("half an answer of a leader that dies does not look like a whole one", async (t) => {
  const { answer, response } = await stream(t);
  response.write("data: one\n\n");
  await once(answer, "data");
  response.destroy();
  await once(answer, "error");
  assert(!answer.complete);
});

test("what an old leader has under way is cut when another one leads", async (t) => {
  const { world, answer } = await stream(t);
  world.leader = { ...world.leader!, id: "b" };
  world.server.leaderChanged();
  await once(answer, "error");
});

test("a large body arrives whole", async (t) => {
  const world = await standby(t, async (request, response) => {
    const sum = createHash("sha256");
    for await (const chunk of request) sum.update(chunk as Buffer);
    response.end(sum.digest("hex"));
  });
  const body = randomBytes(2 ** 23).toString("hex");
  const { text } = await ask(world, "/v1/files", { method: "POST" }, body);
  assert.equal(text, createHash("sha256").update(body).digest("hex"));
});

const RELAY = { "x-alt-las-relay": "01890000-0000-7000-8000-000000000002:0:0" };
const STREAM = "/api/v1/task/01890000-0000-7000-8000-000000000002/events";

test("a refusal arrives whole, whatever headers it has", async (t) => {
  const world = await standby(t, (_request, response) => response.writeHead(404, RELAY).end("there is no such task"));
  const { status, text } = await ask(world, STREAM);
  assert.deepEqual([status, text], [404, "there is no such task"]);
});

test("a stream whose leader names a run that this server cannot read is read at the leader", async (t) => {
  const said: unknown[] = [];
  const world = await standby(t, (request, response) => {
    said.push(request.headers["x-forwarded-alt-las"]);
    response.writeHead(200, RELAY);
    if (said.length > 1) return void response.end("event: completed\nid: x:end\ndata: {}\n\n");
    response.write(": run {nonsense}\n\n");
  });
  const { text } = await ask(world, STREAM);
  assert.equal(text, "event: completed\nid: x:end\ndata: {}\n\n");
  assert.deepEqual(said, [`${SECRET} 127.0.0.1 relays`, `${SECRET} 127.0.0.1 rest`]);
});

test("the rest of a stream is asked for on the connection on which it was refused", async (t) => {
  const sockets: Socket[] = [];
  const world = await standby(t, (request, response) => {
    sockets.push(request.socket);
    if (sockets.length === 1) return void response.writeHead(200, RELAY).end(": ping\n\n");
    if (sockets.length === 2) return void response.writeHead(503).end("nobody leads");
    response.writeHead(200, RELAY).end("event: completed\nid: x:end\ndata: {}\n\n");
  });
  assert.match((await ask(world, STREAM)).text, /^event: completed$/m);
  assert.equal(sockets.length, 3);
  assert.equal(sockets[1], sockets[2]);
});
