import assert from "node:assert/strict";
import { once } from "node:events";
import { Writable } from "node:stream";
import { test, type TestContext } from "node:test";
import { OperatorStream } from "../src/http/operator-stream.ts";
import { EventRing } from "../src/observe/event-ring.ts";
import { TaskChanges, type ChangedTasks } from "../src/observe/task-changes.ts";
import { OPERATOR_EVENT, TASK_ACCEPTED, TASK_ENDED, TASK_OUTPUT, TASK_STARTED, tellOperators } from "../src/topics.ts";
import { LiveClient, parseEvents, type ServerEvent } from "./helpers/events.ts";
import { startLocalServer } from "./helpers/local-server.ts";
import { newTask } from "./helpers/store.ts";
import { API, AS, get, ID, listening, OTHER_ID, refusal, testServer } from "./helpers/http.ts";

const EVENTS = "/events";

function tell(sentence: string): void {
  tellOperators({ kind: "gpu", event: "faulted", gpuId: 0, sentence });
}

function sentences(events: readonly ServerEvent[]): unknown[] {
  return events.map(({ event, data }) => data["sentence"] ?? event);
}

/** A server that listens, and clients that leave at the end. */
async function listener(t: TestContext) {
  const server = testServer(t);
  const port = await listening(server.app);
  const open = async (query = "", headers: Record<string, string> = AS.admin): Promise<LiveClient> => {
    const client = await LiveClient.open(port, `${API}${EVENTS}${query}`, { headers });
    t.after(() => client.leave());
    return client;
  };
  return { ...server, open };
}

async function take(client: LiveClient, count: number): Promise<ServerEvent[]> {
  const events: ServerEvent[] = [];
  while (events.length < count) events.push((await client.next())!);
  return events;
}

/** The place to go on from: what a new reader is told first. */
async function placeNow({ open }: { open: (query?: string) => Promise<LiveClient> }): Promise<string> {
  return (await (await open()).next())!.id;
}

function ringOf(t: TestContext, size?: number): EventRing {
  const ring = new EventRing(size);
  t.after(() => ring.stop());
  return ring;
}

test("an admin is told what happens from the greeting on, each event with an id", async (t) => {
  const { open } = await listener(t);
  tell("before");
  const client = await open();
  const [hello] = await take(client, 1);
  tellOperators({ kind: "model", event: "pulled", model: "m", by: "ada", sentence: "m was pulled by ada." });
  const [event] = await take(client, 1);
  assert.equal(hello!.event, "hello");
  const run = hello!.data["run"];
  assert.equal(hello!.id, `${String(run)}-1`);
  assert.equal(event!.event, "model");
  assert.equal(event!.id, `${String(run)}-2`);
  const { at, ...data } = event!.data;
  assert.match(String(at), /^\d{4}-.*Z$/);
  assert.deepEqual(data, { kind: "model", event: "pulled", model: "m", by: "ada", sentence: "m was pulled by ada." });
});

test("Last-Event-ID brings exactly what was missed within a run", async (t) => {
  const server = await listener(t);
  tell("one");
  const id = await placeNow(server);
  tell("two");
  tell("three");
  const again = await server.open("", { ...AS.admin, "last-event-id": id });
  assert.deepEqual(sentences(await take(again, 3)), ["hello", "two", "three"]);
  const byQuery = await server.open(`?last_event_id=${id}`);
  assert.deepEqual(sentences(await take(byQuery, 3)), ["hello", "two", "three"]);
});

test("an id of an earlier run gets word that something was missed, and all of this run", async (t) => {
  const { open } = await listener(t);
  tell("at the start");
  const client = await open("", { ...AS.admin, "last-event-id": "0123456789ab-7" });
  const [, missed, event] = await take(client, 3);
  assert.equal(missed!.event, "missed");
  assert.equal(missed!.data["events"], null);
  assert.match(String(missed!.data["sentence"]), /started again/);
  assert.equal(event!.data["sentence"], "at the start");
});

test("since brings the events from a time on", async (t) => {
  const { open } = await listener(t);
  const event = { kind: "gpu", event: "ready", gpuId: 0 } as const;
  OPERATOR_EVENT.publish({ ...event, at: Date.UTC(2026, 0, 1), sentence: "old" });
  OPERATOR_EVENT.publish({ ...event, at: Date.UTC(2026, 0, 3), sentence: "new" });
  const client = await open("?since=2026-01-02T00:00:00Z");
  assert.deepEqual(sentences(await take(client, 2)), ["hello", "new"]);
});

test("a time or an id that is none is refused with the field", async (t) => {
  const { app, events } = testServer(t);
  const ask = async (query: string) => refusal(await get(app, EVENTS + query, AS.admin), 400, "invalid_input");
  assert.match(await ask("?since=yesterday"), /^since must be a time with its zone.*"yesterday"/);
  assert.match(await ask("?last_event_id=17"), /^Last-Event-ID must be the id of an event of GET \/events.*"17"/);
  assert.match(await ask(`?last_event_id=${events.run}-9`), /^Last-Event-ID must be/, "none of this run");
  assert.match(await ask("?task=true"), /task/);
});

