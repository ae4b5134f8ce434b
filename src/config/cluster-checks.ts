/** Rules of the section `cluster` that a schema cannot say. */
import { finding, type Finding } from "./findings.ts";
import type { Config } from "./schema.ts";
import { isLoopback } from "./server-checks.ts";

export function* checkCluster({ cluster: { nats, address } }: Config): Iterable<Finding> {
  if (address !== undefined && !URL.canParse(address)) yield finding(["cluster", "address"], "is no address.");
  const fault = nats === undefined ? null : faultOfNats(nats);
  if (fault !== null) yield finding(["cluster", "nats"], fault);
}

/** Why this cannot be the address of the NATS server of a cluster, as the rest of a sentence; null: it can. Prompts travel there. */
export function faultOfNats(url: string): string | null {
  if (!URL.canParse(url)) return "is no address; a password in it has to be percent-encoded.";
  const { protocol, hostname } = new URL(url);
  if (!/^(nats|tls|nats\+tls):$/.test(protocol) || hostname === "")
    return "must be an address like tls://user:password@host:4222.";
  if (protocol !== "nats:" || isLoopback(hostname.replace(/^\[|\]$/g, ""))) return null;
  return `names ${hostname}, which is beyond this machine: write tls:// in the place of nats://.`;
}
