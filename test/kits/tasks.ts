/* What every store promises about tasks (src/store/tasks.ts); lists and batches have files of their own. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ERRORS, type ErrorCode } from "../../src/errors.ts";
import { completionOf, factsOf } from "../../src/request.ts";
import { type Store } from "../../src/store/store.ts";
import {
  isFinal,
  type Task,
  TASK_STATUSES,
  STRATEGIES,
  FINISH_REASONS,
  PRIORITIES,
  BATCH_EVENTS,
  transition,
} from "../../src/task.ts";
import {
  cancel,
  complete,
  EMPTY,
  EVERYTHING,
  type MakePlace,
  newTask,
  opened,
  run,
  withoutRequest,
  withoutText,
  type World,
  storedTask,
} from "../helpers/store.ts";
import { maybe, plain, text as anyText, time as anyTime } from "./arbitraries.ts";

/** @param name of the store @param make see `MakePlace` */
export function exerciseTasks(name: string, make: MakePlace): void {
  describe(name, () => {
    test("a task of a team is stored from its start to its end", async (t) => {
      const { store } = await opened(t, make);
      for (const end of [complete, cancel]) {
        const task = newTask(end === complete ? 1 : 2, { team: "sales" });
        await store.save([task]);
        if (end === complete) await store.save([run(task)]);
        await store.save([end(task)]);
        assert.deepEqual(await storedTask(store, task.id), task);
      }
    });

    test("what was saved is there after a restart", async (t) => {
      const world = await opened(t, make);
      const tasks = [newTask(1), run(newTask(2)), complete(run(newTask(3))), cancel(newTask(4))];
      await world.store.save(tasks);
      const { store } = await world.restart();
      for (const task of tasks) assert.deepEqual(await storedTask(store, task.id), task);
    });

    test("a task is listed by its GPU: the one it waits for alone, runs on, ran on, or waited for in vain", async (t) => {
      const world = await opened(t, make);
      const tasks = [
        newTask(1, { pinnedGpuId: 3, boundTo: 3 }),
        newTask(2, { batchId: "b", wholeBatch: true, boundTo: 3 }),
        cancel(newTask(3, { pinnedGpuId: 3, boundTo: 3 })),
        run(newTask(4)),
        complete(run(newTask(5, { batchId: "b", wholeBatch: true, boundTo: 3 }))),
      ];
      await world.store.save([...tasks, newTask(6), run(newTask(7, { pinnedGpuId: 3, boundTo: 3 }))]);
      const { store } = await world.restart();
      const { tasks: listed } = await store.tasks.list({ ...EVERYTHING, gpuId: 3 });
      assert.deepEqual(
        listed.map(({ seq, boundTo, gpuId }) => [seq, boundTo, gpuId]),
        [
          [7, 3, 3],
          [5, 3, 3],
          [4, null, 3],
          [3, 3, null],
          [2, 3, null],
          [1, 3, null],
        ],
      );
    });

    test("live tasks come back in submission order, and lastSeq counts the others too", async (t) => {
      const world = await opened(t, make);
      const [a, b, c, d] = [newTask(5), run(newTask(3)), newTask(4), cancel(newTask(9))];
      for (const task of [a, d, c, b]) await world.store.save([task]);
      const { first } = await world.restart();
      assert.deepEqual({ ...first, past: EMPTY.past }, { ...EMPTY, live: [b, c, a].map(withoutRequest), lastSeq: 9 });
    });

    test("notes come back by their seq, also after a restart, and go with their tasks", async (t) => {
      const world = await opened(t, make);
      const [a, b, bare] = [complete(run(newTask(1))), newTask(2), newTask(3)];
      const notes = [a, b].map(({ seq }) => ({
        kind: "note" as const,
        seq,
        note: JSON.stringify({ of: seq, text: "ğ".repeat(seq) }),
      }));
      await world.store.save([a, b, bare], notes);
      const { store } = await world.restart();
      const found = await store.tasks.notes([1, 2, 3, 4]);
      assert.deepEqual(
        [...found].toSorted(([x], [y]) => x - y),
        notes.map(({ seq, note }) => [seq, note]),
      );
      assert.deepEqual([...(await store.tasks.notes([2]))], [[2, notes[1]!.note]]);
      assert.ok(await store.tasks.remove(a.id));
      assert.deepEqual([...(await store.tasks.notes([1, 2])).keys()], [2]);
    });

    test("lastSeq survives when every task has ended", async (t) => {
      const world = await opened(t, make);
      await world.store.save([cancel(newTask(41)), complete(run(newTask(42)))]);
      assert.deepEqual({ ...(await world.restart()).first, past: EMPTY.past }, { ...EMPTY, lastSeq: 42 });
    });

    test("a live task from open can be changed and saved", async (t) => {
      const world = await opened(t, make);
      await world.store.save([newTask(1), newTask(2)]);
      const { store, first } = await world.restart();
      const task = complete(run(first.live[1] as Task));
      await store.save([task, newTask(3)]);
      assert.deepEqual(await storedTask(store, task.id), { ...task, request: completionOf("prompt 2") });
      assert.deepEqual(
        (await world.restart()).first.live.map((live) => live.seq),
        [1, 3],
      );
    });

    test("a task from get can be saved again", async (t) => {
      const { store } = await opened(t, make);
      const task = newTask(1);
      await store.save([task]);
      const copy = complete(run((await store.tasks.get(task.id)) as Task));
      await store.save([copy]);
      assert.deepEqual(await store.tasks.get(task.id), copy);
    });

    test("what a resolved save wrote is seen by get and list", async (t) => {
      const { store } = await opened(t, make);
      const task = newTask(1);
      for (const change of [() => task, run, complete]) {
        change(task);
        await store.save([task]);
        assert.deepEqual(await storedTask(store, task.id), task);
        assert.deepEqual(await store.tasks.list(EVERYTHING), { tasks: [withoutText(task)], total: 1 });
      }
    });

    test("a prompt and an answer of 1 MiB come back whole", async (t) => {
      const { store } = await opened(t, make);
      const task = complete(run(newTask(1, { text: "ğ😀 ".repeat(150_000) })));
      task.result = { ...(task.result as NonNullable<Task["result"]>), text: "é".repeat(600_000) };
      await store.save([task]);
      assert.deepEqual(await storedTask(store, task.id), task);
    });

    test("prompts that are many megabytes together come back as the texts they were", async (t) => {
      const { store } = await opened(t, make);
      const texts = [
        "x".repeat(800_000),
        "日".repeat(400_000),
        `\0${"é".repeat(2000)}`,
        `\uFEFF${"a\ud83d\ude00".repeat(999)}`,
        "",
        "short",
      ];
      const tasks = texts.map((text, index) => newTask(index + 1, { text }));
      await store.save(tasks);
      for (const task of tasks) assert.deepEqual(await storedTask(store, task.id), task);
    });

    test("half a surrogate pair in a name becomes U+FFFD, and fails nothing", async (t) => {
      const { store } = await opened(t, make);
      const task = newTask(1, { text: "a\ud800b", user: "\udc00" });
      await Promise.all([store.save([task]), store.save([newTask(2)])]);
      assert.deepEqual(await storedTask(store, task.id), { ...task, user: "\ufffd" });
      assert.equal((await store.tasks.list({ ...EVERYTHING, user: "\udc00" })).total, 1);
    });

    test("every field comes back as it was", async (t) => {
      const world = await opened(t, make);
      let seq = 0;
      const all: Task[] = [];
      const property = fc.asyncProperty(fc.array(anyTask(), { minLength: 1, maxLength: 20 }), async (drafts) => {
        const tasks = drafts.map((draft) => ({ ...draft, seq: ++seq, id: `${draft.id}#${seq}` }));
        await world.store.save(tasks);
        for (const task of tasks) assert.deepEqual(await storedTask(world.store, task.id), task);
        all.unshift(...tasks.toReversed());
      });
      await fc.assert(property, { numRuns: 50 });
      const { store, first } = await world.restart();
      const { tasks } = await store.tasks.list({ ...EVERYTHING, limit: all.length });
      assert.deepEqual(tasks, all.map(withoutText));
      assert.deepEqual(
        first.live,
        all
          .filter((task) => !isFinal(task.status))
          .map(withoutRequest)
          .toReversed(),
      );
    });

    test("a task keeps the placement of its last attempt, also when another one came between two saves", async (t) => {
      const { store } = await opened(t, make);
      const task = newTask(1);
      const isSaved = async (): Promise<void> => {
        await store.save([task]);
        assert.deepEqual((await storedTask(store, task.id))?.placement, task.placement);
      };
      run(task);
      await isSaved();
      transition(task, "queued");
      run(task).placement = { ...task.placement!, gpuId: 4 };
      await isSaved();
      transition(task, "queued");
      await isSaved();
      run(task);
      await isSaved();
      complete(task);
      await isSaved();
    });

    test("live tasks come without their requests, which are read one by one, with what says how long they are and how they begin", async (t) => {
      const world = await opened(t, make);
      const texts = ["", "short", "ğ😀 ".repeat(1000), "x".repeat(40_000)];
      const tasks = texts.map((text, index) => newTask(index + 1, { text }));
      await world.store.save(tasks);
      const { store, first } = await world.restart();
      assert.deepEqual(first.live, tasks.map(withoutRequest));
      for (const { seq, request } of tasks) assert.deepEqual(await store.tasks.request(seq), request);
      assert.equal(await store.tasks.request(99), null);
      // Later saves need none.
      await store.save(first.live.map(run));
      assert.deepEqual(await storedTask(store, tasks[2]!.id), { ...first.live[2]!, request: tasks[2]!.request });
    });

    test("what each user's tasks take follows their writes, their ends and their removal, also after a restart", async (t) => {
      const world = await opened(t, make);
      assert.deepEqual(await takenIn(world.store), {});
      const one = newTask(1, { user: "ada" });
      const two = complete(run(newTask(2, { user: "bob" })));
      two.result = { ...two.result!, text: "ü".repeat(5000) };
      await world.store.save([one, two, newTask(3, { user: "ada" })]);
      const { size } = one;
      assert.deepEqual(await takenIn(world.store), { ada: 2 * size, bob: two.size + 10_000 });
      run(one);
      await world.store.save([one]);
      complete(one);
      one.result = { ...one.result!, text: "abc" };
      await world.store.save([one]);
      const { store } = await world.restart();
      assert.deepEqual(await takenIn(store), { ada: 2 * size + 3, bob: two.size + 10_000 });
      // A task that is written again is not stored twice.
      await store.save([(await store.tasks.get(two.id))!]);
      assert.equal(await store.tasks.remove(one.id), true);
      assert.equal(await store.tasks.remove(two.id), true);
      assert.deepEqual(await takenIn(store), { ada: size });
    });

    test("an unknown id is null", async (t) => {
      const { store } = await opened(t, make);
      assert.equal(await store.tasks.get("nothing"), null);
    });

    test("list gives any page of any user and status, newest first, with the total of all that match", async (t) => {
      const property = fc.asyncProperty(fc.array(step(), { maxLength: 60 }), async (steps) => {
        const world = await opened(t, make);
        const tasks: Task[] = [];
        for (const one of steps) await take(one, world, tasks);
        await world.store.save([addTask(tasks, "last")]);
        await checkLists(world.store, tasks.toReversed());
        await checkLists((await world.restart()).store, tasks.toReversed());
        await world.store.close();
      });
      await fc.assert(property, { numRuns: 10 });
    });
  });
}

