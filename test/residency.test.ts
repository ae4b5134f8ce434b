/** Which models stay on a card when another one needs room. What users of other servers complain about is tested by name. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  decideResidency,
  MIN_RESIDENCY_MS,
  type Resident,
  type ResidencyDecision,
  type ResidencyInput,
  type WantedModel,
} from "../src/scheduler/residency.ts";

const GIB = 2 ** 30;
const NOW = 1_000_000;
const LONG_AGO = NOW - 10 * MIN_RESIDENCY_MS;

/** A model that nobody has used for a while, changed as the test wants. */
function resident(id: number, changes: Partial<Resident> = {}): Resident {
  return {
    id,
    model: `model-${id}`,
    memory: 10 * GIB,
    state: "ready",
    running: 0,
    waiting: 0,
    lastUsedAt: LONG_AGO,
    loadedAt: LONG_AGO,
    loadSeconds: 10,
    fileBytes: 9 * GIB,
    pinned: false,
    ...changes,
  };
}

interface Setting {
  readonly residents?: readonly Resident[];
  readonly wanted?: Partial<WantedModel>;
  readonly total?: number;
  readonly reserved?: number;
  readonly claimed?: number;
  readonly now?: number;
}

/** On a card of 24 GiB, for a model of 10 GiB that has waited for long. */
function decide({
  residents = [],
  wanted = {},
  total = 24 * GIB,
  reserved = 0,
  claimed = 0,
  now = NOW,
}: Setting): ResidencyDecision {
  const asked = { model: "wanted", memory: 10 * GIB, waitingSince: LONG_AGO, ...wanted };
  return decideResidency({ card: { total, reserved }, residents, wanted: asked, claimed, now });
}

const evict = (...ids: number[]): ResidencyDecision => ({ do: "evict", ids });
/** What it waits for, without who is to go later. */
const waits = (decision: ResidencyDecision) => {
  assert.ok(decision.do === "wait", decision.do);
  return { drain: decision.drain, until: decision.until };
};
const wait = (drain: number[] = [], until: number | null = null) => ({ drain, until });

test("a model is loaded at once where there is room, counted in bytes and not in models", () => {
  assert.deepEqual(decide({}), { do: "load" });
  const small = [1, 2, 3, 4, 5, 6].map((id) => resident(id, { memory: 2 * GIB }));
  assert.deepEqual(decide({ residents: small }), { do: "load" });
  assert.deepEqual(decide({ residents: [resident(1, { memory: 15 * GIB })] }), evict(1));
});

test("a model that is there, or is being loaded, is not loaded again", () => {
  for (const state of ["ready", "loading"] as const)
    assert.deepEqual(decide({ residents: [resident(1, { model: "wanted", state })] }), { do: "nothing", id: 1 });
});

test("a request for a model that is leaving waits until it is gone, even with room for a second copy", () => {
  const leaving = resident(1, { model: "wanted", state: "unloading", memory: GIB });
  assert.deepEqual(waits(decide({ residents: [leaving] })), wait());
  assert.deepEqual(decide({}), { do: "load" });
});

test("a model that can never fit evicts nothing, and both numbers are told", () => {
  const residents = [resident(1), resident(2)];
  const tooLarge = { memory: 30 * GIB };
  assert.deepEqual(decide({ residents, wanted: tooLarge }), {
    do: "impossible",
    why: "card",
    needed: 30 * GIB,
    available: 24 * GIB,
  });
});

test("what others take, and what is pinned, is not made room of", () => {
  const wanted = { memory: 15 * GIB };
  const pinned = resident(1, { pinned: true });
  assert.deepEqual(decide({ residents: [pinned], wanted }), {
    do: "impossible",
    why: "pinned",
    needed: 15 * GIB,
    available: 14 * GIB,
  });
  assert.deepEqual(decide({ residents: [resident(1)], wanted, reserved: 10 * GIB }), {
    do: "impossible",
    why: "others",
    needed: 15 * GIB,
    available: 14 * GIB,
  });
  assert.deepEqual(decide({ residents: [pinned, resident(2, { memory: 8 * GIB })] }), evict(2));
});

test("memory that is being given back is waited for, and nothing is evicted for it", () => {
  const residents = [resident(1, { state: "unloading" }), resident(2)];
  assert.deepEqual(waits(decide({ residents })), wait());
  assert.deepEqual(decide({ residents, wanted: { memory: 20 * GIB } }), evict(2), "only what that does not give");
});

