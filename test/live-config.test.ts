/** Changes to the configuration while the server runs: what may change, what is refused, and what is left of it after a restart. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import fc from "fast-check";
import { type Config, ConfigSchema, configView, LiveSettings, parseConfig, reloadWords } from "../src/config/config.ts";
import { changeableKeys } from "../src/config/keys.ts";
import { AltLasError } from "../src/errors.ts";
import { STRATEGIES } from "../src/task.ts";
import { OPERATOR_EVENT, type OperatorEvent } from "../src/topics.ts";
import { setEnvironment } from "./helpers/environment.ts";
import { temporaryFolder } from "./helpers/http.ts";

/** A configuration that can be read again, and what is told of it. */
class World {
  readonly dataDir: string;
  readonly log: string[] = [];
  text: string;
  live: LiveSettings;

  constructor(t: TestContext, text = "") {
    this.dataDir = temporaryFolder(t);
    this.text = text;
    this.live = this.restart();
  }

  read(): Config {
    return parseConfig(this.text, "c.yaml");
  }

  restart(): LiveSettings {
    const note = (...said: unknown[]): void => void this.log.push(String(said.at(-1)));
    const log = { info: note, warn: note, isLevelEnabled: () => true };
    this.live = new LiveSettings({ config: this.read(), read: () => this.read(), dataDir: this.dataDir, log });
    return this.live;
  }

  get placement(): Config["gpu"]["multi_gpu"] {
    return this.live.config.gpu.multi_gpu;
  }

  patch(patch: object, by = "ada"): void {
    this.live.patch(patch, by);
  }
}

function inPlacement(values: object): object {
  return { gpu: { multi_gpu: values } };
}

function place(key: string): string[] {
  return ["gpu", "multi_gpu", key];
}

function at(value: unknown, path: string): unknown {
  return path.split(".").reduce((part, key) => (part as Record<string, unknown>)[key], value);
}

function many(count: number): object {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`u${i}`, { weight: 2 }]));
}

function refusal(act: () => void): AltLasError {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof AltLasError, String(error));
    return error;
  }
  return assert.fail("it was not refused");
}

test("a patch changes what it names and nothing else, and null brings back what the file says", (t) => {
  const world = new World(
    t,
    "gpu: { multi_gpu: { memory_threshold: 0.8 } }\ncallers: { users: { bob: { max_running: 3 } } }",
  );
  const before = world.live.config;
  world.patch({
    ...inPlacement({ memory_threshold: 0.5, default_strategy: "random" }),
    callers: { users: { bob: { weight: 2 }, eve: { max_queued: 1 } } },
  });
  assert.equal(world.placement.memory_threshold, 0.5);
  assert.equal(world.placement.default_strategy, "random");
  assert.deepEqual(world.live.config.callers.users, { bob: { max_running: 3, weight: 2 }, eve: { max_queued: 1 } });
  assert.deepEqual(world.live.config.server, before.server);
  world.patch({ ...inPlacement({ memory_threshold: null }), callers: null });
  assert.equal(world.placement.memory_threshold, 0.8);
  assert.equal(world.placement.default_strategy, "random");
  assert.deepEqual(world.live.config.callers, before.callers);
  assert.equal(before.gpu.multi_gpu.default_strategy, "least_loaded", "who has the old one keeps it as it was");
});

test("everything that is wrong with a patch is told at once, with its key, and nothing changes", (t) => {
  const world = new World(t);
  const before = world.live.config;
  const wrong = inPlacement({ memory_threshold: 2, strategies: ["fastest"], memory_treshold: 0.5, batch_split: false });
  const { code, message, param } = refusal(() => world.patch({ ...wrong, server: { port: 1 }, nonsense: null }));
  assert.equal(code, "invalid_input");
  for (const part of [
    "gpu.multi_gpu.memory_threshold must be a number from 0 to 1; got 2.",
    "gpu.multi_gpu.strategies[0] must be one of",
    "gpu.multi_gpu.memory_treshold is not a known field; perhaps memory_threshold was meant.",
    "server.port needs a restart",
    "nonsense is not a known field",
  ])
    assert.ok(message.includes(part), `${part}\n${message}`);
  assert.match(String(param), /^gpu\.multi_gpu\.|^nonsense/);
  assert.equal(world.live.config, before);
  assert.ok(!existsSync(join(world.dataDir, "runtime.json")));
});

