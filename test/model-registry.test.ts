/** The models that a server knows by name: found, fetched from a hub on loopback, remembered, and followed as files come and go. */
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { test, type TestContext } from "node:test";
import { beginBackup } from "../src/backup/backup.ts";
import { restoreBackup } from "../src/backup/restore.ts";
import { parseConfig } from "../src/config/config.ts";
import { type ServedModel } from "../src/gpu/served.ts";
import { createLogger } from "../src/log/log.ts";
import { changePulled, pulledPath, readPulled } from "../src/models/pulled.ts";
import { type ModelEntry, ModelRegistry } from "../src/models/registry.ts";
import { SqliteStore } from "../src/store/sqlite/sqlite.ts";
import { temporaryFolder } from "./helpers/http.ts";
import { briefly, toldToOperators } from "./helpers/operators.ts";
import { gguf, type StandInHub, startHub } from "./helpers/stand-in-hub.ts";

const FILE = "a-Q4_K_M.gguf";
const SOURCE = `hf:owner/repo/${FILE}`;

interface Held {
  readonly registry: ModelRegistry;
  readonly dataDir: string;
  readonly log: string[];
  /** Resolves when it holds for the entries. */
  until(holds: (entries: readonly ModelEntry[]) => boolean): Promise<void>;
  entry(name: string): ModelEntry;
}

interface Given {
  readonly yaml?: string;
  readonly dataDir?: string;
  readonly environment?: NodeJS.ProcessEnv;
  readonly inUse?: (name: string) => string | null;
}

function hold(t: TestContext, { yaml = "", environment = {}, inUse, ...given }: Given = {}): Held {
  const dataDir = given.dataDir ?? temporaryFolder(t);
  const log: string[] = [];
  const changes = new EventEmitter();
  const registry = new ModelRegistry({
    config: parseConfig(yaml, "c.yaml"),
    dataDir,
    environment: { HOME: dataDir, ...environment },
    log: createLogger("info", { write: (line: string) => void log.push(line) }),
    changed: (_models: readonly ServedModel[]) => void changes.emit("changed"),
    ...(inUse && { inUse }),
    timing: { retryPauses: [0.001, 0.001], looks: 5 },
  });
  t.after(() => registry.stop());
  return {
    registry,
    dataDir,
    log,
    until: async (holds) => {
      while (!holds(registry.entries())) await once(changes, "changed", { signal: AbortSignal.timeout(20_000) });
    },
    entry: (name) => registry.entries().find(({ settings }) => settings.name === name)!,
  };
}

const isThere = ({ file }: ModelEntry): boolean => file?.state === "there";

async function hubWithModel(t: TestContext): Promise<StandInHub> {
  return startHub(t, { [FILE]: gguf("a", 50_000) });
}

test("a model of the configuration is fetched at the start, and found without a question after it", async (t) => {
  const hub = await hubWithModel(t);
  const yaml = `models: [{ name: chat, source: "${SOURCE}" }]`;
  const first = hold(t, { yaml, environment: hub.environment });
  await first.registry.find();
  assert.equal(first.entry("chat").file?.state, "fetching");
  first.registry.start();
  await first.until((entries) => entries.every(isThere));
  const { file, commit, licence, bytes, origin } = first.entry("chat");
  assert.deepEqual([commit, licence, bytes, origin], [hub.commit, "apache-2.0", 50_000, "config"]);
  assert.equal(file?.state === "there" && file.path, hub.cached("snapshots", hub.commit, FILE));
  assert.deepEqual(readPulled(first.dataDir), [], "it was not pulled");
  const asked = hub.asked.length;
  const second = hold(t, { yaml, environment: hub.environment });
  await second.registry.find();
  assert.deepEqual([second.entry("chat").file, second.entry("chat").commit], [file, hub.commit]);
  assert.equal(hub.asked.length, asked);
});

test("a fetch that fails is tried again, and says why meanwhile", async (t) => {
  const hub = await hubWithModel(t);
  hub.hubFaults.push((response) => void response.writeHead(403).end());
  const held = hold(t, { yaml: `models: [{ name: chat, source: "${SOURCE}" }]`, environment: hub.environment });
  const told = toldToOperators(t);
  held.registry.start();
  await held.until(([chat]) => chat!.file?.state === "failed");
  const { file } = held.entry("chat");
  assert.match(file?.state === "failed" ? file.why : "", /\. It is tried again 0\.001 s later\.$/);
  await held.until((entries) => entries.every(isThere));
  assert.deepEqual(briefly(told), ["model fetch_failed", "model fetched"]);
  assert.equal(told[0]!.model, "chat");
});

test("what was pulled is served by its short name when it is wanted, also after a restart", async (t) => {
  const hub = await hubWithModel(t);
  const first = hold(t, { environment: hub.environment });
  first.registry.start();
  const { settings, file } = first.registry.pull(SOURCE);
  assert.deepEqual([settings.name, settings.load, file?.state], ["a-q4_k_m", "demand", "fetching"]);
  await first.until((entries) => entries.length === 1 && entries.every(isThere));
  assert.equal(first.registry.pull(SOURCE).settings.name, "a-q4_k_m", "again is no fault");
  const second = hold(t, { dataDir: first.dataDir, environment: hub.environment });
  const [entry] = second.registry.entries();
  assert.deepEqual([entry!.settings.name, entry!.origin, isThere(entry!)], ["a-q4_k_m", "pulled", true]);
  assert.equal(entry!.licence, "apache-2.0");
});

