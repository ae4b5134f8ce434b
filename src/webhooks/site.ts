/** Groups the places that webhooks go to by owner, so that many names or addresses of one owner count as one. */
import { isIP } from "node:net";
import ipaddr from "ipaddr.js";

/** Bits that one owner has at least: others cannot be in the same network of IPv4 often enough to matter. */
const NETWORK_4 = 24;
const NETWORK_6 = 64;

/**
 * The network of an address, or the domain that a host is in: its last two labels, or three where the second one is as short as in
 * `co.uk` and `com.tr`. A guess: without the Public Suffix List, hosts of several owners may count as one site. So what follows from it
 * must stay with one caller.
 * @param host as URLs have it, IPv6 without brackets
 */
export function siteOf(host: string): string {
  if (isIP(host) !== 0) return networkOf(host);
  const labels = host.replace(/\.$/, "").split(".");
  const isCountry = labels.at(-1)?.length === 2 && (labels.at(-2)?.length ?? 0) <= 3;
  return labels.slice(isCountry ? -3 : -2).join(".");
}

function networkOf(address: string): string {
  const parsed = ipaddr.process(address);
  const bits = parsed instanceof ipaddr.IPv4 ? NETWORK_4 : NETWORK_6;
  const first =
    parsed instanceof ipaddr.IPv4
      ? ipaddr.IPv4.networkAddressFromCIDR(`${parsed.toString()}/${bits}`)
      : ipaddr.IPv6.networkAddressFromCIDR(`${parsed.toString()}/${bits}`);
  return `${first.toString()}/${bits}`;
}

/** The range of one machine or one customer: an address of IPv4, a /64 of IPv6. */
export function ownerOf(address: string): string {
  return isIP(address) === 6 ? networkOf(address) : address;
}
