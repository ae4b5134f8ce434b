/** `alt-las doctor`: what is wrong is found and told with what mends it, and no secret is on the page. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { stringify } from "yaml";
import { ConfigSchema } from "../src/config/schema.ts";
import { parseConfig } from "../src/config/config.ts";
import { type Path } from "../src/config/findings.ts";
import { type SchemaPart } from "../src/config/environment.ts";
import { type Cards, cardFacts, devicesAtAStart } from "../src/doctor/cards.ts";
import { doctorReport } from "../src/doctor/doctor.ts";
import { disk, limits } from "../src/doctor/machine.ts";
import { doctorPage } from "../src/doctor/page.ts";
import { scrubbed, withoutSecrets } from "../src/doctor/secrets.ts";
import { server, told } from "../src/doctor/server.ts";
import { type ServerStatus } from "../src/doctor/server-status.ts";
import { settings } from "../src/doctor/settings.ts";
import { VERSION } from "../src/common/version.ts";
import { NOTHING } from "../src/gpu/inventory/probe.ts";
import { turkishPhrases } from "../src/words/words.ts";
import { card } from "./helpers/gpu-identities.ts";
import { newFolder } from "./helpers/server.ts";

const NO_CARDS = { gpus: [], sources: [], notes: [], failure: null };

const probe = () => Promise.resolve(NOTHING);
const urlOf = () => null;

/** Drivers that list nothing, without asking any. */
const look = (): Promise<Cards> =>
  Promise.resolve({ ...cardFacts(NO_CARDS, [], []), found: NO_CARDS, silent: [], pci: [] });

function examine(folder: string, yaml = "server: { port: 0 }", environment: NodeJS.ProcessEnv = {}) {
  const config = join(folder, "c.yaml");
  writeFileSync(config, yaml);
  const options = { why: "named by --data-dir", notes: [], config, environment, urlOf, look, probe };
  return doctorReport({ dataDir: join(folder, "data"), ...options });
}

/** Every place of the schema that holds a secret; 0 stands for a place in a list, `name` for a name that people choose. */
function secretPlaces(part: SchemaPart, path: Path = []): Path[] {
  const { properties = {}, patternProperties = {}, items, anyOf = [], then, else: other } = part;
  const inner: [string | number, SchemaPart][] = [
    ...Object.entries(properties),
    ...Object.values(patternProperties).map((one): [string, SchemaPart] => ["name", one]),
    ...(items === undefined ? [] : [[0, items] as [number, SchemaPart]]),
  ];
  const same = [...anyOf, then, other].filter((one) => one !== undefined);
  return [
    ...(part.secret === true ? [path] : []),
    ...inner.flatMap(([name, one]) => secretPlaces(one, [...path, name])),
    ...same.flatMap((one) => secretPlaces(one, path)),
  ];
}

/** A value as the only one of a configuration. */
function nested([key, ...rest]: Path, value: unknown): unknown {
  if (key === undefined) return value;
  return typeof key === "number" ? [nested(rest, value)] : { [key]: nested(rest, value) };
}

const PLACES = secretPlaces(ConfigSchema as unknown as SchemaPart);
const HEX = "0123456789abcdef".split("");
const secret = fc.oneof(
  fc.string({ minLength: 8, maxLength: 30, unit: fc.constantFrom(..."abcXYZ012$^.*\\/'\"#: {}[]-_".split("")) }),
  fc.string({ minLength: 64, maxLength: 64, unit: fc.constantFrom(...HEX) }),
  fc
    .string({ minLength: 8, maxLength: 9, unit: fc.constantFrom(...HEX) })
    .map((text) => `scrypt$1$1$1$${text}$${text}`),
);

/** Whether a text is in any text of a value. */
function shows(value: unknown, text: string): boolean {
  if (typeof value === "string") return value.includes(text);
  if (value === null || typeof value !== "object") return false;
  return Object.entries(value).some(([name, inner]) => name.includes(text) || shows(inner, text));
}

test("no secret of any secret key is shown, whether the configuration is right or wrong", (t) => {
  assert.ok(PLACES.length >= 4, "the schema has secrets");
  const folder = newFolder(t);
  const file = join(folder, "c.yaml");
  const around = fc.constantFrom<(value: unknown) => unknown>(
    (value) => value,
    (value) => [value],
    (value) => ({ inside: value }),
  );
  fc.assert(
    fc.property(fc.constantFrom(...PLACES), secret, around, (path, text, wrap) => {
      writeFileSync(file, stringify(nested(path, wrap(text))));
      const { facts, problems, secrets } = settings(file, folder);
      assert.ok(!shows(withoutSecrets({ facts, problems }, secrets), text.trim()));
    }),
    { numRuns: 100 },
  );
});

