/** The parts of a leader that stand for one machine: its signs of life, its commands, its runs of an earlier server. */
import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { test } from "node:test";
import { AgentRuns } from "../src/cluster/agent-runs.ts";
import { CommandLink } from "../src/cluster/command-link.ts";
import { EarlyStates } from "../src/cluster/early-states.ts";
import { Machine, type MachineEvents } from "../src/cluster/machine.ts";
import {
  type AgentState,
  type Command,
  type FromAgent,
  MOST_MISSED,
  type News,
  PROTOCOL,
} from "../src/cluster/messages.ts";
import { type AnyPool, NOT_STARTED } from "../src/gpu/any-pool.ts";
import { completionOf } from "../src/request.ts";
import { newTask } from "../src/task.ts";

const NOTHING = { gpus: [], models: [], readiness: { ready: false, reason: null } };
const STATE: AgentState = {
  gpus: [{ id: 0, key: "card" }],
  facts: [],
  runs: [],
  ends: [],
  questions: [],
  look: NOTHING,
};

function said(number: number, more: Partial<FromAgent> = {}): FromAgent {
  const about = { version: PROTOCOL, incarnation: "a", number, epoch: 1, leader: null, session: 0, heard: 0, news: [] };
  return { ...about, ...more };
}

/** One that is there, whose messages nobody hears. */
function unheard(): { machine: Machine; nobody: () => void; asks: boolean[] } {
  const all: (() => void)[] = [];
  const asks: boolean[] = [];
  const events: MachineEvents = {
    send: (_incarnation, { ask }, nobody) => {
      asks.push(ask);
      if (nobody !== undefined) all.push(nobody);
    },
    idsOf: () => new Map([["card", 0]]),
    news: () => {},
    facts: () => {},
    state: () => {},
    gone: () => {},
  };
  const machine = new Machine("one", "leader", events);
  machine.receive(said(1, { state: STATE }));
  const nobody = (): void => all.splice(0).forEach((tell) => tell());
  return { machine, nobody, asks };
}

test("many messages that nobody hears between two signs of life count as one", async () => {
  const { machine, nobody } = unheard();
  for (let count = 0; count < 5; count++) {
    machine.give({ type: "cancel", key: "task:1:a" });
    await turn();
  }
  nobody();
  assert.equal(machine.whyGone, null);
  machine.tick();
  nobody();
  assert.match(machine.whyGone!, /has closed its connection/);
});

test("after the leader's own reconnect nobody listens for a while, which is no closed connection", () => {
  const { machine, nobody } = unheard();
  machine.forgive();
  for (let tick = 1; tick < MOST_MISSED; tick++) {
    machine.tick();
    nobody();
    assert.equal(machine.whyGone, null);
  }
  // Once it was heard, it has its connection again.
  machine.receive(said(2));
  for (let tick = 0; tick < 2; tick++) {
    machine.tick();
    nobody();
  }
  assert.match(machine.whyGone!, /has closed its connection/);
});

test("a machine is asked again for a state that does not come, and not after it has come", () => {
  const { machine, asks } = unheard();
  machine.ask();
  for (let tick = 0; tick < 4; tick++) machine.tick();
  assert.deepEqual(asks, [true, false, true, false, true]);
  machine.receive(said(2, { state: STATE }));
  for (let tick = 0; tick < 4; tick++) machine.tick();
  assert(!asks.slice(5).includes(true));
});

test("an agent that comes anew is asked, whatever the one before it was asked", () => {
  const { machine, asks } = unheard();
  machine.receive(said(2, { leaves: true }));
  machine.receive(said(3));
  const before = asks.filter(Boolean).length;
  machine.receive(said(1, { incarnation: "b" }));
  machine.receive(said(2, { incarnation: "b" }));
  assert.equal(asks.filter(Boolean).length, before + 1);
});

test("a state that names a GPU which its machine has not changes nothing", () => {
  const { machine } = unheard();
  const run = { key: "task:1:a", instance: { gpuId: 7, id: 0 }, output: [] };
  assert.throws(() => machine.receive(said(2, { state: { ...STATE, runs: [run] } })), /names GPU 7/);
  assert.equal(machine.localId(0), 0);
});

test("commands that are large together travel in several messages, in their order", async () => {
  const sent: [number, number][] = [];
  const link = new CommandLink((first, commands) => void sent.push([first, commands.length]));
  const large: Command = { type: "forget", keys: ["x".repeat(1_500_000)] };
  for (let count = 0; count < 5; count++) link.give(large);
  await turn();
  assert.deepEqual(sent, [
    [1, 2],
    [3, 2],
    [5, 1],
  ]);
  link.obeyed(2);
  for (let tick = 0; tick < 4; tick++) link.tick();
  assert.deepEqual(sent.slice(3), [
    [3, 2],
    [5, 1],
  ]);
});

test("a run is adopted from the machine whose GPU the task has, also when another one claims it first", () => {
  const wishes = { strategy: "round_robin", taskType: "", priority: "normal", timeoutSeconds: null } as const;
  const unasked = { batchId: null, wholeBatch: false, retryOf: null, webhook: null, pinnedGpuId: null } as const;
  const request = completionOf("hello", {});
  const about = { id: "task", seq: 1, user: "ada", model: null, createdAt: 0, request };
  const task = newTask({ ...wishes, ...unasked, ...about });
  task.attempts.push({ gpuId: 5, startedAt: 0, endedAt: null, reason: null });
  task.gpuId = 5;
  const early = new EarlyStates();
  const [liar, true_] = [{ idOf: () => 4 }, { idOf: () => 5 }] as unknown as [Machine, Machine];
  const run = { key: "task:1:a", instance: { gpuId: 0, id: 0 }, output: [] };
  early.set(liar, { ...STATE, runs: [run] });
  early.set(true_, { ...STATE, runs: [{ ...run, key: "task:11:a" }, run] });
  assert.deepEqual(early.find(task), { machine: true_, run });
});

const FAILING = {
  run: () => {
    throw new Error("no such instance");
  },
} as unknown as AnyPool;

test("a run whose start throws on its machine has ended there, and the server is told", () => {
  const told: News[] = [];
  const runs = new AgentRuns({ tell: (news) => void told.push(news), isWatching: () => true, delta: () => {} });
  const about = { user: "ada", model: null, request: completionOf("hello"), watched: false };
  const wire = { key: "task:1:a", instance: { gpuId: 0, id: 0 }, ...about };
  assert.throws(() => runs.run(FAILING, wire, true), /no such instance/);
  const { key, instance } = wire;
  assert.deepEqual(told, [{ type: "ended", key, instance, outcome: NOT_STARTED, use: null }]);
  assert.deepEqual([runs.runs, runs.ends.length], [[], 1]);
});