test("who is a user is told of its own tasks, and of nothing else", async (t) => {
  const { app, open } = await listener(t);
  assert.match(refusal(await get(app, EVENTS, AS.user), 403, "forbidden"), /need the role admin or viewer.*tasks=true/);
  const client = await open("?tasks=true&since=2020-01-01T00:00:00Z", AS.user);
  const [hello] = await take(client, 1);
  tell("for operators");
  TASK_ACCEPTED.publish({ task: newTask(1, { id: OTHER_ID, user: "somebody" }) });
  TASK_ACCEPTED.publish({ task: newTask(1, { id: ID, user: "user" }) });
  const [changed] = await take(client, 1);
  assert.equal(hello!.event, "hello");
  assert.equal(changed!.event, "task");
  assert.deepEqual(changed!.data["tasks"], [
    {
      task_id: ID,
      user: "user",
      status: "queued",
      gpu_id: null,
      created_at: new Date(newTask(1).createdAt).toISOString(),
    },
  ]);
});

test("a viewer reads no path, no address and no words of other programs", async (t) => {
  const { open } = await listener(t);
  const client = await open("", AS.viewer);
  await take(client, 1);
  tell("/home/ada/secret.gguf: permission denied");
  tellOperators({ kind: "auth", event: "refused", count: 4, sentence: "Password refused 4 times from 10.0.0.7." });
  tellOperators({ kind: "store", event: "working", sentence: "Tasks are written to disk again." });
  const told = sentences(await take(client, 3));
  const own = ["It failed, and is tried again.", "Credentials were refused.", "Tasks are written to disk again."];
  assert.deepEqual(told, own);
});

test("without tasks=true nobody is told of tasks, and nothing is made for it", async (t) => {
  const { open } = await listener(t);
  const client = await open();
  await take(client, 1);
  assert.equal(TASK_ACCEPTED.isHeard, false);
  const other = await open("?tasks=true");
  await take(other, 1);
  assert.equal(TASK_ACCEPTED.isHeard, true);
});

test("a stop of the server ends the streams", async (t) => {
  const { app, open } = await listener(t);
  const client = await open("?tasks=true");
  await take(client, 1);
  await app.close();
  assert.equal(await client.next(), null);
  assert.equal(TASK_ACCEPTED.isHeard, false, "and what they subscribed to");
});

test("a HEAD gets the headers alone", async (t) => {
  const { app } = testServer(t);
  const answer = await app.inject({ method: "HEAD", url: API + EVENTS, headers: AS.admin });
  assert.equal(answer.statusCode, 200);
  assert.equal(answer.headers["content-type"], "text/event-stream; charset=utf-8");
  assert.equal(answer.body, "");
});

// --- tasks -----------------------------------------------------------------------------------------------------------

/** Resolves with what is told next. */
function nextOf(changes: TaskChanges, t: TestContext): Promise<ChangedTasks> {
  return new Promise((resolve) => t.after(changes.follow(resolve)));
}

test("of a task that changes several times in a moment the last state is told, with all its times", async (t) => {
  const changes = new TaskChanges();
  const told = nextOf(changes, t);
  const queued = newTask(1, { user: "ada" });
  const running = { ...queued, status: "running" as const, gpuId: 1, startedAt: queued.createdAt + 5 };
  const instance = { gpuId: 1, id: 0 };
  TASK_ACCEPTED.publish({ task: queued });
  TASK_STARTED.publish({ task: running, instance, waited: 0.005 });
  TASK_OUTPUT.publish({ task: running, isFirst: true, pause: null });
  TASK_OUTPUT.publish({ task: running, isFirst: false, pause: 0.02 });
  TASK_ENDED.publish({ task: { ...running, status: "completed", finishedAt: queued.createdAt + 9 } });
  const { changes: list, leftOut } = await told;
  assert.equal(leftOut, 0);
  assert.equal(list.length, 1);
  const { firstOutputAt, ...last } = list[0]!;
  assert.ok(firstOutputAt !== null, "the first output came in the same moment");
  assert.deepEqual(last, {
    id: queued.id,
    user: "ada",
    team: null,
    status: "completed",
    gpuId: 1,
    model: null,
    batchId: null,
    createdAt: queued.createdAt,
    startedAt: queued.createdAt + 5,
    finishedAt: queued.createdAt + 9,
  });
});

test("one message has so many tasks at most, and says how many changes it leaves out", async (t) => {
  const changes = new TaskChanges(2);
  const told = nextOf(changes, t);
  for (const id of ["a", "b", "c", "d", "a"]) TASK_ACCEPTED.publish({ task: newTask(1, { id }) });
  const news = await told;
  assert.deepEqual(
    news.changes.map(({ id }) => id),
    ["a", "b"],
  );
  assert.equal(news.leftOut, 2);
});

