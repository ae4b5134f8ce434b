/**
 * The server's half of a worker: what it tells of a process, also of one that fails in each way a process can. Where that is all the same,
 * the worker is in this process, and time is virtual.
 */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { pino } from "pino";
import { textOf, contentOf, type Delta, type Output } from "../../src/output.ts";
import { type EngineInfo, type EngineOptions, PROOF, type SimulatedFailure } from "../../src/engine/engine.ts";
import { type Death, GpuWorker, type WorkerOptions } from "../../src/gpu/worker/worker.ts";
import { forkChannel } from "../../src/gpu/worker/fork-channel.ts";
import { type CanceledRun } from "../../src/gpu/worker/worker-runs.ts";
import { type Outcome, type RunSink, type Task } from "../../src/task.ts";
import { Changes } from "../helpers/changes.ts";
import { simulatedEngine } from "../helpers/devices.ts";
import { LocalWorkers } from "../helpers/local-workers.ts";
import { World } from "../helpers/scheduling.ts";
import { VirtualTime } from "../helpers/virtual-time.ts";
import { AltLasError } from "../../src/errors.ts";
import { completionOf, type Request } from "../../src/request.ts";
import { given } from "../helpers/requests.ts";

/** For tests of what only a process has or suffers. */
const IN_PROCESS = { openChannel: forkChannel };

/** A worker, and what it told its owner. */
class Owner {
  /** To kill or freeze the worker that is no process. */
  readonly workers = new LocalWorkers();
  readonly worker: GpuWorker;
  readonly outcomes = new Map<Task, Outcome>();
  info: EngineInfo | null = null;
  refusal: string | null = null;
  loss: string | null = null;
  death: Death | null = null;
  stall: string | null = null;
  /** What it was told of canceled tasks that did not stop, each time. */
  readonly stuck: { readonly sentence: string; readonly canceled: readonly CanceledRun[] }[] = [];
  /** All that was told of tasks, in order. */
  readonly told: { readonly task: Task; readonly piece?: string; readonly before?: number }[] = [];
  onBeat = (): void => {};
  readonly sinks = new Map<Task, RunSink>();
  readonly #outputs = new Map<Task, Output>();
  /** null: the worker is a process. */
  readonly #time: VirtualTime | null;
  readonly #changes = new Changes();

  constructor(
    t: TestContext,
    engine: Partial<EngineOptions>,
    failures: readonly SimulatedFailure[] = [],
    options: Partial<Pick<WorkerOptions, "stallTimeout" | "loadTimeout" | "cancelTimeout" | "openChannel">> = {},
  ) {
    this.#time = options.openChannel === undefined ? new VirtualTime(t) : null;
    const told =
      <Args extends unknown[]>(keep: (...args: Args) => void) =>
      (...args: Args): void => {
        keep(...args);
        this.#changes.tell();
      };
    this.worker = new GpuWorker(
      {
        gpuId: 0,
        engine: { ...simulatedEngine({ failures }), ...engine },
        environment: {},
        openChannel: this.workers.open,
        proveCuda: false,
        silenceTimeout: 60,
        // A machine that is busy may not keep any test from a worker that is only late.
        stallTimeout: 600,
        loadTimeout: 6,
        cancelTimeout: 60,
        ...options,
        log: pino({ level: "silent" }),
      },
      {
        loaded: told((info) => (this.info = info)),
        refused: told((_code, sentence) => (this.refusal = sentence)),
        lost: told((sentence) => (this.loss = sentence)),
        beat: told(() => this.onBeat()),
        ended: (sink, outcome) => sink.ended(outcome),
        stalled: told((sentence) => (this.stall = sentence)),
        stuck: told((sentence, canceled) => void this.stuck.push({ sentence, canceled })),
        gone: told((death) => (this.death = death)),
      },
    );
    t.after(() => this.worker.kill());
  }

