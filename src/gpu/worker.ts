/** The server's half of a worker: starts the process that owns one GPU, watches it, and speaks for it. */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { type Logger } from "pino";
import { type EngineInfo, type EngineOptions } from "../engine/engine.ts";
import { messageOf } from "../errors.ts";
import { type Outcome, type Task } from "../task.ts";
import { type FromWorker, HEARTBEAT_MS, type RunRequest, type StepEnd, type ToWorker } from "./messages.ts";
import { type GpuState } from "./status.ts";

export interface WorkerOptions {
  readonly gpuId: number;
  readonly engine: EngineOptions;
  /** Added to the process's environment, such as which GPU it may see. */
  readonly environment: Readonly<Record<string, string>>;
  readonly log: Logger;
  readonly timing: WorkerTiming;
}

export interface WorkerTiming {
  /** Milliseconds before each restart; the last one repeats. */
  readonly restartPauses: readonly number[];
  /** Milliseconds of service after which the pauses begin anew. */
  readonly healthyAfter: number;
  /** Heartbeats that may be missed in a row before the process counts as hung. */
  readonly missedHeartbeats: number;
  /** Milliseconds a stop waits for the process to leave by itself. */
  readonly stopTimeout: number;
}

export const DEFAULT_TIMING: WorkerTiming = {
  restartPauses: [500, 1000, 2000, 5000, 10_000, 30_000],
  healthyAfter: 60_000,
  missedHeartbeats: 20,
  stopTimeout: 5000,
};

/** Deaths while loading, in a row, after which the model is held to be the cause. */
const MAX_LOAD_DEATHS = 2;

/** What a worker tells its owner. */
export interface WorkerEvents {
  /** Its state, or what is known of its process, has changed. */
  changed(): void;
  /** A run has ended and its slot is free. */
  ended(task: Task, outcome: Outcome): void;
  /** The process is gone, and with it everything that ran there. */
  lost(): void;
}

/** What the process says of itself. */
export interface Usage {
  /** CPU seconds since the process started. */
  readonly cpuSeconds: number;
  /** Bytes. */
  readonly residentBytes: number;
  /** Milliseconds on the monotonic clock when that was true. */
  readonly at: number;
  readonly pid: number;
}

interface Run {
  readonly task: Task;
  text: string;
}

export class GpuWorker {
  readonly #options: WorkerOptions;
  readonly #events: WorkerEvents;
  #child: ChildProcess | null = null;
  #state: GpuState = "starting";
  #reason: string | null = null;
  #since = Date.now();
  #info: EngineInfo | null = null;
  #usage: Usage | null = null;
  #restarts = 0;
  #loadDeaths = 0;
  #pause = 0;
  #missed = 0;
  #readyAt = 0;
  /** Milliseconds on the monotonic clock when the last run left. */
  #idleSince = performance.now();
  #stopping = false;
  #nextRun = 1;
  readonly #runs = new Map<number, Run>();
  readonly #runOf = new Map<Task, number>();
  #outbox: RunRequest[] = [];
  #watch: NodeJS.Timeout | null = null;
  #restartTimer: NodeJS.Timeout | null = null;
  /** The last lines the process wrote to its standard error, for a sentence about its death. */
  #lastWords = "";

  constructor(options: WorkerOptions, events: WorkerEvents) {
    this.#options = options;
    this.#events = events;
  }

  get state(): GpuState {
    return this.#state;
  }

  /** One sentence: why it takes no tasks, or why it was restarted last. */
  get reason(): string | null {
    return this.#reason;
  }

  /** Unix milliseconds since when the state holds. */
  get since(): number {
    return this.#since;
  }

  /** Known once the model is loaded. */
  get info(): EngineInfo | null {
    return this.#info;
  }

  get usage(): Usage | null {
    return this.#usage;
  }

