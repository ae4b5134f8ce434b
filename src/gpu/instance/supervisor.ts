/**
 * Looks after one gpu_id: starts its worker, replaces it when it fails, takes it out when the card or an operator says so, and speaks
 * for it. What has happened to it is told to its `Health`, which alone says in which state it is; what follows from that is done here.
 */
import { type Logger } from "pino";
import { type EngineInfo, type EngineOptions } from "../../engine/engine.ts";
import { engineTraits } from "../../engine/kinds.ts";
import { wallTime } from "../../common/clock.ts";
import { type ErrorCode, messageOf } from "../../errors.ts";
import { type Request } from "../../request.ts";
import { type Outcome, type RunOutput, type RunSink, type Task } from "../../task.ts";
import { type Mutex } from "../../common/mutex.ts";
import { deviceTraits, isToldByWorker } from "../device-kinds.ts";
import { type Device } from "../inventory/devices.ts";
import { Backpressure } from "./backpressure.ts";
import { Health } from "./health.ts";
import { type OpenChannel } from "../worker/channel.ts";
import { mismatch } from "../worker/device-check.ts";
import { type Reading } from "../card/readings.ts";
import { type GpuFacts, type GpuState, type GpuStatus } from "../status.ts";
import { Crowding } from "../telemetry/external-load.ts";
import { type GpuEvent } from "../telemetry/telemetry.ts";
import { factsOf, type SupervisedGpu, statusOf } from "./gpu-view.ts";
import { type CanceledRun, type Death, GpuWorker, type Usage } from "../worker/worker.ts";
import { describeXid, sentenceOfXid } from "../card/xid.ts";

/**
 * Why tasks are taken from a GPU: its worker died and one of them may be the cause, the GPU failed, its worker had to be ended because it
 * did not stop another task, or a drain's time was up.
 */
export type LossReason = "worker_crash" | "gpu_lost" | "worker_stopped" | "gpu_drained";

/** What a supervisor tells the pool. */
export interface SupervisorEvents {
  /** Something changed that placement may depend on. */
  changed(): void;
  /** Everything that still ran there is cut off. @param sentence what has happened; null: the reason says it all */
  lost(reason: LossReason, sentence: string | null): void;
  /** A worker process has been started, or a server by its engine. */
  started(pid: number): void;
}

/** Milliseconds. */
export interface SupervisorTiming {
  /** Before a worker that died is started again. */
  readonly restartPause: number;
  /** Before each further try with a GPU that failed, or that has too little memory; the last one repeats. */
  readonly retryPauses: readonly number[];
  /** Of service after which the pauses begin anew. */
  readonly healthyAfter: number;
}

export const DEFAULT_TIMING: SupervisorTiming = {
  restartPause: 500,
  retryPauses: [5000, 15_000, 30_000, 60_000, 120_000, 300_000],
  healthyAfter: 300_000,
};

export interface SupervisorOptions {
  readonly device: Device;
  /** Everything but what is known only when the model is about to be loaded. */
  readonly engine: Omit<EngineOptions, "memoryBudget" | "measuredOverhead">;
  /** Seconds; 0: never. */
  readonly healthCheckInterval: number;
  /** Seconds. */
  readonly stallTimeout: number;
  /** Seconds that its worker has to stop a task. */
  readonly cancelTimeout: number;
  /** `gpu.worker_environment`. */
  readonly inherit?: readonly string[];
  /** Starts its workers. */
  readonly openChannel: OpenChannel;
  /** Bytes that its worker may take when it starts now; null: not known. */
  readonly memoryBudget: () => Promise<number | null>;
  /** Bytes that its worker was seen to take of its cards; null: not known. */
  readonly footprint: () => number | null;
  /** Who loads on which card. */
  readonly turns: Mutex;
  readonly timing: SupervisorTiming;
  readonly log: Logger;
}

/** Times `stallTimeout`: the biggest models from slow disks take many minutes. */
const LOADING_MAY_TAKE = 30;

/** Seconds by which a worker that asks a server may be late in letting go of a task. */
const PATIENCE_MARGIN = 10;

/** Milliseconds a stop waits for processes to end; one that hangs in a driver may never do so. */
const STOP_PATIENCE = 15_000;

/** Deaths while loading, in a row and before it ever served, after which the model is held to be the cause. */
const MAX_LOAD_DEATHS = 2;

