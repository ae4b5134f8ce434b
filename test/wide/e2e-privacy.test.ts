/** What is not to be stored, and what was forgotten, is in no file, also when the server is killed in the middle. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { filesWith } from "../helpers/files-with.ts";
import { altLas, Server } from "../helpers/server.ts";

const WORD = "xyzzyplugh";
const OTHERS = "frotzblorb";
const LONG = { max_length: 20_000 };

test("kill -9 under tasks whose texts are never stored: no file has them, and they fail at the next start", async (t) => {
  const config = `{ auth: { enabled: false }, store: { texts: never }, engine: { simulated: { tokens_per_second: 20 } } }`;
  const first = await Server.start(t, { config, args: ["--devices", "simulated:1"] });
  await first.loaded();
  const text = `${WORD} `.repeat(400);
  const ids = await Promise.all(
    Array.from({ length: 20 }, async () => (await first.predict({ text, ...LONG })).task_id),
  );
  await first.kill9();
  assert.deepEqual(filesWith(first.folder, WORD), []);
  const second = await first.restart();
  for (const id of ids) {
    const task = await second.ended(id);
    assert.deepEqual([task.status, task.error_code], ["failed", "text_gone"]);
  }
  assert.deepEqual(filesWith(first.folder, WORD), []);
});

test("kill -9 in the middle of forgetting a user: it goes on, and nothing of others is missing", async (t) => {
  const config = `{ engine: { simulated: { tokens_per_second: 0 } } }`;
  const first = await Server.start(t, { config, args: ["--devices", "simulated:1"] });
  await first.loaded();
  const headersOf = async (user: string): Promise<Record<string, string>> => {
    await first.request("POST", "/api/v1/users", { body: { name: user, role: "user" } });
    const key = await first.request<{ key: string }>("POST", "/api/v1/keys", { body: { name: `of-${user}`, user } });
    return { authorization: `Bearer ${key.body.key}` };
  };
  const [bob, ada] = [await headersOf("bob"), await headersOf("ada")];
  const batch = Array.from({ length: 500 }, () => ({ text: `${WORD} `.repeat(300), max_length: 1 }));
  for (let round = 0; round < 6; round++)
    await first.request("POST", "/api/v1/batch_predict", { body: { batch }, headers: bob });
  const kept = await first.run({ text: OTHERS, max_length: 1 }, ada);
  while ((await first.tasks("?status=completed&limit=1", bob)).total < 3000);
  const before = (await first.tasks("?limit=1", bob)).total;
  const forgetting = altLas(["forget", "--user", "bob", "--data-dir", first.dataDir]);
  while ((await first.tasks("?limit=1", bob)).total === before);
  await first.kill9();
  const { code, stderr } = await forgetting;
  const second = await first.restart();
  const again = await altLas(["forget", "--user", "bob", "--data-dir", second.dataDir]);
  assert.equal(again.code, 0, again.stderr);
  if (code !== 0) assert.match(stderr, /Do it again|ended before all was removed|aborted|socket/i);
  assert.deepEqual(filesWith(second.folder, WORD), []);
  assert.equal((await second.tasks("", bob)).total, 0);
  assert.deepEqual((await second.task(kept.task_id, ada)).result, kept.result);
  const usage = JSON.stringify((await second.request("GET", "/api/v1/usage?by=user")).body);
  assert.ok(usage.includes("(forgotten)") && !usage.includes('"bob"'), usage);
  await second.stop();
  assert.deepEqual(filesWith(second.folder, WORD), []);
});
