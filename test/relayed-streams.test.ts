/**
 * Events of a task for readers at a server that stands by: real servers that pass on and lead, whose task books are scripted, and the run of a
 * machine that they read.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { AgentReaders } from "../src/cluster/agent-readers.ts";
import { type FromReader, readersTo, textTo, type ToReader } from "../src/cluster/messages.ts";
import { TextReader } from "../src/cluster/text-reader.ts";
import { Credentials } from "../src/auth/credentials.ts";
import { hashApiKey } from "../src/auth/secrets.ts";
import { close, listen } from "../src/http/listen.ts";
import { EventBlocks } from "../src/http/standby/event-blocks.ts";
import type { LeadingServer } from "../src/http/standby/pass-on.ts";
import { createStandby } from "../src/http/standby/server.ts";
import { createLogger } from "../src/log/log.ts";
import { Output, textOf } from "../src/output.ts";
import { BEAT } from "./helpers/cluster-world.ts";
import { NOTHING_ENDED } from "./helpers/ended.ts";
import { brief, LiveClient, type ServerEvent } from "./helpers/events.ts";
import {
  aCompletedTask,
  API,
  AS,
  aTask,
  FakeRun,
  ID,
  listening,
  OTHER_ID,
  testConfig,
  testServer,
} from "./helpers/http.ts";
import { MemoryPlace } from "./helpers/kept.ts";
import { Hub } from "./helpers/memory-bus.ts";
import { testFolder } from "./helpers/store.ts";

const EVENTS = `${API}/task/${ID}/events`;
const CLUSTER = "the-cluster";
const RUN = { machine: "one", key: `${ID}:1:a` };

/** A machine that has runs, and what it tells. */
class Machine {
  readonly told: ToReader[] = [];
  readonly #outputs = new Map<string, Output>();
  readonly #readers: AgentReaders;

  constructor(hub: Hub, machine = "one") {
    const bus = hub.connect();
    this.#readers = new AgentReaders({
      machine,
      outputOf: (key) => this.#outputs.get(key),
      send: (subject, message) => {
        assert.match(subject, new RegExp(`^${textTo(machine, "[0-9a-f-]{36}")}$`));
        this.told.push(message);
        bus.send(subject, message);
      },
    });
    bus.listen(readersTo(machine), (message) => this.#readers.hear(message as FromReader, CLUSTER));
  }

  say(text: string, key = RUN.key): void {
    const output = this.#outputs.get(key) ?? new Output();
    this.#outputs.set(key, output);
    const before = output.length;
    output.add({ kind: "text", text });
    this.#readers.delta(key, { kind: "text", text }, before);
  }
}

/** One that leads, with a task that it has. */
async function leader(t: TestContext, name: string, yaml = "") {
  const member = {
    secret: name,
    leads: () => true,
    kept: await new MemoryPlace().next(),
    servers: () => Promise.resolve([]),
    share: () => Promise.resolve(),
  };
  const { app, tasks } = testServer(t, testConfig(yaml), { member });
  const run = new FakeRun();
  tasks.tasks = [aTask({ status: "running", gpuId: 0 })];
  tasks.runs.set(ID, run);
  const port = await listening(app);
  const asked: (string | undefined)[] = [];
  app.server.on("request", ({ headers }: { headers: Record<string, string> }) => asked.push(headers["last-event-id"]));
  const end = (text: string): void => {
    const task = aCompletedTask();
    tasks.tasks = [{ ...task, result: { ...task.result!, text } }];
    tasks.runs.delete(ID);
    run.end(tasks.tasks[0]!);
  };
  const at: LeadingServer = { id: name, url: `http://127.0.0.1:${port}`, secret: name };
  return { at, tasks, run, asked, end, port, heard: app.server };
}

/**
 * One that stands by, and a machine whose runs it may read.
 * @param ofLeader what the leader's configuration has beside its users
 */
