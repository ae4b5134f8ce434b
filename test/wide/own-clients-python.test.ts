/** The client in clients/python, by its own tests, against a real server. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { startLocalServer } from "../helpers/local-server.ts";
import { lossyWay, PYTHON, PYTHON_ENVIRONMENT } from "../helpers/own-clients.ts";
import { lacks, runProgram } from "../helpers/server.ts";

const skip = await lacks(runProgram("python3", ["-c", "import httpx"]), "python3 with the package httpx");

test("the Python client's own tests pass", { skip }, async (t) => {
  const config = `
    webhooks: { allow_private: true }
    engine: { simulated: { tokens_per_second: 200 } }`;
  const server = await startLocalServer(t, { config, devices: "simulated:1" });
  await server.loaded();
  const received = Promise.withResolvers<object>();
  const receiver = createServer(async (request, response) => {
    received.resolve({ headers: request.headers, body: await text(request) });
    response.end();
  }).listen(0, "127.0.0.1");
  await once(receiver, "listening");
  t.after(() => void receiver.close());
  const webhook_url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
  await server.run({ text: "Once", max_length: 1, webhook_url });
  const { body: secret } = await server.request<{ secret: string }>("GET", "/api/v1/webhook_secret");
  const env = {
    ...PYTHON_ENVIRONMENT,
    ALT_LAS_URL: server.url,
    ALT_LAS_API_KEY: server.key,
    LOSSY_URLS: JSON.stringify(await Promise.all(Array.from({ length: 4 }, () => lossyWay(t, server.url, 1)))),
    WEBHOOK: JSON.stringify({ ...secret, ...(await received.promise) }),
  };
  const { code, stderr } = await runProgram("python3", [join(PYTHON, "tests", "test_client.py")], { env });
  assert.equal(code, 0, stderr);
  assert.match(stderr, /^Ran (?:2[2-9]|[3-9]\d) tests/m);
});