test("nobody listens to tasks once the last reader has gone", () => {
  const changes = new TaskChanges();
  const ends = [changes.follow(() => {}), changes.follow(() => {})];
  assert.equal(TASK_OUTPUT.isHeard, true);
  TASK_ACCEPTED.publish({ task: newTask(1) });
  for (const end of ends) end();
  assert.equal(TASK_OUTPUT.isHeard, false);
});

// --- slow readers ----------------------------------------------------------------------------------------------------

/** A stream over a connection that takes one piece at a time, when the test lets it. */
function slowReader(t: TestContext, ring: EventRing) {
  let onWay: { text: string; taken: () => void } | null = null;
  const raw = new Writable({
    highWaterMark: 1,
    write: (chunk, _encoding, taken) => (onWay = { text: String(chunk), taken }),
  });
  const reader = {
    from: ring.last,
    missed: null,
    sees: null,
    worded: <T>(event: T) => event,
    language: "en" as const,
    hold: () => true,
  };
  const stream = new OperatorStream(raw, ring, reader);
  t.after(ring.follow(() => stream.told()));
  stream.start(() => {});
  /** Takes what is on its way, and waits until the stream has been told. */
  const read = async (): Promise<unknown[]> => {
    const { text, taken } = onWay!;
    onWay = null;
    const drained = once(raw, "drain");
    taken();
    await drained;
    return sentences(parseEvents(text));
  };
  return { raw, stream, read, isIdle: () => onWay === null };
}

test("a slow reader gets the events that came meanwhile when it reads on, and nothing is buffered for it", async (t) => {
  const ring = ringOf(t);
  const { raw, read } = slowReader(t, ring);
  const greeting = raw.writableLength;
  for (let index = 0; index < 500; index++) tell(`event ${index}`);
  assert.equal(raw.writableLength, greeting);
  assert.deepEqual(await read(), ["hello"]);
  const caught = await read();
  assert.equal(caught.length, 500);
  assert.equal(caught.at(-1), "event 499");
});

test("a reader that is slower than the ring is told how many events are gone", async (t) => {
  const ring = ringOf(t, 3);
  const { read } = slowReader(t, ring);
  for (let index = 0; index < 10; index++) tell(`event ${index}`);
  await read();
  assert.deepEqual(await read(), ["7 events are not kept any more.", "event 7", "event 8", "event 9"]);
});

test("changes of tasks that passed a slow reader by are told as missed, once", async (t) => {
  const { stream, read, isIdle } = slowReader(t, ringOf(t));
  const news = { changes: [], leftOut: 0 };
  stream.changed(news);
  stream.changed(news);
  await read();
  assert.deepEqual(await read(), ["Changes of tasks were left out: read GET /tasks again."]);
  assert.ok(isIdle());
});

// --- the ring --------------------------------------------------------------------------------------------------------

test("the ring keeps the latest events, with their numbers", (t) => {
  const ring = ringOf(t, 2);
  for (const sentence of ["one", "two", "three"]) tell(sentence);
  assert.deepEqual(
    ring.after(0).map(({ number, event }) => `${number} ${event.sentence}`),
    ["2 two", "3 three"],
  );
  assert.equal(ring.before, 1);
  assert.equal(ring.last, 3);
  assert.deepEqual(ring.after(3), []);
});

test("a stopped ring hears nothing", () => {
  const ring = new EventRing();
  ring.stop();
  tell("later");
  assert.equal(ring.last, 0);
});

// --- a whole server --------------------------------------------------------------------------------------------------

test("a running server tells who drained a GPU, who resumed it, and what became of the tasks there", async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  await server.became(0, "ready");
  const headers = { authorization: `Bearer ${server.key}` };
  const path = `${API}${EVENTS}?tasks=true&since=2020-01-01T00:00:00Z`;
  const client = await LiveClient.open(Number(new URL(server.url).port), path, { headers });
  t.after(() => client.leave());
  const until = async (isMeant: (event: ServerEvent) => boolean): Promise<ServerEvent> => {
    for (;;) {
      const event = await client.next();
      assert.ok(event !== null, "the stream has ended");
      if (isMeant(event)) return event;
    }
  };
  await until(({ data }) => data["event"] === "ready");
  const task = await server.run({ text: "hello", max_length: 2 });
  const isIts = ({ data }: ServerEvent) =>
    ((data["tasks"] ?? []) as { task_id: string; status: string }[]).some(
      ({ task_id, status }) => task_id === task.task_id && status === "completed",
    );
  await until(isIts);
  await server.request("POST", "/api/v1/gpus/0/drain");
  const drained = await until(({ data }) => data["event"] === "drained");
  assert.deepEqual([drained.data["gpu_id"], drained.data["by"]], [0, "admin"]);
  await server.request("POST", "/api/v1/gpus/0/resume");
  const resumed = await until(({ data }) => data["event"] === "resumed");
  assert.deepEqual([resumed.data["by"], resumed.data["sentence"]], ["admin", "Resumed by admin."]);
  await until(({ data }) => data["event"] === "ready");
});
