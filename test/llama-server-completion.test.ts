/** What a llama.cpp server is asked for one task, and what becomes of its answer. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { bodyFor, Completion } from "../src/engine/llama-server/completion.ts";
import { type AnswerShape } from "../src/engine/answer-text.ts";
import { type Delta } from "../src/output.ts";
import { completionOf, type Sampling } from "../src/request.ts";

const PLAIN: AnswerShape = { stop: [], marks: null };
const MARKS = { open: "<think>", close: "</think>" };

function body(sampling: Partial<Sampling>, shape = PLAIN): Record<string, unknown> {
  const request = completionOf("x", { maxTokens: 9, ...sampling });
  return { ...bodyFor({ prompt: "x", tokens: null, shape, request, maxTokens: 9 }) };
}

/** The deltas of an answer in these pieces, one token each, and how it ended. */
function answered(pieces: readonly string[], shape: AnswerShape) {
  const deltas: Delta[] = [];
  let told = 0;
  const emit = (delta: Delta, tokens: number): void => {
    deltas.push(delta);
    told += tokens;
  };
  const completion = new Completion({ tokens: 3, shape, maxTokens: 99 }, 100, { emit });
  for (const [index, content] of pieces.entries())
    completion.read(JSON.stringify({ content, tokens_predicted: index + 1, stop: false }));
  completion.read(JSON.stringify({ stop: true, stop_type: "limit", tokens_predicted: pieces.length }));
  const textOf = (kind: string): string =>
    deltas.map((delta) => (delta.kind === kind && "text" in delta ? delta.text : "")).join("");
  const { finishReason, completionTokens } = completion.outcome();
  return { text: textOf("text"), reasoning: textOf("reasoning"), finishReason, completionTokens, told };
}

describe("the body of a task for llama-server", () => {
  it("has each field of sampling, with samplers for penalties only where there are any", () => {
    const { samplers, seed, logit_bias: none } = body({ temperature: 1, seed: 7 });
    assert.deepEqual([samplers, seed, none], [["top_k", "top_p", "min_p", "temperature"], 7, undefined]);
    const sampling = { temperature: 1, topK: 0, topP: 1, minP: 0, frequencyPenalty: -2, logitBias: { 5: -100 } };
    const all = body(sampling);
    assert.deepEqual(
      [all.top_k, all.top_p, all.min_p, all.frequency_penalty, all.presence_penalty, all.logit_bias],
      [0, 1, 0, -2, 0, [[5, -100]]],
    );
    assert.deepEqual(all.samplers, ["penalties", "top_k", "top_p", "min_p", "temperature"]);
    assert.deepEqual(body({ temperature: 0, presencePenalty: 1 }).samplers, ["penalties", "top_k", "temperature"]);
  });

  it("never has the seed that stands for none", () => {
    assert.equal(body({ temperature: 1, seed: 2 ** 32 - 1 }).seed, 2 ** 32 - 2);
    const drawn = body({ temperature: 1 }).seed as number;
    assert(Number.isSafeInteger(drawn) && drawn >= 0 && drawn < 2 ** 32 - 1);
  });

  it("asks for the marks of reasoning, also where they are special tokens", () => {
    assert.deepEqual(body({}, { stop: [], marks: MARKS }).preserved_tokens, ["<think>", "</think>"]);
    assert(!("preserved_tokens" in body({})));
  });
});

describe("an answer of llama-server", () => {
  it("is split into reasoning and text", () => {
    const pieces = ["<th", "ink>", "so", " so</", "think>\n\n", "Hi", "!"];
    assert.deepEqual(answered(pieces, { stop: [], marks: MARKS }), {
      text: "Hi!",
      reasoning: "so so",
      finishReason: "length",
      completionTokens: 7,
      told: 7,
    });
    const inside = answered(["so", "</think>", "Hi"], { stop: [], marks: MARKS, isInside: true });
    assert.deepEqual([inside.reasoning, inside.text], ["so", "Hi"]);
  });

  it("ends before a stop sequence, with the tokens until then", () => {
    const { text, finishReason, completionTokens, told } = answered(["a", "bE", "N", "Dc", "d"], {
      stop: ["END"],
      marks: null,
    });
    assert.deepEqual([text, finishReason, completionTokens, told], ["ab", "stop", 4, 4]);
  });

  it("tells what was held back when no stop sequence has come", () => {
    const { text, finishReason } = answered(["a", "bE", "N"], { stop: ["END"], marks: null });
    assert.deepEqual([text, finishReason], ["abEN", "length"]);
  });
});
