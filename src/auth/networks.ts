/** To whom an address belongs, as far as one can tell: an attacker has all addresses of a network, and often several networks. */
import ipaddr from "ipaddr.js";

export interface Networks {
  /** The largest network that one customer of a provider has: an IPv4 network of 24 bits, an IPv6 network of 48. */
  readonly site: string;
  /** The smallest network that a provider has: an IPv4 network of 16 bits, an IPv6 network of 32. */
  readonly provider: string;
}

/** @param address one address, or an IPv6 network as `…/64`; what is neither is a network of its own */
export function networksOf(address: string): Networks {
  const plain = address.replace(/\/\d+$/, "");
  if (!ipaddr.isValid(plain)) return { site: address, provider: address };
  const parsed = ipaddr.process(plain);
  const isShort = parsed instanceof ipaddr.IPv4;
  const [site, provider] = (isShort ? [24, 16] : [48, 32]).map((bits) => {
    const text = `${parsed.toString()}/${bits}`;
    return `${(isShort ? ipaddr.IPv4 : ipaddr.IPv6).networkAddressFromCIDR(text).toString()}/${bits}`;
  });
  return { site: site!, provider: provider! };
}
