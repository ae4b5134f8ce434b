/** What becomes of tasks whose GPU crashes, fails, vanishes or is drained. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type GpuState } from "../src/gpu/facts.ts";
import { attemptNumber, type Outcome, shownGpuId, type Task } from "../src/task.ts";
import { facts, NO_LIMITS, World } from "./helpers/scheduling.ts";

const gpusOf = (tasks: readonly Task[]): (number | null)[] => tasks.map(shownGpuId);
const statesOf = (tasks: readonly Task[]): string[] => tasks.map((task) => task.status);
const reasonsOf = (task: Task): (string | null)[] => task.attempts.map(({ reason }) => reason);

/** States of a GPU that serves no more. */
const OUT = ["draining", "drained", "unfit", "faulted", "lost"] as const satisfies readonly GpuState[];

// --- going back into the queue -----------------------------------------------------------------------------------

test("tasks of a lost worker go back to their place in the queue, and run elsewhere", () => {
  const world = new World([facts(0, { slots: 1 }), facts(1, { slots: 1 })]);
  const [first, second, third] = world.submitMany(3, { strategy: "round_robin" }) as [Task, Task, Task];
  world.fail(0, "starting", "worker_crash");
  assert.deepEqual([first.status, first.gpuId, first.startedAt], ["queued", null, null]);
  world.complete(second);
  assert.deepEqual([first.gpuId, third.status], [1, "queued"], "it is older than the third");
  assert.deepEqual(
    first.attempts.map(({ gpuId, reason }) => [gpuId, reason]),
    [
      [0, "worker_crash"],
      [1, null],
    ],
  );
});

test("a GPU whose worker is gone is given nothing, also when its state is told only afterwards", () => {
  const world = new World([facts(0)]);
  const task = world.submit();
  world.interrupt(0, "gpu_lost");
  assert.deepEqual([task.status, world.submit().status, world.loads()], ["queued", "queued", [0]]);
  world.tell(facts(0, { state: "faulted" }));
  assert.equal(task.status, "queued");
  world.recover(0);
  assert.equal(task.status, "running");
});

test("a task that a failing GPU cuts off again and again fails with a sentence and the code of the last reason", () => {
  const world = new World([facts(0)], { maxAttempts: 3 });
  const task = world.submit();
  for (let time = 0; time < 3; time++) {
    assert.equal(task.status, "running");
    world.fail(0, "faulted");
    world.recover(0);
  }
  assert.deepEqual([task.status, task.error?.code, world.loads()], ["failed", "gpu_lost", [0]]);
  assert.match(task.error!.sentence, /cut off 3 times, .* its GPU failed .*tasks\.max_attempts is 3/);
});

test("what has happened to a GPU is told with the attempts that it has cut off, and with the end of a task that is given up", () => {
  const world = new World([facts(0)], { maxAttempts: 1 });
  const [task] = world.submitMany(2) as [Task];
  const why = "The server at http://far cannot be reached: the connection was refused.";
  world.interrupt(0, "gpu_lost", why);
  assert.deepEqual([task.status, task.attempts[0]!.error], ["failed", why]);
  const sentence = `The task was cut off once, the last time because its GPU failed (tasks.max_attempts is 1): ${why}`;
  assert.equal(task.error!.sentence, sentence);
});

test("what is no fault of a task costs it no attempt, however often: drains, restarts of the server, workers that had to go", () => {
  for (const reason of ["gpu_drained", "server_stop", "worker_stopped"] as const) {
    const world = new World([facts(0)], { maxAttempts: 1 });
    const tasks = world.submitMany(2);
    for (let time = 0; time < 5; time++) {
      world.tell(facts(0, { state: "drained" }));
      world.interrupt(0, reason);
      world.recover(0);
    }
    assert.deepEqual(
      [statesOf(tasks), reasonsOf(tasks[0]!).slice(0, 5)],
      [["running", "running"], Array(5).fill(reason)],
    );
  }
});

