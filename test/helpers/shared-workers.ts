/** Workers that share a process, which a stand-in in the test's own is, and what can happen to that. */
import { pino } from "pino";
import { HEARTBEAT_MS } from "../../src/gpu/worker/messages.ts";
import { SharedHosts } from "../../src/gpu/worker/shared-hosts.ts";
import { type FromShared, type ToShared } from "../../src/gpu/worker/shared-messages.ts";
import { type Link, SharedProcess, type SharedProcessOptions } from "../../src/gpu/worker/shared-process.ts";
import { type WorkerProcessEvents } from "../../src/gpu/worker/worker-process.ts";

/** The code of the shared process without the process. */
class LocalProcess implements Link {
  readonly pid = null;
  readonly #events: WorkerProcessEvents<FromShared>;
  readonly #heartbeat: NodeJS.Timeout;
  readonly #hosts = new SharedHosts({
    send: (message, sent) => {
      if (this.isAlive && !this.isFrozen) later(message, (copy) => this.#events.message(copy));
      sent?.();
    },
    use: () => ({ cpuSeconds: 0, residentBytes: 0 }),
    faults: { crash: () => this.kill(), hang: () => this.freeze() },
  });
  isAlive = true;
  isFrozen = false;

  constructor(events: WorkerProcessEvents<FromShared>) {
    this.#events = events;
    this.#heartbeat = setInterval(() => this.#hosts.beat(), HEARTBEAT_MS);
  }

  send(message: ToShared): void {
    later(message, (copy) => {
      if (this.isAlive && !this.isFrozen) this.#hosts.receive(copy);
    });
  }

  kill(): void {
    if (!this.isAlive) return;
    this.isAlive = false;
    clearInterval(this.#heartbeat);
    void this.#hosts.release();
    setImmediate(() => this.#events.closed({ how: "SIGKILL", stderr: "" }));
  }

  freeze(): void {
    this.isFrozen = true;
  }
}

export class SharedWorkers {
  /** All that were started. */
  readonly processes: LocalProcess[] = [];
  readonly #shared: SharedProcess;

  constructor(options: Partial<SharedProcessOptions> = {}) {
    const openLink = (_: unknown, events: WorkerProcessEvents<FromShared>): LocalProcess => {
      const process = new LocalProcess(events);
      this.processes.push(process);
      return process;
    };
    this.#shared = new SharedProcess({ log: pino({ level: "silent" }), openLink, ...options });
  }

  get open(): SharedProcess["open"] {
    return this.#shared.open;
  }

  /** The newest one. */
  get process(): LocalProcess {
    return this.processes.at(-1)!;
  }
}

/** Hands over a copy, as it would come out of a pipe, once the sender has returned; what is handed over first arrives first. */
function later<Message>(message: Message, take: (copy: Message) => void): void {
  const text = JSON.stringify(message);
  setImmediate(() => take(JSON.parse(text) as Message));
}
