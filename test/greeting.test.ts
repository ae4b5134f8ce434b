/** What a start prints: that it works, or what makes it work. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseConfig } from "../src/config/config.ts";
import { DEMO_MODEL, type Device } from "../src/gpu/inventory/devices.ts";
import { ADD_CUDA } from "../src/gpu/inventory/survey.ts";
import { type ModelEntry } from "../src/models/registry.ts";
import { greeting, type Origin } from "../src/cli/greeting.ts";
import { type Upgrade } from "../src/upgrade/upgrade.ts";
import { withoutStartLines } from "../src/log/start-lines.ts";
import { aDevice, aGpu } from "./helpers/devices.ts";
import { temporaryFolder } from "./helpers/http.ts";
import { writeEmbeddingModel } from "./helpers/tiny-models.ts";

const KEY = `altlas_${"k".repeat(43)}`;
const CPU = aDevice({
  kind: "cpu",
  name: "CPU device 0",
  engine: { ...aDevice().engine, kind: "llama", model: DEMO_MODEL },
});
const NEEDS_CUDA = aGpu({
  unfit: `llama.cpp could open nothing but the CPU here. Run "${ADD_CUDA}" to install its CUDA package.`,
  mendedBy: ADD_CUDA,
});

interface Start {
  readonly devices?: readonly Device[];
  readonly yaml?: string;
  readonly url?: string;
  /** Further addresses. */
  readonly more?: readonly string[];
  readonly firstKey?: string | null;
  readonly absentCredentials?: string | null;
  readonly driverNotes?: readonly string[];
  readonly models?: readonly ModelEntry[];
  readonly upgrade?: Upgrade | null;
  readonly origin?: Partial<Origin>;
}

function greetingOf({
  devices = [CPU],
  yaml = "",
  url = "http://127.0.0.1:8642",
  more = [],
  firstKey = KEY,
  absentCredentials = null,
  driverNotes = [],
  models = [],
  upgrade = null,
  origin,
}: Start) {
  const found = { config: parseConfig(yaml, "c.yaml"), configFile: undefined, dataDir: "/var/lib/alt-las", ...origin };
  const said = {
    url,
    addresses: [url, ...more],
    devices,
    models,
    firstKey,
    absentCredentials,
    quarantinedTo: null,
    upgrade,
    driverNotes,
  };
  return greeting(found, said);
}

test("the first line is the address, the last ones the key and what to try, and the files in use are named", () => {
  const lines = greetingOf({}).trimEnd().split("\n");
  assert.match(lines[0]!, /^ALT_LAS \S+ listens on http:\/\/127\.0\.0\.1:8642$/);
  assert.deepEqual(lines.slice(1, 4), [
    "Dashboard: http://127.0.0.1:8642/",
    "Configuration: none, the defaults hold",
    "Data directory: /var/lib/alt-las",
  ]);
  assert.deepEqual(lines.slice(-5, -1), [
    "API key of the user admin, shown only this once:",
    `  ${KEY}`,
    "",
    "Try it:",
  ]);
  assert.match(greetingOf({ origin: { configFile: "/etc/alt-las.yaml" } }), /^Configuration: \/etc\/alt-las\.yaml$/m);
  assert.match(greetingOf({}), /^Try it:\n {2}curl -s -w '\\n' http.* -d '\{"text": "Once upon a time"\}'$/m);
});

test("a key that would stay in a log is in a file instead, and the command to try takes it from the variable", () => {
  const said = greetingOf({ origin: { keyFile: "/data/first-key" } });
  assert.ok(!said.includes(KEY));
  assert.match(
    said,
    /^API key of the user admin: it is in \/data\/first-key, which only its owner can read\..*\n {2}export ALT_LAS_API_KEY="\$\(cat \/data\/first-key\)"$/m,
  );
  assert.match(said, /^Try it:\n {2}curl .*Bearer \$ALT_LAS_API_KEY/m);
});

/** What the command to try sends. */
function tried(devices: readonly Device[], yaml = ""): string | undefined {
  return /^ {2}curl .* -d '(.*)'$/m.exec(greetingOf({ devices, yaml }))?.[1];
}

function pretends(capabilities: string): string {
  return `engine: { simulated: { models: [{ capabilities: [${capabilities}] }] } }`;
}

test("data in another place than the usual one is told below it", () => {
  const said = greetingOf({ origin: { dataNotes: ["The usual place is /x. To move the data there: mv"] } });
  assert.match(said, /^Data directory: .*\nThe usual place is \/x\. To move the data there: mv\n\n/m);
});

