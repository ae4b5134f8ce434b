/**
 * Whether a server that stands by hears, over its own NATS servers, the one that leads. One that does not may have other NATS servers, or be cut
 * off from them: it would reach no agent of that one if it led. Where it hears the agents, it is the leader that is cut off. Time is counted in
 * looks at the database in which the leader lives.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { AltLasError } from "../errors.ts";
import type { Bus } from "./bus.ts";
import { BEAT_MS, BEATS, type FromAgent, newsOf } from "./messages.ts";
import type { Leader } from "./role.ts";
import { isBeat } from "./versions.ts";

export interface HearingParts {
  readonly bus: Bus;
  /** The id of the cluster. */
  readonly cluster: string | undefined;
  readonly log: Pick<Logger, "error" | "info" | "warn">;
  /** The addresses of the leader's NATS servers, as `Bus.at`; null: it has told none. @throws {AltLasError} the database cannot be asked */
  leadersNats(): Promise<string | null>;
}

/** Looks in which the leader lived and was not heard, and it is told: 15 s. A server that begins to lead is silent for a while. */
const MOST_SILENT = 60;
/** Looks in which the leader was not heard, and agents are listened to: they say much. */
const SOME_SILENT = 30;
/** Looks for which a server that is deaf leaves the lead to others: 5 s. */
const HOLD_BACK = 20;
/** Milliseconds for which a start waits for a sign of life. */
const PATIENCE = 10 * BEAT_MS;

export class Hearing {
  readonly #parts: HearingParts;
  readonly #end: () => void;
  #heard = Promise.withResolvers<void>();
  /** Ends listening to agents; null: they are not listened to. */
  #endAgents: (() => void) | null = null;
  #hearsAgents = false;
  /** Whether there is one NATS server, and the leader has the same. */
  #isShared = false;
  /** Looks since the leader was heard. */
  #silent = 0;
  /** Looks for which it could have led, and did not. */
  #heldBack = 0;
  #isCut = false;

  constructor(parts: HearingParts) {
    this.#parts = parts;
    this.#end = parts.bus.listen(BEATS, (message) => {
      if (isBeat(message) && (message.cluster ?? parts.cluster) === parts.cluster) this.#hear();
    });
  }

  /** Refuses the start of a server whose NATS servers are none of the leader's. @throws {AltLasError} `conflict` */
  async check({ url }: Pick<Leader, "url">, patience = PATIENCE): Promise<void> {
    const { bus, leadersNats } = this.#parts;
    const its = await leadersNats();
    if (its === null || areShared(bus.at, its)) return;
    const over = new AbortController();
    const late = sleep(patience, "late", { signal: over.signal });
    // One NATS cluster may have other names here. The leader may be cut off from it, but hardly all agents, too.
    this.#listenToAgents();
    const first = await Promise.race([late, this.#heard.promise]);
    over.abort();
    this.#leaveAgents();
    if (first === "late") throw new AltLasError("conflict", sentenceOf(url, bus.at, its));
  }

  /** A look at the database. @param leader the server that leads, and lives; null: none does, as far as is known */
  looked(leader: Pick<Leader, "url"> | null): void {
    this.#heldBack = 0;
    if (leader === null || !this.#parts.bus.isUp) return;
    if (++this.#silent === SOME_SILENT) this.#listenToAgents();
    if (this.#silent === MOST_SILENT) void this.#tell(leader.url);
  }

  /** Asked at each look in which nobody leads: whether this server may. Without NATS it would take running tasks for lost. */
  mayLead(): boolean {
    const { bus, log } = this.#parts;
    if (!bus.isUp) {
      if (!this.#isCut) log.error(`this server does not lead: it has no connection to NATS (${bus.at})`);
      this.#isCut = true;
      return false;
    }
    this.#isCut = false;
    const isDeaf = this.#silent >= MOST_SILENT && !this.#hearsAgents && !this.#isShared;
    return !isDeaf || ++this.#heldBack > HOLD_BACK;
  }

  /** This server leads from now on, or ends. */
  close(): void {
    this.#end();
    this.#leaveAgents();
  }

  #hear(): void {
    this.#heard.resolve();
    this.#leaveAgents();
    if (this.#silent >= MOST_SILENT) this.#parts.log.info("the server that leads is heard over NATS again");
    this.#silent = 0;
  }

  #listenToAgents(): void {
    const { bus, cluster } = this.#parts;
    this.#endAgents ??= bus.listen(newsOf("*"), (message) => {
      if ((message as Partial<FromAgent>).cluster !== cluster) return;
      this.#hearsAgents = true;
      this.#heard.resolve();
    });
  }

  #leaveAgents(): void {
    this.#endAgents?.();
    this.#endAgents = null;
    this.#hearsAgents = false;
  }

  async #tell(url: string): Promise<void> {
    const { bus, log, leadersNats } = this.#parts;
    const its = await leadersNats().catch(() => null);
    if (this.#silent < MOST_SILENT) return;
    this.#isShared = its === bus.at && !its.includes(",");
    if (this.#hearsAgents || (its !== null && areShared(bus.at, its)))
      log.error(
        `The server that leads, ${url}, is not heard over NATS (${bus.at}), though it renews its lease in the database: its way to NATS may be broken, or that of this server.`,
      );
    else log.error(sentenceOf(url, bus.at, its ?? "others"));
  }
}

/** Whether two servers have at least one address in common. Both are as `Bus.at`. */
export function areShared(one: string, other: string): boolean {
  const all = new Set(one.split(","));
  return other.split(",").some((at) => all.has(at));
}

function sentenceOf(leader: string, own: string, its: string): string {
  return `This server uses the NATS servers ${own} (cluster.nats), and hears nothing there of the server that leads, ${leader}, which uses ${its}. All servers of one database need the same NATS servers, or they do not reach each other's agents.`;
}
