/** When connections run short, idle ones give way, and no caller takes those of others. */
import assert from "node:assert/strict";
import { type CallerLimit } from "../src/config/caller-limits.ts";
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, connect, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { connect as connectTls } from "node:tls";
import { pino } from "pino";
import { AltLasError } from "../src/errors.ts";
import { type ConnectionLimits, Connections, limitsWithin } from "../src/http/connections.ts";
import { answerInTurn } from "../src/http/pipelines.ts";
import { Proxies } from "../src/http/proxies.ts";
import { testConfig } from "./helpers/http.ts";

const LIMITS: ConnectionLimits = { ofAddress: 8, ofCaller: 3, ofCallers: 6, inAll: 8 };
const HOST = "127.0.0.1";

/** A key that both sides know, in the place of a certificate. */
const shared = { psk: Buffer.alloc(16, 7), identity: "test" };
const checkServerIdentity = (): undefined => undefined;
const KINDS = {
  plain: {
    serve: (listener: RequestListener): Server => createServer(listener),
    open: async (port: number): Promise<Socket> => {
      const socket = connect({ port, host: HOST, noDelay: true });
      socket.on("error", () => {});
      await once(socket, "connect");
      return socket;
    },
  },
  encrypted: {
    serve: (listener: RequestListener): Server =>
      createTlsServer({ ciphers: "PSK", maxVersion: "TLSv1.2", pskCallback: () => shared.psk }, listener),
    open: async (port: number): Promise<Socket> => {
      const options = {
        ciphers: "PSK",
        maxVersion: "TLSv1.2",
        pskCallback: () => shared,
        checkServerIdentity,
      } as const;
      const socket = connectTls({ port, host: HOST, ...options });
      socket.on("error", () => {});
      await once(socket, "secureConnect");
      return socket;
    },
  },
} as const;

interface World {
  readonly open: () => Promise<Socket>;
  readonly log: string[];
}

/** `/hold` is answered never, and everything else at once; the `caller` header says who has shown credentials. */
async function serving(
  t: TestContext,
  kind: keyof typeof KINDS,
  limits = LIMITS,
  limitOf?: (caller: string) => CallerLimit | null,
): Promise<World> {
  const log: string[] = [];
  const server = KINDS[kind].serve((request, response) => {
    const { caller } = request.headers;
    try {
      if (typeof caller === "string") connections.proven(request, caller);
    } catch (error) {
      assert.ok(error instanceof AltLasError);
      return void response.writeHead(error.status).end(`[${error.code}: ${error.message}]`);
    }
    if (request.url === "/hold") response.write("[held]");
    else response.end("[done]");
  });
  const connections = new Connections(server, {
    limits,
    ...(limitOf && { limitOf }),
    proxies: new Proxies(false),
    log: pino({}, { write: (line: string) => void log.push(line) }),
    newRequestId: () => "id",
  });
  answerInTurn(server, connections);
  server.listen(0, HOST);
  await once(server, "listening");
  const sockets: Socket[] = [];
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const open = async (): Promise<Socket> => {
    const socket = await KINDS[kind].open(port);
    sockets.push(socket);
    return socket;
  };
  return { open, log };
}

