/** A real ALT_LAS, in this process, as the server that an engine asks. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Engine, type EngineInfo } from "../src/engine/engine.ts";
import { createEngine } from "../src/engine/open.ts";
import { SAMPLING_NAMES } from "../src/request.ts";
import { vectorsOf } from "./helpers/embedding-promises.ts";
import { OPENAI, refused } from "./helpers/engines.ts";
import { type LocalServer, startLocalServer } from "./helpers/local-server.ts";
import { ask, chatOf, textOf } from "./helpers/request-promises.ts";
import { StandIn } from "./helpers/upstream.ts";
import { type Answered } from "./helpers/upstream-vendors.ts";

describe("of this version", () => {
  const ends: (() => void | Promise<void>)[] = [];
  let server: LocalServer;
  let engine: Engine;
  let info: EngineInfo;
  before(async () => {
    server = await startLocalServer(
      { after: (end) => void ends.push(end) },
      {
        config: "engine: { simulated: { tokens_per_second: 0 } }",
        devices: "simulated:2",
      },
    );
    await server.loaded();
    engine = await createEngine({ ...OPENAI, upstream: { url: server.url, apiKey: server.key } }, 0);
    info = await engine.load();
  });
  after(async () => {
    await engine.stop();
    for (const end of ends) await end();
  });

  it("tells what its model can do", () => {
    const { capabilities, honours, hasChatTemplate, modelName } = info;
    assert.deepEqual(
      [capabilities, hasChatTemplate, modelName],
      [["chat", "completion", "embedding"], true, "simulated"],
    );
    assert.deepEqual(honours.toSorted(), Object.values(SAMPLING_NAMES).toSorted());
  });

  it("answers a chat, and takes a text for one where it is to be", async () => {
    const chat = await ask(engine, chatOf("Once upon a time"));
    assert.equal(chat.completionTokens, 30);
    assert(chat.promptTokens! > 0 && chat.tokens === 30);
    const [text, raw] = [
      await ask(engine, textOf("Once upon a time", {}, false)),
      await ask(engine, textOf("Once upon a time")),
    ];
    assert.equal(text.text, chat.text);
    assert(raw.completionTokens === 30);
  });

  it("gets what is said of drawing, also a temperature that its own API does not take", async () => {
    for (const temperature of [0.5, 1.5]) {
      const seed = 4_000_000_000;
      const { completionTokens } = await ask(
        engine,
        chatOf("Once", { temperature, seed, topK: 0, stop: ["never there"] }),
      );
      assert.equal(completionTokens, 30);
      const { tasks } = await server.tasks("?limit=1");
      const [task] = Object.values(tasks);
      assert.deepEqual([task!.temperature, task!.seed, task!.stop], [temperature, seed, ["never there"]]);
    }
  });

  it("makes embeddings, of lists of tokens too", async () => {
    const { vectors, outcome } = await vectorsOf(engine, ["a lamp", [1, 2, 3]]);
    assert.equal(vectors.length, 2);
    assert.equal(outcome.finishReason, "stop");
  });
});

const UNSUPPORTED = { error: "No model can do that.", code: "unsupported" };

describe("of an earlier version", () => {
  it("is asked for completions alone, and for nothing that it does not know", async () => {
    const gpus = { gpus: [{ gpu_id: 0, model: "tiny", context: 512, status: "ready", task_count: 0, slots: 4 }] };
    const result = { text: "One.", finish_reason: "stop", usage: { prompt_tokens: 3, completion_tokens: 1 } };
    const events = [
      ["placed", { gpu_id: 0, attempt: 1 }],
      ["completed", { status: "completed", result }],
    ].map(([name, data]) => `event: ${name as string}\ndata: ${JSON.stringify(data)}\n\n`);
    const routes: Record<string, Answered | null> = {
      "/v1/models": null,
      "/api/v1/gpus": { body: gpus },
      "/api/v1/predict": { headers: { "content-type": "text/event-stream" }, body: events.join("") },
    };
    await using standIn = await StandIn.open({ vendor: "plain", routes });
    const engine = await createEngine({ ...OPENAI, upstream: { url: standIn.url, apiKey: null } }, 0);
    try {
      const { capabilities, honours, device } = await engine.load();
      assert.deepEqual([capabilities, honours], [["completion"], []]);
      assert.match(device, /^ALT_LAS at /);
      const { text } = await ask(engine, textOf("Once", { seed: 7, topP: 0.5 }));
      assert.equal(text, "One.");
      const { body } = standIn.seen.findLast(({ path }) => path === "/api/v1/predict")!;
      assert.deepEqual(Object.keys(body).toSorted(), [
        "cancel_on_disconnect",
        "max_length",
        "stream",
        "temperature",
        "text",
      ]);
      routes["/api/v1/predict"] = { status: 400, headers: {}, body: UNSUPPORTED };
      const { code: there, message: words } = await refused(ask(engine, textOf("Once")));
      assert.deepEqual([there, words.endsWith(": HTTP 400: No model can do that.")], ["unsupported", true]);
      const { code, message } = await refused(ask(engine, chatOf("Hi")));
      assert.equal(code, "unsupported");
      assert.match(message, /^ALT_LAS at .* cannot answer a chat \(POST \/v1\/chat\/completions\)\.$/);
    } finally {
      await engine.stop();
    }
  });
});
