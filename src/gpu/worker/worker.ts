/** The server's half of one worker, from its start to its death: gives it work, watches it, and tells what comes of it. */
import { type DeviceMemory, type EngineInfo, PROOF, type UpstreamFigures } from "../../engine/engine.ts";
import { type FailureCode, outcomeOfFailure } from "../../engine/failures.ts";
import { AltLasError, messageOf } from "../../errors.ts";
import { contentOf, lengthOf, Output } from "../../output.ts";
import { type Request } from "../../request.ts";
import { type Outcome, type RunSink, type Task, type TaskResult } from "../../task.ts";
import { type Channel, type ChannelEnd, type ChannelOptions, type OpenChannel } from "./channel.ts";
import { type FromWorker, HEARTBEAT_MS, type RunRequest, type StepEnd, type StepPiece } from "./messages.ts";

export interface WorkerOptions extends ChannelOptions {
  readonly openChannel: OpenChannel;
  /** Whether the CUDA driver is asked which GPUs the process really sees. */
  readonly proveCuda: boolean;
  /** Seconds without a sign of life, or without progress while it has work, after which it counts as stalled. */
  readonly stallTimeout: number;
  /** Seconds that loading the model may take. */
  readonly loadTimeout: number;
  /** Seconds that it may take to stop a task. */
  readonly cancelTimeout: number;
}

/** What a worker tells its owner. After `gone` it tells nothing more. */
export interface WorkerEvents {
  /** The model is loaded. @param gpus the UUIDs of the GPUs it sees; null: nobody can tell */
  loaded(info: EngineInfo, gpus: readonly string[] | null): void;
  /** The model cannot be loaded, and trying again at once would not help; the process ends. */
  refused(code: FailureCode, sentence: string): void;
  /** The server behind its engine cannot be reached, or not any more; the process ends. */
  lost(sentence: string): void;
  /** A heartbeat: its figures are new. */
  beat(): void;
  /** A run has ended and its slot is free; all its text has been told. The owner tells the sink. */
  ended(sink: RunSink, outcome: Outcome): void;
  /** It lives but gives no sign of life, or gets on with nothing. Either this or `stuck` is told, and only once. */
  stalled(sentence: string): void;
  /** It has not stopped what it was asked to stop. @param canceled all that it was asked to stop, for the owner to end in its place */
  stuck(sentence: string, canceled: readonly CanceledRun[]): void;
  /** The process is gone by itself, and with it everything that ran there. */
  gone(death: Death): void;
}

/** A run that was to be stopped, and its end as it has to be told without the worker. */
export interface CanceledRun {
  readonly sink: RunSink;
  readonly outcome: Outcome;
}

export interface Death {
  /** Like `SIGKILL` or `exit code 1`. */
  readonly how: string;
  /** The last line the process wrote to its standard error; "" when it said nothing. */
  readonly lastWords: string;
  /** Whether it ever gave a sign of life. */
  readonly lived: boolean;
}

/** What the process says of itself, and of a server that its engine has started. */
export interface Usage {
  /** CPU seconds since the process started. */
  readonly cpuSeconds: number;
  /** Bytes. */
  readonly residentBytes: number;
  readonly deviceMemory: DeviceMemory | null;
  readonly upstream: UpstreamFigures | null;
  /** Milliseconds on the monotonic clock when that was true. */
  readonly at: number;
  /** null: it has no process of its own. */
  readonly pid: number | null;
  /** Of a server that its engine has started; null: there is none. */
  readonly serverPid: number | null;
}

/** Milliseconds a stop waits for the process to leave by itself. */
const STOP_TIMEOUT = 5000;

interface Run {
  /** What the process calls it. */
  readonly number: number;
  /** A task's run ends by telling the owner; a health check's, by settling its promise. */
  readonly end: (outcome: Outcome) => void;
  readonly task: Task | null;
  /** null: a health check's, whose output nobody wants. */
  readonly sink: RunSink | null;
  /** Milliseconds on the monotonic clock; `lastTextAt` of the last step that brought text, at first the start. */
  startedAt: number;
  lastTextAt: number;
  readonly output: Output;
  /** Whether the engine has told that it has the run; then also the tokens of its prompt, if it knew them. */
  begun: boolean;
  promptTokens: number | null;
  /** Tokens generated. */
  tokens: number;
  /** Whether the process was given it; before, its request is still being read. */
  sent: boolean;
  /** Ticks since it was asked to stop; null: it was not. */
  canceling: number | null;
}

