/** The server's half of telemetry: starts the process that asks the drivers, watches it, and passes on what it says. */
import type { ChildProcess } from "node:child_process";
import { startedModule } from "../../common/started-module.ts";
import { messageOf } from "../../errors.ts";
import type { Logger } from "../../log/log.ts";
import { startChild } from "../worker/child-environment.ts";
import type { FromTelemetry, ToTelemetry } from "./messages.ts";
import type { GpuIdentity, Snapshot } from "./telemetry.ts";

export interface MonitorOptions {
  /** Milliseconds between two samples. */
  readonly interval: number;
  readonly log: Logger;
  /** Added to the process's environment, such as where to look for a driver's library. */
  readonly environment?: Readonly<Record<string, string>>;
  /** `gpu.worker_environment`. */
  readonly inherit?: readonly string[];
  readonly timing?: MonitorTiming;
}

/** Milliseconds. */
export interface MonitorTiming {
  /** Within which the process must say what it has found. */
  readonly findTimeout: number;
  /** For which it may be silent afterwards, beyond `INTERVALS_OF_SILENCE`. */
  readonly patience: number;
  /** Before each restart; the last one repeats, and passes before the next look for a GPU that was missing after a restart. */
  readonly restartPauses: readonly number[];
  /** Of service, after which the pauses begin anew. */
  readonly healthyAfter: number;
  /** For which a stop waits for the process to leave by itself. */
  readonly stopTimeout: number;
}

export const DEFAULT_MONITOR_TIMING: MonitorTiming = {
  findTimeout: 30_000,
  patience: 10_000,
  restartPauses: [500, 1000, 2000, 5000, 10_000, 30_000],
  healthyAfter: 60_000,
  stopTimeout: 2000,
};

/** Samples that may be late in a row. */
const INTERVALS_OF_SILENCE = 20;
/** Why we end a process that works: only a new one can find the GPUs that it lacks. */
const LOOK_AGAIN = "was ended to look for missing GPUs";

/** The GPUs there are. */
export interface Found {
  /** In PCI bus order. */
  readonly gpus: readonly GpuIdentity[];
  /** The drivers that are asked, with their versions. */
  readonly sources: readonly string[];
  /** Why drivers cannot be used, one sentence each. */
  readonly notes: readonly string[];
  /** Why looking for GPUs failed as a whole, so that there may be some all the same; else null. Also the last note. */
  readonly failure: string | null;
}

/** One run of the telemetry process. */
interface Run {
  /** null: it has not started, or has ended. */
  child: ChildProcess | null;
  /** When it said what it found, in milliseconds on the monotonic clock; null: it has not. */
  answeredAt: number | null;
  /** Why we have ended the process; null: we have not. */
  endedBecause: string | null;
  /** Halves of the time it may be silent that have passed since it last spoke. */
  silentHalves: number;
  /** The last lines that it wrote to its standard error, for a sentence about its death. */
  lastWords: string;
}

function newRun(): Run {
  return { child: null, answeredAt: null, endedBecause: null, silentHalves: 0, lastWords: "" };
}

export class GpuMonitor {
  readonly #options: MonitorOptions;
  readonly #timing: MonitorTiming;
  readonly #found = Promise.withResolvers<Found>();
  readonly #listeners: ((snapshot: Snapshot) => void)[] = [];
  /** Events that nobody has heard yet. */
  #unheard: Snapshot | null = null;
  /** The GPUs that the first process found; null: it has not said so yet. */
  #gpus: readonly GpuIdentity[] | null = null;
  /** Found once, and not by the process that runs now. */
  #missing: Snapshot["lost"] = [];
  #run = newRun();
  #trouble: string | null = null;
  #silentDrivers: readonly string[] = [];
  #restarts = 0;
  #watch: NodeJS.Timeout | undefined;
  #next: NodeJS.Timeout | undefined;
  #started = false;
  #stopping = false;

  constructor(options: MonitorOptions) {
    this.#options = options;
    this.#timing = options.timing ?? DEFAULT_MONITOR_TIMING;
  }

  /** Sentences about drivers that fail at present, or why the process does not run; null: all is well. */
  get trouble(): string | null {
    return this.#trouble;
  }

