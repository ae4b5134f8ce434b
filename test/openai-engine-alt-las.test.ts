/** A real ALT_LAS, in this process, as the server that an engine asks. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Engine, type EngineInfo } from "../src/engine/engine.ts";
import { type Figures } from "../src/engine/openai/dialect.ts";
import { ALT_LAS } from "../src/engine/openai/alt-las.ts";
import { Upstream } from "../src/engine/upstream/upstream.ts";
import { createEngine } from "../src/engine/open.ts";
import { SAMPLING_NAMES } from "../src/request.ts";
import { vectorsOf } from "./helpers/embedding-promises.ts";
import { loaded, OPENAI, opened, refused } from "./helpers/engines.ts";
import { type LocalServer, startLocalServer } from "./helpers/local-server.ts";
import { ask, chatOf, textOf } from "./helpers/asking.ts";
import { takesRequests } from "./helpers/request-promises.ts";
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

  it("tells what its model can do", async () => {
    const { capabilities, honours, hasChatTemplate, modelName } = info;
    const [gpu] = await server.gpus();
    assert.deepEqual(capabilities.toSorted(), gpu!.capabilities!.toSorted());
    assert.deepEqual([hasChatTemplate, modelName], [true, "simulated"]);
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

describe("of this version, asked through its events", () => {
  const ends: (() => void | Promise<void>)[] = [];
  let server: LocalServer;
  before(async () => {
    server = await startLocalServer(
      { after: (end) => void ends.push(end) },
      { config: "engine: { simulated: { tokens_per_second: 0 } }", devices: "simulated:1" },
    );
    await server.loaded();
  });
  after(async () => {
    for (const end of ends) await end();
  });
  takesRequests({
    name: "openai (ALT_LAS)",
    can: ["chat", "completion", "json_schema", "tools", "logprobs", ...Object.values(SAMPLING_NAMES)],
    special: null,
    countsEachToken: true,
    repeats: true,
    draws: false,
    create: (changes) =>
      createEngine({ ...OPENAI, raw: false, upstream: { url: server.url, apiKey: server.key }, ...changes }, 0),
  });
});

async function figuresOf(url: string, key: string): Promise<Figures | null> {
  const headers = { authorization: `Bearer ${key}` };
  const upstream = new Upstream({ url, socketPath: null, headers }, OPENAI.patience);
  const figures = await ALT_LAS.figures!(upstream);
  await upstream.close();
  return figures;
}

/** Of a model, as the server tells it itself. */
async function capabilitiesThere(server: LocalServer, name: string): Promise<readonly string[]> {
  const { body } = await server.request<{ models: { name: string; capabilities: string[] }[] }>(
    "GET",
    "/api/v1/models",
  );
  return body.models.find((model) => model.name === name)!.capabilities;
}

/** Of the models on each of its GPUs. */
async function statesOn(server: LocalServer): Promise<string[]> {
  return (await server.gpus()).map(({ instances }) => instances.map(({ model, state }) => `${model} ${state}`).join());
}

/** A server whose two GPUs hold several models each. */
const SEVERAL = `gpu: { devices: [{ gpu: "simulated:2", slots: 4, memory_bytes: 1000 }] }
engine:
  simulated:
    tokens_per_second: 0
    models: [{ name: org/vectors, capabilities: [embedding] }, { name: writer, capabilities: [completion] }]
models:
  - { name: chat, aliases: [gpt-4o-mini], context: 2048, engine: { kind: simulated, memory_bytes: 300 } }
  - { name: writer, load: demand, engine: { kind: simulated, memory_bytes: 300 } }
  - { name: org/vectors, load: demand, context: 512, engine: { kind: simulated, memory_bytes: 300 }, gpus: [1] }
  - { name: slow, load: demand, engine: { kind: simulated, memory_bytes: 300, load_seconds: 3600 }, gpus: [0] }
`;

