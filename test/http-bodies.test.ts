import { continuedText } from "./helpers/requests.ts";
import assert from "node:assert/strict";
import { once } from "node:events";
import { request, type ClientRequest, type IncomingMessage } from "node:http";
import { test, type TestContext } from "node:test";
import { type AltLasError } from "../src/errors.ts";
import { RequestMemory } from "../src/http/request-memory.ts";
import { API, AS, listening, refusal, post, testConfig, testServer } from "./helpers/http.ts";

/** 8,000 bytes for all, 4,000 for one caller, 3,000 for one body. */
const LIMITS = { max_text_bytes: 2000, max_batch_size: 10, max_body_bytes: 3000, max_open_bytes: 8000 };
const SMALL = testConfig(`limits: ${JSON.stringify(LIMITS)}\n`);

interface Upload {
  readonly client: ClientRequest;
  readonly answer: Promise<{ status: number; retryAfter: string | undefined; error: string; code: string }>;
}

/** Begins a body of 3,000 bytes. */
function upload(
  t: TestContext,
  port: number,
  as: keyof typeof AS,
  about: Record<string, string | number> = { "content-length": 3000 },
): Upload {
  const client = request({
    port,
    method: "POST",
    path: `${API}/predict`,
    headers: { ...AS[as], "content-type": "application/json", ...about },
  });
  t.after(() => client.destroy());
  client.on("error", () => {}).flushHeaders();
  const answer = answerOf(client);
  // Of a client that leaves, nobody asks for it.
  answer.catch(() => {});
  return { client, answer };
}

async function answerOf(client: ClientRequest): Promise<Awaited<Upload["answer"]>> {
  const [response] = (await once(client, "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text += chunk;
  const retryAfter = response.headers["retry-after"];
  return { ...(JSON.parse(text) as { error: string; code: string }), status: response.statusCode!, retryAfter };
}

test("a caller's bodies under way have a share of the memory for all, and one more is a 429 that names the limit", async (t) => {
  const { app } = testServer(t, SMALL);
  const port = await listening(app);
  // Announcing costs nothing.
  const announced = Array.from({ length: 20 }, () => upload(t, port, "user"));
  const [first, second, third] = announced as [Upload, Upload, Upload];
  first.client.write("x".repeat(2900));
  // In whatever order they arrive, the last does not fit.
  second.client.write("x".repeat(1000));
  third.client.write("x".repeat(1000));
  const refused = await Promise.race([first.answer, second.answer, third.answer]);
  assert.deepEqual([refused.status, refused.code, refused.retryAfter], [429, "rate_limited", "1"]);
  assert.match(
    refused.error,
    /^The requests of user .* more than 4000 bytes, which is what limits\.max_open_bytes leaves/,
  );
  const atOnce = await upload(t, port, "user", { expect: "100-continue", "content-length": 3000 }).answer;
  assert.equal(atOnce.status, 429, "refused before it is sent at all");
  const other = upload(t, port, "admin");
  other.client.end(JSON.stringify({ text: "y" }).padEnd(3000));
  assert.equal((await other.answer).status, 200, "others are not concerned");
});

test("what a body held is free again when it was read, was refused, or its client has gone", async (t) => {
  const { app } = testServer(t, SMALL);
  const port = await listening(app);
  for (let round = 0; round < 5; round++) {
    const good = upload(t, port, "user");
    good.client.end(JSON.stringify({ text: "y" }).padEnd(3000));
    assert.equal((await good.answer).status, 200);
    refusal(await post(app, "/predict", "x".repeat(2999)), 400, "malformed_json");
    refusal(await post(app, "/predict", "x".repeat(3001)), 413, "body_too_large");
    const leaving = upload(t, port, "user");
    leaving.client.write("x".repeat(2900));
    const [server] = (await once(app.server, "request")) as [IncomingMessage];
    const gone = new Promise((resolve) => server.once("close", resolve));
    leaving.client.destroy();
    await gone;
  }
});

test("a body in pieces of one byte is the same body, and is no larger in memory", async (t) => {
  const { app, tasks } = testServer(t, SMALL);
  const port = await listening(app);
  const { client, answer } = upload(t, port, "user", { "transfer-encoding": "chunked" });
  client.setNoDelay(true);
  const body = JSON.stringify({ text: "çok küçük ".repeat(40) });
  for (const byte of Buffer.from(body)) client.write(Buffer.of(byte));
  client.end();
  assert.equal((await answer).status, 200);
  assert.equal(continuedText(tasks.submitted[0]!.inputs[0]!.request), "çok küçük ".repeat(40));
});

test("chunked bodies are counted as they come, and end at the limit of one", async (t) => {
  const { app } = testServer(t, SMALL);
  const port = await listening(app);
  const { client, answer } = upload(t, port, "user", { "transfer-encoding": "chunked" });
  for (let sent = 0; sent < 4; sent++) client.write("x".repeat(1000));
  const { status, code } = await answer;
  assert.deepEqual([status, code], [413, "body_too_large"]);
});

test("when all memory is taken, the newest request of whoever has most gives way, and nobody is shut out", () => {
  const memory = new RequestMemory({ ...LIMITS, max_body_bytes: 1000 });
  const evicted: string[] = [];
  const hold = (user: string, name: string) =>
    memory.hold(user, ({ code, status }: AltLasError) => evicted.push(`${name} ${code} ${status}`));
  const a = [hold("a", "a1"), hold("a", "a2"), hold("a", "a3"), hold("a", "a4")];
  for (const each of a) each.take(1000);
  const b = [hold("b", "b1"), hold("b", "b2"), hold("b", "b3"), hold("b", "b4")];
  for (const each of b) each.take(1000);
  assert.equal(memory.taken, 8000);
  assert.throws(() => hold("a", "a5").take(1), { code: "rate_limited" });
  const c = hold("c", "c1");
  c.take(500);
  c.take(500);
  assert.deepEqual(evicted, ["a4 overloaded 503"]);
  assert.equal(memory.taken, 8000);
  // It has as much as the others would keep: its own request is what is too much.
  hold("c", "c2").take(1000);
  assert.deepEqual(evicted, ["a4 overloaded 503", "b4 overloaded 503"]);
  assert.throws(() => hold("c", "c3").take(1000), { code: "overloaded" });
  for (const each of [...a, ...b, c]) each.release();
  for (const each of a) each.release();
  assert.equal(memory.taken, 1000);
});

test("without a setting, the memory for requests follows from the heap, and one largest body always fits", () => {
  const { max_open_bytes: _none, ...limits } = LIMITS;
  const large = new RequestMemory({ ...limits, max_body_bytes: 2 ** 40 });
  const held = large.hold("a", () => {});
  held.take(2 ** 40);
  assert.throws(() => large.hold("a", () => {}).take(1), { code: "rate_limited" });
  assert.throws(() => large.hold("b", () => {}).take(2 ** 40), { code: "overloaded" });
  const usual = new RequestMemory(limits);
  assert.throws(() => usual.hold("a", () => {}).take(2 ** 27 + 1), { code: "rate_limited" });
});
