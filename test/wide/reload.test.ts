/** A configuration that is read again by the real command and the real signal, in a real server with workers of their own. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { altLas, Server } from "../helpers/server.ts";

/** An answer fills the context of its model. */
function configOf(context: number, more = ""): string {
  return `
engine: { kind: simulated, simulated: { tokens_per_second: 500 } }
models:
  - { name: a, context: ${context}, slots: 4 }
${more}`;
}

const isReady = ({ msg }: { readonly msg: string }): boolean => msg === "worker ready";
const SHORT = { text: "short", max_length: 20, model: "a" };

test("alt-las reload brings another version of a model in while a stream goes on, and SIGHUP the next one", async (t) => {
  const server = await Server.start(t, { config: configOf(1_000_000), args: ["--devices", "simulated:1"] });
  const file = join(server.folder, "config.yaml");
  await server.logged(isReady);
  const { task_id: id } = await server.predict({ text: "long", max_length: 1_000_000, model: "a" });
  const stream = await fetch(`${server.url}/api/v1/task/${id}/events`, {
    headers: { authorization: `Bearer ${server.key}` },
  });
  const events = stream.body!.pipeThrough(new TextDecoderStream()).getReader();
  await events.read();

  writeFileSync(file, configOf(16, "server: { drain_timeout: 3 }"));
  const reload = () => altLas(["reload", "--data-dir", server.dataDir]);
  assert.deepEqual(await reload(), {
    code: 0,
    stdout: "In force: models: changed a. From the next start: server.drain_timeout.\n",
    stderr: "",
  });
  await server.logged(isReady, 2);
  const { status, result } = await server.run(SHORT);
  assert.deepEqual([status, result?.usage.completion_tokens], ["completed", 14]);
  assert.equal((await events.read()).done, false);
  await server.request("POST", `/api/v1/task/${id}/cancel`);
  let text = "";
  for (let part = await events.read(); !part.done; part = await events.read()) text += part.value;
  assert.match(text, /"status":"canceled"/);

  writeFileSync(file, configOf(16, "nonsense: 1"));
  const { code, stdout, stderr } = await reload();
  assert.deepEqual([code, stdout], [1, ""]);
  assert.match(stderr, /config\.yaml:5: nonsense is not a known field/);
  server.signal("SIGHUP");
  const [line] = await server.logged(({ level }) => level === 50);
  assert.match(line!.msg, /^SIGHUP: the configuration is not taken over, and nothing has changed\. .*config\.yaml:5: /);

  writeFileSync(file, configOf(18));
  server.signal("SIGHUP");
  await server.logged(isReady, 3);
  assert.equal((await server.run(SHORT)).result?.usage.completion_tokens, 16);
  assert.equal((await server.stop()).code, 0);
  const alone = await reload();
  assert.deepEqual([alone.code, alone.stderr.startsWith("No server runs on ")], [1, true]);
});
