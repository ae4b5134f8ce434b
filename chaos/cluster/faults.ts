/** What happens to a cluster: one fault after the other, each mended before the next one of its kind. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Dice } from "../dice.ts";
import type { ClusterWorld } from "./world.ts";

export const FAULTS = {
  agentKilled: "agents killed",
  agentStopped: "agents stopped",
  agentFrozen: "agents frozen",
  workerKilled: "workers killed",
  natsKilled: "NATS servers killed",
  serverKilled: "servers killed",
  serverStopped: "servers stopped",
  serverFrozen: "servers frozen",
} as const;
type Fault = keyof typeof FAULTS;

const WEIGHTS: readonly (readonly [number, Fault])[] = [
  [4, "agentKilled"],
  [2, "agentStopped"],
  [4, "agentFrozen"],
  [2, "workerKilled"],
  [3, "natsKilled"],
  [2, "serverKilled"],
  [1, "serverStopped"],
  [2, "serverFrozen"],
];

/** A fault while it lasted, in Unix milliseconds. */
export interface Happened {
  readonly fault: Fault;
  readonly from: number;
  /** Infinity: it is not mended yet. */
  to: number;
}

export class Faults {
  readonly happened: Happened[] = [];
  readonly counts = Object.fromEntries(Object.keys(FAULTS).map((fault) => [fault, 0])) as Record<Fault, number>;
  readonly #world: ClusterWorld;
  readonly #dice: Dice;

  constructor(world: ClusterWorld, dice: Dice) {
    this.#world = world;
    this.#dice = dice;
  }

  get sum(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0);
  }

  /** Does one thing, and mends it. Two may overlap: a machine dies while the server is gone. */
  async strike(): Promise<void> {
    const first = this.#dice.weigh(WEIGHTS);
    const second = this.#dice.chance(0.3) ? this.#dice.weigh(WEIGHTS) : first;
    const areApart = part(first) !== part(second);
    await Promise.all([this.#do(first), areApart ? this.#do(second) : null]);
    await sleep(this.#dice.between(100, 1500));
  }

  async #do(fault: Fault): Promise<void> {
    this.counts[fault]++;
    const happened: Happened = { fault, from: Date.now(), to: Infinity };
    this.happened.push(happened);
    await this.#inflict(fault);
    happened.to = Date.now();
  }

  async #inflict(fault: Fault): Promise<void> {
    const seat = this.#dice.pick(this.#world.seats);
    const world = this.#world;
    switch (fault) {
      case "agentKilled":
        await seat.agent.kill();
        await sleep(this.#dice.between(0, 4000));
        return this.#again(() => world.restartAgent(seat));
      case "agentStopped":
        await Promise.race([seat.agent.stop(), sleep(2000)]);
        await seat.agent.kill();
        return this.#again(() => world.restartAgent(seat));
      case "agentFrozen":
        seat.agent.signal("SIGSTOP");
        await sleep(this.#dice.between(200, 6000));
        return seat.agent.signal("SIGCONT");
      case "workerKilled":
        return seat.agent.killWorker(this.#dice.between(0, 1));
      case "natsKilled":
        await world.nats.kill();
        await sleep(this.#dice.between(0, 5000));
        return world.nats.restart();
      case "serverKilled":
      case "serverStopped":
        await world.stopServer(fault === "serverKilled" ? "SIGKILL" : "SIGTERM");
        await sleep(this.#dice.between(0, 2000));
        return this.#again(() => world.restartServer());
      case "serverFrozen":
        world.server.signal("SIGSTOP");
        await sleep(this.#dice.between(200, 5000));
        return world.server.signal("SIGCONT");
    }
  }

  /** Without a broker neither starts; whoever supervises them tries again. */
  async #again(start: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        return await start();
      } catch (error) {
        if (!String(error).includes("cluster.nats")) throw error;
        await sleep(300);
      }
    }
  }
}

function part(fault: Fault): string {
  return fault.replace(/(Killed|Stopped|Frozen)$/, "").replace("worker", "agent");
}
