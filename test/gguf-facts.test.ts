import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import fc from "fast-check";
import { ggufFacts } from "../src/models/gguf-facts.ts";
import { LLAMA } from "./helpers/engines.ts";
import { float32, headOf, text, uint32, uint64, VALUE } from "./helpers/gguf.ts";
import { temporaryFolder } from "./helpers/http.ts";

async function factsOf(t: TestContext, content: Uint8Array) {
  const path = join(temporaryFolder(t), "model.gguf");
  await writeFile(path, content);
  return ggufFacts(path);
}

function pair(key: string, type: number, value: Buffer): Buffer {
  return Buffer.concat([text(key), uint32(type), value]);
}

test("the facts of a real file are read from its beginning", async () => {
  const facts = await ggufFacts(LLAMA.model);
  assert.equal(facts?.architecture, "llama");
  assert.ok(facts.trainContext! > 0);
});

const PAIRS = [
  pair("general.architecture", VALUE.string, text("llama")),
  pair("general.tags", VALUE.array, Buffer.concat([uint32(VALUE.string), uint64(2), text("a"), text("b")])),
  pair("a.list", VALUE.array, Buffer.concat([uint32(VALUE.float32), uint64(2), float32(1), float32(2)])),
  pair("a.flag", VALUE.bool, Buffer.from([1])),
  pair("general.size_label", VALUE.string, text("135M")),
  pair("llama.context_length", VALUE.uint32, uint32(2048)),
];

test("values of other types before them are passed over", async (t) => {
  assert.deepEqual(await factsOf(t, headOf(PAIRS, [])), {
    architecture: "llama",
    sizeLabel: "135M",
    trainContext: 2048,
  });
});

test("what lies behind a value that is cut off, or of no known type, is not known", async (t) => {
  const unknown = [PAIRS[0]!, pair("a.thing", 99, uint32(1)), ...PAIRS.slice(1)];
  const architecture = { architecture: "llama", sizeLabel: null, trainContext: null };
  assert.deepEqual(await factsOf(t, headOf(unknown, [])), architecture);
  const whole = headOf(PAIRS, []);
  assert.deepEqual(await factsOf(t, whole.subarray(0, 100)), architecture);
  const vast = pair("a.list", VALUE.array, Buffer.concat([uint32(VALUE.array), uint64(2 ** 52)]));
  assert.deepEqual(await factsOf(t, headOf([PAIRS[0]!, vast, ...PAIRS.slice(4)], [])), architecture);
});

test("a file that is none, or is not there, has no facts, and any bytes behind the beginning are harmless", async (t) => {
  assert.equal(await factsOf(t, Buffer.from("hello")), null);
  assert.equal(await ggufFacts(join(temporaryFolder(t), "none.gguf")), null);
  const path = join(temporaryFolder(t), "model.gguf");
  const start = Buffer.concat([Buffer.from("GGUF"), uint32(3), uint64(0)]);
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      await writeFile(path, Buffer.concat([start, bytes]));
      assert.notEqual(await ggufFacts(path), null);
    }),
    { numRuns: 50 },
  );
});
