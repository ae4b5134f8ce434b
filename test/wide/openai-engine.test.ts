/** The engine that asks a server, against stand-ins for all that it knows. What every engine promises: test/helpers/engine-promises.ts. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { textOf, type Delta } from "../../src/output.ts";
import { completionOf } from "../../src/request.ts";
import { type Engine, type EngineInfo, type EngineOptions } from "../../src/engine/engine.ts";
import { createEngine } from "../../src/engine/open.ts";
import { EngineFailure } from "../../src/engine/failures.ts";
import { type EngineTraits, keepsThePromises } from "../helpers/engine-promises.ts";
import { loaded, OPENAI, refused, SLOTS, started, watch } from "../helpers/engines.ts";
import { type Fault, StandIn, type StandInOptions } from "../helpers/upstream.ts";
import { MODEL, VENDORS } from "../helpers/upstream-vendors.ts";

function optionsFor({ url }: StandIn, changes: Partial<EngineOptions> & { apiKey?: string } = {}): EngineOptions {
  const { apiKey = null, ...rest } = changes;
  return { ...OPENAI, upstream: { url, apiKey }, ...rest };
}

/** Opens a server and an engine that asks it, and closes both. */
async function withEngine(
  options: StandInOptions,
  use: (engine: Engine, standIn: StandIn, info: EngineInfo) => Promise<void>,
  changes?: Partial<EngineOptions> & { apiKey?: string },
): Promise<void> {
  await using standIn = await StandIn.open(options);
  const engine = await createEngine(optionsFor(standIn, changes), 0);
  try {
    const info = await engine.load();
    await use(engine, standIn, info);
  } finally {
    await engine.stop();
  }
}

/** How loading fails. */
async function loadFailure(
  options: StandInOptions,
  changes?: Partial<EngineOptions> & { apiKey?: string },
): Promise<EngineFailure> {
  await using standIn = await StandIn.open(options);
  const error = await refused(loaded(optionsFor(standIn, changes)));
  return new EngineFailure(error.code, error.message.replace(standIn.url, "URL"));
}

/** Those that say with each piece how many tokens there have been. */
const COUNTING: ReadonlySet<string> = new Set(["vllm", "sglang", "tensorrt-llm"]);

for (const vendor of VENDORS) {
  describe(`against a stand-in for ${vendor}`, () => {
    let standIn: StandIn;
    before(async () => {
      standIn = await StandIn.open({ vendor });
    });
    after(() => standIn.close());
    const traits: EngineTraits = {
      smallContext: null,
      promptTokens: COUNTING.has(vendor) ? "before" : "after",
      countsEachToken: true,
      repeats: true,
      inSteps: false,
      plansMemory: false,
    };
    keepsThePromises({
      name: "openai",
      traits,
      info: { model: MODEL, memory: null, memoryNote: null, backend: "openai" },
      create: (changes) => createEngine(optionsFor(standIn, changes), 0),
    });
  });
}

