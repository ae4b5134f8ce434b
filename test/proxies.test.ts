import assert from "node:assert/strict";
import { type Socket } from "node:net";
import { test } from "node:test";
import { parseConfig } from "../src/config/config.ts";
import { Proxies, subscriberOf } from "../src/http/proxies.ts";

type Setting = ConstructorParameters<typeof Proxies>[0];

function clientOf(setting: Setting, peer: string | undefined, forwarded?: string): string {
  const headers = forwarded === undefined ? {} : { "x-forwarded-for": forwarded };
  return new Proxies(setting).clientOf({ socket: { remoteAddress: peer } as Socket, headers });
}

const LIST = ["10.0.0.0/8", "2001:db8:ffff::1", "127.0.0.1"];

const CLIENTS: readonly [
  what: string,
  setting: Setting,
  peer: string | undefined,
  forwarded: string | undefined,
  is: string,
][] = [
  ["a peer that is trusted by nobody", false, "198.51.100.7", "203.0.113.9", "198.51.100.7"],
  ["a peer that the list does not have", LIST, "198.51.100.7", "203.0.113.9", "198.51.100.7"],
  ["a listed proxy that says nothing", LIST, "10.1.2.3", undefined, "10.1.2.3"],
  ["a listed proxy", LIST, "10.1.2.3", "203.0.113.9", "203.0.113.9"],
  ["a listed proxy, as IPv6 writes IPv4", LIST, "::ffff:10.1.2.3", "203.0.113.9", "203.0.113.9"],
  ["what a client wrote itself does not count", LIST, "10.1.2.3", "1.2.3.4, 203.0.113.9", "203.0.113.9"],
  ["two listed proxies", LIST, "127.0.0.1", "1.2.3.4, 203.0.113.9, 10.9.9.9", "203.0.113.9"],
  ["with a port", LIST, "10.1.2.3", "203.0.113.9:4711", "203.0.113.9"],
  ["IPv6 with a port", LIST, "10.1.2.3", "[2001:db8:1:2:3::4]:4711", "2001:db8:1:2::/64"],
  ["nonsense", LIST, "10.1.2.3", "unknown", "10.1.2.3"],
  ["any proxy: what the one in front wrote", true, "198.51.100.7", "1.2.3.4, 203.0.113.9", "203.0.113.9"],
  ["a Unix socket", false, undefined, undefined, ""],
];

for (const [what, setting, peer, forwarded, client] of CLIENTS) {
  test(`the client's address: ${what}`, () => assert.equal(clientOf(setting, peer, forwarded), client));
}

test("IPv6 counts by its network of 64 bits, IPv4 within it as IPv4, and this machine as itself", () => {
  assert.equal(subscriberOf("2001:db8:1:2:aaaa::1"), subscriberOf("2001:db8:1:2:bbbb::2"));
  assert.notEqual(subscriberOf("2001:db8:1:2::1"), subscriberOf("2001:db8:1:3::1"));
  assert.equal(subscriberOf("::ffff:203.0.113.9"), "203.0.113.9");
  assert.equal(subscriberOf("::1"), "::1");
});

test("a list of proxies that is not one of addresses stops the start", () => {
  assert.throws(
    () => parseConfig('server:\n  trust_proxy: [10.0.0.1, "nginx"]', "c.yaml"),
    /server\.trust_proxy\[1\] must be an address, a network, like 10\.0\.0\.0\/8, or unix; got "nginx"\./,
  );
  assert.throws(() => parseConfig("server: { trust_proxy: 1 }", "c.yaml"), /trust_proxy must be true, false or a list/);
  assert.deepEqual(parseConfig("server: { trust_proxy: true }", "c.yaml").server.trust_proxy, true);
});
