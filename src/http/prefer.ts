import type { FastifyReply } from "fastify";
import { MAX_WAIT } from "./schemas/common.ts";

/** `wait`, its value bare or quoted, as one preference of a list; parameters of its own may follow. */
const WAIT = /(?:^|,)\s*wait\s*=\s*(?:(\d{1,9})|"(\d{1,9})")\s*(?=[,;]|$)/i;

/**
 * The seconds of `Prefer: wait=30` (RFC 7240, section 4.3).
 * @returns undefined when there is no such preference, or one that makes no sense: a server ignores what it cannot honour
 */
export function preferredWait(header: string | string[] | undefined): number | undefined {
  if (header === undefined) return undefined;
  const [, bare, quoted] = WAIT.exec(String(header)) ?? [];
  const seconds = bare ?? quoted;
  return seconds === undefined ? undefined : Number(seconds);
}

/** The seconds that a request is held, of those it wants: at most `MAX_WAIT`. The answer says so. */
export function applyWait(wanted: number, reply: FastifyReply): number {
  const seconds = Math.min(wanted, MAX_WAIT);
  reply.header("preference-applied", `wait=${seconds}`);
  return seconds;
}