describe("what the engine finds out about a server", () => {
  const known: readonly [StandInOptions["vendor"], device: string, context: number | null][] = [
    ["vllm", "vLLM 0.11.0", 4096],
    ["sglang", "SGLang 0.5.5", 4096],
    ["tgi", "TGI 3.3.5", 4096],
    ["llama-server", "llama-server b7000", 4096],
    ["ollama", "Ollama 0.12.6", null],
    ["tensorrt-llm", "TensorRT-LLM 1.1.0", null],
    ["plain", "An OpenAI-compatible server", null],
  ];
  for (const [vendor, device, context] of known) {
    it(`${vendor}: what it is, and its context`, async () => {
      await withEngine({ vendor }, async (_, { url }, info) => {
        assert.deepEqual([info.device, info.context, info.model], [`${device} at ${url}`, context, MODEL]);
        assert.deepEqual([info.slots, info.settings, info.devices], [SLOTS, [], []]);
      });
    });
  }

  it("leaves away the path that clients of OpenAI's protocol give", async () => {
    await using standIn = await StandIn.open({ vendor: "vllm" });
    const upstream = { url: `${standIn.url}/v1/`, apiKey: null };
    const { device } = await loaded({ ...optionsFor(standIn), upstream });
    assert.equal(device, `vLLM 0.11.0 at ${standIn.url}`);
  });

  it("has no more slots than the server has", async () => {
    await withEngine(
      { vendor: "llama-server" },
      async (_, __, { slots, settings }) => {
        assert.deepEqual([slots, settings], [8, [{ name: "slots", value: 8, reason: "the server has no more" }]]);
      },
      { slots: 16 },
    );
  });

  it("takes the model that is named, by any of its names", async () => {
    for (const model of [MODEL, "an-alias"])
      await withEngine({ vendor: "llama-server" }, async (_, __, info) => assert.equal(info.model, MODEL), { model });
    const { code, message } = await loadFailure({ vendor: "vllm" }, { model: "gpt-9" });
    assert.deepEqual([code, message], ["model_error", `vLLM at URL has no model gpt-9; it has ${MODEL}.`]);
  });

  it("has it generate a token, and does not believe a list of models", async () => {
    const body = JSON.stringify({ error: { message: "This model does not support completions." } });
    const faults = { Hello: { kind: "refuse", status: 400, body } } as const;
    const { code, message } = await loadFailure({ vendor: "vllm", faults });
    assert.equal(code, "model_error");
    assert.equal(
      message,
      "vLLM at URL refused a task of one token: HTTP 400: This model does not support completions.",
    );
  });

  it("takes one that has no room for one that works", async () => {
    const faults = { Hello: { kind: "refuse", status: 429, body: "{}" } } as const;
    await withEngine({ vendor: "vllm", faults }, async (engine) => {
      assert.equal((await watch(engine, "another", 5).outcome).completionTokens, 5);
    });
  });
});

describe("a server that cannot be used", () => {
  const html = "<html><title>Router</title><h1>Welcome to your router</h1></html>";
  const cases: readonly [name: string, Partial<StandInOptions>, code: string, message: RegExp][] = [
    [
      "answers something else",
      { routes: { "/v1/models": { body: html } } },
      "model_error",
      /^The server at URL does not speak OpenAI's protocol: it answered HTTP 200: Router Welcome to your router\.$/,
    ],
    ["has no such route", { routes: { "/v1/models": null } }, "model_error", /it answered HTTP 404: Not Found\.$/],
    [
      "lists something else",
      { routes: { "/v1/models": { body: { data: "none" } } } },
      "model_error",
      /does not speak OpenAI's protocol/,
    ],
    [
      "redirects",
      { routes: { "/v1/models": { status: 301, headers: { location: "http://elsewhere/" }, body: "" } } },
      "model_error",
      /it answered HTTP 301: it redirects to http:\/\/elsewhere\/, which is not followed\.$/,
    ],
    [
      "is not ready",
      { routes: { "/v1/models": { status: 503, body: { error: { message: "Loading model" } } } } },
      "gpu_lost",
      /^The server at URL is not ready: HTTP 503: Loading model\.$/,
    ],
    [
      "has no model yet",
      { routes: { "/v1/models": { body: { data: [] } } } },
      "gpu_lost",
      /^An OpenAI-compatible server at URL has no model yet\.$/,
    ],
    [
      "wants a key",
      { key: "right" },
      "model_error",
      /^The server at URL needs a key \(engine\.api_key\): HTTP 401: Invalid API key: undefined\.$/,
    ],
  ];
  for (const [name, options, expected, sentence] of cases) {
    it(name, async () => {
      const { code, message } = await loadFailure({ vendor: "plain", ...options });
      assert.equal(code, expected);
      assert.match(message, sentence);
    });
  }

  it("wants another key, which is told without saying which it was given", async () => {
    for (const vendor of ["vllm", "llama-server"] as const) {
      const { code, message } = await loadFailure({ vendor, key: "right" }, { apiKey: "sk-wrong" });
      assert.equal(code, "model_error");
      assert.match(
        message,
        /^The server at URL refuses the key of engine\.api_key: HTTP 401: Invalid API key: Bearer …\.$/,
      );
    }
    await withEngine({ vendor: "vllm", key: "right" }, async () => {}, { apiKey: "right" });
  });

  it("is not there", async () => {
    const standIn = await StandIn.open({ vendor: "vllm" });
    const options = optionsFor(standIn);
    await standIn.close();
    const { code, message } = await refused(loaded(options));
    assert.equal(code, "gpu_lost");
    assert.equal(message, `The server at ${options.upstream!.url} cannot be used now: the connection was refused.`);
  });
});