async function world(t: TestContext, ofLeader = "", own = "") {
  const hub = new Hub();
  const machine = new Machine(hub);
  const first = await leader(t, "first", ofLeader);
  const config = testConfig(`server: { port: 0 }\n${own}`);
  const log = createLogger("fatal", { write: () => {} });
  const texts = new TextReader({ bus: hub.connect(), cluster: CLUSTER, beat: BEAT });
  t.after(() => texts.close());
  let now: LeadingServer | null = first.at;
  const server = createStandby({
    config,
    live: { config, values: [], sourceOf: () => "default", patch: () => [] },
    log,
    credentials: new Credentials({ config: config.auth, dataDir: testFolder(t), log }),
    version: "1.2.3",
    leader: () => now,
    seesDatabase: () => true,
    texts,
    ended: NOTHING_ENDED,
    metrics: () => Promise.resolve({ contentType: "text/plain", text: "" }),
  });
  t.after(() => close(server.app));
  const { url } = await listen(server.app, config.server, log, true);
  const lead = (next: LeadingServer | null): void => {
    now = next;
    server.leaderChanged();
  };
  const open = async (path = EVENTS, headers: Record<string, string> = {}, body?: object) => {
    const type = { "content-type": "application/json" };
    const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
    const client = await LiveClient.open(Number(new URL(url).port), path, {
      ...options,
      headers: { ...AS.user, ...(body && type), ...headers },
    });
    t.after(() => client.leave());
    return client;
  };
  return { hub, machine, first, lead, open, port: Number(new URL(url).port) };
}

/** A client stops reading and goes. Each server notices only that it takes nothing more. */
async function leaves(
  t: TestContext,
  client: LiveClient,
  { run }: Pick<Awaited<ReturnType<typeof leader>>, "run">,
): Promise<void> {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  client.leave();
  while (run.readers.size > 0) {
    t.mock.timers.tick(1000);
    await new Promise((resolve) => void setImmediate(resolve));
  }
  t.mock.timers.reset();
}

async function take(client: LiveClient, count: number): Promise<ServerEvent[]> {
  const events: ServerEvent[] = [];
  while (events.length < count) events.push((await client.next())!);
  return events;
}

test("a stream goes on from one leader to the next, with nothing missing and nothing twice", async (t) => {
  const { hub, machine, first, lead, open } = await world(t);
  first.run.elsewhere = RUN;
  machine.say("Once ");
  const client = await open();
  assert.equal(client.headers["x-alt-las-relay"], undefined);
  first.run.place(1, 3);
  const events = await take(client, 2);
  assert.deepEqual(brief(events), ["placed 1 on 3", "token Once "]);
  assert([...first.run.readers].every(({ readsElsewhere }) => readsElsewhere));
  // Nobody leads: the machine tells on.
  lead(null);
  machine.say("upon ");
  events.push(...(await take(client, 1)));
  const second = await leader(t, "second");
  second.run.elsewhere = RUN;
  second.run.place(1, 3);
  const followed = once(second.run, "followed");
  lead(second.at);
  await followed;
  machine.say("a ");
  machine.say("time");
  events.push(...(await take(client, 1)));
  // Text that is lost on the way comes with the end.
  hub.loses = (subject) => subject.startsWith("alt-las.text.");
  machine.say(".");
  second.end("Once upon a time.");
  events.push(...(await client.rest()));
  assert.deepEqual(
    events.map(({ event, id, data }) => [event, id, data["text"]]),
    [
      ["placed", `${ID}:1:0`, undefined],
      ["token", `${ID}:1:5`, "Once "],
      ["token", `${ID}:1:10`, "upon "],
      ...tokensOf(events.slice(3, -1)),
      ["completed", `${ID}:end`, undefined],
    ],
  );
  assert.equal(textIn(events), "Once upon a time.");
  assert.equal((events.at(-1)!.data["result"] as { text: string }).text, "Once upon a time.");
  assert.deepEqual(first.asked, [undefined]);
  assert.equal(second.asked[0], `${ID}:1:10`);
});

function tokensOf(events: readonly ServerEvent[]) {
  return events.map(({ id, data }) => ["token", id, data["text"]]);
}

function textIn(events: readonly ServerEvent[]): string {
  let offset = 0;
  const tokens = events.filter(({ event }) => event === "token");
  for (const { id, data } of tokens) {
    offset += (data["text"] as string).length;
    assert.equal(Number(id.split(":")[2]), offset);
  }
  return tokens.map(({ data }) => data["text"]).join("");
}

test("a stream that begins with its submission does so, too, and its client's leaving is told", async (t) => {
  const { machine, first, open } = await world(t);
  first.run.elsewhere = RUN;
  const body = { text: "hello", max_length: 5, stream: true, cancel_on_disconnect: true };
  const client = await open(`${API}/predict`, {}, body);
  assert.equal(client.headers["x-task-id"], ID);
  first.run.place(1, 0);
  machine.say("a");
  assert.deepEqual(brief(await take(client, 2)), ["placed 1 on 0", "token a"]);
  await leaves(t, client, first);
  assert.deepEqual(first.tasks.canceled, [ID]);
});