/** The body of the answer, as far as it has come. */
async function ask(socket: Socket, caller?: string, path = "/"): Promise<string> {
  const header = caller === undefined ? "" : `Caller: ${caller}\r\n`;
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n${header}\r\n`);
  let text = "";
  while (!/\[.*\]/s.test(text)) {
    const [piece] = await once(socket, "data", { signal: closed(socket) });
    text += String(piece);
  }
  return /\[(.*)\]/s.exec(text)![1]!;
}

function closed(socket: Socket): AbortSignal {
  const controller = new AbortController();
  if (socket.destroyed) controller.abort();
  else socket.once("close", () => controller.abort());
  return controller.signal;
}

async function isClosed(socket: Socket): Promise<void> {
  if (!socket.closed) await once(socket.resume(), "close");
}

test("a caller with a limit of its own keeps within it: idle ones give way, busy ones do not", async (t) => {
  let most = 1;
  const limitOf = (caller: string) => (caller === "al" ? { most, setIn: "callers.users.al.max_connections" } : null);
  const { open } = await serving(t, "plain", LIMITS, limitOf);
  const first = await open();
  assert.equal(await ask(first, "al"), "done");
  const second = await open();
  assert.equal(await ask(second, "al", "/hold"), "held");
  await isClosed(first);
  assert.equal(
    await ask(await open(), "al"),
    "rate_limited: al has requests under way on 1 connections, which is all that callers.users.al.max_connections allows. Try again when some have ended.",
  );
  for (let count = 0; count < 2; count++) assert.equal(await ask(await open(), "bo", "/hold"), "held");
  most = 9;
  assert.equal(await ask(await open(), "al"), "done", "no more than its share");
});

for (const kind of ["plain", "encrypted"] as const) {
  test(`${kind}: when no connection is left, the one idle longest gives way to one that is new`, async (t) => {
    const { open, log } = await serving(t, kind);
    const held = await open();
    assert.equal(await ask(held, "al", "/hold"), "held");
    const first = await open();
    assert.equal(await ask(first, "bo"), "done");
    const second = await open();
    assert.equal(await ask(second, "bo"), "done");
    assert.equal(await ask(first, "bo"), "done");
    // One that has asked for nothing yet is idle too.
    const silent = await open();
    for (let i = 0; i < 3; i++) assert.equal(await ask(await open()), "done");
    assert.equal(await ask(await open()), "done");
    await isClosed(second);
    assert.equal(await ask(await open()), "done");
    await isClosed(first);
    await ask(await open());
    await isClosed(silent);
    assert.ok(!held.destroyed);
    assert.equal(log.filter((line) => line.includes("idle connections are closed")).length, 1, "once a minute");
  });

  test(`${kind}: a caller's new connection takes the place of an idle one of its own, and is refused when it has none`, async (t) => {
    const { open } = await serving(t, kind);
    const mine: Socket[] = [];
    for (let i = 0; i < 3; i++) {
      mine.push(await open());
      assert.equal(await ask(mine[i]!, "al"), "done");
    }
    const others = await open();
    assert.equal(await ask(others, "bo"), "done");
    const fourth = await open();
    assert.equal(await ask(fourth, "al", "/hold"), "held");
    await isClosed(mine[0]!);
    for (const socket of mine.slice(1)) assert.equal(await ask(socket, "al", "/hold"), "held");
    const fifth = await open();
    assert.match(await ask(fifth, "al"), /^rate_limited: al has requests under way on 3 connections/);
    assert.equal(await ask(fifth, "bo"), "done", "the connection itself is as good as any");
    mine[1]!.destroy();
    assert.equal(await ask(others, "bo"), "done");
  });
}

test("all callers together leave connections to those who have shown no credentials", async (t) => {
  const { open } = await serving(t, "plain");
  for (const caller of ["al", "al", "al", "bo", "bo", "bo"])
    assert.equal(await ask(await open(), caller, "/hold"), "held");
  const late = await open();
  assert.match(await ask(late, "cy"), /^overloaded: Requests are under way on 6 connections/);
  for (let i = 0; i < 5; i++) assert.equal(await ask(await open()), "done");
  await isClosed(late);
});

test("a connection counts for who has shown credentials on it last", async (t) => {
  const { open } = await serving(t, "plain");
  const passed = await open();
  for (const caller of ["al", "bo", "al", "bo"]) assert.equal(await ask(passed, caller), "done");
  for (let i = 0; i < 3; i++) assert.equal(await ask(await open(), "al", "/hold"), "held");
  assert.equal(await ask(passed, "bo"), "done");
  assert.match(await ask(passed, "al"), /^rate_limited/);
});

test("a caller's share is half of the connections, and an eighth is left to those without credentials", () => {
  const shares = [16, 51, 718, 1_047_526, Infinity, 1].map((room) => limitsWithin(room, testConfig()));
  assert.deepEqual(
    shares.map(({ ofCaller, ofCallers }) => [ofCaller, ofCallers]),
    [
      [8, 14],
      [25, 45],
      [359, 654],
      [523_763, 1_047_462],
      [Infinity, Infinity],
      [1, 1],
    ],
  );
  const { auth, ...rest } = testConfig();
  const open = limitsWithin(51, { ...rest, auth: { ...auth, enabled: false } });
  assert.deepEqual([open.ofCaller, open.ofCallers], [51, 45], "without credentials all are one caller");
});