describe("what is asked of a server", () => {
  it("samples as the embedded engine does, as far as the server can", async () => {
    for (const [vendor, sampling] of [
      ["vllm", { top_k: 40, top_p: 0.95, min_p: 0.05 }],
      ["ollama", { top_p: 0.95 }],
    ] as const) {
      await withEngine({ vendor }, async (engine, standIn) => {
        await generate(engine, { text: "sampled", temperature: 0.7 });
        await generate(engine, { text: "greedy", temperature: 0 });
        const [sampled, greedy] = [standIn.asked("sampled")[0]!.body, standIn.asked("greedy")[0]!.body];
        const { top_k, top_p, min_p, temperature } = sampled;
        assert.deepEqual({ top_k, top_p, min_p }, { top_k: undefined, min_p: undefined, ...sampling });
        assert.deepEqual([temperature, greedy.temperature, "top_p" in greedy], [0.7, 0, false]);
      });
    }
  });

  it("sends its key with everything, and JSON that is whole", async () => {
    await withEngine(
      { vendor: "vllm", key: "sk-right" },
      async (engine, { seen }) => {
        await generate(engine, { text: "half \ud83d a character" });
        assert(seen.every(({ headers }) => headers.authorization === "Bearer sk-right"));
        assert.equal(seen.at(-1)!.body.prompt, "half \ufffd a character");
      },
      { apiKey: "sk-right" },
    );
  });

  it("never asks for more at once than the tasks it was given, and uses its connections again", async () => {
    await withEngine({ vendor: "vllm" }, async (engine, standIn) => {
      for (let round = 0; round < 5; round++)
        await Promise.all(Array.from({ length: SLOTS }, () => watch(engine, "one of many", 20).outcome));
      assert.equal(standIn.mostRunning, SLOTS);
      const ports = new Set(standIn.asked("one of many").map(({ port }) => port));
      // Each may rest for a turn of the event loop after an answer.
      assert(ports.size <= 2 * SLOTS, `${ports.size} connections for 40 tasks`);
    });
  });
});