test("the rules between keys hold for patches, too", (t) => {
  const world = new World(t);
  const { code, message } = refusal(() => world.patch(inPlacement({ strategies: ["random"] })));
  assert.equal(code, "invalid_input");
  assert.match(message, /default_strategy is least_loaded, which gpu\.multi_gpu\.strategies does not list/);
  world.patch(inPlacement({ strategies: ["random"], default_strategy: "random" }));
  assert.deepEqual(world.placement.strategies, ["random"]);
});

test("a key that counts from the next start is a conflict that names it, unless it already is so", (t) => {
  const world = new World(t);
  const { code, message, param } = refusal(() => world.patch({ server: { port: 1 }, auth: { enabled: false } }));
  assert.equal(code, "conflict");
  assert.match(message, /server\.port needs a restart.*auth\.enabled needs a restart/);
  assert.equal(param, "server.port");
  world.patch({ server: { port: 8642 }, auth: { enabled: true, keys: [] } });
  assert.deepEqual(world.live.values, []);
});

test("names that every object has are names like others", (t) => {
  const world = new World(t);
  const patch = JSON.parse('{"callers": {"users": {"__proto__": {"max_running": 1}, "constructor": {"weight": 2}}}}');
  world.patch(patch as object);
  assert.deepEqual(Object.keys(world.live.config.callers.users), ["__proto__", "constructor"]);
  assert.equal(({} as { max_running?: number }).max_running, undefined);
  assert.deepEqual(Object.keys(world.restart().config.callers.users), ["__proto__", "constructor"]);
});

test("what was set is kept over a restart, with who did it, and wins until the file says something else", (t) => {
  const world = new World(t, "gpu: { multi_gpu: { memory_threshold: 0.8 } }");
  world.patch(inPlacement({ memory_threshold: 0.5, max_concurrent_tasks_per_gpu: 2 }));
  world.restart();
  assert.equal(world.placement.memory_threshold, 0.5);
  assert.equal(world.placement.max_concurrent_tasks_per_gpu, 2);
  assert.deepEqual(
    world.live.values.map(({ path, instead_of, by }) => [path.at(-1), instead_of, by]),
    [
      ["memory_threshold", 0.8, "ada"],
      ["max_concurrent_tasks_per_gpu", 8, "ada"],
    ],
  );
  world.text = "gpu: { multi_gpu: { memory_threshold: 0.7 } }";
  world.restart();
  assert.equal(world.placement.memory_threshold, 0.7);
  assert.equal(world.placement.max_concurrent_tasks_per_gpu, 2);
  assert.match(world.log.join("\n"), /gpu\.multi_gpu\.memory_threshold has changed in the file, which counts again/);
  world.text = "gpu: { multi_gpu: { memory_threshold: 0.8 } }";
  assert.equal(world.restart().config.gpu.multi_gpu.memory_threshold, 0.8, "it is gone for good");
});

test("nothing in the file of runtime values prevents a start", (t) => {
  const world = new World(t);
  const set = { by: "ada", at: "2026-01-01T00:00:00.000Z" };
  const value = (path: string[], now: unknown, instead_of: unknown) => ({ path, value: now, instead_of, ...set });
  const contents: [string, unknown][] = [
    ["no JSON", "{"],
    ["another version", { version: 2, values: [] }],
    ["something else", []],
    ["unknown entries", { version: 1, values: [null, 3, { path: [] }, { path: ["x"], value: 1 }] }],
    ["an unknown key", { version: 1, values: [value(["gpu", "colour"], "red", null)] }],
    ["a key that needs a restart", { version: 1, values: [value(["server", "port"], 1, 8642)] }],
    ["a wrong value", { version: 1, values: [value(place("memory_threshold"), "much", 0.9)] }],
    [
      "values that do not go together",
      { version: 1, values: [value(place("strategies"), ["random"], [...world.placement.strategies])] },
    ],
  ];
  for (const [what, content] of contents) {
    writeFileSync(join(world.dataDir, "runtime.json"), typeof content === "string" ? content : JSON.stringify(content));
    world.log.length = 0;
    assert.deepEqual(world.restart().config, world.read(), what);
    assert.match(world.log.join("\n"), /ignored/, what);
  }
  const sound = value(place("memory_threshold"), 0.5, 0.9);
  const mixed = {
    version: 1,
    values: [value(["gpu", "colour"], "red", null), sound, value(place("batch_split"), 7, true)],
  };
  writeFileSync(join(world.dataDir, "runtime.json"), JSON.stringify(mixed));
  assert.equal(world.restart().config.gpu.multi_gpu.memory_threshold, 0.5, "what is sound holds beside what is not");
});

