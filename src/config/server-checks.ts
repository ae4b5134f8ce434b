/** Rules of the section `server` that a schema cannot say. */
import { isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";
import { shown } from "../common/validation.ts";
import { finding, type Finding } from "./findings.ts";
import type { Config } from "./schema.ts";

const HOST = ["server", "host"];

/** What paths of the server begin with, also those that it understands without their beginning. */
const OWN_BEGINNINGS = new Set(
  "api v1 dashboard docs livez readyz healthz metrics openapi.json chat completions embeddings models responses".split(
    " ",
  ),
);

/** The part of a base path that cannot be there; null: there is none. */
function reservedPart(path: string): string | null {
  const parts = path.split("/").filter((part) => part !== "");
  const dots = parts.find((part) => /^\.\.?$/.test(part));
  return dots ?? parts.slice(0, 1).find((part) => OWN_BEGINNINGS.has(part.toLowerCase())) ?? null;
}

export function* checkServer({ server: { host, tls, base_path }, auth }: Config): Iterable<Finding> {
  const { cert, key } = tls;
  if (host.includes("/"))
    yield finding(HOST, `must be an address or a host's name; got ${shown(host)} (Unix sockets are not offered).`);
  else if (host.includes(":") && !isIPv6(host))
    yield finding(HOST, `must be an address or a host's name, without a port; got ${shown(host)}.`);
  if ((cert === undefined) !== (key === undefined))
    yield finding(["server", "tls"], "needs both cert and key, or neither.");
  const reserved = reservedPart(base_path);
  if (reserved !== null)
    yield finding(
      ["server", "base_path"],
      `must not have ${shown(reserved)} in this place, which has a meaning of its own; got ${shown(base_path)}.`,
    );
  if (!auth.enabled && !isLoopback(host)) {
    const sentence = `is false, which is honoured only on a loopback address; server.host is ${host}.`;
    yield finding(["auth", "enabled"], sentence, HOST);
  }
}

export function* checkProxies({ server: { trust_proxy } }: Config): Iterable<Finding> {
  if (typeof trust_proxy === "boolean") return;
  for (const [index, text] of trust_proxy.entries()) {
    if (ipaddr.isValid(text) || ipaddr.isValidCIDR(text)) continue;
    const sentence = `must be an address or a network, like 10.0.0.0/8; got ${shown(text)}.`;
    yield finding(["server", "trust_proxy", index], sentence);
  }
}

/** Whether only this machine can reach a server that listens on `host`. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}
