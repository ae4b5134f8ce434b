/**
 * Channels to workers that share one process beside the server. Engines that compute elsewhere only wait for servers, so that a process for
 * each would be memory for nothing; in the server's own, what servers send could stop it.
 *
 *  1. The process is started for the first worker and ends with the last one.
 *  2. The end of one worker, a kill included, touches no other. One that does not let itself be ended takes the process along.
 *  3. The process may die, or be killed because it gives no sign of life: all its workers end then, and `sharedDeaths` says that none of
 *     them is to blame. The next start of a worker starts the process for all.
 */
import type { Logger } from "pino";
import { startedModule } from "../../common/started-module.ts";
import type { Channel, ChannelEnd, ChannelEvents, ChannelOptions, OpenChannel } from "./channel.ts";
import type { ToWorker } from "./messages.ts";
import type { FromShared, ToShared } from "./shared-messages.ts";
import { TICK_MS, ticksIn } from "./stall-watch.ts";
import { WorkerProcess, type WorkerProcessEvents } from "./worker-process.ts";

/** Seconds for which a worker may go on that was killed. */
const KILL_PATIENCE = 5;

/** Milliseconds for which a death counts. */
const REMEMBERED = 300_000;

/** A name that cannot be found keeps a thread of Node's pool for many seconds, and half of them are for that: one bad server needs few. */
const THREADS = { UV_THREADPOOL_SIZE: "64" };

/**
 * undici reads HTTP by WebAssembly, which V8 compiles anew, and better, after some 200 answers: that takes 12 MiB, and they stay. So it is after
 * 28,000: a server that works for nobody but its own questions has as many in hours, a busy one in seconds.
 */
const FLAGS = ["--wasm-tiering-budget=1800000000"];

/** The way to the process. */
export type Link = Pick<WorkerProcess<ToShared, FromShared>, "pid" | "send" | "kill">;

export type OpenLink = (
  options: Pick<ChannelOptions, "inherit"> & { readonly log: Logger },
  events: WorkerProcessEvents<FromShared>,
) => Link;

const CHILD = startedModule("./shared-child", import.meta.url);

const openProcess: OpenLink = (options, events) =>
  new WorkerProcess({ ...options, module: CHILD, environment: {}, defaults: THREADS, flags: FLAGS }, events);

export interface SharedProcessOptions {
  readonly log: Logger;
  /** For tests: without it, a process is started. */
  readonly openLink?: OpenLink;
  /** Milliseconds on the monotonic clock; for tests. */
  readonly now?: () => number;
}

export class SharedProcess {
  readonly #options: SharedProcessOptions;
  /** null: there is none, or the last one is about to end. */
  #present: OneProcess | null = null;
  #lastNumber = 0;
  /** When processes died. */
  #deaths: number[] = [];

  constructor(options: SharedProcessOptions) {
    this.#options = options;
  }

  /** Starts a worker there. @throws {Error} when the system does not let the process start */
  readonly open: OpenChannel = (options, events) => {
    this.#present ??= this.#start(options);
    return this.#present.add(++this.#lastNumber, options, events);
  };

  #start({ inherit }: ChannelOptions): OneProcess {
    const { log, openLink = openProcess } = this.#options;
    const started: OneProcess = new OneProcess((events) => openLink({ inherit, log }, events), log, {
      leaves: () => {
        if (this.#present === started) this.#present = null;
      },
      died: () => this.#died(),
    });
    return started;
  }

  /** @returns how many have died lately */
  #died(): number {
    const { now = () => performance.now() } = this.#options;
    const at = now();
    this.#deaths = [...this.#deaths.filter((before) => at - before < REMEMBERED), at];
    return this.#deaths.length;
  }
}

interface OneProcessEvents {
  /** No worker is to be started there any more. */
  leaves(): void;
  /** It has died while workers were there. @returns how many have done so lately */
  died(): number;
}

/** A worker that has ended as this says. */
interface Ended {
  readonly channel: SharedChannel;
  readonly end: ChannelEnd;
}

class OneProcess {
  readonly #link: Link;
  readonly #log: Logger;
  readonly #events: OneProcessEvents;
  readonly #channels = new Map<number, SharedChannel>();
  readonly #ticks: NodeJS.Timeout;
  /** Ticks since it last said something. */
  #silent = 0;
  /** The last worker there, whose end is told when the process is gone. */
  #last: Ended | null = null;
  /** Why it is killed; null: it is not. */
  #why: string | null = null;