test("where all models make vectors, what to try is an input; where one generates, a text", (t) => {
  const model = join(temporaryFolder(t), "vectors.gguf");
  writeEmbeddingModel(model);
  const vectors = { ...CPU, engine: { ...CPU.engine, model } };
  const pretender: Device = { ...CPU, id: 1, engine: { ...CPU.engine, kind: "simulated" } };
  for (const devices of [[vectors], [vectors, pretender]])
    assert.equal(tried(devices, pretends("embedding")), '{"input": "Once upon a time"}');
  assert.equal(tried([vectors, { ...CPU, id: 1 }], ""), '{"text": "Once upon a time"}');
  assert.equal(tried([pretender], pretends("embedding, completion")), '{"text": "Once upon a time"}');
});

test("a dashboard that is switched off is not named", () => {
  assert.doesNotMatch(greetingOf({ yaml: "dashboard: { enabled: false }" }), /Dashboard/);
});

/** What a terminal gets of these lines. */
function seenOf(...lines: readonly object[]): string[] {
  const seen: string[] = [];
  const stream = withoutStartLines({ write: (line) => void seen.push((JSON.parse(line) as { msg: string }).msg) });
  for (const line of lines) stream.write(JSON.stringify({ level: 30, ...line }));
  return seen;
}

const LOADED = [
  { gpu: 0, msg: "loading the model: 50 %" },
  { gpu: 0, msg: "GPU state changed", state: "ready" },
  { gpu: 0, msg: "worker ready" },
];

test("the log's lines of the first loads do not follow the key on a terminal, unless something is wrong", () => {
  assert.deepEqual(seenOf(...LOADED, { msg: "task completed", task: "a", gpu: 1 }), ["task completed"]);
  assert.deepEqual(
    seenOf(...LOADED, LOADED[1]!, LOADED[2]!),
    ["GPU state changed", "worker ready"],
    "a later load is news",
  );
  assert.deepEqual(
    seenOf(LOADED[1]!, { gpu: 0, msg: "model loaded" }),
    ["model loaded"],
    "nothing was loaded at the start",
  );
  assert.deepEqual(
    seenOf(
      { msg: "took over unfinished tasks" },
      ...LOADED,
      { gpu: 1, level: 50, msg: "GPU state changed", state: "unfit" },
      { gpu: 2, msg: "x" },
    ),
    ["took over unfinished tasks", ...LOADED.map(({ msg }) => msg), "GPU state changed", "x"],
  );
});

test("GPUs that cannot be used yet get the commands that mend it, and nothing is said to be served", () => {
  const said = greetingOf({ devices: [NEEDS_CUDA, { ...NEEDS_CUDA, id: 1 }] });
  assert.match(said, /No GPU can be used yet\..*:\n {2}npm run add-gpu cuda\n {2}npm start\n/);
  assert.match(said, /Or serve from the CPU:\n {2}npm start -- --devices cpu:2\n/);
  assert.ok(said.indexOf(ADD_CUDA) < said.indexOf("GPU  NAME"), "before the table");
  assert.match(said, /^GPU 0, 1: llama\.cpp could open nothing/m);
  assert.doesNotMatch(said, /is served|Try it/);
});

test("a model or a program that cannot be used is told first with what to type, and nothing is said to be served", (t) => {
  const folder = temporaryFolder(t);
  const noModel = join(folder, "x.gguf");
  writeFileSync(noModel, "no model");
  const given = new Map([
    ["--port", "9"],
    ["--data-dir", "my data"],
    ["--model", "y.gguf"],
  ]);
  const WRONG = [
    [{ kind: "llama", model: folder }, "engine.model is .*, which is no file."],
    [{ kind: "llama-server", model: noModel, binary: process.execPath }, "engine.model is .*, which is no GGUF file."],
    [
      { kind: "llama-server", model: DEMO_MODEL, binary: "no-such-program" },
      "engine.binary is no-such-program, .*PATH",
    ],
  ] as const;
  for (const [engine, sentence] of WRONG) {
    const said = greetingOf({ devices: [{ ...CPU, engine: { ...CPU.engine, ...engine } }], origin: { given } });
    assert.match(
      said,
      new RegExp(`\n\n${sentence}.* Stop the server .*:\n  npm start -- --port 9 --data-dir 'my data'`),
    );
    assert.match(said, new RegExp(`^GPU 0: ${sentence}`, "m"));
    assert.match(said, /\(cannot be loaded\)$/m);
    assert.doesNotMatch(said, /is served|Try it/);
    assert.doesNotMatch(said, /y\.gguf --model/);
  }
});

test("a model that is not there is told with what to type, and nothing is said to be served", () => {
  for (const kind of ["llama", "llama-server"] as const) {
    const said = greetingOf({
      devices: [{ ...CPU, engine: { ...CPU.engine, kind, model: "/none/x.gguf", binary: process.execPath } }],
    });
    assert.match(said, /^engine\.model is \/none\/x\.gguf, which .*exist\..*:\n {2}npm start -- --model FILE\.gguf$/m);
    assert.match(said, /^0 .* x\.gguf \(cannot be loaded\)$/m);
    assert.match(said, /^GPU 0: engine\.model is \/none\/x\.gguf, which does not exist\.$/m);
    assert.doesNotMatch(said, /is served|Try it/);
  }
});

