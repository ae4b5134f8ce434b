import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type RequestListener, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { type Patience } from "../src/engine/engine.ts";
import { retryAfterIn } from "../src/common/network-words.ts";
import { Upstream, type UpstreamAddress, UpstreamError } from "../src/engine/upstream/upstream.ts";

/** Long enough for any machine: what a test waits for comes, or has failed, before. */
const PATIENT: Patience = { firstByte: 600, token: 600 };
/** Short enough to wait for. */
const IMPATIENT: Patience = { firstByte: 0.2, token: 0.2 };

const EVENTS = { "content-type": "text/event-stream" };

interface World {
  readonly upstream: Upstream;
  readonly server: Server;
  readonly url: string;
}

/** A server that answers so, and a client for it. */
async function withServer(
  answer: RequestListener,
  use: (world: World) => Promise<void>,
  options: { patience?: Patience; path?: string; headers?: Record<string, string> } = {},
): Promise<void> {
  const { patience = PATIENT, path = "", headers = {} } = options;
  const server = createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
  const upstream = new Upstream({ url, socketPath: null, headers }, patience);
  try {
    await use({ upstream, server, url });
  } finally {
    await upstream.close();
    server.closeAllConnections();
    server.close();
  }
}

/** The events of a stream that ends by itself. */
async function eventsOf(upstream: Upstream, signal = new AbortController().signal): Promise<string[]> {
  const events: string[] = [];
  await upstream.stream("/stream", {}, { signal, onData: (data) => void events.push(data) });
  return events;
}

async function failureOf(promise: Promise<unknown>): Promise<UpstreamError> {
  const error = await promise.then(
    () => assert.fail("it should have failed"),
    (reason: unknown) => reason,
  );
  assert(error instanceof UpstreamError, String(error));
  return error;
}