/** What a CUDA error with the first token means most often. */
const OLD_DRIVER = 'the driver may be too old for llama.cpp\'s CUDA package on this GPU, see "NVIDIA" in docs/gpus.md';

/** Milliseconds between two looks at whether a GPU is idle, at least. */
const HEALTH_CHECK_PAUSE = 1000;

/** Milliseconds after which a reading that is not renewed counts for nothing. */
const READING_EXPIRES = 30_000;

export class Supervisor {
  readonly device: Device;
  readonly #options: SupervisorOptions;
  readonly #events: SupervisorEvents;
  readonly #health: Health;
  readonly #crowding: Crowding;
  /** Of the server behind it. */
  readonly #fullness: Backpressure;
  #worker: GpuWorker | null = null;
  /** Its worker, and those before it that are not gone yet. */
  readonly #processes = new Set<GpuWorker>();
  /** Workers that are to be gone before the next one starts: they may hold the card's memory. */
  #ending: Promise<unknown> = Promise.resolve();
  /** Known once the model was loaded. */
  #info: EngineInfo | null = null;
  #usage: Usage | null = null;
  #reading: Reading | null = null;
  /** Milliseconds on the monotonic clock. */
  #readAt = 0;
  /** Milliseconds on the monotonic clock when its card came back last. */
  #appearedAt = -Infinity;
  #crowded: GpuFacts["crowded"] = null;
  #measuredOverhead: number | null = null;
  readonly #xids: Record<string, number> = {};
  #restarts = 0;
  #loadDeaths = 0;
  #tries = 0;
  #servingSince: number | null = null;
  /** What made it unfit may have changed. */
  #tryUnfit = false;
  #settled = false;
  #launching = false;
  #stopping = false;
  /** Lets the next worker load on the same card. */
  #loaded: () => void = () => {};
  #loggedState: GpuState = "starting";
  #launchTimer: NodeJS.Timeout | undefined;
  #checkTimer: NodeJS.Timeout | undefined;
  #deadlineTimer: NodeJS.Timeout | undefined;

