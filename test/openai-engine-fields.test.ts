/** What servers are asked for beside plain texts: forms, tools and logprobs; each in its own way, as far as it takes them. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Engine } from "../src/engine/engine.ts";
import { createEngine } from "../src/engine/open.ts";
import { type Content, contentOf, type Delta } from "../src/output.ts";
import {
  type AnswerFormat,
  type ChatRequest,
  completionOf,
  type Message,
  type Request,
  type Tools,
} from "../src/request.ts";
import { OPENAI, refused } from "./helpers/engines.ts";
import { StandIn, type StandInOptions } from "./helpers/upstream.ts";
import { type Answered, EVENTS, type Vendor, VENDORS } from "./helpers/upstream-vendors.ts";

const SCHEMA = { type: "object", properties: { a: { type: "string" } } } as const;
const FORMAT: AnswerFormat = { kind: "schema", name: "thing", schema: SCHEMA, strict: true };
const TOOLS: Tools = {
  list: [{ name: "weather", description: "The weather.", parameters: SCHEMA, strict: true }, { name: "time" }],
  choice: "auto",
  parallel: false,
};

/** A conversation with an answered call behind it. */
const CALLED: readonly Message[] = [
  { role: "user", content: "How is it?" },
  { role: "assistant", content: "", toolCalls: [{ id: "call_1", name: "weather", arguments: '{"a":"x"}' }] },
  { role: "tool", content: "Sunny.", toolCallId: "call_1", name: "weather" },
];

function chat(more: Partial<ChatRequest> = {}): ChatRequest {
  return {
    kind: "chat",
    messages: [{ role: "user", content: "asked" }],
    sampling: { maxTokens: 5, temperature: 0 },
    ...more,
  };
}

/** An answer of a chat in one event. */
function answered(message: object, finish_reason: string, logprobs: object | null = null): StandInOptions["routes"] {
  const data = JSON.stringify({ choices: [{ index: 0, delta: message, logprobs, finish_reason }] });
  return { "/v1/chat/completions": { headers: EVENTS, body: `data: ${data}\n\ndata: [DONE]\n\n` } };
}

type Use = (engine: Engine, standIn: StandIn) => Promise<void>;

/** @param behind what its routes answer once the engine is loaded */
async function withEngine(vendor: Vendor, use: Use, behind: StandInOptions["routes"] = {}): Promise<void> {
  const routes: Record<string, Answered | null> = {};
  await using standIn = await StandIn.open({ vendor, routes });
  const engine = await createEngine({ ...OPENAI, upstream: { url: standIn.url, apiKey: null } }, 0);
  try {
    await engine.load();
    Object.assign(routes, behind);
    await use(engine, standIn);
  } finally {
    await engine.stop();
  }
}

async function answerTo(engine: Engine, request: Request): Promise<Content> {
  const deltas: Delta[] = [];
  const emit = (delta: Delta): void => void deltas.push(delta);
  await engine.generate({ request, emit, signal: new AbortController().signal });
  return contentOf(deltas);
}

/** The body of the last task that was asked for. */
function lastBody(standIn: StandIn): Record<string, unknown> {
  return standIn.seen.findLast(({ path }) => path.endsWith("completions"))!.body;
}

const SOME = { content: [{ token: "yes", logprob: -1, bytes: null, top_logprobs: [] }] };
const YES = answered({ content: "yes" }, "stop", SOME);

describe("a form", () => {
  const openAi = { type: "json_schema", json_schema: { name: "thing", schema: SCHEMA, strict: true } };
  for (const vendor of VENDORS)
    it(`is told to ${vendor} for a chat`, async () => {
      const told = async (format: AnswerFormat): Promise<unknown> => {
        let form: unknown;
        const use: Use = async (engine, standIn) => {
          await answerTo(engine, chat({ format }));
          form = lastBody(standIn).response_format;
        };
        await withEngine(vendor, use, YES);
        return form;
      };
      const isTgi = vendor === "tgi";
      assert.deepEqual(await told(FORMAT), isTgi ? { type: "json_object", value: SCHEMA } : openAi);
      assert.deepEqual(
        await told({ kind: "json" }),
        isTgi ? { type: "json_object", value: { type: "object" } } : { type: "json_object" },
      );
      if (isTgi) return;
      const { json_schema: all } = (await told({ ...FORMAT, schema: true })) as typeof openAi;
      assert.deepEqual(all.schema, {});
    });

  it("is told for a text that is continued where the server takes it there, and refused else", async () => {
    await withEngine("llama-server", async (engine, standIn) => {
      await answerTo(engine, { ...completionOf("asked", { maxTokens: 2 }), format: FORMAT });
      const { response_format: form, grammar } = lastBody(standIn);
      assert.equal(form, undefined);
      assert.match(String(grammar), /^root ::= /);
    });
    for (const vendor of ["vllm", "sglang", "tensorrt-llm"] as const)
      await withEngine(vendor, async (engine, standIn) => {
        await answerTo(engine, { ...completionOf("asked", { maxTokens: 2 }), format: FORMAT });
        assert.deepEqual(lastBody(standIn).response_format, openAi, vendor);
      });
    for (const vendor of ["tgi", "ollama", "plain"] as const)
      await withEngine(vendor, async (engine) => {
        const { code, message } = await refused(answerTo(engine, { ...completionOf("asked"), format: FORMAT }));
        assert.equal(code, "unsupported");
        assert.match(
          message,
          /^The server behind this GPU takes no response_format for texts to continue\. It does with messages, or raw: false\.$/,
        );
      });
  });

  it("goes along with a text that becomes a user's message", async () => {
    await withEngine(
      "plain",
      async (engine, standIn) => {
        await answerTo(engine, { ...completionOf("asked"), raw: false, format: FORMAT, logprobs: 3 });
        const { response_format: form, logprobs, top_logprobs: top } = lastBody(standIn);
        assert.deepEqual([form, logprobs, top], [openAi, true, 3]);
      },
      YES,
    );
  });
});