describe("asking a server", () => {
  it("sends JSON with its headers to the path behind that of the address, and gives back any answer", async () => {
    const seen: unknown[] = [];
    const answer: RequestListener = (request, response) => {
      request.setEncoding("utf8").on("data", (body: string) => {
        seen.push([request.method, request.url, request.headers.authorization, request.headers["content-type"], body]);
        response.writeHead(418, { "x-kind": "tea" }).end("short and stout");
      });
    };
    await withServer(
      answer,
      async ({ upstream }) => {
        const { status, headers, body } = await upstream.ask("POST", "/v1/x", { a: "ğ" });
        assert.deepEqual([status, headers["x-kind"], body], [418, "tea", "short and stout"]);
      },
      { path: "/behind/", headers: { authorization: "Bearer k" } },
    );
    assert.deepEqual(seen, [["POST", "/behind/v1/x", "Bearer k", "application/json", '{"a":"ğ"}']]);
  });

  it("follows no redirect", async () => {
    const paths: (string | undefined)[] = [];
    const answer: RequestListener = ({ url }, response) => {
      paths.push(url);
      response.writeHead(302, { location: "/elsewhere" }).end();
    };
    await withServer(answer, async ({ upstream }) => {
      assert.equal((await upstream.ask("GET", "/here")).status, 302);
      const error = await failureOf(upstream.stream("/here", {}, { signal: NEVER, onData: noEvent }));
      assert.deepEqual([error.status, error.words], [302, "it redirects to /elsewhere, which is not followed"]);
    });
    assert.deepEqual(paths, ["/here", "/here"]);
  });

  it("uses its connections again", async () => {
    const ports = new Set<number | undefined>();
    const answer: RequestListener = ({ socket }, response) => {
      ports.add(socket.remotePort);
      response.writeHead(200, EVENTS).end("data: 1\n\n");
    };
    await withServer(answer, async ({ upstream }) => {
      for (let round = 0; round < 5; round++) {
        await eventsOf(upstream);
        await upstream.ask("GET", "/");
      }
    });
    // One that has just answered rests for a turn of the event loop, so that a second one takes over.
    assert(ports.size <= 2, `${ports.size} connections`);
  });

  it("opens the next stream's connection ahead, while there are streams and fewer than the server has room for", async () => {
    await withOpenStreams(async ({ begin, opened, sockets }) => {
      const first = await begin();
      const spare = await opened(2);
      const second = await begin();
      assert.equal(second.port, spare.remotePort);
      const next = await opened(3);
      const third = await begin();
      assert.equal(third.port, next.remotePort);
      await twoTurns();
      assert.equal(sockets.length, 3);
      await third.end();
      const last = await opened(4);
      const fourth = await begin();
      assert.equal(fourth.port, last.remotePort);
      for (const stream of [first, second, fourth]) await stream.end();
    });
  });

  it("does not use a connection that was opened ahead and closed by the server", async () => {
    await withOpenStreams(async ({ begin, opened }) => {
      const first = await begin();
      const spare = await opened(2);
      const { remotePort } = spare;
      spare.end();
      await once(spare, "close");
      await twoTurns();
      const second = await begin();
      assert.notEqual(second.port, remotePort);
      for (const stream of [first, second]) await stream.end();
    });
  });

  it("opens another one before the server closes it, and none when nobody streams any more", async (t) => {
    await withOpenStreams(async ({ begin, opened, sockets }) => {
      t.mock.timers.enable({ apis: ["setTimeout"] });
      const only = await begin();
      const spare = await opened(2);
      t.mock.timers.tick(4000);
      await once(spare, "close");
      const next = await opened(3);
      await only.end();
      t.mock.timers.tick(4000);
      await once(next, "close");
      await twoTurns();
      assert.equal(sockets.length, 3);
    });
  });

  it("takes an answer only up to a limit", async () => {
    await withServer(saying("x".repeat(9 * 2 ** 20)), async ({ upstream }) => {
      assert.match((await failureOf(upstream.ask("GET", "/"))).words, /more than 8388608 bytes/);
    });
  });

  it("waits for a whole answer no longer than it is told", async () => {
    await withServer(half, async ({ upstream }) => {
      const error = await failureOf(upstream.ask("GET", "/", undefined, { timeout: 0.1 }));
      assert.deepEqual([error.status, error.words], [null, "it did not send its answer within 0.1 s"]);
    });
  });

  it("says so when nobody is there, or is there no more", async () => {
    await withServer(
      (_, response) => void response.destroy(),
      async ({ upstream, server }) => {
        const cut = await failureOf(upstream.ask("GET", "/"));
        assert.deepEqual([cut.words, cut.unreached], ["it closed the connection", false]);
        server.close();
        server.closeAllConnections();
        const refused = await failureOf(upstream.ask("GET", "/"));
        assert.deepEqual([refused.words, refused.unreached], ["the connection was refused", true]);
      },
    );
  });

  it("says so when something answers that is no server for HTTP", async () => {
    const server = createTcpServer((socket) => void socket.on("error", () => {}).end("hello there\r\n")).listen(
      0,
      "127.0.0.1",
    );
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    for (const [protocol, words] of [
      ["http", "what it sends is not HTTP"],
      ["https", "it does not speak HTTPS"],
    ]) {
      const upstream = new Upstream({ url: `${protocol}://127.0.0.1:${port}`, socketPath: null, headers: {} }, PATIENT);
      assert.equal((await failureOf(upstream.ask("GET", "/"))).words, words);
      await upstream.close();
    }
    server.close();
  });

  it("speaks over a Unix socket", async () => {
    const folder = mkdtempSync(join(tmpdir(), "upstream-"));
    const socketPath = join(folder, "socket");
    const server = createServer((_, response) => void response.end("here")).listen(socketPath);
    await once(server, "listening");
    const address: UpstreamAddress = { url: "http://localhost", socketPath, headers: {} };
    const upstream = new Upstream(address, PATIENT);
    assert.equal((await upstream.ask("GET", "/")).body, "here");
    await upstream.close();
    server.close();
    await once(server, "close");
    const late = new Upstream(address, PATIENT);
    const { words, unreached } = await failureOf(late.ask("GET", "/"));
    assert.deepEqual([words, unreached], ["its socket is not there", true]);
    await late.close();
    rmSync(folder, { recursive: true });
  });

  it("speaks nothing but HTTP", () => {
    for (const url of ["ftp://host", "file:///etc/passwd", "host:8000", "nonsense"])
      assert.throws(() => new Upstream({ url, socketPath: null, headers: {} }, PATIENT), TypeError);
  });
});

