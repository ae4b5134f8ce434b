/** Where none of llama.cpp's builds runs, the reason is a sentence that says what to do. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { neededGlibc, systemLibrary, whyNoBuild } from "../src/engine/llama/no-build.ts";
import { SYSTEM } from "../src/common/system.ts";
import { temporaryFolder } from "./helpers/http.ts";

/** A build whose libraries want these symbols. */
function build(t: TestContext, ...symbols: readonly string[]): string {
  const folder = temporaryFolder(t);
  const names = ["llama-addon.node", "libllama.so"];
  for (const [index, name] of names.entries()) writeFileSync(join(folder, name), `\0${symbols[index] ?? ""}\0rest`);
  writeFileSync(join(folder, "metadata.json"), "GLIBC_9.99\0");
  return folder;
}

const GLIBC = { name: "glibc", version: "2.31" } as const;

test("musl is named, whatever is installed", (t) => {
  for (const folder of [null, build(t)])
    assert.match(
      whyNoBuild({ name: "musl", version: null }, folder),
      /^this system's C library is musl, as on Alpine, .* use a system with glibc, .* engine\.kind: llama-server/,
    );
});

test("a glibc that is too old is told with the one that is needed, compared as numbers", (t) => {
  const folder = build(t, "GLIBC_2.4", "GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_PRIVATE");
  assert.equal(neededGlibc(folder), "2.34");
  assert.match(
    whyNoBuild(GLIBC, folder),
    /^this system's glibc is 2\.31, and the build of it that npm has needs 2\.34 or later; use a newer system, or/,
  );
  assert.doesNotMatch(whyNoBuild({ ...GLIBC, version: "2.100" }, folder), /glibc is/);
});

test("a package that was left out, and a library that cannot be loaded, are told apart", (t) => {
  assert.match(whyNoBuild(GLIBC, null), /^npm has installed no build of it for \S+-\S+; .* npm i --include=optional/);
  assert.match(whyNoBuild(GLIBC, build(t, "GLIBC_2.2")), /does not run on this machine \(.*llama-addon\.node.*\);/);
  assert.equal(neededGlibc(build(t)), null);
});

test(
  "the C library of this machine is known",
  { skip: SYSTEM.platform === "linux" ? false : "only Linux has several" },
  () => {
    const { name, version } = systemLibrary();
    assert.notEqual(name, "other");
    if (name === "glibc") assert.match(version!, /^2\.\d+$/);
  },
);
