/** A cluster in the test's own process: the leader's pool, agents with simulated GPUs, and a bus that the test may disturb. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext } from "node:test";
import { pino } from "pino";
import { ClusterPool } from "../../src/cluster/cluster-pool.ts";
import { GpuIds } from "../../src/cluster/gpu-ids.ts";
import { type FromAgent, newsOf } from "../../src/cluster/messages.ts";
import { type RunningAgent, startAgent } from "../../src/cluster/start-agent.ts";
import { parseConfig } from "../../src/config/config.ts";
import { type GpuFacts, type InstanceRef } from "../../src/gpu/facts.ts";
import { Output, textOf } from "../../src/output.ts";
import { completionOf, type Request } from "../../src/request.ts";
import { newTask, type Outcome, type RunSink, type Task } from "../../src/task.ts";
import { TASK_ENDED } from "../../src/topics.ts";
import { Changes } from "./changes.ts";
import { LocalWorkers } from "./local-workers.ts";
import { Hub, type MemoryBus } from "./memory-bus.ts";

/** Milliseconds between two signs of life. */
export const BEAT = 25;
/** The id of the cluster, as a database has it. */
const CLUSTER = "the-cluster";

export interface Run {
  readonly task: Task;
  /** The text that its reader was told, put together. */
  text: string;
  /** Whether it has told that there is output, which nobody reads. */
  begun: boolean;
  outcome: Outcome | null;
  /** As its pool has it. */
  output: Output;
}

export interface Machine {
  readonly bus: MemoryBus;
  readonly agent: RunningAgent;
  readonly workers: LocalWorkers;
}

export class ClusterWorld {
  readonly hub = new Hub();
  readonly facts = new Map<number, GpuFacts>();
  /** What was told of instances whose workers died. */
  readonly lost: { readonly instance: InstanceRef; readonly reason: string }[] = [];
  readonly changes = new Changes();
  /** Is told of each GPU that has changed, as the scheduler is. */
  changed: (facts: GpuFacts) => void = () => {};
  readonly folder: string;
  readonly superseded: string[] = [];
  /** Errors in the leader's log. */
  readonly said: string[] = [];
  /** As of a store that one server at a time may use. */
  isAlone = false;
  /** Whether the store of the next leader lets it believe that it leads. */
  isSure = (): boolean => true;
  /** Stores the epoch of the next leader, where its store is shared. */
  share = (): Promise<void> => Promise.resolve();
  bus = this.hub.connect();
  pool: ClusterPool;
  readonly #t: TestContext;
  /** What the leader remembers is there. */
  #memory: string;
  #seq = 0;

  private constructor(t: TestContext) {
    this.#t = t;
    this.folder = mkdtempSync(join(tmpdir(), "alt-las-cluster-"));
    this.#memory = this.folder;
    this.pool = this.#newPool();
  }

  /** @param restored whether there are no tasks of an earlier run */
  static async start(t: TestContext, restored = true): Promise<ClusterWorld> {
    const world = new ClusterWorld(t);
    t.after(async () => {
      await world.pool.stop();
      rmSync(world.folder, { recursive: true, force: true });
    });
    await world.pool.planStart();
    if (restored) world.pool.restored();
    return world;
  }

  #newPool(patience?: Promise<void>): ClusterPool {
    const ids = GpuIds.open(this.#memory, CLUSTER);
    const superseded = (why: string): void => {
      this.superseded.push(why);
      this.changes.tell();
    };
    const write = (line: string): void => void this.said.push((JSON.parse(line) as { msg: string }).msg);
    const log = pino({ level: "error" }, { write });
    const parts = { bus: this.bus, ids, log, superseded, beat: BEAT, share: this.share };
    return new ClusterPool(
      { ...parts, isAlone: this.isAlone, isSure: this.isSure, ...(patience && { patience }) },
      {
        changed: (facts) => {
          this.facts.set(facts.id, facts);
          this.changed(facts);
          this.changes.tell();
        },
        lost: (instance, reason) => {
          this.lost.push({ instance, reason });
          this.changes.tell();
        },
        wanted: () => {},
      },
    );
  }

  /** Another leader takes over, with what it remembers in a folder. The one before is dead, or frozen: it says nothing until its bus is up again. @param gpus how many the next one waits for; none: as long as a server waits */
  async nextLeader(folder = this.folder, gpus?: number): Promise<void> {
    this.#memory = folder;
    this.bus.isUp = false;
    this.#t.after(() => before.stop());
    const before = this.pool;
    this.bus = this.hub.connect();
    const seen = (): boolean => this.pool !== before && this.pool.gpuIds.length === gpus;
    this.pool = this.#newPool(gpus === undefined ? undefined : this.changes.until(seen));
    await this.pool.planStart();
  }

