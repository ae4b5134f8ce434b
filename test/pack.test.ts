import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { bundledManifest, notices, packageManifest, readManifest } from "../tools/pack/manifest.ts";
import { ROOT } from "./helpers/server.ts";
import { testFolder } from "./helpers/store.ts";

const BUNDLED = readManifest(join(ROOT, "node_modules/node-llama-cpp"));

test("the published package asks for Node 24 and what the clone asks for, and for nothing that only some GPUs need", () => {
  const own = readManifest(ROOT);
  const published = packageManifest(own, BUNDLED, {}) as Record<string, unknown> & {
    readonly dependencies: Record<string, string>;
    readonly optionalDependencies: Record<string, string>;
  };
  for (const left of ["private", "scripts", "devDependencies", "overrides"]) assert.equal(published[left], undefined);
  assert.deepEqual(published["engines"], { node: ">=24" });
  assert.deepEqual(published["imports"], { "#cli": "./src/cli/cli.js" });
  const { node: _node, ...asked } = own.dependencies!;
  assert.deepEqual(published.dependencies, { ...BUNDLED.dependencies, ...asked, ...published.dependencies });
  assert.equal(published.dependencies["node"], undefined);
  const optional = Object.keys(published.optionalDependencies);
  assert.deepEqual(
    optional.filter((name) => /cuda|vulkan/.test(name)),
    [],
  );
  for (const platform of ["linux-x64", "linux-arm64", "mac-arm64-metal", "win-x64"])
    assert.ok(optional.includes(`@node-llama-cpp/${platform}`), platform);
});

test("a workflow's package names the repository that it was made from, which npm checks, and others name none", () => {
  const own = readManifest(ROOT);
  const environment = { GITHUB_SERVER_URL: "https://git.example", GITHUB_REPOSITORY: "somebody/alt-las" };
  const repositoryIn = (given: NodeJS.ProcessEnv): unknown =>
    (packageManifest(own, BUNDLED, given) as { readonly repository?: unknown }).repository;
  assert.deepEqual(repositoryIn(environment), { type: "git", url: "git+https://git.example/somebody/alt-las.git" });
  assert.equal(repositoryIn({}), undefined);
});

test("what is bundled brings no scripts and no packages of its own", () => {
  const inside = bundledManifest(BUNDLED) as Record<string, unknown>;
  for (const left of ["scripts", "dependencies", "optionalDependencies", "peerDependencies"])
    assert.equal(inside[left], undefined);
  assert.deepEqual([inside["name"], inside["version"]], [BUNDLED.name, BUNDLED.version]);
});

test("the notices have each licence in full, and a package without one is not published", (t) => {
  const folder = testFolder(t);
  const packages = ["one", "two"].map((name) => join(folder, name));
  for (const path of packages) {
    mkdirSync(path);
    writeFileSync(
      join(path, "package.json"),
      JSON.stringify({ name: path.slice(-3), version: "1.2.3", license: "MIT" }),
    );
  }
  writeFileSync(join(packages[0]!, "LICENSE"), "Copyright Somebody\n");
  assert.match(notices([packages[0]!]), /^## one 1\.2\.3 \(MIT\)\n\nCopyright Somebody\n$/m);
  assert.throws(() => notices(packages), /two has no licence file/);
});

/** The first major version that a range takes. */
function lowest(range: string): number {
  return Math.min(...Array.from(range.matchAll(/(\d+)[\d.x]*/g), ([, major]) => Number(major)));
}

test("an npm on Node 20 leaves out no optional package: it would say nothing", () => {
  interface Locked {
    readonly optional?: boolean;
    readonly engines?: { readonly node?: string };
  }
  const text = readFileSync(join(ROOT, "package-lock.json"), "utf8");
  const packages = Object.entries((JSON.parse(text) as { packages: Readonly<Record<string, Locked>> }).packages);
  const optional = packages.filter(([, one]) => one.optional === true);
  assert.ok(optional.some(([name]) => name === "node_modules/pg"));
  const tooNew = optional.filter(([, { engines }]) => lowest(engines?.node ?? "20") > 20);
  assert.deepEqual(
    tooNew.map(([name]) => name),
    [],
  );
});
