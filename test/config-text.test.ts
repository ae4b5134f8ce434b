/** Configuration files as people write them: the environment in them, everything that is wrong with them at once, and damage. */
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import fc from "fast-check";
import { anyText } from "./helpers/any-text.ts";
import { checkFiles, type Config, loadConfig, parseConfig } from "../src/config/config.ts";
import { redacted } from "../src/config/keys.ts";
import { AltLasError } from "../src/errors.ts";
import { DEMO_MODEL } from "../src/gpu/inventory/devices.ts";
import { setEnvironment } from "./helpers/environment.ts";
import { temporaryFolder } from "./helpers/http.ts";

const NAME = "ALT_LAS_TEST_VALUE";

/** Of a file with `${V}` in it, while the variable has this value; undefined: it is not set. */
function withVariable(value: string | undefined, yaml: string): Config {
  if (value === undefined) delete process.env[NAME];
  else process.env[NAME] = value;
  try {
    return parseConfig(yaml.replaceAll("${V", `\${${NAME}`), "c.yaml");
  } finally {
    delete process.env[NAME];
  }
}

const SERVER = "engine:\n  kind: openai\n  url: http://127.0.0.1:9\n  api_key: ";

test("a key that takes a string gets the text of a variable as it is, quoted or not", () => {
  for (const value of ["12345", "0042", "-7", "3.50", "true", "1e5", "null", "[a]", " "]) {
    for (const written of ["${V}", '"${V}"', "'${V}'"])
      assert.equal(withVariable(value, SERVER + written).engine.api_key, value, `${written} with ${value}`);
  }
  assert.equal(withVariable("007", `${SERVER}"key-\${V}"`).engine.api_key, "key-007");
});

test("a key that takes a number or true and false gets that, and a sentence when the text is none", () => {
  assert.equal(withVariable("9000", "server: { port: '${V}' }").server.port, 9000);
  assert.equal(withVariable("90", "server:\n  port: ${V}00").server.port, 9000);
  assert.equal(
    withVariable("0.5", "gpu:\n  multi_gpu:\n    memory_threshold: ${V}").gpu.multi_gpu.memory_threshold,
    0.5,
  );
  assert.equal(withVariable("false", "auth:\n  enabled: ${V}").auth.enabled, false);
  assert.equal(withVariable("true", "engine:\n  flash_attention: ${V}").engine.flash_attention, true);
  for (const value of ["08700", "0x10", "1e3", "true", "80 "])
    assert.throws(() => withVariable(value, "server:\n  port: ${V}"), {
      message: `c.yaml:2: server.port must be an integer from 0 to 65535; got "${value}".`,
    });
});

test("where a key takes both, quotes make a string", () => {
  const { devices } = withVariable("0", "gpu:\n  devices: ${V}").gpu;
  assert.equal(devices, 0);
  assert.throws(() => withVariable("0", 'gpu:\n  devices: "${V}"'), /gpu\.devices must be .*; got "0"\.$/);
  const mappings = "gpu:\n  multi_gpu:\n    task_specific_mappings: { a: gpu_1, b: [gpu_2] }\n";
  assert.deepEqual(withVariable("1", mappings.replace("gpu_1", '"gpu_${V}"')).gpu.multi_gpu.task_specific_mappings, {
    a: "gpu_1",
    b: ["gpu_2"],
  });
});

test("an alias gets what its own key takes", () => {
  const { server, engine } = withVariable("8000", `server:\n  port: &v \${V}\n${SERVER}*v`);
  assert.deepEqual([server.port, engine.api_key], [8000, "8000"]);
});

test("a default counts where the variable is not set or empty; an empty one leaves the key out", () => {
  for (const value of [undefined, ""]) {
    assert.equal(withVariable(value, "server:\n  port: ${V:-8700}").server.port, 8700);
    assert.equal(withVariable(value, 'server: { host: "${V:-::1}" }').server.host, "::1");
    assert.equal(withVariable(value, "server:\n  port: ${V:-}").server.port, 8642);
    assert.equal(withVariable(value, `${SERVER}"\${V:-}"`).engine.api_key, undefined);
  }
  assert.equal(withVariable("1", "server:\n  port: ${V:-8700}").server.port, 1);
});

const REFERENCES: readonly (readonly [string, string | undefined, RegExp])[] = [
  ["${V}", undefined, /^c\.yaml:4: the environment variable ALT_LAS_TEST_VALUE is not set\.$/],
  ["${V}", "", /^c\.yaml:4: the environment variable ALT_LAS_TEST_VALUE is empty; give it a value, or a default: /],
  ...["${V-d}", "${V:?d}", "${V:+d}", "${V", "${}", "${1}", "${a b}", "${V:-${W}}"].map(
    (text): readonly [string, string, RegExp] => [
      text,
      "x",
      /^c\.yaml:4: ".*" is neither \$\{NAME\} nor \$\{NAME:-default\} nor \$\{file:\/path\} nor \$\{credential:name\}; /,
    ],
  ),
];

