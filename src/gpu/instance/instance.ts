/**
 * One model on one GPU: starts and ends its worker as its lifecycle decides, and gives it tasks. The card, and the view of a GPU with its
 * instances, are in ../gpu.ts.
 */
import { within } from "../../common/patience.ts";
import { type EngineInfo, proofFor } from "../../engine/engine.ts";
import { engineTraits } from "../../engine/kinds.ts";
import { messageOf } from "../../errors.ts";
import type { Output } from "../../output.ts";
import type { Request, TextRequest } from "../../request.ts";
import type { Outcome, RunSink, Task } from "../../task.ts";
import { deviceTraits } from "../device-kinds.ts";
import { isSameFile, type ServedModel } from "../served.ts";
import { mismatch } from "../worker/device-check.ts";
import { type Death, GpuWorker, type Usage, type WorkerEvents } from "../worker/worker.ts";
import { Backpressure } from "./backpressure.ts";
import type { InstanceHealth } from "./health.ts";
import { IdleCheck } from "./idle-check.ts";
import type { InstanceEvents, InstanceOptions } from "./instance-parts.ts";
import { type CutOff, Lifecycle, type LossReason } from "./lifecycle.ts";
import { Stay } from "./stay.ts";
import { faultIn, logDeath, logKill, logReady } from "./log-lines.ts";
import { Processes } from "./processes.ts";
import { workerOptions } from "./worker-options.ts";

/** Milliseconds a stop waits for processes to end; one that hangs in a driver may never do so. */
const STOP_PATIENCE = 15_000;

export class Instance {
  /** Among those of its GPU. */
  readonly id: number;
  readonly health: InstanceHealth;
  readonly #options: InstanceOptions;
  readonly #events: InstanceEvents;
  readonly #lifecycle: Lifecycle;
  /** Of the server behind it. */
  readonly #backpressure: Backpressure;
  readonly #stay: Stay;
  readonly #check: IdleCheck;
  #worker: GpuWorker | null = null;
  readonly #processes = new Processes();
  /** Known once the model was loaded. */
  #info: EngineInfo | null = null;
  #usage: Usage | null = null;
  /** Lets the next worker load on the same card. */
  #doneLoading: () => void = () => {};
  #wakeTimer: NodeJS.Timeout | undefined;