  /** A sentence for each driver that is installed and listed no GPU when the process first asked, or why asking failed as a whole. */
  get silentDrivers(): readonly string[] {
    return this.#silentDrivers;
  }

  /** Process id of the telemetry process; null: none runs. */
  get pid(): number | null {
    return this.#run.child?.pid ?? null;
  }

  /** Starts the process and resolves with what it found. Never rejects; calling it again gives the same answer. */
  start(): Promise<Found> {
    if (!this.#started && !this.#stopping) {
      this.#started = true;
      this.#launch();
    }
    return this.#found.promise;
  }

  /** Has `listener` called with each snapshot from now on, and soon with what came before anybody listened. */
  subscribe(listener: (snapshot: Snapshot) => void): void {
    this.#listeners.push(listener);
    const unheard = this.#unheard;
    this.#unheard = null;
    if (unheard !== null) setImmediate(() => this.#deliver(unheard));
  }

  /** Ends the process and resolves when it is gone. Calling it twice is harmless. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#next);
    clearTimeout(this.#watch);
    const { child } = this.#run;
    if (child !== null) {
      const gone = new Promise<void>((resolve) => child.once("close", () => resolve()));
      const timer = setTimeout(() => child.kill("SIGKILL"), this.#timing.stopTimeout);
      this.#send({ type: "stop" });
      await gone;
      clearTimeout(timer);
    }
    const failure = "The server was stopped before its GPUs were found.";
    this.#found.resolve({ gpus: [], sources: [], notes: [failure], failure });
  }

  #launch(): void {
    this.#next = undefined;
    this.#run = newRun();
    try {
      this.#run.child = this.#spawn();
    } catch (error) {
      // For some reasons fork throws, for others it tells of a death: both pass.
      return this.#afterDeath(`could not be started: ${messageOf(error)}`);
    }
    this.#send({ type: "start", interval: this.#options.interval });
    this.#watchFor(this.#timing.findTimeout);
  }

  #spawn(): ChildProcess {
    const { inherit, environment = {} } = this.#options;
    const child = startChild(startedModule("./process", import.meta.url), {
      inherit,
      environment,
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    child.on("message", (message) => this.#onMessage(child, message as FromTelemetry));
    child.on("error", (error) => this.#log.warn({ reason: messageOf(error) }, "telemetry process error"));
    // A process that has hung up can tell us nothing more, whatever it is still doing.
    child.on("disconnect", () => child.kill("SIGKILL"));
    // Something it started may hold its standard error open, and must not keep us from noticing the death.
    child.once("exit", () => setImmediate(() => child.stderr?.destroy()));
    child.once("close", (code, signal) => this.#onClose(signal ?? `exit code ${code}`));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => this.#onStderr(text));
    return child;
  }

  get #log(): Logger {
    return this.#options.log;
  }

  #send(message: ToTelemetry): void {
    // A channel that closes under our hands is a death, and that is told by its own event.
    const { child } = this.#run;
    if (child?.connected) child.send(message, () => {});
  }

  #onMessage(child: ChildProcess, message: FromTelemetry): void {
    if (child !== this.#run.child || this.#stopping) return;
    this.#run.silentHalves = 0;
    this.#watch?.refresh();
    switch (message.type) {
      case "found":
        return this.#onFound(message);
      case "snapshot":
        return this.#onSnapshot(message);
      case "trouble":
        return this.#setTrouble(message.sentence);
      case "log":
        return this.#log[message.level](message.sentence);
    }
  }

  #onFound({ gpus, sources, notes, silent }: Extract<FromTelemetry, { type: "found" }>): void {
    this.#run.answeredAt = performance.now();
    this.#watchFor(INTERVALS_OF_SILENCE * this.#options.interval + this.#timing.patience);
    this.#setTrouble(null);
    if (this.#gpus !== null) return this.#findMissing(gpus);
    this.#gpus = gpus;
    this.#log.debug({ gpus: gpus.length, sources }, "GPU drivers asked");
    this.#silentDrivers = silent;
    for (const sentence of silent) this.#log.warn(`A GPU driver is installed and has no GPU to offer: ${sentence}`);
    this.#found.resolve({ gpus, sources, notes, failure: null });
  }

  /** After a restart: what was there before and is not now has vanished meanwhile, and may come back. */
  #findMissing(gpus: readonly GpuIdentity[]): void {
    const listed = new Set(gpus.map(({ uuid }) => uuid));
    const missing = this.#gpus!.filter(({ uuid }) => !listed.has(uuid));
    this.#missing = missing.map(({ uuid }) => ({ uuid, reason: "It is no longer listed by its driver." }));
    if (missing.length > 0) this.#deliver({ samples: [], lost: this.#missing, events: [] });
  }

