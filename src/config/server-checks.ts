/** Rules of the section `server` that a schema cannot say. */
import { isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";
import { shown } from "../common/validation.ts";
import { finding, type Finding } from "./findings.ts";
import { SYSTEM } from "../common/system.ts";
import { MAX_PATH } from "../common/unix-socket.ts";
import { ENTRY_WORDS, isEntry } from "../webhooks/destinations.ts";
import type { Config } from "./schema.ts";

/** In `server.trust_proxy`: whoever connects to `server.socket`. */
export const UNIX_PEERS = "unix";

const HOST = ["server", "host"];

/** Beginnings of the server's paths, also of those that it understands without their beginning. */
const OWN_BEGINNINGS = new Set(
  "api auth v1 dashboard docs livez readyz healthz metrics openapi.json chat completions embeddings models responses".split(
    " ",
  ),
);

/** The part of a base path that cannot be there; null: there is none. */
function reservedPart(path: string): string | null {
  const parts = path.split("/").filter((part) => part !== "");
  const dots = parts.find((part) => /^\.\.?$/.test(part));
  return dots ?? parts.slice(0, 1).find((part) => OWN_BEGINNINGS.has(part.toLowerCase())) ?? null;
}

export function* checkServer(config: Config): Iterable<Finding> {
  const { server, auth } = config;
  const { tls, base_path } = server;
  const { cert, key } = tls;
  yield* checkHosts(server);
  yield* checkSocket(server);
  if ((cert === undefined) !== (key === undefined))
    yield finding(["server", "tls"], "needs both cert and key, or neither.");
  if (tls.client_ca !== undefined && cert === undefined && key === undefined)
    yield finding(["server", "tls", "client_ca"], "is set, but without cert and key there is no TLS.");
  const reserved = reservedPart(base_path);
  if (reserved !== null)
    yield finding(
      ["server", "base_path"],
      `must not have ${shown(reserved)} in this place, which has a meaning of its own; got ${shown(base_path)}.`,
    );
  if (!auth.enabled && isReachable(server)) {
    const open = hostsOf(server).filter((host) => !isLoopback(host));
    const sentence = `is false, which is honoured only on a loopback address; server.host is ${open.join(", ")}.`;
    yield finding(["auth", "enabled"], sentence, HOST);
  }
}

function* checkHosts({ host, socket }: Config["server"]): Iterable<Finding> {
  const hosts = [host].flat();
  for (const [index, one] of hosts.entries()) {
    const path = typeof host === "string" ? HOST : [...HOST, index];
    if (one.includes("/"))
      yield finding(
        path,
        `must be an address or a host's name; got ${shown(one)} (server.socket is for a Unix socket).`,
      );
    else if (one.includes(":") && !isIPv6(one))
      yield finding(path, `must be an address or a host's name, without a port; got ${shown(one)}.`);
    else if (hosts.indexOf(one) < index) yield finding(path, `names ${shown(one)} twice.`);
  }
  if (hosts.length === 0 && socket === undefined)
    yield finding(HOST, "is an empty list, and there is no server.socket: the server would listen nowhere.");
}

const SOCKET = ["server", "socket"];

function* checkSocket({ host, socket, tls }: Config["server"]): Iterable<Finding> {
  if (socket === undefined) return;
  if (SYSTEM.localServers !== "sockets") yield finding(SOCKET, "is not offered on this system; use server.host.");
  const bytes = Buffer.byteLength(socket);
  if (bytes > MAX_PATH) yield finding(SOCKET, `has ${bytes} bytes, and a socket's path may have ${MAX_PATH}.`);
  if ([host].flat().length === 0 && tls.cert !== undefined)
    yield finding(
      ["server", "tls"],
      "has no use: the server listens on server.socket only, which is not encrypted.",
      HOST,
    );
}

export function* checkProxies({ server: { trust_proxy } }: Config): Iterable<Finding> {
  if (typeof trust_proxy === "boolean") return;
  for (const [index, text] of trust_proxy.entries()) {
    if (text === UNIX_PEERS || ipaddr.isValid(text) || ipaddr.isValidCIDR(text)) continue;
    const sentence = `must be an address, a network, like 10.0.0.0/8, or unix; got ${shown(text)}.`;
    yield finding(["server", "trust_proxy", index], sentence);
  }
}

/** Entries of the lists for webhooks have to be names, addresses and networks. */
export function* checkWebhooks({ webhooks }: Config): Iterable<Finding> {
  for (const list of ["allow", "deny"] as const)
    for (const [index, text] of webhooks[list].entries())
      if (!isEntry(text)) yield finding(["webhooks", list, index], `must be ${ENTRY_WORDS}; got ${shown(text)}.`);
}

/** Whether only this machine can reach a server that listens on `host`. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** The addresses that a server listens on. */
export function hostsOf({ host }: Pick<Config["server"], "host">): readonly string[] {
  return typeof host === "string" ? [host] : host;
}

/** Whether other machines may reach a server. */
export function isReachable(server: Pick<Config["server"], "host">): boolean {
  return hostsOf(server).some((host) => !isLoopback(host));
}

/** Whether what it is sent crosses the network in clear text, as far as it can know: a proxy that is named may do TLS. */
export function isExposed({ host, tls, trust_proxy }: Config["server"]): boolean {
  return isReachable({ host }) && tls.cert === undefined && trust_proxy === false;
}
