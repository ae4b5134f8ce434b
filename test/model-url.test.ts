/** Models of other servers than the hub: nobody tells their SHA-256. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream";
import { test } from "node:test";
import { AltLasError } from "../src/errors.ts";
import { cutAfter, etagOf, gguf, sha256Of, startHub } from "./helpers/stand-in-hub.ts";

const FILE = gguf("a model", 3_000_000);
const SHA = sha256Of(FILE);

const failed = (words: RegExp) => (error: AltLasError) => {
  assert.ok(error instanceof AltLasError, String(error));
  assert.equal(error.code, "model_fetch_failed");
  assert.match(error.message, words);
  return true;
};

test("a file of another server is fetched, resumed by its mark, and kept", async (t) => {
  const hub = await startHub(t, { "some model.gguf": FILE });
  const source = `${hub.storage}/some%20model.gguf?key=secret`;
  hub.faults.push(cutAfter(1_000_000));
  const { path, files } = await hub.fetch(source);
  assert.deepEqual(readFileSync(path), FILE);
  assert.match(path, /alt-las\/127\.0\.0\.1-[0-9a-f]{16}\/some-20model\.gguf$/);
  assert.equal(files[0]!.sha256, SHA);
  assert.equal(hub.downloads[1]!.headers["if-range"], etagOf(FILE));
  assert.equal((await hub.find(source))?.path, path);
  await hub.fetch(source);
  assert.equal(hub.downloads.length, 2);
  await assert.rejects(hub.fetch(`${hub.storage}/none.gguf?key=secret`), (error: Error) => {
    assert.ok(!error.message.includes("secret"));
    return failed(/answers 404/)(error as AltLasError);
  });
});

test("a file without a known hash whose version changed is fetched anew", async (t) => {
  const hub = await startHub(t, { "a.gguf": FILE });
  const newer = gguf("newer", 2_500_000);
  hub.faults.push((response, file) => {
    cutAfter(1_000_000)(response, file, 0);
    hub.files["a.gguf"] = newer;
  });
  assert.deepEqual(readFileSync((await hub.fetch(`${hub.storage}/a.gguf`)).path), newer);
});

test("a file with neither a mark nor a known hash begins anew after a cut", async (t) => {
  const hub = await startHub(t, { "a.gguf": FILE });
  const newer = gguf("newer", FILE.length);
  hub.faults.push((response, file) => {
    response.writeHead(200, { "content-length": file.length });
    response.write(file.subarray(0, 1_000_000), () => response.destroy());
    hub.files["a.gguf"] = newer;
  });
  assert.deepEqual(readFileSync((await hub.fetch(`${hub.storage}/a.gguf`)).path), newer);
  assert.equal(hub.downloads.at(-1)!.headers.range, undefined);
});

test("a disk that is too small for what a server announces is told before it is filled", async (t) => {
  const hub = await startHub(t, { "a.gguf": FILE });
  const limits = { roomIn: async () => 2 * 2 ** 20 };
  const words = /a\.gguf needs 2\.9 MiB of disk; 2\.0 MiB are free/;
  await assert.rejects(hub.fetch(`${hub.storage}/a.gguf`, { limits }), failed(words));
});

test("a server that tells no size and sends without end does not fill the disk", async (t) => {
  const hub = await startHub(t, { "a.gguf": FILE });
  hub.faults.push((response, file) => {
    response.writeHead(200);
    const always = function* () {
      for (;;) yield file;
    };
    pipeline(always, response, () => {});
  });
  const limits = { roomIn: async () => 100 * 2 ** 20 };
  const words = /a\.gguf needs 256\.0 MiB of disk; 100\.0 MiB are free/;
  await assert.rejects(hub.fetch(`${hub.storage}/a.gguf`, { limits }), failed(words));
});

test("a server's mark without its bytes is forgotten", async (t) => {
  const hub = await startHub(t, { "a.gguf": FILE });
  await hub.fetch(`${hub.storage}/a.gguf`);
  const [key] = readdirSync(join(hub.folder, "hub", "alt-las"));
  const path = join(hub.folder, "hub", "alt-las", key!, "a.gguf");
  rmSync(path);
  writeFileSync(`${path}.incomplete.etag`, etagOf(gguf("older", 10)));
  hub.faults.push(cutAfter(1_000_000));
  await hub.fetch(`${hub.storage}/a.gguf`);
  assert.equal(hub.downloads.at(-1)!.headers["if-range"], etagOf(FILE));
});
