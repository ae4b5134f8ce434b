/** What the engine that asks a server asks it for: chats, completions and embeddings, each by its route, where the server has it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { contentOf, type Content, type Delta } from "../src/output.ts";
import { numbersOf } from "../src/common/vectors.ts";
import {
  type ChatRequest,
  completionOf,
  type EmbeddingRequest,
  NO_SAMPLING,
  type Request,
  type Sampling,
  TO_THE_END,
} from "../src/request.ts";
import { type Engine, type EngineInfo, type EngineOptions, type GenerateOutcome } from "../src/engine/engine.ts";
import { createEngine } from "../src/engine/open.ts";
import { OPENAI, refused } from "./helpers/engines.ts";
import { StandIn, type StandInOptions } from "./helpers/upstream.ts";
import { embeddingsOf, VENDORS } from "./helpers/upstream-vendors.ts";

type Use = (engine: Engine, standIn: StandIn, info: EngineInfo) => Promise<void>;

async function withEngine(options: StandInOptions, use: Use, changes: Partial<EngineOptions> = {}): Promise<void> {
  await using standIn = await StandIn.open(options);
  const upstream = { url: standIn.url, apiKey: null };
  const engine = await createEngine({ ...OPENAI, upstream, ...changes }, 0);
  try {
    const info = await engine.load();
    await use(engine, standIn, info);
  } finally {
    await engine.stop();
  }
}

interface Answered extends Content {
  readonly outcome: GenerateOutcome;
  readonly tokens: number;
}

async function answerTo(engine: Engine, request: Request): Promise<Answered> {
  const deltas: Delta[] = [];
  let tokens = 0;
  const emit = (delta: Delta, count: number): void => {
    deltas.push(delta);
    tokens += count;
  };
  const outcome = await engine.generate({ request, emit, signal: new AbortController().signal });
  return { ...contentOf(deltas), outcome, tokens };
}

function chatOf(text: string, sampling: Partial<Sampling> = {}): ChatRequest {
  const messages = [
    { role: "system", content: "Be brief." },
    { role: "user", content: text },
  ] as const;
  return { kind: "chat", messages, sampling: { maxTokens: 5, temperature: 0, ...sampling } };
}

function embeddingOf(...inputs: EmbeddingRequest["inputs"]): EmbeddingRequest {
  return { kind: "embedding", inputs, sampling: NO_SAMPLING };
}

function pathOf(standIn: StandIn): string {
  return standIn.asked("a lamp")[0]!.path;
}

/** What each of these servers can do beside plain texts. */
const ALL_ABILITIES = ["json_schema", "tools", "logprobs"];

type Body = Record<string, unknown>;

function inDigits(body: Body): object {
  return embeddingsOf({ ...body, encoding_format: "float" });
}

function onlyDigits(body: Body): object {
  return body.encoding_format === "float" ? embeddingsOf(body) : { status: 400, body: { error: "encoding_format" } };
}

/** Those that do not say how to draw. */
const OTHER_FIELDS = new Set(["model", "messages", "prompt", "max_tokens", "stream", "stream_options", "rid"]);

