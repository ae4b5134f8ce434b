/** What a GPU makes of a server that refuses, fails or goes away. The first test has the real process, the others a local worker. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { pino } from "pino";
import { type GpuState } from "../src/gpu/facts.ts";
import { type GpuStatus } from "../src/gpu/status.ts";
import { type LossReason } from "../src/gpu/instance/lifecycle.ts";
import { Gpu } from "../src/gpu/gpu.ts";
import { ModelNames } from "../src/gpu/models.ts";
import { type OpenChannel } from "../src/gpu/worker/channel.ts";
import { workerChannels } from "../src/gpu/worker/worker-channels.ts";
import { type Outcome, type Task } from "../src/task.ts";
import { Mutex } from "../src/common/mutex.ts";
import { Changes } from "./helpers/changes.ts";
import { aDevice, simulatedEngine } from "./helpers/devices.ts";
import { LocalWorkers } from "./helpers/local-workers.ts";
import { World } from "./helpers/scheduling.ts";
import { type Fault, StandIn } from "./helpers/upstream.ts";
import { given } from "./helpers/requests.ts";

interface Setting {
  readonly url: string;
  readonly apiKey?: string;
  /** Seconds. */
  readonly stallTimeout?: number;
  /** Without it the workers are in this process. */
  readonly openChannel?: OpenChannel;
}

/** A GPU with a server behind it, and what it told. */
class Owner {
  readonly gpu: Gpu;
  readonly outcomes = new Map<Task, Outcome>();
  readonly losses: LossReason[] = [];
  readonly states: GpuState[] = [];
  readonly #changes = new Changes();

  constructor(t: TestContext, { url, apiKey = "sk-ours", stallTimeout = 60, openChannel }: Setting) {
    const upstream = { url, apiKey };
    // As the configuration has it for servers: what others use of it shuts it never. Some stand-ins always have others waiting.
    const thresholds = { memory: 1, utilization: 1 };
    const device = aDevice({ kind: "remote", vendor: "remote", uuids: [`REMOTE-${url}`], thresholds });
    this.gpu = new Gpu(
      {
        device: { ...device, engine: { ...device.engine, kind: "openai", upstream } },
        memory: () => null,
        memoryFreed: () => async () => {},
        estimate: async () => null,
        healthCheckInterval: 0,
        stallTimeout,
        cancelTimeout: 60,
        memoryBudget: async () => null,
        footprint: () => null,
        loading: new Mutex(),
        openChannel: openChannel ?? new LocalWorkers().open,
        timing: { restartPause: 0, retryPauses: [0], healthyAfter: 300_000 },
        names: new ModelNames(),
        log: pino({ level: "silent" }),
      },
      {
        changed: () => this.#changed(),
        lost: (reason) => {
          this.losses.push(reason);
          this.#changes.tell();
        },
        wanted: () => {},
        started: () => {},
      },
    );
    this.gpu.add({ ...simulatedEngine(), kind: "openai", raw: true, upstream }, null);
    t.after(() => this.gpu.stop());
    this.gpu.start(null);
  }

  get status(): Omit<GpuStatus, "taskCount" | "load"> {
    return this.gpu.status();
  }

  #changed(): void {
    const { status } = this.status;
    if (status !== this.states.at(-1)) this.states.push(status);
    this.#changes.tell();
  }

  until(holds: () => boolean): Promise<void> {
    return this.#changes.until(holds);
  }

  is(state: GpuState): Promise<void> {
    return this.until(() => this.status.status === state);
  }

  async outcome(task: Task): Promise<Outcome> {
    await this.until(() => this.outcomes.has(task));
    return this.outcomes.get(task)!;
  }

  /** Starts a task there. */
  run(text: string, maxTokens = 5): Task {
    const task = world.task({ text, maxTokens });
    const ended = (outcome: Outcome): void => {
      this.outcomes.set(task, outcome);
      this.#changes.tell();
    };
    this.gpu.run(0, ...given(task), { delta: () => {}, ended });
    return task;
  }
}

const world = new World([]);

test("servers run tasks, tell what they are, and show their load, in a process whose death is not held against them", async (t) => {
  await using standIn = await StandIn.open({ vendor: "vllm", key: "sk-ours" });
  const openChannel = workerChannels(pino({ level: "silent" }));
  const owner = new Owner(t, { url: standIn.url, openChannel });
  const neighbour = new Owner(t, { url: standIn.url, openChannel });
  await Promise.all([owner.is("ready"), neighbour.is("ready")]);
  const outcome = await owner.outcome(owner.run("hello there"));
  assert(outcome.status === "completed");
  const { promptTokens, completionTokens, cachedTokens } = outcome.result;
  assert.deepEqual([promptTokens, completionTokens, cachedTokens], [3, 5, 1]);
  await owner.until(() => owner.status.upstream !== null);
  const { device, model, context, upstream, othersUtilization, memoryTotal, utilization } = owner.status;
  assert.deepEqual([device, model, context], [`vLLM 0.11.0 at ${standIn.url}`, "org/stand-in", 4096]);
  assert.deepEqual([upstream!.waiting, upstream!.kvCacheUse], [3, 0.25]);
  assert(othersUtilization !== null);
  assert.deepEqual([memoryTotal, utilization], [null, null]);
  const { pid } = owner.status;
  assert.equal(neighbour.status.pid, pid);
  neighbour.run("endless", 4000);
  await standIn.until(() => standIn.running > 0);
  process.kill(pid!, "SIGKILL");
  await Promise.all([owner, neighbour].map((one) => one.until(() => one.losses.length > 0)));
  assert.deepEqual([owner.losses, neighbour.losses], [["worker_stopped"], ["worker_stopped"]]);
  await Promise.all([owner.is("ready"), neighbour.is("ready")]);
  assert.equal(neighbour.status.pid, owner.status.pid);
  assert.equal((await owner.outcome(owner.run("hello again"))).status, "completed");
  assert.deepEqual(owner.states, ["starting", "ready", "starting", "ready"]);
});

