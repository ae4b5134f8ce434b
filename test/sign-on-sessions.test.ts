/** Sessions of browsers, by themselves: how long they live, and how many there are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { Credentials } from "../src/auth/credentials.ts";
import { Sessions } from "../src/auth/oidc/sessions.ts";
import { parseConfig } from "../src/config/config.ts";
import { MemoryPlace } from "./helpers/kept.ts";
import { testFolder } from "./helpers/store.ts";
import type { Tables } from "../src/auth/tables.ts";

const ALICE = { name: "alice", role: "user", team: null } as const;
const TABLES = {} as Tables;

interface Clock {
  now: number;
  /** Unix milliseconds; absent: the real ones. */
  wall?: number;
}

function sessions(clock: Clock, userOf = (user: typeof ALICE): typeof ALICE | null => user, lifetime = 3600): Sessions {
  const settings = { idle_timeout: 60, lifetime };
  const wall = (): number => clock.wall ?? Date.now();
  return new Sessions({ settings, now: () => clock.now, wall, userOf: userOf as never });
}

/** Passes on both clocks. */
function pass(clock: Clock, milliseconds: number): void {
  clock.now += milliseconds;
  clock.wall! += milliseconds;
}

test("a session that is not used ends, and one that is used or followed does not", () => {
  const clock = { now: 0 };
  const all = sessions(clock);
  const { secret, caller } = all.begin(ALICE, ALICE);
  for (let i = 0; i < 3; i++) {
    clock.now += 59_000;
    assert.equal(all.find(secret, TABLES), caller);
    clock.now += 59_000;
    assert.ok(all.holds(caller, TABLES));
  }
  clock.now += 61_000;
  assert.ok(!all.holds(caller, TABLES));
  assert.equal(all.find(secret, TABLES), null);
  assert.equal(all.size, 0);
  assert.equal(all.find("made up", TABLES), null);
});

test("a session ends when its user would be another one, or none", () => {
  let now: typeof ALICE | null = ALICE;
  const all = sessions({ now: 0 }, () => now);
  const { secret, caller } = all.begin(ALICE, ALICE);
  assert.ok(all.holds(caller, TABLES));
  now = null;
  assert.ok(!all.holds(caller, TABLES));
  assert.equal(all.find(secret, TABLES), null);
});

test("one user has 50 sessions, of which the oldest ends; others keep theirs", () => {
  const all = sessions({ now: 0 });
  const other = all.begin({ ...ALICE, name: "bob" }, { ...ALICE, name: "bob" });
  const own = Array.from({ length: 51 }, () => all.begin(ALICE, ALICE));
  assert.equal(all.size, 51);
  assert.equal(all.find(own[0]!.secret, TABLES), null);
  assert.equal(all.find(own[1]!.secret, TABLES), own[1]!.caller);
  assert.equal(all.find(other.secret, TABLES), other.caller);
});

test("the next server knows the sessions that there are, with the age that they have", async () => {
  const place = new MemoryPlace();
  const clock = { now: 0 };
  const first = sessions(clock);
  first.keep(await place.next(), TABLES);
  const [one, ended] = [first.begin(ALICE, ALICE), first.begin(ALICE, ALICE)];
  for (const { secret } of [one, ended]) await first.stored(secret);
  first.end(ended.secret);
  await first.stored(ended.secret);
  assert.ok([...place.files].flat().every((text) => !text.includes(one.secret)));
  const next = sessions(clock);
  next.keep(await place.next(), TABLES);
  assert.equal(next.find(ended.secret, TABLES), null);
  const { name, role, team, by, expiresAt } = next.find(one.secret, TABLES)!;
  assert.deepEqual([name, role, team, by, expiresAt], ["alice", "user", null, "session", one.caller.expiresAt]);
  clock.now += 61_000;
  const later = sessions(clock);
  later.keep(await place.next(), TABLES);
  assert.ok(later.find(one.secret, TABLES) !== null, "the clock of the wall counts, which has not gone on");
  clock.now += 61_000;
  assert.equal(later.find(one.secret, TABLES), null);
  assert.equal(place.files.size, 0);
});

test("a session whose stream is followed is in use at the next server, too, which is told of it now and then", async () => {
  const place = new MemoryPlace();
  const clock = { now: 0, wall: Date.now() };
  const first = sessions(clock);
  first.keep(await place.next(), TABLES);
  const { secret, caller } = first.begin(ALICE, ALICE);
  await first.stored(secret);
  const bodies = new Set<string>();
  for (let looks = 0; looks < 17; looks++) {
    pass(clock, 10_000);
    assert.ok(first.holds(caller, TABLES));
    for (const body of place.files.values()) bodies.add(body);
  }
  // As it was begun, and after each half of the timeout.
  assert.equal(bodies.size, 6);
  pass(clock, 35_000);
  const next = sessions(clock);
  next.keep(await place.next(), TABLES);
  assert.equal(next.callerBy(first.idBy(caller)!)?.name, "alice");
  assert.ok(next.find(secret, TABLES) !== null);
});

test("no row stays of a session that has ended, or whose user is another one or none now", async () => {
  const place = new MemoryPlace();
  const clock = { now: 0, wall: Date.now() };
  const bob = { ...ALICE, name: "bob" };
  const begin = async (server: Sessions, user: typeof ALICE): Promise<string> => {
    server.keep(await place.next(), TABLES);
    const { secret } = server.begin(user, user);
    await server.stored(secret);
    return secret;
  };
  const size = (): number => place.files.size;
  // Nobody asks for any of them again.
  await begin(sessions(clock), ALICE);
  pass(clock, 61_000);
  await begin(sessions(clock, undefined, 0), ALICE);
  const last = sessions(clock);
  const secret = await begin(last, ALICE);
  assert.deepEqual([size(), last.size], [1, 1], "idle and expired ones are not taken over");
  pass(clock, 61_000);
  last.sweep(TABLES);
  assert.deepEqual([size(), last.size], [0, 0]);
  assert.equal(last.find(secret, TABLES), null);
  for (const user of [ALICE, bob]) await begin(last, user as typeof ALICE);
  sessions(clock, (user) => (user.name === "alice" ? null : user)).keep(await place.next(), TABLES);
  assert.match([...place.files.values()].join(), /^[^,]*"bob"/);
  last.forget("bob");
  assert.equal(size(), 0);
});

test("rows of sessions go with a regular look, and where no issuer is configured any more", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const place = new MemoryPlace();
  const row = { identity: ALICE, user: ALICE, expiresAt: Date.now() + 1e9, usedAt: Date.now() };
  await place.putSharedFile("session one", JSON.stringify(row));
  const clock = { now: 0 };
  const leading = async (yaml: string): Promise<Credentials> => {
    const { auth: config } = parseConfig(yaml, "test.yaml");
    const log = pino({ level: "silent" });
    const credentials = new Credentials({ config, dataDir: testFolder(t), log, now: () => clock.now });
    credentials.keep(await place.next());
    t.after(credentials.watch());
    return credentials;
  };
  await leading('auth: { oidc: { issuer: "https://id.example.com", audience: us, default_role: user } }');
  t.mock.timers.tick(60_000);
  assert.equal(place.files.size, 1);
  clock.now += 3_601_000;
  t.mock.timers.tick(60_000);
  assert.equal(place.files.size, 0);
  await place.putSharedFile("session two", JSON.stringify(row));
  await leading("");
  assert.equal(place.files.size, 0);
});
