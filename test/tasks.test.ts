/** The task book over a store whose writes end when the test says so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { pino } from "pino";
import { textOf, deltasOf, Output } from "../src/output.ts";
import { unset } from "../src/common/clock.ts";
import { TaskBook } from "../src/tasks/task-book.ts";
import { type Listener, type SubmitOptions } from "../src/tasks/task-api.ts";
import { type IdempotencyRecord } from "../src/store/idempotency.ts";
import { type Store, type StoreRecord } from "../src/store/store.ts";
import { type Batch, type Outcome, type RunSink, type Task, type TaskStatus } from "../src/task.ts";
import { COMPLETED, facts, gpuOf, SETTINGS } from "./helpers/scheduling.ts";
import { briefly, toldToOperators } from "./helpers/operators.ts";
import { continuedText } from "./helpers/requests.ts";
import { newDelivery } from "./helpers/store.ts";
import { completionOf, type Request } from "../src/request.ts";

/** Remembers what it was asked to write, and in which state. */
class HeldStore implements Store {
  readonly lost = new AbortController().signal;
  readonly writes: {
    readonly states: readonly string[];
    readonly records: readonly StoreRecord[];
    readonly end: () => void;
    readonly fail: () => void;
  }[] = [];
  readonly keys: IdempotencyRecord[] = [];

  /** What each task asks, as it was when the task was new. */
  readonly requests = new Map<number, Request>();
  /** Reads that are under way, where a test wants to end them itself. */
  readonly reads: PromiseWithResolvers<Request | null>[] = [];

  /** The rows' states, where a test says that they are later than those of the calls. */
  readonly onDisk = new Map<Task, TaskStatus>();

  statusOnDisk(task: Task): TaskStatus | null {
    return this.onDisk.get(task) ?? null;
  }

  #nameOf({ seq, request }: Task): string {
    if (request !== null) this.requests.set(seq, request);
    return continuedText(this.requests.get(seq)!);
  }

  save(tasks: readonly Task[], records: readonly StoreRecord[] = []): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.writes.push({
      states: tasks.map((task) => `${this.#nameOf(task)} ${task.status}`),
      records,
      end: () => {
        for (const record of records) if (record.kind === "idempotency") this.keys.push(record.record);
        resolve();
      },
      fail: () => reject(new Error("disk full")),
    });
    return promise;
  }

  open = async () => ({
    live: [],
    batches: [],
    lastSeq: 0,
    past: { recorded: null, newest: null },
    quarantinedTo: null,
  });
  readonly tasks: Store["tasks"] = {
    get: async () => null,
    request: () => {
      this.reads.push(Promise.withResolvers());
      return this.reads.at(-1)!.promise;
    },
    notes: async () => new Map(),
    list: async () => ({ tasks: [], total: 0 }),
    batch: async () => null,
    endsOf: async () => [],
    endsIn: async () => [],
    history: async () => [],
    remove: async () => false,
    removeTexts: async () => false,
    storedBytes: async () => [],
    countEnded: async () => 0,
  };
  forget: Store["forget"] = async () => ({ tasks: 0, batches: 0, answers: 0, usageRows: 0, next: null });
  readonly outbox: Store["outbox"] = {
    write: (records) => this.save([], records),
    pendingDeliveries: async () => [],
    countPending: async () => 0,
    deliveriesOf: async () => [],
    secret: async () => null,
    endpoints: async () => [],
  };
  readonly idempotency: Store["idempotency"] = {
    find: async (user, key) => this.keys.find((record) => record.user === user && record.key === key) ?? null,
  };
  readonly audit: Store["audit"] = { list: async () => [] };
  readonly usage: Store["usage"] = { sums: async function* () {} };
  readonly batchFiles: Store["batchFiles"] = {
    find: async () => null,
    ofOutput: async () => null,
    list: async () => [],
    outputs: async () => [],
    unfinished: async () => [],
    refusedIn: async () => [],
  };
  readonly files: Store["files"] = {
    find: async () => null,
    same: async () => null,
    list: async () => [],
    due: async () => [],
    remove: async () => "absent",
    totals: async () => [],
    ids: async () => [],
  };
  sweep = async () => false;
  close = async () => {};
}

const ALONE: SubmitOptions = {
  user: "ada",
  keyName: null,
  team: null,
  strategy: "random",
  pinnedGpuId: null,
  batch: null,
  webhook: null,
  idempotency: null,
};

