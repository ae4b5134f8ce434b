/** Answers that go out as they come about: how many writes they are, and that these are what HTTP asks for. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { test, type TestContext } from "node:test";
import { fastify } from "fastify";
import { beginLiveAnswer } from "../src/http/live-answer.ts";
import { aCompletedTask, API, AS, aTask, FakeRun, ID, listening, testServer } from "./helpers/http.ts";

const PREDICT = { path: `${API}/predict`, body: { text: "x", stream: true } };
const CHAT = { path: "/v1/chat/completions", body: { messages: [{ role: "user", content: "x" }], stream: true } };
const WAYS = Object.entries({ PREDICT, CHAT });

/** A task that can be followed, and what is written to the connection of the client that submits it. */
async function submitted(t: TestContext, { path, body }: typeof PREDICT | typeof CHAT, version = "1.1") {
  const { app, tasks } = testServer(t);
  const run = new FakeRun();
  tasks.tasks = [aTask({ status: "running", gpuId: 0 })];
  tasks.runs.set(ID, run);
  const writes: string[] = [];
  app.server.once("connection", (socket: Socket) => {
    const whole = Reflect.get(socket, "_write") as NonNullable<Socket["_write"]>;
    const parts = Reflect.get(socket, "_writev") as NonNullable<Socket["_writev"]>;
    Object.assign(socket, {
      _write(...[chunk, encoding, done]: Parameters<typeof whole>) {
        writes.push(String(chunk));
        whole.call(socket, chunk, encoding, done);
      },
      _writev(...[chunks, done]: Parameters<typeof parts>) {
        writes.push(chunks.map(({ chunk }) => String(chunk)).join(""));
        parts.call(socket, chunks, done);
      },
    });
  });
  const client = connect(await listening(app), "127.0.0.1");
  t.after(() => client.destroy());
  const sent = JSON.stringify(body);
  const head = [`POST ${path} HTTP/${version}`, "host: localhost", `authorization: ${AS.user.authorization}`];
  head.push("content-type: application/json", `content-length: ${sent.length}`);
  const followed = once(run, "followed");
  client.write(`${head.join("\r\n")}\r\n\r\n${sent}`);
  await followed;
  return { run, writes, client };
}

function ended(said: string) {
  const task = aCompletedTask();
  return { ...task, result: { ...task.result!, text: said } };
}

/** The text of a body in chunks. @throws {assert.AssertionError} it is none, or not all of it */
function unchunked(body: string): string {
  const bytes = Buffer.from(body);
  let [whole, at] = ["", 0];
  for (;;) {
    const line = bytes.indexOf("\r\n", at);
    const length = Number.parseInt(bytes.toString("latin1", at, line), 16);
    whole += bytes.toString("utf8", line + 2, line + 2 + length);
    at = line + 2 + length;
    assert.equal(bytes.toString("latin1", at, at + 2), "\r\n");
    at += 2;
    if (length === 0) break;
  }
  assert.equal(at, bytes.length);
  return whole;
}

for (const [name, way] of WAYS) {
  test(`${name}: the head, where the task runs and its first text are one write, and so is its end`, async (t) => {
    const { run, writes, client } = await submitted(t, way);
    run.place(1, 3);
    run.say("Eine Äußerung 😀");
    await once(client, "data");
    assert.match(writes.join("|"), /^HTTP\/1\.1 200 OK\r\n[^|]*\r\n\r\n[^|]*"Eine Äußerung 😀"[^|]*$/);
    run.end(ended("Eine Äußerung 😀"));
    await once(client, "data");
    assert.equal(writes.length, 2);
    assert.match(unchunked(writes.join("").split("\r\n\r\n").slice(1).join("\r\n\r\n")), /^(data|event): [^]*\n\n$/);
  });

  test(`${name}: what has ended when it is first told is one write`, async (t) => {
    const { run, writes, client } = await submitted(t, way);
    run.end(ended("all of it"));
    await once(client, "data");
    assert.equal(writes.length, 1);
    assert.match(writes[0]!, /"all of it"[^]*\r\n0\r\n\r\n$/);
  });

  test(`${name}: a client of HTTP/1.0 gets no chunks`, async (t) => {
    const { run, client } = await submitted(t, way, "1.0");
    run.place(1, 3);
    run.say("word");
    run.end(ended("word"));
    const answer = await text(client);
    assert.match(answer, /\r\n\r\n(data|event): [^\r]*"word"[^\r]*\n\n$/);
  });

  test(`${name}: the next answer on the same connection is like the first`, async (t) => {
    const { run, writes, client } = await submitted(t, way);
    run.end(ended("first"));
    await once(client, "data");
    client.write(`GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n`);
    const [answer] = (await once(client, "data")) as [Buffer];
    assert.match(String(answer), /^HTTP\/1\.1 200 OK\r\n/);
    assert.equal(writes.length, 2);
  });
}

test("the head goes out when the first text takes long, with where the task runs", async (t) => {
  const { run, writes, client } = await submitted(t, PREDICT);
  run.place(1, 3);
  await once(client, "data");
  assert.match(writes.join("|"), /^HTTP\/1\.1 200 OK\r\n[^|]*\r\n\r\n[^|]*event: placed\n[^|]*$/);
  run.say("late");
  await once(client, "data");
  assert.match(writes[1] ?? "", /"late"/);
});

test("the head goes out although nothing is told of a task that waits", async (t) => {
  const { client } = await submitted(t, PREDICT);
  const [head] = (await once(client, "data")) as [Buffer];
  assert.match(String(head), /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n$/);
});

test("a client that leaves before the head is out is not followed for", async (t) => {
  const { run, client } = await submitted(t, PREDICT);
  const stopped = once(run, "stopped");
  client.destroy();
  await stopped;
  assert.equal(run.readers.size, 0);
});

test("a slow reader gets every byte in order, and neither text of no length nor a second end makes a chunk", async (t) => {
  // More than what the system keeps of a connection on both sides.
  const lines = Array.from({ length: 400 }, (_, index) => `${index} ${"ä".repeat(25_000)}\n`);
  const app = fastify();
  t.after(() => app.close());
  const said: boolean[] = [];
  const written = Promise.withResolvers<void>();
  app.get("/", async (_request, reply) => {
    const answer = beginLiveAnswer(reply, "text/plain; charset=utf-8", "with events");
    said.push(answer.write(""));
    for (const line of lines) answer.write(line);
    said.push(answer.write(""), answer.write("last\n"));
    const drained = once(answer, "drain");
    written.resolve();
    await drained;
    said.push(answer.write(""));
    answer.end("end\n");
    answer.end("more\n");
  });
  const client = connect(await listening(app), "127.0.0.1");
  t.after(() => client.destroy());
  client.write("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
  await written.promise;
  const answer = await text(client);
  assert.equal(unchunked(answer.slice(answer.indexOf("\r\n\r\n") + 4)), `${lines.join("")}last\nend\n`);
  assert.deepEqual(said, [true, false, false, true]);
});
