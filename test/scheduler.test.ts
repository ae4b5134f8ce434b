import assert from "node:assert/strict";
import { test } from "node:test";
import { GPU_STATES, isServing } from "../src/gpu/facts.ts";
import { shownGpuId, type Task } from "../src/task.ts";
import { facts, World } from "./helpers/scheduling.ts";

const gpusOf = (tasks: readonly Task[]): (number | null)[] => tasks.map(shownGpuId);

test("a task that finds a slot runs at once, with its placement and attempt written down", () => {
  const world = new World([facts(0)]);
  const task = world.submit();
  assert.deepEqual([task.status, task.gpuId, task.startedAt], ["running", 0, 1000]);
  assert.deepEqual(task.attempts, [{ gpuId: 0, startedAt: 1000, endedAt: null, reason: null }]);
  assert.deepEqual(task.placement?.reason, { code: "lowest_load", load: 0, equals: 1 });
  assert.deepEqual(world.started, [task]);
});

test("a freed slot goes to the oldest task before anything else is told", () => {
  const world = new World([facts(0, { slots: 1 })]);
  const [first, second, third] = world.submitMany(3) as [Task, Task, Task];
  world.complete(first);
  assert.deepEqual(world.started, [first, second]);
  assert.deepEqual(world.changed, [second, first]);
  assert.equal(third.status, "queued");
});

test("a burst between two measurements spreads, because a placement counts at once", () => {
  const world = new World([
    facts(0, { slots: 8 }),
    facts(1, { slots: 8 }),
    facts(2, { slots: 8 }),
    facts(3, { slots: 8 }),
  ]);
  world.submitMany(16);
  assert.deepEqual(world.loads(), [4, 4, 4, 4]);
});

test("least_loaded draws among equals", () => {
  const chosen = new Set(
    Array.from({ length: 30 }, (_, seed) => new World([facts(0), facts(1), facts(2)], {}, seed).submit().gpuId),
  );
  assert.deepEqual([...chosen].toSorted(), [0, 1, 2]);
});

test("least_loaded counts what others use, in steps of 0.05", () => {
  const world = new World([facts(0, { othersUtilization: 0.4 }), facts(1, { othersUtilization: 0.02 })]);
  assert.deepEqual(gpusOf(world.submitMany(2)), [1, 0], "the second: 0.40 on GPU 0 against 0.50 on GPU 1");
});

test("round_robin takes turns in gpu_id order, and a GPU that comes or goes does not reset the turn", () => {
  const world = new World([0, 1, 2, 3].map((id) => facts(id, { slots: 8 })));
  const strategy = "round_robin";
  assert.deepEqual(gpusOf(world.submitMany(3, { strategy })), [0, 1, 2]);
  world.tell(facts(3, { state: "starting", slots: 8 }));
  assert.deepEqual(gpusOf(world.submitMany(1, { strategy })), [0]);
  world.tell(facts(3, { slots: 8 }));
  world.tell(facts(4, { slots: 8 }));
  assert.deepEqual(gpusOf(world.submitMany(5, { strategy })), [1, 2, 3, 4, 0]);
});

test("memory_optimized takes the most free memory after what running tasks have reserved", () => {
  const world = new World([facts(0, { memoryFree: 100_000 }), facts(1, { memoryFree: 140_000 })]);
  const strategy = "memory_optimized";
  assert.equal(world.submit({ strategy, maxTokens: 700 }).gpuId, 1);
  assert.equal(world.submit({ strategy, maxTokens: 10 }).gpuId, 0, "70,200 bytes are reserved on GPU 1");
});

test("memory_optimized uses a GPU that the engine has filled: the KV cache of its slots is set aside already", () => {
  const world = new World([facts(0, { memoryFree: 0 })]);
  world.submitMany(2, { strategy: "memory_optimized", maxTokens: 900 });
  assert.deepEqual(world.loads(), [2]);
});

test("task_specific waits for its GPUs while one of them serves, however busy, and goes elsewhere when none does", () => {
  const mappings = new Map([["summary", new Set([1])]]);
  const options = { strategy: "task_specific", taskType: "summary" } as const;
  for (const state of GPU_STATES) {
    const world = new World([facts(0), facts(1, { slots: 1 })], { mappings });
    const [first, second] = world.submitMany(2, options) as [Task, Task];
    assert.deepEqual([first.gpuId, second.status], [1, "queued"]);
    assert.equal(world.submit({ ...options, taskType: "other" }).gpuId, 0, "no mapping: as least_loaded over all");
    world.tell(facts(1, { slots: 1, state, crowded: "used_by_others" }));
    assert.equal(second.gpuId, isServing(state) ? null : 0, state);
  }
});

