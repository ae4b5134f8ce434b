/** The runs on a machine, by their keys, and those that have ended: they are kept until the leader has their ends on disk. */
import { wallTime } from "../common/clock.ts";
import type { InstanceRef } from "../gpu/facts.ts";
import type { AnyPool } from "../gpu/any-pool.ts";
import type { Output } from "../output.ts";
import { newTask, type Outcome, type Task } from "../task.ts";
import type { AgentState, News, WireEnd, WireRun } from "./messages.ts";

interface Run {
  readonly key: string;
  readonly instance: InstanceRef;
  readonly task: Task;
  readonly output: Output;
}

export class AgentRuns {
  readonly #runs = new Map<string, Run>();
  readonly #ends = new Map<string, WireEnd>();
  readonly #tell: (news: News) => void;

  constructor(tell: (news: News) => void) {
    this.#tell = tell;
  }

  get size(): number {
    return this.#runs.size;
  }

  get runs(): AgentState["runs"] {
    return Array.from(this.#runs.values(), ({ key, instance, output }) => ({ key, instance, output: output.deltas }));
  }

  get ends(): readonly WireEnd[] {
    return [...this.#ends.values()];
  }

  /** @param isTaken whether the instance takes tasks now */
  run(pool: AnyPool, wire: WireRun, isTaken: boolean): void {
    const { key, instance, request } = wire;
    if (this.#runs.has(key) || this.#ends.has(key)) return;
    const task = taskOf(wire);
    if (!isTaken) return this.#end(wire, task, NOT_TAKEN);
    const output = pool.run(instance, task, request, {
      delta: (delta, before) => this.#tell({ type: "delta", key, delta, before }),
      ended: (outcome) => {
        this.#runs.delete(key);
        this.#end(wire, task, outcome);
      },
    });
    this.#runs.set(key, { key, instance, task, output });
  }

  cancel(pool: AnyPool, key: string): void {
    const run = this.#runs.get(key);
    if (run !== undefined) pool.cancel(run.instance.gpuId, run.task);
  }

  forget(keys: readonly string[]): void {
    for (const key of keys) this.#ends.delete(key);
  }

  /** The runs on an instance are cut off. @returns their keys */
  takeFrom({ gpuId, id }: InstanceRef): readonly string[] {
    const here = [...this.#runs.values()].filter(({ instance }) => instance.gpuId === gpuId && instance.id === id);
    for (const { key } of here) this.#runs.delete(key);
    return here.map(({ key }) => key);
  }

  #end({ key, instance }: WireRun, { use }: Task, outcome: Outcome): void {
    const end: WireEnd = { key, instance, outcome, use };
    this.#ends.set(key, end);
    this.#tell({ type: "ended", ...end });
  }
}

const NOT_TAKEN: Outcome = {
  status: "interrupted",
  reason: "machine_lost",
  sentence: "Its instance took no tasks any more when it came.",
};

/** As the GPUs of this machine see it. Its id is the key, which no two runs here share. */
function taskOf({ key, user, model, request }: WireRun): Task {
  const plain = { strategy: "round_robin", pinnedGpuId: null, batchId: null, wholeBatch: false } as const;
  const unasked = { retryOf: null, webhook: null, taskType: "", priority: "normal", timeoutSeconds: null } as const;
  return newTask({ ...plain, ...unasked, id: key, seq: 0, user, model, createdAt: wallTime(), request });
}
