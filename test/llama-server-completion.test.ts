/** What a llama.cpp server is asked for one task, and what becomes of its answer. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { bodyFor, Completion, DEAD_END, NONSENSE } from "../src/engine/llama-server/completion.ts";
import { type AnswerShape } from "../src/engine/answer-text.ts";
import { sequence } from "../src/grammar/expression.ts";
import { withReasoning } from "../src/engine/forms/with-reasoning.ts";
import { contentOf, type Delta, Output } from "../src/output.ts";
import { completionOf, type Sampling, type TextRequest } from "../src/request.ts";
import { matcherOf } from "./helpers/grammar.ts";

const PLAIN: AnswerShape = { stop: [], marks: null };
const MARKS = { open: "<think>", close: "</think>" };

function body(
  sampling: Partial<Sampling>,
  shape = PLAIN,
  more: Partial<TextRequest> = {},
  grammar: string | null = null,
): Record<string, unknown> {
  const request = { ...completionOf("x", { maxTokens: 9, ...sampling }), ...more } as TextRequest;
  return { ...bodyFor({ prompt: "x", tokens: null, shape, request, maxTokens: 9, grammar }) };
}

/** The deltas of an answer in these pieces, one token each, and how it ended. */
function answered(pieces: readonly string[], shape: AnswerShape) {
  const deltas: Delta[] = [];
  let told = 0;
  const emit = (delta: Delta, tokens: number): void => {
    deltas.push(delta);
    told += tokens;
  };
  const order = { tokens: 3, shape, maxTokens: 99, request: completionOf("x"), grammar: null };
  const completion = new Completion(order, 100, { emit });
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

describe("an answer of llama-server that is held to a form", () => {
  const marks = MARKS;
  const document = sequence("{", "}");

  it("may have its reasoning before it, in which all may stand but the mark that ends it", () => {
    const outside = matcherOf(withReasoning(document, { marks }));
    for (const text of ["{}", "<think>so {} </thin <</think>{}", "<think></think>\n\n{}", "<think>\n🙂</think>\n{}"])
      assert(outside(text), text);
    for (const text of ["so</think>{}", "<think>{}", "<think>so</think>so</think>{}", "<think>so</think> {}", "{"])
      assert(!outside(text), text);
    const inside = matcherOf(withReasoning(document, { marks, isInside: true }));
    for (const text of ["so</think>{}", "</think>{}"]) assert(inside(text), text);
    for (const text of ["{}", "so{}"]) assert(!inside(text), text);
    assert(!matcherOf(withReasoning(document, { marks: null }))("<think></think>{}"));
  });

  it("is asked for by its grammar", () => {
    const grammar = 'root ::= "{}"';
    assert.equal(body({}, PLAIN, {}, grammar).grammar, grammar);
    assert(!("grammar" in body({})));
  });

  it("fails where no token has a probability, and that says nothing of the device", () => {
    const nan = JSON.stringify({
      content: "a",
      tokens_predicted: 1,
      completion_probabilities: [{ id: 1, prob: null }],
    });
    const order = { tokens: 3, shape: PLAIN, maxTokens: 9, request: completionOf("x") };
    const read = (grammar: string | null): void =>
      new Completion({ ...order, grammar }, 100, { emit: () => {} }).read(nan);
    assert.throws(() => read("root ::= x"), { words: DEAD_END });
    assert.throws(() => read(null), { words: NONSENSE });
  });
});

describe("tokens of llama-server with their probabilities", () => {
  it("are asked for before anything is cut off, and only where they are wanted", () => {
    const { n_probs: one, post_sampling_probs: left } = body({});
    assert.deepEqual([one, left], [1, true]);
    for (const [logprobs, expected] of [
      [0, 1],
      [5, 5],
    ] as const) {
      const { n_probs: many, post_sampling_probs: none } = body({}, PLAIN, { logprobs });
      assert.deepEqual([many, none], [expected, undefined]);
    }
  });

  it("come with their text", () => {
    const output = new Output();
    const request = { ...completionOf("x"), logprobs: 1 };
    const order = { tokens: 3, shape: { stop: ["END"], marks: null }, maxTokens: 9, request, grammar: null };
    const completion = new Completion(order, 100, { emit: (delta) => output.add(delta) });
    const said: readonly [content: string, tokens: number][] = [
      ["one", 1],
      ["🙂", 4],
      [" twEND", 5],
    ];
    for (const [content, tokens_predicted] of said) {
      const bytes = [...Buffer.from(content)];
      const top_logprobs = [
        { id: 2, token: "x", bytes: [120], logprob: -0.25 },
        { id: 3, token: "y", bytes: [121], logprob: -3 },
      ];
      const entry = { id: 1, token: content, bytes, logprob: -1, top_logprobs };
      completion.read(JSON.stringify({ content, tokens_predicted, stop: false, completion_probabilities: [entry] }));
    }
    assert.equal(completion.outcome().finishReason, "stop");
    const { text, logprobs } = contentOf(output.deltas);
    assert.equal(text, "one🙂 tw");
    assert.deepEqual(
      logprobs!.map(({ token, length, top }) => [token, length, top.map((other) => other.token).join()]),
      [
        ["one", 3, "x"],
        ["🙂", 2, "x"],
        [" twEND", 3, "x"],
      ],
    );
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