test("a task for which a GPU has no memory is tried on another one, and fails when that does not help", () => {
  const world = new World([facts(0), facts(1)], { maxAttempts: 2 });
  const task = world.submit();
  const first = task.gpuId!;
  const cutOff = { status: "interrupted", reason: "out_of_memory", sentence: "No memory left." } as const;
  world.scheduler.finished(task, cutOff);
  assert.deepEqual([task.status, task.gpuId, reasonsOf(task)], ["running", 1 - first, ["out_of_memory", null]]);
  world.scheduler.finished(task, cutOff);
  assert.deepEqual([task.status, task.error?.code, world.loads()], ["failed", "out_of_memory", [0, 0]]);
});

test("other errors are not tried again", () => {
  for (const code of ["model_error", "prompt_too_long"] as const) {
    const world = new World([facts(0)]);
    const task = world.submit();
    world.scheduler.finished(task, { status: "failed", error: { code, sentence: "No." } });
    assert.deepEqual([task.status, task.error?.code, task.attempts.length], ["failed", code, 1]);
  }
});

test("a task is tried again after a pause that doubles, and does not hold up others meanwhile", () => {
  const world = new World([facts(0, { slots: 1 })], { retryBackoff: 10, maxAttempts: 5 });
  const task = world.submit();
  for (const pause of [10, 20, 40]) {
    world.fail(0, "faulted");
    world.recover(0);
    const other = world.submit();
    assert.deepEqual([task.status, other.status], ["queued", "running"]);
    world.complete(other);
    world.pass(pause - 1);
    assert.deepEqual([task.status, world.scheduler.queueSize], ["queued", 1]);
    world.pass(1);
    assert.equal(task.status, "running");
  }
});

test("a task that rests can be canceled, and waits for its GPU when that is gone meanwhile", () => {
  const world = new World([facts(0), facts(1, { state: "hot" })], { retryBackoff: 10 });
  const [canceled, bound] = [world.submit(), world.batch(2, "whole")[0]!];
  world.fail(0, "faulted");
  world.scheduler.cancel([canceled]);
  assert.deepEqual([canceled.status, world.scheduler.queueSize], ["canceled", 2]);
  world.tell(facts(0, { state: "lost" }));
  world.recover(1);
  world.pass(10);
  assert.deepEqual([bound.status, bound.gpuId], ["running", 1]);
});

test("a task that is being canceled does not run again when its worker dies", () => {
  const world = new World([facts(0)]);
  const task = world.submit();
  world.scheduler.cancel([task]);
  world.crash(0);
  assert.deepEqual([task.status, world.started.length, world.scheduler.queueSize], ["canceled", 1, 0]);
});

// --- servers that are full, and runs that are cut off by themselves ----------------------------------------------

const FULL: Outcome = { status: "interrupted", reason: "gpu_full", sentence: "It takes no more now." };
const CUT_OFF: Outcome = { status: "interrupted", reason: "gpu_lost", sentence: "The connection was closed." };

/** The server behind a task's GPU takes no more, told in the order in which a GPU tells it. */
function refuse(world: World, task: Task): void {
  world.tell({ ...world.factsOf(task.gpuId!), crowded: "server_full" });
  world.scheduler.finished(task, FULL);
}

test("a task that a full server sends away goes to another GPU at once, and back to that one as soon as it has room", () => {
  const world = new World([facts(0, { slots: 1 }), facts(1, { slots: 1 })], { maxAttempts: 1, retryBackoff: 10 });
  const [task, other] = world.submitMany(2, { strategy: "round_robin" }) as [Task, Task];
  world.complete(other);
  refuse(world, task);
  assert.deepEqual([task.status, task.gpuId, task.placement?.others], ["running", 1, { server_full: 1 }]);
  world.tell(facts(0, { slots: 1 }));
  refuse(world, task);
  assert.deepEqual(
    [task.status, task.gpuId],
    ["running", 0],
    "neither a pause, nor is a GPU that was full one that failed",
  );
  assert.deepEqual(reasonsOf(task), ["gpu_full", "gpu_full", null]);
  world.complete(task);
  assert.equal(task.status, "completed");
});

