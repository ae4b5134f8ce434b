/** `alt-las pull`, `models` and `rm`, with a server on the data directory and without one. */
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import { test, type TestContext } from "node:test";
import { modelsTable } from "../src/cli/models.ts";
import { progressOn, pull } from "../src/cli/pull.ts";
import { parseConfig } from "../src/config/config.ts";
import { durationWords, sizeWords } from "../src/common/progress-words.ts";
import { type ListedModel } from "../src/models/listing.ts";
import { runCommand } from "./helpers/command.ts";
import { setEnvironment } from "./helpers/environment.ts";
import { temporaryFolder } from "./helpers/http.ts";
import { startLocalServer } from "./helpers/local-server.ts";
import { gguf, sendHead, startHub, type StandInHub } from "./helpers/stand-in-hub.ts";

const FILE = "a-Q4_K_M.gguf";
const SOURCE = "hf:owner/repo";

async function hubHere(t: TestContext): Promise<StandInHub> {
  const hub = await startHub(t, { [FILE]: gguf("a", 50_000) });
  setEnvironment(t, hub.environment);
  return hub;
}

test("a pulled model is listed with its size, licence and place, and its files go with it", async (t) => {
  const hub = await hubHere(t);
  const dir = ["--data-dir", join(temporaryFolder(t), "data")];
  const none = await runCommand(["models", ...dir]);
  assert.match(none.stdout, /^There are no models by name\. .* pull SOURCE .* smollm2-135m,/);
  const pulled = await runCommand(["pull", SOURCE, ...dir]);
  const path = hub.cached("snapshots", hub.commit, FILE);
  assert.equal(pulled.code, 0);
  assert.match(pulled.stdout, /^repo is here: 50\.0 kB, licence apache-2\.0\.$/m);
  assert.ok(pulled.stdout.includes(`\n  ${path}\n`));
  assert.match(pulled.stdout, /npm start -- --data-dir \S+ --model hf:owner\/repo$/m);
  assert.match(pulled.stderr, /^hf:owner\/repo: 100 %, .*50\.0 kB of 50\.0 kB/m);
  const { stdout } = await runCommand(["models", ...dir]);
  const [head, row] = stdout.trimEnd().split("\n");
  assert.match(head!, /^NAME +SIZE +LICENCE +WHERE +STATE +LAST USE$/);
  assert.match(row!, /^repo +50\.0 kB +apache-2\.0 +\S+ +on disk +-$/);
  const { models } = JSON.parse((await runCommand(["models", "--json", ...dir])).stdout) as { models: ListedModel[] };
  assert.deepEqual([models[0]!.name, models[0]!.path, models[0]!.size_bytes], ["repo", path, 50_000]);
  assert.equal((await runCommand(["rm", "repo", ...dir])).stdout, "repo is removed; 50.0 kB are free again.\n");
  assert.ok(!existsSync(path));
  const again = await runCommand(["rm", "repo", ...dir]);
  assert.deepEqual([again.code, again.stderr], [1, 'No model was pulled under the name "repo".\n']);
});

