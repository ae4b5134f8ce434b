/** That no user's receivers keep another's webhooks from being sent. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { test, type TestContext } from "node:test";
import fc from "fast-check";
import { pino } from "pino";
import { type Delivery } from "../src/store/outbox.ts";
import { type Lookup } from "../src/webhooks/address.ts";
import { GivenUp } from "../src/webhooks/given-up.ts";
import { Setbacks } from "../src/webhooks/setbacks.ts";
import { Share } from "../src/webhooks/share.ts";
import { ownerOf, siteOf } from "../src/webhooks/site.ts";
import { DAY, LATER, Receiver, silence, status, World } from "./helpers/webhook-world.ts";

/** Whether all of 127.0.0.0/8 is this machine; null: it is. */
async function lacksLoopbackNetwork(): Promise<string | null> {
  const server = createServer().listen(0, "127.9.9.9");
  const [event] = await Promise.race([
    once(server, "listening").then(() => ["listening"]),
    once(server, "error").then(() => ["error"]),
  ]);
  server.close();
  return event === "listening" ? null : "only 127.0.0.1 is a loopback address here";
}

/** URLs of servers that take connections and never answer, each in a network of its own. */
async function hangingReceivers(t: TestContext, count: number, onConnection: () => void): Promise<string[]> {
  const urls: string[] = [];
  for (let index = 0; index < count; index++) {
    const host = `127.${1 + (index >> 8)}.${index & 255}.1`;
    const server = createServer((socket) => {
      socket.on("error", () => undefined).resume();
      t.after(() => socket.destroy());
      onConnection();
    }).listen(0, host);
    await once(server, "listening");
    t.after(() => server.close());
    urls.push(`http://${host}:${(server.address() as { port: number }).port}/`);
  }
  return urls;
}

test("while 320 receivers of one user hang, a webhook of another user arrives", async (t) => {
  const lacking = await lacksLoopbackNetwork();
  if (lacking !== null) return t.skip(lacking);
  const hanging = Promise.withResolvers<void>();
  let connections = 0;
  const urls = await hangingReceivers(t, 320, () => ++connections === 32 && hanging.resolve());
  const world = new World(t);
  const receiver = await Receiver.start(t);
  for (const [index, url] of urls.entries()) await world.happen(`mallory-${index}`, url, "mallory");
  world.webhooks.start();
  await hanging.promise;
  await world.happen("bob", receiver.url(), "bob");
  const { attempts } = await world.store.is("bob", "delivered");
  assert.equal(attempts.length, 1);
  assert.equal(connections, 32, "and mallory has no more than half of the places");
});

/** Names whose last digit is the last of their address, one of five. */
const fiveAddresses: Lookup = async (host) => [
  { address: `127.0.0.${1 + (Number(/\d(?=\.)/.exec(host)![0]) % 5)}`, family: 4 },
];

test("of one user at most 4 go to one host at once, and 32 to all", async (t) => {
  const lacking = await lacksLoopbackNetwork();
  if (lacking !== null) return t.skip(lacking);
  const world = new World(t, { lookup: fiveAddresses });
  const receivers = await Promise.all([1, 2, 3, 4, 5].map((n) => Receiver.start(t, undefined, 0, `127.0.0.${n}`)));
  for (const receiver of receivers) receiver.answers = [silence];
  const subjects = Array.from({ length: 60 }, (_, index) => `${index}`);
  for (const subject of subjects) {
    const number = Number(subject) % 10;
    await world.happen(subject, receivers[number % 5]!.url(`h${number}.test`));
  }
  world.webhooks.start();
  await Promise.all([7, 7, 6, 6, 6].map((count, index) => receivers[index]!.got(count)));
  const received = receivers.flatMap((receiver) => receiver.received);
  const hosts = Map.groupBy(received, ({ headers }) => headers.host);
  assert.ok([...hosts.values()].every(({ length }) => length <= 4));
  assert.equal(received.length, 32);
  for (const receiver of receivers) receiver.answers = [status(200)];
  for (const { response } of received) status(200)(response);
  await Promise.all(subjects.map((subject) => world.store.is(subject, "delivered")));
  assert.equal(receivers.flatMap((receiver) => receiver.received).length, 60);
});

test("at one address, whatever its names, a user has 8 at once, and another user still finds room", async (t) => {
  const world = new World(t, { timing: { ...LATER, addressPause: DAY } });
  const receiver = await Receiver.start(t);
  receiver.answers = [silence];
  for (let index = 0; index < 20; index++)
    await world.happen(`mallory-${index}`, receiver.url(`h.m${index}.test`), "mallory");
  world.webhooks.start();
  await receiver.got(8);
  await world.store.until(
    () => [...world.store.deliveries.values()].filter(({ nextAt }) => nextAt > world.now).length === 12,
  );
  assert.ok(
    [...world.store.deliveries.values()].every(({ attempts }) => attempts.length === 0),
    "none counts as tried",
  );
  await world.happen("bob", receiver.url("h.bob.test"), "bob");
  await receiver.got(9);
  assert.equal(receiver.received[8]!.headers["webhook-id"], "msg_bob_task_completed");
  assert.equal(receiver.mostOpen, 9);
});