test("a pull that was cut off by the end of its server goes on at the next start", async (t) => {
  const hub = await hubWithModel(t);
  const first = hold(t, { environment: hub.environment });
  first.registry.pull(SOURCE, "mine");
  await first.registry.stop();
  const second = hold(t, { dataDir: first.dataDir, environment: hub.environment });
  second.registry.start();
  await second.until((entries) => entries.length === 1 && entries.every(isThere));
  assert.equal(second.entry("mine").settings.source, SOURCE);
});

test("a restored server knows what was pulled, and fetches again what is not on its machine", async (t) => {
  const hub = await hubWithModel(t);
  const first = hold(t, { environment: hub.environment });
  first.registry.start();
  first.registry.pull(SOURCE, "mine");
  await first.until((entries) => entries.length === 1 && entries.every(isThere));
  await first.registry.stop();
  const [here] = readPulled(first.dataDir);
  const databasePath = join(first.dataDir, "alt-las.db");
  const store = new SqliteStore({ path: databasePath });
  await store.open();
  const signal = new AbortController().signal;
  const bytes = await buffer(await beginBackup({ copier: store, databasePath, dataDir: first.dataDir }, signal));
  await store.close();
  const file = join(first.dataDir, "backup.tar");
  writeFileSync(file, bytes);
  const folder = temporaryFolder(t);
  await restoreBackup(file, join(folder, "same machine"));
  assert.deepEqual(readPulled(join(folder, "same machine")), [here]);
  rmSync(here!.file!.path);
  const dataDir = join(folder, "other machine");
  await restoreBackup(file, dataDir);
  assert.deepEqual(readPulled(dataDir), [{ ...here, file: null }]);
  const second = hold(t, { dataDir, environment: hub.environment });
  await second.registry.find();
  second.registry.start();
  await second.until((entries) => entries.length === 1 && entries.every(isThere));
  assert.equal(second.entry("mine").settings.source, SOURCE);
  assert.deepEqual(readPulled(dataDir), [here]);
});