/** A task book with one slot, and what it had logged of each task. @param unsaved bytes of results that may wait for the disk */
function book(unsaved?: number) {
  const store = new HeldStore();
  const started: Task[] = [];
  /** What each of them asks. */
  const asked: Promise<string>[] = [];
  const lines: string[] = [];
  const runs = new Map<Task, { readonly sink: RunSink; readonly output: Output }>();
  /** How a run ends that is to be stopped. */
  const worker: { onCancel: Outcome; failures: Error[] } = { onCancel: { status: "canceled" }, failures: [] };
  const tasks = new TaskBook({
    store,
    log: pino({ level: "debug" }, { write: (line) => void lines.push((JSON.parse(line) as { msg: string }).msg) }),
    settings: SETTINGS,
    clock: unset(Date.now),
    timeout: null,
    cancelTimeout: 5,
    load: () => {},
    unload: () => {},
    modelOfTaskType: (type) => (type === "summary" ? "summarizer" : null),
    modelMeantBy: (name) => (name === "file.gguf" ? "model" : name),
    ...(unsaved !== undefined && { unsaved }),
    run: (_gpuId, task, request, sink) => {
      const failure = worker.failures.shift();
      if (failure !== undefined) throw failure;
      const output = new Output();
      runs.set(task, { sink, output });
      started.push(task);
      asked.push(Promise.resolve(request).then(continuedText));
      return output;
    },
    cancel: (_gpuId, task) => queueMicrotask(() => finish(task, worker.onCancel)),
    webhooks: {
      ofTask: (task) => (task.webhook === null ? [] : [newDelivery(task.id)]),
      ofBatch: () => [],
      wake: () => {},
    },
  });
  tasks.scheduler.setGpu(gpuOf(facts(0, { slots: 1 })));
  const submit = (text: string, options: Partial<SubmitOptions> = {}) => submitMany([text], options);
  const submitMany = (all: readonly string[], options: Partial<SubmitOptions> = {}, model: string | null = null) =>
    tasks.submit(
      all.map((text) => ({
        request: completionOf(text, { maxTokens: 1, temperature: 0 }),
        taskType: "",
        priority: "normal" as const,
        timeoutSeconds: null,
        model,
      })),
      { ...ALONE, ...options },
    );
  /** Ends all writes so far that have not ended. */
  const write = async (): Promise<void> => {
    for (const { end } of store.writes) end();
    await turn();
  };
  /** What a running task has generated. */
  const generate = (task: Task, piece: string): void => {
    const run = runs.get(task)!;
    const before = run.output.length;
    const delta = { kind: "text", text: piece } as const;
    run.output.add(delta);
    run.sink.delta(delta, before);
  };
  const finish = (task: Task, outcome: Outcome): void => runs.get(task)!.sink.ended(outcome);
  return { store, started, asked, lines, tasks, worker, submit, submitMany, write, generate, finish };
}

/** What was written, in the order of the writes. */
const statesOf = (store: HeldStore): (string | undefined)[] => store.writes.map(({ states }) => states[0]);

test("a task has its model's own name, whatever the request calls it", async () => {
  const { submitMany, started, write } = book();
  const submitted = submitMany(["a"], {}, "file.gguf");
  await write();
  await submitted;
  assert.deepEqual([started[0]!.model, started[0]!.ranModel], ["model", "model"]);
  await assert.rejects(submitMany(["b"], {}, "other.gguf"), { code: "model_not_found" });
});

test("a task whose start throws is tried again, as often as one whose GPU fails, and its slot is free then", async () => {
  const { worker, lines, started, submit, write } = book();
  const fault = new Error("no machine has GPU 0");
  worker.failures.push(fault, fault, fault, fault);
  const submitted = [submit("first"), submit("second")];
  while (started.length === 0) await write();
  const [, second] = await Promise.all(submitted);
  const [task] = started as [Task];
  assert.deepEqual([task.id, task.attempts.map(({ reason }) => reason)], [second!.tasks[0]!.id, ["gpu_lost", null]]);
  assert.equal(lines.filter((line) => line === "a task could not be started: no machine has GPU 0").length, 4);
  assert(lines.includes("task failed"));
});

