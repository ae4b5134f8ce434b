/** Which messages of others can be read at all. */
import { type Beat, PROTOCOL, SPOKEN } from "./messages.ts";

/** @returns why the news of an agent cannot be read, the rest of a sentence; null: they can */
export function versionFault(version: unknown): string | null {
  if (SPOKEN.includes(version as number)) return null;
  if (typeof version !== "number") return "it names no version of the messages";
  const mend = version > PROTOCOL ? "upgrade this server first, then the agents" : "upgrade the agent";
  return `its agent speaks version ${version} of the messages, this server ${SPOKEN.join(" and ")}: ${mend}`;
}

/** Whether a message is what a server says that leads. */
export function isBeat(message: object): message is Beat {
  const { epoch, leader, cluster } = message as Partial<Record<keyof Beat, unknown>>;
  const isNamed = cluster === undefined || (typeof cluster === "string" && cluster.length <= 100);
  return Number.isSafeInteger(epoch) && typeof leader === "string" && leader.length <= 100 && isNamed;
}
