/** Where webhooks may go. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AltLasError } from "../src/errors.ts";
import { parseConfig } from "../src/config/config.ts";
import { Destinations, PLATFORM_ADDRESSES } from "../src/webhooks/destinations.ts";
import { askedOnce, checkUrl, isPublic, type Lookup } from "../src/webhooks/address.ts";

const LISTS = { allow: new Destinations([]), deny: new Destinations([]) };
const never = new AbortController().signal;

function leadsTo(...addresses: string[]): Lookup {
  return async () => addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
}

const failsWith =
  (code: string): Lookup =>
  async () => {
    throw Object.assign(new Error(code), { code });
  };

async function refusal(url: string, lookup: Lookup = leadsTo("93.184.215.14"), allowPrivate = false): Promise<string> {
  try {
    await checkUrl(url, { allowPrivate, lookup, ...LISTS }, never);
  } catch (error) {
    assert.ok(error instanceof AltLasError);
    assert.equal(error.code, "invalid_input");
    return error.message;
  }
  return "";
}

const NOT_PUBLIC = [
  ..."0.0.0.0 0.1.2.3 10.0.0.5 100.64.0.1 100.127.255.255 127.0.0.1 168.63.129.16 127.255.255.254 169.254.169.254".split(
    " ",
  ),
  ..."172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.1".split(" "),
  ..."203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255".split(" "),
  ...":: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:0:7f00:1 64:ff9b::7f00:1 64:ff9b:1::1".split(" "),
  ..."100::1 2001::1 2001:db8::1 2002:7f00:1::1 3fff::1 4000::1 fc00::1 fd12:3456::1 fe80::1 fe80::1%eth0".split(" "),
  ..."fec0::1 ff02::1 not-an-address".split(" "),
];

const PUBLIC = [
  ..."1.1.1.1 8.8.8.8 93.184.215.14 100.63.255.255 100.128.0.1 169.253.0.1 172.15.0.1 172.32.0.1".split(" "),
  ..."192.167.1.1 198.20.0.1 223.255.255.255 ::ffff:8.8.8.8 2606:4700::1111 2a00:1450:4001::200e".split(" "),
];

test("only addresses of the open internet are public", () => {
  for (const address of NOT_PUBLIC) assert.equal(isPublic(address), false, address);
  for (const address of PUBLIC) assert.equal(isPublic(address), true, address);
});

test("no address within a range for private use is public, in whatever notation", () => {
  const octet = fc.integer({ min: 0, max: 255 });
  const ranges = fc.oneof(
    fc.tuple(fc.constantFrom(0, 10, 127), octet, octet, octet),
    fc.tuple(fc.constant(172), fc.integer({ min: 16, max: 31 }), octet, octet),
    fc.tuple(fc.constant(192), fc.constant(168), octet, octet),
    fc.tuple(fc.constant(169), fc.constant(254), octet, octet),
    fc.tuple(fc.constant(100), fc.integer({ min: 64, max: 127 }), octet, octet),
  );
  fc.assert(
    fc.property(ranges, ([a, b, c, d]) => {
      const hex = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
      const notations = [`${a}.${b}.${c}.${d}`, `::ffff:${a}.${b}.${c}.${d}`, `::${hex}`, `64:ff9b::${hex}`];
      return [...notations, `2002:${hex}::1`].every((address) => !isPublic(address));
    }),
  );
});

test("a host that leads to a private address is refused, even if it has public ones as well", async () => {
  assert.equal(
    await refusal("https://hooks.example.com/x", leadsTo("93.184.215.14", "10.0.0.5")),
    "webhook_url must not lead to a private, loopback or link-local address; hooks.example.com does, or does not exist (webhooks.allow_private is false).",
  );
  assert.match(await refusal("http://localhost./", leadsTo("::1")), /; localhost\. does, or does not exist /);
  assert.equal(await refusal("https://hooks.example.com/x", leadsTo("93.184.215.14", "2606:4700::1111")), "");
  assert.equal(await refusal("https://hooks.example.com/x", leadsTo("10.0.0.5"), true), "");
});

test("an address in the URL is seen in every spelling, without asking for a name", async () => {
  const loopback = ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1.", "①②⑦.0.0.1"];
  for (const host of [...loopback, "[::1]", "[::ffff:127.0.0.1]", "[0:0:0:0:0:ffff:7f00:1]", "0", "[fe80::1]"]) {
    assert.match(
      await refusal(`http://${host}:8080/`, failsWith("ASKED")),
      /^webhook_url must not lead to a private/,
      host,
    );
  }
  const { addresses } = await checkUrl(
    "http://[::1]:8080/",
    { allowPrivate: true, lookup: failsWith("ASKED"), ...LISTS },
    never,
  );
  assert.deepEqual(addresses, [{ address: "::1", family: 6 }]);
});

test("what is no http or https URL, names a user or is too long is refused with a sentence", async () => {
  for (const url of ["ftp://example.com/", "file:///etc/passwd", "example.com/hook", "", "http://", "javascript:1"]) {
    assert.equal(
      await refusal(url),
      `webhook_url must be an http or https URL, like https://example.com/hook, not ${JSON.stringify(url)}.`,
    );
  }
  for (const user of ["ada", "ada:secret", ":secret"]) {
    const sentence = await refusal(`https://${user}@example.com/`);
    assert.match(sentence, /^webhook_url must have no user name or password/);
    assert.doesNotMatch(sentence, /secret/);
  }
  const long = `https://example.com/${"x".repeat(2048 - 20)}`;
  assert.equal(await refusal(long), "");
  assert.equal(await refusal(`${long}x`), "webhook_url must have at most 2048 characters, not 2049.");
});

test("a host that does not exist is refused, in the words for one that is private: nobody learns which names are inside", async () => {
  const inside = await refusal("https://name.example/", leadsTo("10.0.0.5"));
  assert.match(inside, /; name\.example does, or does not exist \(webhooks\.allow_private is false\)\.$/);
  assert.equal(await refusal("https://name.example/", failsWith("ENOTFOUND")), inside);
  assert.equal(await refusal("https://name.example/", leadsTo()), inside);
  assert.match(await refusal("http://10.0.0.5/", leadsTo()), /; 10\.0\.0\.5 is one /);
});

test("where private addresses are allowed, a host that does not exist is told; silent name servers refuse nothing", async () => {
  const open = { allowPrivate: true, lookup: failsWith("ENOTFOUND"), ...LISTS };
  await assert.rejects(
    checkUrl("https://nowhere.example/", open, never),
    /; nowhere\.example was not found \(ENOTFOUND\)\.$/,
  );
  const rules = { allowPrivate: false, lookup: failsWith("EAI_AGAIN"), ...LISTS };
  assert.deepEqual((await checkUrl("https://hooks.example.com/", rules, never)).addresses, []);
  const silent = { allowPrivate: false, lookup: () => new Promise<never>(() => undefined), ...LISTS };
  assert.deepEqual((await checkUrl("https://hooks.example.com/", silent, AbortSignal.abort())).addresses, []);
});

test("a host is asked for once at a time", async () => {
  const asked: string[] = [];
  const answer = Promise.withResolvers<void>();
  const lookup = askedOnce(async (host) => {
    asked.push(host);
    await answer.promise;
    return [{ address: "1.1.1.1", family: 4 }];
  });
  const both = [lookup("a.example"), lookup("a.example")];
  answer.resolve();
  assert.deepEqual(await Promise.all(both), [[{ address: "1.1.1.1", family: 4 }], [{ address: "1.1.1.1", family: 4 }]]);
  await lookup("a.example");
  assert.deepEqual(asked, ["a.example", "a.example"]);
});

/** What is said to a URL under two lists. */
async function verdict(
  url: string,
  {
    allow = [],
    deny = [],
    allowPrivate = false,
  }: { allow?: string[]; deny?: readonly string[]; allowPrivate?: boolean },
  ...addresses: string[]
): Promise<string> {
  const lists = { allow: new Destinations(allow), deny: new Destinations(deny) };
  const checked = checkUrl(url, { allowPrivate, lookup: leadsTo(...addresses), ...lists }, never);
  return checked.then(
    () => "fine",
    ({ message }: Error) => message,
  );
}