test("while all servers are full a task waits at its place, and costs none of its attempts", () => {
  const world = new World([facts(0, { slots: 1 })], { maxAttempts: 1, retryBackoff: 10 });
  const [first, second] = world.submitMany(2) as [Task, Task];
  for (let round = 0; round < 3; round++) {
    refuse(world, first);
    assert.deepEqual([first.status, second.status, world.loads()], ["queued", "queued", [0]]);
    world.tell(facts(0, { slots: 1 }));
    assert.equal(first.status, "running");
  }
  world.fail(0, "faulted");
  assert.deepEqual(
    [first.status, first.error?.code],
    ["failed", "gpu_lost"],
    "which is the first thing held against it",
  );
});

test("a task that full servers send away again and again rests longer and longer, so that others come before it", () => {
  const world = new World([facts(0, { slots: 1 })]);
  const [bad, ...others] = world.submitMany(6) as [Task, ...Task[]];
  const told = { ...FULL, retryAfter: 2 };
  const refuseIt = () => {
    world.tell({ ...world.factsOf(0), crowded: "server_full" });
    world.scheduler.finished(bad, told);
    world.pass(2);
    world.tell(facts(0, { slots: 1 }));
  };
  for (let refusal = 0; refusal < 3; refusal++) refuseIt();
  assert.equal(bad.status, "running", "three times it keeps its place");
  refuseIt();
  assert.deepEqual([bad.status, others[0]!.status], ["queued", "running"]);
  world.complete(others[0]!);
  assert.equal(others[1]!.status, "running", "it rests a second more than its server was left alone");
  world.pass(1);
  world.complete(others[1]!);
  assert.equal(bad.status, "running");
  refuseIt();
  world.complete(others[2]!);
  world.pass(1.9);
  world.complete(others[3]!);
  assert.deepEqual([bad.status, others[4]!.status], ["queued", "running"]);
  world.pass(0.1);
  world.complete(others[4]!);
  assert.equal(bad.status, "running");
  assert.equal(bad.attempts.find(({ unlisted }) => unlisted !== undefined)!.unlisted, 2);
});

test("a task that full servers send away again and again keeps few attempts, and their number", () => {
  const world = new World([facts(0), facts(1)], { maxAttempts: 2 });
  const task = world.submit({ strategy: "round_robin" });
  world.scheduler.finished(task, CUT_OFF);
  for (let round = 0; round < 10_000; round++) {
    const gpu = world.factsOf(task.gpuId!);
    refuse(world, task);
    world.tell(gpu);
    world.pass(15);
  }
  assert.deepEqual(reasonsOf(task), ["gpu_lost", "gpu_full", "gpu_full", "gpu_full", null]);
  assert.equal(attemptNumber(task), 10_002);
  world.scheduler.finished(task, CUT_OFF);
  assert.deepEqual([task.status, attemptNumber(task)], ["failed", 10_002]);
});

test("who is sent away by full servers has waited since before, and not since then", () => {
  const world = new World([facts(0)], { queueTimeout: 60 });
  const task = world.submit();
  const restAfter = [0, 0, 0, 1, 2, 4, 8, 15, 15];
  for (const rest of restAfter) {
    refuse(world, task);
    world.tell(facts(0));
    world.pass(rest);
    assert.equal(task.status, "running");
    world.pass(1);
  }
  world.pass(59 - restAfter.reduce((sum, rest) => sum + rest + 1, 0));
  refuse(world, task);
  world.pass(0.5);
  assert.equal(task.status, "queued");
  world.pass(0.5);
  assert.deepEqual([task.status, task.error?.code], ["failed", "timeout"]);
  assert.equal(
    task.error!.sentence,
    "The task waited for 60 s and was refused by full servers 10 times, the last one that of GPU 0 (gpu.multi_gpu.queue_timeout).",
  );
});

