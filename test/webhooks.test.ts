/** That no webhook is lost, whatever happens to the server, the store and the receivers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { unset } from "../src/common/clock.ts";
import { Destinations } from "../src/webhooks/destinations.ts";
import { Endpoints } from "../src/webhooks/endpoints.ts";
import { Deliverer } from "../src/webhooks/deliverer.ts";
import { Secrets } from "../src/webhooks/secrets.ts";
import { aDelivery, DAY, LATER, localhost, Receiver, silence, status, TIMING, World } from "./helpers/webhook-world.ts";

test("a restart goes on with what was pending", async (t) => {
  const world = new World(t, { timing: LATER });
  const receiver = await Receiver.start(t);
  receiver.answers = [status(503), status(200)];
  world.webhooks.start();
  await world.happen("a", receiver.url());
  await world.store.tried("a", 1);
  await world.webhooks.stop();
  await world.happen("b", receiver.url());
  world.now += DAY;
  world.restart();
  await Promise.all([world.store.is("a", "delivered"), world.store.is("b", "delivered")]);
  assert.deepEqual(
    world.store.of("a").attempts.map((attempt) => attempt.status),
    [503, 200],
  );
  await world.webhooks.stop();
});

test("a stop cuts what is being sent, which counts as not tried, and is sent after the next start", async (t) => {
  const world = new World(t);
  const receiver = await Receiver.start(t);
  receiver.answers = [silence, silence, status(200)];
  world.webhooks.start();
  await Promise.all([world.happen("a", receiver.url()), world.happen("b", receiver.url())]);
  await receiver.got(2);
  await world.webhooks.stop();
  await world.webhooks.stop();
  await receiver.until(() => receiver.open === 0);
  for (const subject of ["a", "b"]) {
    const { status: state, attempts } = world.store.of(subject);
    assert.deepEqual([state, attempts], ["pending", []]);
  }
  world.webhooks.wake();
  world.restart();
  await Promise.all([world.store.is("a", "delivered"), world.store.is("b", "delivered")]);
  assert.equal(receiver.received.length, 4);
  await world.webhooks.stop();
});

test("a stop does not wait for name servers", async (t) => {
  const asked = Promise.withResolvers<void>();
  const lookup = (): Promise<never> => {
    asked.resolve();
    return new Promise(() => undefined);
  };
  const world = new World(t, { lookup });
  world.webhooks.start();
  await world.happen("a", "http://silent.test/");
  const check = world.webhooks.check("http://silent.test/", "ada");
  await asked.promise;
  await world.webhooks.stop();
  await check;
  assert.deepEqual(world.store.of("a").attempts, []);
});

test("after a day of failures it is given up, and not before", async (t) => {
  const world = new World(t);
  const receiver = await Receiver.start(t);
  receiver.answers = [
    (response) => {
      world.now += DAY / 6;
      status(500)(response);
    },
  ];
  const began = world.now;
  world.webhooks.start();
  await world.happen("a", receiver.url());
  const { attempts } = await world.store.is("a", "failed");
  assert.deepEqual(
    attempts.map(({ at }) => (at - began) / DAY),
    [0, 1, 2, 3, 4, 5, 6].map((sixths) => sixths / 6),
  );
  const [told, ...others] = world.lines.filter((line) => line.includes("given up"));
  assert.deepEqual(others, []);
  const { level, user, task, event, host, tries, status: answer } = JSON.parse(told!) as Record<string, unknown>;
  const about = { level, user, task, event, host, tries, answer };
  const expected = { level: 40, user: "ada", task: "a", event: "task.completed", tries: 7, answer: 500 };
  assert.deepEqual(about, { ...expected, host: `127.0.0.1:${receiver.port}` });
  assert.ok(!told!.includes("hidden"), told);
  const tried = world.lines.filter((line) => line.includes("failed for now")).map((line) => JSON.parse(line));
  assert.deepEqual(
    tried.map((line) => [line.level, line.task, line.tries]),
    [1, 2, 3, 4, 5, 6].map((number) => [20, "a", number]),
  );
});

test("one that was given up is sent again on request, and has a new day", async (t) => {
  const world = new World(t);
  const receiver = await Receiver.start(t);
  const late = (response: Parameters<typeof silence>[0]): void => {
    world.now += DAY;
    status(500)(response);
  };
  receiver.answers = [late, status(500), status(500), status(200)];
  world.webhooks.start();
  await world.happen("a", receiver.url());
  await world.store.is("a", "failed");
  const [again] = await world.webhooks.redeliver("a", null);
  assert.equal(again!.id, "msg_a_task_completed");
  const { attempts } = await world.store.is("a", "delivered");
  assert.deepEqual(
    attempts.map((attempt) => attempt.status),
    [500, 500, 500, 200],
  );
  assert.equal(new Set(receiver.received.map(({ body }) => body)).size, 1);
});

test("one that was delivered is sent again on request, by its id", async (t) => {
  const world = new World(t);
  const receiver = await Receiver.start(t);
  world.webhooks.start();
  await world.happen("a", receiver.url());
  const { id } = await world.store.is("a", "delivered");
  await world.webhooks.redeliver("a", id);
  await world.store.tried("a", 2);
  assert.equal((await world.store.is("a", "delivered")).attempts.length, 2);
  assert.deepEqual(
    receiver.received.map(({ headers }) => headers["webhook-id"]),
    [id, id],
  );
  const unknown = { code: "not_found", message: "There is no delivery msg_x about a." };
  await assert.rejects(world.webhooks.redeliver("a", "msg_x"), unknown);
  await assert.rejects(world.webhooks.redeliver("x", null), { code: "not_found" });
});

test("one that waits for its next try is sent at once on request; one that is being sent is not sent twice", async (t) => {
  const world = new World(t, { timing: LATER });
  const receiver = await Receiver.start(t);
  receiver.answers = [status(500), silence];
  world.webhooks.start();
  await world.happen("a", receiver.url());
  await world.store.tried("a", 1);
  await world.webhooks.redeliver("a", null);
  await receiver.got(2);
  await Promise.all([world.webhooks.redeliver("a", null), world.webhooks.redeliver("a", null)]);
  status(204)(receiver.received[1]!.response);
  const { attempts } = await world.store.is("a", "delivered");
  assert.deepEqual(
    attempts.map((attempt) => attempt.status),
    [500, 204],
  );
  await world.happen("b", receiver.url());
  assert.equal((await receiver.got(3)).at(-1)!.headers["webhook-id"], "msg_b_task_completed");
});

test("nothing about a task is begun while its deliveries are changed", async (t) => {
  const { store, ...world } = new World(t);
  const receiver = await Receiver.start(t);
  const now = (): number => world.now;
  const secrets = new Secrets(store, now);
  const rules = { allowPrivate: true, lookup: localhost, allow: new Destinations([]), deny: new Destinations([]) };
  const log = pino({ level: "silent" });
  const deliverer = new Deliverer({
    outbox: store,
    secrets,
    rules,
    endpoints: new Endpoints({ outbox: store, pauseAfter: null, now, log }),
    timing: TIMING,
    log,
    now,
    ahead: () => 0,
    random: () => 0.5,
  });
  t.after(() => deliverer.stop());
  const held = Promise.withResolvers<void>();
  await store.write(["a", "b"].map((subject) => aDelivery(subject, receiver.url(), world.now)));
  const holding = deliverer.hold("a", () => held.promise);
  deliverer.start();
  await store.is("b", "delivered");
  assert.equal(receiver.received.length, 1);
  held.resolve();
  await holding;
  await store.is("a", "delivered");
});

test("while the disk is full nothing is sent twice, and what came of it is written when it clears", async (t) => {
  const world = new World(t);
  const receiver = await Receiver.start(t);
  const { store } = world;
  await world.webhooks.secretOf("ada");
  world.webhooks.start();
  receiver.answers = [
    (response) => {
      store.full = true;
      status(200)(response);
    },
  ];
  await world.happen("a", receiver.url());
  await receiver.got(1);
  const { saves } = store;
  await store.until(() => store.saves >= saves + 5);
  assert.equal(receiver.received.length, 1);
  assert.equal(store.of("a").status, "pending");
  store.full = false;
  await store.is("a", "delivered");
  assert.equal(receiver.received.length, 1);
  assert.equal(world.lines.filter((line) => line.includes("the store does not work")).length, 1);
  receiver.answers = [status(200)];
  await world.happen("b", receiver.url());
  await store.is("b", "delivered");
});

test("a slow host with more deliveries than are looked at does not hold up another", async (t) => {
  const world = new World(t);
  const [slow, quick] = [await Receiver.start(t), await Receiver.start(t)];
  slow.answers = [silence];
  for (let index = 0; index < 1000; index++) await world.happen(`slow-${index}`, slow.url());
  await world.happen("quick", quick.url());
  world.webhooks.start();
  await slow.got(4);
  // It answers once; the others wait for ever.
  status(200)(slow.received[0]!.response);
  await world.store.is("quick", "delivered");
  assert.equal(slow.mostOpen, 4);
});

test("all of a long queue for one host arrive, once each", async (t) => {
  const world = new World(t, { clock: unset(Date.now) });
  const receiver = await Receiver.start(t);
  const subjects = Array.from({ length: 400 }, (_, index) => `${index}`);
  for (const subject of subjects) await world.happen(subject, receiver.url());
  world.webhooks.start();
  await Promise.all(subjects.map((subject) => world.store.is(subject, "delivered")));
  const ids = receiver.received.map(({ headers }) => headers["webhook-id"]);
  assert.equal(new Set(ids).size, 400);
  assert.equal(ids.length, 400);
  assert.ok(receiver.mostOpen <= 4);
});

test("one that cannot be sent at all does not stop others", async (t) => {
  const world = new World(t, { timing: LATER });
  const receiver = await Receiver.start(t);
  world.webhooks.start();
  await world.happen("broken", "no url");
  await world.happen("bad id \n", receiver.url());
  await world.happen("good", receiver.url());
  await world.store.is("good", "delivered");
  for (const subject of ["broken", "bad id \n"]) {
    assert.equal((await world.store.tried(subject, 1)).attempts[0]!.status, null);
  }
});

test("the log names hosts, and neither secrets nor bodies nor the rest of a URL", async (t) => {
  const world = new World(t);
  const receiver = await Receiver.start(t);
  receiver.answers = [status(500), status(200)];
  world.webhooks.start();
  await world.happen("a", receiver.url());
  await world.store.is("a", "delivered");
  const { secret } = await world.webhooks.secretOf("ada");
  const log = world.lines.join("");
  assert.ok(log.includes(`127.0.0.1:${receiver.port}`));
  for (const hidden of [secret!, "token=hidden", "task_id", "v1,"]) assert.ok(!log.includes(hidden), hidden);
});
