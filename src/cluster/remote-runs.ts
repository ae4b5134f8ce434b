/** The runs on all machines, as the leader knows them: what it has given to agents, and what it has heard of it. */
import { AltLasError, messageOf } from "../errors.ts";
import type { InstanceRef } from "../gpu/facts.ts";
import { after, type Delta, deltasOf, lengthOf, Output } from "../output.ts";
import type { Request } from "../request.ts";
import type { Outcome, RunSink, Task } from "../task.ts";
import { newUse, type TaskUse } from "../task-use.ts";
import type { Machine } from "./machine.ts";
import type { AgentState, WireEnd } from "./messages.ts";
import { keyOf, taskIdOf } from "./run-keys.ts";

interface Run {
  readonly key: string;
  readonly machine: Machine;
  readonly instance: InstanceRef;
  readonly task: Task;
  readonly sink: RunSink;
  readonly output: Output;
  /** Whether the agent was given it; before, its request is still being read. */
  sent: boolean;
  /** An earlier server gave it. */
  readonly adopted: boolean;
  canceling: boolean;
}

/** A task that ended there, whose end is not on disk yet. */
interface Ended {
  readonly machine: Machine;
  readonly key: string;
}

export class RemoteRuns {
  readonly #runs = new Map<string, Run>();
  /** By the ids of tasks: the keys of their runs. */
  readonly #keyOf = new Map<string, string>();
  /** By the ids of tasks. */
  readonly #unstored = new Map<string, Ended[]>();
  /** Tasks that are as if they had never been: nobody ever stores their ends. */
  readonly #withdrawn = new WeakSet<Readonly<Task>>();
  readonly #epoch: number;

  /** @param epoch of this start of the server */
  constructor(epoch: number) {
    this.#epoch = epoch;
  }

  run(machine: Machine, instance: InstanceRef, task: Task, request: Request | Promise<Request>, sink: RunSink): Output {
    const run = this.#begin({ key: keyOf(task, this.#epoch), machine, instance, task, sink, sent: false });
    if (request instanceof Promise) void this.#giveLater(run, request);
    else this.#give(run, request);
    return run.output;
  }

  /** Takes over a run that a machine has, or that has ended there; what is known of it is told by `reconcile`. */
  adopt(run: Pick<Run, "key" | "machine" | "instance" | "task" | "sink">): Output {
    return this.#begin({ ...run, sent: true }).output;
  }

