/** What commands load that need next to nothing: they are asked in scripts, and by people who wait. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { listing, loadedBy } from "./helpers/loaded-modules.ts";
import { ROOT } from "./helpers/server.ts";

for (const asked of ["version", "--help"]) {
  test(`${asked} loads the command line and nothing behind it`, (t) => {
    const folder = mkdtempSync(join(tmpdir(), "alt-las-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "modules");
    const { nodeArgs, env } = listing(file);
    const program = join(ROOT, "bin/alt-las.js");
    const { status, stderr } = spawnSync(process.execPath, [...nodeArgs, program, asked], {
      env: { ...process.env, ...env },
      encoding: "utf8",
    });
    assert.deepEqual([status, stderr], [0, ""]);
    const { own, packages, heavy } = loadedBy(file);
    assert.deepEqual([packages, heavy], [["commander"], []]);
    const folders = new Set(own.map((path) => path.split("/")[0]));
    assert.deepEqual([...folders].toSorted(), [
      "cli",
      "common",
      "config",
      "errors.ts",
      "request.ts",
      "task.ts",
      "words",
    ]);
    assert.deepEqual(
      own.filter((path) => path.startsWith("config/")),
      ["config/place.ts"],
    );
  });
}
