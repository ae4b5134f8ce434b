/* What every store promises about forgetting a user (src/store/forget.ts). */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ForgetStep } from "../../src/store/forget.ts";
import type { Store } from "../../src/store/store.ts";
import { complete, type MakePlace, newTask, opened, run, storedSeqs } from "../helpers/store.ts";
import { idempotency, KEY, secret, SECRET } from "./records.ts";

type Sums = Omit<ForgetStep, "next">;

/** All steps. */
async function forgotten(store: Store, user: string, isAlone: boolean): Promise<Sums> {
  const sums = { tasks: 0, batches: 0, answers: 0, usageRows: 0 };
  for (let from: number | null = 0; from !== null;) {
    const { next, ...step }: ForgetStep = await store.forget({ user, from, isAlone });
    for (const [name, count] of Object.entries(step)) sums[name as keyof Sums] += count;
    from = next;
  }
  return sums;
}

async function completedBy({ usage }: Store): Promise<Record<string, number>> {
  const users = new Map<string, number>();
  for await (const part of usage.sums({ from: 0, to: 1e9, user: undefined, by: ["user"] }))
    for (const { user, completed } of part) users.set(String(user), (users.get(String(user)) ?? 0) + completed);
  return Object.fromEntries(users);
}

const NOTHING: Sums = { tasks: 0, batches: 0, answers: 0, usageRows: 0 };

export function exerciseForget(name: string, make: MakePlace): void {
  describe(name, () => {
    test("of a user tasks that have ended and answers go and sums are nameless; live tasks and others stay", async (t) => {
      const { store } = await opened(t, make);
      await store.save(
        [complete(run(newTask(1))), complete(run(newTask(2, { user: "bob" }))), newTask(3)],
        [idempotency(KEY), secret(SECRET)],
      );
      assert.deepEqual(await forgotten(store, "ada", false), { ...NOTHING, tasks: 1, answers: 1, usageRows: 1 });
      assert.deepEqual(await storedSeqs(store), [3, 2]);
      assert.equal(await store.idempotency.find("ada", KEY.key), null);
      assert.equal(await store.outbox.secret("ada"), null);
      assert.deepEqual(await completedBy(store), { "(forgotten)": 1, bob: 1 });
      assert.deepEqual(await forgotten(store, "ada", false), NOTHING);
    });

    test("sums of several that were forgotten are one, and none is lost", async (t) => {
      const { store } = await opened(t, make);
      await store.save(["ada", "bob", "eve"].map((user, index) => complete(run(newTask(index + 1, { user })))));
      for (const user of ["ada", "bob"]) assert.equal((await forgotten(store, user, false)).usageRows, 1);
      assert.deepEqual(await completedBy(store), { "(forgotten)": 2, eve: 1 });
    });

    test("without a server live tasks go, too, however many there are", async (t) => {
      const { store } = await opened(t, make);
      await store.save(Array.from({ length: 1201 }, (_, index) => newTask(index + 1)));
      await store.save([newTask(1202, { user: "bob" })]);
      assert.deepEqual(await forgotten(store, "ada", true), { ...NOTHING, tasks: 1201 });
      assert.deepEqual(await storedSeqs(store), [1202]);
    });
  });
}
