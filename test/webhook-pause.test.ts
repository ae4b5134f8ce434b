/** Endpoints that fail for days are paused, and say so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { OPERATOR_EVENT, type OperatorEvent } from "../src/topics.ts";
import { DAY, Receiver, status, TIMING, World } from "./helpers/webhook-world.ts";

const HOUR = 3_600_000;
/** The next try is a day after the first, and the last one. */
const DAILY = { ...TIMING, firstPause: DAY, longestPause: DAY };
const PAUSE_AFTER = 3 * 86_400;

/** A delivery is tried, and again a day later, and given up. */
async function giveUp(world: World, subject: string, url: string, user = "ada"): Promise<void> {
  await world.happen(subject, url, user);
  world.now = Math.max(world.now, (await world.store.tried(subject, 1)).nextAt);
  world.webhooks.wake();
  await world.store.is(subject, "failed");
}

/** Three days in which nothing arrives. */
async function fail(world: World, url: string): Promise<void> {
  for (const subject of ["a", "b", "c"]) await giveUp(world, subject, url);
}

async function failingWorld(t: Parameters<typeof Receiver.start>[0]) {
  const world = new World(t, { timing: DAILY, pauseAfter: PAUSE_AFTER });
  const receiver = await Receiver.start(t);
  receiver.answers = [status(500)];
  world.webhooks.start();
  return { world, receiver };
}

function eventsOf(t: Parameters<typeof Receiver.start>[0]): readonly OperatorEvent[] {
  const events: OperatorEvent[] = [];
  t.after(OPERATOR_EVENT.subscribe((event) => void events.push(event)));
  return events;
}

test("an endpoint is paused when one is given up after days in which none arrived, and says so", async (t) => {
  const events = eventsOf(t);
  const { world, receiver } = await failingWorld(t);
  const since = world.now;
  await giveUp(world, "a", receiver.url());
  await giveUp(world, "b", receiver.url());
  assert.deepEqual(await world.webhooks.check(receiver.url(), "ada"), []);
  assert.equal(world.webhooks.pausedEndpoints, 0);
  await giveUp(world, "c", receiver.url());
  assert.equal(world.webhooks.pausedEndpoints, 1);
  const origin = `http://127.0.0.1:${receiver.port}`;
  world.ahead = 1000;
  const [endpoint, ...others] = await world.webhooks.endpoints();
  assert.deepEqual(
    [endpoint, others],
    [{ user: "ada", origin, failingSince: since + 1000, pausedAt: world.now + 1000 }, []],
  );
  assert.deepEqual(await world.webhooks.endpoints("bob"), []);
  const [warning] = await world.webhooks.check(receiver.url(), "ada");
  assert.match(warning!, new RegExp(`^Webhooks to ${origin} are paused, `));
  assert.deepEqual(await world.webhooks.check(receiver.url(), "bob"), []);
  const line = world.lines.map((one) => JSON.parse(one)).find(({ msg }) => msg.endsWith("are paused"));
  assert.deepEqual([line.level, line.user, line.host, line.days], [40, "ada", `127.0.0.1:${receiver.port}`, 3]);
  assert.deepEqual(
    events.map(({ kind, event }) => [kind, event]),
    [["webhook", "paused"]],
  );
});

test("what is due for a paused endpoint is not tried, and is noted; other users and other endpoints go on", async (t) => {
  const { world, receiver } = await failingWorld(t);
  await fail(world, receiver.url());
  const works = await Receiver.start(t);
  const before = receiver.received.length;
  await world.happen("d", receiver.url());
  await world.store.is("d", "failed");
  const [attempt, ...more] = world.store.of("d").attempts;
  assert.deepEqual([attempt!.untried, attempt!.status, attempt!.at, more], [true, null, world.now, []]);
  assert.match(attempt!.error!, /^The endpoint is paused, /);
  await world.happen("e", works.url());
  await world.store.is("e", "delivered");
  assert.equal(receiver.received.length, before);
  await world.happen("f", receiver.url(), "bob");
  await world.store.tried("f", 1);
  assert.equal(receiver.received.length, before + 1);
  assert.equal(world.store.of("f").status, "pending");
});

