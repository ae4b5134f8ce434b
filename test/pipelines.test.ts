/** A client that sends requests ahead of their answers gets them in order, and holds up nobody. */
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { answerInTurn, MOST_AHEAD } from "../src/http/pipelines.ts";

interface World {
  readonly server: Server;
  readonly port: number;
  /** Emits `request` for each that was handed on, and `busy`, `quiet`, `flooded`. */
  readonly seen: EventEmitter;
  /** The paths that were handed on. */
  readonly paths: string[];
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

async function serving(t: TestContext, handler: Handler): Promise<World> {
  const seen = new EventEmitter();
  const paths: string[] = [];
  const server = createServer((request, response) => {
    paths.push(request.url!);
    handler(request, response);
    seen.emit("request");
  });
  answerInTurn(server, {
    busy: () => void seen.emit("busy"),
    quiet: () => void seen.emit("quiet"),
    flooded: () => void seen.emit("flooded"),
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { server, port: (server.address() as AddressInfo).port, seen, paths };
}

async function opened(t: TestContext, port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  t.after(() => socket.destroy());
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
const paths = (count: number, prefix = "/"): string[] => Array.from({ length: count }, (_, i) => `${prefix}${i}`);

/** All that comes until so many answers are there; each ends with its path in brackets. */
async function answers(socket: Socket, count: number): Promise<string[]> {
  let text = "";
  while (true) {
    const found = [...text.matchAll(/\[([^\]]+)\]/g)].map(([, path]) => path!);
    if (found.length >= count) return found;
    const [piece] = await once(socket, "data");
    text += String(piece);
  }
}

/** Resolves when the event has come so many times. */
async function times(emitter: EventEmitter, event: string, count: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let left = count;
  emitter.on(event, function counted() {
    if (--left > 0) return;
    emitter.off(event, counted);
    resolve();
  });
  await promise;
}

const echo: Handler = (request, response) => void response.end(`[${request.url}]`);

test("requests sent ahead are answered one after another, in order, and then the connection is quiet", async (t) => {
  let open = 0;
  const quiet: number[] = [];
  const { port, seen } = await serving(t, (request, response) => {
    assert.equal(++open, 1);
    setImmediate(() => {
      open--;
      echo(request, response);
    });
  });
  seen.on("quiet", () => quiet.push(open));
  const socket = await opened(t, port);
  const ahead = paths(1 + MOST_AHEAD);
  const over = once(seen, "quiet");
  socket.write(ahead.map(get).join(""));
  assert.deepEqual(await answers(socket, ahead.length), ahead);
  await over;
  assert.deepEqual(quiet, [0]);
  socket.write(get("/later"));
  assert.deepEqual(await answers(socket, 1), ["/later"]);
});

test("between two requests that one connection sent ahead, others have their turn", async (t) => {
  const { port, paths: handled } = await serving(t, (request, response) => {
    if (request.url === "/0") other.write(get("/other"));
    echo(request, response);
  });
  const other = await opened(t, port);
  const socket = await opened(t, port);
  socket.write(
    paths(1 + MOST_AHEAD)
      .map(get)
      .join(""),
  );
  await Promise.all([answers(socket, 1 + MOST_AHEAD), answers(other, 1)]);
  assert.ok(handled.indexOf("/other") < MOST_AHEAD / 2, handled.join(" "));
});

test("of all that was sent ahead, one request is handed on in each round of the event loop", async (t) => {
  const first: (() => void)[] = [];
  const rounds: number[] = [];
  let round = 0;
  const { server, port, seen } = await serving(t, (request, response) => {
    if (request.url === "/0") return void first.push(() => echo(request, response));
    rounds.push(round);
    echo(request, response);
  });
  server.on("request", () => seen.emit("parsed"));
  const sockets = await Promise.all(Array.from({ length: 4 }, () => opened(t, port)));
  const parsed = times(seen, "parsed", 4 * 5);
  for (const socket of sockets) socket.write(paths(5).map(get).join(""));
  await parsed;
  let over = false;
  setImmediate(function next() {
    round++;
    if (!over) setImmediate(next);
  });
  for (const answer of first) answer();
  await Promise.all(sockets.map((socket) => answers(socket, 5)));
  over = true;
  assert.equal(new Set(rounds).size, 4 * 4, rounds.join(" "));
});

test("a connection that sends more ahead than may wait is cut, and the rest of what it sent costs nothing", async (t) => {
  const { server, port, seen, paths: handled } = await serving(t, () => {});
  let made = 0;
  let flooded = 0;
  server.on("request", () => made++);
  seen.on("flooded", () => flooded++);
  const socket = await opened(t, port);
  socket.resume().write(get("/").repeat(1500));
  await once(socket, "close");
  assert.deepEqual(handled, ["/"]);
  assert.equal(made, 1 + MOST_AHEAD + 1);
  assert.equal(flooded, 1);
});

test("all connections together have a bound too, and one that closes makes room", async (t) => {
  const { server, port, seen } = await serving(t, () => {});
  const accepted: Socket[] = [];
  server.on("connection", (socket) => accepted.push(socket));
  server.on("request", () => seen.emit("parsed"));
  const send = async (count: number): Promise<Socket> => {
    const socket = await opened(t, port);
    const all = times(seen, "parsed", count);
    socket.write(paths(count).map(get).join(""));
    await all;
    return socket;
  };
  const sockets: Socket[] = [];
  for (let i = 0; i < 1024 / MOST_AHEAD; i++) sockets.push(await send(1 + MOST_AHEAD));
  const one = await send(1);
  const cut = await send(2);
  await once(cut.resume(), "close");
  const first = accepted[0]!;
  sockets[0]!.destroy();
  if (!first.closed) await once(first, "close");
  const next = await send(1 + MOST_AHEAD);
  assert.ok(!accepted.at(-1)!.destroyed && !next.destroyed && !one.destroyed);
});

test("no request is handed on while an answer before it has not been taken", async (t) => {
  const large = Buffer.alloc(4 * 1024 * 1024);
  const unsent: number[] = [];
  const { port, seen } = await serving(t, (request, response) => {
    unsent.push(request.socket.writableLength);
    response.end(large);
  });
  const socket = await opened(t, port);
  const over = once(seen, "quiet");
  socket.write(paths(8).map(get).join(""));
  await once(seen, "request");
  socket.resume();
  await over;
  assert.deepEqual(
    unsent,
    Array.from({ length: 8 }, () => 0),
  );
});
