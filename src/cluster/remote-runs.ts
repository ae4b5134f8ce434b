/** The runs on all machines, as the leader knows them: what it has given to agents, and what it has heard of it. */
import { AltLasError, messageOf } from "../errors.ts";
import type { Elsewhere } from "../gpu/any-pool.ts";
import type { InstanceRef } from "../gpu/facts.ts";
import { deltasOf, Output } from "../output.ts";
import type { Request } from "../request.ts";
import { attemptNumber, type Outcome, type RunSink, type Task } from "../task.ts";
import { newUse } from "../task-use.ts";
import type { Machine } from "./machine.ts";
import { type AgentState, type News, WATCHES, type WireEnd } from "./messages.ts";
import { beWatched, catchUp, reconcileWatch, type RemoteRun, setUse, takeDelta, watch } from "./remote-run.ts";
import { keyOf, taskIdOf } from "./run-keys.ts";

/** A task that ended there, whose end is not on disk yet. */
interface Ended {
  readonly machine: Machine;
  readonly key: string;
}

/** News of runs that go on. */
export type OutputNews = Extract<News, { type: "delta" | "watched" | "progress" }>;

export class RemoteRuns {
  readonly #runs = new Map<string, RemoteRun>();
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
  adopt(run: Pick<RemoteRun, "key" | "machine" | "instance" | "task" | "sink">): Output {
    return this.#begin({ ...run, sent: true }).output;
  }

  #begin(given: Pick<RemoteRun, "key" | "machine" | "instance" | "task" | "sink" | "sent">): RemoteRun {
    const { machine, task, sent } = given;
    // The store may have a part of the costs of an attempt that is adopted.
    const useBefore = attemptNumber(task) === 1 ? newUse() : { ...(task.use ?? newUse()) };
    const state = { canceling: false, watched: false, begun: false };
    const run: RemoteRun = { ...given, ...state, output: new Output(), useBefore, adopted: sent };
    run.output.isWhole = !sent && machine.version < WATCHES;
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

  /** Somebody reads the output of a task, or nobody does any more. */
  watch(task: Task, isRead: boolean): void {
    const run = this.#runs.get(this.#keyOf.get(task.id) ?? "");
    if (run !== undefined) watch(run, isRead);
  }

  /** Where servers that stand by may read the output of a task themselves. */
  elsewhere({ id }: Task): Elsewhere | null {
    const run = this.#runs.get(this.#keyOf.get(id) ?? "");
    return run?.machine.tells === true ? { machine: run.machine.name, key: run.key } : null;
  }

  hear(machine: Machine, news: OutputNews): void {
    if (news.type === "progress") return this.#hearUses(machine, news.uses);
    const run = this.#of(machine, news.key);
    if (run === undefined) return;
    const isNext = news.type === "delta" ? takeDelta(run, news) : beWatched(run, news.from, news.output);
    // Something before it is missing, which the whole state has.
    if (!isNext) machine.ask();
  }

  #hearUses(machine: Machine, uses: Extract<News, { type: "progress" }>["uses"]): void {
    for (const { key, use } of uses) {
      const run = this.#of(machine, key);
      if (run !== undefined) setUse(run, use);
    }
  }

  ended(machine: Machine, { key, outcome, use }: WireEnd): void {
    const run = this.#of(machine, key);
    if (run === undefined) {
      if (!this.#isUnstored(machine, key)) machine.give({ type: "forget", keys: [key] });
      return;
    }
    // Where nobody reads it, or it was not told yet, the end tells it all.
    if (run.output.isWhole && "result" in outcome && outcome.result !== undefined)
      catchUp(run, deltasOf(outcome.result));
    if (use !== null) setUse(run, use);
    this.#unstored.set(run.task.id, [...(this.#unstored.get(run.task.id) ?? []), { machine, key }]);
    if (this.#withdrawn.has(run.task)) this.stored(run.task);
    const isStrange = outcome.status === "canceled" && !run.adopted && !run.canceling;
    this.#end(run, isStrange ? machineLost(`Machine ${machine.name} stopped it unasked.`) : timed(outcome, run.task));
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
    for (const { key, output, watched } of runs) {
      const run = this.#of(machine, key);
      if (run === undefined || run.canceling) machine.give({ type: "cancel", key });
      if (run === undefined) continue;
      catchUp(run, output);
      reconcileWatch(run, watched);
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
  #of(machine: Machine, key: string): RemoteRun | undefined {
    const run = this.#runs.get(key);
    return run?.machine === machine ? run : undefined;
  }

  #on(machine: Machine): readonly RemoteRun[] {
    return [...this.#runs.values()].filter((run) => run.machine === machine);
  }

  #isUnstored(machine: Machine, key: string): boolean {
    return this.#unstored.get(taskIdOf(key))?.some((ended) => ended.machine === machine && ended.key === key) ?? false;
  }

  #give(run: RemoteRun, request: Request): void {
    const { key, machine, instance, task } = run;
    const local = { gpuId: machine.localId(instance.gpuId), id: instance.id };
    run.sent = true;
    const { user, model } = task;
    machine.give({ type: "run", run: { key, instance: local, user, model, request, watched: run.watched } });
  }

  /** Meanwhile the run may have been canceled, or its machine may be gone. */
  async #giveLater(run: RemoteRun, request: Promise<Request>): Promise<void> {
    try {
      const there = await request;
      if (this.#isUnsent(run) && !run.canceling) this.#give(run, there);
    } catch (error) {
      const code = error instanceof AltLasError ? error.code : "store_unavailable";
      this.#endUnsent(run, { status: "failed", error: { code, sentence: messageOf(error) } });
    }
  }

  #isUnsent(run: RemoteRun): boolean {
    return !run.sent && this.#runs.get(run.key) === run;
  }

  #endUnsent(run: RemoteRun, outcome: Outcome): void {
    if (this.#isUnsent(run)) this.#end(run, outcome);
  }

  #end(run: RemoteRun, outcome: Outcome): void {
    this.#drop(run);
    run.sink.ended(outcome);
  }

  #drop({ key, task }: RemoteRun): void {
    this.#runs.delete(key);
    if (this.#keyOf.get(task.id) === key) this.#keyOf.delete(task.id);
  }
}

/** Whether its agent may yet come to obey the command to run it. */
function isOnItsWay({ machine, key }: RemoteRun): boolean {
  return machine.isOnItsWay((command) => command.type === "run" && command.run.key === key);
}

function machineLost(sentence: string): Outcome {
  return { status: "interrupted", reason: "machine_lost", sentence };
}

/** An agent does not know when the server shows a task to have started: it tells a result's time from there. */
function timed(outcome: Outcome, { startedAt }: Task): Outcome {
  if (!("result" in outcome) || outcome.result === undefined) return outcome;
  return { ...outcome, result: { ...outcome.result, timestamp: (startedAt ?? 0) + outcome.result.timestamp } };
}