test("an end is shown when it is on disk, also when the task ended while its start was being written", async () => {
  const { store, started, lines, tasks, submit, finish } = book();
  const submitted = [submit("first"), submit("second")];
  for (const write of store.writes) write.end();
  await Promise.all(submitted);
  finish(started[0]!, COMPLETED);
  finish(started[1]!, COMPLETED);
  assert.deepEqual(statesOf(store).slice(2), ["second running", "first completed", "second completed"]);
  let shown: string | undefined;
  const asked = tasks.get(started[1]!.id).then((task) => (shown = task!.status));
  store.writes[2]!.end();
  store.writes[3]!.end();
  await turn();
  assert.equal(shown, undefined);
  store.writes[4]!.end();
  await asked;
  assert.equal(shown, "completed");
  assert.equal(lines.filter((line) => line === "task completed").length, 2);
});

test("what happens to a task before its admission is on disk is written after it", async () => {
  const { store, started, submit, finish } = book();
  const submitted = submit("first");
  finish(started[0]!, COMPLETED);
  assert.deepEqual(statesOf(store), ["first running"]);
  store.writes[0]!.end();
  await submitted;
  assert.deepEqual(statesOf(store), ["first running", "first completed"]);
});

test("an end that came to disk with the admission is not written again, and its reader hears of all", async () => {
  const { store, started, tasks, submit, generate, finish } = book();
  const submitted = submit("first");
  const [task] = started as [Task];
  generate(task, "one");
  finish(task, COMPLETED);
  store.onDisk.set(task, "completed");
  store.writes[0]!.end();
  const { id } = (await submitted).tasks[0]!;
  const heard: string[] = [];
  const following = tasks.follow(id, listener(heard))!;
  assert.equal(following.now()?.attempt, 1);
  const awaited = tasks.wait(id, 60, new AbortController().signal);
  await turn();
  assert.deepEqual(heard, ["completed"]);
  assert.equal((await awaited)?.status, "completed");
  assert.deepEqual(statesOf(store), ["first running"]);
});

test("an end that came to disk with the admission is written again where a webhook has to be told of it", async () => {
  const { store, started, submit, finish } = book();
  const submitted = submit("first", { ...ALONE, webhook: { url: "https://example.com/", events: ["task.completed"] } });
  finish(started[0]!, COMPLETED);
  store.onDisk.set(started[0]!, "completed");
  store.writes[0]!.end();
  await submitted;
  assert.deepEqual(statesOf(store), ["first running", "first completed"]);
});

test("nothing of a refused task reaches the disk, whatever it did before the refusal", async () => {
  const { store, started, submit, finish } = book();
  const submitted = submit("first");
  finish(started[0]!, COMPLETED);
  store.writes[0]!.fail();
  await assert.rejects(submitted, /disk full/);
  await turn();
  assert.deepEqual(statesOf(store), ["first running"]);
});

test("an end that could not be written is tried again at the stop, and is never shown before it is on disk", async () => {
  const { store, started, tasks, submit, finish } = book();
  const submitted = submit("first");
  store.writes[0]!.end();
  await submitted;
  finish(started[0]!, COMPLETED);
  store.writes[1]!.fail();
  await turn();
  const { id } = started[0]!;
  const waiting = tasks.wait(id, 300, new AbortController().signal);
  await tasks.close();
  assert.deepEqual(statesOf(store).slice(1), ["first completed", "first completed"]);
  const { status, result } = (await waiting)!;
  assert.deepEqual([status, result], ["running", null], "the disk took neither write");
});

test("an end that is on disk makes up for a start that was not, and counts once however often it is written", async () => {
  const { store, started, lines, tasks, submitMany, write, finish } = book();
  const submitted = submitMany(["a", "b", "c"], { batch: { split: true } });
  await write();
  await submitted;
  finish(started[0]!, COMPLETED);
  const [, startOfB, endOfA] = store.writes;
  endOfA!.end();
  startOfB!.fail();
  await turn();
  finish(started[1]!, COMPLETED);
  // What failed is tried again now, while the end is still being written.
  await tasks.close();
  assert.deepEqual(statesOf(store).filter((state) => state === "b completed").length, 2);
  await write();
  assert.equal(lines.filter((line) => line === "task completed").length, 2);
  const ends = store.writes.flatMap(({ records }) => records).filter((record) => record.kind === "batch");
  assert.equal(ends.length, 1, "its third task has not ended");
});