test("a full server that sends away a task whose queue time is over ends it, and what waited for its slot starts at once", () => {
  const world = new World([facts(0, { slots: 1 })], { queueTimeout: 300 });
  const running = world.submit();
  world.pass(100);
  const waiting = world.submit({ pinnedGpuId: 0 });
  world.pass(201);
  assert.deepEqual(statesOf([running, waiting]), ["running", "queued"]);
  world.scheduler.finished(running, FULL);
  assert.deepEqual(statesOf([running, waiting]), ["failed", "running"]);
  assert.deepEqual(running.error, {
    code: "timeout",
    sentence:
      "The task waited for 300 s and was refused by full servers once, the last one that of GPU 0 (gpu.multi_gpu.queue_timeout).",
  });
  assert.ok(world.alarmAt > world.now, "no alarm is set for the past");
});

test("a task whose queue time is over when a full server sends it away took no tokens", () => {
  const limits = { ...NO_LIMITS, tokensPerMinute: 100 };
  const world = new World([facts(0, { context: 10_000 })], { queueTimeout: 60, limitsOf: () => limits });
  const large = world.submit({ maxTokens: 5000 });
  world.pass(61);
  assert.throws(() => world.submit(), { code: "rate_limited" });
  refuse(world, large);
  assert.deepEqual([large.status, world.submit().status], ["failed", "queued"]);
});

test("a task that is to be stopped ends when a full server sends it away", () => {
  const world = new World([facts(0)]);
  const [canceled, late] = [world.submit(), world.submit({ timeoutSeconds: 5 })];
  world.scheduler.cancel([canceled]);
  refuse(world, canceled);
  world.pass(5);
  refuse(world, late);
  assert.deepEqual([canceled.status, late.status, late.error?.code], ["canceled", "failed", "timeout"]);
});

test("one run that is cut off by itself counts, pauses and goes elsewhere, and its GPU goes on", () => {
  const world = new World([facts(0), facts(1, { state: "hot" })], { maxAttempts: 2, retryBackoff: 10 });
  const [task, neighbour] = world.submitMany(2) as [Task, Task];
  world.scheduler.finished(task, CUT_OFF);
  assert.deepEqual([task.status, reasonsOf(task), neighbour.status], ["queued", ["gpu_lost"], "running"]);
  assert.equal(world.submit().gpuId, 0, "others go there meanwhile");
  world.recover(1);
  assert.equal(task.status, "queued");
  world.pass(10);
  assert.deepEqual([task.gpuId, task.placement?.others], [1, { busy: 1 }]);
  world.scheduler.finished(task, CUT_OFF);
  assert.deepEqual([task.status, task.error?.code], ["failed", "gpu_lost"]);
  const { sentence } = CUT_OFF;
  assert.equal(
    task.error!.sentence,
    `The task was cut off 2 times, the last time because its GPU failed (tasks.max_attempts is 2): ${sentence}`,
  );
  assert.deepEqual(
    task.attempts.map(({ error }) => error),
    [sentence, sentence],
  );
});

// --- alone -------------------------------------------------------------------------------------------------------

test("a task that kills its workers fails alone: its neighbours of the first crash complete, and lose no attempt", () => {
  const world = new World([facts(0, { slots: 4 })], { maxAttempts: 1 });
  const neighbours = world.submitMany(2);
  const poison = world.submit();
  const late = world.submitMany(3);
  world.crash(0);
  for (let steps = 0; steps < 20; steps++) {
    const running = [...world.scheduler.instances[0]!.running];
    const suspects = running.filter((task) => reasonsOf(task).includes("worker_crash"));
    assert.ok(suspects.length === 0 || running.length === 1, "a suspect runs alone");
    if (running.includes(poison)) world.crash(0);
    else if (running[0] !== undefined) world.complete(running[0]);
  }
  assert.deepEqual([...statesOf(neighbours), ...statesOf(late)], Array(5).fill("completed"));
  assert.deepEqual(
    [poison.status, poison.error?.code],
    ["failed", "worker_crash"],
    "one counted attempt is all it has",
  );
});

