/** What a server does that floods, stalls or never reads, and what those notice that are asked by the same process. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo } from "node:net";
import { text as textOf } from "node:stream/consumers";
import { test, type TestContext } from "node:test";
import { pino } from "pino";
import { workerChannels } from "../../src/gpu/worker/worker-channels.ts";
import { type StepEnd } from "../../src/gpu/worker/messages.ts";
import { completionOf } from "../../src/request.ts";
import { OPENAI } from "../helpers/engines.ts";
import { Line } from "../helpers/line.ts";
import { StandIn } from "../helpers/upstream.ts";

const MIB = 2 ** 20;
type Bad = ((response: ServerResponse) => void) | null;

const piece = `data: ${JSON.stringify({ choices: [{ index: 0, text: "", finish_reason: null }] })}\n\n`;

/** The answers to a task that has "bad" in its prompt; each goes on for as long as somebody listens. */
const BAD: Readonly<Record<string, (response: ServerResponse) => void>> = {
  "sends 100 MB": (response) => pour(response, () => "x".repeat(MIB), 100),
  "floods events": (response) => pour(response, () => piece.repeat(2000)),
  "sends huge JSON": (response) => pour(response, () => `data: {"choices":[${"[".repeat(400_000)}\n\n`),
  "sends one event without end": (response) => pour(response, () => "data: x".repeat(10_000)),
  stalls: (response) => void response.write(piece),
};

/** Sends without end, or so many pieces, as fast as they are taken. */
function pour(response: ServerResponse, make: () => string, left = Infinity): void {
  if (left === 0) return void response.end();
  if (response.destroyed) return;
  if (response.write(make())) setImmediate(() => pour(response, make, left - 1));
  else response.once("drain", () => pour(response, make, left - 1));
}

const DONE = `data: ${JSON.stringify({ choices: [{ index: 0, text: "x", finish_reason: "length" }] })}\n\ndata: [DONE]\n\n`;

async function answer(request: IncomingMessage, response: ServerResponse, bad: Bad): Promise<void> {
  // A large body waits in the connection for whoever reads it.
  if (bad === null && Number(request.headers["content-length"] ?? 0) > MIB) return;
  const body = await textOf(request);
  if (request.url === "/v1/models") return void response.end('{"data":[{"id":"m","object":"model"}]}');
  if (request.url !== "/v1/completions") return void response.writeHead(404).end("{}");
  response.writeHead(200, { "content-type": "text/event-stream" });
  if (bad !== null && body.includes("bad")) bad(response);
  else response.end(DONE);
}

async function badServer(t: TestContext, bad: Bad): Promise<string> {
  const server = createServer((request, response) => void answer(request, response, bad).catch(() => {}));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A worker of the shared process that asks this server. */
async function asking(t: TestContext, open: ReturnType<typeof workerChannels>, url: string): Promise<Line> {
  const engine = { ...OPENAI, upstream: { url, apiKey: null }, patience: { firstByte: 600, token: 600 } };
  const line = new Line(t, (options, events) => open({ ...options, engine }, events));
  line.channel.send({ type: "load", gpuId: 3, engine, proveCuda: false });
  await line.until(() => line.count("loaded") + line.count("refused") + line.count("lost") > 0);
  assert.equal(line.count("loaded"), 1, JSON.stringify(line.heard.filter(({ type }) => type !== "heartbeat")));
  return line;
}

function endsOf(line: Line): StepEnd[] {
  return line.heard.flatMap((message) => (message.type === "step" ? message.ends : []));
}

for (const [what, bad] of [...Object.entries(BAD), ["never reads", null] as const]) {
  test(`a server that ${what} keeps nobody else's tasks from their end, and its own can be canceled`, async (t) => {
    await using good = await StandIn.open({ vendor: "vllm" });
    const open = workerChannels(pino({ level: "silent" }));
    const [line, other] = [await asking(t, open, await badServer(t, bad)), await asking(t, open, good.url)];
    assert.equal(line.channel.pid, other.channel.pid);
    const text = bad === null ? "never read ".repeat(MIB) : "bad";
    for (const run of [1, 2, 3, 4])
      line.channel.send({ type: "run", requests: [{ run, request: completionOf(text, { maxTokens: 1e6 }) }] });
    for (let run = 1; run <= 30; run++) {
      other.channel.send({ type: "run", requests: [{ run, request: completionOf("hello", { maxTokens: 5 }) }] });
      await other.until(() => endsOf(other).length === run);
    }
    assert.deepEqual(
      endsOf(other).filter(({ type }) => type !== "finished"),
      [],
    );
    line.channel.send({ type: "cancel", runs: [1, 2, 3, 4] });
    await line.until(() => endsOf(line).length === 4 || line.count("lost") > 0);
    const ended = other.channel.pid;
    line.channel.kill();
    await line.closed();
    other.channel.send({ type: "run", requests: [{ run: 31, request: completionOf("after", { maxTokens: 5 }) }] });
    await other.until(() => endsOf(other).length === 31);
    assert.deepEqual([other.channel.pid, other.ends.length], [ended, 0]);
  });
}
