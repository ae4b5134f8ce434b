/** What the server's process loads before anybody asks for anything: each library in it costs time and memory at every start. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { ROOT } from "./helpers/server.ts";

/** An import as it stands when types were taken out: one of types alone still loads its file, unless it is an `import type`. */
const IMPORT = /^(?:import|export)(?! type\b)(?: [^;"=]*? from)? "([^"]+)";$/gm;

/** The packages that these files import, and those that they import, without what is imported when it is needed. */
function packagesOf(...files: readonly string[]): string[] {
  const seen = new Set(files.map((file) => join(ROOT, file)));
  const packages = new Set<string>();
  for (const file of seen)
    for (const [, named = ""] of readFileSync(file, "utf8").matchAll(IMPORT)) {
      if (named.startsWith(".")) seen.add(join(dirname(file), named));
      else if (!named.startsWith("node:")) packages.add(named);
    }
  return [...packages].toSorted();
}

test("what sends traces needs no library beside those of the server", () => {
  const own = packagesOf("src/cli/serve.ts", "src/main.ts");
  assert.deepEqual(
    packagesOf("src/observe/traces/traces.ts").filter((name) => !own.includes(name)),
    [],
  );
});

test("the server loads no library at its start but those that it always needs", () => {
  assert.deepEqual(packagesOf("src/cli/serve.ts", "src/main.ts"), ["fastify", "ipaddr.js", "pino"]);
});

test("the flags that a start sets let V8 take the code that was compiled under its own", () => {
  const set = [...readFileSync(join(ROOT, "bin", "alt-las.js"), "utf8").matchAll(/setFlagsFromString\("([^"]+)"\)/g)];
  assert.equal(set.length, 1);
  // A flag holds for all of a process, to its end.
  const program = `
    const { cachedDataVersionTag, setFlagsFromString } = require("node:v8");
    const before = cachedDataVersionTag();
    for (const flag of process.argv.slice(1)) setFlagsFromString(flag);
    console.log(cachedDataVersionTag() === before);`;
  const flags = set.map(([, flag = ""]) => flag);
  const { stdout, stderr } = spawnSync(process.execPath, ["-e", program, "--", ...flags], { encoding: "utf8" });
  assert.deepEqual({ stdout, stderr }, { stdout: "true\n", stderr: "" });
});

test("no file makes a formatter of Intl while it is loaded: the first one takes V8 as long as twenty files", () => {
  const files = globSync("src/**/*.ts", { cwd: ROOT });
  assert.ok(files.length > 500);
  const makes = files.filter((file) => /^(?:export )?const .*new Intl\./m.test(readFileSync(join(ROOT, file), "utf8")));
  assert.deepEqual(makes, []);
});

test("a command that asks no server loads no TLS", () => {
  const tell = "data:text/javascript,process.on('exit',()=>console.log(process.moduleLoadList.join()))";
  const { stdout } = spawnSync(process.execPath, ["--import", tell, join(ROOT, "bin", "alt-las.js"), "version"]);
  const loaded = String(stdout).split(/[\n,]/);
  assert.ok(loaded.includes("NativeModule path"), String(stdout));
  assert.ok(!loaded.includes("NativeModule tls"));
});