test("a file that is read again: what counts now, what later, and what a runtime value hides", (t) => {
  const world = new World(t);
  world.patch(inPlacement({ memory_threshold: 0.5, batch_split: false }));
  world.text = `
server: { port: 1 }
log: { level: warn }
gpu: { multi_gpu: { memory_threshold: 0.7, default_strategy: random } }
models: [{ name: a, source: smollm2-135m }]`;
  const report = world.live.reload();
  const now = ["gpu.multi_gpu.default_strategy", "gpu.multi_gpu.memory_threshold", "log.level"];
  assert.deepEqual(
    { ...report, now: report.now.toSorted() },
    {
      models: { added: ["a"], changed: [], removed: [] },
      now,
      later: ["server.port"],
      hidden: ["gpu.multi_gpu.batch_split"],
      ended: ["gpu.multi_gpu.memory_threshold has changed in the file, which counts again."],
      certificate: null,
    },
  );
  assert.match(reloadWords(report), /From the next start: server\.port\. Set while the server ran/);
  const { config } = world.live;
  assert.deepEqual([config.server.port, config.log.level, config.gpu.multi_gpu.batch_split], [8642, "warn", false]);
  world.text = "gpu: {";
  assert.throws(() => world.live.reload(), /not YAML/);
  assert.equal(world.live.config, config);
});

test("the file and what was set may not go together any more: then the file counts", (t) => {
  const world = new World(t);
  world.patch(inPlacement({ default_strategy: "random", batch_split: false }));
  world.text = "gpu: { multi_gpu: { strategies: [round_robin, least_loaded] } }";
  const { ended } = world.live.reload();
  assert.match(ended.join(), /default_strategy is random, which gpu\.multi_gpu\.strategies does not list/);
  assert.deepEqual([world.placement.default_strategy, world.placement.batch_split], ["least_loaded", false]);
});

test("each change is an operators' event with its author, and a line in the log", (t) => {
  const world = new World(t);
  const events: OperatorEvent[] = [];
  t.after(OPERATOR_EVENT.subscribe((event) => events.push(event)));
  world.patch(inPlacement({ default_strategy: "random" }), "eve");
  world.patch(inPlacement({ default_strategy: "random" }), "bob");
  world.text = "log: { level: warn }";
  world.live.reload();
  world.text = "log: 3";
  assert.throws(() => world.live.reload());
  const own = events.filter(({ kind }) => kind === "config");
  assert.deepEqual(
    own.map(({ event, by }) => [event, by]),
    [
      ["changed", "eve"],
      ["reloaded", undefined],
      ["reload_failed", undefined],
    ],
  );
  const words = 'gpu.multi_gpu.default_strategy: "least_loaded" → "random"';
  assert.ok(own[0]!.sentence.includes(words));
  assert.ok(world.log.some((line) => line.includes(words)));
});

