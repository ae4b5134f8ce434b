/** Which server of a cluster leads, by what it sees in the database: plain calls, no clock. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Role } from "../src/cluster/role.ts";
import type { Look } from "../src/store/postgres/members.ts";

const LIMITS = { lasts: 12, silent: 9 };
const LEADER = { id: "a", url: "http://127.0.0.1:1", secret: "s" };

function held(expiresAt: string, more: Partial<Look> = {}): Look {
  return { lease: { holder: "a", expiresAt }, isFree: false, leader: LEADER, ...more };
}

test("a lease that nobody has, or that was given back, is taken at once", () => {
  assert.deepEqual(new Role(LIMITS).looked({ lease: null, isFree: true, leader: null }), { do: "lead", stale: null });
  const role = new Role(LIMITS);
  assert.deepEqual(role.looked(held("1")), { do: "wait", leader: LEADER });
  assert.deepEqual(role.looked(held("1", { isFree: true })), { do: "lead", stale: "1" });
});

test("a leader that renews its lease is left alone, and one that does not is asked nothing, then followed", () => {
  const role = new Role(LIMITS);
  for (let second = 0; second < 100; second++)
    for (let look = 0; look < 4; look++)
      assert.deepEqual(role.looked(held(String(second))), { do: "wait", leader: LEADER });
  const said = Array.from({ length: 12 }, () => role.looked(held("99")));
  const words = said.map((todo) => (todo.do === "lead" ? "lead" : todo.leader === null ? "nobody" : "passes on"));
  assert.deepEqual(words, [...Array(5).fill("passes on"), ...Array(3).fill("nobody"), "lead", "lead", "lead", "lead"]);
  assert.equal(role.leader, null);
});

test("looks that failed prove nothing: the lease may have been renewed meanwhile", () => {
  const role = new Role(LIMITS);
  for (let round = 0; round < 5; round++) {
    for (let look = 0; look < 12; look++) assert.equal(role.looked(held("1")).do, "wait");
    role.failed(1);
  }
});

test("a leader that has not been seen for a while is asked nothing, until it is seen again", () => {
  const role = new Role(LIMITS);
  for (const missed of [Array(LIMITS.silent).fill(1), [LIMITS.silent]] as const) {
    assert.deepEqual(role.looked(held("1")), { do: "wait", leader: LEADER });
    assert.deepEqual(
      missed.map((looks: number) => {
        role.failed(looks);
        return role.leader;
      }),
      missed.map((_, place) => (place < missed.length - 1 ? LEADER : null)),
    );
  }
});

test("it knows whether the database could be asked at the last look", () => {
  const role = new Role(LIMITS);
  assert.equal(role.seesDatabase, true);
  role.failed(1);
  assert.equal(role.seesDatabase, false);
  role.looked(held("1"));
  assert.equal(role.seesDatabase, true);
});

test("after another server was faster, it waits as long as for any", () => {
  const role = new Role(LIMITS);
  for (let look = 0; look < 12; look++) role.looked(held("1"));
  assert.equal(role.looked(held("1")).do, "lead");
  role.refused();
  for (let look = 0; look < 12; look++) assert.equal(role.looked(held("1")).do, "wait");
  assert.equal(role.looked(held("1")).do, "lead");
});

test("it never takes a lease that it has seen renewed within the looks for which that lasts", () => {
  const look = fc.record({ renewed: fc.boolean(), failed: fc.boolean() });
  fc.assert(
    fc.property(fc.array(look, { maxLength: 200 }), (looks) => {
      const role = new Role(LIMITS);
      let lease = 0;
      let same = -1;
      for (const { renewed, failed } of looks) {
        if (renewed) lease++;
        if (renewed) same = -1;
        if (failed) {
          role.failed(1);
          same = -1;
          continue;
        }
        same++;
        assert.equal(role.looked(held(String(lease))).do, same >= LIMITS.lasts ? "lead" : "wait");
      }
    }),
  );
});
