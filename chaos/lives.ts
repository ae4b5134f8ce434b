/** The server under test: one life after the other on the same data directory. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { childrenOf, untilGone } from "../test/helpers/processes.ts";
import { type Report } from "./report.ts";

const PROGRAM = join(import.meta.dirname, "..", "bin", "alt-las.js");

/** Milliseconds after which something that has to happen counts as never happening. */
const PATIENCE = 60_000;

/** Milliseconds between two looks at the log. */
const LOOK_EVERY = 100;

/** How a server says where it answers. */
const GREETING = /listens on (\S+)\n/;

/** What a server gets beside the suite's own environment. */
export type Environment = Readonly<Record<string, string>>;

interface WorkerProcess {
  readonly gpuId: number;
  readonly pid: number;
}

/** One process of the server. */
export class Life {
  readonly process: ChildProcess;
  /** Resolves when it answers, with true, or has ended before it did. */
  readonly answers: Promise<boolean>;
  url = "";
  readonly exit: Promise<number | NodeJS.Signals | null>;
  /** Somebody ends it, so that its connections may break. */
  doomed = false;
  /** It may refuse to start. */
  mayFail = false;
  /** Its files were taken away: it cannot tell anything of its tasks any more. */
  robbed = false;
  /** It has said that it is not ready, because of that. */
  noticed = false;
  /** Workers that were stopped, and cannot end before they are continued. */
  readonly stopped = new Set<number>();

  /** @param nodeArgs for Node itself; with some there is a channel to the process, for what they load */
  constructor(args: readonly string[], logFile: string, nodeArgs: readonly string[], environment: Environment) {
    const log = openSync(logFile, "a");
    const { ALT_LAS_API_KEY: _key, ALT_LAS_DATA_DIR: _dir, ...inherited } = process.env;
    const env = { ...inherited, ...environment };
    const channel = nodeArgs.length > 0 ? "ipc" : "ignore";
    this.process = spawn(process.execPath, [...nodeArgs, PROGRAM, "serve", ...args], {
      env,
      stdio: ["ignore", "pipe", log, channel],
    });
    closeSync(log);
    // Not "close": what the server has started may hold its standard output a moment longer.
    this.exit = once(this.process, "exit").then(([code, killedBy]) => killedBy ?? code);
    this.answers = this.#greeting();
  }

  get pid(): number {
    return this.process.pid!;
  }

  get isOver(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  workers(): WorkerProcess[] {
    return childrenOf(this.pid).flatMap(({ pid, command }) => {
      const gpuId = /^alt-las worker gpu (\d+)/.exec(command)?.[1];
      return gpuId === undefined ? [] : [{ pid, gpuId: Number(gpuId) }];
    });
  }

  /** The process that asks all servers; undefined: it is not there just now. */
  sharedProcess(): number | undefined {
    return childrenOf(this.pid).find(({ command }) => command.startsWith("alt-las worker upstreams"))?.pid;
  }

  async #greeting(): Promise<boolean> {
    const tooLate = setTimeout(() => this.process.kill("SIGKILL"), PATIENCE);
    let said = "";
    const greeting = new Promise<void>((resolve) => {
      this.process.stdout!.setEncoding("utf8").on("data", (text: string) => {
        said += text;
        if (GREETING.test(said)) resolve();
      });
    });
    await Promise.race([greeting, this.exit]);
    clearTimeout(tooLate);
    this.url = GREETING.exec(said)?.[1] ?? "";
    return this.url !== "";
  }
}

/** Signals that the suite has sent to workers, which explain deaths. */
export interface Wound {
  readonly gpuId: number;
  /** Unix milliseconds. */
  readonly at: number;
}

export class Lives {
  readonly #args: readonly string[];
  readonly #nodeArgs: readonly string[];
  readonly #report: Report;
  readonly logFile: string;
  readonly wounds: Wound[] = [];
  /** For the servers that are started from now on. */
  environment: Environment = {};
  #life: Life | null = null;
  #newest: Life | null = null;
  /** The next one that answers, while none does. */
  #next = Promise.withResolvers<Life>();

  /** @param args of `alt-las serve` @param nodeArgs see `Life` */
  constructor(args: readonly string[], logFile: string, report: Report, nodeArgs: readonly string[] = []) {
    this.#args = args;
    this.#nodeArgs = nodeArgs;
    this.logFile = logFile;
    this.#report = report;
  }

  /** The one that answers; waits for it while there is none. */
  async current(): Promise<Life> {
    return this.#life ?? this.#next.promise;
  }

