/** The runs on a machine, by their keys, and those that have ended: they are kept until the leader has their ends on disk. */
import { wallTime } from "../common/clock.ts";
import type { InstanceRef } from "../gpu/facts.ts";
import { type AnyPool, NOT_STARTED } from "../gpu/any-pool.ts";
import { after, type Delta, type Output } from "../output.ts";
import { newTask, type Outcome, type Task } from "../task.ts";
import type { AgentState, News, WireEnd, WireRun } from "./messages.ts";

interface Run {
  readonly key: string;
  readonly instance: InstanceRef;
  readonly task: Task;
  readonly output: Output;
  /** Whether the leader is told its output. */
  watched: boolean;
}

export interface AgentRunsParts {
  readonly tell: (news: News) => void;
  /** Whether the leader says which runs it watches; else it is told the output of all. */
  readonly isWatching: () => boolean;
  /** The output of a run, whether or not the leader watches it. */
  readonly delta: (key: string, delta: Delta, before: number) => void;
}

export class AgentRuns {
  readonly #runs = new Map<string, Run>();
  readonly #ends = new Map<string, WireEnd>();
  readonly #parts: AgentRunsParts;

  constructor(parts: AgentRunsParts) {
    this.#parts = parts;
  }

  get size(): number {
    return this.#runs.size;
  }

  get runs(): AgentState["runs"] {
    const isWatching = this.#parts.isWatching();
    return Array.from(this.#runs.values(), ({ key, instance, output: { deltas }, watched }) =>
      isWatching ? { key, instance, output: watched ? deltas : [], watched } : { key, instance, output: deltas },
    );
  }

  /** All that a run that goes on has emitted. */
  outputOf(key: string): Output | undefined {
    return this.#runs.get(key)?.output;
  }

  get ends(): readonly WireEnd[] {
    return [...this.#ends.values()];
  }

  /** @param isTaken whether the instance takes tasks now @throws {Error} it could not be started, and has ended */
  run(pool: AnyPool, wire: WireRun, isTaken: boolean): void {
    const { key, instance, request } = wire;
    if (this.#runs.has(key) || this.#ends.has(key)) return;
    const task = taskOf(wire);
    if (!isTaken) return this.#end(wire, task, NOT_TAKEN);
    const end = (outcome: Outcome): void => {
      this.#runs.delete(key);
      this.#end(wire, task, outcome);
    };
    try {
      const sink = { delta: (delta: Delta, before: number) => this.#onDelta(key, delta, before), ended: end };
      const output = pool.run(instance, task, request, sink);
      this.#runs.set(key, { key, instance, task, output, watched: wire.watched ?? false });
    } catch (error) {
      end(NOT_STARTED);
      throw error;
    }
  }

  /** Its output behind a position, and from now on. */
  watch(key: string, from: number): void {
    const run = this.#runs.get(key);
    if (run === undefined) return;
    run.watched = true;
    this.#parts.tell({ type: "watched", key, from, output: after(run.output.deltas, from) });
  }

  unwatch(key: string): void {
    const run = this.#runs.get(key);
    if (run !== undefined) run.watched = false;
  }

  /** Tells what the runs have cost so far. */
  tellProgress(): void {
    const uses = [...this.#runs.values()].flatMap(({ key, task: { use } }) => (use === null ? [] : [{ key, use }]));
    if (uses.length > 0 && this.#parts.isWatching()) this.#parts.tell({ type: "progress", uses });
  }

  #onDelta(key: string, delta: Delta, before: number): void {
    const run = this.#runs.get(key);
    if (run === undefined) return;
    const { tell, isWatching } = this.#parts;
    this.#parts.delta(key, delta, before);
    if (run.watched || !isWatching()) return tell({ type: "delta", key, delta, before });
    const { use } = run.task;
    if (before === 0 && use !== null) tell({ type: "progress", uses: [{ key, use }] });
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
    this.#parts.tell({ type: "ended", ...end });
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