test("what could not be written is not tried again once something later of the task is on disk", async () => {
  const { store, started, tasks, submit, write, finish } = book();
  const submitted = [submit("a"), submit("b")];
  await write();
  await Promise.all(submitted);
  finish(started[0]!, COMPLETED);
  store.writes[2]!.fail();
  await turn();
  finish(started[1]!, COMPLETED);
  await write();
  const before = statesOf(store);
  await tasks.close();
  assert.deepEqual([before.at(-1), statesOf(store)], ["b completed", before]);
});

test("a submission that cannot be written is withdrawn, and its slot is free again", async () => {
  const { store, started, asked, tasks, submit } = book();
  const refused = submit("first");
  const waiting = submit("second");
  store.writes[0]!.fail();
  await assert.rejects(refused, /disk full/);
  await turn();
  assert.deepEqual(await Promise.all(asked), ["first", "second"]);
  assert.equal(await tasks.get(started[0]!.id), null);
  store.writes[1]!.end();
  assert.equal((await waiting).tasks[0]!.status, "queued");
});

// --- a disk that takes nothing ------------------------------------------------------------------------------------

/** An end whose result takes eight bytes. */
const OF_EIGHT: Outcome = {
  status: "completed",
  result: {
    text: "12345678",
    executionTime: 0,
    timestamp: 0,
    finishReason: "stop",
    promptTokens: 1,
    completionTokens: 1,
    cachedTokens: 0,
  },
};

test("while too many results wait for the disk no task starts, and what is submitted waits until it takes them", async () => {
  const { store, started, lines, submit, submitMany, write, finish } = book(10);
  const submitted = submitMany(["a", "b", "c", "d"], { batch: { split: true } });
  await write();
  await submitted;
  finish(started[0]!, OF_EIGHT);
  assert.equal(started.length, 2, "eight bytes are not too many");
  finish(started[1]!, OF_EIGHT);
  const written = store.writes.length;
  finish(started[2]!, OF_EIGHT);
  const late = submit("e");
  assert.equal(started.length, 3, "its slot is free, but nothing starts");
  assert.ok(lines.includes("too many results wait to be written; no task starts until they are on disk"));
  for (const { end } of store.writes.slice(0, written)) end();
  await turn();
  assert.equal(started.length, 4, "two of three results are on disk");
  await write();
  assert.equal((await late).tasks[0]!.status, "queued");
  finish(started[3]!, OF_EIGHT);
  assert.equal(started.length, 5);
});

test("a result of a task that was withdrawn waits for no disk", async () => {
  const { store, started, submit, submitMany, write, finish } = book(7);
  const refused = submit("refused");
  finish(started[0]!, OF_EIGHT);
  const submitted = submitMany(["a", "b"], { batch: { split: true } });
  assert.equal(started.length, 1);
  store.writes[0]!.fail();
  await assert.rejects(refused);
  await write();
  assert.equal((await submitted).tasks.length, 2);
  assert.equal(started.length, 2);
});

// --- canceling ---------------------------------------------------------------------------------------------------

test("canceling is answered when the end is on disk; what has ended already is a conflict with its status", async () => {
  const { started, tasks, submit, write } = book();
  const submitted = submit("first");
  await write();
  const { id } = (await submitted).tasks[0]!;
  let answered: string | undefined;
  const canceled = tasks.cancel(id).then((task) => (answered = task.status));
  await turn();
  assert.deepEqual([started[0]!.status, answered], ["canceled", undefined]);
  await write();
  assert.equal(await canceled, "canceled");
  await assert.rejects(tasks.cancel(id), { code: "not_found" }, "this store forgets");
});

test("whoever cancels what is being admitted is answered when that cannot be written", async () => {
  const { store, tasks, submit } = book();
  const submitted = submit("first");
  const canceled = tasks.cancelMatching({ user: "ada", status: undefined, ids: undefined });
  await turn();
  store.writes[0]!.fail();
  await assert.rejects(submitted, /disk full/);
  assert.equal(await canceled, 1);
});

test("a task that completes before its worker hears of the cancel is completed, and canceling it a conflict", async () => {
  const { started, tasks, worker, submit, write } = book();
  const submitted = submit("first");
  await write();
  await submitted;
  worker.onCancel = COMPLETED;
  const canceled = tasks.cancel(started[0]!.id);
  await turn();
  const refused = assert.rejects(canceled, { code: "conflict", details: { status: "completed" } });
  await write();
  await refused;
});

