/** What a request asks of a model and its engine, and how large it is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type ChatRequest,
  completionOf,
  factsOf,
  heapBytesOf,
  type Message,
  PLAIN_NEEDS,
  type Request,
  type Tool,
} from "../src/request.ts";

const SAMPLING = { maxTokens: 1, temperature: 0 };
const USER: Message = { role: "user", content: "é" };
const LOOK: Tool = { name: "look", parameters: { type: "object" } };
const CALL = { id: "call_1", name: "look", arguments: "{}" };

function chat(more: Partial<ChatRequest> = {}): ChatRequest {
  return { kind: "chat", messages: [USER], sampling: SAMPLING, ...more };
}

test("a request needs what it names, and a plain text needs nothing that is looked up", () => {
  const tools = { list: [LOOK], choice: "auto", parallel: true } as const;
  const schema = { kind: "schema", name: "a", schema: {}, strict: true } as const;
  const cases: readonly (readonly [Request, readonly string[]])[] = [
    [completionOf("a"), ["completion"]],
    [{ ...completionOf("a"), format: { kind: "json" } }, ["completion", "json_schema"]],
    [chat({ format: schema, logprobs: 0 }), ["chat", "json_schema", "logprobs"]],
    [chat({ tools }), ["chat", "tools"]],
    [chat({ messages: [USER, { role: "assistant", content: "", toolCalls: [CALL] }] }), ["chat", "tools"]],
    [chat({ messages: [USER, { role: "tool", content: "1", toolCallId: "call_1" }] }), ["chat"]],
  ];
  for (const [request, needs] of cases) assert.deepEqual(factsOf(request).needs, needs);
  assert.equal(factsOf(completionOf("a")).needs, PLAIN_NEEDS);
});

test("schemas, tools and calls are counted: the model reads them", () => {
  const schema = { kind: "schema", name: "a", schema: { type: "object" }, strict: true } as const;
  assert.equal(factsOf(chat()).size, 2);
  assert.equal(factsOf(chat({ format: schema })).size, 2 + '{"type":"object"}'.length);
  const tools = { list: [LOOK], choice: "auto", parallel: true } as const;
  assert.equal(factsOf(chat({ tools })).size, 2 + JSON.stringify([LOOK]).length);
  const called = chat({ messages: [USER, { role: "assistant", content: "", toolCalls: [CALL] }] });
  assert.equal(factsOf(called).size, 2 + "look{}".length);
  assert.ok(heapBytesOf(called, factsOf(called).size) > heapBytesOf(chat(), 2));
});

test("a schema that many tasks share is measured once", () => {
  let reads = 0;
  const properties = {
    get name(): object {
      reads++;
      return { type: "string" };
    },
  };
  const format = { kind: "schema", name: "a", schema: { properties }, strict: true } as const;
  const sizes = Array.from({ length: 9 }, (_, index) => {
    const request = { ...completionOf(`${index}`), format };
    return heapBytesOf(request, factsOf(request).size);
  });
  assert.deepEqual(new Set(sizes), new Set(['0{"properties":{"name":{"type":"string"}}}'.length]));
  assert.equal(reads, 1);
});
