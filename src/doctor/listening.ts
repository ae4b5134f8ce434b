/** Problems of how a server listens that a start would not refuse. */
import { X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { SYSTEM } from "../common/system.ts";
import { wallTime } from "../common/clock.ts";
import { shellWord } from "../common/paste.ts";
import { type Config, isExposed } from "../config/config.ts";
import { basePathOf } from "../http/base-path.ts";
import type { Problem } from "./section.ts";

const DAY = 86_400_000;
/** Milliseconds before its end in which a certificate should have been renewed: half of what programs for that leave. */
const SOON = 14 * DAY;

/** @param now Unix milliseconds, as the wall clock has them */
export function listeningProblems({ server, auth }: Config, now = wallTime()): Problem[] {
  const problems: Problem[] = [...certificateProblems(server.tls, now)];
  const { base_path, trust_proxy, tls } = server;
  if (isExposed(server)) {
    const what = auth.enabled ? "keys, prompts and answers" : "prompts and answers";
    problems.push({
      problem: `The server listens beyond this machine without TLS: ${what} cross the network in clear text. Set server.tls, or name the proxy in front in server.trust_proxy.`,
      mend: null,
    });
  }
  if (basePathOf(server) !== "" && trust_proxy === false && tls.cert === undefined)
    problems.push({
      problem: `server.base_path is ${base_path}, so there is a proxy in front, but server.trust_proxy names none: all its clients count as one.`,
      mend: null,
    });
  return problems;
}

function* certificateProblems({ cert, key }: Config["server"]["tls"], now: number): Iterable<Problem> {
  if (cert === undefined || key === undefined) return;
  const end = endOf(cert);
  if (end !== null && end - now < SOON) {
    const day = new Date(end).toISOString().slice(0, 10);
    const when = end < now ? `has ended on ${day}` : `ends on ${day}`;
    yield {
      problem: `The certificate ${cert} ${when}. Renew it; a running server takes the new one up by itself.`,
      mend: null,
    };
  }
  const mode = SYSTEM.hasShell ? modeOf(key) : 0;
  if ((mode & 0o007) !== 0)
    yield {
      problem: `Every user of this machine may use the private key ${key} (mode ${mode.toString(8)}).`,
      mend: `chmod o= ${shellWord(key)}`,
    };
}

/** Unix milliseconds; null: the file is missing or no certificate, which another part of the page tells. */
function endOf(path: string): number | null {
  try {
    return new X509Certificate(readFileSync(path)).validToDate.getTime();
  } catch {
    return null;
  }
}

function modeOf(path: string): number {
  return (statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & 0o777;
}
