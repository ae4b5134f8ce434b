/**
 * Decides when an instance's worker is started, replaced and ended, how long to wait before each further try, and when the model is to
 * blame. Events come in by method calls; what is to be done goes out through `LifecycleEffects`. It has no I/O, no timers, and no clock but
 * the one it is given, so plain calls test it.
 */
import { ADD_GPU } from "../../common/paste.ts";
import type { FailureCode } from "../../engine/failures.ts";
import type { ModelFile } from "../served.ts";
import type { Death } from "../worker/worker.ts";
import type { CanceledRun } from "../worker/worker-runs.ts";
import type { InstanceHealth } from "./health.ts";
import { type LifecycleTiming, retryPause, sharedPause } from "./pauses.ts";

/**
 * Why tasks are taken from an instance: its worker died and one of them may be the cause, the GPU failed, it computed nonsense and one of
 * them may be the cause, its worker ended for a reason that none of them is, or a drain's time was up.
 */
export type LossReason = "worker_crash" | "gpu_lost" | "nonsense" | "worker_stopped" | "gpu_drained";

/** A cause that ends a worker at once, and the reason that its tasks get. */
export interface CutOff {
  readonly reason: LossReason;
  /** Details in a sentence; null: the reason says it all. */
  readonly sentence: string | null;
  /** Tasks that end with the worker, as they were to be stopped anyway. */
  readonly canceled: readonly CanceledRun[];
}

/** The effects of a lifecycle. None of these may call back into it before they return. */
export interface LifecycleEffects {
  /**
   * Start a worker as soon as the one before has ended and no other loads on the card: ask `mayStart` then, call `begins`, and start it.
   */
  start(): void;
  /** Have the worker generate one token, and call `proved` with the outcome. */
  prove(): void;
  /** End the worker at once and cut off its running tasks. The state already says that nothing may be placed there. */
  cutOff(what: CutOff): void;
  /** End the worker, on which no task runs any more. */
  release(): void;
  /** Call `wake` after so many milliseconds, and not at the time named before; null: never. */
  wakeIn(pause: number | null): void;
}

/** Why a model could not be loaded, and is not tried again before somebody wants it. */
export interface LoadFailure {
  readonly code: FailureCode;
  readonly sentence: string;
}

export interface LifecycleOptions {
  readonly health: InstanceHealth;
  /** Whether its card is there and no operator has taken it out. */
  readonly isAvailable: () => boolean;
  /** Whether no try can help before the machine or the configuration changes. */
  readonly isHopeless: boolean;
  /** Whether its model is there only while it is wanted: see `want`. */
  readonly onDemand: boolean;
  /** Whether others may mend a failure to load, as with a server that runs elsewhere. */
  readonly mayBeMended: boolean;
  /** The file of the model, for the sentence that blames it; null: there is none to name. */
  readonly modelFile: () => string | null;
  readonly timing: LifecycleTiming;
  /** Milliseconds of a clock that only goes forward. */
  readonly now: () => number;
}

/** After so many deaths in a row while loading, if it never served before, the model is held to be the cause. */
const MAX_LOAD_DEATHS = 2;

const NOT_WANTED = "Its model is loaded when it is wanted.";

/** The most frequent cause of a CUDA error with the first token. */
const OLD_DRIVER = `the driver may be too old for llama.cpp's CUDA package on this GPU: stop the server and run ${ADD_GPU} cuda, which mends it or says what does`;

export class Lifecycle {
  readonly #options: LifecycleOptions;
  readonly #effects: LifecycleEffects;
  readonly #health: InstanceHealth;
  /** Whether its model is to be there. */
  #wanted: boolean;
  #file: ModelFile | null = null;
  /** `waiting`: a worker is to be started as soon as it may. */
  #worker: "none" | "waiting" | "loading" | "serving" = "none";
  /** Whether it has served its model since the server started. */
  #hasServed = false;
  /** Milliseconds. */
  #servingSince = 0;
  #settled = false;
  /** The cause that made it unfit may have changed. */
  #tryUnfit = false;
  #restarts = 0;
  #loadDeaths = 0;
  #failure: LoadFailure | null = null;
  /** Since it served for long: see `LifecycleTiming.retryPauses`. */
  #tries = 0;
  #stopped = false;

  constructor(options: LifecycleOptions, effects: LifecycleEffects) {
    this.#options = options;
    this.#effects = effects;
    this.#health = options.health;
    this.#wanted = !options.onDemand;
    if (options.onDemand) this.#health.absent("cold", NOT_WANTED);
  }

  /** Whether its worker has loaded the model, and has shown that it works where it had to. */
  get isServing(): boolean {
    return this.#worker === "serving";
  }

  /** Whether it has loaded its model or failed to, once at least, or is not to. */
  get settled(): boolean {
    return this.#settled || !this.#wanted;
  }