describe("what a refusal says", () => {
  const cases: readonly [name: string, body: string, words: string][] = [
    ["OpenAI's form", '{"error": {"message": "No such model", "code": 404}}', "No such model"],
    ["a plain error", '{"error": "Model is overloaded", "error_type": "overloaded"}', "Model is overloaded"],
    ["FastAPI's form", '{"detail": [{"loc": ["body"], "msg": "field required"}]}', "field required"],
    ["a message", '{"object": "error", "message": "no"}', "no"],
    ["a page", "<html><style>h1 {}</style><h1>502</h1>\n <p>Bad   Gateway</p></html>", "502 Bad Gateway"],
    ["nothing", "", "nothing"],
  ];
  for (const [name, body, words] of cases) {
    it(`is taken from ${name}`, async () => {
      await withServer(saying(body, 400), async ({ upstream }) => {
        const error = await failureOf(eventsOf(upstream));
        assert.deepEqual([error.status, error.words, error.message], [400, words, `HTTP 400: ${words}`]);
      });
    });
  }

  it("is cut, and does not repeat the key", async () => {
    await withServer(
      refusingTheKey,
      async ({ upstream }) => {
        const { words } = await failureOf(eventsOf(upstream));
        assert(words.startsWith("Wrong: Bearer …. long") && words.length === 301, words);
      },
      { headers: { authorization: "Bearer sk-secret" } },
    );
  });

  it("names the time after which to come back, in seconds or as a date", async () => {
    const later = new Date(Date.now() + 60_000).toUTCString();
    const values: Record<string, string> = { "/seconds": "7", "/date": later, "/ages": "9".repeat(30), "/odd": "soon" };
    const answer: RequestListener = ({ url }, response) =>
      void response.writeHead(429, { "retry-after": values[url!]! }).end();
    await withServer(answer, async ({ upstream }) => {
      const retryAfter = async (path: string) => upstream.refusal(await upstream.ask("GET", path)).retryAfter;
      assert.equal(await retryAfter("/seconds"), 7);
      assert.deepEqual([await retryAfter("/ages"), await retryAfter("/odd")], [3600, undefined]);
      const seconds = (await retryAfter("/date"))!;
      assert(seconds > 0 && seconds <= 60, String(seconds));
    });
  });

  it("says what came in the place of a stream", async () => {
    await withServer(saying("<p>Welcome</p>"), async ({ upstream }) => {
      assert.equal((await failureOf(eventsOf(upstream))).message, "HTTP 200: Welcome");
    });
  });
});

function read(retryAfter: string, date?: string): number | undefined {
  return retryAfterIn({ "retry-after": retryAfter, date });
}

it("a date of Retry-After is read against the server's own clock, whatever ours says", () => {
  const noon = "Sun, 06 Nov 1994 12:00:00 GMT";
  const forms = ["Sun, 06 Nov 1994 12:00:30 GMT", "Sunday, 06-Nov-94 12:00:30 GMT", "Sun Nov  6 12:00:30 1994"];
  for (const form of forms) assert.equal(read(form, noon), 30);
  // A server whose clock is a year ahead or behind.
  for (const ahead of [-1, 1]) {
    const there = Date.now() + ahead * 365 * 86_400_000;
    assert.equal(read(new Date(there + 90_000).toUTCString(), new Date(there).toUTCString()), 90);
  }
  assert.deepEqual([read(noon, forms[0]), read("Tue, 08 Nov 1994 12:00:00 GMT", noon)], [0, 3600]);
  // Without a clock of its own that can be read, ours counts.
  for (const date of [undefined, "", "noon", "-1"]) assert.equal(read(noon, date), 0);
  for (const text of ["", "-1", "soon", "Sunday", "0x10", "1e9"]) assert.equal(read(text, noon), undefined);
});