test("a task that kills its worker twice while it runs there alone is poison", () => {
  const world = new World([facts(0)], { maxAttempts: 10 });
  const [poison, neighbour] = world.submitMany(2) as [Task, Task];
  world.crash(0);
  assert.equal(poison.status, "running");
  world.crash(0);
  assert.deepEqual([poison.status, neighbour.status], ["running", "queued"]);
  world.crash(0);
  assert.deepEqual([poison.status, poison.error?.code], ["failed", "poison"]);
  assert.deepEqual(
    poison.attempts.map(({ reason, alone }) => [reason, alone ?? false]),
    [
      ["worker_crash", false],
      ["worker_crash", true],
      ["worker_crash", true],
    ],
  );
  world.complete(neighbour);
  assert.equal(neighbour.status, "completed");
});

test("a task for which GPUs compute nonsense takes neighbours along once, and is over the second time", () => {
  const world = new World([facts(0, { slots: 3 }), facts(1, { slots: 3, state: "drained" })], { maxAttempts: 10 });
  const [culprit, ...neighbours] = world.submitMany(3) as [Task, Task, Task];
  world.fail(0, "faulted", "nonsense");
  world.recover(1);
  world.pass(60);
  assert.deepEqual([...world.scheduler.instances[1]!.running], [culprit], "alone");
  world.fail(1, "faulted", "nonsense");
  assert.deepEqual([culprit.status, culprit.error?.code], ["failed", "model_error"]);
  assert.match(culprit.error!.sentence, /^The model computed nonsense 2 times where this task ran/);
  assert.deepEqual(reasonsOf(culprit), ["gpu_lost", "gpu_lost"]);
  world.recover(0);
  for (const task of neighbours) {
    assert.deepEqual([...world.scheduler.instances[0]!.running], [task]);
    world.complete(task);
  }
  assert.deepEqual(statesOf(neighbours), ["completed", "completed"]);
});

test("suspects of one crash run one after the other, each on a GPU that is empty for it", () => {
  const world = new World([facts(0, { slots: 3 }), facts(1, { slots: 3 })]);
  const cut = world.batch(3, "whole").filter(({ gpuId }) => gpuId !== null);
  const home = cut[0]!.gpuId!;
  const other = world.submitMany(3, { pinnedGpuId: 1 - home });
  world.fail(home, "lost", "worker_crash");
  const seen: string[] = [];
  for (const task of other) world.complete(task);
  for (let i = 0; i < 3; i++) {
    const [task, ...rest] = [...world.scheduler.instances[1 - home]!.running];
    assert.deepEqual(rest, []);
    seen.push(task!.id);
    world.complete(task!);
  }
  assert.deepEqual([seen, statesOf(cut)], [cut.map(({ id }) => id), Array(3).fill("completed")]);
});

/** A world whose GPUs are busy, and a task that must run alone, older than all others. */
function withSuspect(slots: number[], gpuId: number | null): [World, Task, Task[]] {
  const world = new World(slots.map((count, id) => facts(id, { slots: count })));
  const attempts = [{ gpuId: 9, startedAt: 0, endedAt: 0, reason: "worker_crash" as const }];
  const suspect = world.task({ pinnedGpuId: gpuId, attempts });
  const others = slots.map((_, id) => world.submit({ pinnedGpuId: id }));
  world.scheduler.restore([suspect]);
  return [world, suspect, others];
}

test("a GPU empties for a task that must run alone, also when new tasks keep coming", () => {
  const [world, suspect, others] = withSuspect([2], null);
  const later = world.submitMany(2);
  assert.deepEqual([suspect.status, ...statesOf(later)], ["queued", "queued", "queued"]);
  world.complete(others[0]!);
  assert.deepEqual([suspect.status, ...statesOf(later)], ["running", "queued", "queued"], "and nothing beside it");
  world.complete(suspect);
  assert.deepEqual(statesOf(later), ["running", "running"]);
});

test("a GPU that was emptying for a task that found another one goes on", () => {
  const [world, suspect, others] = withSuspect([2, 2], null);
  const later = world.submitMany(2);
  world.complete(others[0]!);
  assert.deepEqual([suspect.gpuId, gpusOf(later), world.loads()], [0, [1, null], [1, 2]]);
});