describe("an answer", () => {
  it("ends where the context ends, also of a server that refuses what might not fit", async () => {
    for (const vendor of ["vllm", "sglang", "tgi", "llama-server"] as const) {
      await withEngine({ vendor, context: 64 }, async (engine) => {
        const task = watch(engine, "twelve token prompt with these few words, see", 1_000_000);
        const { finishReason, promptTokens, completionTokens } = await task.outcome;
        assert.deepEqual([finishReason, promptTokens, completionTokens], ["length", 12, 52], vendor);
      });
    }
  });

  it("is refused with both numbers when the prompt leaves no room, whatever the server says", async () => {
    for (const vendor of ["vllm", "sglang", "tgi", "llama-server"] as const) {
      await withEngine({ vendor, context: 64 }, async (engine) => {
        const task = watch(engine, "x".repeat(256), 5);
        const { code, message } = await refused(task.outcome);
        assert.deepEqual(
          [code, message],
          ["prompt_too_long", "The prompt has 64 tokens, which leaves no room in a context of 64 tokens."],
        );
        assert.deepEqual([task.promptTokens, task.text], [[], ""], vendor);
      });
    }
  });

  it("is refused with the server's words when it does not count tokens", async () => {
    const routes = { "/tokenize": null };
    await withEngine({ vendor: "vllm", context: 64, routes }, async (engine) => {
      const { code, message } = await refused(watch(engine, "x".repeat(256), 5).outcome);
      assert.equal(code, "prompt_too_long");
      assert.equal(message, "This model's maximum context length is 64 tokens, but 69 were asked for.");
    });
  });

  it("is refused with the server's words when it takes shorter prompts only", async () => {
    const error = {
      message: "Input validation error: `inputs` must have less than 8 tokens. Given: 12",
      http_status_code: 422,
    };
    await withEngine({ vendor: "tgi", faults: { twelve: say({ error }) } }, async (engine, standIn) => {
      const { code, message } = await refused(
        watch(engine, "twelve token prompt with these few words, see", 5000).outcome,
      );
      assert.deepEqual([code, message], ["prompt_too_long", `${error.message}.`]);
      assert.equal(standIn.asked("twelve").length, 2);
    });
  });

  it("is never cut within a character", async () => {
    const halves = ["\\ud83d", "\\ude42", "!"].map((text) => `{"choices":[{"text":"${text}","finish_reason":null}]}`);
    const faults = { smile: { kind: "say", data: halves.join("\n\ndata: "), after: 1 } } as const;
    await withEngine({ vendor: "plain", faults }, async (engine) => {
      const pieces: string[] = [];
      await generate(engine, { text: "smile", maxTokens: 3, emit: (delta) => pieces.push(textOf(delta)) });
      assert(pieces.every((piece) => piece.isWellFormed()));
      assert.match(pieces.join(""), /🙂!/);
    });
  });

  it("has its cached tokens counted where the server tells, and else not", async () => {
    for (const [vendor, cached] of [
      ["vllm", 1],
      ["tgi", null],
      ["llama-server", null],
    ] as const) {
      await withEngine({ vendor }, async (engine) => {
        assert.equal((await watch(engine, "The cat said", 5).outcome).cachedTokens, cached);
      });
    }
  });

  it("may be slow, as long as it comes", async () => {
    const faults: Record<string, Fault> = {
      late: { kind: "wait", after: 0 },
      slow: { kind: "wait", after: 3 },
    };
    await withEngine({ vendor: "vllm", faults }, async (engine, standIn) => {
      const late = watch(engine, "late", 5);
      const slow = await started(engine, "slow", 5, 3);
      await standIn.until(() => standIn.halted === 2);
      assert.deepEqual([late.ended, late.tokens, slow.ended], [false, 0, false]);
      standIn.release();
      assert.equal((await late.outcome).completionTokens, 5);
      assert.equal((await slow.outcome).completionTokens, 5);
    });
  });
});

describe("canceling", () => {
  it("closes the request", async () => {
    for (const vendor of VENDORS) {
      await withEngine({ vendor }, async (engine, standIn) => {
        const task = await started(engine, "The cat said", 4000, 3);
        assert.equal(standIn.running, 1);
        task.controller.abort();
        await task.outcome;
        await standIn.until(() => standIn.running === 0);
      });
    }
  });

  it("tells SGLang too, which may not notice by itself", async () => {
    await withEngine({ vendor: "sglang" }, async (engine, standIn) => {
      const task = await started(engine, "The cat said", 4000, 3);
      const { rid } = standIn.asked("The cat said")[0]!.body;
      task.controller.abort();
      await task.outcome;
      await standIn.until(() => standIn.seen.some(({ path }) => path === "/abort_request"));
      assert.deepEqual([standIn.seen.at(-1)!.body, typeof rid], [{ rid }, "string"]);
    });
  });
});

