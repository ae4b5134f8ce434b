/** What clients get of a server that an `openai` engine asks, through a whole ALT_LAS in this process. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startLocalServer } from "./helpers/local-server.ts";
import { StandIn } from "./helpers/upstream.ts";
import { embeddingsOf, MODEL } from "./helpers/upstream-vendors.ts";

test("chats, texts and embeddings go by the server's routes, and what it lacks is refused before the queue", async (t) => {
  await using standIn = await StandIn.open({ vendor: "ollama", pages: { "/v1/embeddings": embeddingsOf } });
  const device = `{ name: far, engine: { kind: openai, url: '${standIn.url}' } }`;
  const server = await startLocalServer(t, { config: `gpu: { devices: [${device}] }` });
  await server.loaded();
  const [gpu] = await server.gpus();
  const { model_name, capabilities, chat_template } = gpu!;
  const all = ["chat", "completion", "embedding", "json_schema", "tools", "logprobs"];
  assert.deepEqual([model_name, capabilities, chat_template], [MODEL, all, null]);

  const chat = await server.request<{ choices: { message: { content: string } }[] }>("POST", "/v1/chat/completions", {
    body: {
      model: MODEL,
      messages: [{ role: "user", content: "about a lamp" }],
      max_tokens: 3,
      temperature: 1.5,
    },
  });
  assert.equal(chat.status, 200);
  const asked = standIn.asked("a lamp")[0]!;
  assert.deepEqual([asked.path, asked.body.temperature, asked.body.max_tokens], ["/v1/chat/completions", 1.5, 3]);
  assert.equal(chat.body.choices[0]!.message.content.split(" ").length, 3);

  await server.run({ text: "as it is", max_length: 3 });
  await server.run({ text: "as a message", raw: false, max_length: 3 });
  assert.deepEqual(
    ["as it is", "as a message"].map((text) => standIn.asked(text)[0]!.path),
    ["/v1/completions", "/v1/chat/completions"],
  );

  const { result } = await server.run({ input: ["one", "two"] });
  assert.equal((result as unknown as { embeddings: number[][] }).embeddings.length, 2);

  const before = standIn.seen.length;
  const refused = await server.request<{ code: string; error: string }>("POST", "/api/v1/predict", {
    body: { text: "x", top_k: 5 },
  });
  assert.deepEqual([refused.status, refused.body.code], [400, "unsupported"]);
  assert.match(refused.body.error, /top_k/);
  assert.equal(standIn.seen.slice(before).filter(({ method }) => method === "POST").length, 0);
});
