/** Which routes a server has, as the engine that asks it finds out while loading, and what it does when that turns out to be wrong. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Engine, type EngineInfo, type EngineOptions, proofFor } from "../src/engine/engine.ts";
import { createEngine } from "../src/engine/open.ts";
import { completionOf } from "../src/request.ts";
import { vectorsOf } from "./helpers/embedding-promises.ts";
import { OPENAI, refused } from "./helpers/engines.ts";
import { ask, chatOf, textOf } from "./helpers/asking.ts";
import { takesRequests } from "./helpers/request-promises.ts";
import { StandIn, type StandInOptions } from "./helpers/upstream.ts";
import { embeddingsOf } from "./helpers/upstream-vendors.ts";

type Use = (engine: Engine, standIn: StandIn, info: EngineInfo) => Promise<void>;

async function withEngine(options: StandInOptions, use: Use, changes: Partial<EngineOptions> = {}): Promise<void> {
  await using standIn = await StandIn.open(options);
  const engine = await createEngine({ ...OPENAI, upstream: { url: standIn.url, apiKey: null }, ...changes }, 0);
  try {
    await use(engine, standIn, await engine.load());
  } finally {
    await engine.stop();
  }
}

const refusal = (status: number, message: string) => ({ status, body: { error: { message, code: status } } });
const EMBEDDINGS = { "/v1/embeddings": embeddingsOf };

describe("what a server's model can do is found out by asking", () => {
  const noTemplate = "default chat template is no longer allowed, so you must provide a chat template";
  const notGenerating = refusal(500, "the current context does not support logits computation. skipping");
  const models: readonly [name: string, options: StandInOptions, capabilities: readonly string[]][] = [
    [
      "a model without a chat template",
      { vendor: "vllm", routes: { "/v1/chat/completions": refusal(400, noTemplate) } },
      ["completion", "json_schema", "logprobs"],
    ],
    [
      "a model that chats alone",
      { vendor: "plain", routes: { "/v1/completions": refusal(404, "This is a chat model") } },
      ["chat", "json_schema", "tools", "logprobs"],
    ],
    [
      "a proxy that fails at what it does not know",
      { vendor: "plain", routes: { "/v1/completions": refusal(500, "Unknown provider") } },
      ["chat", "json_schema", "tools", "logprobs"],
    ],
    [
      "a llama-server for embeddings",
      {
        vendor: "llama-server",
        pages: EMBEDDINGS,
        routes: { "/v1/completions": notGenerating, "/v1/chat/completions": notGenerating },
      },
      ["embedding"],
    ],
    [
      "a llama-server for texts",
      {
        vendor: "llama-server",
        routes: {
          "/v1/embeddings": refusal(501, "This server does not support embeddings. Start it with `--embeddings`"),
        },
      },
      ["chat", "completion", "json_schema", "tools", "logprobs"],
    ],
    [
      "an embedding model of Ollama, which tells so",
      {
        vendor: "ollama",
        pages: { ...EMBEDDINGS, "/api/show": { capabilities: ["embedding"], template: "{{ .Prompt }}" } },
      },
      ["embedding"],
    ],
    [
      "a chat model of Ollama, which tells so",
      {
        vendor: "ollama",
        pages: { ...EMBEDDINGS, "/api/show": { capabilities: ["completion", "tools"], template: "{{ if .System }}" } },
      },
      ["chat", "completion", "json_schema", "tools", "logprobs"],
    ],
    [
      "vectors that are none",
      { vendor: "plain", pages: { "/v1/embeddings": { data: [] } } },
      ["chat", "completion", "json_schema", "tools", "logprobs"],
    ],
  ];
  for (const [name, options, capabilities] of models) {
    it(name, async () => {
      await withEngine(options, async (engine, _, info) => {
        assert.deepEqual(info.capabilities, capabilities);
        // So its instance goes on checking it.
        const outcome = await engine.generate({
          request: proofFor(info),
          emit: () => {},
          signal: new AbortController().signal,
        });
        assert(outcome.finishReason === "stop" || outcome.finishReason === "length");
      });
    });
  }

  it("and where nothing works, it is refused in the words for the first", async () => {
    const routes = { "/v1/completions": refusal(400, "no"), "/v1/chat/completions": refusal(404, "nor that") };
    await using standIn = await StandIn.open({ vendor: "vllm", routes });
    const engine = await createEngine({ ...OPENAI, upstream: { url: standIn.url, apiKey: null } }, 0);
    const { code, message } = await refused(engine.load());
    await engine.stop();
    assert.deepEqual(
      [code, message],
      ["model_error", `vLLM at ${standIn.url} refused a task of one token: HTTP 400: no.`],
    );
  });

  it("whether its model has a chat template is told where the server does", async () => {
    const pages = { "/props": { chat_template: "{{ messages }}", default_generation_settings: { n_ctx: 512 } } };
    await withEngine(
      { vendor: "llama-server", routes: { "/props": { body: pages["/props"] } } },
      async (_, __, info) => {
        assert.deepEqual([info.hasChatTemplate, info.context], [true, 512]);
      },
    );
    await withEngine({ vendor: "vllm" }, async (_, __, { hasChatTemplate }) => assert.equal(hasChatTemplate, null));
  });
});

describe("a task for a route that is not there is refused as unsupported", () => {
  it("without asking, once that is known", async () => {
    await withEngine({ vendor: "vllm", routes: { "/v1/chat/completions": null } }, async (engine, standIn) => {
      const asked = standIn.seen.length;
      for (const request of [chatOf("Hi"), textOf("Hi", {}, false)]) {
        const { code, message } = await refused(ask(engine, request));
        assert.equal(code, "unsupported");
        assert.equal(message, `vLLM at ${standIn.url} cannot answer a chat (POST /v1/chat/completions).`);
      }
      const { message } = await refused(vectorsOf(engine, ["a"]));
      assert.match(message, / cannot make embeddings \(POST \/v1\/embeddings\)\.$/);
      assert.equal(standIn.seen.length, asked);
    });
  });

  it("when it turns out after a server that had no room for being asked", async () => {
    const busy = refusal(429, "busy");
    const routes: Record<string, { status: number; body: unknown } | null> = { "/v1/chat/completions": busy };
    await withEngine({ vendor: "vllm", routes }, async (engine, standIn, { capabilities }) => {
      assert.deepEqual(capabilities, ["chat", "completion", "json_schema", "tools", "logprobs"]);
      routes["/v1/chat/completions"] = null;
      for (const words of [/: HTTP 404: Not Found\.$/, /\(POST \/v1\/chat\/completions\)\.$/]) {
        const { code, message } = await refused(ask(engine, chatOf("Hi")));
        assert.equal(code, "unsupported");
        assert.match(message, words);
      }
      // Nothing is wrong with the server.
      assert.equal((await ask(engine, textOf("go on"))).completionTokens, 30);
      assert.equal(standIn.running, 0);
    });
  });

  it("when the server says so of the task, which others may be fit for", async () => {
    const bad = { kind: "refuse", status: 501, body: '{"error":{"message":"logits processors"}}' } as const;
    await withEngine({ vendor: "vllm", faults: { bad } }, async (engine, { url }) => {
      for (let round = 0; round < 4; round++) {
        const { code, message } = await refused(ask(engine, chatOf("bad")));
        assert.deepEqual(
          [code, message],
          ["unsupported", `vLLM at ${url} cannot do what the task asks for: HTTP 501: logits processors.`],
        );
      }
      assert.equal((await ask(engine, chatOf("good"))).completionTokens, 30);
    });
  });

  it("but one that has answered and is gone closes the server, which is found out about anew", async () => {
    const routes: Record<string, null> = {};
    await withEngine({ vendor: "vllm", routes }, async (engine, { url }) => {
      routes["/v1/chat/completions"] = null;
      assert.equal((await refused(ask(engine, chatOf("Hi")))).code, "gpu_lost");
      assert.equal((await engine.gone!).sentence, `vLLM at ${url} takes no tasks any more: HTTP 404: Not Found.`);
    });
  });

  it("when an answer to the end of an unknown context has to have a number", async () => {
    const long = {
      kind: "refuse",
      status: 400,
      body: '{"error":{"message":"maximum context length is 4097 tokens"}}',
    } as const;
    await withEngine({ vendor: "plain", faults: { long } }, async (engine) => {
      const { code, message } = await refused(ask(engine, completionOf("long", { maxTokens: 2 ** 31 - 1 })));
      assert.equal(code, "unsupported");
      assert.match(
        message,
        / has to be told how long an answer may be \(max_length, max_tokens\): maximum context length is 4097 tokens\.$/,
      );
    });
  });
});

type Body = Record<string, unknown>;

function entry(embedding: unknown, index?: unknown): object {
  return { embedding, ...(index !== undefined && { index }) };
}

/** Good at one input, as while loading. */
function lying(answer: unknown): (body: Body) => unknown {
  return (body) => ((body.input as unknown[]).length === 1 ? embeddingsOf(body) : answer);
}

