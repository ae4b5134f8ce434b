/* What every store promises about answers that are given again (src/store/idempotency.ts). */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { cancel, type MakePlace, newTask, opened, storedSeqs, turn } from "../helpers/store.ts";
import { text, time } from "./arbitraries.ts";
import { idempotency, KEY, NOW } from "./records.ts";

/** @param name of the store @param make see `MakePlace` */
export function exerciseIdempotency(name: string, make: MakePlace): void {
  describe(name, () => {
    test("an answer comes back as it was, after a restart too, whatever becomes of its task", async (t) => {
      const world = await opened(t, make);
      const property = fc.asyncProperty(
        text(),
        text(),
        text(),
        text(),
        time(),
        async (user, key, fingerprint, answer, createdAt) => {
          const record = { user, key, fingerprint, answer, createdAt };
          await world.store.save([], [idempotency(record)]);
          assert.deepEqual(await world.store.idempotency.find(user, key), record);
        },
      );
      await fc.assert(property, { numRuns: 50 });
      const task = cancel(newTask(1));
      await world.store.save([task], [idempotency(KEY)]);
      await world.store.tasks.remove(task.id);
      assert.deepEqual(await (await world.restart()).store.idempotency.find("ada", "k"), KEY);
    });

    test("a key that was never used, or whose save was refused, has no answer", async (t) => {
      const { store } = await opened(t, make);
      assert.equal(await store.idempotency.find("ada", "k"), null);
      const old = newTask(1);
      await store.save([old]);
      const copy = newTask(2, { id: old.id });
      await assert.rejects(store.save([copy], [idempotency(KEY)]), { code: "store_unavailable" });
      assert.equal(await store.idempotency.find("ada", "k"), null);
    });

    test("an idempotency key belongs to its user, and a newer record takes the place of an older one", async (t) => {
      const world = await opened(t, make);
      const newer = { ...KEY, fingerprint: "g", createdAt: NOW + 1 };
      await world.store.save([], [idempotency(KEY), idempotency({ ...KEY, user: "bob" })]);
      await world.store.save([], [idempotency(newer)]);
      const { store } = await world.restart();
      assert.deepEqual(await store.idempotency.find("ada", "k"), newer);
      assert.deepEqual(await store.idempotency.find("bob", "k"), { ...KEY, user: "bob" });
      assert.equal(await store.idempotency.find("ada", "K"), null);
    });

    test("a sweep removes idempotency keys that are too old, in small steps, and no others", async (t) => {
      const { store } = await opened(t, make);
      const records = Array.from({ length: 2000 }, (_, index) => ({ ...KEY, key: `${index}`, createdAt: NOW + index }));
      await store.save([newTask(1)], records.toReversed().map(idempotency));
      let steps = 1;
      for (; await store.sweep({ endedBefore: NOW * 2, maxEnded: 0, keysBefore: NOW + 1990, usageBefore: 0 }); steps++)
        await turn();
      assert.ok(steps > 2, `${steps} steps`);
      assert.equal(await store.idempotency.find("ada", "1989"), null);
      assert.deepEqual(await store.idempotency.find("ada", "1990"), records[1990]);
      assert.deepEqual(await storedSeqs(store), [1]);
    });
  });
}
