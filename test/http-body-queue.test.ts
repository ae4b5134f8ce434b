/** Large bodies take turns, and what one costs counts until its tasks are stored. */
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { connect } from "node:net";
import { test, type TestContext } from "node:test";
import fastify, { type FastifyRequest } from "fastify";
import { type Caller } from "../src/auth/credentials.ts";
import { readJsonBodies, usingBody } from "../src/http/bodies.ts";
import { BodyQueue, heapCostOf } from "../src/http/body-queue.ts";
import { RequestMemory } from "../src/http/request-memory.ts";
import { AS, API, listening, testConfig, testServer } from "./helpers/http.ts";

/** Resolves after everything that is due in this turn of the event loop. */
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("a body costs its bytes, and twice as much where a text may be kept with two bytes a character", () => {
  assert.equal(heapCostOf(Buffer.from('{"text":"plain"}')), 16);
  assert.equal(heapCostOf(Buffer.from('{"text":"çok"}')), 2 * 15);
  assert.equal(heapCostOf(Buffer.from('{"text":"\\u4e2d"}')), 2 * 17);
});

test("turns are given in order, within the budget; one alone may have any size", async () => {
  const queue = new BodyQueue(10);
  const began: string[] = [];
  const take = (name: string, cost: number) => queue.take(cost, () => began.push(name));
  const a = take("a", 50);
  const b = take("b", 6);
  const c = take("c", 5);
  const d = take("d", 4);
  assert.deepEqual([began, queue.state], [["a"], { taken: 50, waiting: 3 }]);
  c();
  a();
  a();
  assert.deepEqual(began, ["a"], "what was given back is let go first");
  await nextTurn();
  assert.deepEqual([began, queue.state], [["a", "b", "d"], { taken: 10, waiting: 0 }]);
  const e = take("e", 1);
  for (const giveBack of [b, d]) giveBack();
  await nextTurn();
  assert.deepEqual([began, queue.state], [["a", "b", "d", "e"], { taken: 1, waiting: 0 }]);
  e();
  assert.equal(queue.state.taken, 0);
});

test("what is being worked on gives way to nobody", () => {
  const memory = new RequestMemory({ max_open_bytes: 8000, max_body_bytes: 4000 });
  const evicted: string[] = [];
  const hold = (user: string, name: string) => memory.hold(user, () => evicted.push(name));
  const [a1, a2] = [hold("a", "a1"), hold("a", "a2")];
  a1.take(2000);
  a2.take(2000);
  a2.keep();
  const b = hold("b", "b1");
  b.take(3000);
  b.keep();
  const c = hold("c", "c1");
  c.take(1000);
  c.take(1000);
  assert.deepEqual(evicted, ["a1"], "the newest is in use");
  c.take(1000);
  assert.throws(() => c.take(1), { code: "overloaded" });
  assert.deepEqual(evicted, ["a1"]);
});

/** A server whose handler works on a body until a test says that it is stored. */
async function slowServer(t: TestContext, budget: number) {
  const memory = new RequestMemory({ max_open_bytes: 16_000, max_body_bytes: 4000 });
  const queue = new BodyQueue(budget);
  const events = new EventEmitter();
  const app = fastify();
  t.after(() => app.close());
  app.addHook("onRequest", (request, reply, done) => {
    request.caller = { name: String(request.headers["x-user"]) } as Caller;
    request.response = reply.raw;
    done();
  });
  readJsonBodies(app, { maxBytes: 4000, maxParts: () => 100 }, { memory, queue });
  app.post("/", (request: FastifyRequest) =>
    usingBody(request, async () => {
      const { name } = request.body as { name: string };
      events.emit("began", name);
      await once(events, `stored ${name}`);
      return name;
    }),
  );
  const port = await listening(app);
  const send = async (name: string): Promise<string> => {
    const body = JSON.stringify({ name }).padEnd(3000);
    const headers = { "content-type": "application/json", "x-user": name };
    return (await fetch(`http://127.0.0.1:${port}/`, { method: "POST", headers, body })).text();
  };
  return { app, port, memory, queue, events, send };
}

