/* What every place for the bytes of files promises (src/store/file-bytes.ts). */
import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { describe, test, type TestContext } from "node:test";
import fc from "fast-check";
import type { FileBytes } from "../../src/store/file-bytes.ts";

/** Makes a place that is empty. Each call of what it returns makes another over the same, as a next start does. */
export type MakeBytes = (t: TestContext) => Promise<() => Promise<FileBytes>>;

const MIB = 2 ** 20;

async function keep(bytes: FileBytes, chunks: readonly Buffer[], id: string = randomUUID()): Promise<string> {
  const incoming = await bytes.receive();
  for (const chunk of chunks) await incoming.write(chunk);
  await incoming.whole();
  await incoming.moveTo(id);
  await incoming.end();
  return id;
}

async function read(bytes: FileBytes, id: string, from = 0): Promise<Buffer> {
  const kept = await bytes.open(id);
  assert.ok(kept !== null);
  return buffer(kept.stream(from));
}

/** @param name of the place */
export function exerciseFileBytes(name: string, make: MakeBytes): void {
  describe(name, () => {
    test("bytes come back as they were, however they came, and from any of them on", async (t) => {
      const bytes = await (await make(t))();
      const sizes = fc.constantFrom(0, 1, 2, 1000, MIB - 1, MIB, MIB + 1, 2 * MIB, 2 * MIB + 7);
      const property = fc.asyncProperty(
        fc.array(sizes, { maxLength: 4 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (chunks, part) => {
          const content = chunks.map((size) => randomBytes(size));
          const all = Buffer.concat(content);
          const id = await keep(bytes, content);
          assert.equal(await bytes.size(id), all.length);
          assert.equal((await bytes.open(id).then((kept) => kept!.close().then(() => kept)))!.size, all.length);
          assert.ok(all.equals(await read(bytes, id)));
          const from = Math.floor(part * all.length);
          assert.ok(all.subarray(from).equals(await read(bytes, id, from)));
          await bytes.remove(id);
        },
      );
      await fc.assert(property, { numRuns: 15 });
    });

    test("bytes are there after a restart, and what was on its way is named", async (t) => {
      const open = await make(t);
      const first = await open();
      const id = await keep(first, [Buffer.from("whole")]);
      const partial = await first.receive();
      await partial.write(Buffer.alloc(MIB));
      const next = await open();
      assert.equal((await read(next, id)).toString(), "whole");
      const names = await next.names();
      assert.ok(names.delete(id));
      assert.equal(names.size, 1);
      for (const one of names) await next.remove(one);
      assert.deepEqual(await next.names(), new Set([id]));
      await partial.end();
    });

    test("bytes that are given up leave nothing, and ending them again is harmless", async (t) => {
      const bytes = await (await make(t))();
      const incoming = await bytes.receive();
      await incoming.write(Buffer.alloc(MIB + 1));
      await incoming.end();
      await incoming.end();
      const whole = await bytes.receive();
      await whole.write(Buffer.from("x"));
      await whole.whole();
      await whole.end();
      assert.deepEqual(await bytes.names(), new Set());
    });

    test("what gets an id takes the place of what had it", async (t) => {
      const bytes = await (await make(t))();
      const id = await keep(bytes, [Buffer.alloc(2 * MIB + 5, "long")]);
      await keep(bytes, [Buffer.from("short")], id);
      assert.equal((await read(bytes, id)).toString(), "short");
      assert.deepEqual(await bytes.names(), new Set([id]));
    });

    test("what is removed, and what never was, is not there", async (t) => {
      const bytes = await (await make(t))();
      const id = await keep(bytes, [Buffer.from("gone")]);
      await bytes.remove(id);
      await bytes.remove(id);
      for (const one of [id, randomUUID()])
        assert.deepEqual([await bytes.open(one), await bytes.size(one)], [null, null]);
      assert.deepEqual(await bytes.names(), new Set());
    });
  });
}
