/* What every store promises about webhooks (src/store/outbox.ts). */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type Delivery, type OutboxRecord, type WebhookEndpoint, type WebhookSecret } from "../../src/store/outbox.ts";
import { type MakePlace, newDelivery, newTask, opened, storedSeqs } from "../helpers/store.ts";
import { anyId, maybe, text, time } from "./arbitraries.ts";
import { ENDPOINT, event, NOW, secret, SECRET } from "./records.ts";
import { BATCH_EVENTS } from "../../src/task.ts";

/** @param name of the store @param make see `MakePlace` */
export function exerciseOutbox(name: string, make: MakePlace): void {
  describe(name, () => {
    test("what is written comes back, whether alone or with tasks, also after a restart", async (t) => {
      const world = await opened(t, make);
      const [first, second] = [newDelivery("1"), newDelivery("2")];
      await world.store.outbox.write([event(first), secret(SECRET)]);
      await world.store.save([newTask(2)], [event(second)]);
      for (const restarted of [false, true]) {
        const { outbox } = restarted ? (await world.restart()).store : world.store;
        assert.deepEqual(await outbox.deliveriesOf("1"), [first]);
        assert.deepEqual(await outbox.deliveriesOf("2"), [second]);
        assert.deepEqual(await outbox.secret("ada"), SECRET);
      }
    });

    test("what is written alone takes effect in its order among the saves, or is refused with nothing written", async (t) => {
      const { store } = await opened(t, make);
      const old = newTask(1);
      await store.save([old]);
      const delivery = newDelivery("1");
      const outcomes = await Promise.allSettled([
        store.outbox.write([secret({ ...SECRET, secret: "first" })]),
        store.save([newTask(2)], [secret({ ...SECRET, secret: "second" }), event(delivery)]),
        store.save([newTask(3, { id: old.id })]),
        store.outbox.write([{ kind: "delivery", delivery: { ...delivery, status: "delivered" } }]),
        store.outbox.write([secret({ ...SECRET, secret: "last" })]),
      ]);
      assert.deepEqual(
        outcomes.map((outcome) => outcome.status),
        ["fulfilled", "fulfilled", "rejected", "fulfilled", "fulfilled"],
      );
      assert.equal((await store.outbox.secret("ada"))?.secret, "last");
      assert.equal((await store.outbox.deliveriesOf("1"))[0]?.status, "delivered");
      await store.close();
      await assert.rejects(store.outbox.write([secret(SECRET)]), { code: "store_unavailable" });
    });

    test("every field comes back as it was", async (t) => {
      const { outbox } = (await opened(t, make)).store;
      const property = fc.asyncProperty(anyDelivery(), anySecret(), async (delivery, signing) => {
        await outbox.write([event(delivery), secret(signing)]);
        assert.deepEqual(await outbox.deliveriesOf(delivery.subject), [delivery]);
        assert.deepEqual(await outbox.secret(signing.user), signing);
      });
      await fc.assert(property, { numRuns: 50 });
    });

    test("endpoints keep their last state until they work, each user's its own", async (t) => {
      const world = await opened(t, make);
      const ofZoe = { ...ENDPOINT, user: "zoe", pausedAt: null, failingSince: NOW - 0.5 };
      const [other, origin] = [{ ...ENDPOINT, origin: "http://127.0.0.1:99" }, ENDPOINT.origin];
      await world.store.save([newTask(1)], [endpoint({ ...ENDPOINT, pausedAt: null }), endpoint(ofZoe)]);
      await world.store.outbox.write([
        endpoint(ENDPOINT),
        { kind: "endpoint_works", user: "zoe", origin },
        { kind: "endpoint_works", user: "bob", origin },
        endpoint(other),
        endpoint(ofZoe),
      ]);
      const stored = [ofZoe, other, ENDPOINT];
      assert.deepEqual(await world.store.outbox.endpoints(), stored);
      const { outbox } = (await world.restart()).store;
      assert.deepEqual(await outbox.endpoints(), stored);
      await outbox.write([{ kind: "endpoint_works", user: "ada", origin }]);
      assert.deepEqual(await outbox.endpoints(), [ofZoe, other]);
    });

    test("what is not there is null or empty", async (t) => {
      const { outbox } = (await opened(t, make)).store;
      assert.deepEqual(await outbox.pendingDeliveries(10), []);
      assert.deepEqual(await outbox.deliveriesOf("b"), []);
      assert.equal(await outbox.secret("ada"), null);
      assert.deepEqual(await outbox.endpoints(), []);
    });

    test("an event that is saved again is stored once, as it was first", async (t) => {
      const { store } = await opened(t, make);
      const delivery = newDelivery("1");
      await store.save([newTask(1)], [event(delivery)]);
      const again = { ...delivery, body: "other" };
      await store.save([newTask(2)], [event(again), event(again)]);
      assert.deepEqual(await store.outbox.deliveriesOf("1"), [delivery]);
      assert.deepEqual(await storedSeqs(store), [2, 1]);
    });

    test("a delivery changes its status, its next time and its attempts; one that is not there stays so", async (t) => {
      const { store } = await opened(t, make);
      const delivery = newDelivery("1");
      const attempts = [{ at: NOW, status: 503, error: null, duration: 12.5 }];
      const changed: Delivery = { ...delivery, status: "failed", nextAt: NOW + 5, attempts, body: "not written" };
      await store.outbox.write([event(delivery)]);
      await store.outbox.write([
        { kind: "delivery", delivery: changed },
        { kind: "delivery", delivery: newDelivery("2") },
      ]);
      assert.deepEqual(await store.outbox.deliveriesOf("1"), [{ ...changed, body: delivery.body }]);
      assert.deepEqual(await store.outbox.deliveriesOf("2"), []);
    });

    test("pending deliveries come by their next time, those of a subject by their age", async (t) => {
      const { store } = await opened(t, make);
      const deliveries = [
        newDelivery("1", { id: "a", nextAt: NOW + 3, createdAt: NOW + 1 }),
        newDelivery("1", { id: "b", nextAt: NOW + 1, createdAt: NOW + 2 }),
        newDelivery("1", { id: "c", nextAt: NOW, status: "delivered", createdAt: NOW }),
        newDelivery("2", { id: "d", nextAt: NOW + 2 }),
      ];
      await store.outbox.write(deliveries.map(event));
      assert.equal(idsOf(await store.outbox.pendingDeliveries(10)), "bda");
      assert.equal(idsOf(await store.outbox.pendingDeliveries(2)), "bd");
      assert.equal(await store.outbox.countPending(10), 3);
      assert.equal(await store.outbox.countPending(2), 2);
      const { user } = deliveries.find(({ status }) => status === "pending")!;
      const own = deliveries.filter((one) => one.status === "pending" && one.user === user).length;
      assert.deepEqual(
        [await store.outbox.countPending(10, user), await store.outbox.countPending(10, "nobody")],
        [own, 0],
      );
      assert.equal(idsOf(await store.outbox.deliveriesOf("1")), "cab");
    });

    test("pending deliveries are read by user: many of one hide none of another", async (t) => {
      const { store } = await opened(t, make);
      const many = Array.from({ length: 50 }, (_, index) =>
        newDelivery("1", { id: `${index}`, user: "mallory", nextAt: NOW + index }),
      );
      const others = ["ada", "zoe"].map((user) => newDelivery("1", { id: user, user, nextAt: NOW + 99 }));
      const told = newDelivery("1", { id: "told", user: "bob", status: "delivered" });
      await store.outbox.write([...many, ...others, told].map(event));
      assert.deepEqual(
        (await store.outbox.pendingDeliveries(3)).map(({ id }) => id),
        ["0", "1", "2", "ada", "zoe"],
      );
    });
  });
}

function endpoint(of: WebhookEndpoint): OutboxRecord {
  return { kind: "endpoint", endpoint: of };
}

function idsOf(deliveries: readonly Delivery[]): string {
  return deliveries.map((delivery) => delivery.id).join("");
}

function anyDelivery(): fc.Arbitrary<Delivery> {
  const attempt = fc.record(
    {
      at: time(),
      status: maybe(fc.nat(999)),
      error: maybe(text()),
      duration: fc.nat(10_000),
    },
    { noNullPrototype: true },
  );
  return fc.record(
    {
      id: anyId(),
      subject: anyId(),
      user: text(),
      event: fc.constantFrom(...BATCH_EVENTS),
      url: text(),
      body: text(),
      createdAt: time(),
      status: fc.constantFrom("pending", "delivered", "failed"),
      nextAt: time(),
      attempts: fc.array(attempt, { maxLength: 4 }),
    },
    { noNullPrototype: true },
  );
}

function anySecret(): fc.Arbitrary<WebhookSecret> {
  return fc.record(
    {
      user: text(),
      secret: text(),
      previous: maybe(text()),
      previousUntil: maybe(time()),
      createdAt: time(),
      shown: fc.boolean(),
    },
    { noNullPrototype: true },
  );
}