it("fuzzed, Retry-After and Date are seconds that can be waited for, or nothing", () => {
  const date = fc.date({ noInvalidDate: true }).map((value) => value.toUTCString());
  const header = fc.oneof(
    fc.string(),
    date,
    date.map((text) => text.slice(0, -4)),
    fc.nat().map(String),
    fc.double().map(String),
  );
  fc.assert(
    fc.property(header, fc.option(header, { nil: undefined }), (value, at) => {
      const seconds = read(value, at);
      assert(seconds === undefined || (seconds >= 0 && seconds <= 3600));
    }),
  );
});

describe("a stream", () => {
  it("tells each event at once, however it is cut into packets", async () => {
    const text = "data: grüß 🙂\n\nevent: named\ndata: two\ndata: lines\n\n: a comment\n\ndata: last\n\n";
    const answer: RequestListener = (_, response) => {
      response.writeHead(200, EVENTS);
      for (const byte of Buffer.from(text)) response.write(Buffer.of(byte));
      response.end();
    };
    await withServer(answer, async ({ upstream }) => {
      const events: [string, string | undefined][] = [];
      const onData = (data: string, event?: string): void => void events.push([data, event]);
      await upstream.stream("/", {}, { signal: NEVER, onData });
      assert.deepEqual(events, [
        ["grüß 🙂", undefined],
        ["two\nlines", "named"],
        ["last", undefined],
      ]);
    });
  });

  it("ends at once when it is aborted, and closes its request", async () => {
    const { promise: left, resolve } = Promise.withResolvers<void>();
    const answer: RequestListener = (_, response) => {
      response.writeHead(200, EVENTS).write("data: 1\n\ndata: 2\n\n");
      response.on("close", resolve);
    };
    await withServer(answer, async ({ upstream }) => {
      const controller = new AbortController();
      const reason = new Error("enough");
      const heard: string[] = [];
      const onData = (data: string): void => {
        heard.push(data);
        controller.abort(reason);
      };
      await assert.rejects(upstream.stream("/", {}, { signal: controller.signal, onData }), reason);
      await left;
      assert.deepEqual(heard, ["1"]);
      await assert.rejects(eventsOf(upstream, AbortSignal.abort(reason)), reason);
    });
  });

  it("ends with what its listener throws, and closes its request", async () => {
    const { promise: left, resolve } = Promise.withResolvers<void>();
    const answer: RequestListener = (_, response) => {
      response.writeHead(200, EVENTS).write("data: 1\n\ndata: 2\n\n");
      response.on("close", resolve);
    };
    await withServer(answer, async ({ upstream }) => {
      const heard: string[] = [];
      const onData = (data: string): void => {
        heard.push(data);
        throw new RangeError("no more");
      };
      await assert.rejects(upstream.stream("/", {}, { signal: NEVER, onData }), RangeError);
      await left;
      assert.deepEqual(heard, ["1"]);
    });
  });

  it("fails when the connection breaks off", async () => {
    await withServer(breakingOff, async ({ upstream }) => {
      const { status, words } = await failureOf(eventsOf(upstream));
      assert.deepEqual([status, words], [null, "it closed the connection"]);
    });
  });

  it("fails when an event has no end", async () => {
    await withServer(saying(`data: ${"x".repeat(2 * 2 ** 20)}`, 200, EVENTS), async ({ upstream }) => {
      assert.match((await failureOf(eventsOf(upstream))).words, /an event of more than 1048576 characters/);
    });
  });

  it("fails when it does not begin in time", async () => {
    await withServer(
      (_, response) => response.writeHead(200, EVENTS).flushHeaders(),
      async ({ upstream }) => {
        assert.equal((await failureOf(eventsOf(upstream))).words, "it did not send its answer within 0.2 s");
      },
      { patience: IMPATIENT },
    );
  });

  it("fails when it stalls, though comments keep the connection open", async () => {
    const pings = new Set<NodeJS.Timeout>();
    const answer: RequestListener = (_, response) => {
      response.writeHead(200, EVENTS).write("data: 1\n\n");
      pings.add(setInterval(() => response.write(": still here\n\n"), 10));
    };
    await withServer(
      answer,
      async ({ upstream }) => {
        const { words } = await failureOf(eventsOf(upstream));
        assert.equal(words, "it did not send the next piece of its answer within 0.2 s");
      },
      { patience: { firstByte: 600, token: 0.2 } },
    );
    for (const ping of pings) clearInterval(ping);
  });

  it("has all its patience until an event is a piece of the answer", async () => {
    const responses: ServerResponse[] = [];
    const answer: RequestListener = (_, response) => {
      responses.push(response.writeHead(200, EVENTS));
      response.write("event: queued\ndata: {}\n\n");
    };
    await withServer(
      answer,
      async ({ upstream }) => {
        const options = { signal: NEVER, onData: isMoreThanQueued };
        const { words } = await failureOf(upstream.stream("/", {}, options));
        assert.equal(words, "it did not send its answer within 0.2 s");
      },
      { patience: { firstByte: 0.2, token: 600 } },
    );
  });

  it("ends with the client", async () => {
    const { promise: begun, resolve } = Promise.withResolvers<void>();
    const answer: RequestListener = (_, response) => {
      response.writeHead(200, EVENTS).write("data: 1\n\n");
      resolve();
    };
    await withServer(answer, async ({ upstream }) => {
      const failure = failureOf(eventsOf(upstream));
      await begun;
      await upstream.close();
      await upstream.close();
      assert.equal((await failure).status, null);
    });
  });
});

