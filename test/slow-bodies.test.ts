/** Uploads may take any time, as long as they come on. */
import assert from "node:assert/strict";
import { type IncomingMessage } from "node:http";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { clientErrorHandler } from "../src/http/failures.ts";
import { watchSlowBody } from "../src/http/slow-bodies.ts";

/** A request whose body comes as a test says. */
function slowRequest() {
  const socket = Object.assign(new PassThrough(), { bytesRead: 0 });
  const state = { paused: false };
  const request = { socket, isPaused: () => state.paused } as unknown as IncomingMessage;
  return { request, socket, state };
}

test("a body of which too little comes within a period is given up, unless our own disk holds it up", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const { request, socket, state } = slowRequest();
  const told: string[] = [];
  const watch = watchSlowBody(request, ({ code, message }) => told.push(`${code}: ${message}`), 1000);
  for (let period = 0; period < 400; period++) {
    socket.bytesRead += 30 * 1024;
    t.mock.timers.tick(1000);
  }
  state.paused = true;
  t.mock.timers.tick(1000);
  assert.deepEqual(told, []);
  state.paused = false;
  socket.bytesRead += 30 * 1024 - 1;
  t.mock.timers.tick(1000);
  const sentence = "Only 30719 bytes of the body came within 1 seconds; it must be 30720 at least.";
  assert.deepEqual(told, [`request_timeout: ${sentence}`]);
  watch[Symbol.dispose]();
  t.mock.timers.tick(10_000);
  assert.equal(told.length, 1);
});

test("Node's limit for a whole request is not for a body that is watched, and is for the next one", () => {
  const { request, socket } = slowRequest();
  const refused: string[] = [];
  const handle = clientErrorHandler(() => "id", { refusedOdd: ({ error }) => void refused.push(error.code) });
  const late = Object.assign(new Error("late"), { code: "ERR_HTTP_REQUEST_TIMEOUT" });
  const watch = watchSlowBody(request, () => {});
  handle(late, socket as never);
  assert.deepEqual(refused, []);
  assert.equal(socket.readableLength, 0);
  watch[Symbol.dispose]();
  handle(late, socket as never);
  assert.deepEqual(refused, ["request_timeout"]);
  assert.match(String(socket.read()), /^HTTP\/1\.1 408 /);
});
