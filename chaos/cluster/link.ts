/** The network between an agent and the NATS server: it cuts connections, holds back what is on its way, and delays it. */
import { createServer, connect, type Server, type Socket } from "node:net";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export class Link {
  readonly #target: number;
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  /** Milliseconds that each piece waits. */
  #delay = 0;
  #isHeld = false;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer((client) => this.#join(client));
  }

  static async open(target: number): Promise<Link> {
    const link = new Link(target);
    await once(link.#server.listen(0, "127.0.0.1"), "listening");
    return link;
  }

  get url(): string {
    return `nats://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** All connections end at once. */
  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  /** Nothing arrives on either side, and neither hears that: a connection that is half open. */
  hold(): void {
    this.#isHeld = true;
    for (const pair of this.#pairs) for (const socket of pair) socket.pause();
  }

  /** What was held back arrives. */
  release(): void {
    this.#isHeld = false;
    for (const pair of this.#pairs) for (const socket of pair) socket.resume();
  }

  /** @param milliseconds 0: at once */
  slow(milliseconds: number): void {
    this.#delay = milliseconds;
  }

  close(): void {
    this.#server.close();
    this.cut();
  }

  #join(client: Socket): void {
    const broker = connect(this.#target, "127.0.0.1");
    const pair = [client, broker] as const;
    this.#pairs.add(pair);
    this.#carry(client, broker);
    this.#carry(broker, client);
    for (const socket of pair)
      socket
        .on("error", () => {})
        .on("close", () => {
          this.#pairs.delete(pair);
          for (const one of pair) one.destroy();
        });
    if (this.#isHeld) for (const socket of pair) socket.pause();
  }

  /** Pieces stay in their order, as each waits for the one before. */
  #carry(from: Socket, to: Socket): void {
    let last: Promise<unknown> = Promise.resolve();
    const write = (piece: Buffer): void => {
      if (!to.destroyed) to.write(piece);
    };
    from.on("data", (piece: Buffer) => {
      const delay = this.#delay;
      last = last.then(() => (delay > 0 ? sleep(delay) : null)).then(() => write(piece));
    });
  }
}
