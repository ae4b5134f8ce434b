/**
 * The workers of one process that several share. Each has its own engine; what one is told, holds and says is nobody else's. A worker that
 * has ended is forgotten with the key of its server.
 */
import type { SimulatedFaults } from "../../engine/engine.ts";
import type { ProcessUse } from "./process-use.ts";
import type { FromShared, ToShared } from "./shared-messages.ts";
import { WorkerHost } from "./worker-host.ts";

export interface SharedPort {
  /** @param sent called when the message is on its way for good */
  send(message: FromShared, sent?: () => void): void;
  /** CPU time and memory that the process around them uses. */
  use(): ProcessUse;
  /** See `HostPort`. */
  readonly faults?: SimulatedFaults;
}

export class SharedHosts {
  readonly #port: SharedPort;
  readonly #hosts = new Map<number, WorkerHost>();

  constructor(port: SharedPort) {
    this.#port = port;
  }

  receive(told: ToShared): void {
    if ("start" in told) return this.#start(told.start);
    if ("kill" in told) return this.#end(told.kill, "SIGKILL");
    // It may have ended meanwhile.
    this.#hosts.get(told.to)?.receive(told.message);
  }

  /** Sends a heartbeat of each. */
  beat(): void {
    if (this.#hosts.size === 0) return;
    const use = this.#port.use();
    for (const host of this.#hosts.values()) host.beat(use);
  }

  /** Ends all, without a word. */
  async release(): Promise<void> {
    const hosts = [...this.#hosts.values()];
    this.#hosts.clear();
    await Promise.all(hosts.map((host) => host.release()));
  }

  #start(number: number): void {
    const host = new WorkerHost(
      {
        send: (message, sent) => {
          if (this.#hosts.get(number) === host) this.#port.send({ from: number, message }, sent);
        },
        leave: () => this.#end(number, "exit code 0"),
        fail: (sentence) => this.#end(number, "exit code 1", sentence),
        ...(this.#port.faults && { faults: this.#port.faults }),
      },
      `worker ${number}`,
    );
    this.#hosts.set(number, host);
    host.beat(this.#port.use());
  }

  #end(number: number, how: string, stderr = ""): void {
    const host = this.#hosts.get(number);
    this.#hosts.delete(number);
    // Its further work is of no interest, and how that ends neither.
    void host?.release().catch(() => {});
    // Also of one that has ended already: who has it killed must hear that.
    this.#port.send({ from: number, end: { how, stderr } });
  }
}
