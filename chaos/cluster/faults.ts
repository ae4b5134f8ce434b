/** What happens to a cluster: two faults at once at times, each mended before the next one of its part. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Dice } from "../dice.ts";
import { cutAgent, cutOff, disturbed, holdAgent, slowDown } from "./link-faults.ts";
import * as processes from "./process-faults.ts";
import type { Happened } from "./losses.ts";
import type { ClusterWorld, Hit, Post, Seat } from "./world.ts";

/** Milliseconds of rest after a fault, at most, of each hand that makes them: the second one leaves the first one alone at times. */
const RESTS = [1500, 5000];

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
  { words: "agents' connections half open", part: "agent's link", weight: 2, inflict: holdAgent() },
  { words: "agents' connections half open one way", part: "agent's link", weight: 2, inflict: holdAgent(true) },
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

/** A fault that was decided on. */
interface Decided {
  readonly kind: Kind;
  readonly dice: Dice;
}

export class Faults {
  readonly happened: Happened[] = [];
  readonly #counts = new Map<Kind, number>();
  readonly #world: ClusterWorld;
  readonly #dice: Dice;
  readonly #choices: readonly (readonly [number, Kind])[];
  readonly #busy = new Set<Part>();
  /** Until their parts are free. */
  readonly #putOff: Decided[] = [];

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

  /** Does and mends so many faults. Two may overlap: a machine dies while the server is gone. */
  async strike(wanted: number): Promise<void> {
    const hand = async (rest: number): Promise<void> => {
      const dice = this.#dice.fork();
      while (this.sum < wanted) {
        const decided = this.#next();
        await this.#holding(decided.kind.part, () => this.#do(decided));
        // While a fault of servers is under way, they are revived after it.
        if (!this.#busy.has("server")) await this.#holding("server", () => processes.reviveServers(this.#world));
        await sleep(dice.between(100, rest));
      }
    };
    await Promise.all(RESTS.map(hand));
  }

  async #holding(part: Part, work: () => Promise<void>): Promise<void> {
    this.#busy.add(part);
    await work();
    this.#busy.delete(part);
  }

  /** A seed decides on the same faults, though their order may be another one. */
  #next(): Decided {
    const isFree = ({ kind }: Decided): boolean => !this.#busy.has(kind.part);
    const at = this.#putOff.findIndex(isFree);
    if (at >= 0) return this.#putOff.splice(at, 1)[0]!;
    for (;;) {
      const decided = { kind: this.#dice.weigh(this.#choices), dice: this.#dice.fork() };
      if (isFree(decided)) return decided;
      this.#putOff.push(decided);
    }
  }

  async #do({ kind, dice }: Decided): Promise<void> {
    this.#counts.set(kind, this.#counts.get(kind)! + 1);
    const silenced = new Set<Seat | Post>();
    const happened: Happened = { words: kind.words, from: Date.now(), to: Infinity, silenced };
    this.happened.push(happened);
    await kind.inflict({ world: this.#world, dice, silenced });
    happened.to = Date.now();
  }
}
