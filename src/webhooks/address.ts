/** Where a webhook may go: what its URL may say, and to which addresses its host may lead. */
import { lookup as systemLookup, type LookupAddress } from "node:dns";
import { isIP } from "node:net";
import { promisify } from "node:util";
import ipaddr from "ipaddr.js";
import { AltLasError } from "../errors.ts";
import { shown } from "../common/validation.ts";
import type { Destinations } from "./destinations.ts";

/** All addresses of a host; rejects as `dns.lookup` does, with a `code`. */
export type Lookup = (host: string) => Promise<readonly LookupAddress[]>;

const askSystem = promisify(systemLookup);

/** As the system resolves names, with its hosts file. */
export const lookupAll: Lookup = (host) => askSystem(host, { all: true, verbatim: true });

export interface AddressRules {
  /** Whether private, loopback and link-local addresses are fine. */
  readonly allowPrivate: boolean;
  readonly lookup: Lookup;
  /** Nothing else is fine, unless it is empty; its networks may be private. */
  readonly allow: Destinations;
  /** Never fine. */
  readonly deny: Destinations;
}

/** A URL that may be sent to, if it is by one of these addresses. */
export interface CheckedUrl {
  readonly url: URL;
  /** Empty: the name servers do not answer at the moment. */
  readonly addresses: readonly LookupAddress[];
}

const MAX_CHARACTERS = 2048;

/**
 * Checks a URL and resolves its host. One bad address among good ones is enough to refuse it: which of them is used would be up to
 * whoever answers for the name.
 * @param signal when it aborts, the name servers count as not answering
 * @throws {AltLasError} `invalid_input`, with a sentence about `webhook_url`
 */
export async function checkUrl(text: string, rules: AddressRules, signal: AbortSignal): Promise<CheckedUrl> {
  const url = parse(text);
  const host = hostOf(url);
  const { allow, deny, allowPrivate } = rules;
  if (deny.hasName(host) || deny.hasAddress(host) || deny.hasAddress(behind(host)))
    throw listed(host, "is in webhooks.deny");
  const isNamed = allow.isEmpty || allow.hasName(host);
  const notAllowed = listed(host, "is not in webhooks.allow");
  const found = await resolve(host, rules, signal).catch((error: unknown) => {
    // Whether there is such a host is not said of one that is not allowed.
    throw isNamed ? error : notAllowed;
  });
  const addresses = found.map(({ address }) => address);
  if (!isNamed && !addresses.every((address) => allow.hasAddress(address))) throw notAllowed;
  if (!allowPrivate && !addresses.every((address) => isPublic(address) || allow.hasAddress(address)))
    throw notPublic(host);
  if (addresses.some((address) => deny.hasAddress(address) || deny.hasAddress(behind(address))))
    throw allowPrivate ? listed(host, "leads to an address in webhooks.deny") : notPublic(host);
  return { url, addresses: found };
}

/** Its host without the brackets that URLs put around IPv6. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "");
}

function parse(text: string): URL {
  if (text.length > MAX_CHARACTERS) {
    throw refusal(`webhook_url must have at most ${MAX_CHARACTERS} characters, not ${text.length}.`);
  }
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw refusal(`webhook_url must be an http or https URL, like https://example.com/hook, not ${shown(text)}.`);
  }
  if (url.username !== "" || url.password !== "") {
    throw refusal("webhook_url must have no user name or password in it; what is sent is signed instead.");
  }
  return url;
}

async function resolve(host: string, rules: AddressRules, signal: AbortSignal): Promise<readonly LookupAddress[]> {
  const family = isIP(host);
  if (family !== 0) return [{ address: host, family }];
  let found: readonly LookupAddress[];
  try {
    found = await unlessAborted(rules.lookup(host), signal);
  } catch (error) {
    if (signal.aborted || codeOf(error) === "EAI_AGAIN") return [];
    throw rules.allowPrivate ? notFound(host, codeOf(error)) : notPublic(host);
  }
  if (found.length > 0) return found;
  throw rules.allowPrivate ? notFound(host, "no address") : notPublic(host);
}

function notFound(host: string, why: string): AltLasError {
  return refusal(`webhook_url must lead to a host that exists; ${host} was not found (${why}).`);
}

/** One sentence for both: whoever may submit a task need not learn which names an inner network has, nor where they lead. */
function notPublic(host: string): AltLasError {
  const isAddress = isIP(host) !== 0;
  return refusal(
    `webhook_url must not lead to a private, loopback or link-local address; ${host} ${isAddress ? "is one" : "does, or does not exist"} (webhooks.allow_private is false).`,
  );
}

function listed(host: string, what: string): AltLasError {
  return refusal(`webhook_url must not lead to ${host}, which ${what}.`);
}

/** The IPv6 range of the open internet; the library takes every range that it does not know for public. */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR("2000::/3");

/** Microsoft Azure's platform, which each virtual machine there reaches (learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16). */
const AZURE_PLATFORM = "168.63.129.16";

/** Ranges of IPv6 in which addresses of IPv4 are, by the bytes before those: IPv4-compatible, NAT64 and 6to4 (RFC 4291, 6052, 3056). */
const AROUND_IPV4 = [
  ["::/96", 12],
  ["64:ff9b::/96", 12],
  ["2002::/16", 2],
] as const;

/** The address of IPv4 to which a gateway may send what goes to one of IPv6; empty: none. */
function behind(address: string): string {
  if (!ipaddr.IPv6.isValid(address)) return "";
  const parsed = ipaddr.IPv6.parse(address);
  const [, start] = AROUND_IPV4.find(([network]) => parsed.match(ipaddr.IPv6.parseCIDR(network))) ?? [];
  return start === undefined
    ? ""
    : parsed
        .toByteArray()
        .slice(start, start + 4)
        .join(".");
}

/** Whether an address is one of the open internet. IPv4 within IPv6 counts as IPv4 where it is sent as such, else as not public. */
export function isPublic(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.process(address);
  if (parsed.range() !== "unicast" || parsed.toString() === AZURE_PLATFORM) return false;
  return parsed instanceof ipaddr.IPv4 || parsed.match(GLOBAL_UNICAST);
}

async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(new Error("aborted"));
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort();
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? "unknown reason";
}

function refusal(sentence: string): AltLasError {
  return new AltLasError("invalid_input", sentence);
}

/**
 * Asks for each host once at a time. The system looks up only a few names at once, so one whose servers are silent must not be in its
 * queue many times.
 */
export function askedOnce(lookup: Lookup): Lookup {
  const asked = new Map<string, ReturnType<Lookup>>();
  return (host) => {
    const running = asked.get(host);
    if (running !== undefined) return running;
    const question = lookup(host).finally(() => asked.delete(host));
    asked.set(host, question);
    return question;
  };
}