  constructor(options: SupervisorOptions, events: SupervisorEvents) {
    const { device } = options;
    this.device = device;
    this.#options = options;
    this.#events = events;
    this.#crowding = new Crowding(device.thresholds);
    this.#health = new Health({
      now: () => performance.now(),
      wall: wallTime,
      maxTemperature: device.maxTemperature,
      changed: () => this.#onHealth(),
    });
    this.#fullness = new Backpressure({
      changed: () => events.changed(),
      note: (event, why) => this.#noteRoom(event, why),
    });
  }

  /** Starts its worker, unless it cannot serve. @param drained set: an operator took it out at an earlier start, and why */
  start(drained: string | null): void {
    const { unfit, lost } = this.device;
    if (drained !== null) this.#health.drain(drained, false);
    if (unfit !== null) this.#health.refuse(unfit);
    if (lost !== null) this.#health.vanish(lost);
    this.#launch();
  }

  /** @param sink of an end that a full server has refused, `retryAfter` is the time for which that is left alone */
  run(task: Task, request: Request | Promise<Request>, sink: RunSink): RunOutput {
    return this.#worker!.run(task, request, sink);
  }

  /** Has a task stopped: its sink hears of the end, or `lost` is told `lost` when its worker fails before. */
  cancel(task: Task): void {
    this.#worker?.cancel(task);
  }

  /** Process ids of its worker and of its engine's server, and of those before it that are not gone yet. */
  get pids(): readonly number[] {
    return [...this.#processes].flatMap(({ pids }) => pids);
  }

  /** `loading` also while one that ended is not gone yet: what it holds is not what others hold. */
  get use(): "none" | "loading" | "loaded" {
    if (this.#processes.size === 0) return "none";
    return this.isLoaded && this.#processes.size === 1 ? "loaded" : "loading";
  }

  /** Milliseconds since it last did anything on its cards; 0 while it does. */
  get idleFor(): number {
    if (this.#processes.size === 0) return Infinity;
    return this.use === "loaded" ? this.#worker!.idleFor : 0;
  }

  /** What its worker said of itself last; null: there is none, or it has said nothing yet. */
  get usage(): Usage | null {
    return this.#usage;
  }

  /** Whether its worker has loaded its model, which it does not before its memory is known. */
  get isLoaded(): boolean {
    return this.#servingSince !== null;
  }

  /** Whether it has loaded its model or failed to, once at least. */
  get settled(): boolean {
    return this.#settled;
  }

  // --- what the drivers say --------------------------------------------------------------------------------------

  /** Its figures are new. */
  read(reading: Reading): void {
    this.#reading = reading;
    this.#readAt = performance.now();
    this.#judge(reading.othersMemory, reading.othersUtilization, reading.temperature);
    if (this.#health.state === "lost" && this.device.unfit === null) this.#appear();
    this.#learnOverhead();
    this.#events.changed();
  }

  /** @param memory share that others take @param utilization share that others use @param temperature degrees; null: not known */
  #judge(memory: number | null, utilization: number | null, temperature: number | null): void {
    const crowded = this.#crowding.update(performance.now(), memory, utilization);
    if (crowded !== this.#crowded) this.#onCrowded(crowded);
    this.#health.temperature(temperature);
  }

  /** Its card is gone. */
  vanish(why: string): void {
    if (this.#health.state === "lost") return;
    this.#health.vanish(why);
    this.#drop("gpu_lost", why);
  }

  /** The driver reports an error of its card. */
  report(event: GpuEvent): void {
    if (event.type === "double_bit_ecc") {
      const why = "The driver reports a memory error that could not be corrected (double-bit ECC).";
      this.#health.note("double_bit_ecc", why);
      return this.#fail(why, "gpu_lost");
    }
    const why = sentenceOfXid(event.xid);
    this.#xids[event.xid] = (this.#xids[event.xid] ?? 0) + 1;
    this.#health.note("xid", why);
    this.#options.log.warn({ xid: event.xid }, why);
    const { action } = describeXid(event.xid);
    if (action === "reset") this.#fail(`${why} The card needs a reset.`, "gpu_lost");
    // Without a worker that serves, this is an echo of what has ended it.
    if (action === "restart" && this.#servingSince !== null) this.#replace(`${why} Its worker is being replaced.`);
  }

  // --- what an operator says -------------------------------------------------------------------------------------

  /**
   * Takes no new tasks. When nothing runs there any more its worker ends, so that the card can be serviced.
   * @param deadlineSeconds after which what still runs goes back into the queue; null: it may take its time
   */
  drain(why: string, deadlineSeconds: number | null): void {
    this.#health.drain(why, this.#tasks > 0);
    clearTimeout(this.#deadlineTimer);
    if (this.#tasks === 0) return this.#release();
    if (deadlineSeconds === null) return;
    this.#deadlineTimer = setTimeout(() => this.#drop("gpu_drained", null), deadlineSeconds * 1000);
  }

  /** Ends a drain, and has it tried again at once when it is faulted or unfit. */
  resume(why: string): void {
    clearTimeout(this.#deadlineTimer);
    if (this.#health.isDraining) this.#health.resume(why);
    this.#fullness.askAgain();
    this.#loadDeaths = 0;
    this.#tryUnfit = true;
    this.#launch();
  }

  // --- what it looks like ----------------------------------------------------------------------------------------

  facts(): GpuFacts {
    return factsOf(this.#look());
  }

  status(): Omit<GpuStatus, "taskCount" | "load"> {
    return statusOf(this.#look());
  }

  #look(): SupervisedGpu {
    return {
      device: this.device,
      health: this.#health,
      info: this.#info,
      reading: this.#current(),
      crowded: this.#isFull ? "its server is full" : this.#crowded,
      xids: this.#xids,
      pid: this.#worker?.pid ?? null,
      restarts: this.#restarts,
    };
  }

  /** Whether the server behind it has no room: it has refused a task, or tells that it serves nobody now. */
  get #isFull(): boolean {
    return this.#fullness.isFull || this.#current()?.upstream?.slots === 0;
  }

  /** Ends its worker. Calling it twice is harmless. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const timer of [this.#launchTimer, this.#checkTimer, this.#deadlineTimer]) clearTimeout(timer);
    this.#fullness.stop();
    let timer: NodeJS.Timeout | undefined;
    const tooLong = new Promise<void>((resolve) => (timer = setTimeout(resolve, STOP_PATIENCE)));
    await Promise.race([Promise.all([this.#worker?.stop(), this.#ending]), tooLong]);
    clearTimeout(timer);
  }

  // --- the worker's life -----------------------------------------------------------------------------------------

  get #tasks(): number {
    return this.#worker?.tasks ?? 0;
  }

  /** Starts a worker, when there is none and the GPU may have one. */
  #launch(): void {
    if (this.#launching || this.#worker !== null || !this.#mayLaunch()) return;
    clearTimeout(this.#launchTimer);
    this.#launching = true;
    void this.#load().finally(() => (this.#launching = false));
  }

  #mayLaunch(): boolean {
    const { state, isDraining } = this.#health;
    const fit = state !== "unfit" || (this.#tryUnfit && this.device.unfit === null);
    return !this.#stopping && !isDraining && state !== "lost" && fit;
  }

  async #load(): Promise<void> {
    await this.#ending;
    const done = await this.#options.turns.take(this.device.uuids);
    const memoryBudget = this.#mayLaunch() ? await this.#options.memoryBudget() : null;
    if (!this.#mayLaunch()) return done();
    if (!this.#health.isFaulted) this.#health.starting(this.#health.reason ?? "The model is being loaded.");
    this.#loaded = done;
    this.#tryUnfit = false;
    try {
      this.#worker = this.#newWorker(memoryBudget);
      this.#processes.add(this.#worker);
      if (this.#worker.pid !== null) this.#events.started(this.#worker.pid);
    } catch (error) {
      this.#onDeath({ how: messageOf(error), lastWords: "", lived: false });
    }
  }

  #newWorker(memoryBudget: number | null): GpuWorker {
    const { engine, inherit, openChannel, cancelTimeout, log } = this.#options;
    const { id, environment, vendor } = this.device;
    const stallTimeout = this.#stallTimeout;
    return new GpuWorker(
      {
        gpuId: id,
        engine: { ...engine, memoryBudget, measuredOverhead: this.#measuredOverhead },
        environment,
        inherit,
        openChannel,
        proveCuda: vendor === "nvidia",
        stallTimeout,
        loadTimeout: stallTimeout * LOADING_MAY_TAKE,
        cancelTimeout,
        log,
      },
      {
        loaded: (info, gpus) => void this.#onLoaded(info, gpus),
        refused: (code, sentence) => this.#onRefused(code, sentence),
        lost: (sentence) => this.#fail(sentence, "gpu_lost"),
        beat: () => this.#onBeat(),
        ended: (sink, outcome) => this.#onEnded(sink, outcome),
        stalled: (sentence) => this.#onStalled(sentence),
        stuck: (sentence, canceled) => this.#onStuck(sentence, canceled),
        gone: (death) => this.#onDeath(death),
      },
    );
  }

  /** A server is given its own time, after which its engine lets go of the task by itself. */
  get #stallTimeout(): number {
    const { engine, stallTimeout } = this.#options;
    if (!engineTraits(engine.kind).hasPatience) return stallTimeout;
    const { firstByte, token } = engine.patience;
    return Math.max(stallTimeout, Math.max(firstByte, token) + PATIENCE_MARGIN);
  }

  async #onLoaded(info: EngineInfo, gpus: readonly string[] | null): Promise<void> {
    this.#loaded();
    const problem = mismatch(this.device, info, gpus);
    if (problem !== null) return this.#fail(problem, "gpu_lost");
    const worker = this.#worker;
    // A GPU that failed has to show more than that it can load.
    if (this.#health.isFaulted && !(await this.#passesCheck())) return;
    if (worker === null || worker !== this.#worker) return;
    this.#info = info;
    this.#loadDeaths = 0;
    this.#settled = true;
    this.#servingSince = performance.now();
    const { model, context, slots, device, memoryNote } = info;
    this.#options.log.info({ model, context, slots, device }, "worker ready");
    const settings = info.settings.map(({ name, value, reason }) => `${name} ${value}: ${reason}`);
    this.#options.log.debug({ settings }, "how it computes");
    if (memoryNote !== null) this.#options.log.warn(memoryNote);
    this.#health.serving();
    this.#scheduleCheck();
  }

  #onRefused(code: ErrorCode, sentence: string): void {
    // The model has been served here, or the card is known to be sick: it is not the model that is at fault.
    if (code !== "out_of_memory" && (this.#info !== null || this.#health.isFaulted))
      return this.#fail(sentence, "gpu_lost");
    this.#health.refuse(sentence);
    this.#drop("gpu_lost", sentence);
    // Others may give memory back, and a server may be mended without us; a file that is damaged or missing stays so.
    if (code === "out_of_memory" || deviceTraits(this.device).isServer) this.#retryLater();
  }

  #onBeat(): void {
    const last = this.#usage;
    this.#usage = this.#worker?.usage ?? null;
    const server = this.#usage?.serverPid ?? null;
    if (server !== null && server !== last?.serverPid) this.#events.started(server);
    const reading = deviceTraits(this.device).reading(this.device, this.#usage, last);
    if (reading !== null) this.read(reading);
    else if (this.#current() === null) this.#forgetFigures();
    else this.#events.changed();
  }

  /** What was seen last must not keep it shut for ever when nobody tells any more. */
  #forgetFigures(): void {
    this.#judge(null, null, null);
    this.#events.changed();
  }

  #onEnded(sink: RunSink, outcome: Outcome): void {
    // Told first, so that the task is not placed here again at once. The end of another one makes room, whatever was said of seconds.
    const isFull = outcome.status === "failed" && outcome.error.code === "gpu_full";
    if (isFull) {
      const retryAfter = this.#fullness.refused(outcome.retryAfter, outcome.error.sentence);
      sink.ended({ ...outcome, retryAfter });
    } else {
      this.#fullness.hasRoom();
      sink.ended(outcome);
    }
    if (this.#tasks > 0 || !this.#health.isDraining) return;
    this.#health.idle();
    this.#release();
  }

  #onStalled(sentence: string): void {
    if (this.#servingSince !== null && this.#worker!.idleFor === 0) return this.#fail(sentence, "worker_crash");
    // Without work it harms nobody but itself; its death is treated as any other.
    this.#options.log.error({ pid: this.#worker?.pid }, `${sentence} It is killed.`);
    this.#replace(`${sentence} It is being restarted.`);
  }

  /** What it was to stop has ended with it; the rest runs again elsewhere. */
  #onStuck(sentence: string, canceled: readonly CanceledRun[]): void {
    this.#options.log.error({ pid: this.#worker?.pid, tasks: this.#tasks }, `${sentence} It is killed.`);
    this.#replace(`${sentence} It is being restarted.`, "worker_stopped", canceled);
  }

  #onDeath({ how, lastWords, lived }: Death): void {
    const said = lastWords === "" ? "" : ` It last said: ${lastWords}`;
    this.#restarts++;
    this.#options.log.warn({ how }, "worker died");
    // A process that never lived, or a model that has been served before, says nothing against the model.
    if (this.#info === null && lived) this.#loadDeaths++;
    if (this.#loadDeaths >= MAX_LOAD_DEATHS) {
      const { kind, model } = this.device.engine;
      const guess = lastWords.includes("CUDA error") ? OLD_DRIVER : "the file may be damaged, or memory too small";
      const why = `The worker died ${this.#loadDeaths} times while loading the model${engineTraits(kind).library === null ? "" : ` ${model}`} (${how}); ${guess}.${said}`;
      this.#health.refuse(why);
      return this.#drop("worker_crash", why);
    }
    this.#replace(`The worker died (${how}) and is being restarted.${said}`);
  }

  /** Has another worker take the place of this one, which died or has to go. */
  #replace(why: string, reason: LossReason = "worker_crash", canceled: readonly CanceledRun[] = []): void {
    // First the state, so that nothing is placed here while the tasks are given back.
    this.#health.crashed(why);
    this.#drop(reason, why, canceled);
    if (this.#health.isFaulted) this.#retryLater();
    else this.#launchIn(this.#options.timing.restartPause);
  }

  /** The GPU failed: whatever runs there is taken away, and it has to prove that it works before it gets more. */
  #fail(why: string, reason: LossReason): void {
    // While it is being tried, a failure means that the try failed; one that was expected anyway changes nothing.
    this.#health.fault(why);
    this.#drop(reason, why);
    this.#retryLater();
  }

  /**
   * Ends the worker at once, and gives its tasks back. The state says by now that nothing may be placed here.
   * @param canceled those that have ended with it, as they were to be stopped anyway
   */
  #drop(reason: LossReason, why: string | null, canceled: readonly CanceledRun[] = []): void {
    this.#forget((worker) => worker.kill());
    this.#health.idle();
    for (const { sink, outcome } of canceled) sink.ended(outcome);
    this.#events.lost(reason, why);
  }

  /** Ends the worker of a GPU that is drained, so that nothing of ours holds the card. */
  #release(): void {
    clearTimeout(this.#deadlineTimer);
    this.#forget((worker) => worker.stop());
  }

  /** From now on there is no worker; the next one starts when this one is gone. */
  #forget(end: (worker: GpuWorker) => Promise<void>): void {
    clearTimeout(this.#checkTimer);
    if (this.#servingSince !== null) {
      const served = performance.now() - this.#servingSince;
      if (served > this.#options.timing.healthyAfter) this.#tries = 0;
    }
    this.#servingSince = null;
    this.#usage = null;
    this.#fullness.askAgain();
    // Without a driver to ask, all that was known came from the worker.
    if (isToldByWorker(this.device)) this.#reading = null;
    this.#settled = true;
    this.#loaded();
    const worker = this.#worker;
    this.#worker = null;
    if (worker === null) return;
    const gone = end(worker).then(() => this.#processes.delete(worker));
    this.#ending = Promise.all([this.#ending, gone]);
  }

  /** Its card is there again. One that comes and goes is not followed each time. */
  #appear(): void {
    const now = performance.now();
    const flaps = now - this.#appearedAt < this.#options.timing.healthyAfter;
    this.#appearedAt = now;
    this.#health.appear();
    this.#tryUnfit = true;
    if (flaps) this.#retryLater();
    else this.#launch();
  }

  /** Tries again after a pause that grows from try to try. */
  #retryLater(): void {
    const { retryPauses } = this.#options.timing;
    const pause = retryPauses[Math.min(this.#tries, retryPauses.length - 1)] ?? 0;
    this.#tries++;
    this.#launchIn(pause);
  }

  #launchIn(pause: number): void {
    clearTimeout(this.#launchTimer);
    if (this.#stopping) return;
    this.#launchTimer = setTimeout(() => {
      this.#tryUnfit = true;
      this.#launch();
    }, pause);
  }

  // --- looking after it ------------------------------------------------------------------------------------------

  /** Asks an idle GPU for a token now and then; a busy one proves itself by working. */
  #scheduleCheck(): void {
    const interval = this.#options.healthCheckInterval * 1000;
    clearTimeout(this.#checkTimer);
    if (interval === 0 || this.#worker === null) return;
    const wait = Math.max(interval - this.#worker.idleFor, HEALTH_CHECK_PAUSE);
    this.#checkTimer = setTimeout(() => void this.#checkIfIdle(interval), Math.min(wait, interval));
  }

  async #checkIfIdle(interval: number): Promise<void> {
    const idle = (this.#worker?.idleFor ?? 0) >= interval;
    if (!idle || (await this.#passesCheck())) this.#scheduleCheck();
  }

  /** Has the worker generate one token. Its failure is the GPU's. */
  async #passesCheck(): Promise<boolean> {
    const worker = this.#worker;
    const outcome = await worker?.check();
    if (outcome === undefined || worker !== this.#worker) return false;
    if (outcome.status !== "failed") this.#fullness.hasRoom();
    // One that has no room works.
    if (outcome.status !== "failed" || outcome.error.code === "gpu_full") return true;
    this.#fail(`It failed when it was asked for one token: ${outcome.error.sentence}`, "gpu_lost");
    return false;
  }

  /** Corrects the estimate for the next load by what this one has really taken. */
  #learnOverhead(): void {
    const memory = this.#info?.memory ?? null;
    const footprint = this.#options.footprint();
    if (this.#servingSince === null || memory === null || footprint === null) return;
    this.#measuredOverhead = Math.max(0, footprint - memory.weights - memory.kvCache);
  }

  #onCrowded(crowded: GpuFacts["crowded"]): void {
    this.#crowded = crowded;
    const why = crowded === null ? "Others leave it enough room again." : `It gets no new tasks: ${crowded}.`;
    this.#noteRoom(crowded === null ? "free" : "crowded", why);
  }

  #noteRoom(event: "crowded" | "free", why: string): void {
    this.#health.note(event, why);
    this.#options.log.info(why);
  }

  #onHealth(): void {
    const { state, reason } = this.#health;
    if (state !== this.#loggedState) {
      const serious = state === "unfit" || state === "faulted" || state === "lost";
      this.#options.log[serious ? "error" : "info"]({ state, reason }, "GPU state changed");
    }
    this.#loggedState = state;
    this.#events.changed();
  }

  /** The reading, unless it is so old that it says nothing: what a dead driver said last must not keep a GPU shut, or open, for ever. */
  #current(): Reading | null {
    return performance.now() - this.#readAt > READING_EXPIRES ? null : this.#reading;
  }
}