describe("tools", () => {
  const called = { tool_calls: [{ index: 0, id: "x", type: "function", function: { name: "time", arguments: "{}" } }] };
  const CALL = answered(called, "tool_calls");
  for (const vendor of VENDORS)
    it(`are told to ${vendor}, with calls and answers before`, async () => {
      await withEngine(
        vendor,
        async (engine, standIn) => {
          const { toolCalls } = await answerTo(engine, chat({ messages: CALLED, tools: TOOLS }));
          assert.deepEqual(toolCalls, [{ id: "x", name: "time", arguments: "{}" }]);
          const { messages, tools, tool_choice: choice, parallel_tool_calls: parallel } = lastBody(standIn);
          assert.deepEqual(messages, [
            { role: "user", content: "How is it?" },
            {
              role: "assistant",
              content: null,
              tool_calls: [{ id: "call_1", type: "function", function: { name: "weather", arguments: '{"a":"x"}' } }],
            },
            { role: "tool", content: "Sunny.", tool_call_id: "call_1", name: "weather" },
          ]);
          assert.deepEqual(tools, [
            {
              type: "function",
              function: { name: "weather", description: "The weather.", parameters: SCHEMA, strict: true },
            },
            {
              type: "function",
              function: { name: "time", parameters: { type: "object", properties: {}, additionalProperties: false } },
            },
          ]);
          const isCutHere = ["ollama", "tgi", "tensorrt-llm"].includes(vendor);
          assert.deepEqual([choice, parallel], ["auto", isCutHere ? undefined : false]);
        },
        CALL,
      );
    });

  it("are chosen by the caller where the server lets them be", async () => {
    const named: Tools = { ...TOOLS, choice: { name: "time" }, parallel: true };
    await withEngine(
      "vllm",
      async (engine, standIn) => {
        await answerTo(engine, chat({ tools: named }));
        const { tool_choice: choice, parallel_tool_calls: parallel } = lastBody(standIn);
        assert.deepEqual([choice, parallel], [{ type: "function", function: { name: "time" } }, true]);
        await answerTo(engine, chat({ tools: { ...TOOLS, choice: "required" } }));
        assert.equal(lastBody(standIn).tool_choice, "required");
      },
      CALL,
    );
    await withEngine(
      "ollama",
      async (engine) => {
        for (const choice of ["required", { name: "time" }] as const) {
          const { code, message } = await refused(answerTo(engine, chat({ tools: { ...TOOLS, choice } })));
          assert.deepEqual(
            [code, message],
            ["unsupported", "The server behind this GPU takes no tool_choice but auto."],
          );
        }
      },
      CALL,
    );
  });
});

describe("logprobs", () => {
  for (const vendor of VENDORS)
    it(`are asked of ${vendor}`, async () => {
      await withEngine(
        vendor,
        async (engine, standIn) => {
          for (const [logprobs, top] of [
            [0, 1],
            [5, 5],
          ] as const) {
            const { logprobs: told } = await answerTo(engine, chat({ logprobs }));
            assert.deepEqual(told, [{ token: "yes", logprob: -1, bytes: [121, 101, 115], top: [], length: 3 }]);
            assert.deepEqual([lastBody(standIn).logprobs, lastBody(standIn).top_logprobs], [true, top]);
          }
          const text = { ...completionOf("asked", { maxTokens: 2 }), logprobs: 4 };
          const failure = await refused(answerTo(engine, text));
          if (vendor === "tgi") assert.match(failure.message, /takes no logprobs for texts to continue/);
          else assert.equal(lastBody(standIn).logprobs, 4);
        },
        YES,
      );
    });
});

function refusing(message: string): StandInOptions["routes"] {
  return { "/v1/chat/completions": { status: 400, body: { error: { message, code: 400 } } } };
}

describe("a server that refuses one of these is told as one that cannot do it", () => {
  const refusals: readonly [name: string, asked: Partial<ChatRequest>, words: string][] = [
    ["response_format", { format: FORMAT }, "Failed to parse grammar"],
    ["response_format", { format: FORMAT }, "Invalid JSON schema: pattern is not supported"],
    [
      "tools",
      { tools: TOOLS },
      '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
    ],
    ["logprobs", { logprobs: 5 }, "logprobs are not enabled"],
  ];
  for (const [name, asked, words] of refusals)
    it(`${name}: ${words}`, async () => {
      await withEngine(
        "vllm",
        async (engine, { url }) => {
          const { code, message } = await refused(answerTo(engine, chat(asked)));
          assert.equal(code, "unsupported");
          assert.equal(message, `vLLM at ${url} cannot do what ${name} asks for: HTTP 400: ${words}.`);
          // Any other task is refused in the same words as ever.
          const other = await refused(answerTo(engine, chat()));
          assert.deepEqual(
            [other.code, other.message],
            ["model_error", `vLLM at ${url} refused the task: HTTP 400: ${words}.`],
          );
        },
        refusing(words),
      );
    });
});
