/** The runs of a worker, each from its request to its outcome. */
import { InFlight } from "../../common/in-flight.ts";
import { AltLasError, messageOf } from "../../errors.ts";
import { lengthOf, type Output } from "../../output.ts";
import type { Request } from "../../request.ts";
import type { Outcome, RunSink, Task } from "../../task.ts";
import { TASK_SENT_ON } from "../../topics.ts";
import type { FromWorker, RunRequest, StepPiece, ToWorker } from "./messages.ts";
import type { Energy } from "../card/energy.ts";
import { Meter } from "./meter.ts";
import { advance, begin, cutShort, newRun, outcomeOf, type Run } from "./run.ts";

/** A run that was to be stopped, and its end as it has to be told without the worker. */
export interface CanceledRun {
  readonly sink: RunSink;
  readonly outcome: Outcome;
}

export interface WorkerRunsParts {
  send(message: ToWorker): void;
  /** The worker had nothing to do and is given work. */
  busy(): void;
  /** A run has ended and its slot is free; all its text has been told. */
  ended(sink: RunSink, outcome: Outcome): void;
  /** Whether its engine asks a server for each task. */
  readonly asksServer: boolean;
  /** Of its cards; absent: nobody measures it. */
  readonly energy?: Energy | undefined;
  /** Milliseconds on the monotonic clock; for tests. */
  readonly now?: () => number;
}

export class WorkerRuns {
  readonly #parts: WorkerRunsParts;
  readonly #runs = new InFlight<number, Run>();
  /** By the ids of tasks: the numbers of their runs. */
  readonly #runOf = new Map<string, number>();
  readonly #meter: Meter;
  readonly #now: () => number;
  #outbox: RunRequest[] = [];
  #nextRun = 1;
  /** Runs that the worker was given. */
  #sent = 0;
  /** Milliseconds on the monotonic clock when the last run left. */
  #idleSince: number;

  constructor(parts: WorkerRunsParts) {
    const { energy = null, now = () => performance.now() } = parts;
    this.#parts = parts;
    this.#meter = new Meter(energy);
    this.#now = now;
    this.#idleSince = now();
  }

  get tasks(): number {
    return this.#runOf.size;
  }

  /** Milliseconds since the last run left; 0 while there is one. */
  get idleFor(): number {
    return this.#runs.size > 0 ? 0 : this.#now() - this.#idleSince;
  }

  /** Whether the worker has been given something that has not ended. */
  get hasWork(): boolean {
    return this.#sent > 0;
  }

