/** Bodies that cost the most memory for their bytes, against the real server with a small heap. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { hashApiKey } from "../../src/auth/secrets.ts";
import { Server } from "../helpers/server.ts";
import { MIB, mostMemory } from "../helpers/small-heap.ts";

const CONFIG = "gpu: { devices: simulated:1 }\nengine: { kind: simulated }\n";

function keyOf(user: string): string {
  return `altlas_${user.repeat(43)}`;
}

test("two callers' finished bodies, each 60 MiB of wide text, do not end a server with a small heap", async (t) => {
  const keys = ["a", "b"].map((user) => `{ name: ${user}, user: ${user}, sha256: "${hashApiKey(keyOf(user))}" }`);
  const auth = `auth: { users: [{ name: a, role: user }, { name: b, role: user }], keys: [${keys.join()}] }\n`;
  const server = await Server.start(t, { config: auth + CONFIG, env: { NODE_OPTIONS: "--max-old-space-size=320" } });
  server.key = keyOf("a");
  await server.loaded();
  // V8 keeps such a text with two bytes a character.
  const item = { text: `中${"a".repeat(62_900)}`, max_length: 1 };
  const body = Buffer.from(JSON.stringify({ batch: Array.from({ length: 1000 }, () => item) }));
  const submit = async (user: string): Promise<number> => {
    const headers = { authorization: `Bearer ${keyOf(user)}`, "content-type": "application/json" };
    const answer = await fetch(`${server.url}/api/v1/batch_predict`, { method: "POST", headers, body });
    await answer.arrayBuffer();
    return answer.status;
  };
  for (let round = 0; round < 3; round++) {
    assert.deepEqual(await Promise.all([submit("a"), submit("b")]), [200, 200]);
  }
  const memory = mostMemory(server);
  if (memory !== null) t.diagnostic(`${Math.round(memory / MIB)} MiB at most`);
});
