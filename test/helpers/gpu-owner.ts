/** A GPU with one instance for tests, and what it tells. */
import assert from "node:assert/strict";
import { type TestContext } from "node:test";
import { pino } from "pino";
import { Mutex } from "../../src/common/mutex.ts";
import { type SimulatedFailure, type SimulatedOptions } from "../../src/engine/engine.ts";
import { type GpuState } from "../../src/gpu/facts.ts";
import { Gpu } from "../../src/gpu/gpu.ts";
import { type LossReason } from "../../src/gpu/instance/lifecycle.ts";
import { type LifecycleTiming } from "../../src/gpu/instance/pauses.ts";
import { type Device } from "../../src/gpu/inventory/devices.ts";
import { ModelNames } from "../../src/gpu/models.ts";
import { type OpenChannel } from "../../src/gpu/worker/channel.ts";
import { forkChannel } from "../../src/gpu/worker/fork-channel.ts";
import { type Delta, textOf } from "../../src/output.ts";
import { type Outcome, type Task } from "../../src/task.ts";
import { Changes } from "./changes.ts";
import { aDevice, simulatedEngine } from "./devices.ts";
import { LLAMA } from "./engines.ts";
import { LocalWorkers } from "./local-workers.ts";
import { given } from "./requests.ts";
import { World } from "./scheduling.ts";
import { VirtualTime } from "./virtual-time.ts";

const AT_ONCE: LifecycleTiming = { restartPause: 0, retryPauses: [0], healthyAfter: 300_000 };
/** A day: what is to be tried again later is not tried in the test. */
export const LATER: LifecycleTiming = { ...AT_ONCE, retryPauses: [86_400_000] };

interface Setting {
  readonly device?: Device;
  readonly engine?: Partial<SimulatedOptions>;
  /** A file that the embedded engine serves instead of the simulated one. */
  readonly model?: string;
  readonly timing?: LifecycleTiming;
  readonly healthCheckInterval?: number;
  readonly memoryBudget?: () => number | null;
  readonly cancelTimeout?: number;
  readonly stallTimeout?: number;
  /** Without it the workers are in this process, and the time is virtual. */
  readonly openChannel?: OpenChannel;
}

/** What was told of tasks: who ended how, or why everything was cut off; and how the GPU looked at that moment. */
interface Told {
  readonly what: Task | LossReason;
  readonly state: GpuState;
  readonly hasWorker: boolean;
}

/** A GPU with one instance, and what it told. */
export class GpuOwner {
  readonly gpu: Gpu;
  readonly workers = new LocalWorkers();
  readonly outcomes = new Map<Task, Outcome>();
  readonly losses: LossReason[] = [];
  readonly lossSentences: (string | null)[] = [];
  readonly told: Told[] = [];
  readonly texts = new Map<Task, string>();
  readonly states: GpuState[] = [];
  /** null: its workers are processes. */
  readonly #time: VirtualTime | null;
  readonly #changes = new Changes();

  constructor(t: TestContext, { device = aDevice(), engine, timing = AT_ONCE, ...rest }: Setting = {}) {
    this.#time = rest.openChannel === undefined ? new VirtualTime(t) : null;
    this.gpu = new Gpu(
      {
        device,
        memory: () => null,
        memoryFreed: () => async () => {},
        estimate: async () => null,
        healthCheckInterval: rest.healthCheckInterval ?? 0,
        stallTimeout: rest.stallTimeout ?? 600,
        cancelTimeout: rest.cancelTimeout ?? 60,
        memoryBudget: async () => rest.memoryBudget?.() ?? null,
        footprint: () => null,
        loading: new Mutex(),
        openChannel: rest.openChannel ?? this.workers.open,
        timing,
        names: new ModelNames(),
        log: pino({ level: "silent" }),
      },
      {
        changed: () => {
          if (this.state !== this.states.at(-1)) this.states.push(this.state);
          this.#changes.tell();
        },
        lost: (reason, sentence) => {
          this.losses.push(reason);
          this.lossSentences.push(sentence);
          this.#tell(reason);
        },
        wanted: () => {},
        started: () => this.#changes.tell(),
      },
    );
    const own =
      rest.model === undefined
        ? { ...simulatedEngine(engine), slots: device.slots }
        : { ...LLAMA, model: rest.model, context: 256 };
    this.gpu.add(own, null);
    t.after(() => this.#stop());
  }

  /** Gives it a task. */
  run(task: Task): void {
    const delta = (piece: Delta, before: number): void => {
      const known = this.texts.get(task) ?? "";
      assert.equal(known.length, before);
      this.texts.set(task, known + textOf(piece));
      this.#changes.tell();
    };
    const ended = (outcome: Outcome): void => {
      this.outcomes.set(task, outcome);
      this.#tell(task);
    };
    this.gpu.run(0, ...given(task), { delta, ended });
  }

  get state(): GpuState {
    return this.gpu.state;
  }

  get reason(): string {
    return this.gpu.facts().instances[0]!.reason ?? "";
  }

  /** A worker process's. */
  get pid(): number | null {
    return this.gpu.status().pid;
  }

  get hasWorker(): boolean {
    return this.gpu.instances[0]!.usage !== null;
  }

  #tell(what: Task | LossReason): void {
    this.told.push({ what, state: this.state, hasWorker: this.hasWorker });
    this.#changes.tell();
  }

