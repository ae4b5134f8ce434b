import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import {
  aCompletedTask,
  aBatch,
  API,
  aTask,
  BATCH_ID,
  FakeRun,
  ID,
  KEYS,
  listening,
  OTHER_ID,
  testServer,
} from "./helpers/http.ts";

const HEAD = `HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${KEYS.user}\r\n`;

function predict(fields: object, headers = ""): string {
  const body = JSON.stringify({ text: "x", ...fields });
  const about = `${headers}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`;
  return `POST ${API}/predict ${HEAD}${about}\r\n${body}`;
}

function get(path: string): string {
  return `GET ${API}${path} ${HEAD}\r\n`;
}

/** Sends a request, says that nothing more will come, and reads what comes until the server closes. */
function halfClosed(t: TestContext, port: number, bytes: string) {
  // Else this side would close altogether at the server's end.
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  t.after(() => socket.destroy());
  socket.end(bytes);
  return { socket, answer: textOf(socket) };
}

async function textOf(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

test("a client that sends no more gets its answer", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aCompletedTask()];
  tasks.batches = [aBatch()];
  tasks.results = [aCompletedTask()];
  const port = await listening(app);
  const requests = [
    get("/tasks"),
    get(`/task/${ID}`),
    get(`/task/${ID}/events`),
    get(`/batch/${BATCH_ID}/results`),
    predict({}),
    predict({ cancel_on_disconnect: true }, "Prefer: wait=30\r\n"),
  ];
  for (const request of requests) {
    const text = await halfClosed(t, port, request).answer;
    assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
    assert(text.includes(ID), text);
  }
  assert.deepEqual(tasks.canceled, []);
});

test("a client that waits, or reads along, and sends no more is not gone, however long that takes", async (t) => {
  const { app, tasks } = testServer(t);
  const port = await listening(app);
  tasks.tasks = [aTask()];
  const held = Promise.withResolvers<AbortSignal>();
  const end = Promise.withResolvers<ReturnType<typeof aTask>>();
  tasks.onWait = (_id, signal) => {
    held.resolve(signal);
    return end.promise;
  };
  const waiting = halfClosed(t, port, predict({ cancel_on_disconnect: true }, "Prefer: wait=300\r\n"));
  const signal = await held.promise;
  const run = new FakeRun();
  tasks.runs.set(ID, run);
  const reading = halfClosed(t, port, predict({ stream: true, cancel_on_disconnect: true }));
  // The sign of life it is asked for: an interim answer, which has no meaning beside that.
  const [interim] = (await once(waiting.socket, "data")) as [Buffer];
  assert.equal(interim.toString(), "HTTP/1.1 102 Processing\r\n\r\n");
  await once(waiting.socket, "data");
  assert.equal(signal.aborted, false);
  end.resolve(aCompletedTask({ id: OTHER_ID }));
  run.end(aCompletedTask());
  assert.match(await waiting.answer, /\r\n\r\nHTTP\/1\.1 200 OK\r\n[^]*"status":"completed"/);
  assert.match(await reading.answer, /^HTTP\/1\.1 200 OK\r\n[^]*: ping\n\n[^]*event: completed\n/);
  assert.deepEqual(tasks.canceled, []);
});

test("a client that closes altogether is noticed, whatever it waits for", async (t) => {
  const { app, tasks } = testServer(t);
  const port = await listening(app);
  tasks.tasks = [aTask()];
  tasks.batches = [aBatch()];
  const run = new FakeRun();
  tasks.runs.set(ID, run);
  const canceled = Promise.withResolvers<void>();
  tasks.onCancel = () => canceled.resolve();
  const waits = Promise.withResolvers<AbortSignal>();
  tasks.onWait = async (_id, signal) => {
    waits.resolve(signal);
    if (!signal.aborted) await once(signal, "abort");
    return aTask();
  };
  tasks.results = neverEnding();
  const close = async (bytes: string, begun: Promise<unknown>): Promise<void> => {
    const socket = connect(port, "127.0.0.1");
    socket.write(bytes);
    await begun;
    socket.destroy();
  };
  const stopped = once(run, "stopped");
  await Promise.all([
    close(predict({ cancel_on_disconnect: true }, "Prefer: wait=300\r\n"), waits.promise).then(() => canceled.promise),
    close(get(`/task/${ID}/events`), once(run, "followed")).then(() => stopped),
    (async () => {
      const asked = once(app.server, "request");
      await close(get(`/batch/${BATCH_ID}/results`), asked);
      const { signal } = await untilAsked(tasks.resultsAsked);
      if (!signal.aborted) await once(signal, "abort");
    })(),
  ]);
  assert.deepEqual(tasks.canceled, [ID]);
});

async function* neverEnding(): AsyncGenerator<ReturnType<typeof aTask>> {
  yield aCompletedTask();
  await new Promise(() => {});
}

async function untilAsked<T>(asked: readonly T[]): Promise<T> {
  while (asked.length === 0) await new Promise((resolve) => setImmediate(resolve));
  return asked[0]!;
}
