/** The spelling of what people read, by typos of PyPI, without a network. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { lacks, newFolder, ROOT, runProgram } from "../helpers/server.ts";

const skip = await lacks(runProgram("typos", ["--version"]), "PyPI's typos");
const CONFIG = ["--config", join(ROOT, "tools/spelling.toml"), "--format", "brief"];

test("no document has a word that is a common mistake", { skip }, async () => {
  const looked = await runProgram("typos", [...CONFIG, "--files", ROOT]);
  for (const file of ["README.md", "docs/operating.md", "config.example.yaml"]) assert.ok(looked.stdout.includes(file));
  const { code, stdout, stderr } = await runProgram("typos", [...CONFIG, ROOT]);
  assert.deepEqual([code, stdout, stderr], [0, "", ""]);
});

test("a mistake in a text is found, and one in code is none", { skip }, async (t) => {
  const folder = newFolder(t);
  writeFileSync(join(folder, "page.md"), "`propertys` is no keyword, and this is\nrecieved.\n");
  const { code, stdout } = await runProgram("typos", [...CONFIG, folder]);
  assert.equal(code, 2);
  assert.match(stdout, /page\.md:2:1: error: `recieved`/);
  assert.doesNotMatch(stdout, /propertys/);
});
