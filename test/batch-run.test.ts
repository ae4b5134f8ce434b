/** One batch of a file from its check to its end, over a real store and a real task book, by a clock that the test sets. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { Readable } from "node:stream";
import { test, type TestContext } from "node:test";
import { pino } from "pino";
import { BatchFiles } from "../src/batch-files/batch-files.ts";
import { type BatchFilesParts } from "../src/batch-files/parts.ts";
import { type LineEndpoint } from "../src/batch-files/endpoints.ts";
import { AltLasError } from "../src/errors.ts";
import { type FileInfo } from "../src/files/source.ts";
import { completionOf } from "../src/request.ts";
import { viewOfBatchFile } from "../src/http/openai/batch-views.ts";
import { type RefusedLine } from "../src/store/batch-files.ts";
import { type SqliteStore } from "../src/store/sqlite/sqlite.ts";
import { type RunSink, type Task } from "../src/task.ts";
import { Output } from "../src/output.ts";
import { TaskBook } from "../src/tasks/task-book.ts";
import { CHAT, chatLine, linesText } from "./helpers/batch-files.ts";
import { COMPLETED, facts, gpuOf, SETTINGS } from "./helpers/scheduling.ts";
import { STORES } from "./helpers/store.ts";

const HOUR = 3_600_000;
const NEVER = new AbortController().signal;

/** Lines that are texts, of which none is wrong. */
const ENDPOINT: LineEndpoint = {
  inputOf: async (body) => {
    const settings = { taskType: "", priority: "low", timeoutSeconds: null, model: null } as const;
    const request = completionOf(JSON.stringify(body));
    return { input: { ...settings, request }, strategy: "random", pinnedGpuId: null };
  },
  answerOf: () => Promise.reject(new Error("nothing is answered here")),
};

/** Things that a test waits for: each is told when it has happened. */
class Told<T> {
  readonly #said: T[] = [];
  #next = Promise.withResolvers<void>();

  say(what: T): void {
    this.#said.push(what);
    this.#next.resolve();
    this.#next = Promise.withResolvers<void>();
  }

