/** The server's half of one worker, from its start to its death: gives it work, watches it, and reports the outcomes. */
import type { DeviceMemory, EngineInfo, UpstreamFigures } from "../../engine/engine.ts";
import { engineTraits } from "../../engine/kinds.ts";
import type { FailureCode } from "../../engine/failures.ts";
import type { Output } from "../../output.ts";
import type { Request, TextRequest } from "../../request.ts";
import type { Outcome, RunSink, Task } from "../../task.ts";
import type { Energy } from "../card/energy.ts";
import type { Channel, ChannelEnd, ChannelOptions, OpenChannel } from "./channel.ts";
import type { FromWorker } from "./messages.ts";
import { type StallLimits, StallWatch, TICK_MS, ticksIn } from "./stall-watch.ts";
import { TokenCounts } from "./token-counts.ts";
import { type CanceledRun, WorkerRuns } from "./worker-runs.ts";

export interface WorkerOptions extends ChannelOptions, StallLimits {
  readonly openChannel: OpenChannel;
  /** Whether the CUDA driver is asked which GPUs the process really sees. */
  readonly proveCuda: boolean;
  /** Seconds that it may take to stop a task. */
  readonly cancelTimeout: number;
  /** Of its cards; absent: nobody measures it. */
  readonly energy?: Energy;
}

/** Events that a worker tells its owner. After `gone` it tells nothing more. */
export interface WorkerEvents {
  /** The model is loaded. @param gpus the UUIDs of the GPUs it sees; null: nobody can tell */
  loaded(info: EngineInfo, gpus: readonly string[] | null): void;
  /** The model cannot be loaded, and trying again at once would not help; the process ends. */
  refused(code: FailureCode, sentence: string): void;
  /** The server behind its engine cannot be reached, or not any more; the process ends. */
  lost(sentence: string, nonsense: boolean): void;
  /** A heartbeat: its figures are new. */
  beat(): void;
  /** A run has ended and its slot is free; all its text has been told. The owner tells the sink. */
  ended(sink: RunSink, outcome: Outcome): void;
  /** It gives no sign of life, or makes no progress. Either this or `stuck` is told, and only once. */
  stalled(sentence: string): void;
  /** It has not stopped a task in time. @param canceled all tasks that it was asked to stop, for the owner to end in its place */
  stuck(sentence: string, canceled: readonly CanceledRun[]): void;
  /** The process has ended by itself, and with it all its runs. */
  gone(death: Death): void;
}

export interface Death {
  /** Like `SIGKILL` or `exit code 1`. */
  readonly how: string;
  /** The last line the process wrote to its standard error; "" when it said nothing. */
  readonly lastWords: string;
  /** Whether it ever gave a sign of life. */
  readonly lived: boolean;
  /** See `ChannelEnd`. */
  readonly sharedDeaths?: number | undefined;
}

/** The reports of the process about itself, and about a server that its engine has started. */
export interface Usage {
  /** CPU seconds since the process started. */
  readonly cpuSeconds: number;
  /** Bytes. */
  readonly residentBytes: number;
  readonly deviceMemory: DeviceMemory | null;
  readonly upstream: UpstreamFigures | null;
  /** Of the model, 0 to 1, while it is loaded; null: it is not, or the engine does not tell. */
  readonly loadShare: number | null;
  /** Milliseconds on the monotonic clock when that was true. */
  readonly at: number;
  /** null: it has no process of its own. */
  readonly pid: number | null;
  /** Of a server that its engine has started; null: there is none. */
  readonly serverPid: number | null;
}

/** Milliseconds a stop waits for the process to leave by itself. */
const STOP_TIMEOUT = 5000;

export class GpuWorker {
  readonly #options: WorkerOptions;
  readonly #events: WorkerEvents;
  readonly #channel: Channel;
  readonly #gone = Promise.withResolvers<void>();
  readonly #runs: WorkerRuns;
  readonly #counts = new TokenCounts((message) => this.#channel.send(message));
  readonly #watch: StallWatch;
  readonly #ticks: NodeJS.Timeout;
  #usage: Usage | null = null;
  /** The owner was told that it is stalled or stuck. */
  #hopeless = false;
  /** The owner is told nothing any more. */
  #detached = false;

