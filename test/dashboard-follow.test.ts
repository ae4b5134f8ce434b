/** How the dashboard follows a task: over a real server, and connections that break. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { follow, NO_OUTPUT, outputAfter } from "../src/dashboard/files/tasks/follow.js";
import { startLocalServer } from "./helpers/local-server.ts";

/** Gathers what a reader is told. */
function reader() {
  const told = { output: NO_OUTPUT, ended: null as { status: string; result: { text: string } } | null };
  const log: string[] = [];
  const watcher = {
    placed: (gpuId: number, attempt: number) => {
      told.output = outputAfter(told.output, { gpuId, attempt });
      log.push(`placed ${attempt}`);
    },
    token: (delta: { text: string; reasoning?: string }) => {
      told.output = outputAfter(told.output, delta);
    },
    ended: (task: typeof told.ended) => {
      told.ended = task;
      log.push("ended");
    },
    refused: (sentence: string) => log.push(sentence),
    connected: (connected: boolean) => log.push(connected ? "connected" : "disconnected"),
  };
  return { told, log, watcher };
}

const never = new AbortController().signal;
const atOnce = () => Promise.resolve();

test("a task is followed to its end, over connections that break after each event", async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  const { task_id } = await server.predict({ text: "hello", max_length: 30 });
  const { told, log, watcher } = reader();
  let connections = 0;
  const open = async (lastEventId: string, signal: AbortSignal) => {
    connections++;
    const headers = { authorization: `Bearer ${server.key}`, "last-event-id": lastEventId };
    const response = await fetch(`${server.url}/api/v1/task/${task_id}/events`, { headers, signal });
    return connections < 6 ? new Response(brokenAfterOneEvent(response)) : response;
  };
  await follow({ open, signal: never, pause: atOnce }, watcher);
  assert.ok(connections >= 3, "it broke");
  assert.equal(told.output.text, told.ended?.result.text);
  assert.equal(told.ended?.status, "completed");
  assert.equal(log.at(-1), "ended");
});

/** Passes one event on, then breaks. */
function brokenAfterOneEvent(response: Response): ReadableStream<Uint8Array> {
  const source = response.body!.getReader();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await source.read();
      const end = value === undefined ? -1 : Buffer.from(value).indexOf("\n\n");
      if (value !== undefined) controller.enqueue(value.slice(0, end === -1 ? undefined : end + 2));
      await source.cancel();
      if (done) controller.close();
      else setImmediate(() => controller.error(new Error("broken")));
    },
  });
}

test("an attempt that failed is forgotten, with its text", () => {
  let output = outputAfter(NO_OUTPUT, { gpuId: 0, attempt: 1 });
  output = outputAfter(output, { text: "", reasoning: "hm" });
  output = outputAfter(output, { text: "lost" });
  assert.deepEqual(outputAfter(output, { gpuId: 0, attempt: 1 }), output);
  assert.deepEqual(outputAfter(output, { gpuId: 1, attempt: 2 }), { text: "", reasoning: "", attempt: 2, gpuId: 1 });
});

test("a refusal ends it with the server's sentence; a server that is away or starting is asked again", async () => {
  const { log, watcher } = reader();
  const answers = [
    () => Promise.reject(new TypeError("away")),
    () => Promise.reject(Object.assign(new Error("The server starts."), { status: 503 })),
    () => Promise.reject(Object.assign(new Error("There is no task x."), { status: 404 })),
  ];
  const waits: number[] = [];
  const pause = (milliseconds: number) => {
    waits.push(milliseconds);
    return Promise.resolve();
  };
  await follow({ open: () => answers.shift()!(), signal: never, pause }, watcher);
  assert.deepEqual(log, ["disconnected", "disconnected", "There is no task x."]);
  assert.deepEqual(waits, [500, 1000]);
});

test("whoever leaves the page is told nothing more", async () => {
  const { log, watcher } = reader();
  const leaving = new AbortController();
  const open = () => {
    leaving.abort();
    return Promise.reject(new Error("aborted"));
  };
  await follow({ open, signal: leaving.signal, pause: atOnce }, watcher);
  assert.deepEqual(log, []);
});
