/** The hub's cache, and the choice of a file in a repository. */
import assert from "node:assert/strict";
import { lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { copyFile, link } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { CachedRepository } from "../src/models/cached-repository.ts";
import { cacheFolder, endpointOf, tokenOf } from "../src/models/environment.ts";
import { findModel } from "../src/models/fetch.ts";
import { candidatesIn, chooseFrom } from "../src/models/quantization.ts";
import { parseSource } from "../src/models/source.ts";
import { COMMIT, gguf, sha256Of } from "./helpers/stand-in-hub.ts";

const HOME = "/home/somebody";
const SHA = "a".repeat(64);

function newFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "alt-las-cache-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

test("the cache is where Hugging Face's programs have it", () => {
  const places: readonly (readonly [NodeJS.ProcessEnv, string])[] = [
    [{}, "/home/somebody/.cache/huggingface/hub"],
    [{ XDG_CACHE_HOME: "/caches" }, "/caches/huggingface/hub"],
    [{ XDG_CACHE_HOME: "/caches", HF_HOME: "/hf" }, "/hf/hub"],
    [{ HF_HOME: "~/hf" }, "/home/somebody/hf/hub"],
    [{ HF_HOME: "/hf", HUGGINGFACE_HUB_CACHE: "/old" }, "/old"],
    [{ HF_HOME: "/hf", HUGGINGFACE_HUB_CACHE: "/old", HF_HUB_CACHE: "/new" }, "/new"],
    [{ HF_HUB_CACHE: "" }, "/home/somebody/.cache/huggingface/hub"],
  ];
  for (const [environment, folder] of places) assert.equal(cacheFolder({ HOME, ...environment }), folder);
  assert.equal(endpointOf({}), "https://huggingface.co");
  assert.equal(endpointOf({ HF_ENDPOINT: "https://mirror.example/hf/" }), "https://mirror.example/hf");
});

test("the key is that of the environment, else the stored one", async (t) => {
  const HF_HOME = newFolder(t);
  assert.equal(await tokenOf({ HF_HOME }), null);
  writeFileSync(join(HF_HOME, "token"), " hf_stored\n");
  writeFileSync(join(HF_HOME, "other"), "hf_other");
  assert.equal(await tokenOf({ HF_HOME }), "hf_stored");
  assert.equal(await tokenOf({ HF_HOME, HF_TOKEN_PATH: join(HF_HOME, "other") }), "hf_other");
  assert.equal(await tokenOf({ HF_HOME, HF_TOKEN: "hf_named" }), "hf_named");
});

async function refuse(): Promise<void> {
  throw Object.assign(new Error("refused"), { code: "EPERM" });
}

test("where symlinks are refused, a file gets its name by a hard link, else by a copy", async (t) => {
  const cache = newFolder(t);
  const repository = new CachedRepository(cache, "owner/repo");
  mkdirSync(repository.blobs, { recursive: true });
  const bytes = gguf("a", 1000);
  writeFileSync(repository.blob(SHA), bytes);
  for (const [name, linkers] of [
    ["linked.gguf", [refuse, link, copyFile]],
    ["copied.gguf", [refuse, refuse, copyFile]],
  ] as const) {
    await repository.name(COMMIT, name, SHA, linkers);
    // Again, as another process may.
    await repository.name(COMMIT, name, SHA, linkers);
    const path = repository.path(COMMIT, name);
    assert.deepEqual(readFileSync(path), bytes);
    assert.equal(lstatSync(path).isSymbolicLink(), false);
    const isSame = statSync(path).ino === statSync(repository.blob(SHA)).ino;
    assert.equal(isSame, name === "linked.gguf");
    const found = await findModel(parseSource(`hf:owner/repo/${name}@${COMMIT}`), { HF_HUB_CACHE: cache });
    assert.deepEqual(found?.files, [{ path, bytes: 1000, sha256: null }]);
  }
  assert.deepEqual((await repository.files(COMMIT)).toSorted(), ["copied.gguf", "linked.gguf"]);
});

test("a name whose content is gone or is no model is not found", async (t) => {
  const cache = newFolder(t);
  const repository = new CachedRepository(cache, "owner/repo");
  const find = () => findModel(parseSource("hf:owner/repo"), { HF_HUB_CACHE: cache });
  assert.equal(await find(), null);
  mkdirSync(repository.blobs, { recursive: true });
  const bytes = gguf("a", 1000);
  const sha256 = sha256Of(bytes);
  writeFileSync(repository.blob(sha256), bytes);
  await repository.name(COMMIT, "q4/model-Q4_0.gguf", sha256);
  assert.equal(await find(), null);
  await repository.note("main", COMMIT);
  assert.deepEqual((await find())?.files, [
    { path: repository.path(COMMIT, "q4/model-Q4_0.gguf"), bytes: 1000, sha256 },
  ]);
  writeFileSync(repository.blob(sha256), "an old page");
  assert.equal(await find(), null);
  rmSync(repository.blob(sha256));
  assert.equal(await find(), null);
});

test("a quantization is read from a file's name, else from its folder's", () => {
  const names = {
    "Llama-3.2-1B-Instruct-Q4_K_M.gguf": "Q4_K_M",
    "qwen2.5-0.5b-instruct-q8_0.gguf": "Q8_0",
    "nomic-embed-text-v1.5.f16.gguf": "F16",
    "model-UD-Q4_K_XL.gguf": "UD-Q4_K_XL",
    "gpt-oss-20b-mxfp4.gguf": "MXFP4",
    "m-IQ2_XXS.gguf": "IQ2_XXS",
    "BF16/model.gguf": "BF16",
    "model.gguf": null,
    // A name of a model that looks like one.
    "Q4-Q8_0.gguf": "Q8_0",
  };
  for (const [file, quantization] of Object.entries(names))
    assert.equal(candidatesIn([file])[0]?.quantization, quantization, file);
});

function choose(files: readonly string[], wanted: string | null = null): readonly string[] | undefined {
  return chooseFrom(candidatesIn(files), wanted)?.files;
}

test("of a repository the usual quantization is taken, and only whole models count", () => {
  const all = ["README.md", "m-Q8_0.gguf", "m-Q4_K_M.gguf", "mmproj-F16.gguf", "m.imatrix.gguf"];
  assert.deepEqual(choose(all), ["m-Q4_K_M.gguf"]);
  assert.deepEqual(choose(all, "q8_0"), ["m-Q8_0.gguf"]);
  assert.equal(choose(all, "Q2_K"), undefined);
  assert.deepEqual(choose(["m-F16.gguf", "m-Q8_0.gguf"]), ["m-Q8_0.gguf"]);
  assert.deepEqual(choose(["m-F16.gguf"]), ["m-F16.gguf"]);
  assert.deepEqual(choose(["b.gguf", "a.gguf"]), ["a.gguf"]);
  const parts = ["m-Q4_K_M-00001-of-00002.gguf", "m-Q4_K_M-00002-of-00002.gguf"];
  assert.deepEqual(choose(parts), parts);
  assert.deepEqual(choose([parts[0]!, "m-F16.gguf"]), ["m-F16.gguf"]);
});

test("names that say they are one of 99,999 parts do not count, however many there are", () => {
  const files = Array.from({ length: 20_000 }, (_, model) => `m${model}-00001-of-99999.gguf`);
  assert.deepEqual(candidatesIn([...files, "whole-Q8_0.gguf"]), [{ files: ["whole-Q8_0.gguf"], quantization: "Q8_0" }]);
});
