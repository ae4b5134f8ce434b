import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { exampleYaml } from "../tools/config-example.ts";
import { loadConfig, parseConfig } from "../src/config.ts";
import { DOCUMENT_CONFIG } from "./helpers/document.ts";

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

test("the defaults are the contract's", () => {
  const { server, auth, limits, gpu, engine } = parseConfig("", "empty.yaml");
  assert.deepEqual(
    [server.host, server.port, server.drain_timeout, server.trust_proxy],
    ["127.0.0.1", 8642, 30, false],
  );
  assert.deepEqual([auth.enabled, auth.users, auth.keys], [true, [], []]);
  assert.deepEqual(limits, { max_text_bytes: 1_048_576, max_batch_size: 1000, max_body_bytes: 67_108_864 });
  assert.deepEqual([gpu.enabled, gpu.devices], [true, "auto"]);
  const { max_concurrent_tasks_per_gpu, max_queue_size, max_queue_bytes } = gpu.multi_gpu;
  assert.deepEqual([max_concurrent_tasks_per_gpu, max_queue_size, max_queue_bytes], [8, 100_000, 1_073_741_824]);
  assert.deepEqual([gpu.multi_gpu.memory_threshold, gpu.multi_gpu.utilization_threshold], [0.9, 0.95]);
  assert.deepEqual(engine.simulated, { tokens_per_second: 100, load_seconds: 0, context: 32_768, failures: [] });
});

const REFUSED: readonly (readonly [string, string, string])[] = [
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
    "a variable that is not set",
    "store:\n  path: ${ALT_LAS_NOT_SET}/a",
    "c.yaml:2: the environment variable ALT_LAS_NOT_SET is not set.",
  ],
  [
    "a hash that is none, without repeating it",
    "auth:\n  users: [{name: a, role: user, password_hash: hunter2}]",
    'c.yaml:2: auth.users[0].password_hash must be a hash as "alt-las users hash" prints it; got something else.',
  ],
];

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

test("the environment fills in values, also numbers", () => {
  process.env["ALT_LAS_TEST_PORT"] = "9000";
  process.env["ALT_LAS_TEST_HOST"] = "127.0.0.2";
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