test("other GPUs go on meanwhile, and what they cannot take does not fill the one that empties", () => {
  const [world, suspect, others] = withSuspect([2, 8], 0);
  assert.deepEqual(gpusOf(world.submitMany(6)), [1, 1, 1, 1, 1, 1]);
  assert.deepEqual(gpusOf(world.submitMany(2)), [1, null], "GPU 0 has a free slot that is not for them");
  world.complete(others[1]!);
  assert.deepEqual(world.loads(), [1, 8]);
  world.complete(others[0]!);
  assert.deepEqual([suspect.status, world.loads()], ["running", [1, 8]]);
});

// --- excluded ----------------------------------------------------------------------------------------------------

for (const reason of ["worker_crash", "gpu_lost"] as const) {
  test(`a task does not go back to the GPU that failed under it (${reason}) while another serves, and holds up nobody`, () => {
    const world = new World([facts(0, { slots: 1 }), facts(1, { slots: 1 })]);
    const [first, second, third] = world.submitMany(3, { strategy: "round_robin" }) as [Task, Task, Task];
    world.fail(0, "starting", reason);
    world.recover(0);
    assert.deepEqual(
      gpusOf([first, second, third]),
      [null, 1, 0],
      "the third is younger, and GPU 0 is good enough for it",
    );
    world.complete(second);
    const why = reason === "gpu_lost" ? "busy" : "reserved";
    assert.deepEqual([first.gpuId, first.placement?.others], [1, { [why]: 1 }], "a suspect would need it empty");
  });
}

for (const shut of [{ crowded: "used_by_others" }, { state: "hot" }] as const) {
  test(`a task goes back to the GPU that failed under it when the other one may be shut for long (${Object.keys(shut)[0]})`, () => {
    const world = new World([facts(0, { slots: 1 }), facts(1, { slots: 1, ...shut })]);
    const task = world.submit();
    world.crash(0);
    world.recover(0);
    assert.deepEqual([task.status, task.gpuId], ["running", 0]);
  });
}

test("a placement counts the GPUs that failed before", () => {
  const world = new World([facts(0), facts(1, { state: "starting" })]);
  const task = world.submit();
  world.crash(0);
  world.recover(1);
  assert.deepEqual([task.gpuId, task.placement?.others], [1, { failed_before: 1 }]);
});

test("a drain that cuts a task off excludes nothing", () => {
  const world = new World([facts(0), facts(1, { state: "hot" })]);
  const task = world.submit();
  world.tell(facts(0, { state: "drained" }));
  world.interrupt(0, "gpu_drained");
  world.recover(0);
  assert.deepEqual([task.gpuId, reasonsOf(task)], [0, ["gpu_drained", null]]);
});

for (const state of OUT) {
  test(`a task may go back to the GPU that failed under it when the other one is ${state}`, () => {
    const world = new World([facts(0), facts(1, { state: "starting" })]);
    const task = world.submit();
    world.crash(0);
    assert.equal(task.status, "queued");
    world.tell(facts(1, { state }));
    assert.deepEqual([task.gpuId, task.status], [0, "running"]);
  });
}

test("a task may go back when all GPUs have failed under it, or no other could hold it, or it may go to no other", () => {
  const everywhere = new World([facts(0), facts(1)]);
  const unlucky = everywhere.submit();
  const first = unlucky.gpuId!;
  everywhere.fail(first, "faulted");
  assert.equal(unlucky.gpuId, 1 - first);
  everywhere.recover(first);
  everywhere.fail(1 - first, "starting");
  assert.deepEqual([unlucky.gpuId, reasonsOf(unlucky)], [first, ["gpu_lost", "gpu_lost", null]]);

  const mappings = new Map([["summary", new Set([0])]]);
  const world = new World([facts(0, { slots: 8 }), facts(1, { context: 500, slots: 8 })], { mappings });
  const long = world.submit({ text: "x".repeat(5000) });
  const mapped = world.submit({ strategy: "task_specific", taskType: "summary" });
  const pinned = world.submit({ pinnedGpuId: 0 });
  const batch = world.batch(2, "whole", { strategy: "task_specific", taskType: "summary" });
  const back = [long, mapped, pinned, ...batch];
  world.fail(0, "starting");
  world.recover(0);
  assert.deepEqual(gpusOf(back), [0, 0, 0, 0, 0]);
  assert.ok(back.every((task) => task.status === "running" && task.attempts.length === 2));
});