test("a mapping to a GPU that is not there counts as none", () => {
  const world = new World([facts(0)], { mappings: new Map([["summary", new Set([7])]]) });
  assert.equal(world.submit({ strategy: "task_specific", taskType: "summary" }).gpuId, 0);
});

test("a pinned task runs on its GPU or waits for it, and holds up nobody", () => {
  const world = new World([facts(0, { slots: 1 }), facts(1, { slots: 1 })]);
  const [first, second] = world.submitMany(2, { pinnedGpuId: 1 }) as [Task, Task];
  const other = world.submit();
  assert.deepEqual([first.status, second.status, second.boundTo, other.gpuId], ["running", "queued", 1, 0]);
  world.complete(other);
  assert.equal(second.status, "queued");
  world.complete(first);
  assert.deepEqual([second.status, second.placement?.strategy], ["running", "pinned"]);
});

test("a pinned task is refused where its GPU does not exist or can never run it, and waits where it may again", () => {
  const reason = "The model file is damaged.";
  const world = new World([facts(0), ...GPU_STATES.map((state, index) => facts(index + 1, { state, reason }))]);
  assert.throws(() => world.submit({ pinnedGpuId: 50 }), {
    code: "invalid_input",
    message: "gpu_options.specific_gpu_id must be the id of a GPU (0, 1, 2, 3, 4, 5, 6, 7, 8); got 50.",
  });
  for (const [index, state] of GPU_STATES.entries()) {
    const pinnedGpuId = index + 1;
    if (state === "unfit" || state === "lost")
      assert.throws(() => world.submit({ pinnedGpuId }), {
        code: "no_usable_gpu",
        message: `GPU ${pinnedGpuId} cannot run tasks. GPU ${pinnedGpuId}: The model file is damaged.`,
      });
    else assert.equal(world.submit({ pinnedGpuId }).status, state === "ready" ? "running" : "queued", state);
  }
});

for (const crowded of ["memory_taken", "used_by_others"] as const) {
  test(`a GPU sits out while it is crowded (${crowded}), and comes back`, () => {
    const world = new World([facts(0, { crowded }), facts(1, { slots: 1 })]);
    const [first, second] = world.submitMany(2) as [Task, Task];
    assert.deepEqual([first.gpuId, first.placement?.others, second.status], [1, { [crowded]: 1 }, "queued"]);
    world.tell(facts(0));
    assert.equal(second.gpuId, 0);
  });
}

test("our own load does not shut a GPU: every slot is used", () => {
  const world = new World([facts(0, { slots: 8, memoryFree: 0 })]);
  world.submitMany(9);
  assert.deepEqual([world.loads(), world.scheduler.queueSize], [[8], 1]);
});

test("a task that no GPU could ever run is refused with every reason", () => {
  const gpus = [
    facts(0, { state: "unfit", reason: "No such file." }),
    facts(1, { state: "lost", reason: "The driver no longer lists it." }),
  ];
  assert.throws(() => new World(gpus).submit(), {
    code: "no_usable_gpu",
    message: "No GPU can run tasks. GPU 0: No such file. GPU 1: The driver no longer lists it.",
  });
  for (const state of ["starting", "hot", "draining", "drained", "faulted"] as const) {
    const world = new World([...gpus, facts(2, { state })]);
    const task = world.submit();
    assert.equal(task.status, "queued", `${state}: it may run tasks again`);
    world.recover(2);
    assert.equal(task.gpuId, 2);
  }
});

test("while GPUs load, tasks wait in order", () => {
  const world = new World([facts(0, { state: "starting" })]);
  const tasks = world.submitMany(3);
  world.tell(facts(0));
  assert.deepEqual(world.started, tasks.slice(0, 2));
});

test("a text that certainly leaves no room for a token is refused with both numbers", () => {
  const world = new World([facts(0), facts(1, { context: 500 })]);
  assert.throws(() => world.submit({ text: "x".repeat(10_000) }), {
    code: "prompt_too_long",
    message: "text has at least 1000 tokens, which leaves no room for one more in the context of 1000 tokens.",
  });
  assert.throws(() => world.submit({ text: "x".repeat(5000), pinnedGpuId: 1 }), { code: "prompt_too_long" });
  assert.equal(world.submit({ text: "x".repeat(5000) }).gpuId, 0, "it fits only there");
});

test("inputs for embeddings are not measured together: an engine takes them one by one", () => {
  const world = new World([facts(0, { can: new Set(["embedding"]), context: 100 })]);
  const task = world.submit({ size: 10_000, needs: ["embedding"] });
  assert.equal(task.gpuId, 0);
});

