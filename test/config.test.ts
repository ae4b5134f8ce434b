import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { exampleYaml } from "../tools/config-example.ts";
import { referencePage } from "../tools/config-reference.ts";
import { loadConfig, parseConfig } from "../src/config/config.ts";
import { DOCUMENT_CONFIG } from "./helpers/document.ts";
import { setEnvironment } from "./helpers/environment.ts";

test("the document's configuration loads unchanged", () => {
  const { gpu } = parseConfig(DOCUMENT_CONFIG, "config.yaml");
  assert.equal(gpu.multi_gpu.min_batch_size_per_gpu, 4);
  assert.deepEqual(gpu.multi_gpu.task_specific_mappings, { image_segmentation: "gpu_0", text_generation: "gpu_1" });
});

test("config.example.yaml lists every key with its default, as the schema has it", () => {
  const written = readFileSync(new URL("../config.example.yaml", import.meta.url), "utf8");
  assert.equal(written, exampleYaml());
  assert.deepEqual(parseConfig(written, "config.example.yaml"), parseConfig("", "empty.yaml"));
});

test("docs/configuration-keys.md has every key, as the schema has it", () => {
  const written = readFileSync(new URL("../docs/configuration-keys.md", import.meta.url), "utf8");
  assert.equal(written, referencePage(), "node tools/config-reference.ts > docs/configuration-keys.md");
});

test("the defaults are the contract's", () => {
  const { server, auth, limits, gpu, engine } = parseConfig("", "empty.yaml");
  assert.deepEqual(
    [server.host, server.port, server.drain_timeout, server.trust_proxy],
    ["127.0.0.1", 8642, 30, false],
  );
  assert.deepEqual([auth.enabled, auth.users, auth.keys], [true, [], []]);
  assert.deepEqual(limits, {
    max_text_bytes: 1_048_576,
    max_batch_size: 1000,
    unauthenticated_connections: 1024,
    max_body_bytes: 67_108_864,
    max_file_bytes: 200_000_000,
    max_stored_file_bytes: 20_000_000_000,
  });
  assert.deepEqual([gpu.enabled, gpu.devices], [true, "auto"]);
  const { max_concurrent_tasks_per_gpu, max_queue_size, max_queue_bytes } = gpu.multi_gpu;
  assert.deepEqual([max_concurrent_tasks_per_gpu, max_queue_size, max_queue_bytes], [8, 100_000, 1_073_741_824]);
  assert.deepEqual([gpu.multi_gpu.memory_threshold, gpu.multi_gpu.utilization_threshold], [0.9, 0.95]);
  assert.deepEqual([gpu.cpu_fallback, gpu.max_temperature, gpu.min_compute_capability], [undefined, undefined, 7]);
  assert.deepEqual([gpu.health_check_interval, gpu.stall_timeout, gpu.monitoring], [60, 60, { interval_ms: 500 }]);
  assert.deepEqual([engine.kind, engine.context, engine.min_context], ["llama", undefined, 2048]);
  const simulated = {
    tokens_per_second: 100,
    load_seconds: 0,
    context: 32_768,
    memory_bytes: 0,
    failures: [],
    models: [],
  };
  assert.deepEqual(engine.simulated, simulated);
});