  /**
   * Gives the worker a task. All tasks given in one turn of the event loop travel in one message.
   * @param request a promise: the run takes its place now, and the worker is given it when its request is there
   */
  run(task: Task, request: Request | Promise<Request>, sink: RunSink): Output {
    const end = (outcome: Outcome): void => {
      this.#runOf.delete(task.id);
      this.#parts.ended(sink, outcome);
    };
    const run = newRun(this.#now(), this.#nextRun++, end, task, sink);
    this.#runs.set(run.number, run);
    this.#runOf.set(task.id, run.number);
    if (request instanceof Promise) void this.#giveLater(run, request);
    else this.#give(run, request);
    return run.output;
  }

  /** Has the smallest request answered. Resolves with how that ended; never, when the worker does not tell. */
  check(proof: Request): Promise<Outcome> {
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    const run = newRun(this.#now(), this.#nextRun++, resolve);
    this.#runs.set(run.number, run);
    this.#give(run, proof);
    return promise;
  }

  /** Asks the worker to stop a task. */
  cancel(task: Task): void {
    const run = this.#runs.get(this.#runOf.get(task.id) ?? 0);
    if (run === undefined || run.canceling !== null) return;
    run.canceling = 0;
    // Not within this call: the caller does not expect the end before it returns.
    if (!run.sent) return void setImmediate(() => this.#endUnsent(run, { status: "canceled" }));
    this.#flush();
    this.#parts.send({ type: "cancel", runs: [run.number] });
  }

  /** Takes in all that happened in one decoding step. */
  step({ starts, pieces, ends }: Extract<FromWorker, { type: "step" }>): void {
    const now = this.#now();
    for (const start of starts) {
      const run = this.#runs.get(start.run);
      if (run !== undefined) begin(run, start.promptTokens);
    }
    this.#addPieces(pieces, now);
    this.#meter.settle(now);
    for (const end of ends) {
      // The end of the run before may have led to the end of the worker, and of all runs.
      const run = this.#runs.get(end.run);
      if (run !== undefined) this.#end(run, outcomeOf(end, run));
    }
  }

  /** Another tick has passed: for those that are to stop, and for those who watch what tasks cost. */
  tick(): void {
    this.#meter.tick();
    for (const run of this.#runs.values()) if (run.canceling !== null) run.canceling++;
  }

  /** Whether a run has not stopped within so many ticks. */
  isDeaf(ticks: number): boolean {
    return this.#runs.values().some(({ canceling }) => (canceling ?? 0) > ticks);
  }

  /** All tasks that are to stop, each as it ends if the worker says no more. */
  canceled(): CanceledRun[] {
    return [...this.#runs.values()].flatMap((run) =>
      run.sink === null || run.canceling === null ? [] : [{ sink: run.sink, outcome: cutShort(run) }],
    );
  }

  /** The worker has ended, or will at once: nothing more is told of its runs. */
  drop(): void {
    if (this.#runs.size > 0) this.#idleSince = this.#now();
    this.#meter.drop(this.#now());
    this.#runs.clear();
    this.#runOf.clear();
    this.#sent = 0;
    this.#outbox = [];
  }

  #give(run: Run, request: Request): void {
    if (!this.hasWork) this.#parts.busy();
    run.startedAt = run.lastTextAt = this.#now();
    this.#meter.comes(run, run.startedAt);
    run.sent = true;
    this.#sent++;
    // Behind the store's write of the same turn, which is asked for within this call: the disk takes longer than any worker's channel.
    if (this.#outbox.length === 0) queueMicrotask(() => setImmediate(() => this.#flush()));
    const by = run.task !== null && hasForm(request) ? { by: run.task.user } : {};
    this.#outbox.push({ run: run.number, request, ...by });
  }

  /** Meanwhile the run may have been canceled, or may have ended with its worker. */
  async #giveLater(run: Run, coming: Promise<Request>): Promise<void> {
    try {
      const request = await coming;
      if (this.#isUnsent(run) && run.canceling === null) this.#give(run, request);
    } catch (error) {
      const code = error instanceof AltLasError ? error.code : "store_unavailable";
      this.#endUnsent(run, { status: "failed", error: { code, sentence: messageOf(error) } });
    }
  }

  #isUnsent(run: Run): boolean {
    return !run.sent && this.#runs.get(run.number) === run;
  }

  #endUnsent(run: Run, outcome: Outcome): void {
    if (this.#isUnsent(run)) this.#end(run, outcome);
  }

  #end(run: Run, outcome: Outcome): void {
    this.#runs.delete(run.number);
    if (run.sent) this.#sent--;
    this.#meter.left(run);
    this.#idleSince = this.#now();
    run.end(outcome);
  }

  #flush(): void {
    if (this.#outbox.length === 0) return;
    const requests = this.#outbox;
    this.#outbox = [];
    const isTold = this.#parts.asksServer && TASK_SENT_ON.isHeard;
    this.#parts.send({ type: "run", requests: isTold ? requests.map((one) => this.#withHeaders(one)) : requests });
  }

  #withHeaders(given: RunRequest): RunRequest {
    const task = this.#runs.get(given.run)?.task ?? null;
    if (task === null) return given;
    const headers: Record<string, string> = {};
    TASK_SENT_ON.publish({ task, addHeader: (name, value) => (headers[name] = value) });
    return { ...given, headers };
  }

  #addPieces(pieces: readonly StepPiece[], now: number): void {
    for (const piece of pieces) {
      const run = this.#runs.get(piece.run);
      if (run === undefined) continue;
      const before = run.output.length;
      const hasOutput = lengthOf(piece) > 0;
      run.output.add(piece);
      advance(run, piece.tokens, hasOutput, now);
      if (hasOutput) run.sink?.delta(piece, before);
    }
  }
}

/** Whether a grammar may have to be made for its answer. */
function hasForm(request: Request): boolean {
  if (request.kind === "embedding") return false;
  return request.format !== undefined || (request.kind === "chat" && request.tools !== undefined);
}