test("a reference that cannot be followed is told, and never text", () => {
  for (const [text, value, message] of REFERENCES)
    assert.throws(() => withVariable(value, `${SERVER}"${text}"`), { code: "bad_config", message }, text);
  assert.throws(() => withVariable("x", 'callers:\n  users:\n    "${V-d}": {}'), /c\.yaml:3: "\$\{.*" is neither/);
  assert.equal(
    withVariable("x", `${SERVER}"$\${V} $1"`).engine.api_key,
    `\${${NAME}} $1`,
    "$${ is the way to write it",
  );
});

/** The key of an upstream server that a configuration gives by this reference. */
function keyGivenBy(reference: string): string | undefined {
  return parseConfig(`${SERVER}"${reference}"`, "c.yaml").engine.api_key;
}

test("a secret comes from a file, or from a credential of systemd", (t) => {
  const folder = temporaryFolder(t);
  const file = (name: string, content: string | Buffer): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  assert.equal(
    keyGivenBy(`\${file:${file("digits", "0042\n")}}`),
    "0042",
    "a secret of digits stays a text, without the line's end",
  );
  assert.equal(keyGivenBy(`Bearer \${file:${file("lines", "one\ntwo\r\n")}}`), "Bearer one\ntwo");
  assert.equal(keyGivenBy(`\${file:${join(folder, "none")}:-a default}`), "a default");
  setEnvironment(t, { CREDENTIALS_DIRECTORY: folder });
  assert.equal(keyGivenBy("${credential:digits}"), "0042");

  const refused: [reference: string, sentence: RegExp][] = [
    [`\${file:${join(folder, "none")}}`, /the file \/.*none is not there\.$/],
    [`\${file:${file("empty", "\n")}}`, /the file .*empty is empty; give it a value, or a default/],
    [`\${file:${file("latin1", Buffer.from([0xfc]))}}`, /the file .*latin1 cannot be read: /],
    [`\${file:${file("large", "x".repeat(65_537))}}`, /cannot be read: it has more than 65536 bytes\.$/],
    [`\${file:${folder}}`, /cannot be read: it is not a plain file\.$/],
    [`\${file:${file("binary", "a\0b")}}`, /cannot be read: it has control characters, so it is no text\.$/],
    ["${file:secrets/x}", /must be given by its whole path, like \$\{file:\/run\/secrets\/name\}\.$/],
    ["${credential:../digits}", /must be a name, and no path\.$/],
    ["${credential:none}", /the credential none is not there\.$/],
  ];
  for (const [reference, message] of refused)
    assert.throws(() => keyGivenBy(reference), { code: "bad_config", message }, reference);
});

test("a secret of a file is shown nowhere, whatever key it stands under", (t) => {
  const path = join(temporaryFolder(t), "secret");
  const secret = `s3cr3t-"${"x1".repeat(40)}`;
  writeFileSync(path, secret);
  const wrong = [
    `server: { port: "\${file:${path}}" }`,
    `log: { level: "a word and \${file:${path}}" }`,
    `models: [{ name: a, source: "\${file:${path}}" }]`,
    `gpu: { devices: ["\${file:${path}}"] }`,
    `"\${file:${path}}": 1`,
  ];
  for (const yaml of wrong)
    assert.throws(
      () => parseConfig(yaml, "c.yaml"),
      ({ message }: Error) => message.includes("[secret]") && !message.includes("s3cr3t"),
      yaml,
    );
  const config = parseConfig(`models: [{ name: a, source: "https://h.example/\${file:${path}}/m.gguf" }]`, "c.yaml");
  const shown = JSON.stringify(redacted(config.models, ["models"]));
  assert.match(shown, /https:\/\/h\.example\/\[secret\]\/m\.gguf/);
  writeFileSync(path, "4711");
  const { server } = parseConfig(`server: { port: "\${file:${path}}" }`, "c.yaml");
  assert.deepEqual([server.port, redacted(server.port, ["server", "port"])], [4711, null]);
});

