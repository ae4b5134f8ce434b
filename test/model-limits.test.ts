/** Keys whose tasks may ask for some models only. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { hashApiKey } from "../src/auth/secrets.ts";
import { parseConfig } from "../src/config/config.ts";
import { aTask, get, ID, MODEL, post, postNothing, refusal, testServer } from "./helpers/http.ts";

const BOUND = { authorization: "Bearer altlas_bound" };
const CONFIG = `auth:
  users: [{ name: user, role: user }]
  keys: [{ name: bound, user: user, sha256: "${hashApiKey("altlas_bound")}", models: [an-alias, small] }]
api: { anthropic: true }
`;

function world(t: Parameters<typeof testServer>[0]) {
  const server = testServer(t, parseConfig(CONFIG, "test.yaml"));
  const asked = (): (string | null)[] =>
    server.tasks.submitted.flatMap(({ inputs }) => inputs.map(({ model }) => model));
  return { ...server, asked };
}

const WHY = /^model must be one that the key bound may use \(an-alias, small\); got "large"\.$/;

test("a task that names no model gets the first one of its key", async (t) => {
  const { app, asked } = world(t);
  assert.equal((await post(app, "/predict", { text: "a" }, BOUND)).statusCode, 200);
  assert.deepEqual(asked(), ["an-alias"]);
});

test("a model may be asked for by any of its names, and no other one", async (t) => {
  const { app, asked } = world(t);
  for (const model of [MODEL.name, "an-alias", "small"])
    assert.equal((await post(app, "/predict", { text: "a", model }, BOUND)).statusCode, 200, model);
  assert.deepEqual(asked(), [MODEL.name, "an-alias", "small"]);
  assert.match(refusal(await post(app, "/predict", { text: "a", model: "large" }, BOUND), 403, "forbidden"), WHY);
  const dry = await post(app, "/predict?dry_run=true", { text: "a", model: "large" }, BOUND);
  assert.match(refusal(dry, 403, "forbidden"), WHY);
});

test("of a batch the item is named that asks for another model, and nothing is made of it", async (t) => {
  const { app, asked } = world(t);
  const response = await post(app, "/batch_predict", { batch: ["a", { text: "b", model: "large" }] }, BOUND);
  assert.match(refusal(response, 403, "forbidden"), /^batch\[1\]\.model must be one that the key bound may use/);
  assert.deepEqual(asked(), []);
});

test("a call under /v1 is held to them, and its list of models has no other", async (t) => {
  const { app, state } = world(t);
  const messages = [{ role: "user", content: "hi" }];
  const headers = { ...BOUND, "content-type": "application/json" };
  const response = await app.inject({
    method: "POST",
    url: "/v1/chat/completions",
    headers,
    payload: { model: "large", messages },
  });
  assert.equal(response.statusCode, 403);
  assert.match(response.json().error.message, WHY);
  assert.equal(response.json().error.param, "model");
  state.models = [MODEL, { ...MODEL, name: "large", aliases: [] }];
  const list = await app.inject({ url: "/v1/models", headers: BOUND });
  assert.deepEqual(
    list.json().data.map(({ id }: { id: string }) => id),
    [MODEL.name],
  );
});

test("a task of another model is not tried again with such a key", async (t) => {
  const { app, tasks } = world(t);
  for (const model of ["large", null]) {
    tasks.tasks = [aTask({ model, status: "failed" })];
    refusal(await postNothing(app, `/task/${ID}/retry`, BOUND), 403, "forbidden");
  }
  assert.deepEqual(tasks.retried, []);
  tasks.tasks = [aTask({ model: "small", status: "failed" })];
  await postNothing(app, `/task/${ID}/retry`, BOUND);
  assert.deepEqual(tasks.retried, [ID]);
});

test("GET /me says which they are", async (t) => {
  const { app } = world(t);
  assert.deepEqual((await get(app, "/me", BOUND)).json().models, ["an-alias", "small"]);
});

test("tokens are counted by no other model", async (t) => {
  const { app } = world(t);
  const payload = { model: "large", messages: [{ role: "user", content: "hi" }] };
  const request = { method: "POST", url: "/v1/messages/count_tokens", headers: BOUND, payload } as const;
  const response = await app.inject(request);
  assert.equal(response.statusCode, 403);
  assert.match(response.json().error.message, WHY);
});