test("text that cannot be read where it is comes from the leader, for whom the client has not left", async (t) => {
  const { first, open } = await world(t, "limits: { max_open_requests: 1 }");
  first.run.elsewhere = { machine: "deaf", key: RUN.key };
  const body = { text: "hello", max_length: 5, stream: true, cancel_on_disconnect: true };
  const client = await open(`${API}/predict`, {}, body);
  first.run.place(1, 0);
  const followed = once(first.run, "followed");
  await followed;
  first.run.say("here");
  const events = await take(client, 2);
  assert.deepEqual(brief(events), ["placed 1 on 0", "token here"]);
  assert.deepEqual(first.tasks.canceled, []);
  first.end("here it is");
  assert.equal(textIn([...events, ...(await client.rest())]), "here it is");
});

test("events of a run that can be read at the leader alone go on at the next one", async (t) => {
  const { first, lead, open } = await world(t);
  const client = await open();
  first.run.place(1, 0);
  first.run.say("Once ");
  const events = await take(client, 2);
  const second = await leader(t, "second");
  second.run.place(1, 0, "Once upon");
  lead(second.at);
  events.push(...(await take(client, 1)));
  second.end("Once upon a time.");
  events.push(...(await client.rest()));
  assert.deepEqual(brief(events), ["placed 1 on 0", "token Once ", "token upon", "token  a time.", "completed"]);
  textIn(events);
});

test("another attempt is read where that runs", async (t) => {
  const { hub, machine, first, open } = await world(t);
  const two = new Machine(hub, "two");
  first.run.elsewhere = RUN;
  const client = await open();
  first.run.place(1, 0);
  machine.say("Once ");
  const events = await take(client, 2);
  first.run.elsewhere = { machine: "two", key: `${ID}:2:a` };
  two.say("Twice", `${ID}:2:a`);
  first.run.place(2, 1);
  events.push(...(await take(client, 2)));
  assert.deepEqual(brief(events), ["placed 1 on 0", "token Once ", "placed 2 on 1", "token Twice"]);
});

test("a reader that comes back gets what is behind its last event, from the machine", async (t) => {
  const { machine, first, open } = await world(t);
  first.run.elsewhere = RUN;
  first.run.place(1, 0);
  machine.say("Once upon ");
  const client = await open(EVENTS, { "last-event-id": `${ID}:1:5` });
  machine.say("a time");
  const events = await take(client, 1);
  while (events.map(({ data }) => data["text"]).join("") !== "upon a time") events.push((await client.next())!);
  assert(events.every(({ event }) => event === "token"));
});

test("only a server that passes requests on can have text come from elsewhere", async (t) => {
  const { first } = await world(t);
  first.run.elsewhere = RUN;
  first.run.place(1, 0);
  const passedOn = "secret-of-nobody 127.0.0.1 relays";
  const client = await LiveClient.open(first.port, EVENTS, {
    headers: { ...AS.user, "x-forwarded-alt-las": passedOn },
  });
  t.after(() => client.leave());
  assert.equal(client.headers["x-alt-las-relay"], undefined);
  first.run.say("here");
  assert.deepEqual(brief(await take(client, 2)), ["placed 1 on 0", "token here"]);
});

test("an agent tells what is read while it is read, and again what was lost", async (t) => {
  const hub = new Hub();
  const machine = new Machine(hub);
  const texts = new TextReader({ bus: hub.connect(), cluster: CLUSTER, beat: BEAT });
  t.after(() => texts.close());
  machine.say("0");
  assert.equal(machine.told.length, 0);
  let grown = Promise.withResolvers<void>();
  const read = () =>
    texts.read(RUN, { caughtUp: () => grown.resolve(), delta: () => grown.resolve(), failed: () => assert.fail() });
  const [one, other] = [read(), read()];
  let count = 0;
  hub.loses = (subject) => subject.startsWith("alt-las.text.") && ++count % 3 === 0;
  hub.doubles = () => count % 4 === 0;
  let all = "0";
  for (let piece = 1; piece < 40; piece++) {
    all += ` ${piece}`;
    machine.say(` ${piece}`);
    await new Promise((resolve) => void setImmediate(resolve));
  }
  while (one.output.length < all.length) {
    grown = Promise.withResolvers();
    await grown.promise;
  }
  assert.equal(one.output.deltas.map(textOf).join(""), all);
  assert.equal(one.output, other.output);
  one.stop();
  machine.say("!");
  const { told } = machine;
  while (!told.some(({ runs }) => runs.some(({ output }) => output.map(textOf).join("").endsWith("!"))))
    await new Promise((resolve) => void setImmediate(resolve));
  other.stop();
  await new Promise((resolve) => void setImmediate(() => setImmediate(resolve)));
  const { length } = told;
  machine.say("nobody reads this");
  await new Promise((resolve) => void setImmediate(() => setImmediate(resolve)));
  assert.equal(machine.told.length, length);
});