test("a large body waits as bytes while others are worked on, and begins when one of them is stored", async (t) => {
  const { app, queue, events, send } = await slowServer(t, 7000);
  const began: string[] = [];
  events.on("began", (name: string) => began.push(name));
  const answers: Promise<string>[] = [];
  for (const name of ["a", "b"]) {
    const start = once(events, "began");
    answers.push(send(name));
    await start;
  }
  const arrived = once(app.server, "request");
  answers.push(send("c"));
  const [request] = await arrived;
  await once(request, "end");
  assert.deepEqual([began, queue.state.waiting], [["a", "b"], 1]);
  const start = once(events, "began");
  events.emit("stored b");
  await start;
  assert.deepEqual(began, ["a", "b", "c"]);
  for (const name of ["a", "c"]) events.emit(`stored ${name}`);
  assert.deepEqual(await Promise.all(answers), ["a", "b", "c"]);
  assert.deepEqual(queue.state, { taken: 0, waiting: 0 });
});

test("a client that has gone frees nothing while its body is worked on, and leaves the line while it waits", async (t) => {
  const { app, port, memory, queue, events } = await slowServer(t, 4000);
  const leaving = async (name: string) => {
    const socket = connect(port, "127.0.0.1");
    const about = `Host: x\r\nX-User: ${name}\r\nContent-Type: application/json\r\nContent-Length: 3000\r\n\r\n`;
    const asked = once(app.server, "request");
    socket.write(`POST / HTTP/1.1\r\n${about}${JSON.stringify({ name }).padEnd(3000)}`);
    const [request, response] = await asked;
    return { request, leave: () => Promise.all([once(response, "close"), socket.destroy()]) };
  };
  const start = once(events, "began");
  const first = await leaving("a");
  await start;
  const second = await leaving("b");
  await once(second.request, "end");
  assert.deepEqual([memory.taken, queue.state], [6000, { taken: 3000, waiting: 1 }]);
  await second.leave();
  await first.leave();
  assert.deepEqual([memory.taken, queue.state], [3000, { taken: 3000, waiting: 0 }]);
  events.emit("stored a");
  await nextTurn();
  assert.deepEqual([memory.taken, queue.state], [0, { taken: 0, waiting: 0 }]);
});

test("a body that is refused while it is sent is taken all the same, so that its sender reads the answer", async (t) => {
  const { app, tasks } = testServer(t, testConfig("limits: { max_text_bytes: 2000, max_body_bytes: 3000 }"));
  const port = await listening(app);
  // More than the buffers of a connection take: a sender that is reset loses the answer.
  const size = 16 * 2 ** 20;
  for (const length of [`Content-Length: ${size}`, "Transfer-Encoding: chunked"]) {
    const socket = connect(port, "127.0.0.1");
    t.after(() => socket.destroy());
    const about = `Authorization: ${AS.user.authorization}\r\nContent-Type: application/json\r\n${length}`;
    socket.write(`POST ${API}/predict HTTP/1.1\r\nHost: x\r\n${about}\r\n\r\n`);
    if (!length.includes("Length")) socket.write(`${size.toString(16)}\r\n`);
    // It reads nothing before it has sent all.
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.write(Buffer.alloc(size, "x"), () => resolve());
    });
    const rest = length.includes("Length") ? "" : "\r\n0\r\n\r\n";
    const another = `Authorization: ${AS.user.authorization}\r\nContent-Type: application/json\r\nContent-Length: 12`;
    socket.write(`${rest}POST ${API}/predict HTTP/1.1\r\nHost: x\r\n${another}\r\n\r\n{"text":"x"}`);
    let answer = "";
    for await (const piece of socket.setEncoding("utf8")) answer += piece;
    assert.match(answer, /^HTTP\/1\.1 413 [^]*"code":"body_too_large"\}$/);
    assert.equal(tasks.submitted.length, 0, "what comes after the answer that ended the connection is not carried out");
  }
});
