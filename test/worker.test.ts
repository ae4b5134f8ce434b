/** The server's half of a worker: what it makes of a process that fails in each way a process can. Every test has real processes. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import { type EngineOptions, type SimulatedFailure } from "../src/engine/engine.ts";
import { type GpuState } from "../src/gpu/status.ts";
import { GpuWorker, type WorkerTiming } from "../src/gpu/worker.ts";
import { type Outcome, type Task } from "../src/task.ts";
import { World } from "./helpers/scheduling.ts";

const TIMING: WorkerTiming = { restartPauses: [0], healthyAfter: 60_000, missedHeartbeats: 4, stopTimeout: 5000 };

/** A worker, and what it told its owner. */
class Owner {
  readonly worker: GpuWorker;
  readonly outcomes = new Map<Task, Outcome>();
  lost = 0;
  readonly states: GpuState[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(t: TestContext, engine: Partial<EngineOptions>, failures: SimulatedFailure[] = []) {
    const simulated = { tokens_per_second: 0, load_seconds: 0, context: 4096, failures };
    this.worker = new GpuWorker(
      {
        gpuId: 0,
        engine: {
          kind: "simulated",
          model: "",
          context: null,
          slots: 4,
          backend: false,
          threads: 1,
          simulated,
          ...engine,
        },
        environment: {},
        log: pino({ level: "silent" }),
        timing: TIMING,
      },
      {
        changed: () => {
          if (this.worker.state !== this.states.at(-1)) this.states.push(this.worker.state);
          this.#wake();
        },
        ended: (task, outcome) => {
          this.outcomes.set(task, outcome);
          this.#wake();
        },
        lost: () => {
          this.lost++;
          this.#wake();
        },
      },
    );
    t.after(() => this.worker.stop());
    this.worker.start();
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  ready(): Promise<void> {
    return this.until(() => this.worker.state === "ready");
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

test("a process that is killed is replaced, and what ran there is told to be lost", async (t) => {
  const owner = new Owner(t, {}, [{ kind: "hang", when_text_contains: "wait" }]);
  await owner.ready();
  const { pid } = owner.worker;
  owner.worker.run(task("wait"));
  process.kill(pid!, "SIGKILL");
  await owner.until(() => owner.lost === 1);
  assert.equal(owner.worker.state, "restarting");
  assert.match(owner.worker.reason ?? "", /^The worker died \(SIGKILL\) and is being restarted\./);
  await owner.ready();
  assert.notEqual(owner.worker.pid, pid);
  assert.deepEqual([owner.worker.restarts, owner.states], [1, ["starting", "ready", "restarting", "ready"]]);
  const next = task("again");
  owner.worker.run(next);
  assert.equal((await owner.outcome(next)).status, "completed");
});

test("a process that hangs is noticed by its missing heartbeats", async (t) => {
  const owner = new Owner(t, {}, [{ kind: "hang", when_text_contains: "freeze" }]);
  await owner.ready();
  owner.worker.run(task("freeze"));
  await owner.until(() => owner.lost === 1);
  await owner.ready();
  assert.equal(owner.worker.restarts, 1);
});

test("a stopped process (SIGSTOP) is noticed too", async (t) => {
  const owner = new Owner(t, {});
  await owner.ready();
  process.kill(owner.worker.pid!, "SIGSTOP");
  await owner.until(() => owner.lost === 1);
  await owner.ready();
});

test("loading is work, not silence: heartbeats go on", async (t) => {
  const simulated = { tokens_per_second: 0, load_seconds: 4, context: 4096, failures: [] };
  const owner = new Owner(t, { simulated });
  await owner.ready();
  assert.deepEqual([owner.worker.restarts, owner.states], [0, ["starting", "ready"]]);
});

test("a model that cannot be loaded makes the GPU unusable, with the engine's sentence, and is not tried again", async (t) => {
  const owner = new Owner(t, { kind: "llama", model: "/no/such/model.gguf" });
  await owner.until(() => owner.worker.state === "unusable");
  assert.match(owner.worker.reason ?? "", /\/no\/such\/model\.gguf does not exist/);
  await owner.until(() => owner.lost === 1);
  assert.deepEqual([owner.worker.pid, owner.worker.restarts], [null, 0]);
});

test("a damaged model file makes the GPU unusable with a sentence that names it", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "alt-las-"));
  t.after(() => rm(folder, { recursive: true }));
  const model = join(folder, "damaged.gguf");
  await writeFile(model, Buffer.concat([Buffer.from("GGUF\x03\x00\x00\x00"), Buffer.alloc(4096, 0xff)]));
  const owner = new Owner(t, { kind: "llama", model });
  await owner.until(() => owner.worker.state === "unusable");
  assert.match(owner.worker.reason ?? "", /damaged\.gguf/);
});

test("a process that dies twice while loading is held to have a bad model", async (t) => {
  const simulated = { tokens_per_second: 0, load_seconds: 1e6, context: 4096, failures: [] };
  const owner = new Owner(t, { simulated });
  for (let death = 1; death <= 2; death++) {
    await owner.until(() => owner.worker.usage !== null);
    process.kill(owner.worker.pid!, "SIGKILL");
    await owner.until(() => owner.lost === death);
  }
  assert.equal(owner.worker.state, "unusable");
  assert.match(owner.worker.reason ?? "", /^The worker died 2 times while loading the model \(SIGKILL\)/);
});

test("a canceled task says so when the process has stopped it; its neighbours go on", async (t) => {
  const simulated = { tokens_per_second: 20, load_seconds: 0, context: 1e9, failures: [] };
  const owner = new Owner(t, { simulated });
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
  const simulated = { tokens_per_second: 1, load_seconds: 0, context: 1e9, failures: [] };
  const owner = new Owner(t, { simulated });
  await owner.ready();
  const pid = owner.worker.pid!;
  owner.worker.run(task("endless", 1e6));
  await Promise.all([owner.worker.stop(), owner.worker.stop()]);
  assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
  assert.deepEqual([owner.outcomes.size, owner.lost], [0, 0]);
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