  #begin(given: Omit<Run, "output" | "adopted" | "canceling">): Run {
    const run: Run = { ...given, output: new Output(), adopted: given.sent, canceling: false };
    this.#runs.set(run.key, run);
    this.#keyOf.set(run.task.id, run.key);
    return run;
  }

  cancel(task: Task): void {
    const run = this.#runs.get(this.#keyOf.get(task.id) ?? "");
    if (run === undefined || run.canceling) return;
    run.canceling = true;
    if (run.sent) return run.machine.give({ type: "cancel", key: run.key });
    // Not within this call: the caller does not expect the end before it returns.
    setImmediate(() => this.#endUnsent(run, { status: "canceled" }));
  }

  /** New output of a run. @returns false: something before it is missing, which the whole state has */
  delta(machine: Machine, key: string, delta: Delta, before: number): boolean {
    const run = this.#of(machine, key);
    if (run === undefined || before < run.output.length) return true;
    if (before === run.output.length) addTo(run, delta);
    return run.output.length > before || lengthOf(delta) === 0;
  }

  ended(machine: Machine, { key, outcome, use }: WireEnd): void {
    const run = this.#of(machine, key);
    if (run === undefined) {
      if (!this.#isUnstored(machine, key)) machine.give({ type: "forget", keys: [key] });
      return;
    }
    if ("result" in outcome && outcome.result !== undefined) catchUp(run, deltasOf(outcome.result));
    if (use !== null) addUse(run.task, use);
    this.#unstored.set(run.task.id, [...(this.#unstored.get(run.task.id) ?? []), { machine, key }]);
    if (this.#withdrawn.has(run.task)) this.stored(run.task);
    const isStrange = outcome.status === "canceled" && !run.adopted && !run.canceling;
    this.#end(run, isStrange ? machineLost(`Machine ${machine.name} stopped it unasked.`) : outcome);
  }

  /** The end of a task is on disk: the agents may forget what they have of it. */
  stored({ id }: Readonly<Task>): void {
    const ended = this.#unstored.get(id);
    this.#unstored.delete(id);
    for (const { machine, key } of ended ?? []) machine.give({ type: "forget", keys: [key] });
  }

  withdrawn(task: Readonly<Task>): void {
    this.#withdrawn.add(task);
    this.stored(task);
  }

  /** An instance has lost its worker. @param keys of the runs that were there; others were on their way, and may not begin any more */
  lost(machine: Machine, { gpuId, id }: InstanceRef, keys: readonly string[]): void {
    for (const run of this.#on(machine)) {
      if (run.instance.gpuId !== gpuId || run.instance.id !== id) continue;
      this.#drop(run);
      if (!keys.includes(run.key)) machine.give({ type: "cancel", key: run.key });
    }
  }

  /** All that runs on a machine is cut off; it is no fault of the tasks. @param why one sentence */
  gone(machine: Machine, why: string): void {
    const cutOff = this.#on(machine);
    for (const run of cutOff) this.#drop(run);
    for (const { sink } of cutOff) sink.ended(machineLost(why));
  }

  /** Makes what a machine has, and what it was given, the same. */
  reconcile(machine: Machine, { runs, ends }: AgentState): void {
    const there = new Set([...runs, ...ends].map(({ key }) => key));
    for (const { key, output } of runs) {
      const run = this.#of(machine, key);
      if (run === undefined || run.canceling) machine.give({ type: "cancel", key });
      if (run !== undefined) catchUp(run, output);
    }
    for (const end of ends) this.ended(machine, end);
    for (const run of this.#on(machine)) {
      if (!run.sent || there.has(run.key) || isOnItsWay(run)) continue;
      this.#end(run, machineLost(`Machine ${machine.name} does not have it any more.`));
    }
  }

  countOn(machine: Machine): number {
    return this.#on(machine).length;
  }

  /** No agent can have a run, or end it, but the one that was given it. */
  #of(machine: Machine, key: string): Run | undefined {
    const run = this.#runs.get(key);
    return run?.machine === machine ? run : undefined;
  }

  #on(machine: Machine): readonly Run[] {
    return [...this.#runs.values()].filter((run) => run.machine === machine);
  }

  #isUnstored(machine: Machine, key: string): boolean {
    return this.#unstored.get(taskIdOf(key))?.some((ended) => ended.machine === machine && ended.key === key) ?? false;
  }

  #give(run: Run, request: Request): void {
    const { key, machine, instance, task } = run;
    const local = { gpuId: machine.localId(instance.gpuId), id: instance.id };
    run.sent = true;
    machine.give({ type: "run", run: { key, instance: local, user: task.user, model: task.model, request } });
  }

  /** Meanwhile the run may have been canceled, or its machine may be gone. */
  async #giveLater(run: Run, request: Promise<Request>): Promise<void> {
    try {
      const there = await request;
      if (this.#isUnsent(run) && !run.canceling) this.#give(run, there);
    } catch (error) {
      const code = error instanceof AltLasError ? error.code : "store_unavailable";
      this.#endUnsent(run, { status: "failed", error: { code, sentence: messageOf(error) } });
    }
  }

  #isUnsent(run: Run): boolean {
    return !run.sent && this.#runs.get(run.key) === run;
  }

  #endUnsent(run: Run, outcome: Outcome): void {
    if (this.#isUnsent(run)) this.#end(run, outcome);
  }

  #end(run: Run, outcome: Outcome): void {
    this.#drop(run);
    run.sink.ended(outcome);
  }

  #drop({ key, task }: Run): void {
    this.#runs.delete(key);
    if (this.#keyOf.get(task.id) === key) this.#keyOf.delete(task.id);
  }
}

/** Whether its agent may yet come to obey the command to run it. */
function isOnItsWay({ machine, key }: Run): boolean {
  return machine.isOnItsWay((command) => command.type === "run" && command.run.key === key);
}

function machineLost(sentence: string): Outcome {
  return { status: "interrupted", reason: "machine_lost", sentence };
}

/** Tells what of a run's output is not known yet. */
function catchUp(run: Run, output: readonly Delta[]): void {
  for (const delta of after(output, run.output.length)) addTo(run, delta);
}

function addTo({ output, sink }: Run, delta: Delta): void {
  const before = output.length;
  if (delta.kind === "tool_call" && delta.call === undefined && output.deltas.at(-1)?.kind !== "tool_call")
    throw new Error("its output has a piece of a call of a tool that has not begun");
  output.add(delta);
  if (lengthOf(delta) > 0) sink.delta(delta, before);
}

/** Adds what an attempt has cost, as its machine has measured it. */
function addUse(task: Task, attempt: TaskUse): void {
  const use = (task.use ??= newUse());
  use.firstOutput = attempt.firstOutput;
  use.lastOutput = attempt.lastOutput;
  use.promptTokens = sum(use.promptTokens, attempt.promptTokens);
  use.completionTokens += attempt.completionTokens;
  use.cachedTokens = sum(use.cachedTokens, attempt.cachedTokens);
  use.gpuSeconds += attempt.gpuSeconds;
  use.energyJoules = sum(use.energyJoules, attempt.energyJoules);
}

function sum(one: number | null, other: number | null): number | null {
  return one === null || other === null ? (one ?? other) : one + other;
}