test("where the CPU stands in for GPUs that lack a package, the first lines say which command brings it", () => {
  const devices = [NEEDS_CUDA, { ...CPU, id: 1 }];
  for (const yaml of ["", "server: { host: 0.0.0.0 }"]) {
    const lines = greetingOf({ devices, yaml, origin: { given: new Map([["--port", "9"]]) } }).split("\n");
    assert.deepEqual(lines.slice(5, 8), [
      "No GPU is used yet: the CPU stands in. Stop the server (Ctrl+C), then:",
      `  ${ADD_CUDA}`,
      "  npm start -- --port 9",
    ]);
  }
  assert.match(greetingOf({ devices }), /^0 .* not used yet$/m);
  const works = aGpu({ id: 2, engine: CPU.engine });
  assert.doesNotMatch(greetingOf({ devices: [...devices, works] }), /No GPU is used/);
});

test("where some GPUs serve, there is something to try, and the others are told all the same", () => {
  const said = greetingOf({ devices: [NEEDS_CUDA, { ...CPU, id: 1 }] });
  assert.match(said, /^Try it:$/m);
  assert.match(said, /^GPU 0: llama\.cpp could open/m);
  assert.match(said, /^The demo model is served/m);
});

test("a driver that does not answer is told where the CPU takes the place of its GPUs", () => {
  const said = greetingOf({
    driverNotes: ["nvidia-smi lists no GPU: Failed to initialize NVML: Driver/library version mismatch."],
  });
  assert.match(
    said,
    /^WARNING: a GPU driver is installed.* The CPU serves in the place of its GPUs.*\n {2}nvidia-smi .* version mismatch\.$/m,
  );
});

test("where the file of users and keys was gone, that is said above the new key", () => {
  const said = greetingOf({
    absentCredentials: "d/credentials.json is gone, and with it the users and keys of before",
  });
  assert.match(said, /^WARNING: d\/credentials\.json is gone, .* of before\. .*\n\nAPI key of the user admin/m);
});

test("beyond loopback, other machines' address is shown, and that keys cross the network in clear text without TLS", () => {
  const open = { yaml: "server: { host: 0.0.0.0 }" };
  assert.match(greetingOf(open), /^WARNING: without TLS, keys, prompts and answers cross the network in clear text\./m);
  assert.doesNotMatch(greetingOf({}), /WARNING|Other machines/);
  const safe = { yaml: "server: { host: 0.0.0.0, tls: { cert: c.pem, key: k.pem } }", url: "https://127.0.0.1:8642" };
  assert.doesNotMatch(greetingOf(safe), /WARNING/);
  for (const [, address] of greetingOf(safe).matchAll(/^ {2}(https?:\S+)$/gm))
    assert.match(address!, /^https:.*:8642$/);
});

test("models by name are listed with what is so of their files, and the demo is not told of", () => {
  const yaml = `models:
  - { name: chat, source: smollm2-135m }
  - { name: rare, source: /none/rare.gguf, load: demand, gpus: [1] }`;
  const [chat, rare] = parseConfig(yaml, "c.yaml").models;
  const none = { commit: null, licence: null, bytes: null, fetch: null };
  const models: ModelEntry[] = [
    {
      ...none,
      settings: chat!,
      origin: "config",
      file: { state: "fetching", why: "Its file is being fetched." },
      fetch: { bytes: 34e6, total: 100e6, rate: 12e6 },
    },
    { ...none, settings: rare!, origin: "config", file: { state: "failed", why: "There is no such file." } },
  ];
  const said = greetingOf({ devices: [CPU, { ...CPU, id: 1 }], yaml, models });
  assert.match(said, /^0 +CPU device 0 .* chat$/m);
  assert.match(said, /^1 +CPU device 0 .* chat, rare$/m);
  assert.match(said, /^chat +- +at the start +is being fetched \(34 %, 12\.0 MB\/s\)$/m);
  assert.match(said, /^rare +- +when it is wanted +cannot be used\n {2}There is no such file\.$/m);
  assert.match(said, /tasks wait for it, and \/readyz says how far it is\.$/m);
  assert.match(said, /^Try it:$/m);
  assert.doesNotMatch(said, /demo/);
});

test("of a model for vectors that is yet to come, what to try is an input", () => {
  const yaml = "models: [{ name: v, source: nomic-embed-text-v1.5 }]";
  const [settings] = parseConfig(yaml, "c.yaml").models;
  const file = { state: "fetching", why: "Its file is being fetched." } as const;
  const models: ModelEntry[] = [
    { settings: settings!, origin: "config", file, commit: null, licence: null, bytes: null, fetch: null },
  ];
  assert.match(greetingOf({ yaml, models }), /-d '\{"input": "Once upon a time"\}'/);
});
