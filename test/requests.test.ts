/** Where the texts of waiting tasks are: in memory while there is room, else in the store until a slot is near. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { pino } from "pino";
import { AltLasError } from "../src/errors.ts";
import { completionOf, heapBytesOf, type Request } from "../src/request.ts";
import { Requests, type WaitingRequestsParts } from "../src/tasks/requests.ts";
import { type Task } from "../src/task.ts";
import { newTask } from "./helpers/store.ts";

/** A world where reads end when the test says so. */
class World {
  readonly reads: { readonly seq: number; readonly end: PromiseWithResolvers<Request | null> }[] = [];
  readonly lost = new AbortController();
  readonly requests: Requests;
  upcoming: readonly Task[] = [];
  works = true;
  readonly #asked = new Map<number, Request>();
  /** Wakes whoever waits for the next read. */
  #onRead = (): void => {};

  constructor(parts: Partial<WaitingRequestsParts> = {}) {
    this.requests = new Requests({
      store: { request: (seq) => this.#read(seq) },
      lost: this.lost.signal,
      log: pino({ level: "silent" }),
      storeWorks: () => this.works,
      upcoming: () => this.upcoming,
      budget: 1000,
      pause: 0,
      ...parts,
    });
  }

  /** Waiting tasks that are on disk, each with so many bytes of text. */
  stored(...texts: readonly string[]): Task[] {
    return texts.map((text, index) => {
      const task = newTask(index + 1, { text });
      this.#asked.set(task.seq, task.request!);
      this.requests.settle(task);
      return task;
    });
  }

  start(task: Task): Request | Promise<Request> {
    const request = this.requests.of(task);
    task.status = "running";
    this.requests.settle(task);
    return request;
  }

  /** Ends all reads so far, and lets what waited for them go on. */
  async answer(): Promise<void> {
    for (const { seq, end } of this.reads.splice(0)) end.resolve(this.#asked.get(seq) ?? null);
    await nextTurn();
  }

  /** Resolves when something is being read. */
  async asked(): Promise<void> {
    if (this.reads.length === 0) await new Promise<void>((resolve) => (this.#onRead = resolve));
  }

  async fail(): Promise<void> {
    await this.asked();
    const error = new AltLasError("store_unavailable", "disk I/O error");
    for (const { end } of this.reads.splice(0)) end.reject(error);
    await nextTurn();
  }

  #read(seq: number): Promise<Request | null> {
    const end = Promise.withResolvers<Request | null>();
    this.reads.push({ seq, end });
    this.#onRead();
    return end.promise;
  }
}

const inMemory = (tasks: readonly Task[]): number[] =>
  tasks.filter(({ request }) => request !== null).map(({ seq }) => seq);

test("texts stay in memory while there is room, and a task that has its own starts at once", () => {
  const world = new World();
  const tasks = world.stored("a".repeat(300), "b".repeat(300), "c".repeat(300), "d".repeat(100));
  assert.deepEqual(inMemory(tasks), [1, 2, 4], "three quarters are for new ones");
  assert.deepEqual(world.requests.state, { bytes: 700, absent: 1 });
  assert.deepEqual(world.start(tasks[0]!), completionOf("a".repeat(300)));
  assert.equal(tasks[0]!.request, null, "a running task needs none: its worker has it");
  assert.deepEqual(world.requests.state, { bytes: 400, absent: 1 });
});

test("a text with wide characters takes two bytes of the heap for each of its characters", () => {
  const world = new World();
  const tasks = world.stored("日".repeat(370), "x".repeat(20));
  assert.deepEqual(inMemory(tasks), [1]);
  assert.deepEqual(world.requests.state, { bytes: 740, absent: 1 });
});

test("many small messages or inputs take more of the heap than their texts", () => {
  const messages = Array.from({ length: 9 }, () => ({ role: "user", content: "" }) as const);
  const sampling = completionOf("").sampling;
  assert.ok(heapBytesOf({ kind: "chat", messages, sampling }, 0) >= 9 * 72);
  const tokens = Array.from({ length: 100 }, (_, index) => index);
  assert.ok(heapBytesOf({ kind: "embedding", inputs: ["a", tokens], sampling }, 401) >= 2 * 24 + 8 * 100);
  assert.equal(heapBytesOf(completionOf("abc"), 3), 3);
});

test("texts of the tasks that are next are read ahead, as far as there is room, and once", async () => {
  const world = new World();
  const tasks = world.stored("a".repeat(750), ...["b", "c", "d"].map((letter) => letter.repeat(100)));
  world.upcoming = tasks;
  assert.deepEqual(inMemory(tasks), [1]);
  world.start(tasks[0]!);
  await nextTurn();
  assert.deepEqual(
    world.reads.map(({ seq }) => seq),
    [2],
    "each might take 200 bytes, and 250 are for reading ahead",
  );
  const started = world.start(tasks[1]!);
  assert.equal(world.reads.length, 1, "it is on its way already");
  await world.answer();
  assert.deepEqual(await started, completionOf("b".repeat(100)));
  assert.deepEqual(
    world.reads.map(({ seq }) => seq),
    [3],
    "the start made room for another",
  );
  assert.equal(tasks[1]!.request, null);
});

test("what was read ahead for tasks that were passed over makes room for those that are next", async () => {
  const world = new World();
  const [first, passed, next] = world.stored("a".repeat(750), "b".repeat(110), "c".repeat(110)) as [Task, Task, Task];
  world.upcoming = [passed];
  world.start(first);
  await nextTurn();
  await world.answer();
  assert.deepEqual(inMemory([passed, next]), [2]);
  world.upcoming = [next];
  // What has been cut off waits again, and its start looks ahead.
  first.status = "queued";
  world.requests.settle(first);
  void world.start(first);
  await nextTurn();
  await world.answer();
  assert.deepEqual(inMemory([passed, next]), [3]);
});

test("while the store cannot be read a task keeps its slot, and starts when it can", async () => {
  const world = new World({ budget: 0 });
  world.works = false;
  const [task] = world.stored("text") as [Task];
  const started: Request[] = [];
  const starting = Promise.resolve(world.start(task)).then((request) => void started.push(request));
  for (let tries = 0; tries < 25; tries++) await world.fail();
  assert.deepEqual(started, []);
  await world.asked();
  await world.answer();
  await starting;
  assert.deepEqual(started, [completionOf("text")]);
});

test("a text that cannot be read while others can, or that is gone, fails its task and no other", async () => {
  const world = new World({ budget: 0 });
  const [damaged] = world.stored("text") as [Task];
  const refused = assert.rejects(Promise.resolve(world.start(damaged)), { code: "store_unavailable", message: /I\/O/ });
  for (let tries = 0; tries < 10; tries++) await world.fail();
  await refused;
});

test("nobody reads on for a task that has left its slot, nor when the store is lost or the server stops", async () => {
  for (const end of ["left", "lost", "closed"] as const) {
    const world = new World({ budget: 0 });
    world.works = false;
    const [task] = world.stored("text") as [Task];
    const refused = assert.rejects(Promise.resolve(world.start(task)), { code: "store_unavailable" });
    await world.fail();
    if (end === "left") task.status = "queued";
    if (end === "lost") world.lost.abort();
    if (end === "closed") world.requests.close();
    await world.fail();
    await refused;
  }
});