  /** @param log what its agent says */
  async agent(name: string, config = "", devices = "simulated:1", log: string[] = []): Promise<Machine> {
    const bus = this.hub.connect();
    const workers = new LocalWorkers();
    const agent = await startAgent({
      config: parseConfig(config, "config.yaml", { devices }),
      dataDir: join(this.folder, `${name}-${this.#seq++}`),
      machine: name,
      bus,
      log: pino({ level: "warn" }, { write: (line) => void log.push((JSON.parse(line) as { msg: string }).msg) }),
      openChannel: workers.open,
      beat: BEAT,
    });
    this.#t.after(() => agent.stop(AbortSignal.abort()));
    return { bus, agent, workers };
  }

  /** Waits until the first instance of a GPU is in a state. */
  async became(gpuId: number, state: string): Promise<void> {
    await this.changes.until(() => this.facts.get(gpuId)?.instances[0]?.state === state);
  }

  /** Runs a task, as its next attempt. */
  run(gpuId: number, text: string, maxTokens: number, before?: Task): Run {
    const run = this.runUnread(gpuId, text, maxTokens, before);
    this.pool.watch(run.task, true);
    return run;
  }

  /** The same, and nobody reads it. */
  runUnread(gpuId: number, text: string, maxTokens: number, before?: Task): Run {
    const request = completionOf(text, { maxTokens });
    return this.#place(gpuId, before ?? this.task(request), request);
  }

  /** The same, and its request is there with `give`. */
  runLater(gpuId: number, text: string, maxTokens: number): Run & { give(): void } {
    const request = completionOf(text, { maxTokens });
    const { promise, resolve } = Promise.withResolvers<Request>();
    const run = this.#place(gpuId, this.task(request), promise);
    return Object.assign(run, { give: () => resolve(request) });
  }

  #place(gpuId: number, task: Task, request: Request | Promise<Request>): Run {
    task.attempts.push({ gpuId, startedAt: 0, endedAt: null, reason: null });
    task.gpuId = gpuId;
    const [run, sink] = this.#begin(task);
    run.output = this.pool.run({ gpuId, id: 0 }, task, request, sink);
    return run;
  }

  /** Takes over a run of an earlier leader, and reads it; null: no machine has it. */
  adopt(task: Task): Run | null {
    const run = this.adoptUnread(task);
    if (run !== null) this.pool.watch(task, true);
    return run;
  }

  /** The same, and nobody reads it. */
  adoptUnread(task: Task): Run | null {
    const [run, sink] = this.#begin(task);
    const adopted = this.pool.adopt(task, sink);
    if (adopted === null) return null;
    run.output = adopted.output;
    return run;
  }

  #begin(task: Task): [Run, RunSink] {
    const run: Run = { task, text: "", begun: false, outcome: null, output: new Output() };
    const sink: RunSink = {
      delta: (delta, before) => {
        // As a reader does: what comes before its output is whole is told with that.
        if (run.output.isWhole && before === run.text.length) run.text += textOf(delta);
        this.changes.tell();
      },
      begun: () => {
        run.begun = true;
        this.changes.tell();
      },
      caughtUp: () => {
        run.text = run.output.deltas.map(textOf).join("");
        this.changes.tell();
      },
      ended: (outcome) => {
        // The rest of a run that was not whole by then is told with its end.
        if (!run.output.isWhole && "result" in outcome) run.text += outcome.result?.text.slice(run.text.length) ?? "";
        run.outcome = outcome;
        this.changes.tell();
      },
    };
    return [run, sink];
  }

  /** Waits until an agent says that a run has ended, whether or not the leader hears it. */
  async agentEnded(machine: string, { task }: Run): Promise<void> {
    const spy = this.hub.connect();
    const end = spy.listen(newsOf(machine), (message) => {
      const { news } = message as FromAgent;
      if (news.some((one) => one.type === "ended" && one.key.startsWith(`${task.id}:`))) seen.resolve();
    });
    const seen = Promise.withResolvers<void>();
    await seen.promise;
    end();
  }

  task(request: Request): Task {
    const unasked = { batchId: null, wholeBatch: false, retryOf: null, webhook: null, pinnedGpuId: null } as const;
    const plain = { strategy: "round_robin", taskType: "", priority: "normal", timeoutSeconds: null } as const;
    const seq = ++this.#seq;
    return newTask({ ...unasked, ...plain, id: `task-${seq}`, seq, user: "ada", model: null, createdAt: 0, request });
  }

  /** Its final status is on disk. */
  stored(task: Task): void {
    TASK_ENDED.publish({ task });
  }

  async ended(run: Run): Promise<Outcome> {
    await this.changes.until(() => run.outcome !== null);
    return run.outcome!;
  }
}
