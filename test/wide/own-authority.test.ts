/** A certificate authority of one's own, in the processes that ask servers: each has its own list of whom to believe. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { newCertificate } from "../helpers/certificate.ts";
import { encrypted } from "../helpers/encrypted.ts";
import { newFolder, Server } from "../helpers/server.ts";
import { StandIn } from "../helpers/upstream.ts";

test("a worker believes a server behind a GPU by tls.ca", async (t) => {
  const authority = newCertificate("Authority of our own");
  const ca = join(newFolder(t), "ca.pem");
  writeFileSync(ca, authority.cert);
  await using standIn = await StandIn.open({ vendor: "ollama" });
  const url = await encrypted(t, Number(new URL(standIn.url).port), newCertificate("localhost", authority));
  const server = await Server.start(t, {
    config: `gpu: { devices: [{ name: far, engine: { kind: openai, url: "${url}" } }] }\ntls: { ca: "${ca}" }`,
  });
  await server.loaded();
  const { status } = await server.run({ text: "hello", max_length: 2 });
  assert.equal(status, "completed");
});
