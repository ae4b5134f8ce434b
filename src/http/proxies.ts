/** Which address a request really comes from: that of the connection, or behind proxies that are trusted what these say. */
import { timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import ipaddr from "ipaddr.js";
import { type Config, UNIX_PEERS } from "../config/config.ts";
import type { Logger } from "../log/log.ts";

type Range = ReturnType<typeof ipaddr.parseCIDR>;

/**
 * The header by which a server of a cluster passes a request on: a secret of the server that gets it, the client, and what else there is to say. None
 * passes on what has it, so no request goes round. By its name `own-machine.ts` knows that a request is somebody else's.
 */
export const PASSED_ON = "x-forwarded-alt-las";

/** How another server of the cluster passes a request on. */
export interface Passage {
  readonly client: string;
  /** Whether that server can read the output of running tasks where they run. */
  readonly relays: boolean;
  /** Whether it asks for the rest of an answer that it has begun to give. */
  readonly isForRest: boolean;
  /** By which it may have that rest (standby/passes.ts); null: by the client's credentials. */
  readonly pass: string | null;
}

declare module "fastify" {
  interface FastifyRequest {
    passage?: Passage;
  }
}

const RELAYS = "relays";
const REST = /^rest(?:=(.+))?$/;

/** @returns the value of `PASSED_ON` */
export function passedOn(secret: string, { client, relays, isForRest, pass }: Passage): string {
  const rest = pass === null ? "rest" : `rest=${pass}`;
  return [secret, client, ...(relays ? [RELAYS] : []), ...(isForRest ? [rest] : [])].join(" ");
}

/** The proxies of `server.trust_proxy`. */
export class Proxies {
  /** null: every peer is one. */
  readonly #ranges: readonly Range[] | null;
  /** Whether those are that connect to the Unix socket, who have no address. */
  readonly #unix: boolean;
  readonly #secret: Buffer | null;

  /** @param secret by which other servers of the cluster are known, which pass requests on */
  constructor(setting: Config["server"]["trust_proxy"], secret?: string) {
    this.#secret = secret === undefined ? null : Buffer.from(secret);
    this.#ranges = setting === true ? null : (setting || []).filter((one) => one !== UNIX_PEERS).map(rangeOf);
    this.#unix = Array.isArray(setting) && setting.includes(UNIX_PEERS);
  }

  /** Whether an address is that of a proxy, which may say for whom it asks. @param address `""`: on the Unix socket */
  trusts(address: string): boolean {
    if (this.#ranges === null) return true;
    if (address === "") return this.#unix;
    if (this.#ranges.length === 0 || !ipaddr.isValid(address)) return false;
    const parsed = ipaddr.process(address);
    return this.#ranges.some(([network, bits]) => parsed.kind() === network.kind() && parsed.match([network, bits]));
  }

  /** Whether a proxy that may say so has said for whom it asks. */
  isForwarded({ socket, headers }: Pick<IncomingMessage, "socket" | "headers">): boolean {
    if (this.passageOf(headers) !== null) return true;
    return headers["x-forwarded-for"] !== undefined && this.trusts(socket.remoteAddress ?? "");
  }

  /** How another server of the cluster has passed a request on; null: none has. */
  passageOf(headers: IncomingMessage["headers"]): Passage | null {
    const said = this.#secret === null ? undefined : headers[PASSED_ON];
    if (typeof said !== "string") return null;
    const [secret = "", client = "", ...words] = said.split(" ");
    const given = Buffer.from(secret);
    if (given.length !== this.#secret!.length || !timingSafeEqual(given, this.#secret!)) return null;
    const rest = words.map((word) => REST.exec(word)).find((found) => found !== null);
    return { client, relays: words.includes(RELAYS), isForRest: rest !== undefined, pass: rest?.[1] ?? null };
  }

  /**
   * The client's address, or what counts as one: an IPv6 network of 64 bits is one subscriber's. It is the last of X-Forwarded-For that no
   * proxy of the list has: what stands before it was written by whom we do not know. With `trust_proxy: true` it is what the proxy in front
   * has written, which is the last.
   * @returns `""` on a Unix socket
   */
  clientOf({ socket, headers }: Pick<IncomingMessage, "socket" | "headers">): string {
    const passage = this.passageOf(headers);
    if (passage !== null) return passage.client;
    let address = socket.remoteAddress ?? "";
    const forwarded = headers["x-forwarded-for"];
    if (forwarded === undefined || !this.trusts(address)) return subscriberOf(address);
    const hops = [forwarded].flat().join(",").split(",");
    while (hops.length > 0 && this.trusts(address)) {
      const hop = withoutPort(hops.pop()!.trim());
      if (!ipaddr.isValid(hop)) break;
      address = hop;
      if (this.#ranges === null) break;
    }
    return subscriberOf(address);
  }
}

/** A proxy on this machine that nobody has named: all that count clients by their address count it as one client. */
export function warnOfUnlistedProxy(proxies: Proxies, log: Logger) {
  let warned = false;
  return ({ raw }: { readonly raw: IncomingMessage }, _reply: unknown, done: () => void): void => {
    if (warned || raw.headers["x-forwarded-for"] === undefined) return done();
    const { remoteAddress = "" } = raw.socket;
    if (isUnlisted(proxies, remoteAddress)) {
      warned = true;
      const [place, entry] =
        remoteAddress === "" ? ["on server.socket", UNIX_PEERS] : [`at ${remoteAddress}`, remoteAddress];
      log.warn(
        `A proxy ${place} sends X-Forwarded-For, but server.trust_proxy does not list it: all its clients count as one. List it, like [${entry}].`,
      );
    }
    done();
  };
}

function isUnlisted(proxies: Proxies, address: string): boolean {
  if (address === "") return !proxies.trusts("");
  return ipaddr.isValid(address) && ipaddr.process(address).range() === "loopback" && !proxies.trusts(address);
}

/** @param text an address, or a network like `10.0.0.0/8`. @throws {Error} it is neither */
export function rangeOf(text: string): Range {
  if (text.includes("/")) return ipaddr.parseCIDR(text);
  const address = ipaddr.process(text);
  return [address, address.kind() === "ipv4" ? 32 : 128];
}

/** IPv4 as it is, also within IPv6; of IPv6 the network, as a machine there takes new addresses at will. */
export function subscriberOf(address: string): string {
  if (!ipaddr.isValid(address)) return address;
  const parsed = ipaddr.process(address);
  if (parsed instanceof ipaddr.IPv4 || parsed.range() === "loopback") return parsed.toString();
  return `${ipaddr.IPv6.networkAddressFromCIDR(`${parsed.toString()}/64`).toString()}/64`;
}

/** Some proxies write the port too: `203.0.113.7:4711`, `[2001:db8::1]:4711`. */
function withoutPort(hop: string): string {
  return /^\[(.+)\](:\d+)?$/.exec(hop)?.[1] ?? /^([\d.]+):\d+$/.exec(hop)?.[1] ?? hop;
}