test("a configuration with every kind of secret is shown without them, and so is the environment", async (t) => {
  const folder = newFolder(t);
  const hidden = [
    "f".repeat(64),
    "sk-upstream-1",
    "sk-device-22",
    "login:password9",
    "signature-5",
    "hub-token-77",
    "altlas_own_key_1",
  ];
  const [sha256, upstream, device, login, signature, hub, own] = hidden;
  const yaml = `
auth: { users: [{ name: ann, role: user, password_hash: "scrypt$1$1$1$aaaaaaaaaa$bbbbbbbbbb" }], keys: [{ name: k, user: ann, sha256: ${sha256} }] }
engine: { kind: openai, url: "http://${login}@127.0.0.1:1/?sig=${signature}", api_key: ${upstream} }
gpu: { devices: [{ engine: { url: "http://127.0.0.1:1", api_key: ${device} } }] }
server: { port: 0 }
`;
  const report = await examine(folder, yaml, { HF_TOKEN: hub, ALT_LAS_API_KEY: own });
  const page = doctorPage(report) + JSON.stringify(report);
  for (const text of [...hidden, "aaaaaaaaaa"]) assert.ok(!page.includes(text!), text);
  assert.match(page, /engine\.url: "http:\/\/127\.0\.0\.1:1\/\?…" \(file\)/);
  assert.match(page, /engine\.api_key: \[secret\] \(file\)/);
  assert.match(page, /auth\.users: 1 \(file\)/);
  assert.equal(scrubbed("see https://u:p@h/x?token=1#y.", []), "see https://h/x?…");
});

test("where nothing is wrong, that is said, and nothing is made or changed", async (t) => {
  const folder = newFolder(t);
  const report = await examine(folder);
  assert.deepEqual(report.problems, []);
  assert.equal(report.ok, true);
  assert.equal(existsSync(join(folder, "data")), false);
  const page = doctorPage(report);
  for (const words of [`  alt las: ${VERSION}`, "CARDS", "  has data: no", "SERVER", "A START"])
    assert.ok(page.includes(words), words);
  assert.match(page, / {4}0: CPU device 0 .* slots, engine llama: can serve\n/);
  assert.ok(page.endsWith("Nothing is wrong."));
});

/** Runs work on a terminal that speaks Turkish. */
function inTurkish<T>(work: () => T): T {
  const before = process.env;
  process.env = { ...before, LC_ALL: "tr_TR.UTF-8" };
  try {
    return work();
  } finally {
    process.env = before;
  }
}

test("the page is in the language of the terminal, with each of its labels", async (t) => {
  const folder = newFolder(t);
  mkdirSync(join(folder, "data"));
  writeFileSync(join(folder, "data", "gpus.json"), "{");
  const { facts, problems, ...report } = await examine(folder);
  const models = [{ model: "m", state: "failed", reason: null }];
  const running = told({
    ...STATUS,
    ready: false,
    gpus: [{ id: 0, name: "L4", status: "ready", reason: null, models }],
  });
  const found = { ...NO_CARDS, gpus: [card("GPU-1", "00000000:01:00.0")] };
  const full = await disk({ models: folder }, Infinity);
  const cards = cardFacts(
    found,
    ["x"],
    [{ busId: "00000000:01:00.0", vendor: "nvidia", deviceId: "0x2330", driver: null }],
  );
  const all = { ...facts, cards: cards.facts, server: running.facts, disk: full.facts };
  const wrong = [...problems, ...cards.problems, ...running.problems, ...full.problems];
  const page = inTurkish(() => doctorPage({ ...report, facts: all, problems: wrong }));
  assert.match(page, /^VERİ$[^]*^ {2}veri var: evet$[^]*^YANLIŞ OLANLAR$/m);
  const labels = Array.from(page.matchAll(/^ {2}(\S[^:\n]+:)/gm), ([, label]) => label!);
  const table = new Set(Object.values(turkishPhrases()));
  assert.ok(labels.length > 30);
  assert.deepEqual(
    labels.filter((label) => !table.has(label)),
    [],
  );
  assert.doesNotMatch(page, /(?<![\w.:/-])(?:the|is|are|of|not|has|have|which|cannot|by|none|never|yes)(?![\w./-])/i);
});

test("a configuration, a folder and files that cannot be used are problems, each with what mends it", async (t) => {
  const folder = newFolder(t);
  const wrong = await examine(folder, "server: { port: 99999 }");
  assert.equal(wrong.ok, false);
  assert.match(wrong.problems[0]!.problem, /server\.port must be .*99999/);
  assert.match(wrong.problems[0]!.mend!, /^npx alt-las validate-config --config \S+ --data-dir \S+$/);
  const missing = await examine(folder, "{ server: { port: 0 }, engine: { model: /none.gguf } }");
  assert.match(
    doctorPage(missing),
    /1\. .*\/none\.gguf, which does not exist.*\n {3}To mend it: npx alt-las validate-config/,
  );
  writeFileSync(join(folder, "data"), "");
  assert.match((await examine(folder)).problems[0]!.problem, /data is no folder\. Name another one with --data-dir\.$/);
});