describe("a chat", () => {
  for (const vendor of VENDORS) {
    it(`is asked of ${vendor} by its route for them`, async () => {
      await withEngine({ vendor }, async (engine, standIn, { capabilities }) => {
        assert.deepEqual(capabilities, ["chat", "completion", ...ALL_ABILITIES]);
        const { text, outcome, tokens } = await answerTo(engine, chatOf("What is a lamp?"));
        const { path, body } = standIn.asked("a lamp")[0]!;
        assert.equal(path, "/v1/chat/completions");
        assert.deepEqual(body.messages, [
          { role: "system", content: "Be brief." },
          { role: "user", content: "What is a lamp?" },
        ]);
        assert.equal(text.split(" ").length, 5);
        assert.deepEqual([outcome.finishReason, outcome.completionTokens, tokens], ["length", 5, 5]);
        assert(outcome.promptTokens! > 8);
      });
    });
  }

  it("without a limit goes on to the end of the context", async () => {
    for (const vendor of ["vllm", "sglang", "tgi", "llama-server", "tensorrt-llm"] as const) {
      await withEngine({ vendor, context: 40 }, async (engine) => {
        const { outcome } = await answerTo(engine, chatOf("Hi", { maxTokens: TO_THE_END }));
        assert.deepEqual(
          [outcome.finishReason, outcome.promptTokens! + outcome.completionTokens],
          ["length", 40],
          vendor,
        );
      });
    }
  });

  it("ends where the context ends, also of a server that refuses what might not fit and counts no tokens", async () => {
    const routes = { "/tokenize": null };
    await withEngine({ vendor: "vllm", context: 40, routes }, async (engine) => {
      const { outcome } = await answerTo(engine, chatOf("Hi", { maxTokens: 39 }));
      assert.equal(outcome.promptTokens! + outcome.completionTokens, 40);
    });
  });

  it("is refused with both numbers when it leaves no room", async () => {
    await withEngine({ vendor: "vllm", context: 64 }, async (engine) => {
      const { code, message } = await refused(answerTo(engine, chatOf("x".repeat(300))));
      assert.equal(code, "prompt_too_long");
      assert.match(message, /^The prompt has 8\d tokens, which leaves no room in a context of 64 tokens\.$/);
    });
  });
});

describe("a text", () => {
  const asked = { ...completionOf("What is a lamp?", { maxTokens: 3 }), raw: false } as const;
  it("is a user's message where it is to be one, and else continued as it is", async () => {
    await withEngine({ vendor: "vllm" }, async (engine, standIn) => {
      await answerTo(engine, asked);
      const { path, body } = standIn.asked("a lamp")[0]!;
      assert.equal(path, "/v1/chat/completions");
      assert.deepEqual(body.messages, [{ role: "user", content: "What is a lamp?" }]);
    });
    for (const raw of [true, undefined])
      await withEngine({ vendor: "vllm" }, async (engine, standIn) => {
        const { raw: _, ...rest } = asked;
        await answerTo(engine, raw === undefined ? rest : { ...rest, raw });
        assert.equal(pathOf(standIn), "/v1/completions");
      });
  });

  it("is continued as it is where the model has no template", async () => {
    const routes = { "/api/show": { body: { capabilities: ["completion"], template: "{{ .Prompt }}" } } };
    await withEngine({ vendor: "ollama", routes }, async (engine, standIn, { hasChatTemplate }) => {
      assert.equal(hasChatTemplate, false);
      await answerTo(engine, asked);
      assert.equal(pathOf(standIn), "/v1/completions");
    });
  });

  it("is what the configuration says where it does not say itself", async () => {
    const { raw: _, ...open } = asked;
    await withEngine(
      { vendor: "vllm", routes: { "/v1/completions": null } },
      async (engine, standIn, { capabilities }) => {
        assert.deepEqual(capabilities, ["chat", "completion", ...ALL_ABILITIES]);
        await answerTo(engine, open);
        assert.equal(pathOf(standIn), "/v1/chat/completions");
      },
      { raw: false },
    );
    const routes = { "/v1/chat/completions": null };
    await withEngine(
      { vendor: "vllm", routes },
      async (engine, standIn) => {
        await answerTo(engine, open);
        assert.equal(pathOf(standIn), "/v1/completions");
      },
      { raw: false },
    );
  });
});