test("one delivery an hour is tried; while it fails the others are not, and when it arrives all are sent", async (t) => {
  const { world, receiver } = await failingWorld(t);
  await fail(world, receiver.url());
  const before = receiver.received.length;
  world.now += HOUR;
  await Promise.all(["d", "e", "f"].map((subject) => world.happen(subject, receiver.url())));
  await Promise.all(["d", "e", "f"].map((subject) => world.store.tried(subject, 1)));
  assert.equal(receiver.received.length, before + 1);
  const states = ["d", "e", "f"].map((subject) => world.store.of(subject).attempts[0]!.untried ?? false);
  assert.deepEqual(states.toSorted(), [false, true, true]);
  receiver.answers = [status(204)];
  world.now += HOUR;
  await Promise.all(["g", "h"].map((subject) => world.happen(subject, receiver.url())));
  await Promise.all(["g", "h"].map((subject) => world.store.is(subject, "delivered")));
  assert.equal(world.webhooks.pausedEndpoints, 0);
  assert.deepEqual(await world.webhooks.endpoints(), []);
  assert.deepEqual([...world.store.failing], []);
});

test("a success in between begins the days anew, and 0 pauses nothing", async (t) => {
  const { world, receiver } = await failingWorld(t);
  await giveUp(world, "a", receiver.url());
  await giveUp(world, "b", receiver.url());
  receiver.answers = [status(204)];
  await world.happen("c", receiver.url());
  await world.store.is("c", "delivered");
  assert.deepEqual([...world.store.failing], []);
  receiver.answers = [status(500)];
  await giveUp(world, "d", receiver.url());
  await giveUp(world, "e", receiver.url());
  assert.equal(world.webhooks.pausedEndpoints, 0);
  const never = new World(t, { timing: DAILY, pauseAfter: 0 });
  never.webhooks.start();
  await fail(never, receiver.url());
  await giveUp(never, "d", receiver.url());
  assert.deepEqual(await never.webhooks.endpoints(), []);
});

test("a pause outlives a restart, also that after the days were counted in two runs", async (t) => {
  const { world, receiver } = await failingWorld(t);
  await giveUp(world, "a", receiver.url());
  await world.webhooks.stop();
  world.restart();
  await giveUp(world, "b", receiver.url());
  await giveUp(world, "c", receiver.url());
  await world.webhooks.stop();
  world.restart();
  assert.equal((await world.webhooks.endpoints()).length, 1);
  assert.equal(world.webhooks.pausedEndpoints, 1);
  const before = receiver.received.length;
  // The first one after a start is tried.
  await Promise.all(["d", "e"].map((subject) => world.happen(subject, receiver.url())));
  await Promise.all(["d", "e"].map((subject) => world.store.tried(subject, 1)));
  assert.equal(receiver.received.length, before + 1);
  await world.webhooks.stop();
});

test("a state that the disk refused is written with the next", async (t) => {
  const { world, receiver } = await failingWorld(t);
  await giveUp(world, "a", receiver.url());
  await giveUp(world, "b", receiver.url());
  await world.happen("c", receiver.url());
  world.now = (await world.store.tried("c", 1)).nextAt;
  world.store.full = true;
  world.webhooks.wake();
  await world.store.until(() => world.webhooks.pausedEndpoints === 1);
  assert.equal([...world.store.failing.values()][0]!.pausedAt, null);
  world.store.full = false;
  world.webhooks.wake();
  await world.store.is("c", "failed");
  assert.equal([...world.store.failing.values()][0]!.pausedAt, world.now);
});

test("resuming has all sent again, and asking for one again has it tried", async (t) => {
  const events = eventsOf(t);
  const { world, receiver } = await failingWorld(t);
  await fail(world, receiver.url());
  await world.happen("d", receiver.url());
  await world.store.is("d", "failed");
  const before = receiver.received.length;
  await world.webhooks.redeliver("d", null);
  const { status: state, nextAt } = await world.store.tried("d", 2);
  assert.deepEqual([state, receiver.received.length], ["pending", before + 1]);
  assert.ok(nextAt > world.now, "its day begins anew");
  const origin = `http://127.0.0.1:${receiver.port}`;
  await assert.rejects(world.webhooks.resume("ada", "http://x", "ada"), { code: "not_found" });
  await assert.rejects(world.webhooks.resume("bob", origin, "ada"), { code: "not_found" });
  await world.webhooks.resume("bob", null, "ada");
  assert.equal(world.webhooks.pausedEndpoints, 1);
  await world.webhooks.resume("ada", origin, "root");
  assert.equal(world.webhooks.pausedEndpoints, 0);
  assert.deepEqual([...world.store.failing], []);
  assert.deepEqual(
    events.map(({ event, by }) => [event, by]),
    [
      ["paused", undefined],
      ["resumed", "root"],
    ],
  );
  receiver.answers = [status(204)];
  await Promise.all(["e", "f"].map((subject) => world.happen(subject, receiver.url())));
  await Promise.all(["e", "f"].map((subject) => world.store.is(subject, "delivered")));
});
