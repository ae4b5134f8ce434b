/** The epoch with which a server leads, and what it does when agents say that they obey another one. */
import type { Logger } from "pino";
import { messageOf } from "../errors.ts";
import { type GpuIds, MOST_EPOCH } from "./gpu-ids.ts";
import { MOST_MISSED } from "./messages.ts";

export interface LeadershipParts {
  readonly ids: GpuIds;
  readonly log: Logger;
  /** Whether the store lets one server at a time use it, wherever that is: then nobody else leads when this one starts. */
  readonly isAlone: boolean;
  /** Another server has led since, so this one may not any more. @param why one sentence */
  superseded(why: string): void;
}

export class Leadership {
  readonly #parts: LeadershipParts;
  readonly #ledOn: () => void;
  #epoch: number;
  /** The highest epoch that agents say they obey, and the ticks since they do; null: it is this server's. */
  #later: { readonly machine: string; epoch: number; ticks: number } | null = null;

  /** @param ledOn its epoch is another one now */
  constructor(parts: LeadershipParts, ledOn: () => void) {
    this.#parts = parts;
    this.#ledOn = ledOn;
    this.#epoch = parts.ids.nextEpoch();
  }

  get epoch(): number {
    return this.#epoch;
  }

  /**
   * A server on another machine may have led before, by a clock that is ahead of this one's.
   * @param epoch higher than this server's
   * @throws {Error} no server has such an epoch
   */
  onLater(machine: string, epoch: number, isStarting: boolean): void {
    const { isAlone, superseded } = this.#parts;
    if (epoch > MOST_EPOCH) throw new Error(`no server leads with epoch ${epoch}`);
    if (!isAlone) {
      const other = `a server that began to lead later (epoch ${epoch}, this one has ${this.#epoch})`;
      return superseded(`Machine ${machine} obeys ${other}.`);
    }
    this.#later ??= { machine, epoch, ticks: 0 };
    this.#later.epoch = Math.max(this.#later.epoch, epoch);
    if (isStarting) this.#leadOn();
  }

  /** A server that was frozen hears from its store meanwhile that another one leads, and ends. */
  tick(): void {
    if (this.#later !== null && ++this.#later.ticks > MOST_MISSED) this.#leadOn();
  }

  /** The store says that no other server leads, so what an agent says of one is of the past, or a lie. */
  #leadOn(): void {
    const { machine, epoch } = this.#later!;
    const { ids, log } = this.#parts;
    this.#later = null;
    try {
      this.#epoch = ids.nextEpoch(epoch);
    } catch (error) {
      return log.error({ err: error, machine }, `this server cannot lead on: ${messageOf(error)}`);
    }
    log.warn({ machine, epoch }, "a machine obeyed another server that has led; this one leads on");
    this.#ledOn();
  }
}