  /** Starts the worker. @throws {Error} when the system does not let it start */
  constructor(options: WorkerOptions, events: WorkerEvents) {
    this.#options = options;
    this.#events = events;
    this.#channel = options.openChannel(options, {
      message: (message) => this.#onMessage(message),
      closed: (end) => this.#onClosed(end),
    });
    this.#watch = new StallWatch(options);
    this.#runs = new WorkerRuns({
      send: (message) => this.#channel.send(message),
      busy: () => this.#watch.gotOn(),
      ended: (sink, outcome) => events.ended(sink, outcome),
      energy: options.energy,
      asksServer: engineTraits(options.engine.kind).asksServer,
    });
    this.#ticks = setInterval(() => this.#onTick(), TICK_MS);
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
    return this.#runs.tasks;
  }

  /** null until its first heartbeat. */
  get usage(): Usage | null {
    return this.#usage;
  }

  /** Milliseconds since it last had work; 0 while it has. */
  get idleFor(): number {
    return this.#runs.idleFor;
  }

  /**
   * Gives the worker a task. All tasks given in one turn of the event loop travel in one message.
   * @param request a promise: it runs here from now on, and the worker is given it as soon as its request is there
   * @param sink hears of the run's output from here, and of its end from this worker's owner
   */
  run(task: Task, request: Request | Promise<Request>, sink: RunSink): Output {
    return this.#runs.run(task, request, sink);
  }

  /** Asks the worker to stop a task; `ended` follows when it has, or `stuck` when it does not in time. */
  cancel(task: Task): void {
    this.#runs.cancel(task);
  }

  /** See `TokenCounts.ask`. */
  countTokens(request: TextRequest): Promise<number | null> {
    return this.#counts.ask(request);
  }

  /** Has it answer the smallest request. Resolves with how that ended; never, when it dies or stalls meanwhile. */
  check(proof: Request): Promise<Outcome> {
    return this.#runs.check(proof);
  }

  /** Ends the worker and resolves when it is gone. The owner is told nothing any more. */
  async stop(): Promise<void> {
    this.#detach();
    const timer = setTimeout(() => this.#channel.kill(), STOP_TIMEOUT);
    this.#channel.send({ type: "stop" });
    await this.#gone.promise;
    clearTimeout(timer);
  }

  /** As `stop`, at once: for a worker that cannot be trusted any more. */
  async kill(): Promise<void> {
    this.#detach();
    this.#channel.kill();
    await this.#gone.promise;
  }

  /** From now on tasks end because they are cut off, which must not look like their own end. */
  #detach(): void {
    this.#detached = true;
    this.#runs.drop();
    this.#counts.end();
  }

  #onMessage(message: FromWorker): void {
    if (this.#detached) return;
    this.#watch.heard();
    switch (message.type) {
      case "loaded":
        this.#watch.loaded();
        return this.#events.loaded(message.info, message.gpus);
      case "refused":
        return this.#events.refused(message.code, message.sentence);
      case "lost":
        return this.#events.lost(message.sentence, message.nonsense);
      case "heartbeat":
        return this.#onHeartbeat(message);
      case "counted":
        return this.#counts.answered(message);
      case "step":
        this.#watch.gotOn();
        return this.#runs.step(message);
    }
  }

  #onHeartbeat({ type: _type, progress, ...said }: Extract<FromWorker, { type: "heartbeat" }>): void {
    this.#watch.counted(progress);
    this.#usage = { ...said, at: performance.now(), pid: this.#channel.pid };
    this.#events.beat();
  }

  #onTick(): void {
    if (this.#channel.noticesSilence === true) this.#watch.heard();
    this.#watch.tick(this.#runs.hasWork);
    this.#runs.tick();
    if (this.#detached || this.#hopeless) return;
    const { stall } = this.#watch;
    const { cancelTimeout } = this.#options;
    const isDeaf = stall === null && this.#runs.isDeaf(ticksIn(cancelTimeout));
    this.#hopeless = stall !== null || isDeaf;
    if (stall !== null) return this.#events.stalled(stall);
    const stuck = `The worker did not stop a canceled task within ${cancelTimeout} s (tasks.cancel_timeout).`;
    if (isDeaf) this.#events.stuck(stuck, this.#runs.canceled());
  }

  #onClosed({ how, stderr, sharedDeaths }: ChannelEnd): void {
    clearInterval(this.#ticks);
    const isExpected = this.#detached;
    this.#detach();
    this.#gone.resolve();
    if (isExpected) return;
    this.#events.gone({ how, lastWords: lastLineOf(stderr), lived: this.#usage !== null, sharedDeaths });
  }
}

/** Without the folders of a source file that it begins with, which are those of the machine that llama.cpp was built on. */
function lastLineOf(stderr: string): string {
  const line = stderr.trim().split("\n").at(-1)!;
  return line.replace(/^\S*[/\\](?=[^\s/\\]+:\d+: )/, "").slice(0, 300);
}
