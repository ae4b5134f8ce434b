/** Budgets over HTTP: every door is held by them, with its own API's refusal; who sees them; and that a restart forgets nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CallersAnswer } from "../src/http/schemas/callers.ts";
import type { MeAnswer } from "../src/http/schemas/me.ts";
import type { Static } from "../src/common/type.ts";
import { accounts } from "./helpers/accounts.ts";
import { type LocalServer, startLocalServer } from "./helpers/local-server.ts";

const MESSAGES = [{ role: "user", content: "hi" }];
const AS = (name: string) => ({ authorization: `Bearer ${name}` });

/** By the doors: what a client sends. A retry is of a task that has ended. */
const DOORS: Readonly<Record<string, object>> = {
  "/api/v1/predict": { text: "hi", max_length: 1 },
  "/api/v1/batch_predict": { batch: [{ text: "hi", max_length: 1 }] },
  "/api/v1/task/{task_id}/retry": {},
  "/v1/chat/completions": { model: "simulated", messages: MESSAGES },
  "/v1/completions": { model: "simulated", prompt: "hi" },
  "/v1/embeddings": { model: "simulated", input: "hi" },
  "/v1/responses": { model: "simulated", input: "hi" },
  "/v1/messages": { model: "simulated", messages: MESSAGES, max_tokens: 1 },
  "/api/chat": { model: "simulated", messages: MESSAGES },
  "/api/generate": { model: "simulated", prompt: "hi" },
  "/api/embed": { model: "simulated", input: "hi" },
  "/api/embeddings": { model: "simulated", prompt: "hi" },
};

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly responses: object }>>>>;
}

/** The paths of the document by which tasks come. */
async function doorsOf(server: LocalServer): Promise<string[]> {
  const { body } = await server.request<Document>("GET", "/openapi.json");
  return Object.entries(body.paths)
    .filter(([, methods]) => JSON.stringify(methods).includes("budget_exceeded"))
    .map(([path]) => path);
}

function config(callers: string): string {
  return `${accounts({ root: "admin", bob: "user", ann: "user" })}
api: { anthropic: true, ollama: true }
engine: { simulated: { tokens_per_second: 0 } }
callers: ${callers}
`;
}

test("each door refuses what goes over a budget, in its API's own shape, and a restart opens none", async (t) => {
  const first = await startLocalServer(t, {
    config: config("{ users: { bob: { tokens_per_day: 3 } } }"),
    devices: "simulated:1",
  });
  first.key = "root";
  await first.loaded();
  const { task_id } = await first.run({ text: "hi there", max_length: 10 }, AS("bob"));
  assert.deepEqual((await doorsOf(first)).toSorted(), Object.keys(DOORS).toSorted());

  const refuses = async (server: LocalServer): Promise<void> => {
    for (const [door, body] of Object.entries(DOORS)) {
      const path = door.replace("{task_id}", task_id);
      const answer = await server.request<Record<string, unknown>>("POST", path, { body, headers: AS("bob") });
      const shown = JSON.stringify(answer.body);
      assert.equal(answer.status, 429, `${door}: ${shown}`);
      assert.match(shown, /bob may have 3 tokens a day \(callers\.users\.bob\.tokens_per_day\): \d+ are used/, door);
      assert.ok(Number(answer.headers.get("retry-after")) > 0, door);
      const { error } = answer.body as { error: { type?: string; code?: string } };
      if (door === "/v1/messages") assert.equal(error.type, "rate_limit_error");
      else if (door.startsWith("/v1/")) assert.equal(error.code, "insufficient_quota", door);
      else assert.equal(answer.body["code"], "budget_exceeded", door);
    }
    // Others are not concerned.
    await server.run({ text: "hi", max_length: 1 }, AS("ann"));
  };
  await refuses(first);
  const dry = await first.request("POST", "/api/v1/predict?dry_run=true", { body: { text: "hi" }, headers: AS("bob") });
  assert.equal(dry.body.code, "budget_exceeded");
  const used = (await me(first, "bob")).budgets;
  await first.stop();

  const second = await first.restart();
  second.key = "root";
  await second.loaded();
  assert.deepEqual((await me(second, "bob")).budgets, used);
  await refuses(second);
});

async function me(server: LocalServer, name: string): Promise<Static<typeof MeAnswer>> {
  return (await server.request<Static<typeof MeAnswer>>("GET", "/api/v1/me", { headers: AS(name) })).body;
}

test("budgets may be given, changed and taken while the server runs, and count what was used before", async (t) => {
  const server = await startLocalServer(t, { config: config("{}"), devices: "simulated:1" });
  server.key = "root";
  await server.loaded();
  const task = await server.run({ text: "hi there", max_length: 10 }, AS("bob"));
  const tokens = task.usage!.prompt_tokens! + task.usage!.completion_tokens;
  assert.deepEqual((await me(server, "bob")).budgets, []);
  const patch = (callers: object) => server.request("PATCH", "/api/v1/config", { body: { callers } });
  assert.equal((await patch({ keys: { bob: { tokens_per_month: tokens + 100 } } })).status, 200);
  // What was used is read while requests are answered.
  await server.run({ text: "hi", max_length: 1 }, AS("ann"));
  const [budget] = (await me(server, "bob")).budgets;
  const { used, resets_at, ...rest } = budget!;
  assert.deepEqual(rest, {
    of: "key",
    name: "bob",
    unit: "tokens",
    period: "month",
    size: tokens + 100,
    reserved: 0,
  });
  assert.equal(used, tokens);
  assert.match(resets_at, /-01T00:00:00\.000Z$/);
  assert.deepEqual((await me(server, "ann")).budgets, []);
  const all = await server.request<CallersAnswer>("GET", "/api/v1/callers");
  assert.deepEqual(all.body.budgets, [budget]);
  const own = await server.request<CallersAnswer>("GET", "/api/v1/callers", { headers: AS("ann") });
  assert.deepEqual(own.body.budgets, []);
  await patch({ keys: { bob: { tokens_per_month: 1 } } });
  const over = await server.request("POST", "/api/v1/predict", { body: { text: "x" }, headers: AS("bob") });
  assert.match(over.body.error, /^The key bob may have 1 token a month \(callers\.keys\.bob\.tokens_per_month\)/);
  await patch({ keys: { bob: null } });
  await server.run({ text: "hi", max_length: 1 }, AS("bob"));
  const wrong = await patch({ teams: { sales: { gpu_seconds_per_day: 0 } } });
  assert.equal(wrong.status, 400);
  assert.match(wrong.body.error, /callers\.teams\.sales\.gpu_seconds_per_day/);
});
