/** An agent's log lines about servers that it cannot obey, about one whose clock is another, and about one that it does not hear: once for each. */
import type { Logger } from "pino";
import { wallTime } from "../common/clock.ts";
import type { Bus } from "./bus.ts";
import { AGENT_SPEAKS, BEAT_MS, type Beat } from "./messages.ts";
import { listed } from "./versions.ts";

/** Milliseconds by which two clocks may differ before it is said. */
export const MOST_APART = 10_000;
/** Ticks without a sign of life of a server, and it is said: 10 s, in which another server has begun to lead. */
const MOST_SILENT = 10_000 / BEAT_MS;

export class Strangers {
  readonly #log: Logger;
  readonly #said = new Set<string>();
  #isApart = false;
  /** Ticks since a server was heard that is obeyed. */
  #silent = 0;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** A server that does not speak this agent's version of the messages. */
  onVersion({ speaks }: Pick<Beat, "speaks">): void {
    const its = Array.isArray(speaks) ? listed(speaks) : "1";
    const isOlder = !Array.isArray(speaks) || speaks.every((version) => version < AGENT_SPEAKS[0]!);
    const mend = isOlder ? "upgrade that server" : "upgrade this agent";
    this.#say(
      `version ${its}`,
      `a server speaks version ${its} of the messages between servers and agents, this agent ${listed(AGENT_SPEAKS)}: ${mend}`,
    );
  }

  onCluster(cluster: string, own: string): void {
    this.#say(
      `cluster ${cluster}`,
      `the server of another cluster (${cluster}) uses this NATS server, too; it is not obeyed. This agent serves ${own} until it is started anew.`,
    );
  }

  /** A sign of life is due. */
  tick({ isUp, at }: Pick<Bus, "isUp" | "at">): void {
    if (!isUp || ++this.#silent !== MOST_SILENT) return;
    this.#log.warn(
      `no server that leads has been heard over NATS at ${at} for 10 s: either none leads, or the servers use other NATS servers (cluster.nats)`,
    );
  }

  /** @param at the wall clock of the server that is obeyed */
  onBeat(at: number | undefined): void {
    if (this.#silent >= MOST_SILENT) this.#log.info("a server that leads is heard again");
    this.#silent = 0;
    if (typeof at !== "number") return;
    const seconds = Math.round((wallTime() - at) / 1000);
    const isApart = Math.abs(seconds) * 1000 > MOST_APART;
    if (isApart === this.#isApart) return;
    this.#isApart = isApart;
    if (isApart) this.#log.warn({ seconds }, apart("this machine", seconds));
  }

  #say(about: string, sentence: string): void {
    if (this.#said.has(about) || this.#said.size > 100) return;
    this.#said.add(about);
    this.#log.error(sentence);
  }
}

/** @param seconds by which its clock is ahead of the server's */
export function apart(what: string, seconds: number): string {
  const way = seconds > 0 ? "ahead of" : "behind";
  return `The clock of ${what} is ${Math.abs(seconds)} s ${way} the server's: set it by NTP. Times of its events are wrong, and certificates may be refused.`;
}
