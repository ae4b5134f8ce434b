import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { setImmediate as nextTurn } from "node:timers/promises";
import { test, type TestContext } from "node:test";
import { keysAdd, keysRevoke, usersAdd } from "../src/auth/commands.ts";
import { type Caller, UNBOUND } from "../src/auth/credentials.ts";
import { LIVES, LIVES_AT_MOST, StreamTickets, type TicketUse } from "../src/http/tickets.ts";
import { Kept } from "../src/auth/kept.ts";
import { LiveClient } from "./helpers/events.ts";
import { MemoryPlace } from "./helpers/kept.ts";
import {
  aCompletedTask,
  API,
  aTask,
  AS,
  get,
  ID,
  listening,
  OTHER_ID,
  post,
  refusal,
  testConfig,
  testServer,
  type TestServer,
} from "./helpers/http.ts";

const ADA: Caller = { ...UNBOUND, name: "ada", role: "admin", keyName: "laptop" };
const PATH = `${API}/events`;
const FIRST: TicketUse = { path: PATH, isReturn: false, user: null };
const AGAIN: TicketUse = { ...FIRST, isReturn: true };

/** Tickets under a clock that the test moves. */
class World {
  now: number;
  readonly revoked = new Set<Caller>();
  readonly cuts: string[] = [];
  #changed: (forgotten?: string) => void = () => {};
  readonly tickets: StreamTickets;

  constructor(t: TestContext, kept?: Kept, now = 0) {
    this.now = now;
    this.tickets = new StreamTickets({
      now: () => this.now,
      wall: () => 1_000_000 + this.now,
      kept,
      credentials: {
        holds: (caller) => !this.revoked.has(caller),
        onChange: (listener) => {
          this.#changed = listener;
          return () => {};
        },
        namedFor: ({ name }) => ({ name, proof: "key abc" }),
        callerNamed: ({ name, proof }) => (name === ADA.name && proof === "key abc" ? ADA : null),
      },
    });
    t.after(() => this.tickets.close());
  }

  /** @returns what ends the connection */
  open(ticket: string, use = FIRST, name = "stream"): () => void {
    const { caller, ended } = this.tickets.redeem(ticket, use, () => this.cuts.push(name));
    assert.deepEqual(caller, ADA);
    return ended;
  }

  refuses(ticket: string, use = FIRST): void {
    assert.throws(() => this.tickets.redeem(ticket, use, () => {}), { code: "unauthorized" });
  }

  revoke(caller: Caller): void {
    this.revoked.add(caller);
    this.#changed();
  }

  forget(user: string): void {
    this.#changed(user);
  }
}

test("the next server knows tickets, and none lives longer for it", async (t) => {
  const place = new MemoryPlace();
  const first = new World(t, await place.next());
  const give = (path = PATH): Promise<string> => first.tickets.give(ADA, path);
  const [unused, open, left] = [await give(), await give(), await give()];
  first.open(left)();
  first.now += 50_000;
  const late = await give();
  first.now += 5000;
  first.open(open);
  first.now += 6000;
  const strangers = await first.tickets.give({ ...ADA, name: "eve" }, PATH);
  const next = new World(t, await place.next(), first.now);
  first.tickets.close();
  // The minute of the first has passed, and so has that of the one that nobody came back with.
  for (const ticket of [unused, left, strangers]) next.refuses(ticket, AGAIN);
  next.refuses(open);
  next.open(open, AGAIN, "open");
  next.open(late, FIRST, "late");
  next.open(late, FIRST, "later");
  assert.deepEqual(next.cuts, ["late"]);
  next.tickets.sweep();
  assert.equal(place.files.size, 2);
  assert.ok(![...place.files].flat().some((stored) => [open, late].some((ticket) => stored.includes(ticket))));
  next.revoke(ADA);
  assert.equal(place.files.size, 0);
  assert.equal((await place.next()).left("ticket").size, 0);
});

test("to the next server a stream is open that ended after its tickets were closed", async (t) => {
  const place = new MemoryPlace();
  const world = new World(t, await place.next());
  const ended = world.open(await world.tickets.give(ADA, PATH));
  const [body] = [...place.files.values()];
  world.tickets.close();
  ended();
  assert.deepEqual([...place.files.values()], [body]);
});