test("what is denied stays so, by name and by the address that a name leads to, also where private ones are allowed", async () => {
  const deny = PLATFORM_ADDRESSES;
  for (const allowPrivate of [false, true]) {
    const rules = { deny, allowPrivate };
    for (const host of ["169.254.169.254", "[fd00:ec2::254]", "0xa9fea9fe", "[::ffff:169.254.169.254]", "2852039166"])
      assert.match(
        await verdict(`http://${host}/latest`, rules),
        /^webhook_url must not lead to \S+, which is in webhooks/,
        host,
      );
    for (const host of ["metadata.google.internal", "METADATA.google.internal."])
      assert.match(await verdict(`http://${host}/`, rules, "93.184.215.14"), /is in webhooks\.deny/, host);
    for (const address of [
      "169.254.169.254",
      "::ffff:a9fe:a9fe",
      "fd00:ec2::254",
      "100.100.100.200",
      "168.63.129.16",
    ]) {
      const said = await verdict("http://rebound.example/", rules, "93.184.215.14", address);
      assert.match(
        said,
        allowPrivate ? /leads to an address in webhooks\.deny/ : /private, loopback and|must not lead to a private/,
      );
    }
    assert.equal(await verdict("http://example.com/", rules, "93.184.215.14"), "fine");
  }
  for (const host of ["64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::a9fe:a9fe"]) {
    const rules = { deny, allowPrivate: true };
    assert.match(await verdict(`http://[${host}]/`, rules), /which is in webhooks\.deny/, host);
    assert.match(await verdict("http://rebound.example/", rules, host), /leads to an address in webhooks\.deny/, host);
  }
  assert.equal(await verdict("http://[64:ff9b::a01:203]/", { deny, allowPrivate: true }), "fine");
  assert.equal(await verdict("http://10.1.2.3/", { deny, allowPrivate: true }), "fine");
  assert.match(
    await verdict("http://a.b.example.com/", { deny: ["*.example.com"] }, "93.184.215.14"),
    /webhooks\.deny/,
  );
  assert.equal(await verdict("http://example.com/", { deny: ["*.example.com"] }, "93.184.215.14"), "fine");
});