  constructor(open: (events: WorkerProcessEvents<FromShared>) => Link, log: Logger, events: OneProcessEvents) {
    this.#log = log;
    this.#events = events;
    this.#link = open({ message: (said) => this.#heard(said), closed: (end) => this.#closed(end) });
    this.#ticks = setInterval(() => this.#tick(), TICK_MS);
  }

  get pid(): number | null {
    return this.#link.pid;
  }

  add(number: number, { silenceTimeout }: ChannelOptions, events: ChannelEvents): SharedChannel {
    const channel = new SharedChannel(this, number, silenceTimeout, events);
    this.#channels.set(number, channel);
    this.#link.send({ start: number });
    return channel;
  }

  send(to: number, message: ToWorker): void {
    if (this.#channels.has(to)) this.#link.send({ to, message });
  }

  kill(number: number): void {
    const channel = this.#channels.get(number);
    if (channel === undefined || channel.killed !== null) return;
    channel.killed = 0;
    if (this.#channels.size > 1) return this.#link.send({ kill: number });
    this.#end({ channel, end: { how: "SIGKILL", stderr: "" } });
  }

  #heard(said: FromShared): void {
    this.#silent = 0;
    const channel = this.#channels.get(said.from);
    if (channel === undefined) return;
    if ("message" in said) return channel.events.message(said.message);
    if (this.#channels.size === 1) return this.#end({ channel, end: said.end });
    this.#channels.delete(said.from);
    channel.events.closed(said.end);
  }

  /** Nobody is left whom its death could hurt, and killing it is as good as asking it to go. */
  #end(last: Ended): void {
    this.#channels.clear();
    this.#last = last;
    this.#events.leaves();
    this.#link.kill();
  }

  #tick(): void {
    this.#silent++;
    const channels = [...this.#channels.values()];
    for (const channel of channels) if (channel.killed !== null) channel.killed++;
    const patience = Math.min(...channels.map(({ silenceTimeout }) => silenceTimeout));
    if (this.#silent > ticksIn(patience)) this.#giveUp(`it gave no sign of life for ${patience} s (gpu.stall_timeout)`);
    else if (channels.some(({ killed }) => killed !== null && killed > ticksIn(KILL_PATIENCE)))
      this.#giveUp("one of its workers could not be ended");
  }

  #giveUp(why: string): void {
    if (this.#why !== null) return;
    this.#why = why;
    this.#log.error({ pid: this.pid }, `The process that asks all servers is killed: ${why}.`);
    this.#events.leaves();
    this.#link.kill();
  }

  #closed({ how, stderr }: Pick<ChannelEnd, "how" | "stderr">): void {
    clearInterval(this.#ticks);
    this.#events.leaves();
    this.#last?.channel.events.closed(this.#last.end);
    const left = [...this.#channels.values()];
    this.#channels.clear();
    if (left.length === 0) return;
    const sharedDeaths = this.#events.died();
    if (this.#why === null)
      this.#log.error(
        { how, said: stderr.trim(), workers: left.length },
        "The process that asks all servers has died.",
      );
    // Its last words may be about the server of any worker.
    for (const { killed, events } of left)
      events.closed(
        killed === null ? { how: this.#why ?? how, stderr: "", sharedDeaths } : { how: "SIGKILL", stderr: "" },
      );
  }
}

class SharedChannel implements Channel {
  readonly noticesSilence = true;
  /** Seconds. */
  readonly silenceTimeout: number;
  readonly events: ChannelEvents;
  /** Ticks since it was to end; null: it is not. */
  killed: number | null = null;
  readonly #process: OneProcess;
  readonly #number: number;

  constructor(process: OneProcess, number: number, silenceTimeout: number, events: ChannelEvents) {
    this.#process = process;
    this.#number = number;
    this.silenceTimeout = silenceTimeout;
    this.events = events;
  }

  get pid(): number | null {
    return this.#process.pid;
  }

  send(message: ToWorker): void {
    this.#process.send(this.#number, message);
  }

  kill(): void {
    this.#process.kill(this.#number);
  }
}