  constructor(options: InstanceOptions, events: InstanceEvents) {
    const { device, engine, health, isAvailable, timing } = options;
    this.id = options.id;
    this.health = health;
    this.#options = options;
    this.#events = events;
    this.#check = new IdleCheck(options.healthCheckInterval, () => void this.#prove());
    this.#stay = new Stay(options, {
      changed: () => events.changed(),
      idle: (why) => this.unload(why),
      outgrown: () => this.tasks === 0 && this.#lifecycle.renew("The model is loaded again, for more slots."),
    });
    this.#lifecycle = new Lifecycle(
      {
        health,
        isAvailable,
        isHopeless: device.unfit !== null,
        onDemand: options.served !== null,
        mayBeMended: deviceTraits(device).isServer,
        modelFile: () => (engineTraits(engine.kind).library === null ? null : this.model),
        timing,
        now: () => performance.now(),
      },
      {
        start: () => void this.#start(),
        prove: () => void this.#prove(),
        cutOff: (what) => this.#cutOff(what),
        release: () => this.#forget((worker) => worker.stop()),
        wakeIn: (pause) => this.#wakeIn(pause),
      },
    );
    if (options.served !== null) this.#lifecycle.fileIs(options.served.file);
    this.#backpressure = new Backpressure({
      changed: () => events.changed(),
      note: (event, why) => events.noteRoom(event, why),
    });
  }

  /** @param sink gets, when a full server has refused the task, the time for which that is left alone as `retryAfter` */
  run(task: Task, request: Request | Promise<Request>, sink: RunSink): Output {
    this.#stay.used(this.tasks + 1);
    return this.#worker!.run(task, request, sink);
  }

  /** Has a task that runs here stopped: its sink hears of the end, or `lost` is told when its worker fails before. */
  cancel(task: Task): void {
    this.#worker?.cancel(task);
  }

  /** Tokens of a prompt: see `TokenCounts.ask`. */
  async countTokens(request: TextRequest): Promise<number | null> {
    return (await this.#worker?.countTokens(request)) ?? null;
  }

  /** Tasks running here. */
  get tasks(): number {
    return this.#worker?.tasks ?? 0;
  }

  /** Path of its model's file, or the name by which its server knows it; "" where there is neither. */
  get model(): string {
    return this.#stay.engine.model;
  }

  /** The memory of the model, and how the model was used. */
  get stay(): Pick<Stay, "served" | "residency" | "residencyIn" | "lastUsedAt" | "reckoned" | "refit"> {
    return this.#stay;
  }

  /** null until its model was loaded. */
  get info(): EngineInfo | null {
    return this.#info;
  }

  /** The name by which requests call its model; null: it has no name before it is loaded. */
  get modelName(): string | null {
    const { names, engine, served } = this.#options;
    if (served !== null) return served.settings.name;
    return this.#info === null ? null : names.of(engine, this.#info.modelName);
  }

  /** Slots: those configured until the model is loaded, then those made. */
  get slots(): number {
    return this.#info?.slots ?? this.#stay.engine.slots;
  }

  /** Process id of its worker; null: there is none. */
  get pid(): number | null {
    return this.#worker?.pid ?? null;
  }

  /** Process ids of its worker and of its engine's server, and of earlier ones that have not ended yet. */
  get pids(): readonly number[] {
    return this.#processes.pids;
  }

  /** `loading` also while an earlier worker has not ended: the memory that it holds is not external load. */
  get use(): "none" | "loading" | "loaded" {
    if (this.#processes.count === 0) return "none";
    return this.isLoaded && this.#processes.count === 1 ? "loaded" : "loading";
  }

  /** Milliseconds since it last did anything on its cards; 0 while it does. */
  get idleFor(): number {
    if (this.#processes.count === 0) return Infinity;
    return this.use === "loaded" ? this.#worker!.idleFor : 0;
  }

  /** The last report of its worker; null: there is none, or it has reported nothing yet. */
  get usage(): Usage | null {
    return this.#usage;
  }

  /** Whether its worker has loaded its model. */
  get isLoaded(): boolean {
    return this.#lifecycle.isServing;
  }

  /** Whether its model is yet to be loaded. */
  get isToLoad(): boolean {
    const { state } = this.health;
    return !this.isLoaded && this.#options.isAvailable() && (state === "starting" || state === "faulted");
  }

  get life(): Pick<Lifecycle, "settled" | "restarts" | "failure" | "forgive"> {
    return this.#lifecycle;
  }

  /** Whether the server behind it is full: it has refused a task, or says that it serves nobody now. */
  get isFull(): boolean {
    return this.#backpressure.isFull || this.#usage?.upstream?.slots === 0;
  }

  // --- what happens to its GPU -----------------------------------------------------------------------------------

  /** Starts its worker, unless it cannot serve now. */
  launch(): void {
    this.#lifecycle.launch();
  }

  /** Whether its model is there, or is to be. */
  get isWanted(): boolean {
    return this.#lifecycle.isWanted;
  }

  /** Loads its model, if that is not there. */
  load(): void {
    this.#lifecycle.want();
  }

  /** Before an operator has it loaded: an earlier failure counts no more. Resolves when it is known what the model takes. */
  async prepare(): Promise<void> {
    if (!this.isWanted && this.health.state === "unfit") this.#lifecycle.resume();
    await this.#stay.reckoned;
  }

  /** Unloads its model. Nothing happens while a task runs there, where it is not loaded, and to one that is there for good. */
  unload(why: string): void {
    if (this.tasks === 0 && this.isWanted && this.#stay.served !== null) void this.end(why);
  }

  /** Takes its model away, on which no task runs. Resolves when its memory is free. @param why one sentence */
  async end(why: string): Promise<void> {
    this.#stay.ends();
    const freed = this.use === "none" ? null : this.#options.memoryFreed(this.#stay.residency.memory ?? 0);
    this.#lifecycle.leave(why);
    await this.#processes.ended;
    await freed?.();
    this.#lifecycle.hasLeft();
  }

  /** Its settings have changed, or its file has come or is gone. */
  update(served: ServedModel): void {
    const before = this.#stay.served?.file;
    this.#stay.update(served);
    if (!isSameFile(before, served.file)) this.#lifecycle.fileIs(served.file);
  }

  /** The GPU failed: see `Lifecycle.fail`. */
  fail(why: string): void {
    this.#lifecycle.fail(why, "gpu_lost");
  }

  /** Replaces its worker, if that serves; else this event is an echo of the worker's own end. */
  replace(why: string): void {
    if (this.isLoaded) this.#lifecycle.replace(why);
  }

  /** Takes all running tasks away. @param why null: the reason says it all */
  lose(reason: LossReason, why: string | null): void {
    this.#lifecycle.lose(reason, why);
  }

  /** See `Lifecycle.cardIsBack`. */
  cardIsBack(flaps: boolean): void {
    this.#lifecycle.cardIsBack(flaps);
  }

  /** Ends its worker for a drain, when no task runs there any more. */
  releaseIfIdle(): void {
    if (this.tasks === 0) this.#lifecycle.drained();
  }

  /** Tries again at once, for an operator. */
  resume(): void {
    this.#backpressure.askAgain();
    this.#lifecycle.resume();
  }

  /** Corrects the estimate for the next load by the memory that this one has really taken. */
  learnOverhead(): void {
    if (this.isLoaded) this.#stay.measure();
  }

  /** Ends its worker. Calling it twice is harmless. */
  async stop(): Promise<void> {
    this.#lifecycle.stop();
    this.#check.stop();
    this.#stay.ends();
    this.#backpressure.stop();
    await within(STOP_PATIENCE, Promise.all([this.#worker?.stop(), this.#processes.ended]));
  }

  // --- what the lifecycle wants done -----------------------------------------------------------------------------

  async #start(): Promise<void> {
    await this.#processes.ended;
    const { device, loading, memoryBudget } = this.#options;
    const done = await loading.take(device.uuids);
    const budget = this.#lifecycle.mayStart ? await memoryBudget() : null;
    if (!this.#lifecycle.begins()) return done();
    this.#doneLoading = done;
    try {
      this.#stay.loading();
      const engine = { ...this.#stay.engine, memoryBudget: budget, measuredOverhead: this.#stay.measuredOverhead };
      this.#worker = new GpuWorker(workerOptions(this.#options, engine), this.#workerEvents());
      this.#processes.add(this.#worker);
      if (this.#worker.pid !== null) this.#events.started(this.#worker.pid);
    } catch (error) {
      this.#onDeath({ how: messageOf(error), lastWords: "", lived: false });
    }
  }

  #workerEvents(): WorkerEvents {
    return {
      loaded: (info, gpus) => this.#onLoaded(info, gpus),
      refused: (code, sentence) => {
        if (code === "out_of_memory") this.#stay.needsMore();
        this.#lifecycle.refused(code, sentence);
      },
      lost: (sentence, nonsense) => this.#lifecycle.fail(sentence, nonsense ? "nonsense" : "gpu_lost"),
      beat: () => this.#onBeat(),
      ended: (sink, outcome) => this.#onEnded(sink, outcome),
      stalled: (sentence) => {
        logKill(this.#options.log, this, sentence);
        this.#lifecycle.stalled(sentence, this.#worker!.idleFor === 0);
      },
      stuck: (sentence, canceled) => {
        logKill(this.#options.log, this, sentence);
        this.#lifecycle.stuck(sentence, canceled);
      },
      gone: (death) => this.#onDeath(death),
    };
  }

  #cutOff({ reason, sentence, canceled }: CutOff): void {
    this.#forget((worker) => worker.kill());
    this.#events.left();
    for (const { sink, outcome } of canceled) sink.ended(outcome);
    this.#events.lost(reason, sentence);
  }

  /** From now on there is no worker. The next one starts when this one has ended. */
  #forget(end: (worker: GpuWorker) => Promise<void>): void {
    this.#check.stop();
    const worker = this.#worker;
    const before = this.#usage;
    this.#worker = null;
    this.#usage = null;
    this.#events.used(null, before);
    this.#backpressure.askAgain();
    this.#doneLoading();
    if (worker === null) return;
    this.#processes.ends(worker, end(worker));
  }

  #wakeIn(pause: number | null): void {
    clearTimeout(this.#wakeTimer);
    if (pause !== null) this.#wakeTimer = setTimeout(() => this.#lifecycle.wake(), pause);
  }

  #onLoaded(info: EngineInfo, gpus: readonly string[] | null): void {
    this.#doneLoading();
    const problem = mismatch(this.#options.device, info, gpus);
    if (problem !== null) return this.#lifecycle.fail(problem, "gpu_lost");
    this.#info = info;
    this.#stay.loaded(info);
    this.#lifecycle.loaded();
    if (this.isLoaded) this.#onServing(info);
  }

  #onServing(info: EngineInfo): void {
    logReady(this.#options.log, this.modelName, info, this.#stay.residency.loadSeconds);
    this.#scheduleCheck();
  }

  #onBeat(): void {
    const before = this.#usage;
    this.#usage = this.#worker?.usage ?? null;
    const server = this.#usage?.serverPid ?? null;
    if (server !== null && server !== before?.serverPid) this.#events.started(server);
    this.#events.used(this.#usage, before);
  }

  #onEnded(sink: RunSink, outcome: Outcome): void {
    // Before the sink hears of it, so that the task is not placed here again at once. The end of any other task means that the server is
    // not full.
    if (outcome.status === "interrupted" && outcome.reason === "gpu_full") {
      const retryAfter = this.#backpressure.refused(outcome.retryAfter, outcome.sentence);
      sink.ended({ ...outcome, retryAfter });
    } else {
      this.#backpressure.hasRoom();
      sink.ended(outcome);
    }
    this.#stay.used(this.tasks);
    this.#events.left();
  }

  #onDeath(death: Death): void {
    logDeath(this.#options.log, death);
    this.#lifecycle.died(death);
  }

  #scheduleCheck(): void {
    const worker = this.#worker;
    if (worker !== null) this.#check.next(() => worker.idleFor);
  }

  /** Has the worker answer the smallest request. */
  async #prove(): Promise<void> {
    const worker = this.#worker;
    const wasServing = this.isLoaded;
    const outcome = await worker?.check(proofFor(this.#info!));
    if (outcome === undefined || worker !== this.#worker) return;
    if (outcome.status === "completed") this.#backpressure.hasRoom();
    this.#lifecycle.proved(faultIn(outcome));
    if (!this.isLoaded) return;
    if (wasServing) this.#scheduleCheck();
    else this.#onServing(this.#info!);
  }
}