test("canceling by filter takes what waits and what runs, and counts what it canceled", async () => {
  const { started, asked, tasks, submit, submitMany, write } = book();
  const submitted = [
    submit("runs"),
    submitMany(["a", "b"], { batch: { split: true } }),
    submit("bob", { user: "bob" }),
  ];
  await write();
  const [, batch] = await Promise.all(submitted);
  const count = async (filter: Parameters<TaskBook["cancelMatching"]>[0]): Promise<number> => {
    const canceled = tasks.cancelMatching(filter);
    await turn();
    await write();
    return canceled;
  };
  const any = { user: undefined, status: undefined, ids: undefined };
  assert.equal(await count({ ...any, user: "nobody" }), 0);
  assert.equal(await count({ ...any, batchId: batch!.batchId! }), 2);
  assert.equal(await count({ ...any, user: "ada", status: "running" }), 1);
  assert.equal(await asked[1], "bob");
  assert.equal(await count({ ...any, ids: [started[1]!.id] }), 1);
  assert.equal(await count(any), 0);
});

// --- reading along -----------------------------------------------------------------------------------------------

function listener(heard: string[]): Listener {
  return {
    placed: (attempt, gpuId) => heard.push(`placed ${attempt} on ${gpuId}`),
    delta: (delta, before) => heard.push(`${before}: ${textOf(delta)}`),
    ended: (task) => heard.push(task.status),
    closed: () => heard.push("closed"),
  };
}

test("a reader hears of a start when it is on disk, then all the text, and of the end when that is on disk", async () => {
  const { started, tasks, submit, write, generate, finish } = book();
  const submitted = [submit("first"), submit("second")];
  await write();
  const second = (await submitted[1]!).tasks[0]!.id;
  const heard: string[] = [];
  const following = tasks.follow(second, listener(heard))!;
  assert.equal(following.now(), null);
  finish(started[0]!, COMPLETED);
  generate(started[1]!, "one ");
  generate(started[1]!, "two ");
  assert.deepEqual([heard, following.now()], [[], null], "a power cut would undo the start");
  await write();
  generate(started[1]!, "three");
  assert.deepEqual(heard, ["placed 1 on 0", "0: one two ", "8: three"]);
  assert.deepEqual(following.now(), {
    attempt: 1,
    gpuId: 0,
    model: "model",
    output: deltasOf({ text: "one two three" }),
  });
  finish(started[1]!, COMPLETED);
  assert.equal(heard.length, 3);
  await write();
  assert.deepEqual([heard.at(-1), tasks.follow(second, listener([]))], ["completed", null]);
});

test("a reader hears of another attempt, and nothing more once it has left or the server stops", async () => {
  const { started, tasks, submit, write, generate } = book();
  const submitted = submit("first");
  await write();
  const { id } = (await submitted).tasks[0]!;
  const [stays, leaves]: [string[], string[]] = [[], []];
  tasks.follow(id, listener(stays));
  const left = tasks.follow(id, listener(leaves))!;
  generate(started[0]!, "void");
  left.stop();
  left.stop();
  tasks.scheduler.interrupted({ gpuId: 0, id: 0 }, "worker_stopped");
  tasks.scheduler.setGpu(gpuOf(facts(0, { slots: 1 })));
  await write();
  assert.deepEqual([stays, leaves], [["0: void", "placed 2 on 0"], ["0: void"]]);
  await tasks.close();
  assert.equal(stays.at(-1), "closed");
});

test("a reader hears of each attempt, also when full servers have sent the task away so often that few are kept", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: Date.now() });
  const { started, tasks, submit, write, finish } = book();
  const submitted = submit("first");
  await write();
  const { id } = (await submitted).tasks[0]!;
  const heard: string[] = [];
  tasks.follow(id, listener(heard));
  const attempts = [2, 3, 4, 5, 6, 7, 8];
  for (const _ of attempts) {
    tasks.scheduler.setGpu(gpuOf(facts(0, { slots: 1, crowded: "server_full" })));
    finish(started[0]!, { status: "interrupted", reason: "gpu_full", sentence: "It takes no more now." });
    tasks.scheduler.setGpu(gpuOf(facts(0, { slots: 1 })));
    // After the third time it rests before it is tried again.
    t.mock.timers.tick(15_000);
    await write();
  }
  assert.deepEqual(
    heard,
    attempts.map((attempt) => `placed ${attempt} on 0`),
  );
  assert.ok(started[0]!.attempts.length < attempts.length);
});

