import assert from "node:assert/strict";
import { test } from "node:test";
import { AltLasError } from "../src/errors.ts";
import { type ModelSource, parseSource, shortNameOf, sourceText } from "../src/models/source.ts";
import { TABLE, tableModel } from "../src/models/table.ts";

const hub = (repo: string, rest: Partial<Extract<ModelSource, { kind: "hub" }>> = {}): ModelSource => ({
  kind: "hub",
  repo,
  file: null,
  quantization: null,
  revision: null,
  ...rest,
});

/** Sources, what they mean, and the name that the model is served by. */
const READ: readonly (readonly [string, ModelSource, string])[] = [
  ["models/demo.gguf", { kind: "path", path: "models/demo.gguf" }, "demo"],
  ["demo.GGUF", { kind: "path", path: "demo.GGUF" }, "demo"],
  ["./smollm2-135m", { kind: "path", path: "./smollm2-135m" }, "smollm2-135m"],
  ["C:\\models\\my model.gguf", { kind: "path", path: "C:\\models\\my model.gguf" }, "my-model"],
  ["/big/Llama-70B-00001-of-00003.gguf", { kind: "path", path: "/big/Llama-70B-00001-of-00003.gguf" }, "Llama-70B"],
  ["smollm2-135m", { kind: "table", name: "smollm2-135m" }, "smollm2-135m"],
  ["hf:Qwen/Qwen3-4B-GGUF", hub("Qwen/Qwen3-4B-GGUF"), "qwen3-4b"],
  ["hf:Qwen/Qwen3-4B-GGUF:q8_0", hub("Qwen/Qwen3-4B-GGUF", { quantization: "q8_0" }), "qwen3-4b:q8_0"],
  ["hf:o/r:Q4_K_M@v1.2", hub("o/r", { quantization: "Q4_K_M", revision: "v1.2" }), "r:q4_k_m"],
  ["hf:o/r@refs/pr/7", hub("o/r", { revision: "refs/pr/7" }), "r"],
  ["hf:o/r/a.gguf", hub("o/r", { file: "a.gguf" }), "a"],
  ["hf:o/r/Q4/B-00001-of-00002.gguf@main", hub("o/r", { file: "Q4/B-00001-of-00002.gguf", revision: "main" }), "b"],
  ["https://example.org/m/A%20b.gguf?x=1#y", { kind: "url", url: "https://example.org/m/A%20b.gguf?x=1" }, "a-b"],
  ["https://example.org/", { kind: "url", url: "https://example.org/" }, "model"],
  ["http://127.0.0.1:8000/a.gguf", { kind: "url", url: "http://127.0.0.1:8000/a.gguf" }, "a"],
  // What people copy from the hub's own pages is found in the cache as well.
  ["https://huggingface.co/o/r/resolve/main/a.gguf?download=true", hub("o/r", { file: "a.gguf" }), "a"],
  ["https://huggingface.co/o/r/blob/v2/x/a.gguf", hub("o/r", { file: "x/a.gguf", revision: "v2" }), "a"],
];

for (const [text, source, name] of READ) {
  test(`${text} is understood as a source`, () => {
    assert.deepEqual(parseSource(text), source);
    assert.equal(shortNameOf(source), name);
    assert.deepEqual(parseSource(sourceText(source)), source);
  });
}

/** Texts that are no source, and a part of the sentence that says so. */
const REFUSED: readonly (readonly [string, RegExp])[] = [
  ["", /is no source/],
  [" a.gguf", /is no source/],
  ["a\n.gguf", /is no source/],
  ["gpt-4", /is no name of the table, which has smollm2-135m, /],
  ["ftp://example.org/a.gguf", /scheme/],
  ["file:///a.gguf", /scheme/],
  ["http://example.org/a.gguf", /not encrypted/],
  ["https://", /malformed URL/],
  ["https://user:secret@example.org/a.gguf", /password/],
  ["hf:", /repository/],
  ["hf:owner", /repository/],
  ["hf:../r", /repository/],
  ["hf:o/..", /repository/],
  ["hf:o/r/readme.md", /no GGUF/],
  ["hf:o/r/../../a.gguf", /outside/],
  ["hf:o/r//a.gguf", /outside/],
  ["hf:o/r/x\\..\\a.gguf", /outside/],
  ["hf:o/r:", /quantization/],
  ["hf:o/r:Q4:Q5", /quantization/],
  ["hf:o/r@", /revision/],
  ["hf:o/r@../../etc", /revision/],
  ["https://huggingface.co/o/r/resolve/main/..%2F..%2Fa.gguf", /outside/],
];

for (const [text, why] of REFUSED) {
  test(`${JSON.stringify(text)} is refused as a source, with what is allowed`, () => {
    assert.throws(
      () => parseSource(text),
      (error: AltLasError) => {
        assert.ok(error instanceof AltLasError);
        assert.equal(error.code, "invalid_input");
        assert.match(error.message, why);
        assert.match(error.message, /hf:<owner>\/<repo>\[:<quantization>\]/);
        assert.doesNotMatch(error.message, /secret/);
        return true;
      },
    );
  });
}

test("every model of the table has a name of its own, and a source that is one file of the hub", () => {
  const names = new Set(TABLE.models.map(({ name }) => name));
  assert.equal(names.size, TABLE.models.length);
  for (const { name, source, sha256, sizeBytes, memoryBytes, purpose } of TABLE.models) {
    const parsed = parseSource(source);
    assert.ok(parsed.kind === "hub" && parsed.file !== null, name);
    assert.match(sha256 ?? "0".repeat(64), /^[0-9a-f]{64}$/);
    assert.ok(memoryBytes > sizeBytes, name);
    assert.ok(purpose === "chat" || purpose === "embedding", name);
    assert.equal(tableModel(name)?.source, source);
  }
  assert.match(TABLE.date, /^\d{4}-\d\d-\d\d$/);
});
