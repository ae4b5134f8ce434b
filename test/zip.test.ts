/** Archives are written by a helper, and broken by hand. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { unpack, zipEntries } from "../src/common/zip.ts";
import { temporaryFolder } from "./helpers/http.ts";
import { zip } from "./helpers/zip.ts";

const LONG = Buffer.alloc(300_000, "a library ");
const FILES = [
  { name: "a/lib.so", content: LONG },
  { name: "a/stored.txt", content: "as it is", stored: true },
  { name: "a/empty", content: "", stored: true },
];

test("each file of an archive is listed with its size, and unpacked by itself", async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, "a.whl");
  writeFileSync(path, zip(FILES, "PK in a comment"));
  const entries = await zipEntries(path);
  assert.deepEqual(
    entries.map(({ name, bytes }) => [name, bytes]),
    [
      ["a/lib.so", LONG.length],
      ["a/stored.txt", 8],
      ["a/empty", 0],
    ],
  );
  for (const [index, entry] of entries.entries()) {
    const target = join(folder, String(index));
    await unpack(path, entry, target);
    assert.deepEqual(readFileSync(target), Buffer.from(FILES[index]!.content));
  }
});

test("what is damaged is refused, and leaves nothing under any name", async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, "a.whl");
  const bytes = zip(FILES);
  writeFileSync(path, bytes);
  const [packed, stored] = await zipEntries(path);
  const broken = Buffer.from(bytes);
  broken[stored!.offset + 30 + "a/stored.txt".length + 5]! ^= 1;
  writeFileSync(path, broken);
  const target = join(folder, "target");
  await assert.rejects(unpack(path, stored!, target), /^Error: a\/stored\.txt in .*a\.whl is damaged\.$/);
  await assert.rejects(unpack(path, { ...packed!, bytes: 10 }, target), /a\/lib\.so in .* is damaged/);
  await assert.rejects(unpack(path, { ...packed!, offset: 1 }, target), /damaged where a\/lib\.so begins/);
  await assert.rejects(unpack(path, { ...packed!, method: 12 }, target), /packed by method 12/);
  assert.deepEqual(readdirSync(folder), ["a.whl"]);
  assert.ok(!existsSync(target));
});

test("what is no archive, or half of one, says so", async (t) => {
  const path = join(temporaryFolder(t), "a.whl");
  const bytes = zip(FILES);
  for (const content of [
    Buffer.alloc(0),
    Buffer.from("no archive"),
    bytes.subarray(0, -1),
    bytes.subarray(0, bytes.length / 2),
  ]) {
    writeFileSync(path, content);
    await assert.rejects(zipEntries(path), /is no ZIP archive, or is cut off\.$/);
  }
  const list = Buffer.from(bytes);
  list.writeUInt16LE(9, bytes.length - 12);
  writeFileSync(path, list);
  await assert.rejects(zipEntries(path), /its list breaks off after 3 of 9 entries\.$/);
});
