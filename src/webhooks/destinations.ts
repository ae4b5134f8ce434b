/** The lists of `webhooks.allow` and `webhooks.deny`: names of hosts, addresses and networks. */
import ipaddr from "ipaddr.js";

/** Where the platforms of clouds tell each machine its secrets, or serve it as part of themselves. */
export const PLATFORM_ADDRESSES = [
  "169.254.169.254",
  "fd00:ec2::254",
  "169.254.170.2",
  "100.100.100.200",
  "168.63.129.16",
  "metadata.google.internal",
] as const;

/** One entry of a list: its name without the dot of the root and, with `*.`, any name below; or a network. */
type Entry =
  | { readonly name: string; readonly below: boolean }
  | { readonly network: ReturnType<typeof ipaddr.parseCIDR> };

const NAME = /^(\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?\.?$/i;

/** The forms of an entry, in words. */
export const ENTRY_WORDS =
  "a host's name, like hooks.example.com or *.example.com, an address, or a network like 10.0.0.0/8";

/** Whether a text may be an entry of a list. */
export function isEntry(text: string): boolean {
  return entryOf(text) !== null;
}

function entryOf(text: string): Entry | null {
  if (ipaddr.IPv6.isValidCIDR(text) || ipaddr.IPv4.isValidCIDRFourPartDecimal(text))
    return { network: ipaddr.parseCIDR(text) };
  if (ipaddr.IPv6.isValid(text) || ipaddr.IPv4.isValidFourPartDecimal(text)) {
    const address = ipaddr.process(text);
    return { network: [address, address.kind() === "ipv4" ? 32 : 128] };
  }
  // Any other text without a letter would be an address in another form.
  if (!NAME.test(text) || !/[a-z]/i.test(text)) return null;
  return { name: plainName(text.replace(/^\*\./, "")), below: text.startsWith("*.") };
}

/** As names are compared: `example.com.` is the same as `EXAMPLE.com`. */
function plainName(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}

export class Destinations {
  readonly #entries: readonly Entry[];

  constructor(texts: readonly string[]) {
    this.#entries = texts.map((text) => entryOf(text)!);
  }

  get isEmpty(): boolean {
    return this.#entries.length === 0;
  }

  /** Whether it names a host. @param host as URLs have it, IPv6 without brackets */
  hasName(host: string): boolean {
    const name = plainName(host);
    return this.#entries.some(
      (one) => "name" in one && (one.below ? name.endsWith(`.${one.name}`) : name === one.name),
    );
  }

  /** Whether an address is in one of its networks; IPv4 within IPv6 counts as IPv4. */
  hasAddress(address: string): boolean {
    if (!ipaddr.isValid(address)) return false;
    const parsed = ipaddr.process(address);
    return this.#entries.some(
      (one) => "network" in one && one.network[0].kind() === parsed.kind() && parsed.match(one.network),
    );
  }
}
