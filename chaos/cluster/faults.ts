/** What happens to a cluster: one fault after the other, each mended before the next one of its kind. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Dice } from "../dice.ts";
import { cutAgent, cutOff, disturbed, holdAgent, holdAgentOneWay, slowDown } from "./link-faults.ts";
import * as processes from "./process-faults.ts";
import type { ClusterWorld, Hit } from "./world.ts";

/** The part of the cluster that a fault is about: no two of one part happen at once. */
type Part = "agent" | "agent's link" | "messages" | "clock" | "nats" | "server" | "postgres";

interface Kind {
  readonly words: string;
  readonly part: Part;
  readonly weight: number;
  /** Only where there are several servers, and PostgreSQL. */
  readonly several?: true;
  readonly inflict: (hit: Hit) => void | Promise<void>;
}

const several = true;

const KINDS: readonly Kind[] = [
  { words: "agents killed", part: "agent", weight: 4, inflict: processes.killAgent },
  { words: "agents stopped", part: "agent", weight: 2, inflict: processes.stopAgent },
  { words: "agents frozen", part: "agent", weight: 4, inflict: processes.freezeAgent },
  { words: "workers killed", part: "agent", weight: 2, inflict: processes.killWorker },
  { words: "agents' connections cut", part: "agent's link", weight: 2, inflict: cutAgent },
  { words: "agents' connections half open", part: "agent's link", weight: 2, inflict: holdAgent },
  { words: "agents' connections half open one way", part: "agent's link", weight: 2, inflict: holdAgentOneWay },
  { words: "connections to NATS slow", part: "messages", weight: 1, inflict: slowDown },
  { words: "times with messages lost", part: "messages", weight: 2, inflict: disturbed("lost") },
  { words: "times with messages doubled", part: "messages", weight: 1, inflict: disturbed("doubled") },
  { words: "times with messages out of order", part: "messages", weight: 2, inflict: disturbed("late") },
  { words: "clocks set", part: "clock", weight: 3, inflict: processes.setClock },
  { words: "NATS servers killed", part: "nats", weight: 2, inflict: processes.killNats },
  { words: "NATS servers restarted", part: "nats", weight: 1, inflict: processes.restartNats },
  { words: "NATS servers frozen", part: "nats", weight: 1, inflict: processes.freezeNats },
  { words: "servers killed", part: "server", weight: 4, inflict: processes.killServer },
  { words: "servers stopped", part: "server", weight: 1, inflict: processes.stopServer },
  { words: "servers frozen", part: "server", weight: 4, inflict: processes.freezeServer },
  { words: "servers cut off from NATS", part: "server", weight: 2, inflict: cutOff(({ nats }) => [nats]) },
  {
    words: "servers cut off from PostgreSQL",
    part: "server",
    weight: 3,
    several,
    inflict: cutOff(({ postgres }) => [postgres!]),
  },
  {
    words: "servers cut off from PostgreSQL one way",
    part: "server",
    weight: 2,
    several,
    inflict: cutOff(({ postgres }) => [postgres!], true),
  },
  {
    words: "servers cut off from both",
    part: "server",
    weight: 2,
    several,
    inflict: cutOff(({ nats, postgres }) => [nats, postgres!]),
  },
  {
    words: "servers cut off from each other",
    part: "server",
    weight: 1,
    several,
    inflict: cutOff(({ http }) => [http]),
  },
  { words: "PostgreSQL killed", part: "postgres", weight: 2, several, inflict: processes.killPostgres },
  { words: "PostgreSQL restarted", part: "postgres", weight: 1, several, inflict: processes.restartPostgres },
  { words: "PostgreSQL frozen", part: "postgres", weight: 1, several, inflict: processes.freezePostgres },
];

/** A fault while it lasted, in Unix milliseconds. */
export interface Happened {
  readonly words: string;
  readonly part: Part;
  readonly from: number;
  /** Infinity: it is not mended yet. */
  to: number;
}

export class Faults {
  readonly happened: Happened[] = [];
  readonly #counts = new Map<Kind, number>();
  readonly #world: ClusterWorld;
  readonly #dice: Dice;
  readonly #choices: readonly (readonly [number, Kind])[];

  constructor(world: ClusterWorld, dice: Dice) {
    this.#world = world;
    this.#dice = dice;
    const possible = KINDS.filter((kind) => kind.several === undefined || world.postgres !== null);
    this.#choices = possible.map((kind) => [kind.weight, kind] as const);
    for (const kind of possible) this.#counts.set(kind, 0);
  }

  get sum(): number {
    return this.happened.length;
  }

  /** How often each kind has happened. */
  get words(): string {
    return Array.from(this.#counts, ([{ words }, count]) => `${count} ${words}`).join(", ");
  }

  /** Those that are not mended yet, with their seconds. */
  get underWay(): string {
    const open = this.happened.filter(({ to }) => to === Infinity);
    return open.map(({ words, from }) => `${words} for ${Math.round((Date.now() - from) / 1000)} s`).join(", ");
  }

  /** Does one thing, and mends it. Two may overlap: a machine dies while the server is gone. */
  async strike(): Promise<void> {
    const first = this.#dice.weigh(this.#choices);
    const second = this.#dice.chance(0.4) ? this.#dice.weigh(this.#choices) : first;
    await Promise.all([this.#do(first), second.part === first.part ? null : this.#do(second)]);
    await processes.reviveServers(this.#world);
    await sleep(this.#dice.between(100, 1500));
  }

  async #do(kind: Kind): Promise<void> {
    this.#counts.set(kind, this.#counts.get(kind)! + 1);
    const happened: Happened = { words: kind.words, part: kind.part, from: Date.now(), to: Infinity };
    this.happened.push(happened);
    await kind.inflict({ world: this.#world, dice: this.#dice.fork() });
    happened.to = Date.now();
  }
}