test("once the place closes nothing is noted there, and nobody is warned of it", async () => {
  const warnings: string[] = [];
  let isClosed = false;
  const place = new MemoryPlace();
  const put = place.putSharedFile.bind(place);
  place.putSharedFile = async (...given) => {
    if (isClosed) throw new Error("the task database is closed");
    await put(...given);
  };
  const kept = await Kept.open(place, { warn: (line: unknown) => void warnings.push(String(line)) } as never);
  await kept.put("ticket", "one", { path: PATH });
  isClosed = true;
  kept.note("ticket", "one", null);
  await nextTurn();
  assert.match(warnings.join("\n"), /^the next server to lead will not know of a ticket: the task database is closed$/);
  kept.close();
  kept.note("ticket", "one", null);
  await nextTurn();
  assert.deepEqual([warnings.length, place.files.size], [1, 1]);
});

test("tickets of a user who is forgotten end, with their streams and rows", async (t) => {
  const place = new MemoryPlace();
  const world = new World(t, await place.next());
  world.open(await world.tickets.give(ADA, PATH));
  await world.tickets.give({ ...ADA, name: "bob" }, PATH);
  world.forget("ada");
  assert.deepEqual([world.cuts, world.tickets.size, place.files.size], [["stream"], 1, 1]);
  assert.match([...place.files.values()].join(), /"bob"/);
});

test("a ticket opens its stream for a minute, also a second time", (t) => {
  const world = new World(t);
  const ticket = world.tickets.issue(ADA, PATH);
  world.open(ticket)();
  world.now = LIVES;
  world.open(ticket)();
  world.now = LIVES + 1;
  world.refuses(ticket);
});

test("a reader comes again within a minute of its last connection, which may have lasted for hours", (t) => {
  const world = new World(t);
  const ticket = world.tickets.issue(ADA, PATH);
  const ended = world.open(ticket);
  world.now = 5 * LIVES;
  ended();
  world.now += LIVES;
  world.refuses(ticket, FIRST);
  world.open(ticket, AGAIN)();
  world.now += LIVES + 1;
  world.refuses(ticket, AGAIN);
});

test("a ticket that nobody used is over after a minute, also for a reader that says it comes again", (t) => {
  const world = new World(t);
  const ticket = world.tickets.issue(ADA, PATH);
  world.now = LIVES + 1;
  world.refuses(ticket, AGAIN);
  world.tickets.sweep();
  assert.equal(world.tickets.size, 0);
});

test("a ticket is refused for another stream, beside another user's credentials, and when it is none", (t) => {
  const world = new World(t);
  const ticket = world.tickets.issue(ADA, PATH);
  world.refuses(ticket, { ...FIRST, path: `${API}/task/${ID}/events` });
  world.refuses(ticket, { ...FIRST, user: "somebody" });
  world.refuses(`${ticket}x`);
  world.refuses("");
  world.open(ticket, { ...FIRST, user: "ada" });
});

test("a reader that comes again takes the place of its connection before", (t) => {
  const world = new World(t);
  const ticket = world.tickets.issue(ADA, PATH);
  const ended = world.open(ticket, FIRST, "first");
  world.open(ticket, AGAIN, "second");
  assert.deepEqual(world.cuts, ["first"]);
  ended();
  world.now = 10 * LIVES;
  world.tickets.sweep();
  assert.equal(world.tickets.size, 1, "the end of the first says nothing about the second");
});

test("after twelve hours a ticket ends, with what it has open", (t) => {
  const world = new World(t);
  world.open(world.tickets.issue(ADA, PATH));
  world.now = LIVES_AT_MOST;
  world.tickets.sweep();
  assert.deepEqual(world.cuts, []);
  world.now++;
  world.tickets.sweep();
  assert.deepEqual([world.cuts, world.tickets.size], [["stream"], 0]);
});

test("a key that is revoked ends its tickets and their streams, and no others", (t) => {
  const world = new World(t);
  const bob: Caller = { ...ADA, name: "bob" };
  const ticket = world.tickets.issue(ADA, PATH);
  world.open(ticket);
  world.tickets.issue(bob, PATH);
  world.revoke(ADA);
  assert.deepEqual([world.cuts, world.tickets.size], [["stream"], 1]);
  world.refuses(ticket, AGAIN);
});

test("a user has so many tickets: unused ones give way, those of open streams do not", (t) => {
  const world = new World(t);
  const oldest = world.tickets.issue(ADA, PATH);
  for (let index = 0; index < 100; index++) world.open(world.tickets.issue(ADA, PATH));
  world.refuses(oldest);
  assert.throws(() => world.tickets.issue(ADA, PATH), { code: "rate_limited", message: /100 event streams open/ });
  world.tickets.issue({ ...ADA, name: "bob" }, PATH);
});

