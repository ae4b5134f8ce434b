/** What is sent, when it is tried again, and when it is given up. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Delivery } from "../src/store/outbox.ts";
import { type Webhook } from "../src/task.ts";
import { deliveriesFor } from "../src/webhooks/events.ts";
import { Lanes } from "../src/webhooks/lanes.ts";
import { afterTry, type RetryRules } from "../src/webhooks/rounds.ts";
import { WEBHOOK_TIMING } from "../src/webhooks/webhooks.ts";
import { DAY } from "./helpers/webhook-world.ts";

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
const ABOUT = { subject: "42", user: "ada", event: "task.running", occurrence: 3, data: { task_id: "42" } } as const;
const HOOK: Webhook = { url: "https://example.com/hook", events: ["task.running"] };
const [DELIVERY] = deliveriesFor(HOOK, ABOUT, NOW) as [Delivery];

/** Tries it when it is due, until it is no longer pending; each try takes 100 ms. */
function tryUntilOver(delivery: Delivery, status: () => number | null, random: () => number): Delivery {
  let state = delivery;
  while (state.status === "pending") {
    const attempt = { at: state.nextAt, status: status(), error: null, duration: 100 };
    const now = (): number => attempt.at + attempt.duration;
    state = afterTry(state, attempt, { timing: WEBHOOK_TIMING, now, random });
  }
  return state;
}

const fails = (): number => 500;
const middle = (): number => 0.5;
const RULES: RetryRules = { timing: WEBHOOK_TIMING, now: () => NOW, random: middle };

test("an event becomes a message with the type, the time and the data", () => {
  assert.deepEqual(DELIVERY, {
    id: "msg_42_task_running_3",
    subject: "42",
    user: "ada",
    event: "task.running",
    url: "https://example.com/hook",
    body: '{"type":"task.running","timestamp":"2026-01-02T03:04:05.678Z","data":{"task_id":"42"}}',
    status: "pending",
    createdAt: NOW,
    nextAt: NOW,
    attempts: [],
  });
});

test("an event makes the same id each time it is told, and nothing when nobody asked for it", () => {
  assert.deepEqual(deliveriesFor(HOOK, ABOUT, NOW), [DELIVERY]);
  const events = ["task.completed", "batch.completed"] as const;
  const ids = events.map((event) => deliveriesFor({ ...HOOK, events }, { ...ABOUT, event }, NOW)[0]?.id);
  assert.deepEqual(ids, ["msg_42_task_completed", "msg_42_batch_completed"]);
  assert.deepEqual(deliveriesFor(null, ABOUT, NOW), []);
  assert.deepEqual(deliveriesFor({ ...HOOK, events }, ABOUT, NOW), []);
});

test("pauses grow from 5 seconds to 3 hours, and the last try is a day after the first", () => {
  const { status, attempts } = tryUntilOver(DELIVERY, fails, middle);
  assert.equal(status, "failed");
  const pauses = attempts.slice(1).map(({ at }, index) => (at - attempts[index]!.at - 100) / 1000);
  assert.deepEqual(pauses.slice(0, 9), [5, 15, 45, 135, 405, 1215, 3645, 10_800, 10_800]);
  assert.equal(attempts.at(-1)!.at, NOW + DAY);
});

test("pauses differ by a tenth at most", () => {
  const attempt = { at: NOW, status: null, error: "no", duration: 0 };
  const next = (random: number): number => afterTry(DELIVERY, attempt, { ...RULES, random: () => random }).nextAt - NOW;
  assert.equal(next(0), 4500);
  assert.ok(next(0.999_999) > 5490 && next(0.999_999) <= 5500);
});

test("an answer with any 2xx ends it, and nothing else does", () => {
  for (const [status, end] of [
    [200, "delivered"],
    [204, "delivered"],
    [299, "delivered"],
    [199, "pending"],
    [304, "pending"],
    [410, "pending"],
    [null, "pending"],
  ] as const) {
    const attempt = { at: NOW, status, error: null, duration: 1 };
    assert.equal(afterTry(DELIVERY, attempt, RULES).status, end, String(status));
  }
});

test("one that was given up or has arrived is tried for another day when it is sent again, however often that was", () => {
  // How long after the end of a round the next one begins, and the number of failures before it succeeds (60: it never does).
  const round = fc.record({ rest: fc.integer({ min: 0, max: 3 * DAY }), failures: fc.constantFrom(0, 1, 5, 60) });
  fc.assert(
    fc.property(
      fc.array(round, { minLength: 1, maxLength: 8 }),
      fc.infiniteStream(fc.double({ min: 0, max: 0.99, noNaN: true })),
      (rounds, random) => {
        let state: Delivery = { ...DELIVERY, nextAt: NOW };
        for (const { rest, failures } of rounds) {
          const begin = (state.attempts.at(-1)?.at ?? NOW) + 100 + rest;
          let left = failures;
          const again = { ...state, status: "pending", nextAt: begin } as const;
          state = tryUntilOver(
            again,
            () => (left-- > 0 ? 500 : 200),
            () => random.next().value,
          );
          const times = state.attempts.map(({ at }) => at).filter((at) => at >= begin);
          assert.equal(state.status, failures === 60 ? "failed" : "delivered");
          if (failures === 60) assert.equal(times.at(-1), begin + DAY);
          else assert.equal(times.length, failures + 1);
          assert.ok(state.attempts.length <= 50);
        }
      },
    ),
  );
});

test("of very many tries the last 50 are kept", () => {
  let state = DELIVERY;
  for (let at = NOW; at < NOW + 60; at++) {
    state = afterTry(state, { at, status: 500, error: null, duration: 0 }, RULES);
  }
  assert.deepEqual(
    state.attempts.map(({ at }) => at - NOW),
    Array.from({ length: 50 }, (_, index) => index + 10),
  );
});

test("turns follow each other twice as fast as the host answers, and none is more than five minutes away", () => {
  const lanes = new Lanes();
  for (let sent = 0; sent < 4; sent++) lanes.enter("slow");
  assert.equal(lanes.hasRoom("slow"), false);
  assert.equal(lanes.hasRoom("quick"), true);
  assert.equal(lanes.nextTurn("slow", NOW), null);
  lanes.leave("slow", 10_000, NOW);
  assert.equal(lanes.hasRoom("slow"), true);
  const turns = Array.from({ length: 1000 }, () => lanes.nextTurn("slow", NOW)! - NOW);
  assert.deepEqual(turns.slice(0, 3), [1250, 2500, 3750]);
  assert.equal(turns.at(-1), 300_000);
});
