/** Who is asked how many tokens a prompt has, and what becomes of questions that nobody answers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AltLasError } from "../src/errors.ts";
import { countTokens } from "../src/gpu/token-count.ts";
import { type ToWorker } from "../src/gpu/worker/messages.ts";
import { TokenCounts } from "../src/gpu/worker/token-counts.ts";
import { type EngineInfo } from "../src/engine/engine.ts";
import { chatOf } from "./helpers/asking.ts";

const REQUEST = chatOf("Hello");

/** A worker's questions, and what was sent of them. */
function counts() {
  const sent: ToWorker[] = [];
  return { sent, counts: new TokenCounts((message) => sent.push(message)) };
}

test("questions are answered in any order, each with its own number or failure", async () => {
  const { sent, counts: all } = counts();
  const [first, second, third, fourth] = [1, 2, 3, 4].map(() => all.ask(REQUEST));
  assert.deepEqual(
    sent.map((message) => message.type === "count" && message.question),
    [1, 2, 3, 4],
  );
  all.answered({ type: "counted", question: 2, tokens: 7 });
  all.answered({ type: "counted", question: 1, tokens: null });
  const refused = { code: "invalid_input", sentence: "The chat template refuses it." } as const;
  all.answered({ type: "counted", question: 3, tokens: null, failure: refused });
  all.answered({ type: "counted", question: 4, tokens: null, failure: { code: "gpu_lost", sentence: "It is gone." } });
  assert.deepEqual([await first, await second, await fourth], [null, 7, null]);
  await assert.rejects(third!, (error) => error instanceof AltLasError && error.code === "invalid_input");
});

test("a worker that ends leaves no question open, and is asked none", async () => {
  const { sent, counts: all } = counts();
  const open = all.ask(REQUEST);
  all.end();
  assert.deepEqual([await open, await all.ask(REQUEST), sent.length], [null, null, 1]);
});

function instance(modelName: string, tasks: number, tokens: number | null, can = "chat", isLoaded = true) {
  const info = { capabilities: [can] } as unknown as EngineInfo;
  return { modelName, tasks, info, isLoaded, countTokens: async () => tokens };
}

test("the worker that has the least to do is asked, of those that have the model and can tell", async () => {
  const all = [
    instance("a", 3, 1),
    instance("a", 0, null),
    instance("a", 0, 2, "embedding"),
    instance("a", 0, 3, "chat", false),
    instance("a", 2, 4),
    instance("b", 0, 5),
  ];
  assert.equal(await countTokens(all, REQUEST, "a"), 4);
  assert.equal(await countTokens(all, REQUEST, "b"), 5);
  assert.equal(await countTokens(all, REQUEST, null), 5);
  assert.equal(await countTokens(all, REQUEST, "c"), null);
});