// --- batches that are not to be split ----------------------------------------------------------------------------

for (const state of OUT) {
  test(`what waits of a batch goes to another GPU when its own is ${state}`, () => {
    const world = new World([facts(0, { slots: 1 }), facts(1, { state: "starting" })]);
    const batch = world.batch(3, "whole");
    const pinned = world.submit({ pinnedGpuId: 0 });
    world.tell(facts(0, { slots: 1, state }));
    assert.deepEqual(gpusOf(batch), [0, null, null]);
    assert.deepEqual(world.changed, batch.slice(1), "what changed is told, so that it is written");
    world.recover(1);
    assert.deepEqual([gpusOf(batch), batch[0]!.attempts.length], [[0, 1, 1], 1], "what runs may end where it is");
    assert.equal(pinned.boundTo, 0, "who asked for it waits for it");
  });
}

test("a batch stays bound to a GPU that is only being restarted, although it failed there", () => {
  for (const size of [2, 3]) {
    const world = new World([facts(0), facts(1, { state: "hot" })]);
    const batch = world.batch(size, "whole");
    world.fail(0, "starting", "worker_crash");
    assert.deepEqual([gpusOf(batch), world.scheduler.queueSize], [Array(size).fill(0), size]);
    world.recover(1);
    world.recover(0);
    assert.deepEqual([gpusOf(batch), world.loads()], [Array(size).fill(0), [1, 0]], "one suspect at a time");
  }
});

test("a waiting batch is not for a GPU that failed under any of its tasks", () => {
  const before = new World([facts(0)]);
  const batch = before.batch(3, "whole");
  before.fail(0, "faulted");
  batch[0]!.attempts.length = 0;
  const after = new World([facts(0), facts(1, { state: "starting" })]);
  after.scheduler.restore(batch.toReversed());
  assert.deepEqual(gpusOf(batch), [null, null, null]);
  after.recover(1);
  assert.deepEqual(gpusOf(batch), [1, 1, 1]);
});

const ORDERS = ["state first", "interruption first"] as const;

function failIn(order: (typeof ORDERS)[number], world: World): void {
  if (order === "interruption first") world.interrupt(0, "gpu_lost");
  world.tell(facts(0, { state: "faulted" }));
  if (order === "state first") world.interrupt(0, "gpu_lost");
}

for (const order of ORDERS) {
  test(`a batch cut off by a failure stays together (${order}), and its GPU is not taken again while another serves`, () => {
    const waiting = new World([facts(0), facts(1, { state: "starting" }), facts(2, { state: "starting" })]);
    const batch = waiting.batch(5, "whole");
    failIn(order, waiting);
    assert.deepEqual([gpusOf(batch), waiting.scheduler.queueSize], [Array(5).fill(null), 5]);
    waiting.recover(0);
    assert.deepEqual(gpusOf(batch), Array(5).fill(null), "it failed there");
    waiting.recover(2);
    assert.deepEqual([gpusOf(batch), waiting.loads()], [Array(5).fill(2), [0, 0, 2]]);

    // With three, what waits of the batch finds a slot at once; with five, some of it waits there too.
    for (const size of [3, 5]) {
      for (let seed = 0; seed < 5; seed++) checkMoved(seed, size, (world) => failIn(order, world));
    }
  });
}

