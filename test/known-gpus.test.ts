/** The file that keeps GPUs' numbers and drains over restarts. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { KnownGpus } from "../src/gpu/inventory/known-gpus.ts";

function dataDir(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "alt-las-known-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

function gpu(uuid: string, pciBusId: string) {
  return { uuid, pciBusId, name: `Card ${uuid}` };
}

const A = gpu("GPU-a", "0000:01:00.0");
const B = gpu("GPU-b", "0000:02:00.0");
const C = gpu("GPU-c", "0000:03:00.0");

test("GPUs get the next numbers in the order they come, and keep them over restarts wherever they stand", (t) => {
  const folder = dataDir(t);
  KnownGpus.open(folder).remember([B, C]);
  const later = KnownGpus.open(folder);
  later.remember([A, C, B]);
  assert.deepEqual(
    KnownGpus.open(folder).all.map(({ uuid, number }) => [uuid, number]),
    [
      ["GPU-b", 0],
      ["GPU-c", 1],
      ["GPU-a", 2],
    ],
  );
});

test("a number is not given again while the GPU that had it is remembered", (t) => {
  const folder = dataDir(t);
  KnownGpus.open(folder).remember([A, B]);
  const known = KnownGpus.open(folder);
  known.remember([B, C]);
  assert.deepEqual([known.numberOf("GPU-a"), known.numberOf("GPU-c"), known.numberOf("GPU-d")], [0, 2, undefined]);
});

test("a GPU that moved to another slot, or has another name now, is remembered as it is now", (t) => {
  const known = KnownGpus.open(dataDir(t));
  known.remember([A]);
  known.remember([{ ...A, pciBusId: "0000:09:00.0", name: "Renamed" }]);
  assert.deepEqual(known.all, [{ uuid: "GPU-a", number: 0, name: "Renamed", pciBusId: "0000:09:00.0" }]);
});

test("a drain survives a restart until the device is put back", (t) => {
  const folder = dataDir(t);
  KnownGpus.open(folder).setDrained("CPU-0", { by: "ada", at: 1_700_000_000_000 });
  const second = KnownGpus.open(folder);
  assert.deepEqual([second.isDrained("CPU-0"), second.isDrained("CPU-1")], [true, false]);
  second.setDrained("CPU-0", null);
  assert.equal(KnownGpus.open(folder).isDrained("CPU-0"), false);
});

test("the file is the owner's alone, says who drained what, and nothing else is left beside it", (t) => {
  const folder = dataDir(t);
  const known = KnownGpus.open(folder);
  known.remember([A]);
  known.setDrained("GPU-a", { by: "ada", at: 5 });
  assert.deepEqual(readdirSync(folder), ["gpus.json"]);
  assert.deepEqual(JSON.parse(readFileSync(join(folder, "gpus.json"), "utf8")), {
    version: 1,
    gpus: [{ uuid: "GPU-a", number: 0, name: "Card GPU-a", pci_bus_id: "0000:01:00.0" }],
    drained: [{ device: "GPU-a", by: "ada", at: 5 }],
  });
  if (process.platform !== "win32") assert.equal(statSync(join(folder, "gpus.json")).mode & 0o777, 0o600);
});

test("nothing is written when nothing changes", (t) => {
  const folder = dataDir(t);
  const known = KnownGpus.open(folder);
  known.remember([]);
  known.setDrained("CPU-0", null);
  assert.deepEqual(readdirSync(folder), []);
  known.remember([A]);
  rmSync(join(folder, "gpus.json"));
  known.remember([A]);
  assert.deepEqual(readdirSync(folder), []);
});

const ENTRY = '{"uuid":"GPU-a","number":0,"name":"a","pci_bus_id":"x"}';
const BROKEN: readonly (readonly [string, string, RegExp])[] = [
  ["is cut short", '{"version":1,"gp', /gpus\.json is damaged: it is not JSON\. Put a copy back, or remove it\.$/],
  [
    "is of a later version",
    '{"version":2,"gpus":[],"drained":[]}',
    /gpus\.json: version must be 1; another version of ALT_LAS may have written the file; got 2\.$/,
  ],
  [
    "holds something else",
    '{"version":1,"gpus":[{"uuid":"GPU-a","number":-1,"name":"a","pci_bus_id":"x"}],"drained":[]}',
    /gpus\.json: gpus\[0\]\.number must be an integer of at least 0; got -1\.$/,
  ],
  [
    "gives a number twice",
    `{"version":1,"gpus":[${ENTRY},${ENTRY.replace("GPU-a", "GPU-b")}],"drained":[]}`,
    /gpus\.json is damaged: the number 0 stands there twice\.$/,
  ],
];

for (const [what, text, sentence] of BROKEN) {
  test(`a file that ${what} stops the start and is left as it is, because other numbers would be worse`, (t) => {
    const folder = dataDir(t);
    writeFileSync(join(folder, "gpus.json"), text);
    assert.throws(() => KnownGpus.open(folder), { code: "bad_config", message: sentence });
    assert.equal(readFileSync(join(folder, "gpus.json"), "utf8"), text);
  });
}