test("the view has every key, where each value comes from, and no secret", (t) => {
  setEnvironment(t, { LIVE_TEST_LEVEL: "warn" });
  const hash = "scrypt$16384$8$1$c2FsdA$aGFzaA";
  const world = new World(
    t,
    `
auth:
  users: [{ name: ada, role: admin, password_hash: ${hash} }]
  keys: [{ name: k, user: ada, sha256: ${"ab".repeat(32)} }]
log: { level: "\${LIVE_TEST_LEVEL}" }
engine: { kind: openai, url: "http://me:hidden@127.0.0.1:1", api_key: sk-secret }
gpu: { devices: [{ name: x, engine: { kind: openai, url: "http://127.0.0.1:2", api_key: sk-other } }] }
callers: { users: { bob: { weight: 2 } } }`,
  );
  world.patch(inPlacement({ batch_split: false }));
  const { config, sources, runtime, changeable } = configView(world.live);
  const text = JSON.stringify(config);
  for (const secret of [hash, "abab", "sk-secret", "sk-other", "hidden"]) assert.ok(!text.includes(secret), secret);
  const seen = [
    "log.level",
    "engine.kind",
    "engine.api_key",
    "server.port",
    "callers.users.bob.weight",
    "server.tls.cert",
  ];
  assert.deepEqual(
    [...seen, "gpu.multi_gpu.batch_split"].map((path) => [at(config, path), at(sources, path)]),
    [
      ["warn", "environment"],
      ["openai", "file"],
      [null, "file"],
      [8642, "default"],
      [2, "file"],
      [null, "default"],
      [false, "runtime"],
    ],
  );
  assert.deepEqual(
    runtime.map(({ key, value, instead_of, by }) => ({ key, value, instead_of, by })),
    [{ key: "gpu.multi_gpu.batch_split", value: false, instead_of: true, by: "ada" }],
  );
  assert.ok(changeable.includes("callers.users.*.weight") && !changeable.includes("server.port"));
  world.patch(config as object);
  assert.equal(world.live.values.length, 1, "sent back as it was read, nothing changes");
});

/** Keys whose names sound like secrets, and that hold none: paths of files, and sections. */
const NO_SECRETS: ReadonlySet<string> = new Set([
  "server.tls.key",
  "cluster.credentials",
  "cluster.signing_key",
  "cluster.operator_key",
  "auth.keys",
  "callers.keys",
]);

test("every key that sounds like a secret is marked as one", () => {
  interface Part {
    readonly secret?: boolean;
    readonly properties?: Record<string, Part>;
    readonly patternProperties?: Record<string, Part>;
    readonly items?: Part;
    readonly anyOf?: Part[];
    readonly then?: Part;
    readonly else?: Part;
  }
  const bare: string[] = [];
  const found: string[] = [];
  const look = (part: Part | undefined, path: string): void => {
    if (part === undefined) return;
    const name = path.split(".").at(-1)!;
    if (part.secret === true) found.push(path);
    else if (
      /password|secret|sha256|hash|credential|(^|_)(api_)?keys?$|(^|_)token$/.test(name) &&
      !NO_SECRETS.has(path)
    )
      bare.push(path);
    for (const [key, inner] of Object.entries(part.properties ?? {})) look(inner, path === "" ? key : `${path}.${key}`);
    for (const inner of Object.values(part.patternProperties ?? {})) look(inner, `${path}.*`);
    for (const inner of [part.items, part.then, part.else, ...(part.anyOf ?? [])]) look(inner, path);
  };
  look(ConfigSchema as unknown as Part, "");
  assert.deepEqual(bare, []);
  const known = [
    "auth.keys.sha256",
    "auth.oidc.client_secret",
    "auth.users.password_hash",
    "cluster.nats",
    "engine.api_key",
    "gpu.devices.engine.api_key",
    "store.url",
  ];
  assert.deepEqual([...new Set(found)].toSorted(), known);
});

test("the file is for its owner alone, and says who set what", (t) => {
  const world = new World(t);
  world.patch(inPlacement({ batch_split: false }));
  const file = JSON.parse(readFileSync(join(world.dataDir, "runtime.json"), "utf8")) as { values: { by: string }[] };
  assert.deepEqual(
    file.values.map(({ by }) => by),
    ["ada"],
  );
});

test("docs/configuration.md names every key that may change", () => {
  const page = readFileSync(new URL("../docs/configuration.md", import.meta.url), "utf8");
  for (const key of changeableKeys()) {
    const [section = ""] = key.split(".");
    const names = [`\`${section}\``, `\`${key}\``, `\`.${key.replace(".*", "").split(".").at(-1)}\``];
    assert.ok(
      names.some((name) => page.includes(name)),
      key,
    );
  }
});