/** A key that may submit, and read nothing. */
const SUBMITS = "altlas_submits";
const OF_SUBMITS = `    - { name: submits, user: user, sha256: "${hashApiKey(SUBMITS)}", scopes: [submit] }`;

test("a submission is answered to its end, whatever its key may read, and by its pass nobody reads anything else", async (t) => {
  const { machine, first, open } = await world(t, OF_SUBMITS);
  first.run.elsewhere = RUN;
  const passes: unknown[] = [];
  const asAnother = { authorization: `Bearer ${SUBMITS}` };
  const client = await open(`${API}/predict`, asAnother, { text: "hello", max_length: 5, stream: true });
  assert.equal(client.headers["x-alt-las-relay"], undefined);
  first.run.place(1, 0);
  machine.say("a");
  const events = await take(client, 2);
  first.heard.on("request", ({ headers }: IncomingMessage) => passes.push(headers["x-forwarded-alt-las"]));
  first.end("a b");
  events.push(...(await client.rest()));
  assert.deepEqual([textIn(events), events.at(-1)!.event], ["a b", "completed"]);
  const [passedOn] = passes as string[];
  assert.match(passedOn!, /^first \S+ relays rest=\S+$/);
  const ask = async (path: string, headers: Record<string, string>): Promise<number | undefined> => {
    const other = await LiveClient.open(first.port, path, { headers: { ...asAnother, ...headers } });
    t.after(() => other.leave());
    return other.status;
  };
  const word = { "x-forwarded-alt-las": passedOn! };
  assert.equal(await ask(EVENTS, word), 200);
  assert.equal(await ask(`${API}/task/${ID}`, word), 403);
  assert.equal(await ask(EVENTS.replace(ID, OTHER_ID), word), 403);
  assert.equal(await ask(EVENTS, { "x-forwarded-alt-las": passedOn!.replace("first", "fisrt") }), 403);
  assert.equal(await ask(EVENTS, { "x-forwarded-alt-las": `${passedOn!}x` }), 403);
});

test("a caller of one open request reads at the leader what cannot be read where it is, until the next attempt", async (t) => {
  const { machine, first, open } = await world(t, "limits: { max_open_requests: 1 }");
  first.run.elsewhere = { machine: "deaf", key: RUN.key };
  const client = await open();
  const followed = once(first.run, "followed");
  first.run.place(1, 0);
  await followed;
  first.run.say("here");
  const events = await take(client, 2);
  const key = `${ID}:2:a`;
  first.run.elsewhere = { machine: "one", key };
  machine.say("there", key);
  first.run.place(2, 1);
  events.push(...(await take(client, 2)));
  assert.deepEqual(brief(events), ["placed 1 on 0", "token here", "placed 2 on 1", "token there"]);
  assert([...first.run.readers].every(({ readsElsewhere }) => readsElsewhere));
});

test("a server that loses its database cancels no task, and goes on with its streams", async (t) => {
  const { machine, first, lead, open } = await world(t);
  first.run.elsewhere = RUN;
  let hasLeft = false;
  first.heard.once("connection", (socket: Socket) => socket.once("end", () => (hasLeft = true)));
  const body = { text: "hello", max_length: 5, stream: true, cancel_on_disconnect: true };
  const client = await open(`${API}/predict`, {}, body);
  first.run.place(1, 0);
  machine.say("a");
  const events = await take(client, 2);
  lead(null);
  for (let turns = 0; turns < 50; turns++) await new Promise((resolve) => void setImmediate(resolve));
  assert(!hasLeft);
  machine.say(" b");
  events.push(...(await take(client, 1)));
  lead(first.at);
  first.end("a b c");
  events.push(...(await client.rest()));
  assert.equal(textIn(events), "a b c");
  assert.deepEqual([first.tasks.canceled, first.asked], [[], [undefined, `${ID}:1:3`]]);
});

