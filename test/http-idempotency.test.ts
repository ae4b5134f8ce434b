/** What a caller may repeat, and how often it may ask. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { type FastifyRequest } from "fastify";
import { AltLasError } from "../src/errors.ts";
import { idempotencyOf } from "../src/http/idempotency.ts";
import { aCompletedTask, AS, get, ID, OTHER_ID, post, refusal, testServer } from "./helpers/http.ts";
import { envelopeOf } from "./helpers/openai.ts";

function withKey(key: string): Record<string, string> {
  return { ...AS.user, "idempotency-key": key };
}

test("a request that says the same has the same fingerprint, whatever the order and the defaults", async (t) => {
  const { app, tasks } = testServer(t);
  const fingerprintOf = async (path: string, body: unknown): Promise<string> => {
    tasks.submitted.length = 0;
    assert.equal((await post(app, path, body, withKey("a-key"))).statusCode, 200);
    const { key, fingerprint } = tasks.submitted[0]!.options.idempotency!;
    assert.equal(key, "a-key");
    assert.match(fingerprint, /^[0-9a-f]{64}$/);
    return fingerprint;
  };
  const same = [
    { text: "x", max_length: 5 },
    { max_length: 5, text: "x" },
    { text: "x", max_length: 5, temperature: 0.7, priority: null, gpu_options: {} },
    { text: "x", max_length: 5, gpu_options: { batch_split: true, strategy: "least_loaded" } },
  ];
  const other = [
    { text: "y", max_length: 5 },
    { text: "x", max_length: 6 },
    { text: "x", max_length: 5, stream: true },
    { text: "x", max_length: 5, gpu_options: { specific_gpu_id: 0 } },
    { text: "x", max_length: 5, response_format: { type: "json_object" } },
    { text: "x", max_length: 5, tools: [{ function: { name: "a" } }] },
    { text: "x", max_length: 5, logprobs: 0 },
  ];
  const fingerprints = new Set<string>();
  for (const body of same) fingerprints.add(await fingerprintOf("/predict", body));
  assert.equal(fingerprints.size, 1);
  tasks.tasks = [];
  for (const body of other.filter((one) => one.stream !== true))
    fingerprints.add(await fingerprintOf("/predict", body));
  assert.equal(fingerprints.size, 7);
  const items = [{ text: "a" }, { text: "b" }];
  fingerprints.add(await fingerprintOf("/batch_predict", { batch: items }));
  fingerprints.add(await fingerprintOf("/batch_predict", { batch: items.toReversed() }));
  assert.equal(fingerprints.size, 9);
});

test("a fingerprint is that of the body as one JSON text with sorted names, which earlier versions have stored", () => {
  const bodies = [
    null,
    {},
    { b: 1, a: { d: [], c: null } },
    { batch: [] },
    { batch: [{ text: "é", a: 1 }, "t"], 2: [[]] },
  ];
  for (const body of bodies) {
    const about = {
      headers: { "idempotency-key": "k" },
      params: { task_id: ID },
      routeOptions: { url: "/predict" },
      body,
    };
    const { fingerprint } = idempotencyOf(about as unknown as FastifyRequest)!;
    const text = canonicalize([{ task_id: ID }, body]);
    assert.equal(fingerprint, createHash("sha256").update(`POST /predict\n${text}`).digest("hex"), text);
  }
});

function canonicalize(value: unknown): string {
  return JSON.stringify(value, (_name, part: unknown) =>
    part === null || typeof part !== "object" || Array.isArray(part)
      ? part
      : Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1))),
  );
}

test("without a key nothing is remembered", async (t) => {
  const { app, tasks } = testServer(t);
  await post(app, "/predict", { text: "x" });
  assert.equal(tasks.submitted[0]!.options.idempotency, null);
});

test("a repeated request is answered as the first was, and says so", async (t) => {
  const { app, tasks } = testServer(t);
  const body = { predict: { text: "x" }, batch_predict: { batch: [{ text: "x" }] } };
  for (const [route, payload] of Object.entries(body)) {
    tasks.submission = { ...tasks.submission, replayed: false };
    const first = await post(app, `/${route}`, payload, withKey("k"));
    assert.equal(first.headers["idempotent-replayed"], undefined);
    tasks.submission = { ...tasks.submission, replayed: true };
    const second = await post(app, `/${route}`, payload, withKey("k"));
    assert.equal(second.headers["idempotent-replayed"], "true");
    assert.deepEqual(second.json(), first.json());
  }
  const waiting = await post(app, "/predict", { text: "x" }, { ...withKey("k"), prefer: "wait=5" });
  assert.equal(waiting.headers["idempotent-replayed"], "true");
  assert.deepEqual(
    tasks.waits.map(({ id }) => id),
    [ID],
  );
});

test("a key may be 1 to 255 printable ASCII characters", async (t) => {
  const { app, tasks } = testServer(t);
  for (const key of ["a", "x".repeat(255), '"quoted"', "two words", "!~", "8e03978e-40d5-43e8-bc93-6894a57f9324"]) {
    assert.equal((await post(app, "/predict", { text: "x" }, withKey(key))).statusCode, 200, key);
  }
  const allowed = "The Idempotency-Key header must be 1 to 255 printable ASCII characters; got";
  const cases: [key: string, got: string][] = [
    ["", "0"],
    ["x".repeat(256), "256"],
    ["\u00e9", "1 with others among them"],
    ["tab\there", "8 with others among them"],
  ];
  for (const path of ["/predict", "/batch_predict"]) {
    const body = path === "/predict" ? { text: "x" } : { batch: [{ text: "x" }] };
    for (const [key, got] of cases) {
      const sentence = refusal(await post(app, path, body, withKey(key)), 400, "invalid_input");
      assert.equal(sentence, `${allowed} ${got}.`);
    }
  }
  assert.equal(tasks.submitted.length, 6);
});

test("a key that was used for something else is a conflict", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.failure = new AltLasError("conflict", "The key was used for another request.");
  refusal(await post(app, "/predict", { text: "x" }, withKey("k")), 409, "conflict");
});

test("a body that nothing can write as JSON again has no fingerprint, and is refused", async (t) => {
  const { app } = testServer(t);
  const deep = `${"[".repeat(50_000)}${"]".repeat(50_000)}`;
  const body = `{"messages":[{"role":"user","content":"x"}],"unknown":${deep}}`;
  const headers = { ...withKey("k"), "content-type": "application/json" };
  const response = await app.inject({ method: "POST", url: "/v1/chat/completions", headers, payload: body });
  assert.equal(envelopeOf(response, 400).message, "The body has too many lists and objects within each other.");
});

test("a retry can be sent again too: the key belongs to the task that it names", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aCompletedTask(), aCompletedTask({ id: OTHER_ID })];
  for (const id of [ID, ID, OTHER_ID]) await post(app, `/task/${id}/retry`, {}, withKey("k"));
  const [first, again, other] = tasks.retryKeys.map((one) => one!.fingerprint);
  assert.deepEqual([first === again, first === other], [true, false]);
  tasks.submission = { ...tasks.submission, replayed: true };
  const replayed = await post(app, `/task/${ID}/retry`, {}, withKey("k"));
  assert.equal(replayed.headers["idempotent-replayed"], "true");
  await post(app, `/task/${ID}/retry`, {});
  assert.equal(tasks.retryKeys.at(-1), null);
});

test("each submission counts for its user, before its body is looked at", async (t) => {
  const { app, tasks, state } = testServer(t);
  tasks.overLimit = new AltLasError("rate_limited", "More than 60 requests a minute.", { retryAfter: 12.5 });
  for (const path of ["/predict", "/batch_predict", `/task/${ID}/retry`]) {
    const response = await post(app, path, "not even JSON");
    assert.equal(refusal(response, 429, "rate_limited"), "More than 60 requests a minute.");
    assert.equal(response.headers["retry-after"], "13");
  }
  assert.deepEqual(tasks.counted, ["user", "user", "user"]);
  // What is refused anyway, or submits nothing, is not counted.
  refusal(await post(app, "/predict", {}, AS.viewer), 403, "forbidden");
  state.draining = true;
  refusal(await post(app, "/predict", {}), 503, "draining");
  assert.equal((await get(app, "/tasks")).statusCode, 200);
  assert.equal(tasks.counted.length, 3);
  assert.equal(tasks.submitted.length, 0);
});