  until(holds: () => boolean): Promise<void> {
    return this.#time === null ? this.#changes.until(holds) : this.#time.until(holds);
  }

  /** Lets time pass, where its workers are in this process. */
  async pass(seconds: number): Promise<void> {
    const end = performance.now() + seconds * 1000;
    await this.#time!.until(() => performance.now() >= end);
  }

  async #stop(): Promise<void> {
    const stopped = this.gpu.stop();
    await (this.#time === null ? stopped : this.#time.settled(stopped));
  }

  is(state: GpuState): Promise<void> {
    return this.until(() => this.state === state);
  }

  async ready(): Promise<void> {
    this.gpu.start(null);
    await this.is("ready");
  }

  async outcome(task: Task): Promise<Outcome> {
    await this.until(() => this.outcomes.has(task));
    return this.outcomes.get(task)!;
  }
}

const world = new World([]);
export function aTask(text: string, maxTokens = 3): Task {
  return world.task({ text, maxTokens });
}

export const ENDLESS = { tokens_per_second: 1, context: 1e9 };

export const DEAF: readonly SimulatedFailure[] = [{ kind: "ignore_cancel", when_text_contains: "deaf" }];

/** A worker does not stop two tasks of three in time. */
export async function aDeafWorkerIsReplaced(
  t: TestContext,
  how: "ignores the cancel" | "is stopped (SIGSTOP)" | "hangs",
): Promise<void> {
  const hang: SimulatedFailure = { kind: "hang", when_text_contains: "freeze", after_tokens: 1 };
  const engine = { tokens_per_second: 20, context: 1e9, failures: [...DEAF, hang] };
  const isProcess = how === "is stopped (SIGSTOP)";
  const owner = new GpuOwner(t, { engine, cancelTimeout: 0.5, ...(isProcess && { openChannel: forkChannel }) });
  await owner.ready();
  const { pid } = owner;
  const [canceled, later, neighbour] = [aTask("deaf", 1e6), aTask("deaf too", 1e6), aTask("neighbour", 1e6)];
  for (const task of [canceled, later, neighbour]) owner.run(task);
  await owner.until(() => owner.texts.size === 3);
  if (how === "hangs") owner.run(aTask("freeze", 1e6));
  if (isProcess) process.kill(pid!, "SIGSTOP");
  owner.gpu.cancel(canceled);
  owner.gpu.cancel(later);
  await owner.until(() => owner.losses.length === 1);
  // First the state, so that nothing is placed there; then the ends; then the rest.
  const gone = { state: "starting", hasWorker: false };
  assert.deepEqual(owner.told, [
    { what: canceled, ...gone },
    { what: later, ...gone },
    { what: "worker_stopped", ...gone },
  ]);
  assert.match(owner.reason, /^The worker did not stop a canceled task within 0\.5 s .* It is being restarted\.$/);
  for (const task of [canceled, later]) {
    const outcome = owner.outcomes.get(task)!;
    assert.ok(outcome.status === "canceled" && outcome.result !== undefined);
    assert.equal(outcome.result.text, owner.texts.get(task));
    assert.equal(outcome.result.completionTokens, outcome.result.text.trim().split(" ").length);
  }
  await owner.is("ready");
  if (isProcess) assert.throws(() => process.kill(pid!, 0), { code: "ESRCH" });
  else assert.deepEqual([owner.workers.count, owner.workers.alive.length], [2, 1]);
  const next = aTask("again", 1);
  owner.run(next);
  assert.equal((await owner.outcome(next)).status, "completed");
  assert.deepEqual(
    owner.told.slice(3).map(({ what }) => what),
    [next],
    "nothing more is told of what ran before",
  );
}