test("a client that leaves is told of, also where the answer to its submission has ended before", async (t) => {
  const { machine, first, open } = await world(t);
  first.run.elsewhere = RUN;
  const body = { text: "hello", max_length: 5, stream: true, cancel_on_disconnect: true };
  const client = await open(`${API}/predict`, {}, body);
  first.run.place(1, 0);
  machine.say("a");
  const events = await take(client, 2);
  // The next attempt is one of the leader's own GPUs.
  first.run.elsewhere = null;
  const followed = once(first.run, "followed");
  first.run.place(2, 1);
  await followed;
  first.run.say("b");
  events.push(...(await take(client, 2)));
  assert.deepEqual(brief(events), ["placed 1 on 0", "token a", "placed 2 on 1", "token b"]);
  assert.deepEqual(first.tasks.canceled, []);
  await leaves(t, client, first);
  assert.deepEqual(first.tasks.canceled, [ID]);
});

for (const ends of [false, true])
  test(`a client whose server never asks for the rest has left; ${ends ? "its task has ended" : "its task is canceled"}`, async (t) => {
    const { first } = await world(t);
    first.run.elsewhere = RUN;
    const client = await LiveClient.open(first.port, `${API}/predict`, {
      method: "POST",
      headers: { ...AS.user, "content-type": "application/json", "x-forwarded-alt-las": "first 127.0.0.1 relays" },
      body: JSON.stringify({ text: "hello", max_length: 5, stream: true, cancel_on_disconnect: true }),
    });
    first.run.place(1, 0);
    t.mock.timers.enable({ apis: ["setTimeout"] });
    first.run.elsewhere = null;
    if (ends) first.end("hello");
    else first.run.place(2, 1);
    assert.deepEqual(await client.rest(), []);
    for (let turns = 0; ends ? turns < 10 : first.tasks.canceled.length === 0; turns++) {
      t.mock.timers.tick(60_000);
      await new Promise((resolve) => void setImmediate(resolve));
    }
    t.mock.timers.reset();
    assert.deepEqual(first.tasks.canceled, ends ? [] : [ID]);
  });

test("a ticket opens the rest of its stream, though its reader has had no event yet", async (t) => {
  const { first, open, port } = await world(t);
  first.run.elsewhere = RUN;
  const given = await open(`${API}/stream_ticket`, {}, { path: EVENTS });
  const { ticket } = JSON.parse((await given.until("}"))! + "}") as { ticket: string };
  const client = await LiveClient.open(port, `${EVENTS}?ticket=${ticket}`, { headers: {} });
  first.run.place(1, 0);
  const now = performance.now.bind(performance);
  t.mock.method(performance, "now", () => now() + 120_000);
  first.end("all of it");
  const events = await client.rest();
  assert.deepEqual([textIn(events), events.at(-1)?.event], ["all of it", "completed"]);
});

test("a reader for whom there is no memory has to come again", async (t) => {
  const { machine, first, open } = await world(t, "", "limits: { max_body_bytes: 100000, max_open_bytes: 100000 }");
  first.run.elsewhere = RUN;
  machine.say("x".repeat(70_000));
  first.run.place(1, 0);
  const one = await open();
  assert.equal(textIn(await take(one, 2)).length, 70_000);
  await assert.rejects(async () => (await open()).rest());
});

test("a reader outlives a short loss of the connection to NATS, and is told of a long one", async (t) => {
  const hub = new Hub();
  const machine = new Machine(hub);
  const bus = hub.connect();
  const texts = new TextReader({ bus, cluster: CLUSTER, beat: BEAT });
  t.after(() => texts.close());
  let beat: (() => void) | null = null;
  const beats = async (count: number): Promise<void> => {
    for (; count > 0; count--) {
      beat!();
      await new Promise((resolve) => void setImmediate(() => setImmediate(() => setImmediate(resolve))));
    }
  };
  let failures = 0;
  machine.say("a");
  const clock = t.mock.method(globalThis, "setInterval", (given: () => void) => void (beat = given));
  const { output } = texts.read(RUN, { caughtUp: () => {}, delta: () => {}, failed: () => failures++ });
  clock.mock.restore();
  await beats(1);
  await bus.set(false);
  machine.say("b");
  await beats(15);
  await bus.set(true);
  await beats(2);
  assert.deepEqual([output.deltas.map(textOf).join(""), failures], ["ab", 0]);
  await bus.set(false);
  await beats(30);
  assert.equal(failures, 1);
  await bus.set(true);
  assert(texts.hears("one"));
});

