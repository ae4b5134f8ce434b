/* What every store promises about files (src/store/files.ts). */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { FileFilter, FileRecord, FileStore, StoredFile } from "../../src/store/files.ts";
import { type MakePlace, opened } from "../helpers/store.ts";
import { anyId, maybe, plain, text, time } from "./arbitraries.ts";
import { FILE, NOW } from "./records.ts";

const ALL: FileFilter = { user: undefined, purpose: undefined, order: "desc", after: undefined, limit: 100 };
const NOTHING_DUE = { keptBefore: 0, now: 0, gap: null };

/** @param name of the store @param make see `MakePlace` */
export function exerciseFiles(name: string, make: MakePlace): void {
  describe(name, () => {
    test("a file comes back as it was, after a restart too", async (t) => {
      const world = await opened(t, make);
      const files = plain<StoredFile>({
        id: anyId(),
        user: text(),
        team: maybe(text()),
        purpose: text(),
        filename: anyId(),
        bytes: fc.nat(2 ** 31),
        sha256: text(),
        createdAt: time(),
        keptFrom: time(),
        lifetime: maybe(fc.nat(2 ** 40)),
      });
      const made: StoredFile[] = [];
      const property = fc.asyncProperty(files, async (one) => {
        await world.store.save([], [file(one)]);
        made.push(one);
        assert.deepEqual(await world.store.files.find(one.id), one);
        assert.deepEqual(await world.store.files.same(one), one);
      });
      await fc.assert(property, { numRuns: 30 });
      const { store } = await world.restart();
      for (const one of made) assert.deepEqual(await store.files.find(one.id), one);
      assert.equal(await store.files.find("none"), null);
    });

    test("of a stored file its lifetime and its team alone change", async (t) => {
      const { store } = await opened(t, make);
      await store.save([], [file(FILE)]);
      const renewed = { ...FILE, keptFrom: NOW + 5, lifetime: 9, team: "sales" };
      await store.save([], [file({ ...renewed, bytes: 99, purpose: "vision" })]);
      assert.deepEqual(await store.files.find(FILE.id), renewed);
    });

    test("there is one file of a user with the same bytes, purpose and name", async (t) => {
      const { store } = await opened(t, make);
      await store.save([], [file(FILE)]);
      await assert.rejects(store.save([], [file({ ...FILE, id: "again" })]), { code: "store_unavailable" });
      const others = [{ user: "bob" }, { purpose: "vision" }, { filename: "other" }, { sha256: "01" }];
      for (const [index, one] of others.entries()) {
        const other = { ...FILE, ...one, id: `${index}` };
        assert.equal(await store.files.same(other), null);
        await store.save([], [file(other)]);
      }
      assert.deepEqual(await store.files.same(FILE), FILE);
      assert.equal((await store.files.list(ALL)).length, 5);
    });

    test("a list has what matches in the order of time and id, and goes on behind any place", async (t) => {
      const { store } = await opened(t, make);
      const all = [3, 1, 2, 2, 9].map((at, index) => ({
        ...FILE,
        id: `${index}`,
        filename: `${index}`,
        createdAt: NOW + at,
        user: index === 4 ? "bob" : "ada",
        team: [null, "sales", null, "sales", "sales"][index]!,
        purpose: index === 1 ? "vision" : "batch",
      }));
      await store.save([], all.map(file));
      const ids = async (filter: Partial<FileFilter>): Promise<string> =>
        (await store.files.list({ ...ALL, ...filter })).map(({ id }) => id).join("");
      assert.equal(await ids({}), "40321");
      assert.equal(await ids({ order: "asc" }), "12304");
      assert.equal(await ids({ user: "ada" }), "0321");
      assert.equal(await ids({ purpose: "batch", order: "asc" }), "2304");
      assert.equal(await ids({ user: "ada", purpose: "vision" }), "1");
      assert.equal(await ids({ team: "sales" }), "431");
      assert.equal(await ids({ team: "sales", user: "ada", order: "asc" }), "13");
      assert.equal(await ids({ team: "sales", purpose: "batch" }), "43");
      assert.equal(await ids({ team: "none" }), "");
      assert.equal(await ids({ limit: 2 }), "40");
      const after = { createdAt: NOW + 2, id: "3" };
      await store.files.remove("3");
      assert.equal(await ids({ after }), "21");
      assert.equal(await ids({ after, order: "asc" }), "04");
      assert.equal(await ids({ after, user: "ada", purpose: "batch" }), "2");
      assert.equal(await ids({ after, team: "sales" }), "1");
    });

    test("a file that is held stays until every holder has released it, after a restart too", async (t) => {
      const world = await opened(t, make);
      await world.store.save([], [file(FILE), hold("b1"), hold("b2"), hold("b2")]);
      const old = { ...NOTHING_DUE, keptBefore: NOW + 1 };
      assert.equal(await world.store.files.remove(FILE.id), "held");
      await world.store.save([], [release("b1"), release("never")]);
      const { store } = await world.restart();
      assert.equal(await store.files.remove(FILE.id), "held");
      assert.deepEqual(await store.files.due(old, 9), []);
      await store.save([], [release("b2")]);
      assert.deepEqual(await store.files.due(old, 9), [FILE]);
      assert.equal(await store.files.remove(FILE.id), "removed");
      assert.equal(await store.files.remove(FILE.id), "absent");
    });

    test("what needs a file that is not there is not written", async (t) => {
      const { store } = await opened(t, make);
      await assert.rejects(store.save([], [file({ ...FILE, id: "other" }), hold("b")]), { code: "store_unavailable" });
      assert.deepEqual(await store.files.list(ALL), []);
    });

    test("due is what was kept for longer than its own lifetime, or than tasks are", async (t) => {
      const { store } = await opened(t, make);
      const make9 = Array.from({ length: 9 }, (_, index) => ({
        ...FILE,
        id: `${index}`,
        filename: `${index}`,
        keptFrom: NOW + index,
        lifetime: index % 2 === 0 ? null : 100,
      }));
      await store.save([], make9.map(file));
      const due = async (limits: Partial<Parameters<FileStore["due"]>[0]>, limit = 100): Promise<string> =>
        (await store.files.due({ ...NOTHING_DUE, ...limits }, limit)).map(({ id }) => id).join("");
      assert.equal(await due({}), "");
      assert.equal(await due({ keptBefore: NOW + 4 }), "02");
      assert.equal(await due({ now: NOW + 104 }), "13");
      assert.equal(await due({ keptBefore: NOW + 4, now: NOW + 104 }, 3), "021");
      // Those of before the gap are so much older.
      assert.equal(await due({ now: NOW + 4, gap: { until: NOW + 4, milliseconds: 100 } }), "13");
      assert.equal(await due({ now: NOW + 4, gap: { until: NOW + 3, milliseconds: 100 } }), "1");
      assert.equal(await due({ now: NOW + 2, gap: { until: NOW + 9, milliseconds: 100 } }), "1");
    });

    test("the files and bytes of each user, and all ids in their order", async (t) => {
      const { store } = await opened(t, make);
      assert.deepEqual(await store.files.totals(), []);
      const all = ["c", "a", "d", "b"].map((id, index) => ({
        ...FILE,
        id,
        filename: id,
        bytes: 2 ** index,
        user: index === 3 ? "bob" : "ada",
      }));
      await store.save([], all.map(file));
      assert.deepEqual(await store.files.totals(), [
        { user: "ada", files: 3, bytes: 7 },
        { user: "bob", files: 1, bytes: 8 },
      ]);
      assert.deepEqual(await store.files.ids("", 3), ["a", "b", "c"]);
      assert.deepEqual(await store.files.ids("c", 3), ["d"]);
    });
  });
}

function file(one: StoredFile): FileRecord {
  return { kind: "file", file: one };
}

function hold(holder: string): FileRecord {
  return { kind: "file_hold", id: FILE.id, holder };
}

function release(holder: string): FileRecord {
  return { kind: "file_release", id: FILE.id, holder };
}