  /** Starts a process, which need not be waited for. */
  spawn(): Life {
    const life = new Life(this.#args, this.logFile, this.#nodeArgs, this.environment);
    this.#newest = life;
    void this.#watch(life);
    return life;
  }

  /** Starts a server and waits until it answers. @throws {Error} it does not */
  async start(): Promise<Life> {
    const life = this.spawn();
    if (!(await life.answers)) throw new Error(`the server did not start; see ${this.logFile}`);
    return life;
  }

  /** Kills a server; resolves when neither it nor a worker of it is left. */
  async kill(life: Life): Promise<void> {
    this.#doom(life);
    const children = new Set(childrenOf(life.pid).map(({ pid }) => pid));
    life.process.kill("SIGKILL");
    this.#report.counts.servers++;
    await life.exit;
    // A process that was stopped cannot end by itself.
    for (const pid of life.stopped) sendSignal(pid, "SIGCONT");
    await this.#expectGone(children, "orphans", "its workers are still there");
  }

  /** Has a server finish what runs; one that was robbed ends with exit code 1. @param hurry a second signal ends it at once */
  async stop(life: Life, hurry: boolean): Promise<void> {
    this.#doom(life);
    const children = new Set(childrenOf(life.pid).map(({ pid }) => pid));
    life.process.kill("SIGTERM");
    // Signals that follow sooner count as the same one.
    const again = hurry ? setTimeout(() => life.process.kill("SIGTERM"), 1100) : undefined;
    const tooLate = setTimeout(() => life.process.kill("SIGKILL"), PATIENCE);
    const how = await life.exit;
    clearTimeout(again);
    clearTimeout(tooLate);
    if (life.robbed) this.#report.check("gone", how === 1, `without its files it ended with ${how}`);
    else this.#report.check("stops", how === 0, `it ended with ${how}`);
    await this.#expectGone(children, "orphans", "its workers are still there");
  }

  killWorker({ gpuId, pid }: WorkerProcess): void {
    this.wounds.push({ gpuId, at: Date.now() });
    if (sendSignal(pid, "SIGKILL")) this.#report.counts.workers++;
  }

  /** Stops a worker for good: it neither works nor answers from now on. */
  stallWorker(life: Life, { gpuId, pid }: WorkerProcess): void {
    this.wounds.push({ gpuId, at: Date.now() });
    life.stopped.add(pid);
    if (sendSignal(pid, "SIGSTOP")) this.#report.counts.stalls++;
  }

  /** Ends the process that asks all servers, or stops it for good, which the server has to notice. */
  hurtShared(life: Life, how: "SIGKILL" | "SIGSTOP"): void {
    const pid = life.sharedProcess();
    if (pid === undefined) return;
    if (how === "SIGSTOP") life.stopped.add(pid);
    if (sendSignal(pid, how)) this.#report.counts.shared++;
  }

  /** Waits until the server has ended a worker that was stalled. */
  expectReplaced(pid: number): Promise<void> {
    return this.#expectGone(new Set([pid]), "stalled", "it is still there");
  }

  /** Ends whatever is left, when the suite itself has failed or is ended. */
  destroy(): void {
    if (this.#newest === null) return;
    this.#doom(this.#newest);
    for (const pid of this.#newest.stopped) sendSignal(pid, "SIGKILL");
    this.#newest.process.kill("SIGKILL");
  }

  /** What the log says that nothing of what happens here may bring about: fatal errors, and stacks of what nobody caught. */
  badLines(): string[] {
    const lines = readFileSync(this.logFile, "utf8").split("\n");
    return lines.filter((line) => line.includes('"level":60') || /^\s+at /.test(line));
  }

  /** Waits for a line of the log that has these words. @returns false: none came in so many milliseconds */
  async nextLine(words: string, patience: number): Promise<boolean> {
    const from = statSync(this.logFile).size;
    const tooLate = performance.now() + patience;
    while (performance.now() < tooLate) {
      if (tailOf(this.logFile, from).includes(words)) return true;
      await sleep(LOOK_EVERY);
    }
    return false;
  }

  async #watch(life: Life): Promise<void> {
    if ((await life.answers) && !life.doomed) {
      this.#life = life;
      this.#next.resolve(life);
    }
    const how = await life.exit;
    const isExcused = life.doomed || (life.mayFail && life.url === "");
    this.#report.check("lives", isExcused, `it ended by itself with ${how}; see ${this.logFile}`);
    this.#doom(life);
  }

  #doom(life: Life): void {
    life.doomed = true;
    if (this.#life !== life) return;
    this.#life = null;
    this.#next = Promise.withResolvers();
  }

  async #expectGone(pids: ReadonlySet<number>, promise: "orphans" | "stalled", sentence: string): Promise<void> {
    const isMeant = ({ pid, command }: { pid: number; command: string }) => pids.has(pid) && isOurs(command);
    const problem = await untilGone(isMeant, AbortSignal.timeout(PATIENCE)).then(() => null, String);
    this.#report.check(promise, problem === null, sentence, problem ?? undefined);
  }
}

/** What a file has from so many bytes on. */
function tailOf(path: string, from: number): string {
  const tail = Buffer.alloc(statSync(path).size - from);
  const file = openSync(path, "r");
  const length = readSync(file, tail, 0, tail.length, from);
  closeSync(file);
  return tail.toString("utf8", 0, length);
}

/** The system may have given the number to another process. */
function isOurs(command: string): boolean {
  return command.startsWith("alt-las") || command.includes("/gpu/child.ts");
}

/** @returns false: it had ended */
function sendSignal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}