  async until(isMeant: (what: T) => boolean): Promise<void> {
    while (!this.#said.some(isMeant)) await this.#next.promise;
  }
}

/** A server with one slot and room for one task that waits. */
async function world(t: TestContext, lines: readonly (object | string)[]) {
  const store = STORES["SqliteStore"]!(t)() as SqliteStore;
  const opened = await store.open();
  const time = { now: 1_700_000_000_000 };
  const clock = { now: () => time.now, ahead: 0 };
  const running = new Map<Task, RunSink>();
  const said = new Told<string>();
  const sleepers = new Set<() => void>();
  const log = pino({ level: "info" }, { write: (line) => said.say((JSON.parse(line) as { msg: string }).msg) });
  const tasks = new TaskBook({
    store,
    log: pino({ level: "silent" }),
    settings: { ...SETTINGS, maxQueueSize: 1 },
    clock,
    timeout: null,
    cancelTimeout: 5,
    load: () => {},
    unload: () => {},
    modelOfTaskType: () => null,
    modelMeantBy: (name) => name,
    run: (_instance, task, _request, sink) => {
      running.set(task, sink);
      said.say("a task runs");
      return new Output();
    },
    cancel: (_gpuId, task) => queueMicrotask(() => running.get(task)!.ended({ status: "canceled" })),
    webhooks: { ofTask: () => [], ofBatch: () => [], wake: () => {} },
  });
  tasks.scheduler.setGpu(gpuOf(facts(0, { slots: 1 })));
  tasks.restore(opened);
  const content = Buffer.from(linesText(lines));
  const input: FileInfo = {
    id: randomUUID(),
    user: "ada",
    team: null,
    purpose: "batch",
    filename: "lines.jsonl",
    bytes: content.length,
    createdAt: 0,
    expiresAt: null,
  };
  const stored = { sha256: "", keptFrom: 0, lifetime: null };
  await store.save([], [{ kind: "file", file: { ...input, ...stored } }]);
  const files = { input, content, gate: Promise.resolve(), isLost: false };
  const parts: BatchFilesParts = {
    store,
    files: {
      find: async () => files.input,
      open: async (_file, from = 0) => {
        await files.gate;
        if (files.isLost) throw new AltLasError("not_found", "The content is lost.");
        return { stream: Readable.from([files.content.subarray(from)]), bytes: null };
      },
    },
    tasks,
    feeding: tasks.feeding,
    idempotency: tasks.idempotency,
    endpoints: {
      byPath: new Map([[CHAT, ENDPOINT]]),
      refused: () => ({ status: 0, body: {} }),
      asLine: JSON.stringify,
    },
    clock,
    maxLineBytes: 1e6,
    log,
    pause: (_milliseconds, signal) =>
      new Promise((resolve) => {
        const wake = (): void => {
          sleepers.delete(wake);
          resolve();
        };
        sleepers.add(wake);
        said.say("somebody sleeps");
        signal.addEventListener("abort", wake, { once: true });
        if (signal.aborted) wake();
      }),
  };
  const batchFiles = new BatchFiles(parts);
  t.after(async () => {
    await batchFiles.stop();
    await tasks.close();
  });
  return {
    parts,
    batchFiles,
    tasks,
    store,
    files,
    said,
    running,
    create: async () => {
      const window = { given: "1h", milliseconds: HOUR };
      const asked = {
        user: "ada",
        keyName: null,
        team: null,
        models: null,
        input,
        endpoint: CHAT,
        window,
        metadata: null,
        outputLifetime: null,
      };
      const priority = "low";
      return (await batchFiles.create("ada", async () => ({ ...asked, priority }), null)).file.id;
    },
    /** Lets so much time pass, for all who wait for it. */
    pass: (milliseconds: number): void => {
      time.now += milliseconds;
      tasks.scheduler.tick();
      for (const wake of sleepers) wake();
    },
    end: async (): Promise<void> => {
      const [[task, sink]] = [...running] as [[Task, RunSink]];
      running.delete(task);
      sink.ended(COMPLETED);
      await tasks.wait(task.id, 10, NEVER);
    },
    view: async (id: string) => viewOfBatchFile((await batchFiles.find(id))!),
    refused: async (id: string): Promise<readonly RefusedLine[]> => {
      const { firstSeq, size } = (await tasks.batch(id))!.batch;
      return store.batchFiles.refusedIn(firstSeq, firstSeq + size - 1, 1000);
    },
    isHeld: async () => (await store.files.remove(input.id)) === "held",
  };
}

const LINES = [1, 2, 3, 4, 5].map((index) => chatLine(`line ${index}`));

test("when the window is over, what runs and what waits ends, lines to come are refused, and the file is let go", async (t) => {
  const { create, said, end, pass, view, refused, isHeld, tasks } = await world(t, LINES);
  const id = await create();
  await said.until((what) => what === "a task runs");
  await end();
  // One runs, one waits, and the reader sleeps as there is no room for a third.
  await said.until((what) => what === "somebody sleeps");
  assert.equal((await view(id)).status, "in_progress");
  assert.ok(await isHeld());
  pass(HOUR);
  await said.until((what) => what === "batch of a file ended");
  const { status, request_counts, output_file_id, error_file_id } = await view(id);
  assert.deepEqual([status, request_counts], ["expired", { total: 5, completed: 1, failed: 4 }]);
  assert.ok(output_file_id !== null && error_file_id !== null);
  const codes = (await refused(id)).map(({ customId, failure }) => [customId, failure.code]);
  assert.ok(codes.length >= 2 && codes.every(([, code]) => code === "batch_expired"), JSON.stringify(codes));
  assert.deepEqual(codes.at(-1), ["line 5", "batch_expired"]);
  const { counts } = (await tasks.batch(id))!;
  assert.deepEqual([counts.completed, counts.failed], [1, 4]);
  assert.ok(!(await isHeld()));
});

test("lines that cannot be read any more have failed, and the batch with them; what is a task goes on", async (t) => {
  const { create, said, end, pass, view, files, batchFiles, parts, running } = await world(t, LINES);
  const id = await create();
  await said.until((what) => what === "a task runs");
  // The next read is that of a server that was started again, on whose disk the file is cut short.
  await batchFiles.stop();
  files.isLost = true;
  const again = new BatchFiles(parts);
  t.after(() => again.stop());
  await again.start();
  await said.until((what) => what === "the lines of a batch cannot be read any more");
  pass(1);
  while (running.size > 0) await end();
  await said.until((what) => what === "batch of a file ended");
  const { status, errors, request_counts } = await view(id);
  assert.equal(status, "failed");
  assert.deepEqual([errors!.data[0]!.code, request_counts.total], ["input_file_lost", 5]);
  assert.equal(request_counts.completed + request_counts.failed, 5);
});

test("a batch that is canceled while its lines are checked has no tasks", async (t) => {
  const { create, batchFiles, view, files, isHeld, running } = await world(t, LINES);
  const gate = Promise.withResolvers<void>();
  files.gate = gate.promise;
  const id = await create();
  assert.equal((await view(id)).status, "validating");
  assert.equal(viewOfBatchFile(await batchFiles.cancel(id)).status, "cancelled");
  gate.resolve();
  await batchFiles.stop();
  assert.deepEqual([(await view(id)).status, running.size, await isHeld()], ["cancelled", 0, false]);
  await assert.rejects(batchFiles.cancel(id), { code: "conflict" });
});