test("of idle models the one goes that is cheapest to bring back: seconds to load for each second idle", () => {
  const [slow, fast] = [resident(1, { loadSeconds: 60 }), resident(2, { loadSeconds: 5 })];
  assert.deepEqual(decide({ residents: [slow, fast] }), evict(2));
  const [idle, used] = [resident(1), resident(2, { lastUsedAt: NOW - 1000 })];
  assert.deepEqual(decide({ residents: [idle, used] }), evict(1));
  const unmeasured = resident(2, { loadSeconds: null, fileBytes: 4 * GIB });
  assert.deepEqual(
    decide({ residents: [resident(1), unmeasured] }),
    evict(2),
    "by its file where nothing was measured",
  );
});

test("no more is evicted than is needed", () => {
  const residents = [
    resident(1, { memory: GIB, loadSeconds: 1 }),
    resident(2, { memory: 2 * GIB, loadSeconds: 2 }),
    resident(3, { memory: 20 * GIB, loadSeconds: 3 }),
  ];
  assert.deepEqual(decide({ residents }), evict(3));
  const both = [resident(1, { memory: 12 * GIB, loadSeconds: 1 }), resident(2, { memory: 12 * GIB, loadSeconds: 2 })];
  assert.deepEqual(decide({ residents: both, wanted: { memory: 20 * GIB } }), evict(1, 2));
});

test("a model that was loaded a moment ago goes only when it is idle and nothing else helps", () => {
  const young = resident(1, { loadedAt: NOW - 1000, lastUsedAt: NOW - 1000, loadSeconds: 1 });
  assert.deepEqual(decide({ residents: [young, resident(2, { loadSeconds: 1000 })] }), evict(2));
  assert.deepEqual(decide({ residents: [{ ...young, memory: 20 * GIB }] }), evict(1));
});

test("a model that works or loads is never evicted", () => {
  const busy = resident(1, { running: 1, memory: 20 * GIB });
  assert.deepEqual(waits(decide({ residents: [busy] })), wait([1]));
  const loading = resident(1, { state: "loading", memory: 20 * GIB });
  assert.deepEqual(waits(decide({ residents: [loading] })), wait());
  assert.deepEqual(waits(decide({ residents: [busy, resident(2, { memory: 4 * GIB, running: 1 })] })), wait([1]));
});

test("what works is drained only for a model that has waited for a while, and not before it was of use for a while", () => {
  const busy = resident(1, { running: 1, memory: 20 * GIB });
  const since = NOW - 1000;
  assert.deepEqual(
    waits(decide({ residents: [busy], wanted: { waitingSince: since } })),
    wait([], since + MIN_RESIDENCY_MS),
  );
  const young = { ...busy, loadedAt: since };
  assert.deepEqual(waits(decide({ residents: [young] })), wait([], since + MIN_RESIDENCY_MS));
  assert.deepEqual(waits(decide({ residents: [young], now: since + MIN_RESIDENCY_MS })), wait([1]));
});

test("an idle model for which tasks wait counts as in demand, and one that nobody waits for goes first", () => {
  const awaited = resident(1, { waiting: 3, loadSeconds: 1 });
  assert.deepEqual(decide({ residents: [awaited, resident(2, { loadSeconds: 1000 })] }), evict(2));
  const alone = [resident(1, { waiting: 3, memory: 20 * GIB })];
  const since = NOW - 1;
  assert.deepEqual(
    waits(decide({ residents: alone, wanted: { waitingSince: since } })),
    wait([], since + MIN_RESIDENCY_MS),
  );
  assert.deepEqual(decide({ residents: alone }), evict(1), "after a while it is the other one's turn");
});

test("of models in demand the one goes for which the fewest tasks wait", () => {
  const residents = [resident(1, { running: 1, waiting: 5 }), resident(2, { running: 4, waiting: 1 })];
  assert.deepEqual(waits(decide({ residents })), wait([2]));
});

// --- whatever there is -------------------------------------------------------------------------------------------

const anyResident = (id: number): fc.Arbitrary<Resident> =>
  fc.record({
    id: fc.constant(id),
    model: fc.constantFrom("wanted", "a", "b").map((name) => (name === "wanted" && id === 0 ? name : `${name}-${id}`)),
    memory: fc.integer({ min: 1, max: 10 }),
    state: fc.constantFrom("ready", "ready", "ready", "loading", "unloading"),
    running: fc.constantFrom(0, 0, 0, 1, 5),
    waiting: fc.constantFrom(0, 0, 0, 1, 9),
    lastUsedAt: fc.integer({ min: LONG_AGO, max: NOW }),
    loadedAt: fc.integer({ min: LONG_AGO, max: NOW }),
    loadSeconds: fc.option(fc.integer({ min: 1, max: 100 })),
    fileBytes: fc.integer({ min: 1, max: 100 }),
    pinned: fc.constantFrom(false, false, true),
    keepAlive: fc.option(fc.integer({ min: 0, max: 20 * MIN_RESIDENCY_MS })),
  });

