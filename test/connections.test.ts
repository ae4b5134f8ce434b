/** Who opens connections and shows no credentials takes nothing from others. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { roomWithin } from "../src/http/descriptors.ts";
import { limitsWithin } from "../src/http/connections.ts";
import { MemoryPlace } from "./helpers/kept.ts";
import { AS, listening, testConfig, testServer } from "./helpers/http.ts";

interface Client {
  readonly socket: Socket;
  /** All that it has received. */
  readonly heard: () => string;
}

/** Linux has the whole network 127.0.0.0/8. */
const otherAddresses = process.platform === "linux";
const OTHER = "127.0.0.2";

/** A connection that was accepted, or refused. */
async function opened(t: TestContext, port: number, localAddress = "127.0.0.1"): Promise<Client> {
  const socket = connect({ port, host: "127.0.0.1", localAddress, noDelay: true });
  t.after(() => socket.destroy());
  let text = "";
  socket.setEncoding("latin1").on("data", (piece: string) => (text += piece));
  socket.on("error", () => {});
  await once(socket, "connect");
  return { socket, heard: () => text };
}

async function answer({ socket, heard }: Client, headers: Readonly<Record<string, string>> = {}): Promise<string> {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const before = heard().length;
  socket.write(`GET /api/v1/gpus HTTP/1.1\r\nHost: localhost\r\n${lines.join("")}\r\n`);
  while (!/\r\n\r\n[^]*\}/.test(heard().slice(before)) && !socket.destroyed) {
    await Promise.race([once(socket, "data"), once(socket, "close")]);
  }
  return heard().slice(before).split("\r\n", 1)[0]!;
}

async function refusal(client: Client): Promise<string> {
  if (!client.socket.closed) await once(client.socket, "close");
  return client.heard();
}

function limited(t: TestContext, yaml = "") {
  return testServer(t, testConfig(`limits: { unauthenticated_connections: 2 }\n${yaml}`));
}

test("of one address so many connections may be open that have shown no credentials, and others are not concerned", async (t) => {
  const { app, log } = limited(t);
  const port = await listening(app);
  const first = await opened(t, port);
  const second = await opened(t, port);
  // Each gets an answer, which is how we know that the server has them all.
  assert.match(await answer(first), /401/);
  assert.match(await answer(second), /401/);
  const third = await refusal(await opened(t, port));
  assert.match(third, /^HTTP\/1\.1 429 /);
  assert.match(third, /\r\nRetry-After: 5\r\n/);
  assert.match(third, /shown no credentials; 2 may be open\.","code":"rate_limited"\}$/);
  await refusal(await opened(t, port));
  const said = log.filter((line) => line.includes("unauthenticated_connections"));
  assert.equal(said.length, 1, "once a minute");
  assert.match(said[0]!, /"level":40.*"address":"127\.0\.0\.1","open":2/);
  if (otherAddresses) assert.match(await answer(await opened(t, port, OTHER), AS.user), /200/);
});

test("a connection that has shown credentials counts no more, and one that closes makes room", async (t) => {
  const { app } = limited(t);
  const port = await listening(app);
  const accepted: Socket[] = [];
  app.server.on("connection", (socket: Socket) => accepted.push(socket));
  for (let i = 0; i < 5; i++) assert.match(await answer(await opened(t, port), AS.user), /200/);
  const first = await opened(t, port);
  const second = await opened(t, port);
  assert.match(await answer(first), /401/);
  assert.match(await answer(second), /401/);
  assert.match(await refusal(await opened(t, port)), /429/);
  assert.match(await answer(first, AS.viewer), /200/);
  const next = await opened(t, port);
  assert.match(await answer(next), /401/);
  const ours = accepted.find(({ remotePort }) => remotePort === second.socket.localPort)!;
  second.socket.end();
  await once(ours, "close");
  assert.match(await answer(await opened(t, port)), /401/);
});

test("proxies that are listed have no such bound", async (t) => {
  const { app } = limited(t, "server: { trust_proxy: [127.0.0.1] }");
  const port = await listening(app);
  for (let i = 0; i < 5; i++) assert.match(await answer(await opened(t, port)), /401/);
});

test("connections over which another server passes requests on count for nobody", async (t) => {
  const member = {
    secret: "secret",
    leads: () => true,
    kept: await new MemoryPlace().next(),
    servers: () => Promise.resolve([]),
    share: () => Promise.resolve(),
  };
  const limits = "limits: { unauthenticated_connections: 2 }\ncallers: { users: { user: { max_connections: 1 } } }";
  const { app } = testServer(t, testConfig(limits), { member });
  const port = await listening(app);
  const passed = { "x-forwarded-alt-las": "secret 203.0.113.9" };
  const clients: Client[] = [];
  for (let i = 0; i < 4; i++) {
    clients.push(await opened(t, port));
    assert.match(await answer(clients[i]!, passed), /401/);
  }
  for (let round = 0; round < 2; round++)
    for (const client of clients) assert.match(await answer(client, { ...passed, ...AS.user }), /200/);
  // Another secret is none.
  for (let i = 0; i < 2; i++)
    assert.match(await answer(await opened(t, port), { "x-forwarded-alt-las": "secreT 203.0.113.9" }), /401/);
  assert.match(await refusal(await opened(t, port)), /429/);
});

test("a proxy on this machine that is not listed is told of, once", async (t) => {
  const forwarded = { "x-forwarded-for": "203.0.113.9" };
  for (const [trust, lines] of [
    ["false", 1],
    ["[10.0.0.0/8]", 1],
    ["[127.0.0.1]", 0],
    ["true", 0],
  ] as const) {
    const { app, log } = testServer(t, testConfig(`server: { trust_proxy: ${trust} }`));
    for (let i = 0; i < 3; i++) await app.inject({ url: "/livez", headers: forwarded });
    assert.equal(log.filter((line) => line.includes("server.trust_proxy does not list it")).length, lines, trust);
  }
  const { app, log } = testServer(t);
  await app.inject({ url: "/livez", headers: forwarded, remoteAddress: "198.51.100.7" });
  await app.inject({ url: "/livez" });
  assert.ok(!log.some((line) => line.includes("trust_proxy")), "whoever is elsewhere may send what it likes");
});

test("connections leave descriptors to everything else, and one address leaves half of them to others", () => {
  assert.equal(roomWithin(128, 45), 51);
  assert.equal(roomWithin(64, 60), 16);
  assert.equal(roomWithin(1024, 50), 718);
  assert.equal(roomWithin(1_048_576, 50), 1_047_526);
  const rooms = [51, 100_000, Infinity, 1];
  assert.deepEqual(
    rooms.map((room) => limitsWithin(room, testConfig()).ofAddress),
    [25, 1024, 1024, 1],
  );
});