function checkMoved(seed: number, size: number, fail: (world: World) => void): void {
  const gpus = [0, 1, 2].map((id) => facts(id));
  const world = new World(gpus, {}, seed);
  for (const pinnedGpuId of [1, 2]) world.submit({ pinnedGpuId });
  const batch = world.batch(size, "whole");
  assert.deepEqual(gpusOf(batch), Array(size).fill(0));
  fail(world);
  assert.equal(new Set(gpusOf(batch)).size, 1, "what is cut off follows the part that has found a GPU");
  assert.deepEqual(world.loads().toSorted(), [0, 1, 2]);
}

test("a batch goes to a GPU that can hold all of its texts; where none can, the ones too long are run to fail with a sentence", () => {
  const texts = ["short", "x".repeat(5000), "short"];
  const submit = (world: World): Task[] => {
    const tasks = texts.map((text) => world.task({ text, batchId: "batch", wholeBatch: true }));
    world.scheduler.submit(tasks, "whole");
    return tasks;
  };
  const gpus = [facts(0, { context: 500, slots: 3 }), facts(1, { slots: 1 })];
  assert.deepEqual(gpusOf(submit(new World(gpus))), [1, 1, 1]);

  const loading = new World([facts(0, { state: "starting", context: null, slots: 3 })]);
  const batch = submit(loading);
  loading.tell(gpus[0]!);
  assert.deepEqual(statesOf(batch), ["running", "running", "running"]);
});

test("a mapped task that would only fit a GPU it may not go to does not wait for ever", () => {
  const mappings = new Map([["summary", new Set([0])]]);
  const world = new World([facts(0, { context: 500 }), facts(1)], { mappings });
  const task = world.submit({ text: "x".repeat(5000), strategy: "task_specific", taskType: "summary" });
  assert.equal(task.gpuId, 0, "its engine says with which numbers it fails");
});

test("one task is taken out of a waiting batch whose types are mapped to different GPUs", () => {
  const mappings = new Map([
    ["a", new Set([0])],
    ["b", new Set([1])],
  ]);
  const world = new World([facts(0, { state: "hot" }), facts(1, { state: "hot" })], { mappings });
  const options = { strategy: "task_specific", wholeBatch: true, batchId: "batch" } as const;
  const tasks = ["a", "b", "b"].map((taskType) => world.task({ ...options, taskType }));
  world.scheduler.submit(tasks, "whole");
  world.scheduler.cancel([tasks[1]!]);
  world.scheduler.cancel([tasks[0]!]);
  assert.deepEqual([statesOf(tasks), world.scheduler.queueSize], [["canceled", "canceled", "queued"], 1]);
  world.recover(1);
  assert.equal(tasks[2]!.gpuId, 1);
});

// --- after a restart of the server -------------------------------------------------------------------------------

test("after a restart a pinned task waits for its GPU, even if there is none of that id", () => {
  const world = new World([facts(0)]);
  const task = world.task({ pinnedGpuId: 5 });
  world.scheduler.restore([task]);
  assert.deepEqual([task.status, task.boundTo, task.gpuId], ["queued", 5, null]);
  world.tell(facts(5));
  assert.equal(task.status, "running");
});

test("after a restart tasks remember which GPUs failed under them", () => {
  const before = new World([facts(0, { slots: 1 })]);
  const task = before.submit();
  before.fail(0, "faulted");
  const after = new World([facts(0), facts(1, { state: "starting" })]);
  after.scheduler.restore([task]);
  assert.equal(task.status, "queued");
  after.recover(1);
  assert.equal(task.gpuId, 1);
});

test("after a restart what ran of a batch on a GPU that serves no more follows the rest of it", () => {
  const before = new World([facts(0, { slots: 1 }), facts(1, { slots: 1 })]);
  before.submit({ pinnedGpuId: 1 });
  const batch = before.batch(3, "whole");
  before.tell(facts(0, { state: "draining" }));
  before.complete(before.started[0]!);
  assert.deepEqual(gpusOf(batch), [0, 1, 1]);
  const after = new World([facts(0, { state: "drained" }), facts(1), facts(2)]);
  after.scheduler.restore(batch);
  assert.deepEqual(
    [gpusOf(batch), statesOf(batch)],
    [
      [1, 1, 1],
      ["running", "running", "queued"],
    ],
  );
});