/** @param all newest first */
async function checkLists(store: Store, all: Task[]): Promise<void> {
  for (const user of [undefined, "ada", "bob", "nobody"]) {
    for (const status of [undefined, ...TASK_STATUSES]) {
      const matching = all
        .filter(
          (task) => (user === undefined || task.user === user) && (status === undefined || task.status === status),
        )
        .map((task) => [task.seq, task.user, task.status]);
      for (const [limit, offset] of [
        [1000, 0],
        [3, 0],
        [2, 1],
        [5, 4],
        [1, 1000],
      ] as const) {
        const { tasks, total } = await store.tasks.list({ user, status, limit, offset });
        assert.equal(total, matching.length);
        assert.deepEqual(
          tasks.map((task) => [task.seq, task.user, task.status]),
          matching.slice(offset, offset + limit),
        );
      }
    }
  }
}

interface Step {
  readonly change: "add" | "run" | "end" | "restart";
  readonly user: string;
  /** Which of the live tasks changes. */
  readonly pick: number;
  readonly wait: boolean;
}

function step(): fc.Arbitrary<Step> {
  return fc.record({
    change: fc.oneof(
      { weight: 5, arbitrary: fc.constant("add" as const) },
      { weight: 4, arbitrary: fc.constant("run" as const) },
      { weight: 4, arbitrary: fc.constant("end" as const) },
      { weight: 1, arbitrary: fc.constant("restart" as const) },
    ),
    user: fc.constantFrom("ada", "bob"),
    pick: fc.nat(100),
    wait: fc.boolean(),
  });
}