  /** Milliseconds since the last task ran here; 0 while one runs. */
  get idleFor(): number {
    return this.#runs.size > 0 ? 0 : performance.now() - this.#idleSince;
  }

  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** Processes that died. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Starts the process; does nothing when it runs already. */
  start(): void {
    if (this.#child !== null || this.#stopping) return;
    this.#missed = 0;
    this.#lastWords = "";
    try {
      this.#child = this.#spawn();
    } catch (error) {
      // For some reasons fork throws, for others it tells of a death: both pass.
      return this.#scheduleRestart(`The worker could not be started (${messageOf(error)}); it is tried again.`);
    }
    this.#watch ??= setInterval(() => this.#countMissed(), HEARTBEAT_MS);
    this.#send({ type: "load", gpuId: this.#options.gpuId, engine: this.#options.engine });
  }

  #spawn(): ChildProcess {
    const child = fork(fileURLToPath(new URL("child.ts", import.meta.url)), {
      env: { ...withoutSecrets(process.env), ...this.#options.environment },
      execArgv: [],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    child.on("message", (message) => this.#onMessage(child, message as FromWorker));
    child.on("error", (error) => this.#log.warn({ reason: messageOf(error) }, "worker process error"));
    // A process that has hung up can do no more work for us, whatever it is still doing.
    child.on("disconnect", () => child.kill("SIGKILL"));
    // Something it started may hold its standard error open, and must not keep us from noticing the death.
    child.once("exit", () => setImmediate(() => child.stderr?.destroy()));
    child.once("close", (code, signal) => this.#onDeath(child, signal ?? `exit code ${code}`));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => this.#onStderr(text));
    return child;
  }

  /** Gives the worker a task. All tasks given in one turn of the event loop travel in one message. */
  run(task: Task): void {
    const run = this.#nextRun++;
    this.#runs.set(run, { task, text: "" });
    this.#runOf.set(task, run);
    if (this.#outbox.length === 0) setImmediate(() => this.#flush());
    this.#outbox.push({ run, text: task.text, maxLength: task.maxLength, temperature: task.temperature });
  }

  /** Asks the process to stop a task; `ended` follows when it has. */
  cancel(task: Task): void {
    const run = this.#runOf.get(task);
    if (run === undefined) return;
    this.#flush();
    this.#send({ type: "cancel", runs: [run] });
  }

  /** Ends the process and resolves when it is gone. Calling it twice is harmless. */
  async stop(): Promise<void> {
    this.#stopping = true;
    if (this.#restartTimer !== null) clearTimeout(this.#restartTimer);
    if (this.#watch !== null) clearInterval(this.#watch);
    const child = this.#child;
    if (child === null) return;
    const gone = new Promise<void>((resolve) => child.once("close", () => resolve()));
    const timer = setTimeout(() => child.kill("SIGKILL"), this.#options.timing.stopTimeout);
    this.#send({ type: "stop" });
    await gone;
    clearTimeout(timer);
  }

  get #log(): Logger {
    return this.#options.log;
  }

  /** The one place where the state changes. */
  #become(state: GpuState, reason: string | null): void {
    if (state !== this.#state) this.#since = Date.now();
    this.#state = state;
    this.#reason = reason;
    this.#events.changed();
  }

  #send(message: ToWorker): void {
    // A channel that closes under our hands is a death, and that is told by its own event.
    if (this.#child?.connected) this.#child.send(message, () => {});
  }

  #flush(): void {
    if (this.#outbox.length === 0) return;
    const requests = this.#outbox;
    this.#outbox = [];
    this.#send({ type: "run", requests });
  }

  #onMessage(child: ChildProcess, message: FromWorker): void {
    // While stopping, tasks end because they are cut off; that must not look like their real end.
    if (child !== this.#child || this.#stopping) return;
    this.#missed = 0;
    switch (message.type) {
      case "ready":
        this.#info = message.info;
        this.#loadDeaths = 0;
        this.#readyAt = performance.now();
        this.#log.info(
          { model: message.info.model, context: message.info.context, device: message.info.device },
          "worker ready",
        );
        return this.#become("ready", null);
      case "unusable":
        // It has served before, so the model is good: something else takes its memory now, and may give it back.
        if (this.#info !== null) return void (this.#lastWords = message.sentence);
        this.#log.error({ code: message.code, reason: message.sentence }, "GPU cannot be used");
        return this.#become("unusable", message.sentence);
      case "heartbeat":
        this.#usage = { ...message, at: performance.now(), pid: child.pid! };
        return this.#events.changed();
      case "step":
        return this.#onStep(message);
    }
  }

  #onStep({ pieces, ends }: Extract<FromWorker, { type: "step" }>): void {
    for (const piece of pieces) {
      const run = this.#runs.get(piece.run);
      if (run !== undefined) run.text += piece.text;
    }
    for (const end of ends) {
      const run = this.#runs.get(end.run);
      if (run === undefined) continue;
      this.#runs.delete(end.run);
      this.#runOf.delete(run.task);
      this.#idleSince = performance.now();
      this.#events.ended(run.task, outcomeOf(end, run.text));
    }
  }

  #onStderr(text: string): void {
    this.#lastWords = (this.#lastWords + text).slice(-2000);
    this.#log.debug({ line: text.trimEnd() }, "worker says");
  }

  /** Counts ticks without a sign of life. A tick, not a clock: after this server itself was stopped, one late tick must not kill anybody. */
  #countMissed(): void {
    if (this.#child === null) return;
    this.#missed++;
    if (this.#missed <= this.#options.timing.missedHeartbeats) return;
    this.#log.error({ pid: this.#child.pid }, "worker is silent; killing it");
    this.#missed = 0;
    this.#child.kill("SIGKILL");
  }

  #onDeath(child: ChildProcess, how: string): void {
    if (child !== this.#child) return;
    const lived = this.#usage !== null;
    this.#child = null;
    this.#usage = null;
    this.#runs.clear();
    this.#runOf.clear();
    this.#outbox = [];
    if (this.#stopping) return;
    // First the state, so that nothing is placed here while the tasks are given back.
    if (this.#state !== "unusable") this.#afterDeath(lived, how);
    this.#events.lost();
  }

  #afterDeath(lived: boolean, how: string): void {
    this.#restarts++;
    // A process that never lived, or a model that has been served before, says nothing against the model.
    if (this.#info === null && lived) this.#loadDeaths++;
    const words = this.#lastWords.trim().split("\n").at(-1) ?? "";
    const said = words === "" ? "" : ` It last said: ${words.slice(0, 300)}`;
    this.#log.warn({ how }, "worker died");
    if (this.#loadDeaths >= MAX_LOAD_DEATHS) {
      const what = this.#options.engine.kind === "llama" ? ` ${this.#options.engine.model}` : "";
      return this.#become(
        "unusable",
        `The worker died ${this.#loadDeaths} times while loading the model${what} (${how}); the file may be damaged, or memory too small.${said}`,
      );
    }
    this.#scheduleRestart(`The worker died (${how}) and is being restarted.${said}`);
  }

  #scheduleRestart(reason: string): void {
    const { restartPauses, healthyAfter } = this.#options.timing;
    if (this.#readyAt > 0 && performance.now() - this.#readyAt > healthyAfter) this.#pause = 0;
    const pause = restartPauses[Math.min(this.#pause, restartPauses.length - 1)] ?? 0;
    this.#pause++;
    this.#become("restarting", reason);
    this.#restartTimer = setTimeout(() => this.start(), pause);
  }
}

function outcomeOf(end: StepEnd, text: string): Outcome {
  if (end.type === "error") return { status: "failed", error: { code: end.code, sentence: end.sentence } };
  if (end.finishReason === "canceled") return { status: "canceled" };
  const { finishReason, promptTokens, completionTokens } = end;
  // Microseconds: what is beyond them is noise.
  const executionTime = Math.round(end.executionTime * 1e6) / 1e6;
  return {
    status: "completed",
    result: { text, executionTime, timestamp: Date.now(), finishReason, promptTokens, completionTokens },
  };
}

/** A worker has no use for the server's own key. */
function withoutSecrets(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { ALT_LAS_API_KEY: _key, ...rest } = environment;
  return rest;
}