test("a full queue refuses by number and by bytes, with a time computed from how fast slots free up", () => {
  const world = new World([facts(0, { slots: 1 })], { maxQueueSize: 2 });
  for (const task of world.submitMany(3)) {
    world.complete(task);
    world.now += 4000;
  }
  world.submitMany(3);
  assert.throws(() => world.submit(), {
    code: "queue_full",
    retryAfter: 4,
    message:
      "The queue has no room for 1 more: 2 of at most 2 tasks wait (gpu.multi_gpu.max_queue_size). Try again in 4 s.",
  });
  const bytes = new World([facts(0, { slots: 1 })], { maxQueueBytes: 100 });
  bytes.submitMany(2, { text: "x".repeat(90) });
  assert.throws(() => bytes.submit({ text: "x".repeat(90) }), {
    code: "queue_full",
    message: /90 of at most 100 bytes/,
  });
});

test("a batch that does not fit leaves nothing behind", () => {
  const world = new World([facts(0), facts(1), facts(2, { state: "drained" })], { maxQueueBytes: 40 });
  world.submit({ pinnedGpuId: 2, text: "x".repeat(36) });
  for (const grouping of ["split", "whole"] as const) {
    assert.throws(() => world.batch(10, grouping, { strategy: "round_robin" }), { code: "queue_full" });
    assert.deepEqual([world.loads(), world.scheduler.queueSize, world.started], [[0, 0, 0], 1, []]);
  }
  assert.equal(world.submit({ strategy: "round_robin" }).gpuId, 0, "the turn was given back too");
});

test("a split batch of single items spreads, and the rest waits unbound", () => {
  const world = new World([facts(0), facts(1)]);
  const tasks = world.batch(6, "split", { strategy: "round_robin" });
  assert.deepEqual(gpusOf(tasks), [0, 1, 0, 1, null, null]);
  world.complete(tasks[1]!);
  assert.equal(tasks[4]!.gpuId, 1);
});

test("with m items to a GPU, a split batch is dealt evenly to ⌊n/m⌋ distinct GPUs", () => {
  const gpus = [0, 1, 2, 3].map((id) => facts(id, { slots: 8 }));
  const world = new World(gpus, { minBatchSizePerGpu: 4 });
  assert.deepEqual(gpusOf(world.batch(9, "split", { strategy: "round_robin" })), [0, 1, 0, 1, 0, 1, 0, 1, 0]);
  assert.deepEqual(gpusOf(world.batch(3, "split", { strategy: "round_robin" })), [2, 2, 2]);
  assert.equal(new Set(gpusOf(world.batch(40, "split", { strategy: "least_loaded" }))).size, 5, "four GPUs and null");
});

test("a whole batch goes to one GPU, and what is beyond its slots waits for that one", () => {
  const world = new World([facts(0), facts(1)]);
  const tasks = world.batch(5, "whole", { strategy: "round_robin" });
  assert.deepEqual(
    [gpusOf(tasks), world.loads()],
    [
      [0, 0, 0, 0, 0],
      [2, 0],
    ],
  );
  assert.equal(world.submit({ strategy: "round_robin" }).gpuId, 1);
  world.complete(tasks[0]!);
  assert.deepEqual([tasks[2]!.status, tasks[2]!.placement?.strategy], ["running", "batch"]);
});

test("while no GPU is eligible a whole batch waits as one, and is bound when a slot frees", () => {
  const world = new World([facts(0, { slots: 1 }), facts(1, { slots: 1 })]);
  const [first] = world.submitMany(2) as [Task];
  const batch = world.batch(3, "whole");
  assert.deepEqual(gpusOf(batch), [null, null, null]);
  world.complete(first);
  assert.deepEqual(gpusOf(batch), [first.gpuId, first.gpuId, first.gpuId]);
  assert.deepEqual(
    batch.map((task) => task.status),
    ["running", "queued", "queued"],
  );
});

test("a batch for which even an idle server has no room is refused for good", () => {
  const world = new World([facts(0), facts(1, { state: "lost" })], { maxQueueSize: 3 });
  assert.throws(() => world.batch(6, "split"), {
    code: "invalid_input",
    param: "batch",
    message: "batch has 6 items; this server has room for 5: 2 slots and a queue of 3 (gpu.multi_gpu.max_queue_size).",
  });
});

test("a batch whose texts can never wait together is refused for good, however much of the queue is free", () => {
  const world = new World([facts(0)], { maxQueueBytes: 10 });
  assert.throws(() => world.batch(5, "split"), {
    code: "invalid_input",
    message:
      "batch has 5 items, of which at least 15 bytes of text would wait; 10 may wait (gpu.multi_gpu.max_queue_bytes).",
  });
  world.batch(4, "split");
});