/** With an order of its own, and a count that cannot be true. */
function backwards(body: Body): object {
  const { data, ...rest } = embeddingsOf(body) as { data: unknown[] };
  return { ...rest, data: data.toReversed(), usage: { prompt_tokens: 10 ** 9 } };
}

function limited(body: Body): object {
  const isLong = JSON.stringify(body.input).length > 99;
  return isLong ? refusal(400, "This model's maximum context length is 8 tokens") : embeddingsOf(body);
}

describe("vectors that cannot be what was asked for cut the task off", () => {
  const unit = [0, 1];
  const lies: Readonly<Record<string, readonly [answer: unknown, words: RegExp]>> = {
    "too few": [{ data: [entry(unit)] }, /it sent 1 vectors for 2 inputs\.$/],
    "too many": [{ data: [entry(unit), entry(unit), entry(unit)] }, /it sent 3 vectors for 2 inputs\.$/],
    "of two lengths": [{ data: [entry(unit), entry([1, 2, 3])] }, /it sent vectors of 2 and of 3 numbers\.$/],
    "two of one input": [{ data: [entry(unit, 0), entry(unit, 0)] }, /it sent a vector for no input/],
    "of another input": [{ data: [entry(unit, 0), entry(unit, 5)] }, /it sent a vector for no input/],
    "without a direction": [{ data: [entry(unit), entry([0, 0])] }, /it sent a vector without a direction\.$/],
    "of what is no number": [{ data: [entry(unit), entry(["0", "1"])] }, /it sent a vector that is none\.$/],
    "of none": [{ data: [entry([]), entry([])] }, /it sent a vector without a direction\.$/],
    "in a part of base64": [{ data: [entry(unit), entry("AAA=")] }, /it sent a vector that is none\.$/],
    "something else": [{ embeddings: [unit, unit] }, /it sent what makes no sense/],
    "a page": ["<p>hello</p>", /it sent what makes no sense/],
  };
  for (const [name, [answer, words]] of Object.entries(lies)) {
    it(name, async () => {
      await withEngine({ vendor: "plain", pages: { "/v1/embeddings": lying(answer) } }, async (engine) => {
        const { code, message } = await refused(vectorsOf(engine, ["a", "b"]));
        assert.equal(code, "gpu_lost");
        assert.match(message, words);
        assert.equal((await vectorsOf(engine, ["a"])).vectors.length, 1);
      });
    });
  }

  it("but not counts that cannot be true, and an order of its own", async () => {
    await withEngine({ vendor: "plain", pages: { "/v1/embeddings": backwards } }, async (engine) => {
      const { vectors, outcome, promptTokens } = await vectorsOf(engine, ["abc", "z"]);
      assert(vectors[0]![0]! / vectors[0]![1]! > vectors[1]![0]! / vectors[1]![1]!);
      assert.deepEqual([outcome.promptTokens, promptTokens], [null, [null]]);
    });
  });

  it("and inputs that are too long are the task's own fault", async () => {
    await withEngine({ vendor: "vllm", pages: { "/v1/embeddings": limited } }, async (engine) => {
      const { code, message } = await refused(vectorsOf(engine, ["x".repeat(100)]));
      assert.deepEqual([code, message], ["prompt_too_long", "This model's maximum context length is 8 tokens."]);
    });
  });

  it("and a task that is canceled is, whatever the server does", async () => {
    await withEngine({ vendor: "plain", pages: EMBEDDINGS }, async (engine) => {
      const controller = new AbortController();
      const { outcome } = await vectorsOf(
        engine,
        Array.from({ length: 64 }, () => "a"),
        {
          signal: controller.signal,
          onVector: () => controller.abort(),
        },
      );
      assert.equal(outcome.finishReason, "canceled");
    });
  });
});

for (const [vendor, can] of [
  ["vllm", ["chat", "completion", "stop", "seed", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty"]],
  ["ollama", ["chat", "completion", "stop", "seed"]],
] as const)
  describe(`a stand-in for ${vendor} keeps the promises about requests`, () => {
    let standIn: StandIn;
    before(async () => {
      standIn = await StandIn.open({ vendor });
    });
    after(() => standIn.close());
    takesRequests({
      name: `openai (${vendor})`,
      can,
      // They are the server's own business.
      special: null,
      saysWords: true,
      countsEachToken: true,
      repeats: true,
      draws: false,
      create: (changes) =>
        createEngine({ ...OPENAI, raw: false, upstream: { url: standIn.url, apiKey: null }, ...changes }, 0),
    });
  });