  #onSnapshot({ samples, lost, events }: Snapshot): void {
    this.#deliver({ samples, lost: [...lost, ...this.#missing], events });
    // A process knows only the GPUs that it found itself, so only a new one can find these again. One that found none ends by itself.
    if (this.#missing.length > 0) this.#next ??= setTimeout(() => this.#replace(), this.#timing.restartPauses.at(-1));
  }

  #replace(): void {
    this.#run.endedBecause = LOOK_AGAIN;
    this.#send({ type: "stop" });
  }

  #deliver(snapshot: Snapshot): void {
    if (this.#stopping) return;
    if (this.#listeners.length === 0) {
      // Figures are replaced by newer ones; an event happens once.
      this.#unheard = { ...snapshot, events: [...(this.#unheard?.events ?? []), ...snapshot.events] };
    }
    for (const listener of this.#listeners) listener(snapshot);
  }

  #setTrouble(sentence: string | null): void {
    if (sentence === this.#trouble) return;
    if (sentence === null) this.#log.info("GPU drivers answer again");
    else this.#log.warn({ reason: sentence }, "GPU drivers fail");
    this.#trouble = sentence;
  }

  #onStderr(text: string): void {
    this.#run.lastWords = (this.#run.lastWords + text).slice(-2000);
    this.#log.debug({ line: text.trimEnd() }, "telemetry process says");
  }

  /** From now on the process may be silent for so many milliseconds. */
  #watchFor(silence: number): void {
    clearTimeout(this.#watch);
    this.#run.silentHalves = 0;
    this.#watch = setTimeout(() => this.#countHalf(silence), silence / 2);
  }

  /**
   * Two halves instead of the whole: after this server itself was stopped, a timer is late before what waits in the channel is read, and
   * must not cost the process its life.
   */
  #countHalf(silence: number): void {
    this.#run.silentHalves++;
    if (this.#run.silentHalves < 2) return void this.#watch?.refresh();
    this.#run.endedBecause = `gave no answer for ${silence / 1000} s, as when a driver hangs, and was killed`;
    this.#run.child?.kill("SIGKILL");
  }

  #onClose(how: string): void {
    const { endedBecause } = this.#run;
    this.#run.child = null;
    clearTimeout(this.#watch);
    clearTimeout(this.#next);
    this.#next = undefined;
    if (this.#stopping) return;
    if (endedBecause === LOOK_AGAIN) return this.#launch();
    this.#afterDeath(endedBecause ?? `died (${how})`);
  }

  #afterDeath(what: string): void {
    const words = this.#run.lastWords.trim().split("\n").at(-1) ?? "";
    const said = words === "" ? "" : ` It last said: ${words.slice(0, 300)}`;
    if (this.#gpus === null) return this.#foundNothing(`The telemetry process ${what}, so no GPU is known.${said}`);
    // Where there is nothing to ask, it ends by itself.
    const hasNothing = this.#run.answeredAt !== null && this.#missing.length === this.#gpus.length;
    if (this.#gpus.length === 0) return;
    if (!hasNothing) this.#setTrouble(`The telemetry process ${what} and is started again.${said}`);
    this.#launchLater();
  }

  #launchLater(): void {
    const { restartPauses, healthyAfter } = this.#timing;
    const { answeredAt } = this.#run;
    if (answeredAt !== null && performance.now() - answeredAt > healthyAfter) this.#restarts = 0;
    const pause = restartPauses[Math.min(this.#restarts, restartPauses.length - 1)] ?? 0;
    this.#restarts++;
    this.#next = setTimeout(() => this.#launch(), pause);
  }

  /** Without a first answer nobody waits for a second one: which GPUs serve is decided once. */
  #foundNothing(failure: string): void {
    this.#gpus = [];
    this.#silentDrivers = [failure];
    this.#setTrouble(failure);
    this.#found.resolve({ gpus: [], sources: [], notes: [failure], failure });
  }
}
