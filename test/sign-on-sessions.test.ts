/** Sessions of browsers, by themselves: how long they live, and how many there are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Sessions } from "../src/auth/oidc/sessions.ts";
import { MemoryPlace } from "./helpers/kept.ts";
import type { Tables } from "../src/auth/tables.ts";

const ALICE = { name: "alice", role: "user", team: null } as const;
const TABLES = {} as Tables;

function sessions(clock: { now: number }, userOf = (user: typeof ALICE): typeof ALICE | null => user): Sessions {
  const settings = { idle_timeout: 60, lifetime: 3600 };
  return new Sessions({ settings, now: () => clock.now, userOf: userOf as never });
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
  first.keep(await place.next());
  const [one, ended] = [first.begin(ALICE, ALICE), first.begin(ALICE, ALICE)];
  for (const { secret } of [one, ended]) await first.stored(secret);
  first.end(ended.secret);
  await first.stored(ended.secret);
  assert.ok([...place.files].flat().every((text) => !text.includes(one.secret)));
  const next = sessions(clock);
  next.keep(await place.next());
  assert.equal(next.find(ended.secret, TABLES), null);
  const { name, role, team, by, expiresAt } = next.find(one.secret, TABLES)!;
  assert.deepEqual([name, role, team, by, expiresAt], ["alice", "user", null, "session", one.caller.expiresAt]);
  clock.now += 61_000;
  const later = sessions(clock);
  later.keep(await place.next());
  assert.ok(later.find(one.secret, TABLES) !== null, "the clock of the wall counts, which has not gone on");
  clock.now += 61_000;
  assert.equal(later.find(one.secret, TABLES), null);
  assert.equal(place.files.size, 0);
});
