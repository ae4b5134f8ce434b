/**
 * The network between two processes: it cuts connections, holds back what is on its way in one direction or both, and delays it. Where it is
 * NATS, it also loses messages, doubles them, and has them overtake each other.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { NatsParts } from "./nats-parts.ts";

/** `out`: from the side that connects. */
export type Way = "out" | "back";
export const BOTH: readonly Way[] = ["out", "back"];

/** A fault of a message; `late`: the next one overtakes it. */
export type Mishap = "lost" | "doubled" | "late";

/** A port of this machine, or the path of a socket. */
type Target = number | string;

interface Carried {
  readonly from: Socket;
  readonly way: Way;
}

export class Link {
  readonly #server: Server;
  readonly #isNats: boolean;
  readonly #carried = new Set<Carried>();
  readonly #held = new Set<Way>();
  #target: Target;
  /** Milliseconds that each piece waits. */
  #delay = 0;
  #mishap: () => Mishap | null = () => null;

  private constructor(target: Target, isNats: boolean) {
    this.#target = target;
    this.#isNats = isNats;
    this.#server = createServer((client) => this.#join(client));
  }

  static async open(target: Target, isNats = false): Promise<Link> {
    const link = new Link(target, isNats);
    await once(link.#server.listen(0, "127.0.0.1"), "listening");
    return link;
  }

  /** Where the side that connects finds it. */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The other side listens elsewhere from now on. */
  turnTo(target: Target): void {
    this.#target = target;
  }

  /** All connections end at once. */
  cut(): void {
    for (const { from } of this.#carried) from.destroy();
  }

  /** Nothing arrives any more, and nobody hears that: connections are half open. */
  hold(ways = BOTH): void {
    for (const way of ways) this.#held.add(way);
    for (const { from, way } of this.#carried) if (ways.includes(way)) from.pause();
  }

  /** What was held back arrives. */
  release(): void {
    this.#held.clear();
    for (const { from } of this.#carried) from.resume();
  }

  /** @param milliseconds 0: at once */
  slow(milliseconds: number): void {
    this.#delay = milliseconds;
  }

  /** @param mishap is asked for each message; null: it arrives */
  disturb(mishap: () => Mishap | null): void {
    this.#mishap = mishap;
  }

  close(): void {
    this.#server.close();
    this.cut();
  }

  #join(client: Socket): void {
    const target = this.#target;
    const other = typeof target === "number" ? connect(target, "127.0.0.1") : connect(target);
    for (const [from, to, way] of [
      [client, other, "out"],
      [other, client, "back"],
    ] as const) {
      const carried = { from, way };
      this.#carried.add(carried);
      this.#carry(carried, to);
      from
        .on("error", () => {})
        .on("close", () => {
          this.#carried.delete(carried);
          to.destroy();
        });
    }
  }

  /** Pieces stay in their order, as each waits for the one before. */
  #carry({ from, way }: Carried, to: Socket): void {
    const befall = this.#isNats ? this.#mishaps() : (bytes: Buffer) => [bytes];
    let last: Promise<unknown> = Promise.resolve();
    from.on("data", (bytes: Buffer) => {
      const pieces = befall(bytes);
      const due = performance.now() + this.#delay;
      const before = last;
      last = (async () => {
        await before;
        const left = due - performance.now();
        if (left > 0) await sleep(left);
        for (const piece of pieces) if (!to.destroyed) to.write(piece);
      })();
    });
    if (this.#held.has(way)) from.pause();
  }

  /** For one direction of a connection. */
  #mishaps(): (bytes: Buffer) => Buffer[] {
    const parts = new NatsParts();
    let late: Buffer[] = [];
    return (given) =>
      parts.take(given).flatMap(({ bytes, isMessage }) => {
        if (!isMessage) return [bytes];
        const mishap = this.#mishap();
        if (mishap === "lost") return [];
        if (mishap === "doubled") return [bytes, bytes];
        if (mishap === "late" && late.length === 0) {
          late = [bytes];
          return [];
        }
        return [bytes, ...late.splice(0)];
      });
  }
}