const anyInput: fc.Arbitrary<ResidencyInput> = fc
  .record({
    residents: fc.nat(6).chain((count) => fc.tuple(...Array.from({ length: count }, (_, id) => anyResident(id)))),
    free: fc.nat(8),
    reserved: fc.nat(8),
    wanted: fc.record({
      model: fc.constant("wanted"),
      memory: fc.integer({ min: 1, max: 40 }),
      waitingSince: fc.integer({ min: LONG_AGO, max: NOW }),
    }),
  })
  .map(({ residents, free, reserved, wanted }) => {
    const total = residents.reduce((sum, { memory }) => sum + memory, 0) + reserved + free;
    return { card: { total, reserved }, residents, wanted, claimed: 0, now: NOW };
  });

const sum = (residents: readonly Resident[]): number => residents.reduce((total, { memory }) => total + memory, 0);

test("whatever there is: only idle models go, they are enough, and none of them goes for nothing", () => {
  fc.assert(
    fc.property(anyInput, (input) => {
      const decision = decideResidency(input);
      const { residents, card, wanted } = input;
      if (decision.do === "load") assert.ok(wanted.memory <= card.total - card.reserved - sum(residents));
      if (decision.do !== "evict") return;
      const gone = residents.filter(({ id }) => decision.ids.includes(id));
      assert.equal(gone.length, decision.ids.length);
      assert.ok(gone.length > 0);
      for (const { state, running, pinned } of gone) assert.deepEqual([state, running, pinned], ["ready", 0, false]);
      const left = residents.filter((one) => !gone.includes(one) && one.state !== "unloading");
      const room = card.total - card.reserved - sum(left);
      assert.ok(room >= wanted.memory);
      for (const { memory } of gone) assert.ok(room - memory < wanted.memory, "one of them could have stayed");
    }),
  );
});

test("whatever there is: impossible means that even everything that may go is not enough, and nothing else does", () => {
  fc.assert(
    fc.property(anyInput, (input) => {
      const { residents, card, wanted } = input;
      const decision = decideResidency(input);
      if (decision.do === "nothing") return;
      const stays = residents.filter(({ pinned, state }) => pinned && state !== "unloading");
      const room = card.total - card.reserved - sum(stays);
      assert.equal(decision.do === "impossible", wanted.memory > room);
    }),
  );
});

test("whatever there is: the same models in another order give the same decision", () => {
  fc.assert(
    fc.property(anyInput, (input) => {
      const turned = { ...input, residents: input.residents.toReversed() };
      assert.deepEqual(decideResidency(turned), decideResidency(input));
    }),
  );
});

test("whatever there is: a model that may be loaded one day is, when what it waits for happens", () => {
  fc.assert(
    fc.property(anyInput, (input) => {
      let { residents, now } = input;
      for (let step = 0; step < 50; step++) {
        const decision = decideResidency({ ...input, residents, now });
        if (decision.do === "load" || decision.do === "nothing" || decision.do === "impossible") return;
        if (decision.do === "evict") {
          residents = residents.filter(({ id }) => !decision.ids.includes(id));
          continue;
        }
        const { drain, until } = decision;
        if (until !== null) {
          assert.ok(until > now);
          now = until;
        } else if (drain.length > 0) {
          residents = residents.map((one) => (drain.includes(one.id) ? { ...one, running: 0, lastUsedAt: now } : one));
        } else {
          // Loads and unloads come to an end by themselves.
          residents = residents
            .filter(({ state }) => state !== "unloading")
            .map((one) => (one.state === "loading" ? { ...one, state: "ready", loadedAt: now } : one));
        }
      }
      assert.fail("it waits for ever");
    }),
  );
});

test("two models in constant demand that do not fit beside each other take turns, and do not load for each task", () => {
  let now = 0;
  let loads = 0;
  let inside = null as Resident | null;
  const since: Record<string, number> = { a: 0, b: 0 };
  const end = 20 * MIN_RESIDENCY_MS;
  while (now < end) {
    now += 500;
    // Tasks of both arrive all the time: the one that is loaded always has some to run.
    const wanted = inside?.model === "a" ? "b" : "a";
    const decision = decideResidency({
      card: { total: 10, reserved: 0 },
      residents: inside === null ? [] : [inside],
      wanted: { model: wanted, memory: 8, waitingSince: since[wanted]! },
      claimed: 0,
      now,
    });
    if (decision.do === "load") {
      loads++;
      inside = resident(loads, { model: wanted, memory: 8, loadedAt: now, lastUsedAt: now, running: 1, waiting: 5 });
    } else if (decision.do === "evict") {
      since[inside!.model] = now;
      inside = null;
    } else if (decision.do === "wait" && inside !== null) {
      const { drain } = decision;
      inside = { ...inside, running: drain.includes(inside.id) ? 0 : 1, lastUsedAt: now };
    }
  }
  assert.ok(loads >= 15 && loads <= 21, `${loads} loads in 20 turns`);
});