describe("with several models on a GPU", () => {
  const ends: (() => void | Promise<void>)[] = [];
  let server: LocalServer;
  before(async () => {
    server = await startLocalServer({ after: (end) => void ends.push(end) }, { config: SEVERAL });
    await server.logged((line) => line.msg === "model loaded", 2);
  });
  after(async () => {
    for (const end of ends) await end();
  });
  const open = (model: string): Promise<Engine> =>
    createEngine({ ...OPENAI, model, upstream: { url: server.url, apiKey: server.key } }, 0);

  it("serves the one that is named, by its name or an alias, else the first", async () => {
    for (const model of ["chat", "gpt-4o-mini", ""]) {
      const engine = await open(model);
      const { modelName, capabilities, honours, context } = await opened(engine, async () => {
        assert.equal((await ask(engine, chatOf("Once", { seed: 7 }))).completionTokens, 30);
      });
      assert.deepEqual([modelName, context], ["chat", 2048], model);
      assert.deepEqual(capabilities.toSorted(), (await capabilitiesThere(server, "chat")).toSorted());
      assert.deepEqual(honours.toSorted(), Object.values(SAMPLING_NAMES).toSorted());
    }
    assert.match(
      (await refused(loaded({ ...OPENAI, model: "nobody", upstream: { url: server.url, apiKey: server.key } })))
        .message,
      /^ALT_LAS at .* has no model nobody; it has chat, writer, org\/vectors, slow\.$/,
    );
  });

  it("has one that is not loaded there loaded by a task, and knows then what it can do", async () => {
    assert.deepEqual(await statesOn(server), [
      "chat ready,writer cold,slow cold",
      "chat ready,writer cold,org/vectors cold",
    ]);
    const engine = await open("org/vectors");
    const { modelName, capabilities, context } = await opened(engine, async () => {
      assert.equal((await vectorsOf(engine, ["a lamp", "a moon"])).vectors.length, 2);
      assert.match((await refused(ask(engine, textOf("Once")))).message, /cannot continue a text/);
    });
    assert.deepEqual([modelName, capabilities, context], ["org/vectors", ["embedding"], 512]);
    const writer = await opened(await open("writer"));
    assert.deepEqual([writer.capabilities, writer.context], [["completion"], 32_768]);
    assert.deepEqual((await statesOn(server))[1]?.split(",").at(-1), "org/vectors ready");
  });

  it("takes every route for possible where a model takes longer to load than an answer may", async () => {
    const [upstream, patience] = [
      { url: server.url, apiKey: server.key },
      { firstByte: 0.5, token: 30 },
    ];
    const { capabilities, context } = await loaded({ ...OPENAI, model: "slow", upstream, patience });
    const all = ["chat", "completion", "embedding", "json_schema", "tools", "logprobs"];
    assert.deepEqual([capabilities, context], [all, null]);
  });

  it("tells the load and the slots of all its GPUs", async () => {
    const figures = await figuresOf(server.url, server.key);
    assert.deepEqual(figures, { running: 0, waiting: null, kvCacheUse: null, slots: 8 });
  });
});

const RESULT = { text: "One.", finish_reason: "stop", usage: { prompt_tokens: 3, completion_tokens: 1 } };

/** Of any task. */
const ONE_ANSWER: Answered = {
  headers: { "content-type": "text/event-stream" },
  body: [
    ["placed", { gpu_id: 0, attempt: 1 }],
    ["completed", { status: "completed", result: RESULT }],
  ]
    .map(([name, data]) => `event: ${name as string}\ndata: ${JSON.stringify(data)}\n\n`)
    .join(""),
};

it("is asked for a model by a name that requests there may have: not by that of a file which is still being loaded", async () => {
  const [capabilities, idle] = [["completion"], { task_count: 0, slots: 4, chat_template: false }];
  const gpus = [
    { ...idle, gpu_id: 0, model: null, model_name: null, context: null, status: "starting", capabilities: null },
    { ...idle, gpu_id: 1, model: "Base 1B", model_name: "base", context: 512, status: "ready", capabilities },
  ];
  const models = [
    { name: "other", aliases: [], context: null, capabilities: null },
    { name: "base", aliases: [], context: 1024, capabilities },
  ];
  const routes: Record<string, Answered | null> = {
    "/v1/models": { body: { data: [{ id: "base", owned_by: "alt-las" }] } },
    "/api/v1/gpus": { body: { gpus } },
    "/api/v1/models": { body: { models } },
    "/api/v1/predict": ONE_ANSWER,
  };
  await using standIn = await StandIn.open({ vendor: "plain", routes });
  const contextOf = async (model: string): Promise<unknown[]> => {
    const { modelName, context, ...info } = await loaded({
      ...OPENAI,
      model,
      upstream: { url: standIn.url, apiKey: null },
    });
    return [modelName, context, info.capabilities.join(), info.hasChatTemplate];
  };
  for (const model of ["", "base", "Base 1B"])
    assert.deepEqual(await contextOf(model), ["base", 1024, "completion", false], model);
  // One of before there were models by name tells the same of its GPUs.
  routes["/api/v1/models"] = null;
  for (const model of ["", "base", "Base 1B"])
    assert.deepEqual(await contextOf(model), ["base", 512, "completion", false], model);
});

const UNSUPPORTED = { error: "No model can do that.", code: "unsupported" };

it("has room where all its models are to be loaded when they are wanted", async (t) => {
  const config = SEVERAL.replace("aliases", "load: demand, aliases");
  const { url, key } = await startLocalServer(t, { config });
  const engine = await createEngine({ ...OPENAI, model: "org/vectors", upstream: { url, apiKey: key } }, 0);
  await opened(engine, async () => {
    assert.equal((await figuresOf(url, key))?.slots, 8);
  });
});

describe("of an earlier version", () => {
  it("is asked for completions alone, and for nothing that it does not know", async () => {
    const gpus = { gpus: [{ gpu_id: 0, model: "tiny", context: 512, status: "ready", task_count: 0, slots: 4 }] };
    const routes: Record<string, Answered | null> = {
      "/v1/models": null,
      "/api/v1/gpus": { body: gpus },
      "/api/v1/predict": ONE_ANSWER,
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