test("a patch of very many values is refused, and costs little", (t) => {
  const world = new World(t);
  const { code, message } = refusal(() => world.patch({ callers: { users: many(1001) } }));
  assert.equal(code, "invalid_input");
  assert.match(message, /At most 1000 values/);
  world.patch({ callers: { users: many(1000) } });
  assert.equal(Object.keys(world.restart().config.callers.users).length, 1000);
});

test("a patch of very many resets, unknown names or wrong items costs no more than its size", (t) => {
  const world = new World(t);
  world.patch({ callers: { users: many(1000) } });
  world.patch({ callers: { users: Object.fromEntries(Array.from({ length: 15_000 }, (_, i) => [`n${i}`, null])) } });
  assert.equal(Object.keys(world.live.config.callers.users).length, 1000, "nobody of them was named");
  world.patch({ callers: { users: { u1: null, u2: { weight: null } } } });
  assert.equal(Object.keys(world.live.config.callers.users).length, 998);
  world.patch({ callers: null });
  assert.deepEqual(world.live.values, []);

  const names = Array.from({ length: 900 }, (_, i) => [`unknown${i}${"x".repeat(200)}`, 0] as const);
  const { message } = refusal(() => world.patch(Object.fromEntries(names)));
  assert.match(message, / And 800 more\.$/);
  const wrong = Array.from({ length: 20_000 }, () => "x");
  const { param } = refusal(() => world.patch(inPlacement({ task_specific_mappings: { a: wrong } })));
  assert.equal(param, "gpu.multi_gpu.task_specific_mappings.a");
});

test("values that are set take 256 KiB at most, each and together", (t) => {
  const world = new World(t);
  const long = (name: string): object => inPlacement({ task_specific_mappings: { [name.repeat(150_000)]: 0 } });
  const tooLong = inPlacement({ task_specific_mappings: { ["k".repeat(300_000)]: 0 } });
  assert.match(refusal(() => world.patch(tooLong)).message, /may have 262144 bytes/);
  world.patch(long("a"));
  const { code, message } = refusal(() => world.patch(long("b")));
  assert.equal(code, "invalid_input");
  assert.match(message, /may have 262144 bytes/);
  assert.equal(world.live.values.length, 1);
});

const anyPatch = fc.record(
  {
    default_strategy: fc.constantFrom(...STRATEGIES, null),
    strategies: fc.constantFrom(["random"], [...STRATEGIES], [], null),
    memory_threshold: fc.constantFrom(0, 0.5, 2, null),
    max_concurrent_tasks_per_gpu: fc.constantFrom(1, 8, 300, null),
    task_specific_mappings: fc.constantFrom({ a: 0 }, { a: [0, 1] }, { a: null, b: "gpu_1" }, { a: "x" }, null),
  },
  { requiredKeys: [] },
);
const FILES = [
  "",
  "gpu: { multi_gpu: { memory_threshold: 0.5 } }",
  "gpu: { multi_gpu: { strategies: [random], default_strategy: random } }",
];
const anyStep = fc.oneof(
  { weight: 5, arbitrary: fc.record({ patch: anyPatch }) },
  { weight: 1, arbitrary: fc.record({ file: fc.constantFrom(...FILES), again: fc.boolean() }) },
);

test("property: whatever is patched and read again, what holds is sound, is kept, and null brings back the file", (t) => {
  const run = fc.property(fc.array(anyStep, { maxLength: 12 }), (steps) => {
    const world = new World(t);
    for (const step of steps) {
      const before = world.live.config;
      if ("patch" in step) {
        try {
          world.patch(inPlacement(step.patch));
        } catch (error) {
          assert.ok(error instanceof AltLasError && error.code === "invalid_input", String(error));
          assert.equal(world.live.config, before);
        }
      } else {
        world.text = step.file;
        if (step.again) world.live.reload();
        else world.restart();
      }
      const { config } = world.live;
      assert.ok(config.gpu.multi_gpu.strategies.includes(config.gpu.multi_gpu.default_strategy));
      assert.deepEqual(world.restart().config, config, "a restart changes nothing");
    }
    world.patch({ gpu: null });
    assert.deepEqual(world.live.config, world.read());
  });
  fc.assert(run, { numRuns: 25 });
});
