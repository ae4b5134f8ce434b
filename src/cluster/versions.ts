/** Which messages of others can be read at all. */
import { AGENT_SPEAKS, type Beat, type FromAgent, PROTOCOL, SPOKEN } from "./messages.ts";

/** @returns why the news of an agent cannot be read, the rest of a sentence; null: they can */
export function versionFault(version: unknown): string | null {
  if (SPOKEN.includes(version as number)) return null;
  if (typeof version !== "number") return "it names no version of the messages";
  const mend = version > PROTOCOL ? "upgrade this server first, then the agents" : "upgrade the agent";
  return `its agent speaks version ${version} of the messages, this server ${listed(SPOKEN)}: ${mend}`;
}

/** The latest version in which an agent can speak with a server; null: there is none. @param speaks what the server says that it speaks */
export function commonVersion(speaks: unknown): number | null {
  if (!Array.isArray(speaks)) return null;
  return AGENT_SPEAKS.findLast((version) => speaks.includes(version)) ?? null;
}

export function listed(versions: readonly number[]): string {
  return versions.length < 2 ? versions.join() : `${versions.slice(0, -1).join(", ")} and ${versions.at(-1)}`;
}

/** @returns why the news of an agent is for another server, the rest of a sentence; null: it is not */
export function clusterFault({ cluster }: FromAgent, own: string): string | null {
  if (cluster === undefined || cluster === null || cluster === own) return null;
  return `it serves another cluster (${cluster}) until its agent is started anew`;
}

/** Whether a message is what a server says that leads. */
export function isBeat(message: object): message is Beat {
  const { epoch, leader, cluster } = message as Partial<Record<keyof Beat, unknown>>;
  const isNamed = cluster === undefined || (typeof cluster === "string" && cluster.length <= 100);
  return Number.isSafeInteger(epoch) && typeof leader === "string" && leader.length <= 100 && isNamed;
}
