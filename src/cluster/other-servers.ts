/** Other servers that lead over the same NATS server, and say so. */
import { setTimeout as sleep } from "node:timers/promises";
import type { AltLasError } from "../errors.ts";
import type { Bus } from "./bus.ts";
import type { Complaints } from "./complaints.ts";
import type { Leadership } from "./leadership.ts";
import { BEATS, LEADERS } from "./messages.ts";
import { isBeat } from "./versions.ts";

/** Other servers that are answered: names are made up easily. */
const MOST = 64;

export class OtherServers {
  readonly #bus: Bus;
  readonly #leadership: Leadership;
  readonly #complaints: Complaints;
  readonly #answer: () => void;
  readonly #known = new Set<string>();
  /** Refuses a start; null: it is over. */
  #refuse: ((why: AltLasError) => void) | null = null;

  /** @param answer tells all that this server leads */
  constructor(bus: Bus, leadership: Leadership, complaints: Complaints, answer: () => void) {
    this.#bus = bus;
    this.#leadership = leadership;
    this.#complaints = complaints;
    this.#answer = answer;
  }

  /** Begins a start. @param refuse refuses it; not called after `started` @returns what ends listening */
  listen(refuse: (why: AltLasError) => void): () => void {
    this.#refuse = refuse;
    return this.#bus.listen(BEATS, (message) => this.#hear(message));
  }

  /** Asks who leads. Nobody has been told by then that this server does: agents would turn away from one that leads rightly. @param patience milliseconds */
  async ask(patience: number): Promise<void> {
    const nobody = new AbortController();
    this.#bus.send(LEADERS, {}, () => nobody.abort());
    await sleep(patience, undefined, { signal: nobody.signal }).catch(() => {});
  }

  /** Answers those that ask. @returns what ends it */
  answer(): () => void {
    return this.#bus.listen(LEADERS, () => this.#answer());
  }

  /** From now on nobody refuses it. */
  started(): void {
    this.#refuse = null;
  }

  #hear(message: object): void {
    if (!isBeat(message)) return;
    // It hears at once that this one leads, and does not wait for the next sign of life.
    if (!this.#known.has(message.leader) && this.#known.size < MOST) {
      this.#known.add(message.leader);
      if (this.#refuse === null) this.#answer();
    }
    const why = this.#leadership.onOther(message, this.#refuse !== null);
    if (why === null) return;
    if (this.#refuse === null) this.#complaints.sayOf("cluster.nats", why.message);
    else this.#refuse(why);
  }
}
