/** What a server says at its first start after an upgrade. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { VERSION } from "../src/common/version.ts";
import { parseConfig } from "../src/config/config.ts";
import { isKey } from "../src/config/keys.ts";
import { sourceOf } from "../src/config/sources.ts";
import { type Change, CHANGES, type Its } from "../src/upgrade/changes.ts";
import { compareVersions, EARLIER, upgradeFor, upgradeWords } from "../src/upgrade/upgrade.ts";
import { setEnvironment } from "./helpers/environment.ts";

function itsOf(yaml: string, users = 1): Its {
  const config = parseConfig(yaml, "c.yaml");
  return { config, users, sourceOf: (path) => sourceOf(config, path) };
}

/** A configuration that a change concerns, by the keys that it names then, and one that it does not. */
const CASES: readonly (readonly [keys: string, concerned: Its, not: Its])[] = [
  ["engine.raw", itsOf("engine: { model: /m.gguf }"), itsOf("engine: { model: /m.gguf, raw: false }")],
  ["engine.raw", itsOf("gpu: { devices: [{ gpu: cpu:1, engine: { model: /m.gguf } }] }"), itsOf("")],
  ["callers.defaults.max_queued", itsOf("", 2), itsOf("callers: { defaults: { max_queued: 5 } }", 2)],
  ["auth.enabled, server.cors_origins", itsOf("auth: { enabled: false }"), itsOf("")],
  [
    "auth.enabled, server.trust_proxy",
    itsOf("{ auth: { enabled: false }, server: { trust_proxy: true } }"),
    itsOf("server: { trust_proxy: true }"),
  ],
  [
    "server.host, server.trust_proxy",
    itsOf("server: { host: 0.0.0.0 }"),
    itsOf("server: { host: 0.0.0.0, trust_proxy: [10.0.0.1] }"),
  ],
  [
    "server.host, dashboard.enabled",
    itsOf("server: { host: 0.0.0.0 }"),
    itsOf("{ server: { host: 0.0.0.0 }, dashboard: { enabled: true } }"),
  ],
  [
    "gpu.worker_environment",
    itsOf("engine: { kind: llama-server, model: /m.gguf }"),
    itsOf("{ engine: { kind: llama-server, model: /m.gguf }, gpu: { worker_environment: [HTTPS_PROXY] } }"),
  ],
  ["engine.kind", itsOf("engine: { kind: openai, url: http://127.0.0.1:1 }"), itsOf("engine: { kind: simulated }")],
];

function keysTold(its: Its): string[] {
  return upgradeFor("0.1.0", its, "0.2.0")!.changes.map(({ keys }) => keys.join(", "));
}

test("a change is told where it concerns the configuration, and nowhere else", (t) => {
  for (const [keys, concerned, not] of CASES) {
    assert.ok(keysTold(concerned).includes(keys), keys);
    assert.ok(!keysTold(not).includes(keys), `not ${keys}`);
  }
  setEnvironment(t, { ALT_LAS_TEST_PORT: "9000" });
  assert.ok(keysTold(itsOf("server: { port: '${ALT_LAS_TEST_PORT}' }")).includes("server.port"));
  assert.deepEqual(keysTold(itsOf("")), []);
});

test("every change has a case, keys that there are, and a place in docs/upgrading.md", () => {
  const page = readFileSync(new URL("../docs/upgrading.md", import.meta.url), "utf8");
  const cases = CASES.map(([, concerned]) => concerned);
  for (const { since, sentence, keys } of CHANGES) {
    assert.ok(compareVersions(since, VERSION) <= 0, sentence);
    assert.match(page, new RegExp(`^## From .* to ${since.replaceAll(".", "\\.")}$`, "m"));
    const named = cases.map((its) => keys(its)).find((found) => found.length > 0);
    if (named === undefined) assert.match(sentence, /reference to the environment/);
    for (const key of named ?? []) {
      assert.ok(isKey(key.split(".")), key);
      assert.ok(page.includes(key), `${key} is in docs/upgrading.md`);
    }
  }
});

function change(since: string): Change {
  return { since, sentence: since, keys: () => ["log.level"] };
}

test("only what came since the version before is told, in the order of versions and not of their letters", () => {
  const changes = ["0.2.0", "0.9.0", "0.10.0", "1.0.0"].map(change);
  const told = (before: string | null, now: string) =>
    upgradeFor(before, itsOf(""), now, changes)?.changes.map(({ sentence }) => sentence);
  assert.deepEqual(told("0.2.0", "0.10.0"), ["0.9.0", "0.10.0"]);
  assert.deepEqual(told(EARLIER, "0.9.0"), ["0.2.0", "0.9.0"]);
  assert.equal(told("0.10.0", "0.10.0-rc.1"), undefined, "the same version");
  assert.equal(told("1.0.0", "0.10.0"), undefined, "a step back");
  assert.equal(told(null, "1.0.0"), undefined, "new data");
});

test("the words name each key with what has changed, or say that nothing has", () => {
  const words = upgradeWords({ from: EARLIER, to: "0.2.0", changes: [{ keys: ["a.b", "c"], sentence: "So." }] });
  assert.match(words, /^This is the first start of ALT_LAS 0\.2\.0 on these data, which an earlier version served/);
  assert.match(words, /\n {2}a\.b, c: So\.\nAll changes: docs\/upgrading\.md$/);
  assert.match(
    upgradeWords({ from: "0.1.0", to: "0.2.0", changes: [] }),
    /which 0\.1\.0 served before\. Nothing in your/,
  );
});