test("a damaged database, damaged JSON files and lost credentials are found", async (t) => {
  const folder = newFolder(t);
  mkdirSync(join(folder, "data"));
  writeFileSync(join(folder, "data", "alt-las.db"), "x".repeat(10_000));
  writeFileSync(join(folder, "data", "gpus.json"), "{");
  const said = (await examine(folder)).problems.map(({ problem }) => problem).join("\n");
  assert.match(said, /gpus\.json is damaged: it is not JSON/);
  assert.match(said, /alt-las\.db cannot be read: .* a backup has what was in it/);
  assert.match(
    said,
    /credentials\.json is gone, and with it the users and keys of before\. Put a copy back, or restore/,
  );
});

test("little disk, few descriptors, a small heap and a silent driver are problems", async (t) => {
  const folder = newFolder(t);
  const full = await disk({ models: join(folder, "not", "there") }, Infinity);
  assert.match(full.problems[0]!.problem, /^The disk of \S+ has .* left for models\./);
  assert.deepEqual((await disk({ data: folder }, 0)).problems, []);
  assert.match(limits({ limit: 256, open: 20 }).problems[0]!.problem, /256 files and connections/);
  assert.match(limits(null, 2 ** 20).problems[0]!.problem, /heap is limited to 1\.0 MiB/);
  const silent = cardFacts(NO_CARDS, ["NVML lists no GPU."], []);
  assert.match(silent.problems[0]!.problem, /has no GPU to offer: NVML lists no GPU\./);
});

test("GPUs that a start could not use are told with the command, and no number is given to them", async (t) => {
  const dataDir = newFolder(t);
  const found = { ...NO_CARDS, gpus: [card("GPU-a", "0000:01:00.0", { name: "L4" })] };
  const config = parseConfig("engine: { model: /m.gguf }", "c.yaml");
  const options = { config, dataDir, cards: { found, silent: [], pci: [] }, environment: {} };
  const { problems } = await devicesAtAStart({ ...options, probe });
  assert.match(problems[0]!.problem, /^GPU 0: Not used yet: .* CUDA/);
  assert.equal(problems[0]!.mend, "npm run add-gpu cuda");
  assert.equal(existsSync(join(dataDir, "gpus.json")), false);
});

const STATUS: ServerStatus = {
  version: VERSION,
  node: "24.0.0",
  pid: 1,
  uptime_seconds: 1,
  ready: true,
  reason: null,
  driver_notes: [],
  memory_bytes: 1,
  heap_limit_bytes: 1,
  open_files: null,
  gpus: [],
};

test("what a server says of itself becomes problems once each", () => {
  const why = 'Not used yet. Run "npm run add-gpu cuda" to install its CUDA package.';
  const gpu = { name: "L4", status: "unfit", reason: why, models: [] } as const;
  const failed = {
    ...gpu,
    id: 2,
    status: "ready",
    reason: null,
    models: [{ model: "m", state: "failed", reason: "No memory." }],
  } as const;
  const status = {
    ...STATUS,
    version: "0.0.9",
    ready: false,
    reason: "No GPU serves.",
    gpus: [{ ...gpu, id: 0 }, { ...gpu, id: 1 }, failed],
  };
  assert.deepEqual(
    told(status).problems.map(({ problem, mend }) => [problem, mend]),
    [
      [`The server that runs is version 0.0.9, and this command ${VERSION}: stop it, and start it again.`, "npm start"],
      ["The server is not ready: No GPU serves.", null],
      [`GPU 0, GPU 1: ${why}`, "npm run add-gpu cuda"],
      ["The model m on GPU 2: No memory.", null],
    ],
  );
  assert.deepEqual(told(STATUS).problems, []);
});

test("another program at the port is a problem, and another server or nobody is none", async (t) => {
  const answers = [
    "no JSON",
    '{"version":"0.1.0","status":"ready","gpus":{"total":2,"ready":2,"lost":0}}',
    '{"version":"0.1.0","status":"not ready","reason":"No GPU serves."}',
  ];
  const other = createServer((_request, response) => response.end(answers.shift()));
  other.listen(0, "127.0.0.1");
  await once(other, "listening");
  const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
  const folder = newFolder(t);
  assert.match((await server(folder, true, { url })).problems[0]!.problem, /^Another program listens at http:/);
  const elsewhere = await server(folder, true, { url });
  assert.deepEqual([elsewhere.runs, elsewhere.problems], [false, []]);
  assert.match(String(elsewhere.facts["runs"]), /^none on these data; ALT_LAS 0\.1\.0 answers at/);
  assert.deepEqual(elsewhere.facts["gpus"], ["2 total", "2 ready"]);
  assert.match(
    (await server(folder, true, { url })).problems[0]!.problem,
    /is not ready: No GPU serves\. npx alt-las doctor/,
  );
  other.closeAllConnections();
  other.close();
  await once(other, "close");
  assert.deepEqual(await server(folder, true, { url }), { facts: { runs: null }, problems: [], runs: false });
});