test("a word of the leader is none within an event that goes on in pieces", () => {
  const blocks = new EventBlocks();
  const head = `event: token\nid: ${ID}:1:5\ndata: {"text":"${"x".repeat(70_000)}`;
  assert.deepEqual(blocks.take(Buffer.from(`${head}:`)), { data: Buffer.from(head), begins: 0 });
  assert(blocks.isWithin);
  const rest = ': run {"}\n\n';
  const { data, begins } = blocks.take(Buffer.from(`${rest.slice(1)}: run {}\n\n: pi`));
  assert.equal(data.toString(), `${rest}: run {}\n\n`);
  assert.equal(data.toString("utf8", begins), ": run {}\n\n");
  assert.equal(blocks.take(Buffer.from("ng\n\n")).begins, 0);
});

/** Words of a leader and of a server that stands by, as they were said over HTTP: see cluster-versions.test.ts. */
const { relay3 } = JSON.parse(readFileSync(new URL("fixtures/cluster-messages.json", import.meta.url), "utf8")) as {
  readonly relay3: Readonly<Record<"relay" | "first" | "rest", string>> & { readonly asked: readonly string[] };
};

test("a leader of the first version that had such streams is understood", async (t) => {
  const { machine, lead, open } = await world(t);
  const [id, key] = [relay3.relay.split(":")[0]!, /"key":"(.*?)"/.exec(relay3.first)![1]!];
  const asked: IncomingMessage["headers"][] = [];
  const over = Promise.withResolvers<void>();
  const earlier = createServer(async ({ headers }, response) => {
    asked.push(headers);
    const isFirst = asked.length === 1;
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      ...(isFirst && { "x-alt-las-relay": relay3.relay }),
    });
    response.write(isFirst ? relay3.first : relay3.rest);
    if (isFirst) await over.promise;
    response.end();
  });
  t.after(() => earlier.close());
  await once(earlier.listen(0, "127.0.0.1"), "listening");
  const { port } = earlier.address() as AddressInfo;
  lead({ id: "earlier", url: `http://127.0.0.1:${port}`, secret: "earlier" });
  machine.say(" seven small boats past an old mill while", key);
  const client = await open(EVENTS);
  const events = await take(client, 2);
  over.resolve();
  events.push(...(await client.rest()));
  assert.deepEqual(
    events.map(({ event }) => event),
    ["placed", "token", "completed"],
  );
  assert.equal(textIn(events), (events[2]!.data["result"] as { text: string }).text);
  const pass = relay3.relay.split(" ")[1]!;
  assert.deepEqual([asked.length, asked[1]!["last-event-id"]], [2, `${id}:1:${textIn(events).length}`]);
  assert.match(String(asked[1]!["x-forwarded-alt-las"]), new RegExp(`^earlier \\S+ relays rest=${pass}$`));
});

function headersBy(word: string) {
  return { authorization: `Bearer ${SUBMITS}`, "x-forwarded-alt-las": word };
}

test("a server of the first version that had such streams gets them, and the rest by its pass", async (t) => {
  const { first } = await world(t, OF_SUBMITS);
  first.run.elsewhere = RUN;
  const [passedOn, forRest] = relay3.asked.map((said) => said.replace(/^\S+/, "first"));
  const submission = await LiveClient.open(first.port, `${API}/predict`, {
    method: "POST",
    headers: { ...headersBy(passedOn!), "content-type": "application/json" },
    body: JSON.stringify({ text: "hello", max_length: 8, stream: true }),
  });
  t.after(() => submission.leave());
  const [at, pass] = String(submission.headers["x-alt-las-relay"]).split(" ");
  assert.equal(at, `${ID}:0:0`);
  first.run.place(1, 0);
  let block = await submission.until("\n\n");
  while (block === ": ping") block = await submission.until("\n\n");
  const [, run] = /^: run (\{.*\})$/.exec(block!)!;
  assert.deepEqual(JSON.parse(run!), { ...RUN, attempt: 1, gpu_id: 0 });
  first.end("a b");
  assert.deepEqual(await submission.rest(), []);
  const rest = await LiveClient.open(first.port, EVENTS, {
    headers: { ...headersBy(forRest!.replace(/\S+$/, `rest=${pass}`)), "last-event-id": `${ID}:1:1` },
  });
  t.after(() => rest.leave());
  assert.deepEqual(brief(await rest.rest()), ["token  b", "completed"]);
});