test("a server that refuses is unfit with its words, and serves when it has been mended", async (t) => {
  await using closed = await StandIn.open({ vendor: "vllm", key: "sk-other" });
  const owner = new Owner(t, closed);
  await owner.is("unfit");
  assert.equal(
    owner.status.reason,
    `The server at ${closed.url} refuses the key of engine.api_key: HTTP 401: Invalid API key: Bearer ….`,
  );
  const port = Number(new URL(closed.url).port);
  await closed.close();
  await using mended = await StandIn.open({ vendor: "vllm", key: "sk-ours" }, port);
  await owner.is("ready");
  assert.equal((await owner.outcome(owner.run("hello"))).status, "completed");
  assert(mended.running === 0 && owner.states.every((state) => state !== "lost"));
});

test("a server that is gone is faulted, its tasks are lost, and it serves again when it is back", async (t) => {
  await using first = await StandIn.open({ vendor: "sglang" });
  const owner = new Owner(t, first);
  await owner.is("ready");
  owner.run("a long one", 4000);
  await first.until(() => first.asked("a long one").length === 1);
  await first.close();
  await owner.is("faulted");
  assert.match(owner.status.reason!, /^(SGLang|The server) at http:\/\/.* cannot be .*: the connection was refused\.$/);
  assert.deepEqual(owner.losses.slice(0, 1), ["gpu_lost"]);
  await using second = await StandIn.open({ vendor: "sglang" }, Number(new URL(first.url).port));
  await owner.is("ready");
  // It had to generate a token while it was opened, and another one to be believed.
  assert(second.asked("Hello").length >= 2);
  assert.equal((await owner.outcome(owner.run("hello"))).status, "completed");
});

test("a server without room is full for as long as it says, and not faulted", async (t) => {
  const busy: Fault = { kind: "refuse", status: 429, headers: { "retry-after": "0" }, body: '{"error":"busy"}' };
  await using standIn = await StandIn.open({ vendor: "tgi", faults: { busy } });
  const owner = new Owner(t, standIn);
  await owner.is("ready");
  for (let round = 0; round < 5; round++) {
    const outcome = await owner.outcome(owner.run("busy"));
    assert(outcome.status === "interrupted");
    assert.deepEqual([outcome.reason, outcome.retryAfter], ["gpu_full", 1]);
  }
  assert.equal(owner.status.status, "ready");
  await owner.until(() => owner.status.crowded === null);
  // Five refusals are told once, in the server's words, and that it is not asked again at once.
  const told = owner.status.events.filter(({ event }) => event === "crowded").map(({ reason }) => reason);
  assert.deepEqual(told, [`TGI at ${standIn.url} has no room now: HTTP 429: busy. It is asked again in 1 s.`]);
  await owner.outcome(owner.run("hello"));
  assert.deepEqual(owner.status.events.at(-1)!.reason, "Its server has room again.");
});

test("a server that asks to be left alone for an hour is asked again when an operator says so, or it was drained", async (t) => {
  const busy: Fault = { kind: "refuse", status: 429, headers: { "retry-after": "3600" }, body: '{"error":"busy"}' };
  await using standIn = await StandIn.open({ vendor: "tgi", faults: { busy } });
  const owner = new Owner(t, standIn);
  await owner.is("ready");
  const ways = [
    async () => owner.gpu.resume("again"),
    async () => {
      owner.gpu.drain("for a while", null);
      await owner.is("drained");
      owner.gpu.resume("again");
      await owner.is("ready");
    },
  ];
  for (const askAgain of ways) {
    await owner.outcome(owner.run("busy"));
    assert.equal(owner.status.crowded, "server_full");
    await askAgain();
    assert.equal(owner.status.crowded, null);
    assert.equal((await owner.outcome(owner.run("hello"))).status, "completed");
  }
});

test("a server may take longer to begin than a worker may stand still", async (t) => {
  const slow: Fault = { kind: "wait", after: 0 };
  await using standIn = await StandIn.open({ vendor: "vllm", faults: { slow } });
  // On a busy machine the worker in this process may be silent for as long as that; it only may not count as standing still.
  const { open } = new LocalWorkers();
  const openChannel: OpenChannel = (...way) => Object.assign(open(...way), { noticesSilence: true });
  const owner = new Owner(t, { url: standIn.url, stallTimeout: 1, openChannel });
  await owner.is("ready");
  const task = owner.run("slow");
  await standIn.until(() => standIn.halted === 1);
  const beats = standIn.seen.filter(({ path }) => path === "/metrics").length;
  // The worker asks for these figures once a second, and is looked at twice as often.
  await standIn.until(() => standIn.seen.filter(({ path }) => path === "/metrics").length >= beats + 4);
  assert.deepEqual([owner.status.status, owner.losses], ["ready", []]);
  standIn.release();
  assert.equal((await owner.outcome(task)).status, "completed");
});
