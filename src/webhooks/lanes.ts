/** How much goes to each host at once, and when what finds no room there gets its turn. */
import type { Delivery } from "../store/outbox.ts";
import { hostAndPort } from "./delivery-line.ts";

/** Sent to one host at once, at most. */
const PER_HOST = 4;
/** How much the latest try counts in what one takes. */
const WEIGHT = 0.25;
/** Milliseconds; a turn is never later, so that a host that has become faster is soon seen to be so. */
const LATEST_TURN = 300_000;
/** Turns are given this much closer than the host needs them: one that has become faster must not idle. */
const HASTE = 2;

interface Lane {
  sending: number;
  /** Milliseconds that a try takes, on average; null: none is over yet. */
  takes: number | null;
  /** Unix milliseconds of the last turn that was given. */
  lastTurn: number;
}

export class Lanes {
  readonly #lanes = new Map<string, Lane>();

  hasRoom(host: string): boolean {
    return (this.#lanes.get(host)?.sending ?? 0) < PER_HOST;
  }

  enter(host: string): void {
    const lane = this.#lanes.get(host) ?? { sending: 0, takes: null, lastTurn: 0 };
    this.#lanes.set(host, lane);
    lane.sending++;
  }

  /** @param took milliseconds @param now the server's clock */
  leave(host: string, took: number, now: number): void {
    const lane = this.#lanes.get(host)!;
    lane.sending--;
    lane.takes = lane.takes === null ? took : lane.takes + WEIGHT * (took - lane.takes);
    for (const [name, { sending, lastTurn }] of this.#lanes) {
      if (sending === 0 && lastTurn <= now) this.#lanes.delete(name);
    }
  }

  /** When there will be room, by how long the host takes; by the server's clock; null: that is not known yet. */
  nextTurn(host: string, now: number): number | null {
    const lane = this.#lanes.get(host);
    if (lane === undefined || lane.takes === null) return null;
    lane.lastTurn = Math.min(Math.max(lane.lastTurn, now) + lane.takes / PER_HOST / HASTE, now + LATEST_TURN);
    return Math.ceil(lane.lastTurn);
  }
}

/** One user's way to a host: what others send there takes no room on it. */
export function laneOf(delivery: Delivery): string {
  return `${delivery.user} ${hostAndPort(delivery)}`;
}
