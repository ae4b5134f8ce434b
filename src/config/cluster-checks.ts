/** Rules of the section `cluster` that a schema cannot say. */
import { finding, type Finding } from "./findings.ts";
import type { Config } from "./schema.ts";
import { isLoopback, isReachable } from "./server-checks.ts";

export function* checkCluster(config: Config): Iterable<Finding> {
  const { nats, operator_key, signing_key } = config.cluster;
  const unfit = faultOfAddress(config);
  if (unfit !== null) yield finding(["cluster", "address"], unfit, ["server", "host"], ["server", "tls"]);
  if (operator_key !== undefined && signing_key === undefined)
    yield finding(["cluster", "operator_key"], "needs cluster.signing_key: the account whose machines it locks out.", [
      "cluster",
      "signing_key",
    ]);
  const fault = nats === undefined ? null : faultOfNats(nats);
  if (fault !== null) yield finding(["cluster", "nats"], fault);
}

/** Why other servers of the cluster should not reach this one where they would, as the rest of a sentence; null: they may. */
function faultOfAddress({ cluster: { nats, address }, store, server }: Config): string | null {
  if (address !== undefined && !URL.canParse(address)) return "is no address.";
  if (nats === undefined || store.url === undefined) return null;
  const { protocol, hostname } = new URL(address ?? "https://localhost");
  if (protocol === "http:" && !isLoopback(hostname.replace(/^\[|\]$/g, "")))
    return `names ${hostname}, which is beyond this machine: write https:// in the place of http://. Keys and prompts travel there.`;
  return address === undefined && isReachable(server) && server.tls.cert === undefined ? UNENCRYPTED : null;
}

const UNENCRYPTED =
  "is missing, and this server listens beyond this machine without TLS, by which the other servers of its cluster would send it keys and prompts. Set server.tls, or an address that begins with https://; one of this machine, like http://127.0.0.1:8642, is for servers that are all on it.";

/** The addresses of `cluster.nats`, or in the one word of `--join`, with commas between them. */
export function natsUrls(nats: string | readonly string[]): readonly string[] {
  return typeof nats === "string" ? nats.split(/,(?=[a-z+]+:\/\/)/) : nats;
}

/** Why these cannot be the addresses of the NATS servers of a cluster, as the rest of a sentence; null: they can. */
export function faultOfNats(nats: string | readonly string[]): string | null {
  const urls = natsUrls(nats);
  const fault = urls.map(faultOfUrl).find((one) => one !== null);
  if (fault !== undefined) return fault;
  const [first, ...others] = urls.map(waysOf);
  // They are one NATS cluster, and one client asks each of them in the same way.
  const isOther = others.some((other) => other !== first);
  return isOther ? "has addresses that differ in more than host and port: all need the same protocol and login." : null;
}

/** How the NATS server of an address is asked, wherever it is. */
function waysOf(url: string): string {
  const { protocol, username, password } = new URL(url);
  return [protocol === "nats:", username, password].join(" ");
}

/** Prompts travel there. */
function faultOfUrl(url: string): string | null {
  if (!URL.canParse(url)) return "is no address; a password in it has to be percent-encoded.";
  const { protocol, hostname } = new URL(url);
  if (!/^(nats|tls|nats\+tls):$/.test(protocol) || hostname === "")
    return "must be an address like tls://user:password@host:4222.";
  if (protocol !== "nats:" || isLoopback(hostname.replace(/^\[|\]$/g, ""))) return null;
  return `names ${hostname}, which is beyond this machine: write tls:// in the place of nats://.`;
}