  /** Workers that died. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Whether a worker that is to be started may be. */
  get mayStart(): boolean {
    const { isAvailable, isHopeless } = this.#options;
    const fit = this.#health.state !== "unfit" || (this.#tryUnfit && !isHopeless);
    return !this.#stopped && this.#wanted && isAvailable() && fit;
  }

  /** Has a worker started, when there is none and there may be one. */
  launch(): void {
    if (this.#worker !== "none" || !this.mayStart) return;
    this.#effects.wakeIn(null);
    this.#worker = "waiting";
    this.#effects.start();
  }

  /** Whether its model is to be there. */
  get isWanted(): boolean {
    return this.#wanted;
  }

  /** Why its model could not be loaded when it was last tried; null: it could, or may be tried as if for the first time. */
  get failure(): LoadFailure | null {
    return this.#failure;
  }

  /** Why its model could not be loaded may have changed. */
  forgive(): void {
    if (this.#failure === null || this.#wanted) return;
    this.#failure = null;
    this.#effects.wakeIn(null);
    this.#rest();
  }

  /** The file of its model has come, or there is none. Nothing changes for a model that is loaded. */
  fileIs(file: ModelFile | null): void {
    this.#file = file;
    this.#failure = null;
    if (!this.#wanted) this.#rest();
  }

  /** Its model is not wanted: its file decides whether it could be. */
  #rest(): void {
    if (this.#options.isHopeless || this.#health.state === "unloading") return;
    if (this.#file?.state === "fetching") this.#health.awaits(this.#file.why);
    else if (this.#file?.state === "failed") this.#health.refuse(this.#file.why);
    else this.#health.absent("cold", this.#notWanted);
  }

  /** Its model is to be there from now on. */
  want(): void {
    if (this.#wanted || this.#stopped) return;
    this.#wanted = true;
    this.#failure = null;
    this.#loadDeaths = 0;
    this.#tryUnfit = true;
    this.#health.starting("The model is being loaded.");
    this.launch();
  }

  /** Its model is not wanted any more, and no task runs there. Its owner calls `hasLeft` when the memory is free. */
  leave(why: string): void {
    this.#wanted = false;
    this.#effects.wakeIn(null);
    this.#health.absent("unloading", why);
    this.#end();
    this.#effects.release();
  }

  /** The memory of a model that was unloaded is free. */
  hasLeft(): void {
    if (this.#wanted || this.#health.state !== "unloading") return;
    this.#health.absent("cold", NOT_WANTED);
    this.#rest();
  }

  /** The card is free for loading. @returns whether a worker is to be started now */
  begins(): boolean {
    if (!this.mayStart) {
      this.#worker = "none";
      return false;
    }
    if (!this.#health.isFaulted) this.#health.starting(this.#health.reason ?? "The model is being loaded.");
    this.#tryUnfit = false;
    this.#worker = "loading";
    return true;
  }

  /** The pause before the next try is over. */
  wake(): void {
    if (!this.#wanted) return this.#rest();
    this.#tryUnfit = true;
    this.launch();
  }

  /** The server stops: nothing is started any more. */
  stop(): void {
    this.#stopped = true;
    this.#effects.wakeIn(null);
  }

  // --- what its worker does --------------------------------------------------------------------------------------

  /** The model is loaded. An instance that failed before has to generate a token, too. */
  loaded(): void {
    if (this.#health.isFaulted) this.#effects.prove();
    else this.#serve();
  }

  /** @param failure why it could not generate a token; null: it could */
  proved(failure: string | null): void {
    if (failure !== null) this.fail(`It failed when it was asked for one token: ${failure}`, "gpu_lost");
    else if (this.#worker === "loading") this.#serve();
  }

  /** The model cannot be loaded. */
  refused(code: FailureCode, sentence: string): void {
    // The model was served here before, or the card is known to be faulty: the model is not the cause.
    if (code !== "out_of_memory" && (this.#hasServed || this.#health.isFaulted)) return this.fail(sentence, "gpu_lost");
    if (this.#options.onDemand) this.#failure = { code, sentence };
    this.#health.refuse(sentence);
    this.#cutOff("gpu_lost", sentence);
    // Others may free memory, and may mend a server; a file that is damaged or missing stays so.
    if (this.#options.onDemand) this.#giveUp();
    else if (code === "out_of_memory" || this.#options.mayBeMended) this.#retryLater();
  }

  /** @param busy whether it has work */
  stalled(sentence: string, busy: boolean): void {
    if (this.isServing && busy) return this.fail(sentence, "worker_crash");
    if (this.#options.onDemand && this.#worker === "loading" && !this.#health.isFaulted)
      return this.refused("model_error", sentence);
    // Without work it harms no task, and counts as a death.
    this.replace(`${sentence} It is being restarted.`);
  }

  /** It has not stopped a task as it was asked. That task ends with it, and the others run again elsewhere. */
  stuck(sentence: string, canceled: readonly CanceledRun[]): void {
    this.replace(`${sentence} It is being restarted.`, "worker_stopped", canceled);
  }

  /** The worker died by itself, or could not be started. */
  died({ how, lastWords, lived, sharedDeaths }: Death): void {
    if (sharedDeaths !== undefined) return this.#sharedDeath(how, sharedDeaths);
    const said = lastWords === "" ? "" : ` It last said: ${lastWords}`;
    this.#restarts++;
    // If the process never lived, or the model was served before, the model is not the cause.
    if (!this.#hasServed && lived) this.#loadDeaths++;
    if (this.#loadDeaths < MAX_LOAD_DEATHS)
      return this.replace(`The worker died (${how}) and is being restarted.${said}`);
    const path = this.#options.modelFile();
    const file = path === null ? "" : ` ${path}`;
    const guess = lastWords.includes("CUDA error") ? OLD_DRIVER : "the file may be damaged, or memory too small";
    const why = `The worker died ${this.#loadDeaths} times while loading the model${file} (${how}); ${guess}.${said}`;
    if (this.#options.onDemand) this.#failure = { code: "model_error", sentence: why };
    this.#health.refuse(why);
    this.#cutOff("worker_crash", why);
    if (this.#options.onDemand) this.#giveUp();
  }

  /** The process died that it shares with others, which says nothing about its model and its tasks. All of them wait as long. */
  #sharedDeath(how: string, deaths: number): void {
    const why = `The process that asks all servers ended (${how}) and is being restarted.`;
    this.#restarts++;
    this.#health.starting(why);
    this.#cutOff("worker_stopped", why);
    this.#wakeIn(sharedPause(this.#options.timing, deaths));
  }

  /** No task runs there any more, and an operator wants the card free. */
  drained(): void {
    this.#end();
    this.#effects.release();
  }

  /** The worker that serves is to be another, and no task runs there. */
  renew(why: string): void {
    if (!this.isServing) return;
    this.#health.starting(why);
    this.drained();
    this.launch();
  }

  // --- what happens to its card ----------------------------------------------------------------------------------

  /** The GPU failed: its tasks are taken away, and it has to show that it works before it gets new ones. */
  fail(why: string, reason: LossReason): void {
    // During a try, a failure means that the try failed; else, a failure that is known already changes nothing.
    this.#health.fault(why);
    this.#cutOff(reason, why);
    this.#retryLater();
  }

  /** Replaces the worker, which died or has to end. */
  replace(why: string, reason: LossReason = "worker_crash", canceled: readonly CanceledRun[] = []): void {
    // The state first, so that nothing is placed here while the tasks go back.
    this.#health.crashed(why);
    this.#cutOff(reason, why, canceled);
    if (this.#health.isFaulted) this.#retryLater();
    else this.#wakeIn(this.#options.timing.restartPause);
  }

  /** Its card is lost, or is to be free at once. @param why null: the reason says it all */
  lose(reason: LossReason, why: string | null): void {
    this.#cutOff(reason, why);
  }

  /** Its card is there again. @param flaps it comes and goes, and is not followed each time */
  cardIsBack(flaps: boolean): void {
    this.#tryUnfit = true;
    if (flaps) this.#retryLater();
    else this.launch();
  }

  /** Tries again at once, for an operator, whatever was wrong. */
  resume(): void {
    this.#loadDeaths = 0;
    this.#failure = null;
    this.wake();
  }

  // --- what follows ----------------------------------------------------------------------------------------------

  get #notWanted(): string {
    return this.#failure === null ? NOT_WANTED : `${NOT_WANTED} The last try failed: ${this.#failure.sentence}`;
  }

  /** The tasks that wanted the model end. A task that wants it after a pause has it tried again. */
  #giveUp(): void {
    this.#wanted = false;
    this.#hasServed = false;
    this.#retryLater();
  }

  #serve(): void {
    this.#worker = "serving";
    this.#servingSince = this.#options.now();
    this.#hasServed = true;
    this.#loadDeaths = 0;
    this.#settled = true;
    this.#health.serving();
  }

  #cutOff(reason: LossReason, sentence: string | null, canceled: readonly CanceledRun[] = []): void {
    this.#end();
    this.#effects.cutOff({ reason, sentence, canceled });
  }

  /** From now on there is no worker; one that is to be started still is. */
  #end(): void {
    const { now, timing } = this.#options;
    if (this.isServing && now() - this.#servingSince > timing.healthyAfter) this.#tries = 0;
    if (this.#worker !== "waiting") this.#worker = "none";
    this.#settled = true;
  }

  /** Tries again after a pause that grows from try to try. */
  #retryLater(): void {
    const pause = retryPause(this.#options.timing, this.#tries);
    this.#tries++;
    this.#wakeIn(pause);
  }

  #wakeIn(pause: number): void {
    if (!this.#stopped) this.#effects.wakeIn(pause);
  }
}