export class GpuWorker {
  readonly #options: WorkerOptions;
  readonly #events: WorkerEvents;
  readonly #channel: Channel;
  readonly #gone = Promise.withResolvers<void>();
  readonly #watch: NodeJS.Timeout;
  readonly #runs = new Map<number, Run>();
  readonly #runOf = new Map<Task, Run>();
  #outbox: RunRequest[] = [];
  #nextRun = 1;
  #usage: Usage | null = null;
  #progress = 0;
  /** Ticks since it last gave a sign of life, and since it last got on with its work. */
  #silent = 0;
  #still = 0;
  /** Ticks of loading; null: it has loaded. */
  #loading: number | null = 0;
  /** The owner was told that it is stalled or stuck. */
  #hopeless = false;
  /** The owner is told nothing any more. */
  #detached = false;
  /** Milliseconds on the monotonic clock when the last run left. */
  #idleSince = performance.now();

  /** Starts the process. @throws {Error} when the system does not let it */
  constructor(options: WorkerOptions, events: WorkerEvents) {
    this.#options = options;
    this.#events = events;
    this.#channel = options.openChannel(options, {
      message: (message) => this.#onMessage(message),
      closed: (end) => this.#onClosed(end),
    });
    this.#watch = setInterval(() => this.#countTicks(), HEARTBEAT_MS);
    const { gpuId, engine, proveCuda } = options;
    this.#channel.send({ type: "load", gpuId, engine, proveCuda });
  }

  get pid(): number | null {
    return this.#channel.pid;
  }

  /** Its own, and that of a server which its engine has started. */
  get pids(): readonly number[] {
    return [this.#channel.pid, this.#usage?.serverPid].filter((pid) => typeof pid === "number");
  }

  /** Tasks running there. */
  get tasks(): number {
    return this.#runOf.size;
  }

  /** null until its first heartbeat. */
  get usage(): Usage | null {
    return this.#usage;
  }

  /** Milliseconds since it last had work; 0 while it has. */
  get idleFor(): number {
    return this.#runs.size > 0 ? 0 : performance.now() - this.#idleSince;
  }

  /**
   * Gives the worker a task. All tasks given in one turn of the event loop travel in one message.
   * @param request a promise: it runs here from now on, and the process is given it as soon as its request is there
   * @param sink hears of the run's output from here, and of its end from this worker's owner
   */
  run(task: Task, request: Request | Promise<Request>, sink: RunSink): Output {
    const end = (outcome: Outcome): void => {
      this.#runOf.delete(task);
      this.#events.ended(sink, outcome);
    };
    const run = newRun(this.#nextRun++, end, task, sink);
    this.#runs.set(run.number, run);
    this.#runOf.set(task, run);
    if (request instanceof Promise) void this.#giveLater(run, request);
    else this.#give(run, request);
    return run.output;
  }

  /** Asks the process to stop a task; `ended` follows when it has, or `stuck` when it does not in time. */
  cancel(task: Task): void {
    const run = this.#runOf.get(task);
    if (run === undefined || run.canceling !== null) return;
    run.canceling = 0;
    // Not within this call: whoever asks does not expect the end before it returns.
    if (!run.sent) return void setImmediate(() => this.#endUnsent(run, { status: "canceled" }));
    this.#flush();
    this.#channel.send({ type: "cancel", runs: [run.number] });
  }

  /** Has it generate one token. Resolves with how that ended; never, when it dies or stalls meanwhile. */
  check(): Promise<Outcome> {
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    const run = newRun(this.#nextRun++, resolve);
    this.#runs.set(run.number, run);
    this.#give(run, PROOF);
    return promise;
  }

  /** Ends the process and resolves when it is gone. The owner is told nothing any more. */
  async stop(): Promise<void> {
    this.#detached = true;
    const timer = setTimeout(() => this.#channel.kill(), STOP_TIMEOUT);
    this.#channel.send({ type: "stop" });
    await this.#gone.promise;
    clearTimeout(timer);
  }

  /** As `stop`, at once: for a process that cannot be trusted any more. */
  async kill(): Promise<void> {
    this.#detached = true;
    this.#channel.kill();
    await this.#gone.promise;
  }

  /** Whether the process has been given something that has not ended. */
  get #hasWork(): boolean {
    for (const { sent } of this.#runs.values()) if (sent) return true;
    return false;
  }

  #give(run: Run, request: Request): void {
    if (!this.#hasWork) this.#still = 0;
    run.sent = true;
    run.startedAt = run.lastTextAt = performance.now();
    if (this.#outbox.length === 0) setImmediate(() => this.#flush());
    this.#outbox.push({ run: run.number, request });
  }

  /** Meanwhile it may have been canceled, or the process may be gone, and with it the run. */
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
    return !this.#detached && !run.sent && this.#runs.get(run.number) === run;
  }

  #endUnsent(run: Run, outcome: Outcome): void {
    if (!this.#isUnsent(run)) return;
    this.#runs.delete(run.number);
    this.#idleSince = performance.now();
    run.end(outcome);
  }

  #flush(): void {
    if (this.#outbox.length === 0) return;
    const requests = this.#outbox;
    this.#outbox = [];
    this.#channel.send({ type: "run", requests });
  }

  #onMessage(message: FromWorker): void {
    // Once it is to end, tasks end because they are cut off; that must not look like their real end.
    if (this.#detached) return;
    this.#silent = 0;
    switch (message.type) {
      case "loaded":
        this.#loading = null;
        return this.#events.loaded(message.info, message.gpus);
      case "refused":
        return this.#events.refused(message.code, message.sentence);
      case "lost":
        return this.#events.lost(message.sentence);
      case "heartbeat":
        return this.#onHeartbeat(message);
      case "step":
        return this.#onStep(message);
    }
  }

  #onHeartbeat({
    cpuSeconds,
    residentBytes,
    deviceMemory,
    upstream,
    serverPid,
    progress,
  }: Extract<FromWorker, { type: "heartbeat" }>): void {
    if (progress !== this.#progress) this.#still = 0;
    this.#progress = progress;
    const { pid } = this.#channel;
    this.#usage = { cpuSeconds, residentBytes, deviceMemory, upstream, serverPid, at: performance.now(), pid };
    this.#events.beat();
  }

  #onStep({ starts, pieces, ends }: Extract<FromWorker, { type: "step" }>): void {
    this.#still = 0;
    for (const start of starts) {
      const run = this.#runs.get(start.run);
      if (run === undefined) continue;
      run.begun = true;
      run.promptTokens = start.promptTokens;
    }
    this.#onPieces(pieces);
    for (const end of ends) {
      const run = this.#runs.get(end.run);
      if (run === undefined) continue;
      this.#runs.delete(end.run);
      this.#idleSince = performance.now();
      run.end(outcomeOf(end, run));
      // What came of it may be that this worker is to end.
      if (this.#detached) return;
    }
  }

  #onPieces(pieces: readonly StepPiece[]): void {
    const now = performance.now();
    for (const piece of pieces) {
      const run = this.#runs.get(piece.run);
      if (run === undefined) continue;
      const before = run.output.length;
      run.output.add(piece);
      run.tokens += piece.tokens;
      run.lastTextAt = now;
      if (lengthOf(piece) > 0) run.sink?.delta(piece, before);
    }
  }

  /** Counts ticks, not time: after this server itself was stopped, one late tick must not cost a worker its life. */
  #countTicks(): void {
    this.#silent++;
    this.#still = this.#hasWork ? this.#still + 1 : 0;
    if (this.#loading !== null) this.#loading++;
    for (const run of this.#runs.values()) if (run.canceling !== null) run.canceling++;
    if (this.#detached || this.#hopeless) return;
    const stall = this.#stall();
    const stuck = stall === null ? this.#deafness() : null;
    this.#hopeless = stall !== null || stuck !== null;
    if (stall !== null) this.#events.stalled(stall);
    if (stuck !== null) this.#events.stuck(stuck, this.#canceled());
  }

  /** One sentence when it has not stopped something in time; else null. */
  #deafness(): string | null {
    const { cancelTimeout } = this.#options;
    const late = this.#runs.values().some(({ canceling }) => (canceling ?? 0) > ticksIn(cancelTimeout));
    return late ? `The worker did not stop a canceled task within ${cancelTimeout} s (tasks.cancel_timeout).` : null;
  }

  #canceled(): CanceledRun[] {
    return [...this.#runs.values()].flatMap((run) =>
      run.sink === null || run.canceling === null ? [] : [{ sink: run.sink, outcome: cutShort(run) }],
    );
  }

  #stall(): string | null {
    const { stallTimeout, loadTimeout } = this.#options;
    const key = `${stallTimeout} s (gpu.stall_timeout)`;
    if (this.#silent > ticksIn(stallTimeout)) return `The worker gave no sign of life for ${key}.`;
    if (this.#still > ticksIn(stallTimeout)) return `The worker made no progress on its tasks for ${key}.`;
    const loads = this.#loading !== null && this.#loading > ticksIn(loadTimeout);
    return loads ? `The worker did not get the model loaded within ${loadTimeout} s.` : null;
  }

  #onClosed({ how, stderr }: ChannelEnd): void {
    clearInterval(this.#watch);
    this.#runs.clear();
    this.#runOf.clear();
    this.#outbox = [];
    this.#gone.resolve();
    if (this.#detached) return;
    this.#detached = true;
    this.#events.gone({ how, lastWords: lastLineOf(stderr), lived: this.#usage !== null });
  }
}

/** Without the folders of a source file that it begins with, which are those of the machine that llama.cpp was built on. */
function lastLineOf(stderr: string): string {
  const line = stderr.trim().split("\n").at(-1)!;
  return line.replace(/^\S*[/\\](?=[^\s/\\]+:\d+: )/, "").slice(0, 300);
}

function ticksIn(seconds: number): number {
  return (seconds * 1000) / HEARTBEAT_MS;
}

function newRun(number: number, end: Run["end"], task: Task | null = null, sink: RunSink | null = null): Run {
  const now = performance.now();
  return {
    number,
    end,
    task,
    sink,
    startedAt: now,
    lastTextAt: now,
    output: new Output(),
    begun: false,
    promptTokens: null,
    tokens: 0,
    sent: false,
    canceling: null,
  };
}

function outcomeOf(end: StepEnd, run: Run): Outcome {
  if (end.type === "error") return outcomeOfFailure(end);
  const { finishReason, promptTokens, completionTokens, cachedTokens } = end;
  const result = {
    ...contentOf(run.output.deltas),
    executionTime: inMicroseconds(end.executionTime),
    timestamp: shownAt(run, performance.now()),
    finishReason,
    promptTokens,
    completionTokens,
    cachedTokens,
  };
  return { status: finishReason === "canceled" ? "canceled" : "completed", result };
}

/** How a run ends whose worker is gone, as far as it had told. */
function cutShort(run: Run): Outcome {
  const { output, startedAt, lastTextAt, begun, promptTokens, tokens } = run;
  // It may never have got there.
  if (!begun) return { status: "canceled" };
  const result: TaskResult = {
    ...contentOf(output.deltas),
    executionTime: inMicroseconds((lastTextAt - startedAt) / 1000),
    timestamp: shownAt(run, lastTextAt),
    finishReason: "canceled",
    promptTokens,
    completionTokens: tokens,
    cachedTokens: null,
  };
  return { status: "canceled", result };
}

/** A moment of the monotonic clock as its task shows it: counted from the start, so that no step of the wall clock comes between. */
function shownAt({ task, startedAt }: Run, moment: number): number {
  return Math.floor((task?.startedAt ?? 0) + moment - startedAt);
}

/** Seconds, of which what is beyond microseconds is noise. */
function inMicroseconds(seconds: number): number {
  return Math.round(seconds * 1e6) / 1e6;
}
