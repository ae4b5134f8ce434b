/** The server's half of a worker: what it tells of a process, also of one that fails in each way a process can. Every test has real processes. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { pino } from "pino";
import { type EngineInfo, type EngineOptions, type SimulatedFailure } from "../src/engine/engine.ts";
import { type Death, GpuWorker } from "../src/gpu/worker.ts";
import { type Outcome, type Task } from "../src/task.ts";
import { simulatedEngine } from "./helpers/devices.ts";
import { World } from "./helpers/scheduling.ts";

/** A worker, and what it told its owner. */
class Owner {
  readonly worker: GpuWorker;
  readonly outcomes = new Map<Task, Outcome>();
  info: EngineInfo | null = null;
  refusal: string | null = null;
  death: Death | null = null;
  stall: string | null = null;
  readonly #waiting = new Set<() => void>();

  constructor(t: TestContext, engine: Partial<EngineOptions>, failures: readonly SimulatedFailure[] = []) {
    const told =
      <Args extends unknown[]>(keep: (...args: Args) => void) =>
      (...args: Args): void => {
        keep(...args);
        for (const resolve of this.#waiting) resolve();
        this.#waiting.clear();
      };
    this.worker = new GpuWorker(
      {
        gpuId: 0,
        engine: { ...simulatedEngine({ failures }), ...engine },
        environment: {},
        proveCuda: false,
        stallTimeout: 2,
        loadTimeout: 6,
        log: pino({ level: "silent" }),
      },
      {
        loaded: told((info) => (this.info = info)),
        refused: told((_code, sentence) => (this.refusal = sentence)),
        beat: told(() => {}),
        ended: told((task, outcome) => this.outcomes.set(task, outcome)),
        stalled: told((sentence) => (this.stall = sentence)),
        gone: told((death) => (this.death = death)),
      },
    );
    t.after(() => this.worker.kill());
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  ready(): Promise<void> {
    return this.until(() => this.info !== null);
  }

  async outcome(task: Task): Promise<Outcome> {
    await this.until(() => this.outcomes.has(task));
    return this.outcomes.get(task)!;
  }
}

const { task } = (() => {
  const world = new World([]);
  return { task: (text: string, maxLength = 3): Task => world.task({ text, maxLength }) };
})();

test("tasks run, and their text is what the pieces add up to", async (t) => {
  const owner = new Owner(t, {});
  await owner.ready();
  const tasks = [task("one"), task("two two")];
  for (const each of tasks) owner.worker.run(each);
  const [first, second] = await Promise.all(tasks.map((each) => owner.outcome(each)));
  assert.ok(first?.status === "completed" && second?.status === "completed");
  assert.equal(first.result.completionTokens, 3);
  assert.equal(first.result.text.trim().split(/\s+/).length, 3);
  assert.equal(second.result.promptTokens, 2);
});

test("a process that is killed is told to be gone, with how and its last words", async (t) => {
  const owner = new Owner(t, {}, [{ kind: "hang", when_text_contains: "wait" }]);
  await owner.ready();
  owner.worker.run(task("wait"));
  process.kill(owner.worker.pid!, "SIGKILL");
  await owner.until(() => owner.death !== null);
  assert.deepEqual(owner.death, { how: "SIGKILL", lastWords: "", lived: true });
  assert.equal(owner.worker.tasks, 0);
});

test("a process that hangs under its work is stalled", async (t) => {
  const owner = new Owner(t, {}, [{ kind: "hang", when_text_contains: "freeze" }]);
  await owner.ready();
  owner.worker.run(task("freeze"));
  await owner.until(() => owner.stall !== null);
  assert.match(owner.stall ?? "", /for 2 s \(gpu\.stall_timeout\)\.$/);
});

test("a process that beats but gets on with nothing is stalled, as with a GPU that hangs", async (t) => {
  const owner = new Owner(t, {}, [{ kind: "stall", when_text_contains: "freeze" }]);
  await owner.ready();
  owner.worker.run(task("freeze"));
  await owner.until(() => owner.stall !== null);
  assert.match(owner.stall ?? "", /made no progress/);
});

test("a stopped process (SIGSTOP) is stalled, also without work", async (t) => {
  const owner = new Owner(t, {});
  await owner.ready();
  process.kill(owner.worker.pid!, "SIGSTOP");
  await owner.until(() => owner.stall !== null);
  assert.match(owner.stall ?? "", /gave no sign of life/);
});

test("loading is work, not silence: heartbeats go on", async (t) => {
  const owner = new Owner(t, simulatedEngine({ load_seconds: 4 }));
  await owner.ready();
  assert.equal(owner.stall, null);
});

test("a load that does not come to an end is stalled, although the process beats", async (t) => {
  const owner = new Owner(t, simulatedEngine({ load_seconds: 1e6 }));
  await owner.until(() => owner.stall !== null);
  assert.match(owner.stall ?? "", /did not get the model loaded within 6 s/);
});

test("a health check generates one token and is no task", async (t) => {
  const owner = new Owner(t, {});
  await owner.ready();
  const outcome = await owner.worker.check();
  assert.ok(outcome.status === "completed" && outcome.result.completionTokens === 1);
  assert.equal(owner.outcomes.size, 0);
});

test("a model that cannot be loaded is refused with the engine's sentence", async (t) => {
  const owner = new Owner(t, { kind: "llama", model: "/no/such/model.gguf" });
  await owner.until(() => owner.death !== null);
  assert.match(owner.refusal ?? "", /\/no\/such\/model\.gguf does not exist/);
});

test("a canceled task says so when the process has stopped it; its neighbours go on", async (t) => {
  const owner = new Owner(t, simulatedEngine({ tokens_per_second: 20, context: 1e9 }));
  await owner.ready();
  const [long, short] = [task("long", 1e6), task("short", 5)];
  owner.worker.run(long);
  owner.worker.run(short);
  owner.worker.cancel(long);
  assert.deepEqual(await owner.outcome(long), { status: "canceled" });
  assert.equal((await owner.outcome(short)).status, "completed");
});

test("a task's own failure is its own", async (t) => {
  const owner = new Owner(t, {}, [{ kind: "error", when_text_contains: "bad" }]);
  await owner.ready();
  const [bad, good] = [task("bad"), task("good")];
  owner.worker.run(bad);
  owner.worker.run(good);
  const outcome = await owner.outcome(bad);
  assert.ok(outcome.status === "failed" && outcome.error.code === "model_error");
  assert.equal((await owner.outcome(good)).status, "completed");
});

test("stopping ends the process without telling that tasks ended, also twice and at once", async (t) => {
  const owner = new Owner(t, simulatedEngine({ tokens_per_second: 1, context: 1e9 }));
  await owner.ready();
  const pid = owner.worker.pid!;
  owner.worker.run(task("endless", 1e6));
  await Promise.all([owner.worker.stop(), owner.worker.stop()]);
  assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
  assert.deepEqual([owner.outcomes.size, owner.death], [0, null]);
});

test("the process does not inherit the server's key", async (t) => {
  process.env["ALT_LAS_API_KEY"] = "a-secret-of-the-server";
  t.after(() => delete process.env["ALT_LAS_API_KEY"]);
  const owner = new Owner(t, {});
  await owner.ready();
  if (process.platform !== "linux") return t.skip("only Linux shows a process's environment");
  const { readFile } = await import("node:fs/promises");
  assert.ok(!(await readFile(`/proc/${owner.worker.pid}/environ`, "utf8")).includes("a-secret-of-the-server"));
});
