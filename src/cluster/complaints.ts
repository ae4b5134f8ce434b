/** Says in the log that a machine cannot be understood: not more than once a minute, as its agent may say the same a thousand times. */
import type { Logger } from "pino";
import { BEAT_MS } from "./messages.ts";

const MINUTE = 60_000 / BEAT_MS;
/** Machines: names are made up easily. */
const MOST = 1024;

export class Complaints {
  readonly #log: Logger;
  readonly #said = new Set<string>();
  #ticks = 0;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** @param why what is wrong */
  say(machine: string, why: string): void {
    if (this.#isNew(machine)) this.#log.error({ machine }, `the news of a machine could not be read: ${why}`);
  }

  /** @param about no machine; its sentence is `sentence` */
  sayOf(about: string, sentence: string): void {
    if (this.#isNew(about)) this.#log.error(sentence);
  }

  #isNew(about: string): boolean {
    if (this.#said.has(about) || this.#said.size >= MOST) return false;
    this.#said.add(about);
    return true;
  }

  tick(): void {
    if (++this.#ticks % MINUTE === 0) this.#said.clear();
  }
}