test("a domain whose hosts do not answer in time is left alone for a while, then gets one try", async (t) => {
  const world = new World(t, { timing: { ...LATER, limit: 100, setback: DAY / 2, addressPause: 0 } });
  const [slow, quick] = [await Receiver.start(t), await Receiver.start(t)];
  slow.answers = [silence];
  for (let index = 0; index < 100; index++)
    await world.happen(`slow-${index}`, slow.url(`h${index % 2}.attacker.test`));
  world.webhooks.start();
  await Promise.all([slow.got(8), world.store.until(() => triesOf(world) === 8)]);
  const before = slow.received.length;
  await world.happen("other", slow.url("h3.attacker.test"));
  await world.happen("quick", quick.url("hook.friend.test"));
  await world.store.is("quick", "delivered");
  assert.equal(slow.received.length, before, "the rest waits");
  slow.mostOpen = 0;
  world.now += DAY / 2;
  world.webhooks.wake();
  await world.store.until(() => triesOf(world) === 10);
  assert.deepEqual([slow.mostOpen, slow.received.length], [1, 9]);
});

/** Tries of all deliveries. */
function triesOf({ store }: World): number {
  return [...store.deliveries.values()].reduce((sum, { attempts }) => sum + attempts.length, 0);
}

test("pauses of a site that is late double up to five minutes, and end with its first answer", () => {
  const setbacks = new Setbacks(1000);
  let now = 0;
  const pauses: number[] = [];
  for (let time = 0; time < 12; time++) {
    setbacks.begins("a");
    setbacks.ends("a", "late", now);
    pauses.push(setbacks.roomAt("a", now)! - now);
    assert.equal(setbacks.hasRoom("a", now), false);
    now = setbacks.roomAt("a", now)!;
    assert.equal(setbacks.hasRoom("a", now), true);
  }
  assert.deepEqual(
    pauses,
    [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300].map((seconds) => seconds * 1000),
  );
  setbacks.begins("a");
  assert.equal(setbacks.hasRoom("a", now), false, "one at a time");
  setbacks.ends("a", null, now);
  setbacks.begins("a");
  setbacks.ends("a", "answered", now);
  setbacks.begins("a");
  assert.equal(setbacks.hasRoom("a", now), true);
  assert.equal(setbacks.nextTurn("a", now), null);
});

test("tries that were under way together and are late together count once", () => {
  const setbacks = new Setbacks(1000);
  for (let index = 0; index < 8; index++) setbacks.begins("a");
  for (let index = 0; index < 8; index++) setbacks.ends("a", "late", index);
  assert.equal(setbacks.roomAt("a", 8), 1000);
});

test("property: a user that is alone has half of the places, and a newcomer finds one while any is free", () => {
  const moves = fc.array(fc.tuple(fc.constantFrom("ada", "bob", "eve"), fc.boolean()), { maxLength: 300 });
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 64 }), moves, (places, steps) => {
      const share = new Share(places);
      for (const [user, takes] of steps) {
        if (takes && share.hasRoom(user)) share.take(user);
        else if (!takes && share.of(user) > 0) share.giveBack(user);
        assert.equal(share.sum, share.of("ada") + share.of("bob") + share.of("eve"));
        assert.equal(share.hasRoom("newcomer"), share.sum < places);
        assert.ok(["ada", "bob", "eve"].every((each) => share.of(each) <= Math.ceil(places / 2)));
      }
    }),
  );
});

test("hosts of one domain and addresses of one network are one site", () => {
  const sites: [string, string][] = [
    ["a.b.example.com", "example.com"],
    ["example.com", "example.com"],
    ["h1.shop.co.uk", "shop.co.uk"],
    ["h1.firma.com.tr.", "firma.com.tr"],
    ["h1.example.de", "example.de"],
    ["localhost", "localhost"],
    ["192.0.2.77", "192.0.2.0/24"],
    ["2001:db8:1:2:3::4", "2001:db8:1:2::/64"],
    ["::ffff:192.0.2.77", "192.0.2.0/24"],
  ];
  for (const [host, site] of sites) assert.equal(siteOf(host), site, host);
  assert.equal(ownerOf("192.0.2.77"), "192.0.2.77");
  assert.equal(ownerOf("2001:db8:1:2:3::4"), ownerOf("2001:db8:1:2:ffff::1"));
});

function givenUpOf(user: string): Delivery {
  const about = { id: "msg_a_task_failed", subject: "a", user, event: "task.failed", url: "https://h/secret" } as const;
  return { ...about, body: "", createdAt: 0, status: "failed", nextAt: 0, attempts: [] };
}

test("of many webhooks of a user that are given up, one line a minute says how many there were", () => {
  const lines: { user: string; alsoGivenUp?: number }[] = [];
  let now = 0;
  const log = pino({ level: "warn" }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const givenUp = new GivenUp(log, () => now);
  for (let index = 0; index < 100; index++) givenUp.tell(givenUpOf("mallory"));
  givenUp.tell(givenUpOf("bob"));
  now = 60_000;
  givenUp.tell(givenUpOf("mallory"));
  assert.deepEqual(
    lines.map(({ user, alsoGivenUp }) => [user, alsoGivenUp]),
    [
      ["mallory", undefined],
      ["bob", undefined],
      ["mallory", 99],
    ],
  );
});