interface OpenStream {
  /** Of its connection, on the client's side. */
  readonly port: number;
  /** Has the server end it. */
  end(): Promise<void>;
}

interface OpenStreams {
  /** Resolves when it has begun. */
  begin(): Promise<OpenStream>;
  /** Resolves with a connection, counted from 1, when both sides have it. */
  opened(count: number): Promise<Socket>;
  readonly sockets: readonly Socket[];
}

/** A server with room for three streams, each of which goes on until it is told to end. */
async function withOpenStreams(use: (streams: OpenStreams) => Promise<void>): Promise<void> {
  const responses = new Map<number, ServerResponse>();
  const sockets: Socket[] = [];
  const answer: RequestListener = ({ socket }, response) => {
    responses.set(socket.remotePort!, response);
    response.writeHead(200, EVENTS).write(`data: ${socket.remotePort}\n\n`);
  };
  await withServer(answer, async ({ upstream, server }) => {
    upstream.separateStreams(3);
    server.on("connection", (socket) => void sockets.push(socket.resume()));
    const begin = async (): Promise<OpenStream> => {
      const { promise, resolve } = Promise.withResolvers<number>();
      const ended = upstream.stream("/", {}, { signal: NEVER, onData: (data) => resolve(Number(data)) });
      const port = await promise;
      const end = (): Promise<void> => (responses.get(port)!.end(), ended);
      return { port, end };
    };
    const opened = async (count: number): Promise<Socket> => {
      while (sockets.length < count) await once(server, "connection");
      await twoTurns();
      return sockets[count - 1]!;
    };
    await use({ begin, opened, sockets });
  });
}

/** Resolves when the event loop has seen all that is there now. */
async function twoTurns(): Promise<void> {
  await turn();
  await turn();
}

const NEVER = new AbortController().signal;

function saying(body: string, status = 200, headers = { "content-type": "text/html" }): RequestListener {
  return (_, response) => void response.writeHead(status, headers).end(body);
}

const half: RequestListener = (_, response) => void response.write("half");

const breakingOff: RequestListener = (_, response) => {
  response.writeHead(200, EVENTS).write("data: 1\n\n", () => response.destroy());
};

const refusingTheKey: RequestListener = ({ headers }, response) =>
  void response.writeHead(401).end(`Wrong: ${headers.authorization}. ${"long ".repeat(100)}`);

function isMoreThanQueued(_data: string, event?: string): boolean {
  return event !== "queued";
}

function noEvent(): never {
  assert.fail("there is no event");
}
