/** Keeps proxies from taking quiet connections for dead ones. */
import { InFlight } from "../common/in-flight.ts";

/** Milliseconds between two pings of one stream. */
const PERIOD = 15_000;
/** 10,000 streams at once would hold up everything else for a tenth of a second, so they take turns. */
const TURNS = 150;
const LATER_TURNS = TURNS / 2;

export interface Pinged {
  ping(): void;
}

/** One timer for all streams, which exists only while there are any. */
export class Pings {
  readonly #turns = Array.from({ length: TURNS }, () => new InFlight<number, Pinged>());
  #timer: NodeJS.Timeout | null = null;
  #turn = 0;
  #next = 0;
  #size = 0;

  /**
   * Pings a stream until what is returned is called, which may be called once. The first ping comes after half of the period or later, as
   * the stream has just begun. These later turns are dealt one by one, so that a crowd of streams is spread.
   */
  add(stream: Pinged): () => void {
    const number = this.#next++;
    const turn = this.#turns[(this.#turn + LATER_TURNS + (number % LATER_TURNS)) % TURNS]!;
    turn.set(number, stream);
    this.#size++;
    this.#timer ??= setInterval(() => this.#pingTurn(), PERIOD / TURNS);
    return () => {
      turn.delete(number);
      if (--this.#size > 0 || this.#timer === null) return;
      clearInterval(this.#timer);
      this.#timer = null;
    };
  }

  #pingTurn(): void {
    for (const stream of this.#turns[this.#turn]!.values()) stream.ping();
    this.#turn = (this.#turn + 1) % TURNS;
  }
}