test("where some are allowed, no others are; a network may be a private one, a name may not lead to one", async () => {
  const allow = ["hooks.example.com", "*.trusted.example", "10.1.0.0/16", "2606:4700::/32"];
  const fine: [string, string][] = [
    ["http://hooks.example.com/", "93.184.215.14"],
    ["http://HOOKS.example.com./", "93.184.215.14"],
    ["https://a.b.trusted.example/", "93.184.215.14"],
    ["http://10.1.2.3/", ""],
    ["http://inner.example/", "10.1.9.9"],
    ["http://[2606:4700::1111]/", ""],
  ];
  for (const [url, address] of fine) assert.equal(await verdict(url, { allow }, address), "fine", url);
  for (const [url, ...addresses] of [
    ["http://example.com/", "93.184.215.14"],
    ["http://nothooks.example.com/", "93.184.215.14"],
    ["http://trusted.example/", "93.184.215.14"],
    ["http://10.2.0.1/"],
    ["http://mixed.example/", "10.1.2.3", "93.184.215.14"],
  ] as const)
    assert.match(await verdict(url, { allow }, ...addresses), /which is not in webhooks\.allow\.$/, url);
  // Of one that is not allowed nobody learns whether it is there.
  const { message } = (await checkUrl(
    "http://inner.example/",
    { allowPrivate: false, lookup: failsWith("ENOTFOUND"), allow: new Destinations(allow), deny: new Destinations([]) },
    never,
  ).catch((error: Error) => error as Error)) as Error;
  assert.equal(message, await verdict("http://inner.example/", { allow }, "10.2.0.1"));
  assert.match(await verdict("http://hooks.example.com/", { allow }, "10.2.0.1"), /must not lead to a private/);
  assert.match(await verdict("http://10.1.2.3/", { allow, deny: ["10.1.2.3"] }), /webhooks\.deny/);
});

test("a list has names, addresses and networks, and the default one has the platforms of clouds", () => {
  const { webhooks } = parseConfig("", "c.yaml");
  assert.deepEqual(webhooks.deny, [...PLATFORM_ADDRESSES]);
  for (const wrong of ["http://example.com", "a b", "10.0.0.0/33", "300.1.1.1", "*", "example.com:80", "0x7f000001/8"])
    assert.throws(
      () => parseConfig(`webhooks: { allow: ["${wrong}"] }`, "c.yaml"),
      /webhooks\.allow\[0\] must be a host's name, like hooks\.example\.com or \*\.example\.com, an address, or a network/,
      wrong,
    );
});
