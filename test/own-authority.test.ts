/** A certificate authority of one's own, for the servers that this one asks. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { authorityForChildren, believeAuthority, readAuthorities } from "../src/common/own-authority.ts";
import { newCertificate } from "./helpers/certificate.ts";
import { encrypted } from "./helpers/encrypted.ts";
import { temporaryFolder } from "./helpers/http.ts";
import { newSigningKey, StandInIssuer } from "./helpers/issuer.ts";
import { startLocalServer } from "./helpers/local-server.ts";
import { StandIn } from "./helpers/upstream.ts";
import { Receiver } from "./helpers/webhook-world.ts";

const authority = newCertificate("Authority of our own");
const site = newCertificate("localhost", authority);

/** Nothing is believed before: this test comes first. */
test("servers behind GPUs, receivers of webhooks and the issuer are believed by tls.ca, and only by it", async (t) => {
  const folder = temporaryFolder(t);
  const ca = join(folder, "ca.pem");
  writeFileSync(ca, `Our authority:\n${authority.cert}`);
  await using standIn = await StandIn.open({ vendor: "ollama" });
  const receiver = await Receiver.start(t);
  const issuer = new StandInIssuer(await newSigningKey("first"));
  await issuer.listen(0);
  t.after(() => issuer.close());
  const [model, hook, login] = await Promise.all(
    [Number(new URL(standIn.url).port), receiver.port, Number(new URL(issuer.url).port)].map((port) =>
      encrypted(t, port, site),
    ),
  );
  issuer.url = login!;
  const config = `
gpu: { devices: [{ name: far, engine: { kind: openai, url: "${model}" } }] }
auth: { oidc: { issuer: "${login}", audience: alt-las, default_role: user } }
webhooks: { allow_private: true }`;
  const signedIn = async (url: string) =>
    fetch(`${url}/api/v1/me`, { headers: { authorization: `Bearer ${await issuer.token()}` } });

  const wary = await startLocalServer(t, { config });
  assert.equal((await signedIn(wary.url)).status, 503);
  assert.match(JSON.stringify(wary.log), /its certificate is signed by nobody who is trusted here/);
  await wary.stop();
  assert.equal(standIn.seen.length, 0);

  const server = await startLocalServer(t, { config: `${config}\ntls: { ca: "${ca}" }` });
  assert.deepEqual(authorityForChildren(), { ALT_LAS_CA: ca });
  await server.loaded();
  await server.run({ text: "hello", max_length: 2, webhook_url: `${hook}/hook` });
  await receiver.until(() => receiver.received.length === 1);
  assert.equal((await signedIn(server.url)).status, 200);
});

test("a file that has no certificate is refused by a sentence that names it", (t) => {
  const file = join(temporaryFolder(t), "ca.pem");
  assert.throws(() => believeAuthority(file), {
    code: "bad_config",
    message: /^tls\.ca: .*ca\.pem cannot be read: ENOENT/,
  });
  for (const [text, sentence] of [
    ["", /has no certificate in the PEM format/],
    [site.key, /has no certificate in the PEM format/],
    [`${site.cert}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`, /certificate 2 of .* is damaged/],
  ] as const) {
    writeFileSync(file, text);
    assert.throws(() => believeAuthority(file), { code: "bad_config", message: sentence });
  }
  writeFileSync(file, site.cert + authority.cert);
  assert.equal(readAuthorities(file).length, 2);
});
