/** The epoch with which a server leads, and what it does when others obey, or have, another one. */
import type { Logger } from "pino";
import { AltLasError, messageOf } from "../errors.ts";
import { type GpuIds, MOST_EPOCH } from "./gpu-ids.ts";
import { type Beat, MOST_MISSED } from "./messages.ts";

export interface LeadershipParts {
  readonly ids: GpuIds;
  readonly log: Logger;
  /** Whether the store lets one server at a time use it, wherever that is: then nobody else leads when this one starts. */
  readonly isAlone: boolean;
  /** Stores the epoch for the next server to lead. Absent: there is no other server. @throws {Error} also where another one leads already */
  readonly share?: () => Promise<void>;
  /** Whether the store has lately said that this server leads; while it cannot be asked, another one may. Absent: it always does. */
  readonly isSure?: () => boolean;
  /** Another server has led since, so this one may not any more. @param why one sentence */
  superseded(why: string): void;
}

export class Leadership {
  readonly #parts: LeadershipParts;
  readonly #ledOn: () => void;
  #epoch: number;
  /** Its next epoch is being stored. */
  #isRising = false;
  /** The highest epoch that others say they obey, or have, and the ticks since they do in which this server was sure, and was not; null: it is this server's. */
  #later: { readonly by: string; isServer: boolean; epoch: number; ticks: number; unsure: number } | null = null;

  /** @param ledOn its epoch is another one now */
  constructor(parts: LeadershipParts, ledOn: () => void) {
    this.#parts = parts;
    this.#ledOn = ledOn;
    this.#epoch = parts.ids.nextEpoch();
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Agents may hear its epoch then: they obey no lower one, so the next server to lead has to know it. @throws {Error} as `share` */
  async begin(): Promise<void> {
    await this.#parts.share?.();
  }

  /**
   * An agent obeys a later epoch. A server may have led before by a clock that is ahead of this one's, or the agent lies: no agent ends a
   * server. One that leads beside this one says so itself.
   * @param epoch higher than this server's
   * @throws {Error} no server has such an epoch
   */
  onLater(by: string, epoch: number, isStarting: boolean): void {
    if (epoch > MOST_EPOCH) throw new Error(`no server leads with epoch ${epoch}`);
    this.#hear(by, epoch, { isServer: false, isStarting });
  }

  /** Of two servers that begin to lead, one cannot be sure: else each would lead on after the other, without end. */
  #hear(by: string, epoch: number, { isServer, isStarting }: Record<"isServer" | "isStarting", boolean>): void {
    if (this.#isRising) return;
    this.#later ??= { by, isServer, epoch, ticks: 0, unsure: 0 };
    this.#later.epoch = Math.max(this.#later.epoch, epoch);
    this.#later.isServer ||= isServer;
    if (isStarting && this.#isSure) void this.#leadOn();
  }

  get #isSure(): boolean {
    return this.#parts.isSure?.() ?? true;
  }

  /**
   * Another server says that it leads.
   * @returns why this one may not start; null: it may
   */
  onOther({ cluster, epoch }: Pick<Beat, "cluster" | "epoch">, isStarting: boolean): AltLasError | null {
    const { isAlone, superseded, ids } = this.#parts;
    const isOurs = cluster === ids.cluster || (cluster === undefined && isAlone);
    if (!isOurs) return new AltLasError("conflict", otherCluster(cluster, ids.cluster));
    if (isAlone) {
      // It may lie, too: above that one there would be no room.
      if (epoch > this.#epoch && epoch <= MOST_EPOCH)
        this.#hear("another server", epoch, { isServer: true, isStarting });
      return null;
    }
    if (isStarting) return new AltLasError("conflict", `${TWO} ${STOP_ONE}`);
    if (epoch > this.#epoch) superseded(`${TWO} It began later (epoch ${epoch}, this one has ${this.#epoch}).`);
    return null;
  }

  /**
   * A server that was frozen hears meanwhile from its store, or from the other one itself, that another one leads, and ends. One that is cut off
   * from its store does not hear that: it would take the agents back from the one that leads now, again and again, and ends when it hears that one.
   */
  tick(): void {
    if (this.#later === null) return;
    if (this.#isSure) {
      this.#later.unsure = 0;
      if (++this.#later.ticks > MOST_MISSED) void this.#leadOn();
      return;
    }
    this.#later.ticks = 0;
    const { isServer, epoch } = this.#later;
    if (isServer && ++this.#later.unsure > UNSURE) this.#parts.superseded(taken(epoch, this.#epoch));
  }

  /** No other server leads, so what is said of one is of the past, or a lie. */
  async #leadOn(): Promise<void> {
    const { by, epoch } = this.#later!;
    const { ids, log } = this.#parts;
    this.#later = null;
    this.#isRising = true;
    try {
      const next = ids.nextEpoch(epoch);
      await this.begin();
      this.#epoch = next;
      log.warn({ by, epoch }, "an agent obeyed another server that has led, or says so; this one leads on");
      this.#ledOn();
    } catch (error) {
      log.error({ err: error, by }, `this server cannot lead on: ${messageOf(error)}`);
    } finally {
      this.#isRising = false;
    }
  }
}

/** Ticks in which a server has heard meanwhile from its database, if it can. */
const UNSURE = 2;
const TWO = "Another server with a copy of this data directory leads this cluster.";
const STOP_ONE =
  "Stop that one first; several servers of one cluster need a PostgreSQL database (store.url) in common.";

function taken(epoch: number, own: number): string {
  return `Another server has led the cluster since this one lost its connection to the database (epoch ${epoch}, this one has ${own}).`;
}

function otherCluster(other: string | undefined, own: string): string {
  const named =
    other === undefined ? "A server of another version of ALT_LAS" : `The server of another cluster (${other})`;
  return `${named} uses this NATS server (cluster.nats); this one is of the cluster ${own}. Give each cluster a NATS server, or a NATS account, of its own.`;
}