test("the entries with settings that config.example.yaml shows are valid", () => {
  const written = readFileSync(new URL("../config.example.yaml", import.meta.url), "utf8");
  const shown = written.split("\n").flatMap((line) => /^ {2}# {3}(- \{.*)$/.exec(line)?.[1] ?? []);
  assert.equal(shown.length, 6);
  const { gpu } = parseConfig(`gpu:\n  devices:\n${shown.map((line) => `    ${line}\n`).join("")}`, "c.yaml");
  assert.equal((gpu.devices as unknown[]).length, 6);
  const models = written.split("\n").flatMap((line) => /^# {3}(- \{ name: .*)$/.exec(line)?.[1] ?? []);
  assert.equal(parseConfig(`models:\n${models.map((line) => `  ${line}\n`).join("")}`, "c.yaml").models.length, 4);
});

function devices(yaml: string) {
  return parseConfig(`gpu: { devices: ${yaml} }`, "c.yaml").gpu.devices;
}

test("a device is named by a string, a number or an object, alone or in a list", () => {
  for (const name of [
    "auto",
    "cpu:2",
    "simulated:3",
    "gpu:1",
    "GPU-8932f937",
    "MIG-GPU-8932/1/0",
    "AMD-0000:03:00.0",
  ]) {
    assert.equal(devices(JSON.stringify(name)), name);
  }
  assert.equal(devices("3"), 3);
  assert.deepEqual(devices("{ gpu: 1, slots: null }"), { gpu: 1 });
  assert.deepEqual(devices("[auto, 0, { gpus: [1, GPU-a] }]"), ["auto", 0, { gpus: [1, "GPU-a"] }]);
});

const REFUSED: readonly (readonly [string, string, string])[] = [
  [
    "a secret of digits without quotes",
    "engine:\n  api_key: 0042",
    "c.yaml:2: engine.api_key must be a string that is not empty; got a number; put it in quotes.",
  ],
  ["an unknown key", "server:\n  prot: 1", "c.yaml:2: server.prot is not a known field; perhaps port was meant."],
  [
    "a value out of range",
    "gpu:\n  multi_gpu:\n    memory_threshold: 2",
    "c.yaml:3: gpu.multi_gpu.memory_threshold must be a number from 0 to 1; got 2.",
  ],
  ["a wrong type", "server:\n  port: '80'", 'c.yaml:2: server.port must be an integer from 0 to 65535; got "80".'],
  ["a section that is none", "gpu: 3", "c.yaml:1: gpu must be an object; got 3."],
  [
    "an unknown strategy",
    "gpu:\n  multi_gpu:\n    default_strategy: best",
    'c.yaml:3: gpu.multi_gpu.default_strategy must be one of "round_robin", "least_loaded", "memory_optimized", "task_specific", "random"; got "best".',
  ],
  [
    "a default that is not listed",
    "gpu:\n  multi_gpu:\n    strategies: [random]",
    "c.yaml:2: gpu.multi_gpu.default_strategy is least_loaded, which gpu.multi_gpu.strategies does not list.",
  ],
  ["half of TLS", "server:\n  tls:\n    cert: a.pem", "c.yaml:2: server.tls needs both cert and key, or neither."],
  [
    "no authentication for everybody",
    "server:\n  host: 0.0.0.0\nauth:\n  enabled: false",
    "c.yaml:4: auth.enabled is false, which is honoured only on a loopback address; server.host is 0.0.0.0.",
  ],
  [
    "a budget of a month, where usage is not kept for so long",
    "usage: { retention: 90000 }\ncallers:\n  defaults: { tokens_per_day: 5 }\n  teams: { research: { gpu_seconds_per_month: 5 } }",
    "c.yaml:1: usage.retention must be at least 2682000 for callers.teams.research.gpu_seconds_per_month: what was used in a month has to be kept for so long; got 90000.",
  ],
  [
    "a variable that is not set",
    "store:\n  path: ${ALT_LAS_NOT_SET}/a",
    "c.yaml:2: the environment variable ALT_LAS_NOT_SET is not set.",
  ],
  ...refusedDevices([
    [
      "a device that is none",
      "[0, tpu]",
      '[1] must be "auto", "cpu:N", "simulated:N", "gpu:INDEX", an index or a GPU\'s UUID, or an object with settings; got "tpu".',
    ],
    ["a list without devices", "[]", " must be a list with an entry at least; got a list of 0."],
    ["an object that names no GPU", "[{ slots: 2 }]", "[0] needs gpu, or gpus for several that hold one model."],
    ["both gpu and gpus", "{ gpu: 0, gpus: [1] }", " has both gpu and gpus; only one of them may be there."],
    [
      "auto with settings",
      "{ gpu: auto }",
      '.gpu must be "cpu:N", "simulated:N", "gpu:INDEX", an index or a GPU\'s UUID; got "auto".',
    ],
    [
      "a stand-in in a group",
      "[{ gpus: [0, 'cpu:1'] }]",
      '[0].gpus[1] must be "gpu:INDEX", an index or a GPU\'s UUID; got "cpu:1".',
    ],
    ["a group with a GPU twice", "[{ gpus: [0, 'gpu:0'] }]", "[0].gpus names gpu:0 twice."],
    [
      "a device's threshold",
      "[{ gpu: 0, memory_threshold: 2 }]",
      "[0].memory_threshold must be a number from 0 to 1; got 2.",
    ],
    [
      "a device's temperature",
      "{ gpu: 0, max_temperature: 500 }",
      ".max_temperature must be a number from 20 to 120; got 500.",
    ],
    ["a device's unknown key", "[{ gpu: 0, slot: 1 }]", "[0].slot is not a known field; perhaps slots was meant."],
    [
      "a device's engine",
      "[{ gpu: 0, engine: { context: 1 } }]",
      "[0].engine.context must be an integer of at least 16; got 1.",
    ],
    [
      "a simulated device that is to compute",
      "[{ gpu: 'simulated:1', engine: { kind: llama } }]",
      "[0] names simulated:1, but its engine.kind is llama; a simulated device has only the simulated engine.",
    ],
    [
      "a CPU device with the simulated engine",
      "{ gpu: 'cpu:1', engine: { kind: simulated } }",
      ' names cpu:1, but its engine is simulated; use "simulated:N" or a GPU.',
    ],
  ]),
  [
    "a server without an address",
    "engine:\n  kind: openai",
    "c.yaml:1: engine.url is missing; engine.kind openai needs the address of a server, like http://10.0.0.5:8000.",
  ],
  [
    "an address without an engine that asks there",
    "engine:\n  kind: llama\n  url: http://a:8000",
    "c.yaml:3: engine.url is there, but engine.kind is llama; only openai asks a server.",
  ],
  ...refusedDevices([
    [
      "a device's server without an address",
      "[{ name: a, engine: { kind: openai } }]",
      "[0].engine.url is missing; engine.kind openai needs the address of a server, like http://10.0.0.5:8000.",
    ],
    [
      "a device's address without an engine that asks there",
      "[{ gpu: 0, engine: { url: http://a:8000 } }]",
      "[0].engine.url is there, but engine.kind is llama; only openai asks a server.",
    ],
    [
      "a server on a GPU of this machine",
      "[{ gpu: 0, engine: { kind: openai, url: http://a:8000 } }]",
      "[0] names 0, but its engine.kind is openai, whose server has its own GPU; leave 0 out.",
    ],
    [
      "a simulated device that is to ask a server",
      "[{ gpu: 'simulated:1', engine: { kind: openai, url: http://a:8000 } }]",
      "[0] names simulated:1, but its engine.kind is openai; a simulated device has only the simulated engine.",
    ],
  ]),
  [
    "a GPU of this machine where all tasks go to servers",
    "engine: { kind: openai, url: http://a:8000 }\ngpu:\n  devices: [0]",
    "c.yaml:3: gpu.devices[0] names 0, but its engine.kind is openai, whose server has its own GPU; leave 0 out.",
  ],
  [
    "a quantized KV cache without flash attention",
    "engine:\n  flash_attention: false\n  kv_cache_type: q8_0",
    "c.yaml:3: engine.kv_cache_type is q8_0, but flash_attention is false, without which there is only f16.",
  ],
  ...refusedDevices([
    [
      "a device's quantized KV cache without flash attention",
      "[{ gpu: 0, engine: { flash_attention: false, kv_cache_type: q4_0 } }]",
      "[0].engine.kv_cache_type is q4_0, but flash_attention is false, without which there is only f16.",
    ],
  ]),
  [
    "a key that is none, without repeating it",
    "engine: { kind: openai, url: http://a:8000, api_key: [hunter2] }",
    "c.yaml:1: engine.api_key must be a string that is not empty; got a list of 1.",
  ],
  [
    "a GPU where GPUs are turned off",
    "gpu:\n  enabled: false\n  devices:\n    - cpu:1\n    - 0",
    "c.yaml:5: gpu.devices[1] names 0, but gpu.enabled is false.",
  ],
  [
    "telemetry more often than a driver bears",
    "gpu:\n  monitoring:\n    interval_ms: 10",
    "c.yaml:3: gpu.monitoring.interval_ms must be an integer from 50 to 60000; got 10.",
  ],
  [
    "a hash that is none, without repeating it",
    "auth:\n  users: [{name: a, role: user, password_hash: hunter2}]",
    'c.yaml:2: auth.users[0].password_hash must be a hash as "npx alt-las users hash" prints it; got something else.',
  ],
];

/** @param cases what is wrong, the value of `gpu.devices`, and the sentence about it without the place */
function refusedDevices(cases: readonly (readonly [string, string, string])[]): (readonly [string, string, string])[] {
  return cases.map(([what, value, rest]) => [what, `gpu:\n  devices: ${value}`, `c.yaml:2: gpu.devices${rest}`]);
}

for (const [what, yaml, sentence] of REFUSED) {
  test(`the configuration refuses ${what}`, () => {
    assert.throws(() => parseConfig(yaml, "c.yaml"), { code: "bad_config", message: sentence });
  });
}

test("what is not YAML is refused with its place", () => {
  assert.throws(() => parseConfig("server:\n  a: b: c", "c.yaml"), /^AltLasError: c\.yaml:2:\d+: not YAML: /);
});

test("a key that is null counts as absent", () => {
  assert.equal(parseConfig("server:\n  port: null\ngpu:", "c.yaml").server.port, 8642);
});

test("the environment fills in values, also numbers", (t) => {
  setEnvironment(t, { ALT_LAS_TEST_PORT: "9000", ALT_LAS_TEST_HOST: "127.0.0.2" });
  const { server } = parseConfig("server:\n  port: ${ALT_LAS_TEST_PORT}\n  host: ${ALT_LAS_TEST_HOST}", "c.yaml");
  assert.deepEqual([server.port, server.host], [9000, "127.0.0.2"]);
});

test("the command line wins over the file, and its mistakes are named", () => {
  const { server, gpu } = parseConfig("server:\n  port: 1", "c.yaml", { port: 2, devices: "cpu:1,cpu:2" });
  assert.deepEqual([server.port, gpu.devices], [2, ["cpu:1", "cpu:2"]]);
  assert.throws(
    () => parseConfig("", "c.yaml", { devices: "tpu" }),
    /^AltLasError: Command line: gpu\.devices must be "auto"/,
  );
});

test("a file that is not there is named", () => {
  assert.throws(
    () => loadConfig("no/such.yaml"),
    /^AltLasError: The configuration file no\/such\.yaml cannot be read: /,
  );
});

test("a caller whose name is written with letters of several characters is refused, as its limits would hold for nobody", () => {
  for (const kind of ["users", "teams", "keys"])
    assert.throws(
      () => parseConfig(`callers: { ${kind}: { "jose\u0301": { tokens_per_day: 1 } } }`, "c.yaml"),
      /^AltLasError: c\.yaml:1: callers\.\w+\.\S+ has letters that are made of several characters; write "jos\u00e9"\.$/,
    );
  assert.ok(parseConfig('callers: { users: { "jos\u00e9": { texts: never } } }', "c.yaml"));
});