describe("what is drawn", () => {
  const all: Partial<Sampling> = {
    temperature: 1.7,
    topP: 1,
    topK: 0,
    minP: 0,
    seed: 7,
    presencePenalty: 0.5,
    frequencyPenalty: -0.5,
    logitBias: { "11": -100 },
    stop: ["a", "b", "c", "d", "e"],
  };
  const openAi = { temperature: 1.7, top_p: 1, seed: 7, presence_penalty: 0.5, frequency_penalty: -0.5 };
  const biased = { ...openAi, logit_bias: { "11": -100 } };
  const whole = { ...biased, top_k: -1, min_p: 0, stop: all.stop };
  const { top_p: _, presence_penalty: __, ...ofTgi } = openAi;
  const expected: Readonly<Record<(typeof VENDORS)[number], object>> = {
    vllm: whole,
    sglang: whole,
    "llama-server": whole,
    "tensorrt-llm": { ...whole, top_k: 0 },
    tgi: { ...ofTgi, stop: ["a", "b", "c", "d"] },
    ollama: { ...openAi, stop: all.stop },
    plain: { ...biased, stop: ["a", "b", "c", "d"] },
  };
  for (const vendor of VENDORS) {
    it(`is told to ${vendor} in the fields that it honours`, async () => {
      await withEngine({ vendor }, async (engine, standIn, { honours }) => {
        await answerTo(engine, chatOf("Draw", all));
        await answerTo(engine, completionOf("Draw", { maxTokens: 5, ...all }));
        const seen = standIn.asked("Draw");
        assert.equal(seen.length, 2);
        for (const { body } of seen) {
          assert.equal(body.max_tokens, 5);
          const drawn = Object.fromEntries(Object.entries(body).filter(([name]) => !OTHER_FIELDS.has(name)));
          assert.deepEqual(drawn, expected[vendor]);
          assert.deepEqual(
            Object.keys(drawn).filter((name) => name !== "temperature" && !(honours as string[]).includes(name)),
            [],
          );
        }
      });
    });
  }

  it("is greedy at temperature 0, with its penalties", async () => {
    await withEngine({ vendor: "vllm" }, async (engine, standIn) => {
      await answerTo(engine, chatOf("Draw", { ...all, temperature: 0 }));
      const { body } = standIn.asked("Draw")[0]!;
      assert.deepEqual(
        ["top_p", "top_k", "min_p", "seed"].filter((name) => name in body),
        [],
      );
      assert.deepEqual([body.temperature, body.presence_penalty], [0, 0.5]);
    });
  });
});

describe("a stop sequence", () => {
  it("ends the text before it, also of a server that sends it", async () => {
    for (const request of [
      chatOf("stop here", { maxTokens: 50, stop: ["until"] }),
      completionOf("stop here", { maxTokens: 50, stop: ["until"] }),
    ])
      await withEngine({ vendor: "tgi" }, async (engine, standIn) => {
        const { text, outcome, tokens } = await answerTo(engine, request);
        assert.equal(outcome.finishReason, "stop");
        assert(!text.includes("until") && text.endsWith("日本 "), text);
        assert.equal(tokens, outcome.completionTokens);
        await standIn.until(() => standIn.running === 0);
      });
  });
});

describe("embeddings", () => {
  it("are unit vectors in the order of their inputs, however they are told", async () => {
    const inputs = ["one", [7, 8], "three", ...Array.from({ length: 40 }, (_, index) => `text ${index}`)];
    for (const page of [embeddingsOf, inDigits])
      await withEngine({ vendor: "vllm", pages: { "/v1/embeddings": page } }, async (engine, standIn, info) => {
        assert.deepEqual(info.capabilities, ["chat", "completion", "embedding", ...ALL_ABILITIES]);
        const { embeddings, outcome } = await answerTo(engine, embeddingOf(...inputs));
        assert.equal(embeddings?.length, inputs.length);
        for (const [index, input] of inputs.entries()) {
          const numbers = numbersOf(embeddings[index]!);
          assert(Math.abs(Math.hypot(...numbers) - 1) < 1e-6);
          const first = typeof input === "string" ? Buffer.byteLength(input) / input.charCodeAt(0) : 2 / 7;
          assert(Math.abs(numbers[0]! / numbers[1]! - first) < 1e-5);
        }
        const asked = standIn.seen.filter(({ path }) => path === "/v1/embeddings").slice(1);
        assert.deepEqual(
          asked.flatMap(({ body }) => body.input),
          inputs,
        );
        assert(asked.every(({ body }) => (body.input as unknown[]).length <= 32));
        assert.equal(outcome.finishReason, "stop");
        assert(outcome.promptTokens! >= 43);
      });
  });

  it("are asked for in digits where base64 is refused", async () => {
    await withEngine({ vendor: "plain", pages: { "/v1/embeddings": onlyDigits } }, async (engine, standIn) => {
      const { embeddings } = await answerTo(engine, embeddingOf("a", "b"));
      assert.equal(embeddings?.length, 2);
      const formats = standIn.seen.map(({ body }) => body.encoding_format).filter((format) => format !== undefined);
      assert.deepEqual(formats, ["base64", "float", "float"]);
    });
  });
});