// --- over HTTP -------------------------------------------------------------------------------------------------------

async function ticketFor({ app }: Pick<TestServer, "app">, path: string, headers = AS.admin): Promise<string> {
  const answer = await post(app, "/stream_ticket", { path }, headers);
  assert.equal(answer.statusCode, 200, answer.body);
  const { ticket, expires_at: end, ...rest } = answer.json<{ ticket: string; expires_at: string }>();
  assert.deepEqual(rest, {});
  assert.match(ticket, /^[\w-]{43}$/);
  assert.ok(Date.parse(end) > 0);
  return ticket;
}

async function openStream(t: TestContext, port: number, target: string, headers = {}): Promise<LiveClient> {
  const client = await LiveClient.open(port, target, { headers });
  t.after(() => client.leave());
  return client;
}

test("a page opens a stream by a ticket alone, and again with the id of its last event", async (t) => {
  const server = testServer(t);
  const port = await listening(server.app);
  const ticket = await ticketFor(server, `${PATH}?tasks=true`);
  const client = await openStream(t, port, `${PATH}?tasks=true&ticket=${ticket}`);
  const hello = await client.next();
  assert.equal(hello!.event, "hello");
  client.leave();
  const again = await openStream(t, port, `${PATH}?tasks=true&ticket=${ticket}`, { "last-event-id": hello!.id });
  assert.equal((await again.next())!.event, "hello");
});

test("a ticket has the rights of its user, and opens the stream of its path alone", async (t) => {
  const server = testServer(t);
  server.tasks.tasks = [aCompletedTask()];
  const mine = `${API}/task/${ID}/events`;
  const ticket = await ticketFor(server, mine, AS.user);
  const ask = (url: string, headers = {}) => server.app.inject({ url, headers });
  assert.equal((await ask(`${mine}?ticket=${ticket}`)).statusCode, 200);
  for (const other of [PATH, `${API}/task/${OTHER_ID}/events`, `${API}/batch/${OTHER_ID}/results`])
    refusal(await ask(`${other}?ticket=${ticket}`), 401, "unauthorized");
  refusal(await ask(`${mine}?ticket=${ticket}`, AS.admin), 401, "unauthorized");
  refusal(await ask(`${mine}?ticket=${ticket}&ticket=${ticket}`), 401, "unauthorized");
  refusal(await ask(`${API}/tasks?ticket=${ticket}`), 401, "unauthorized");
  const operators = await ticketFor(server, PATH, AS.user);
  refusal(await ask(`${PATH}?ticket=${operators}`), 403, "forbidden");
});

test("a refused ticket does not make a browser ask for a password", async (t) => {
  const { app } = testServer(t);
  const refused = await app.inject({ url: `${PATH}?ticket=old` });
  assert.match(refusal(refused, 401, "unauthorized"), /ticket is unknown or over.*POST \/api\/v1\/stream_ticket/);
  assert.equal(refused.headers["www-authenticate"], 'Bearer realm="ALT_LAS"');
});

test("a ticket is made for streams only", async (t) => {
  const { app } = testServer(t);
  for (const path of ["/api/v1/tasks", "/events", "", `${API}/task/x/events`, "https://evil.example.com/api/v1/tasks"])
    assert.match(
      refusal(await post(app, "/stream_ticket", { path }, AS.admin), 400, "invalid_input"),
      /^path must be that of an event stream: \/api\/v1\/events/,
    );
  refusal(await post(app, "/stream_ticket", {}, AS.admin), 400, "invalid_input");
  refusal(await post(app, "/stream_ticket", { path: PATH }, {}), 401, "unauthorized");
});

test("revoking a key ends the stream that its ticket has open", async (t) => {
  const server = testServer(t);
  const context = { config: testConfig().auth, dataDir: server.dataDir };
  await usersAdd(context, { name: "eve", role: "admin" });
  const key = (await keysAdd(context, { user: "eve", name: "eves" })).split("\n").at(-1)!;
  const port = await listening(server.app);
  const ticket = await ticketFor(server, PATH, { authorization: `Bearer ${key}` });
  const client = await openStream(t, port, `${PATH}?ticket=${ticket}`);
  const hello = await client.next();
  await keysRevoke(context, "eves");
  // The next request of anybody finds the file changed.
  await get(server.app, "/tasks", AS.admin);
  await assert.rejects(client.next());
  const again = { url: `${PATH}?ticket=${ticket}`, headers: { "last-event-id": hello!.id } };
  refusal(await server.app.inject(again), 401, "unauthorized");
});