test("everything that is wrong is told at once, a line each, in the order of the file", () => {
  const yaml = `\
server:
  prot: 8000
  port: 70000
  tls: { cert: a.pem }
auth: { users: [{ name: a b, role: king }] }
store:
  path: \${ALT_LAS_NOT_SET}/a
gpu:
  multi_gpu:
    strategies: [random]
    task_specific_mappings: { a: cpu_1, b: [x, y] }
  devices:
    - { gpu: 0, gpus: [1] }
    - { gpu: 0, slot: 1 }
`;
  assert.throws(() => parseConfig(yaml, "c.yaml", { port: -1, devices: "tpu" }), {
    code: "bad_config",
    message: `\
c.yaml:2: server.prot is not a known field; perhaps port was meant.
c.yaml:3: server.port must be an integer from 0 to 65535; got 70000.
c.yaml:4: server.tls needs both cert and key, or neither.
c.yaml:5: auth.users[0].name must be 1 to 64 letters, digits, '.', '_', '@' or '-', of which the first is a letter or a digit; got "a b".
c.yaml:5: auth.users[0].role must be one of "admin", "user", "viewer"; got "king".
c.yaml:7: the environment variable ALT_LAS_NOT_SET is not set.
c.yaml:9: gpu.multi_gpu.default_strategy is least_loaded, which gpu.multi_gpu.strategies does not list.
c.yaml:11: gpu.multi_gpu.task_specific_mappings.a must be a name like "gpu_0", a number like 0, or a list of these; got "cpu_1".
c.yaml:11: gpu.multi_gpu.task_specific_mappings.b must be a name like "gpu_0", a number like 0, or a list of these; got a list of 2.
c.yaml:14: gpu.devices[1].slot is not a known field; perhaps slots was meant.
Command line: server.port must be an integer from 0 to 65535; got -1.
Command line: gpu.devices must be "auto", "cpu:N", "simulated:N", "gpu:INDEX", an index or a GPU's UUID, or an object with settings; got "tpu".`,
  });
});

test("a rule between keys says nothing while one of them is wrong itself", () => {
  const wrong = "server:\n  host: 5\nauth:\n  enabled: false\nengine:\n  kind: openai\n  url: []";
  assert.throws(() => parseConfig(wrong, "c.yaml"), {
    message:
      "c.yaml:2: server.host must be an address or a host's name, or a list of them; got 5.\nc.yaml:7: engine.url must be a list of at least 1 of items that are a string that is not empty; got a list of 0.",
  });
});

test("a reference inside braces or brackets without quotes is told with what to write", () => {
  for (const [yaml, at, reference] of [
    ["engine: { kind: openai, api_key: ${K} }", "1:35", "${K}"],
    ["server:\n  cors_origins: [${A:-b}, c]", "2:19", "${A:-b}"],
  ] as const)
    assert.throws(() => parseConfig(yaml, "c.yaml"), {
      message: `c.yaml:${at}: not YAML: inside { } and [ ] a value with a reference needs quotes, like "${reference}".`,
    });
});

test("everything that is not YAML is told at once", () => {
  const broken = "server:\n\tport: 1\nauth: [\nlog: {level: info}}\n";
  assert.throws(
    () => parseConfig(broken, "c.yaml"),
    ({ message }: AltLasError) => {
      const lines = message.split("\n");
      assert.ok(lines.length >= 2, message);
      for (const line of lines) assert.match(line, /^c\.yaml:\d+:\d+: not YAML: .*[^.]\.$/);
      assert.equal(new Set(lines.map((line) => line.split(":")[1])).size, lines.length, "one of each line");
      return true;
    },
  );
});

const BOMB = [..."bcdefgh"]
  .map((name, index) => `${name}: &${name} [${`*${"abcdefg"[index]!},`.repeat(9)}]`)
  .join("\n");

test("bombs, nesting without end and large files are a sentence that names the file", (t) => {
  const cases: readonly (readonly [string, RegExp])[] = [
    [`a: &a [x, x]\n${BOMB}`, /^c\.yaml: it cannot be read as YAML: Excessive alias count/],
    ["a: &a [*a]", /^c\.yaml: an alias \(\*\) stands inside what it refers to\.$/],
    [`gpu: ${"[".repeat(20_000)}${"]".repeat(20_000)}`, /^c\.yaml: it is nested too deeply\.$/],
    [`gpu: ${"{a: ".repeat(20_000)}`, /^c\.yaml: it is nested too deeply\.$/],
  ];
  for (const [yaml, message] of cases)
    assert.throws(() => parseConfig(yaml, "c.yaml"), { code: "bad_config", message });
  const large = join(temporaryFolder(t), "large.yaml");
  writeFileSync(large, Buffer.alloc(5 * 1024 * 1024, "#"));
  for (const file of [large, "/dev/zero"])
    assert.throws(() => loadConfig(file), {
      code: "bad_config",
      message: `The configuration file ${file} has more than 4194304 bytes.`,
    });
});