test("names are unique, and a model of the configuration has its name first", async (t) => {
  const hub = await hubWithModel(t);
  const held = hold(t, {
    yaml: `models: [{ name: chat, aliases: [gpt], source: "${SOURCE}" }]`,
    environment: hub.environment,
  });
  const pull = (source: string, name?: string) => () => held.registry.pull(source, name);
  assert.throws(pull("hf:owner/other", "gpt"), { code: "conflict", message: /The name gpt is another model's/ });
  assert.throws(pull("hf:owner/other", "no name"), { code: "invalid_input", message: /The name of a model must be/ });
  assert.throws(pull("nonsense"), { code: "invalid_input", message: /A source is/ });
  held.registry.pull("hf:owner/other", "other");
  assert.throws(pull("hf:owner/third", "other"), { code: "conflict" });
  // As another process may have written it before the configuration had the name.
  changePulled(held.dataDir, (models) => [
    ...models,
    { name: "chat", source: "smollm2-135m", pulled_at: 1, file: null },
  ]);
  const later = hold(t, { yaml: `models: [{ name: chat, source: "${SOURCE}" }]`, dataDir: held.dataDir });
  assert.deepEqual(
    later.registry.entries().map(({ settings, origin }) => [settings.name, origin]),
    [
      ["chat", "config"],
      ["other", "pulled"],
    ],
  );
});

test("only what was pulled and is not in use can be removed", async (t) => {
  const held = hold(t, {
    yaml: "models: [{ name: chat, source: /no/such.gguf }]",
    inUse: (name) => (name === "busy" ? "The model busy is loaded on GPU 0." : null),
  });
  held.registry.pull("./a.gguf", "idle");
  held.registry.pull("./b.gguf", "busy");
  await assert.rejects(held.registry.remove("nobody"), { code: "not_found" });
  await assert.rejects(held.registry.remove("chat"), { code: "conflict", message: /stands in the configuration/ });
  await assert.rejects(held.registry.remove("busy"), { code: "conflict", message: /is loaded on GPU 0/ });
  await held.registry.remove("idle");
  assert.deepEqual(
    readPulled(held.dataDir).map(({ name }) => name),
    ["busy"],
  );
});

test("a running server follows what another process pulls and removes", async (t) => {
  const path = join(temporaryFolder(t), "a.gguf");
  writeFileSync(path, gguf("a", 1000));
  const held = hold(t);
  held.registry.start();
  const file = { path, bytes: 1000, commit: null, licence: "mit" };
  changePulled(held.dataDir, () => [{ name: "a", source: SOURCE, pulled_at: 1, file }]);
  await held.until(([a]) => a !== undefined && isThere(a));
  assert.equal(held.entry("a").licence, "mit");
  changePulled(held.dataDir, () => []);
  await held.until((entries) => entries.length === 0);
});

test("a model whose file has vanished says so, and comes back with it", async (t) => {
  const folder = temporaryFolder(t);
  const [path, away] = [join(folder, "a.gguf"), join(folder, "away")];
  writeFileSync(path, gguf("a", 1000));
  const held = hold(t, { yaml: `models: [{ name: chat, source: ${path} }]` });
  held.registry.start();
  assert.deepEqual(held.entry("chat").file, { state: "there", path, bytes: 1000 });
  renameSync(path, away);
  await held.until(([chat]) => chat!.file?.state === "failed");
  const { file } = held.entry("chat");
  assert.match(file?.state === "failed" ? file.why : "", /a\.gguf does not exist\.$/);
  renameSync(away, path);
  await held.until((entries) => entries.every(isThere));
  writeFileSync(path, "no model at all");
  await held.until(([chat]) => chat!.file?.state === "failed");
  assert.match(JSON.stringify(held.entry("chat").file), /is no GGUF file/);
});

test("a damaged list is told and changes nothing, and is never overwritten", async (t) => {
  const held = hold(t);
  writeFileSync(pulledPath(held.dataDir), "{");
  const later = hold(t, { dataDir: held.dataDir });
  assert.deepEqual(later.registry.entries(), []);
  assert.match(later.log.join(""), /models\.json is damaged: it is not JSON/);
  assert.throws(() => later.registry.pull("./a.gguf"), { code: "bad_config", message: /damaged/ });
  assert.equal(readFileSync(pulledPath(held.dataDir), "utf8"), "{");
});

function configOf(entries: string) {
  return parseConfig(`models: [${entries}]`, "c.yaml");
}

test("another configuration keeps what it has in common with the one before", async (t) => {
  const hub = await hubWithModel(t);
  const held = hold(t, { yaml: "models: [{ name: a, source: ./a.gguf }]" });
  held.registry.start();
  const before = held.registry.served()[0];
  held.registry.configure(configOf("{ name: a, source: ./a.gguf }, { name: b, source: ./b.gguf }"));
  assert.equal(held.registry.served()[0], before);
  assert.deepEqual(
    held.registry.entries().map(({ settings }) => settings.name),
    ["a", "b"],
  );
  held.registry.configure(configOf("{ name: b, source: ./b.gguf }"));
  assert.deepEqual(
    held.registry.entries().map(({ settings }) => settings.name),
    ["b"],
  );
  assert.equal(hub.asked.length, 0);
});

test("pulled models are not served where models_from_cache is false", async (t) => {
  const held = hold(t);
  held.registry.pull("./a.gguf", "a");
  const without = hold(t, { yaml: "models_from_cache: false", dataDir: held.dataDir });
  assert.deepEqual(without.registry.entries(), []);
  assert.throws(() => without.registry.pull("./a.gguf"), { code: "invalid_input" });
});

test("a fetch tells its begin, its steps and its end in the log", async (t) => {
  const hub = await hubWithModel(t);
  const held = hold(t, { environment: hub.environment });
  held.registry.start();
  held.registry.pull(SOURCE, "mine");
  await held.until((entries) => entries.length === 1 && entries.every(isThere));
  const said = held.log.map((line) => (JSON.parse(line) as { msg: string }).msg);
  assert.match(said.at(-1)!, /^its file is here: 50\.0 kB/);
});

test("a model that is removed leaves the other version of its file that another model has", async (t) => {
  const hub = await hubWithModel(t);
  const held = hold(t, { environment: hub.environment });
  held.registry.start();
  held.registry.pull(`${SOURCE}@${hub.commit}`, "pinned");
  await held.until((entries) => entries.length === 1 && entries.every(isThere));
  hub.commit = hub.commit.replace("0", "f");
  hub.files[FILE] = gguf("newer", 5000);
  held.registry.pull(SOURCE, "newest");
  await held.until((entries) => entries.length === 2 && entries.every(isThere));
  await held.registry.remove("newest");
  const { file } = held.entry("pinned");
  assert.ok(file?.state === "there" && readFileSync(file.path).length === 50_000);
});

test("a model that leaves the configuration while its file is looked for is not fetched", async (t) => {
  const hub = await hubWithModel(t);
  const held = hold(t, { environment: hub.environment });
  held.registry.start();
  held.registry.configure(configOf(`{ name: a, source: "${SOURCE}" }`));
  held.registry.configure(configOf(`{ name: b, source: "hf:owner/repo:Q4_K_M" }`));
  await held.until((entries) => entries.every(isThere));
  assert.equal(hub.asked.filter(({ path }) => path.includes("/revision/")).length, 1);
});

test("a name that could not be written into an address is refused", (t) => {
  const { registry } = hold(t);
  for (const name of ["..", ".", "../x", "a/../b", "a/.."])
    assert.throws(() => registry.pull("./a.gguf", name), {
      code: "invalid_input",
      message: /no '\.' or '\.\.' between/,
    });
  assert.throws(() => registry.pull("./...gguf"), { code: "invalid_input" });
  assert.equal(registry.pull("./a.gguf", "a..b/.c:1.5").settings.name, "a..b/.c:1.5");
});