/** @param tasks in submission order; task `seq` is at `seq` - 1 */
async function take({ change, user, pick, wait }: Step, world: World, tasks: Task[]): Promise<void> {
  if (change === "restart") {
    const { first } = await world.restart();
    for (const live of first.live) tasks[live.seq - 1] = live;
    return;
  }
  const live = tasks.filter((task) => !isFinal(task.status));
  const task = live[pick % Math.max(live.length, 1)];
  const changed = change === "add" || task === undefined ? addTask(tasks, user) : advance(task, change);
  const saved = world.store.save([changed]);
  if (wait) await saved;
}

function addTask(tasks: Task[], user: string): Task {
  const task = newTask(tasks.length + 1, { user });
  tasks.push(task);
  return task;
}

function advance(task: Task, change: "run" | "end"): Task {
  if (task.status === "running") return complete(task);
  return change === "run" ? run(task) : cancel(task);
}

/** A task whose fields have nothing to do with each other. */
function anyTask(): fc.Arbitrary<Task> {
  const text = anyText();
  const time = anyTime();
  const gpuId = fc.nat(1000);
  const real = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0);
  const attempt = plain({
    gpuId,
    startedAt: time,
    endedAt: maybe(time),
    reason: fc.constantFrom("completed", "worker_crash", "gpu_lost", "timeout", "server_restart", null),
  });
  const suspect = attempt.map((one) => ({ ...one, reason: "worker_crash" as const, alone: true }));
  const placement = plain({
    strategy: fc.constantFrom(...STRATEGIES, "pinned", "batch"),
    gpuId,
    reason: text,
    candidates: fc.array(plain({ gpuId, score: maybe(real) }), { maxLength: 8 }),
    others: fc.dictionary(text, fc.nat(100), { noNullPrototype: true, maxKeys: 5 }),
  }).chain((values) => fc.constantFrom(values, { ...values, expectedTokens: 7 }));
  const result = plain({
    text,
    executionTime: real,
    timestamp: time,
    finishReason: fc.constantFrom(...FINISH_REASONS),
    promptTokens: maybe(fc.nat()),
    completionTokens: fc.nat(),
    cachedTokens: maybe(fc.nat()),
  });
  const use = plain({
    queued: real,
    firstOutput: maybe(real),
    lastOutput: maybe(real),
    promptTokens: maybe(fc.nat()),
    completionTokens: fc.nat(),
    cachedTokens: maybe(fc.nat()),
    gpuSeconds: real,
    energyJoules: maybe(real),
  });
  const error = plain({ code: fc.constantFrom(...(Object.keys(ERRORS) as ErrorCode[])), sentence: text });
  return plain({
    id: text,
    seq: fc.constant(0),
    user: text,
    strategy: fc.constantFrom(...STRATEGIES),
    pinnedGpuId: maybe(gpuId),
    batchId: maybe(text),
    wholeBatch: fc.boolean(),
    createdAt: time,
    createdClock: time,
    request: plain({
      kind: fc.constant("completion" as const),
      text,
      sampling: plain({ maxTokens: fc.nat(), temperature: fc.oneof(real, fc.constantFrom(0, 0.7, 1)) }),
    }),
    taskType: text,
    priority: fc.constantFrom(...PRIORITIES),
    timeoutSeconds: maybe(real),
    model: maybe(text),
    ranModel: maybe(text),
    retryOf: maybe(text),
    endsWithClient: fc.boolean(),
    webhook: maybe(plain({ url: text, events: fc.subarray([...BATCH_EVENTS]) })),
    status: fc.constantFrom(...TASK_STATUSES),
    texts: fc.constantFrom("keep" as const, "until_read" as const),
    gpuId,
    boundTo: maybe(gpuId),
    startedAt: maybe(time),
    finishedAt: maybe(time),
    finishedClock: time,
    attempts: fc.array(fc.oneof(attempt, suspect), { maxLength: 4 }),
    placement: maybe(placement),
    result: maybe(result),
    error: maybe(error),
    keyName: maybe(text),
    team: maybe(text),
    use: maybe(use),
    isUsual: fc.boolean(),
  }).map(({ isUsual, ...task }) => ({
    ...task,
    ...factsOf(task.request),
    ...placeOf(task),
    ...(isUsual && withOneAttempt(task)),
    sampling: task.request.sampling,
    waitsSince: task.createdClock,
    finishedClock: task.finishedAt === null ? null : task.finishedClock,
  }));
}

/** Where a task runs or ran, if it has started, and which GPU alone may run it. */
function placeOf(task: Pick<Task, "startedAt" | "gpuId" | "boundTo" | "pinnedGpuId" | "wholeBatch">) {
  const { startedAt, gpuId, boundTo, pinnedGpuId, wholeBatch } = task;
  if (startedAt === null) return { gpuId: null, boundTo };
  return { gpuId, boundTo: wholeBatch ? gpuId : pinnedGpuId };
}

/** Its one attempt tells nothing that the task does not tell. */
function withOneAttempt({ startedAt, gpuId, finishedAt }: Pick<Task, "startedAt" | "gpuId" | "finishedAt">) {
  const status = finishedAt === null ? ("running" as const) : ("completed" as const);
  const reason = finishedAt === null ? null : ("completed" as const);
  if (startedAt === null) return { status: "queued" as const, finishedAt, attempts: [] };
  return { status, attempts: [{ gpuId: gpuId!, startedAt, endedAt: finishedAt, reason }] };
}

/** Bytes by user. */
async function takenIn(store: Store): Promise<Record<string, number>> {
  return Object.fromEntries((await store.tasks.storedBytes()).map(({ user, bytes }) => [user, bytes]));
}