test("a restart of the server is not held against a task, and the order stays", () => {
  const before = new World([facts(0, { slots: 1 })]);
  const tasks = before.submitMany(3);
  const after = new World([facts(0, { slots: 1, state: "starting" })]);
  after.scheduler.restore(tasks);
  assert.deepEqual(
    tasks.map((task) => task.status),
    ["queued", "queued", "queued"],
  );
  after.tell(facts(0, { slots: 1 }));
  assert.deepEqual(after.started, [tasks[0]]);
  assert.deepEqual(
    tasks[0]!.attempts.map(({ reason }) => reason),
    ["server_restart", null],
  );
});

test("a restart of the server cancels what only clients of the server before could have received", () => {
  const before = new World([facts(0, { slots: 1 })]);
  const own = [true, true, false].map((endsWithClient) => before.submit({ endsWithClient }));
  const after = new World([facts(0, { slots: 1 })]);
  after.scheduler.restore(own);
  assert.deepEqual(
    own.map(({ status, attempts }) => [status, attempts.map(({ reason }) => reason)]),
    [
      ["canceled", ["server_restart"]],
      ["canceled", []],
      ["running", [null]],
    ],
  );
  assert.deepEqual(after.changed, own);
  assert.deepEqual(after.started, own.slice(2));
});

test("while draining, what runs may end, nothing is placed, and new tasks are refused", () => {
  const world = new World([facts(0, { slots: 1 })]);
  const [running, waiting] = world.submitMany(2) as [Task, Task];
  world.scheduler.drain();
  assert.throws(() => world.submit(), { code: "draining" });
  world.complete(running);
  assert.deepEqual([running.status, waiting.status], ["completed", "queued"]);
});

test("canceling: a waiting task at once, also out of a waiting batch; a running one when its worker says so", () => {
  const world = new World([facts(0, { slots: 1 })]);
  const running = world.submit();
  const waiting = world.submit();
  const batch = world.batch(3, "whole");
  world.scheduler.cancel([waiting]);
  world.scheduler.cancel([batch[1]!]);
  world.scheduler.cancel([running]);
  assert.deepEqual([waiting.status, batch[1]!.status, running.status], ["canceled", "canceled", "running"]);
  assert.deepEqual([world.canceled, world.scheduler.queueSize], [[running], 2]);
  world.scheduler.finished(running, { status: "canceled" });
  assert.deepEqual([running.status, batch[0]!.status, batch[2]!.boundTo], ["canceled", "running", 0]);
});

test("a placement lists the winner and at most seven others, and counts the rest by reason", () => {
  const busy = facts(20, { slots: 1 });
  const world = new World([
    ...Array.from({ length: 12 }, (_, id) => facts(id)),
    busy,
    facts(21, { state: "starting" }),
  ]);
  world.submit({ pinnedGpuId: 20 });
  const { candidates, others } = world.submit().placement!;
  assert.equal(candidates.length, 8);
  assert.deepEqual(others, { busy: 1, starting: 1, eligible: 4 });
});

test("a text that turns out too long when the models are loaded is run, so that the engine says with which numbers it fails", () => {
  const world = new World([facts(0, { state: "starting", context: null })]);
  const task = world.submit({ text: "x".repeat(20_000) });
  world.tell(facts(0));
  assert.equal(task.status, "running");
});

test("a whole batch fills the slots of its GPU, whatever its items would have asked for alone", () => {
  const mappings = new Map([
    ["a", new Set([0])],
    ["b", new Set([1])],
  ]);
  const world = new World([facts(0, { slots: 4 }), facts(1, { slots: 4 })], { mappings });
  const options = { strategy: "task_specific", wholeBatch: true, batchId: "batch" } as const;
  const tasks = ["a", "b", "a"].map((taskType) => world.task({ ...options, taskType }));
  world.scheduler.submit(tasks, "whole");
  assert.deepEqual(
    tasks.map(({ status, gpuId }) => [status, gpuId]),
    [
      ["running", 0],
      ["running", 0],
      ["running", 0],
    ],
  );
});

test("after a restart a batch does not wait for a GPU that is gone or does not serve", () => {
  for (const gone of [[], [facts(1, { state: "drained" })], [facts(1, { state: "lost" })]]) {
    const before = new World([facts(1, { slots: 1 })]);
    const batch = before.batch(3, "whole");
    const after = new World([facts(0, { slots: 1 }), ...gone]);
    after.scheduler.restore(batch);
    assert.deepEqual(gpusOf(batch), [0, 0, 0]);
    assert.deepEqual(new Set(after.changed), new Set(batch), "what changed is told, so that it is written");
  }
});
