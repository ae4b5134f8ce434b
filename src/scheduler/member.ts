import type { CardFacts, InstanceFacts } from "../gpu/facts.ts";
import type { WhyNot } from "../reasons.ts";
import type { Task } from "../task.ts";
import { Pace } from "./pace.ts";
import { freeMemoryOf, type Instance, loadOf, obstacle, runsSuspect } from "./placement.ts";
import { Running } from "./running.ts";
import type { Speeds } from "./speeds.ts";

/** An instance with the values that follow from its facts and its tasks. */
export class Member implements Instance {
  // Strategies compare these of hundreds of instances, and the first fields of an object share a cache line.
  load = 0;
  seconds = 0;
  freeMemory = 0;
  /** Tokens of work that it does in the reference span. */
  capacity = 0;
  readonly gpuId: number;
  readonly id: number;
  readonly #speeds: Speeds;
  whyNot: WhyNot | null = null;
  readonly running = new Running();
  readonly pace = new Pace();
  reservedFor: Task | null = null;
  beside = 0;
  isLeaving = false;
  loadedAt: number;
  lastUsedAt: number;
  card: CardFacts;
  facts: InstanceFacts;

  constructor(card: CardFacts, facts: InstanceFacts, now: number, speeds: Speeds) {
    this.#speeds = speeds;
    this.loadedAt = now;
    this.lastUsedAt = now;
    this.gpuId = card.id;
    this.id = facts.id;
    this.card = card;
    this.facts = facts;
    this.freeMemory = freeMemoryOf(this);
  }

  isLoaded(now: number): void {
    this.loadedAt = now;
    this.lastUsedAt = now;
  }

  /** Works out what follows from other facts or speeds. */
  rate(): void {
    this.capacity = this.facts.slots * this.#speeds.span * this.pace.ratio;
    this.settle();
  }

  /** Works out what follows from a change, except the free memory, for which each task would have to be read. */
  settle(): void {
    this.whyNot = this.reservedFor !== null || runsSuspect(this) ? "reserved" : obstacle(this);
    this.load = loadOf(this);
    this.seconds = this.#speeds.isUneven && this.pace.isKnown ? this.pace.secondsBeside(this.running.size) : 0;
  }
}
