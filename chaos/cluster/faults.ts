/** What happens to a cluster: one fault after the other, each mended before the next one of its kind. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Dice } from "../dice.ts";
import { type PostgresServer, signalTo } from "../../test/helpers/postgres.ts";
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
  linkCut: "connections of agents cut",
  linkHeld: "connections of agents half open",
  linkSlow: "connections of agents slow",
  postgresKilled: "PostgreSQL killed",
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
  [2, "linkCut"],
  [2, "linkHeld"],
  [1, "linkSlow"],
];
const WITH_POSTGRES: typeof WEIGHTS = [...WEIGHTS, [2, "postgresKilled"], [4, "serverKilled"], [4, "serverFrozen"]];

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
    const weights = this.#world.postgres === null ? WEIGHTS : WITH_POSTGRES;
    const first = this.#dice.weigh(weights);
    const second = this.#dice.chance(0.3) ? this.#dice.weigh(weights) : first;
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
    const number = this.#dice.between(0, world.servers.length - 1);
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
        await world.stopServer(number, fault === "serverKilled" ? "SIGKILL" : "SIGTERM");
        await sleep(this.#dice.between(0, 2000));
        return this.#again(() => world.restartServer(number));
      case "serverFrozen":
        return this.#freeze(number);
      case "linkCut":
        return seat.link.cut();
      case "linkHeld":
        seat.link.hold();
        await sleep(this.#dice.between(200, 6000));
        return seat.link.release();
      case "linkSlow":
        seat.link.slow(this.#dice.between(20, 300));
        await sleep(this.#dice.between(500, 4000));
        return seat.link.slow(0);
      case "postgresKilled":
        return this.#killPostgres(world.postgres!);
    }
  }

  async #killPostgres(postgres: PostgresServer): Promise<void> {
    const all = postgres.processes;
    const gone = postgres.stop("SIGKILL");
    for (const pid of all) signalTo(pid, "SIGKILL");
    await gone;
    await sleep(this.#dice.between(0, 3000));
    // Its shared memory may be held for a moment yet.
    while (!postgres.isRunning || !(await postgres.answers())) {
      if (!postgres.isRunning) await postgres.run().catch(() => {});
      await sleep(100);
    }
  }

  /** One that another has followed meanwhile ends when it wakes, and is started again by what supervises it. */
  async #freeze(number: number): Promise<void> {
    const server = this.#world.servers[number]!;
    server.signal("SIGSTOP");
    await sleep(this.#dice.between(200, 6000));
    server.signal("SIGCONT");
    if (this.#world.postgres === null) return;
    const hasEnded = await Promise.race([server.exit.then(() => true), sleep(4000).then(() => false)]);
    if (hasEnded) await this.#again(() => this.#world.restartServer(number));
  }

  /** Without a broker or a database neither starts; whoever supervises them tries again. */
  async #again(start: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        return await start();
      } catch (error) {
        if (!/cluster\.nats|PostgreSQL|database/.test(String(error))) throw error;
        await sleep(300);
      }
    }
  }
}

function part(fault: Fault): string {
  return fault.replace(/(Killed|Stopped|Frozen)$/, "").replace("worker", "agent");
}
