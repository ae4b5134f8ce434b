/**
 * The calls of Open WebUI, replayed: fixtures/open-webui.json has them as its backend sends them (its routers/openai.py and
 * retrieval/utils.py), and what is read of the answers here is what it reads.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import calls from "./fixtures/open-webui.json" with { type: "json" };
import { type LocalServer, startLocalServer } from "./helpers/local-server.ts";
import { deadline } from "./helpers/server-handle.ts";

interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
}

interface Chunk {
  readonly choices: readonly { readonly delta: { readonly content?: string }; readonly finish_reason: string | null }[];
  readonly usage?: Usage | null;
}

/** Sends one of its calls to a base URL that somebody typed. */
async function call(server: LocalServer, path: string, body?: object): Promise<Response> {
  const model = (await listed(server))[0];
  const response = await fetch(`${server.url}/v1${path}`, {
    method: body === undefined ? "GET" : "POST",
    headers: { ...calls.headers, authorization: `Bearer ${server.key}` },
    signal: deadline(),
    ...(body !== undefined && { body: JSON.stringify({ ...body, model }) }),
  });
  assert.equal(response.status, 200, response.ok ? "" : await response.text());
  return response;
}

/** The connection check, and where its menu of models comes from. */
async function listed(server: LocalServer): Promise<string[]> {
  const headers = { authorization: `Bearer ${server.key}` };
  const response = await fetch(`${server.url}/v1/models`, { headers, signal: deadline() });
  const { data } = (await response.json()) as { data: { id: string }[] };
  return data.map(({ id }) => id);
}

test("Open WebUI lists the models, streams a chat, makes its title, and embeds documents", async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  await server.loaded();
  assert.deepEqual(await listed(server), ["simulated"]);

  const streamed = await call(server, "/chat/completions", calls.chat);
  assert.match(streamed.headers.get("content-type") ?? "", /text\/event-stream/);
  const lines = (await streamed.text()).split("\n").filter((line) => line.startsWith("data: "));
  assert.equal(lines.at(-1), "data: [DONE]");
  const chunks = lines.slice(0, -1).map((line) => JSON.parse(line.slice("data: ".length)) as Chunk);
  const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("");
  assert.notEqual(text, "");
  assert.equal(chunks.findLast(({ choices }) => choices.length > 0)!.choices[0]!.finish_reason, "length");
  const usage = chunks.at(-1)!.usage!;
  assert.equal(usage.completion_tokens, calls.chat.max_tokens);
  assert.ok(usage.prompt_tokens > 0);

  const title = (await (await call(server, "/chat/completions", calls.title)).json()) as {
    choices: { message: { content: string } }[];
    usage: Usage;
  };
  assert.notEqual(title.choices[0]!.message.content, "");
  assert.equal(title.usage.completion_tokens, calls.title.max_completion_tokens);

  const { data } = (await (await call(server, "/embeddings", calls.embeddings)).json()) as {
    data: { embedding: number[] }[];
  };
  // Base64 would be a string: it does not ask for it.
  const norms = data.map(({ embedding }) => Math.hypot(...embedding));
  assert.equal(norms.length, calls.embeddings.input.length);
  for (const norm of norms) assert.ok(Math.abs(norm - 1) < 1e-5, `${norm}`);
});

test("Open WebUI shows its user why a key or a model is refused", async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  await server.loaded();
  const [unauthorized, said] = await refusal(server, "sk-wrong", "simulated");
  assert.equal(unauthorized, 401);
  assert.match(said, /key/);
  const [unknown, sentence] = await refusal(server, server.key, "gpt-4o");
  assert.equal(unknown, 404);
  assert.match(sentence, /simulated.*gpt-4o/);
});

async function refusal({ url }: LocalServer, key: string, model: string): Promise<[number, string]> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { ...calls.headers, authorization: `Bearer ${key}` },
    signal: deadline(),
    body: JSON.stringify({ ...calls.title, model }),
  });
  const { error } = (await response.json()) as { error: { message: string } };
  return [response.status, error.message];
}