describe("failures", () => {
  const words = JSON.stringify({ error: { message: "busy" } });
  const full: readonly [name: string, StandInOptions["vendor"], Fault, retryAfter: number | undefined][] = [
    ["429 with Retry-After", "vllm", refuse(429, words, { "retry-after": "7" }), 7],
    ["503 without", "ollama", refuse(503, words), undefined],
    ["TGI's event", "tgi", say({ error: { message: "Model is overloaded", http_status_code: 422 } }), undefined],
    ["SGLang's event", "sglang", say({ error: { message: "The queue is full", code: 503 } }), undefined],
  ];
  for (const [name, vendor, fault, retryAfter] of full) {
    it(`are none when there is no room: ${name}`, async () => {
      await withEngine({ vendor, faults: { bad: fault } }, async (engine) => {
        for (let round = 0; round < 5; round++) {
          const error = await refused(watch(engine, "bad", 5).outcome);
          assert.deepEqual([error.code, error.retryAfter], ["gpu_full", retryAfter]);
        }
        assert.equal((await watch(engine, "good", 5).outcome).completionTokens, 5);
      });
    });
  }

  it("are the task's own when the server refuses it", async () => {
    const bad = refuse(400, JSON.stringify({ error: { message: "no such adapter" } }));
    await withEngine({ vendor: "vllm", faults: { bad } }, async (engine, { url }) => {
      for (let round = 0; round < 5; round++) {
        const { code, message } = await refused(watch(engine, "bad", 5).outcome);
        assert.deepEqual(
          [code, message],
          ["model_error", `vLLM at ${url} refused the task: HTTP 400: no such adapter.`],
        );
      }
      assert.equal((await watch(engine, "good", 5).outcome).completionTokens, 5);
    });
  });

  const broken: readonly [name: string, Fault, sentence: RegExp][] = [
    ["garbage", { kind: "say", data: "{nonsense", after: 2 }, /it sent what makes no sense: \{nonsense\.$/],
    ["JSON that is no object", { kind: "say", data: "[1]", after: 2 }, /it sent what makes no sense: \[1\]\.$/],
    [
      "an event with choices of another shape",
      { kind: "say", data: '{"choices":{}}', after: 2 },
      /it sent what makes no sense: \{"choices":\{\}\}\.$/,
    ],
    ["an error in the middle", say({ error: { message: "CUDA error", code: 500 } }, 2), /HTTP 500: CUDA error\.$/],
    [
      "an abort there",
      say({ choices: [{ text: "", finish_reason: "abort" }] }, 2),
      /it broke the task off \(abort\)\.$/,
    ],
    ["an end without a reason", { kind: "say", data: "[DONE]", after: 2 }, /it ended its answer without a reason\.$/],
    ["an end too early", { kind: "end", after: 2 }, /it ended its answer before that was complete\.$/],
    ["a connection that breaks", { kind: "cut", after: 2 }, /it closed the connection\.$/],
    ["a refusal with 500", refuse(500, "<h1>Internal Server Error</h1>"), /HTTP 500: Internal Server Error\.$/],
    ["a page in the place of a stream", refuse(200, "<p>hello</p>"), /HTTP 200: hello\.$/],
    [
      "a redirect",
      refuse(307, "", { location: "/there" }),
      /HTTP 307: it redirects to \/there, which is not followed\.$/,
    ],
  ];
  for (const [name, bad, sentence] of broken) {
    it(`cut the task off: ${name}`, async () => {
      await withEngine({ vendor: "vllm", faults: { bad } }, async (engine, { url }) => {
        const { code, message } = await refused(watch(engine, "bad", 10).outcome);
        assert.equal(code, "gpu_lost");
        assert(message.startsWith(`vLLM at ${url} failed: `), message);
        assert.match(message, sentence);
        assert.equal((await watch(engine, "good", 5).outcome).completionTokens, 5);
      });
    });
  }

  it("cut the task off when nothing comes in time", async () => {
    const silent: Fault = { kind: "stall", after: 0 };
    // What comes has ages for it, while others use this machine too.
    const patience = { firstByte: 2, token: 600 };
    await withEngine(
      { vendor: "vllm", faults: { silent } },
      async (engine, standIn) => {
        const { code, message } = await refused(watch(engine, "silent", 10).outcome);
        assert.equal(code, "gpu_lost");
        assert.match(message, /it did not send its answer within 2 s\.$/);
        await standIn.until(() => standIn.running === 0);
      },
      { patience },
    );
  });

  it("cut the task off when nothing more comes in time, and are no progress", async () => {
    const stalls: Fault = { kind: "stall", after: 2 };
    const patience = { firstByte: 600, token: 1 };
    await withEngine(
      { vendor: "vllm", faults: { stalls } },
      async (engine, standIn) => {
        const task = await started(engine, "stalls", 10, 2);
        const { progress } = engine;
        const { code, message } = await refused(task.outcome);
        assert.equal(code, "gpu_lost");
        assert.match(message, /it did not send the next piece of its answer within 1 s\.$/);
        assert.deepEqual([engine.progress, task.tokens], [progress, 2]);
        await standIn.until(() => standIn.running === 0);
      },
      { patience },
    );
  });

  it("open the breaker when there are three in a row, and then not even a token comes", async () => {
    const faults: Record<string, Fault> = { bad: refuse(500, "oh") };
    await withEngine({ vendor: "vllm", faults }, async (engine, standIn) => {
      faults.Hello = { kind: "cut", after: 0 };
      const tryIt = () => refused(watch(engine, "bad", 5).outcome);
      await Promise.all([tryIt(), tryIt()]);
      await watch(engine, "a success between", 5).outcome;
      await tryIt();
      await tryIt();
      assert.equal(await isOver(engine), false);
      await tryIt();
      const { crashed, sentence } = await engine.gone!;
      assert.equal(crashed, false);
      assert.equal(
        sentence,
        `vLLM at ${standIn.url} failed 3 times in a row, and then when it was asked for one token; the last task failed so: HTTP 500: oh.`,
      );
      const asked = standIn.seen.length;
      assert.equal((await refused(watch(engine, "good", 5).outcome)).code, "gpu_lost");
      assert.equal(standIn.seen.length, asked);
    });
  });

  it("do not open the breaker of a server that can generate a token, or has no room for one", async () => {
    const faults: Record<string, Fault> = { bad: { kind: "cut", after: 2 } };
    await withEngine({ vendor: "vllm", faults }, async (engine, standIn) => {
      const healthy = await started(engine, "a long one", 4000, 1);
      const proofs = standIn.asked("Hello").length;
      for (let failure = 0; failure < 3; failure++) await refused(watch(engine, "bad", 5).outcome);
      await standIn.until(() => standIn.asked("Hello").length > proofs);
      assert.equal((await watch(engine, "good", 5).outcome).completionTokens, 5);
      faults.Hello = refuse(429, "busy");
      for (let failure = 0; failure < 4; failure++) await refused(watch(engine, "bad", 5).outcome);
      await standIn.until(() => standIn.asked("Hello").length > proofs + 1);
      assert.equal((await watch(engine, "good", 5).outcome).completionTokens, 5);
      assert.equal(healthy.ended, false);
      healthy.controller.abort();
      await healthy.outcome;
    });
  });

  it("open the breaker at once when the server is closed to all tasks", async () => {
    for (const status of [401, 403, 404]) {
      await withEngine({ vendor: "vllm", faults: { bad: refuse(status, "gone") } }, async (engine, { url }) => {
        assert.equal((await refused(watch(engine, "bad", 5).outcome)).code, "gpu_lost");
        const { sentence } = await engine.gone!;
        assert.equal(sentence, `vLLM at ${url} takes no tasks any more: HTTP ${status}: gone.`);
      });
    }
  });

  it("open the breaker at once when the server is gone, with everything that ran there", async () => {
    await withEngine({ vendor: "plain" }, async (engine, standIn) => {
      const { url } = standIn;
      const task = await started(engine, "The cat said", 4000, 3);
      await standIn.close();
      assert.equal((await refused(task.outcome)).code, "gpu_lost");
      const { sentence } = await engine.gone!;
      assert.equal(sentence, `An OpenAI-compatible server at ${url} cannot be reached: the connection was refused.`);
    });
  });
});

function refuse(status: number, body: string, headers: Record<string, string> = {}): Fault {
  return { kind: "refuse", status, body, headers };
}

function say(event: object, tokens = 0): Fault {
  return { kind: "say", data: JSON.stringify(event), after: tokens };
}

interface Task {
  readonly text: string;
  readonly maxTokens?: number;
  readonly temperature?: number;
  readonly emit?: (delta: Delta) => void;
}

function generate(engine: Engine, { text, maxTokens = 5, temperature = 0, emit = () => {} }: Task) {
  return engine.generate({
    request: completionOf(text, { maxTokens, temperature }),
    emit,
    signal: new AbortController().signal,
  });
}

async function isOver({ gone }: Engine): Promise<boolean> {
  return Promise.race([gone!.then(() => true), nextTurn(false)]);
}
