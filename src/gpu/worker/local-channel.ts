/**
 * A worker in this process, for tests: the code of a worker process without the process. Never for an engine that computes here, whose
 * crash would take everything with it. A simulated crash or hang ends, or freezes, that worker alone.
 */
import { engineTraits } from "../../engine/kinds.ts";
import type { Channel, ChannelEvents, ChannelOptions } from "./channel.ts";
import { type FromWorker, HEARTBEAT_MS, type ToWorker } from "./messages.ts";
import type { ProcessUse } from "./process-use.ts";
import { WorkerHost } from "./worker-host.ts";

/** The use of this process is the test's and the server's too. */
const NOTHING_OF_ITS_OWN: ProcessUse = { cpuSeconds: 0, residentBytes: 0 };

/** @throws {Error} for an engine that computes here */
export function localChannel({ engine }: ChannelOptions, events: ChannelEvents): LocalChannel {
  if (engineTraits(engine.kind).computes === "here")
    throw new Error(`An engine of kind ${engine.kind} needs a process of its own.`);
  return new LocalChannel(events);
}

export class LocalChannel implements Channel {
  readonly pid = null;
  readonly #events: ChannelEvents;
  readonly #host: WorkerHost;
  readonly #heartbeat: NodeJS.Timeout;
  #isAlive = true;
  #isFrozen = false;

  constructor(events: ChannelEvents) {
    this.#events = events;
    this.#host = new WorkerHost({
      send: (message, sent) => {
        this.#say(message);
        sent?.();
      },
      leave: () => this.#end("exit code 0"),
      fail: (sentence) => this.#end("exit code 1", sentence),
      faults: { crash: () => this.kill(), hang: () => this.freeze() },
    });
    const beat = (): void => this.#host.beat(NOTHING_OF_ITS_OWN);
    beat();
    this.#heartbeat = setInterval(beat, HEARTBEAT_MS);
  }

  /** Whether the worker has neither left nor died. */
  get isAlive(): boolean {
    return this.#isAlive;
  }

  /** Whether it hears and says nothing any more. */
  get isFrozen(): boolean {
    return this.#isFrozen;
  }

  send(message: ToWorker): void {
    later(message, (copy) => {
      if (this.#isAlive && !this.#isFrozen) this.#host.receive(copy);
    });
  }

  kill(): void {
    this.#end("SIGKILL");
  }

  /** As SIGSTOP does it, or a hang: the worker hears and says nothing any more. */
  freeze(): void {
    this.#isFrozen = true;
  }

  #say(message: FromWorker): void {
    if (this.#isAlive && !this.#isFrozen) later(message, (copy) => this.#events.message(copy));
  }

  #end(how: string, stderr = ""): void {
    if (!this.#isAlive) return;
    this.#isAlive = false;
    clearInterval(this.#heartbeat);
    // Its timers would go on for nobody, and keep this process from ending.
    void this.#host.release();
    setImmediate(() => this.#events.closed({ how, stderr }));
  }
}

/** Hands over a copy, as it would come out of a pipe, once the sender has returned; what is handed over first arrives first. */
function later<Message>(message: Message, take: (copy: Message) => void): void {
  const text = JSON.stringify(message);
  setImmediate(() => take(JSON.parse(text) as Message));
}