test("a stream that is followed with a key itself ends with the key, and those of other keys go on", async (t) => {
  const server = testServer(t);
  const context = { config: testConfig().auth, dataDir: server.dataDir };
  await usersAdd(context, { name: "eve", role: "admin" });
  const key = (await keysAdd(context, { user: "eve", name: "eves" })).split("\n").at(-1)!;
  const port = await listening(server.app);
  const client = await openStream(t, port, PATH, { authorization: `Bearer ${key}` });
  const other = await openStream(t, port, `${PATH}?tasks=true`, AS.admin);
  for (const stream of [client, other]) assert.equal((await stream.next())!.event, "hello");
  await keysRevoke(context, "eves");
  await get(server.app, "/tasks", AS.admin);
  await assert.rejects(client.next());
  assert.equal(server.app.liveReaders?.size, 1);
});

test("who waits for a task with a key that is revoked meanwhile is not told of it", async (t) => {
  const server = testServer(t);
  const context = { config: testConfig().auth, dataDir: server.dataDir };
  const key = (await keysAdd(context, { user: "user", name: "eves" })).split("\n").at(-1)!;
  server.tasks.tasks = [aTask()];
  server.tasks.onWait = async () => {
    await keysRevoke(context, "eves");
    await nextTurn();
    return aCompletedTask();
  };
  const headers = { authorization: `Bearer ${key}` };
  refusal(await server.app.inject({ url: `${API}/task/${ID}?wait=30`, headers }), 401, "unauthorized");
});

test("no ticket is logged or repeated, whatever it was sent to", async (t) => {
  const server = testServer(t);
  server.tasks.failure = new Error("a bug");
  const ticket = await ticketFor(server, PATH);
  const targets = [
    `${PATH}?ticket=${ticket}&since=x`,
    `${PATH}?ticket=${ticket}&last_event_id=x`,
    `${API}/task/${ID}/events?ticket=${ticket}`,
    `${API}/nothing?ticket=${ticket}`,
    `${API}/tasks?ticket=${ticket}`,
    `${API}//events/?ticket=${ticket}&ticket=${ticket}`,
    `${API}/ev%65nts?ticket=${ticket}%zz`,
    `/v1/models/x?ticket=${ticket}`,
  ];
  for (const url of targets)
    for (const headers of [{}, AS.admin, { referer: `http://localhost${url}` }]) {
      const { body, headers: sent } = await server.app.inject({ url, headers });
      assert.ok(!body.includes(ticket), `${url}: ${body}`);
      assert.ok(!JSON.stringify(sent).includes(ticket));
    }
  await post(server.app, "/stream_ticket", { path: `/x?ticket=${ticket}` }, AS.admin);
  assert.ok(server.log.length > 0);
  assert.ok(!server.log.join("\n").includes(ticket), server.log.join("\n"));
});

test("every answer forbids a browser to tell others the URL", async (t) => {
  const { app } = testServer(t);
  const port = await listening(app);
  const policies = async (url: string, headers = {}) => (await app.inject({ url, headers })).headers["referrer-policy"];
  for (const url of ["/livez", `${API}/tasks`, `${API}/nothing`, "/nothing", `${API}/task/x`, "/"])
    for (const headers of [{}, AS.admin]) assert.equal(await policies(url, headers), "no-referrer", url);
  const stream = await openStream(t, port, PATH, AS.admin);
  assert.equal(stream.headers["referrer-policy"], "no-referrer");
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  socket.end("no HTTP\r\n\r\n");
  assert.match(await text(socket), /Referrer-Policy: no-referrer/);
});

test("a page of an origin that may call can read a stream by a ticket", async (t) => {
  const origin = "https://app.example.com";
  const server = testServer(t, testConfig(`server: { cors_origins: ["${origin}"] }`));
  const port = await listening(server.app);
  const ticket = await ticketFor(server, PATH);
  const client = await openStream(t, port, `${PATH}?ticket=${ticket}`, { origin });
  assert.equal(client.headers["access-control-allow-origin"], origin);
  const refused = await server.app.inject({ url: `${PATH}?ticket=old`, headers: { origin } });
  assert.equal(refused.headers["access-control-allow-origin"], origin, "so that the page learns why");
});