test("a host is an address or a name, and IPv6 may have its brackets", () => {
  assert.equal(parseConfig('server: { host: "[::1]" }', "c.yaml").server.host, "::1");
  assert.equal(parseConfig("", "c.yaml", { host: "[fe80::1%eth0]" }).server.host, "fe80::1%eth0");
  assert.equal(
    parseConfig("auth: { enabled: false }", "c.yaml", { host: "[::1]" }).server.host,
    "::1",
    "it is loopback",
  );
  assert.throws(() => parseConfig("", "c.yaml", { host: "/run/alt-las.sock" }), {
    message:
      'Command line: server.host must be an address or a host\'s name; got "/run/alt-las.sock" (server.socket is for a Unix socket).',
  });
  assert.throws(
    () => parseConfig('server: { host: "127.0.0.1:80" }', "c.yaml"),
    /c\.yaml:1: server\.host must .*without a port; got/,
  );
});

/** The lines of what is said of the files of a configuration. */
function fileFaults(t: TestContext, yaml: string): string[] {
  const file = join(temporaryFolder(t), "c.yaml");
  writeFileSync(file, yaml);
  try {
    loadConfig(file, {}, [checkFiles]);
    return [];
  } catch (error) {
    return (error as AltLasError).message.replaceAll(`${file}:`, "").split("\n");
  }
}

test("files that a server would miss are told by who asks for them, with the line that names them", (t) => {
  const folder = temporaryFolder(t);
  const model = join(folder, "a.gguf");
  copyFileSync(DEMO_MODEL, model);
  mkdirSync(join(folder, "b.gguf"));
  writeFileSync(join(folder, "c.gguf"), "# no model");
  const said = fileFaults(
    t,
    `\
server: { tls: { cert: ${folder}/cert.pem, key: ${folder}/key.pem }, socket: ${folder}/none/s }
store: { path: ${folder}/none/tasks.db }
engine: { model: ${folder}/none.gguf, binary: ${folder}/no-server }
gpu:
  devices:
    - cpu:1
    - { gpu: "cpu:1", engine: { model: ${folder}/b.gguf } }
    - { gpu: "cpu:1", engine: { model: ${folder}/c.gguf } }
    - { gpu: "cpu:1", engine: { kind: llama-server, model: ${model} } }
    - { name: far, engine: { kind: openai, url: "http://127.0.0.1:9", model: no-file } }
    - simulated:1`,
  );
  assert.deepEqual(said, [
    `1: server.tls.cert is ${folder}/cert.pem, which does not exist.`,
    `1: server.tls.key is ${folder}/key.pem, which does not exist.`,
    `1: server.socket is ${folder}/none/s, whose folder does not exist.`,
    `2: store.path is ${folder}/none/tasks.db, whose folder does not exist.`,
    `3: engine.model is ${folder}/none.gguf, which does not exist.`,
    `3: engine.binary is ${folder}/no-server, which is no program that can be run.`,
    `7: gpu.devices[1].engine.model is ${folder}/b.gguf, which is no file.`,
    `8: gpu.devices[2].engine.model is ${folder}/c.gguf, which is no GGUF file.`,
  ]);
  assert.deepEqual(fileFaults(t, `engine: { model: ${model} }`), []);
  assert.deepEqual(
    fileFaults(t, `engine: { kind: simulated, model: ${folder}/none.gguf }`),
    [],
    "nothing would read it",
  );
});

/** YAML with the words and marks that the reader acts upon. */
const scraps = fc.constantFrom(
  ..."server gpu devices engine port auth users & * a !!str << ~ __proto__ constructor toString 0 1.5 .inf true null".split(
    " ",
  ),
  ..."cpu:1 auto [ ] { } # % \" ' ${ } ${PATH} ${NOT_SET:-1} $${".split(" "),
  ": ",
  ":\n  ",
  "\n",
  "- ",
  ", ",
  "? ",
  "| \n  ",
  "\t",
  "---\n",
  "\0",
  "\u{1f600}",
);

test("any text ends in a configuration or in sentences about it", () => {
  const text = fc.oneof(
    anyText(),
    fc.array(scraps, { maxLength: 30 }).map((parts) => parts.join("")),
  );
  const json = fc.object({
    key: fc.constantFrom("server", "gpu", "devices", "port", "engine", "auth", "users", "0", "__proto__"),
  });
  fc.assert(
    fc.property(
      fc.oneof(
        text,
        json.map((value) => JSON.stringify(value)),
      ),
      (yaml) => {
        try {
          assert.ok(parseConfig(yaml, "c.yaml").server.port >= 0);
        } catch (error) {
          if (!(error instanceof AltLasError)) throw error;
          assert.equal(error.code, "bad_config");
          for (const line of error.message.split("\n")) assert.match(line, /^(c\.yaml:|And \d+ more)/);
        }
      },
    ),
    { numRuns: 1500 },
  );
});