// --- sent again --------------------------------------------------------------------------------------------------

const KEY = { key: "k", fingerprint: "a" };

test("one key makes its tasks once: while the first is under way, and after it", async () => {
  const { started, submit, write } = book();
  const first = submit("first", { idempotency: KEY });
  const second = submit("first", { idempotency: KEY });
  await turn();
  await write();
  const [one, two] = await Promise.all([first, second]);
  assert.deepEqual([one.replayed, two.replayed, two.tasks], [false, true, one.tasks]);
  const third = await submit("first", { idempotency: KEY });
  assert.deepEqual([third.replayed, third.tasks, started.length], [true, one.tasks, 1]);
});

test("a key with another request is a conflict, with another user it is another key", async () => {
  const { submit, write } = book();
  const first = submit("first", { idempotency: KEY });
  const other = { ...KEY, fingerprint: "b" };
  await assert.rejects(submit("other", { idempotency: other }), { code: "conflict" });
  await turn();
  await write();
  await first;
  await assert.rejects(submit("other", { idempotency: other }), { code: "conflict" });
  const stranger = submit("other", { idempotency: other, user: "bob" });
  await turn();
  await write();
  assert.equal((await stranger).replayed, false);
});

test("a submission that could not be written leaves its key unused", async () => {
  const { store, submit, write } = book();
  const first = submit("first", { idempotency: KEY });
  await turn();
  store.writes[0]!.fail();
  await assert.rejects(first, /disk full/);
  const second = submit("first", { idempotency: KEY });
  await turn();
  await write();
  assert.equal((await second).replayed, false);
});

// --- batches -----------------------------------------------------------------------------------------------------

test("a batch ends when the last end of its tasks is on disk, and what could not be written is no batch", async () => {
  const { store, started, submitMany, write, finish } = book();
  const submitted = submitMany(["a", "b"], { batch: { split: true } });
  await write();
  await submitted;
  const ends = (): Batch[] =>
    store.writes.flatMap(({ records }) => records.flatMap((record) => (record.kind === "batch" ? [record.batch] : [])));
  assert.equal(ends().length, 1);
  finish(started[0]!, COMPLETED);
  finish(started[1]!, COMPLETED);
  assert.equal(ends()[0]!.finishedAt, null);
  await write();
  assert.equal(ends().length, 2);
  assert.notEqual(ends()[1]!.finishedAt, null);
});

// --- a disk that takes nothing -----------------------------------------------------------------------------------

test("while the disk takes nothing a cancel is refused soon, though it happens, and a stop waits for what is unwritten", async (t) => {
  const told = toldToOperators(t);
  const { store, started, tasks, submitMany, write, finish } = book();
  const submitted = submitMany(["a", "b"], { batch: { split: true } });
  await write();
  const ids = (await submitted).tasks.map(({ id }) => id);
  finish(started[0]!, COMPLETED);
  for (const { fail } of store.writes.slice(1)) fail();
  await turn();
  assert.equal(tasks.canSave, false);
  assert.deepEqual(briefly(told), ["store failing"], "once for all writes");
  await assert.rejects(tasks.cancel(ids[1]!), { code: "store_unavailable" });
  assert.equal(started[1]!.status, "canceled");
  const unwritten = { code: "store_unavailable", message: /has ended, but its end could not be written to disk yet/ };
  await assert.rejects(tasks.cancel(ids[0]!), unwritten);
  const drained = tasks.drain(60, new AbortController().signal).then(() => true);
  const isDrained = (): Promise<boolean> => Promise.race([drained, turn().then(() => false)]);
  assert.equal(await isDrained(), false);
  // There is room again: what failed is written with the next try.
  while (!(await isDrained())) await write();
  assert.ok(statesOf(store).includes("a completed"));
  assert.deepEqual(briefly(told), ["store failing", "store working"]);
  assert.match(told[0]!.sentence, /^Tasks cannot be written to disk: disk full/);
});

test("what could not be written before the stop is told", async () => {
  const { store, started, lines, tasks, submit, write, finish } = book();
  const submitted = submit("a");
  await write();
  await submitted;
  finish(started[0]!, COMPLETED);
  store.close = async () => store.writes.at(-1)!.fail();
  await tasks.close();
  assert.ok(lines.some((line) => line.startsWith("states of tasks could not be written before the stop")));
});