test("what cannot be pulled ends with 1 and a sentence, before anything is fetched", async (t) => {
  const hub = await hubHere(t);
  const folder = temporaryFolder(t);
  const [dir, config] = [["--data-dir", join(folder, "data")], join(folder, "c.yaml")];
  writeFileSync(config, "models: [{ name: chat, source: smollm2-135m }]");
  writeFileSync(join(folder, "own.gguf"), "no model");
  const refused = async (...args: string[]) => {
    const { code, stderr } = await runCommand(["pull", ...args, ...dir], { cwd: folder });
    assert.equal(code, 1);
    return stderr;
  };
  assert.match(await refused("nonsense"), /^The source "nonsense" is no name of the table/);
  assert.match(await refused(SOURCE, "--name", "chat", "--config", config), /^The name chat is another model's/);
  assert.match(await refused("./own.gguf"), /own\.gguf is no GGUF file/);
  assert.equal(hub.asked.length, 0);
  assert.match(await refused("hf:owner/other"), /owner\/other/);
});

test("a file of one's own is served by name, and is not removed with it", async (t) => {
  const folder = temporaryFolder(t);
  const dir = ["--data-dir", join(folder, "data")];
  writeFileSync(join(folder, "Own.gguf"), gguf("own", 1000));
  assert.equal((await runCommand(["pull", "./Own.gguf", ...dir], { cwd: folder })).code, 0);
  assert.match((await runCommand(["models", ...dir])).stdout, /^Own +1\.0 kB +- /m);
  const { stdout } = await runCommand(["rm", "Own", ...dir]);
  assert.equal(stdout, "Own is not served any more. Its file was left where it is.\n");
  assert.ok(existsSync(join(folder, "Own.gguf")));
});

test("a pull that is interrupted says that it can go on, and does", async (t) => {
  const hub = await hubHere(t);
  hub.faults.push((response, file, from) => {
    sendHead(response, file, from);
    response.write(file.subarray(from, 25_000), () => process.emit("SIGINT", "SIGINT"));
  });
  const options = {
    source: SOURCE,
    config: parseConfig("", "c.yaml"),
    dataDir: temporaryFolder(t),
    environment: hub.environment,
  };
  const first = await pull(options, new Sink());
  assert.deepEqual(first, { text: "Stopped. What has come is kept: the same command goes on from there.", code: 130 });
  const second = await pull(options, new Sink());
  assert.equal(second.code, 0);
  assert.match(second.text, /^repo is here/);
});

test("a running server lists where its models are, and keeps those that are loaded or configured", async (t) => {
  await hubHere(t);
  const models = "models: [{ name: fixed, engine: { kind: simulated } }]";
  const server = await startLocalServer(t, { config: models, devices: "simulated:2" });
  const dir = ["--data-dir", server.dataDir];
  await runCommand(["pull", SOURCE, "--name", "mine", ...dir]);
  await server.logged(({ models: names }) => Array.isArray(names) && names.includes("mine"));
  assert.match((await runCommand(["models", ...dir])).stdout, /^mine +50\.0 kB +apache-2\.0 +\S+ +cold +-$/m);
  assert.equal((await server.run({ text: "hello", max_length: 3, model: "mine" })).status, "completed");
  assert.match(
    (await runCommand(["models", ...dir])).stdout,
    /^mine +50\.0 kB +apache-2\.0 +GPU \d +ready +\d s ago$/m,
  );
  const removed = async (name: string) => (await runCommand(["rm", name, ...dir])).stderr;
  assert.match(await removed("mine"), /^The model mine is loaded on GPU \d/);
  assert.match(await removed("fixed"), /^The model fixed stands in the configuration/);
});

test("progress is one line that is written over on a terminal, and plain lines elsewhere", () => {
  const figures = [
    { bytes: 0, total: 1e9, rate: 0 },
    { bytes: 34e7, total: 1e9, rate: 12e6 },
    { bytes: 341e6, total: 1e9, rate: 12e6 },
  ];
  const said = (terminal: boolean) => {
    const sink = Object.assign(new Sink(), terminal ? { isTTY: true, columns: 40 } : {});
    const progress = progressOn(sink, "m");
    for (const one of figures) progress.show(one);
    progress.end();
    return sink.text;
  };
  assert.equal(said(false), "m: 0 %, 0 B/s, 0 B of 1.0 GB\nm: 34 %, 12.0 MB/s, 340 MB of 1.0 GB, 55 s left\n");
  assert.equal(said(true).split("\r\u001b[K").at(2), "m: 34 %, 12.0 MB/s, 340 MB of 1.0 GB, 5");
  assert.ok(said(true).endsWith("\r\u001b[K"));
});

test("sizes and times are in the units that people read", () => {
  assert.deepEqual([0, 999, 1000, 98_362_432, 4_900_000_000, 999_999].map(sizeWords), [
    "0 B",
    "999 B",
    "1.0 kB",
    "98.4 MB",
    "4.9 GB",
    "1.0 MB",
  ]);
  assert.deepEqual([1, 89, 90, 3600, 7500].map(durationWords), ["1 s", "89 s", "2 min", "1 h 0 min", "2 h 5 min"]);
});

test("in a narrow terminal a path gives way, and a reason stands under its model", () => {
  const model: ListedModel = {
    name: "chat",
    source: "hf:a/b",
    licence: null,
    size_bytes: 5e9,
    path: "/home/somebody/.cache/huggingface/hub/models--a--b/snapshots/0/b.gguf",
    gpu_ids: [],
    state: "failed",
    reason: "It cannot be loaded.",
    last_used_at: 1000,
  };
  const lines = modelsTable([model], 60, 61_000).split("\n");
  assert.ok(lines.every((line) => line.length <= 60));
  assert.match(lines[1]!, /^chat +5\.0 GB +- +\S+…\S+ +failed +60 s ago$/);
  assert.equal(lines[2], "  It cannot be loaded.");
});

class Sink extends Writable {
  text = "";

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}