  /** Gives it a task. */
  run(task: Task, request: Parameters<GpuWorker["run"]>[1] = given(task)[1]): void {
    const delta = (part: Delta, before: number): void => {
      this.told.push({ task, piece: textOf(part), before });
      this.#changes.tell();
    };
    const ended = (outcome: Outcome): void => {
      this.told.push({ task });
      this.outcomes.set(task, outcome);
      this.#changes.tell();
    };
    const sink = { delta, ended };
    this.sinks.set(task, sink);
    this.#outputs.set(task, this.worker.run(task, request, sink));
  }

  /** What it has generated for a task. */
  textOf(task: Task): string {
    return contentOf(this.#outputs.get(task)!.deltas).text;
  }

  until(holds: () => boolean): Promise<void> {
    return this.#time === null ? this.#changes.until(holds) : this.#time.until(holds);
  }

  /** Waits for that many heartbeats. */
  async beats(count: number): Promise<void> {
    let left = count;
    this.onBeat = () => void left--;
    await this.until(() => left <= 0);
  }

  ready(): Promise<void> {
    return this.until(() => this.info !== null);
  }

  /** A health check's outcome. */
  async check(): Promise<Outcome> {
    const checked = this.worker.check(PROOF);
    await this.#time?.settled(checked);
    return checked;
  }

  async outcome(task: Task): Promise<Outcome> {
    await this.until(() => this.outcomes.has(task));
    return this.outcomes.get(task)!;
  }
}

/** When all tasks are said to have started, in Unix milliseconds. */
const STARTED_AT = 1000;

const { task } = (() => {
  const world = new World([]);
  return {
    task: (text: string, maxTokens = 3): Task => {
      const started = world.task({ text, maxTokens });
      started.startedAt = STARTED_AT;
      return started;
    },
  };
})();

test("tasks run, and their text is what the pieces add up to", async (t) => {
  const owner = new Owner(t, {});
  await owner.ready();
  const tasks = [task("one"), task("two two")];
  for (const each of tasks) owner.run(each);
  const [first, second] = await Promise.all(tasks.map((each) => owner.outcome(each)));
  assert.ok(first?.status === "completed" && second?.status === "completed");
  assert.equal(first.result.completionTokens, 3);
  assert.equal(first.result.text.trim().split(/\s+/).length, 3);
  assert.equal(second.result.promptTokens, 2);
});

test("a task whose text is still on its way has its slot, and begins when that is there", async (t) => {
  const owner = new Owner(t, {});
  await owner.ready();
  const [late, canceled, unread] = [task("late"), task("canceled"), task("unread")];
  const coming = [late, canceled, unread].map(() => Promise.withResolvers<Request>());
  for (const [index, each] of [late, canceled, unread].entries()) owner.run(each, coming[index]!.promise);
  assert.deepEqual([owner.worker.tasks, owner.worker.idleFor], [3, 0]);
  owner.worker.cancel(canceled);
  assert.equal(owner.outcomes.size, 0, "not within the call");
  assert.deepEqual(await owner.outcome(canceled), { status: "canceled" });
  coming[2]!.reject(new AltLasError("store_unavailable", "It cannot be read."));
  const error = { code: "store_unavailable", sentence: "It cannot be read." };
  assert.deepEqual(await owner.outcome(unread), { status: "failed", error });
  // What was canceled stays so, whatever comes.
  coming[1]!.resolve(completionOf("canceled"));
  coming[0]!.resolve(completionOf("late", { maxTokens: 3 }));
  assert.equal((await owner.outcome(late)).status, "completed");
  assert.equal(owner.worker.tasks, 0);
});

test("a text that comes when the process is gone starts nothing, and waiting for one is no stall", async (t) => {
  const owner = new Owner(t, {}, [], { stallTimeout: 0.5 });
  await owner.ready();
  const coming = Promise.withResolvers<Request>();
  owner.run(task("late"), coming.promise);
  await owner.beats(3);
  assert.equal(owner.stall, null);
  owner.workers.of().kill();
  await owner.until(() => owner.death !== null);
  coming.resolve(completionOf("late", { maxTokens: 3 }));
  await coming.promise;
  assert.deepEqual([owner.worker.tasks, owner.outcomes.size], [0, 0]);
});

test("a process that is killed is told to be gone, with how and its last words", async (t) => {
  const owner = new Owner(t, {}, [{ kind: "hang", when_text_contains: "wait" }], IN_PROCESS);
  await owner.ready();
  owner.run(task("wait"));
  process.kill(owner.worker.pid!, "SIGKILL");
  await owner.until(() => owner.death !== null);
  assert.deepEqual(owner.death, { how: "SIGKILL", lastWords: "", lived: true, sharedDeaths: undefined });
  assert.equal(owner.worker.tasks, 0);
});

test("a process that hangs under its work is stalled", async (t) => {
  const owner = new Owner(t, {}, [{ kind: "hang", when_text_contains: "freeze" }], {
    ...IN_PROCESS,
    stallTimeout: 2,
  });
  await owner.ready();
  owner.run(task("freeze"));
  await owner.until(() => owner.stall !== null);
  assert.match(owner.stall ?? "", /for 2 s \(gpu\.stall_timeout\)\.$/);
});

test("a process that beats but gets on with nothing is stalled, as with a GPU that hangs", async (t) => {
  const owner = new Owner(t, {}, [{ kind: "stall", when_text_contains: "freeze" }], { stallTimeout: 2 });
  await owner.ready();
  owner.run(task("freeze"));
  await owner.until(() => owner.stall !== null);
  assert.match(owner.stall ?? "", /made no progress/);
});

test("a stopped process (SIGSTOP) is stalled, also without work", async (t) => {
  const owner = new Owner(t, {}, [], { ...IN_PROCESS, stallTimeout: 2 });
  await owner.ready();
  process.kill(owner.worker.pid!, "SIGSTOP");
  await owner.until(() => owner.stall !== null);
  assert.match(owner.stall ?? "", /gave no sign of life/);
});

test("loading is work, not silence: heartbeats go on", async (t) => {
  const owner = new Owner(t, simulatedEngine({ load_seconds: 2.5 }), [], { stallTimeout: 2 });
  await owner.ready();
  assert.equal(owner.stall, null);
});

test("a load that does not come to an end is stalled, although the process beats", async (t) => {
  const owner = new Owner(t, simulatedEngine({ load_seconds: 1e6 }), [], { loadTimeout: 1 });
  await owner.until(() => owner.stall !== null);
  assert.match(owner.stall ?? "", /did not get the model loaded within 1 s/);
});

test("a health check generates one token and is no task", async (t) => {
  const owner = new Owner(t, {});
  await owner.ready();
  const outcome = await owner.check();
  assert.ok(outcome.status === "completed" && outcome.result.completionTokens === 1);
  assert.equal(owner.outcomes.size, 0);
});

test("a model that cannot be loaded is refused with the engine's sentence", async (t) => {
  const owner = new Owner(t, { kind: "llama", model: "/no/such/model.gguf" }, [], IN_PROCESS);
  await owner.until(() => owner.death !== null);
  assert.match(owner.refusal ?? "", /\/no\/such\/model\.gguf does not exist/);
});

test("a canceled task says so when the process has stopped it, with its text until then; its neighbours go on", async (t) => {
  const owner = new Owner(t, simulatedEngine({ tokens_per_second: 20, context: 1e9 }));
  await owner.ready();
  const [long, short] = [task("long", 1e6), task("short", 5)];
  owner.run(long);
  owner.run(short);
  await owner.until(() => owner.textOf(long) !== "");
  owner.worker.cancel(long);
  const outcome = await owner.outcome(long);
  assert.ok(outcome.status === "canceled" && outcome.result !== undefined);
  const { text, finishReason, promptTokens, completionTokens, executionTime, timestamp } = outcome.result;
  assert.deepEqual([finishReason, promptTokens, completionTokens], ["canceled", 1, text.trim().split(" ").length]);
  assert.ok(executionTime > 0 && timestamp > STARTED_AT);
  assert.equal(text, owner.told.map((told) => (told.task === long ? (told.piece ?? "") : "")).join(""));
  assert.equal((await owner.outcome(short)).status, "completed");
});

test("a task that is canceled in the tick in which it starts, or before its first token, has an empty text", async (t) => {
  const owner = new Owner(t, simulatedEngine({ tokens_per_second: 0.001 }));
  await owner.ready();
  const [atOnce, soon] = [task("at once"), task("soon")];
  owner.run(atOnce);
  owner.worker.cancel(atOnce);
  owner.run(soon);
  const first = await owner.outcome(atOnce);
  owner.worker.cancel(soon);
  for (const outcome of [first, await owner.outcome(soon)]) {
    assert.ok(outcome.status === "canceled" && outcome.result !== undefined);
    const { timestamp, ...rest } = outcome.result;
    assert.ok(timestamp >= STARTED_AT);
    const promptTokens = outcome === first ? 2 : 1;
    assert.deepEqual(rest, {
      text: "",
      executionTime: 0,
      finishReason: "canceled",
      promptTokens,
      completionTokens: 0,
      cachedTokens: 0,
    });
  }
});

test("text is told as it comes, with its place, and all of it before the end", async (t) => {
  const owner = new Owner(t, simulatedEngine({ tokens_per_second: 50 }));
  await owner.ready();
  const tasks = [task("one", 12), task("two", 9)];
  for (const each of tasks) owner.run(each);
  await owner.until(() => owner.textOf(tasks[0]!) !== "");
  await owner.check();
  for (const each of tasks) {
    const outcome = await owner.outcome(each);
    assert.ok(outcome.status === "completed");
    const told = owner.told.filter((one) => one.task === each);
    assert.equal(told.pop()?.piece, undefined, "the end is told last");
    let text = "";
    for (const { piece, before } of told) {
      assert.ok(piece !== undefined && piece !== "" && before === text.length);
      text += piece;
    }
    assert.equal(text, outcome.result.text);
  }
  assert.ok(
    owner.told.every((one) => tasks.includes(one.task)),
    "a health check tells nothing",
  );
});

test("text is there to be read while its piece is told", async (t) => {
  const owner = new Owner(t, simulatedEngine({ tokens_per_second: 50 }));
  await owner.ready();
  const only = task("one", 5);
  owner.run(only);
  await owner.until(() => owner.told.length > 0);
  const { piece = "", before } = owner.told[0]!;
  assert.deepEqual([before, owner.textOf(only).startsWith(piece)], [0, true]);
  await owner.outcome(only);
});

const DEAF: readonly SimulatedFailure[] = [{ kind: "ignore_cancel", when_text_contains: "deaf" }];

test("a process that does not stop a canceled task in time is stuck, however often it is asked", async (t) => {
  const engine = simulatedEngine({ tokens_per_second: 20, context: 1e9, failures: DEAF });
  const owner = new Owner(t, engine, [], { stallTimeout: 60, cancelTimeout: 0.5 });
  await owner.ready();
  const [deaf, neighbour] = [task("deaf", 1e6), task("neighbour", 1e6)];
  owner.run(deaf);
  owner.run(neighbour);
  await owner.until(() => owner.textOf(deaf) !== "");
  owner.onBeat = () => owner.worker.cancel(deaf);
  await owner.until(() => owner.stuck.length > 0);
  const { sentence, canceled } = owner.stuck[0]!;
  assert.equal(sentence, "The worker did not stop a canceled task within 0.5 s (tasks.cancel_timeout).");
  assert.deepEqual([canceled.length, canceled[0]?.sink, owner.stall], [1, owner.sinks.get(deaf), null]);
  const outcome = canceled[0]!.outcome;
  assert.ok(outcome.status === "canceled" && outcome.result !== undefined);
  const { text, finishReason, promptTokens, completionTokens, executionTime, timestamp } = outcome.result;
  assert.equal(text, owner.textOf(deaf));
  assert.deepEqual([finishReason, promptTokens, completionTokens], ["canceled", 1, text.trim().split(" ").length]);
  assert.ok(executionTime > 0 && timestamp > STARTED_AT && timestamp <= STARTED_AT + performance.now());
  await owner.beats(4);
  assert.equal(owner.stuck.length, 1, "it is told once");
});

test("a stopped worker with a canceled task is stuck", async (t) => {
  const owner = new Owner(t, simulatedEngine({ tokens_per_second: 20 }), [], { stallTimeout: 60, cancelTimeout: 0.5 });
  await owner.ready();
  const frozen = task("frozen", 1000);
  owner.run(frozen);
  await owner.until(() => owner.textOf(frozen) !== "");
  owner.workers.of().freeze();
  owner.worker.cancel(frozen);
  await owner.until(() => owner.stuck.length > 0);
  assert.deepEqual([owner.stuck[0]!.canceled.length, owner.outcomes.size], [1, 0]);
});

test("of a task that a hanging process may never have got, the cancel tells no text", async (t) => {
  const failures: readonly SimulatedFailure[] = [{ kind: "hang", when_text_contains: "freeze" }];
  const owner = new Owner(t, {}, failures, { stallTimeout: 60, cancelTimeout: 0.5 });
  await owner.ready();
  const [frozen, late] = [task("freeze"), task("late")];
  owner.run(frozen);
  owner.worker.cancel(frozen);
  owner.run(late);
  owner.worker.cancel(late);
  await owner.until(() => owner.stuck.length > 0);
  assert.deepEqual(owner.stuck[0]!.canceled, [
    { sink: owner.sinks.get(frozen), outcome: { status: "canceled" } },
    { sink: owner.sinks.get(late), outcome: { status: "canceled" } },
  ]);
});

test("a process that is stalled before it is stuck is stalled only", async (t) => {
  const owner = new Owner(t, {}, [{ kind: "stall" }], { stallTimeout: 0.5, cancelTimeout: 1 });
  await owner.ready();
  const frozen = task("freeze");
  owner.run(frozen);
  owner.worker.cancel(frozen);
  await owner.until(() => owner.stall !== null);
  await owner.beats(4);
  assert.deepEqual([owner.stuck, owner.outcomes.size], [[], 0]);
});

test("a task's own failure is its own", async (t) => {
  const owner = new Owner(t, {}, [{ kind: "error", when_text_contains: "bad" }]);
  await owner.ready();
  const [bad, good] = [task("bad"), task("good")];
  owner.run(bad);
  owner.run(good);
  const outcome = await owner.outcome(bad);
  assert.ok(outcome.status === "failed" && outcome.error.code === "model_error");
  assert.equal((await owner.outcome(good)).status, "completed");
});

test("stopping ends the process without telling that tasks ended, also twice and at once", async (t) => {
  const owner = new Owner(t, simulatedEngine({ tokens_per_second: 1, context: 1e9 }), [], IN_PROCESS);
  await owner.ready();
  const pid = owner.worker.pid!;
  owner.run(...given(task("endless", 1e6)));
  await Promise.all([owner.worker.stop(), owner.worker.stop()]);
  assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
  assert.deepEqual([owner.outcomes.size, owner.death], [0, null]);
});

test("the process does not inherit the secrets of the server's environment", async (t) => {
  process.env["OTHER_PASSWORD"] = "a-secret-of-the-server";
  t.after(() => delete process.env["OTHER_PASSWORD"]);
  const owner = new Owner(t, {}, [], IN_PROCESS);
  await owner.ready();
  if (process.platform !== "linux") return t.skip("only Linux shows a process's environment");
  const { readFile } = await import("node:fs/promises");
  assert.ok(!(await readFile(`/proc/${owner.worker.pid}/environ`, "utf8")).includes("a-secret-of-the-server"));
});
